package Memcheck;
use strict;
use warnings;

# Programs under valgrind, with the tool memcheck.
#
# Whatever memcheck finds in the use of memory is a finding, whoever is in the stack, but for what is known of perl's own
# and has no frame of our library anywhere. (That is why it is told apart here and not by a file of suppressions: those
# ask for the innermost frames, and would take no notice of ours behind them.) A leak is a finding when a frame of our
# library is in the stack that allocated: modules of others leak as well. A forked child's leaks are none: what belongs
# to the parent's threads is lost there by nature.

use Exporter   qw(import);
use File::Temp ();

our @EXPORT_OK = qw(limited memcheck memcheck_unavailable);

# Seconds for one command. What corrupts memory may well never end.
my $LIMIT = 600;

# Deep enough that no frame of ours is cut off.
my @OPTIONS = qw(
  --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=none --num-callers=200
  --fair-sched=yes --xml=yes --trace-children=yes
);

# Children that are no perl.
my $OTHERS = '*/java,*/sh,*/dash,*/bash,*/env,*/timeout,*/getent';

my $OURS = qr{/ZooKeeper\.so\z};

# What perl itself does: the kind, and whose code it is.
my @KNOWN = (

    # Cwd takes the first name from the rest of a path with a copy inside of one buffer.
    { kind => 'Overlap', object => qr{/auto/Cwd/Cwd\.so\z} },
);

# What valgrind says of a system call although the kernel does not look there: the size of a set of signals, where there
# is no set. (The crate rustix passes no set to epoll_pwait, and leaves that register as it is.)
my $UNREAD = qr/\ASyscall param epoll_pwait\(sigsetsize\) /;

# A command that ends in time.
sub limited {
    my (@command) = @_;
    return ( qw(timeout --foreground -k 10), $LIMIT, @command );
}

sub memcheck_unavailable {
    return 'needs valgrind (package valgrind)' if !grep { -x "$_/valgrind" } split /:/, $ENV{PATH};
    return;
}

# Runs a command. Returns a hash ref:
#   status    as $?
#   output    what the command said, on either stream
#   findings  [ text, ... ]
#   others    how many leaks there are without a frame of ours
#   known     how often perl did what it is known for
#   programs  how many programs and forked children were looked at
sub memcheck {
    my (@command) = @_;
    my $dir = File::Temp->newdir;
    my @valgrind =
      ( limited('valgrind'), @OPTIONS, "--trace-children-skip=$OTHERS", "--xml-file=$dir/%p.xml" );

    # With it perl frees all that it has, at the end; without debugging code it takes no notice.
    local $ENV{PERL_DESTRUCT_LEVEL}           = 2;
    local $ENV{ZOOKEEPER_TEST_UNDER_VALGRIND} = 1;
    my $pid = open( my $pipe, '-|' ) // die "fork: $!\n";
    if ( !$pid ) {
        open STDERR, '>&', \*STDOUT or die $!;
        exec @valgrind, @command or die "valgrind: $!\n";
    }
    my $output = join '', <$pipe>;
    close $pipe;
    my %result = ( status => $?, output => $output, findings => [], others => 0, known => 0, programs => 0 );
    for my $file ( glob "$dir/*.xml" ) {
        $result{programs}++;
        look_at( slurp($file), \%result );
    }
    return \%result;
}

sub look_at {
    my ( $xml, $result ) = @_;

    if ( my $crash = field( $xml, 'fatal_signal' ) ) {
        push @{ $result->{findings} }, field( $crash, 'signame' ) . "\n" . text($crash)
          if $crash =~ /SIG(?:SEGV|BUS|ILL|FPE|ABRT)/;
    }

    # Only who was started, and not forked, has been seen to start.
    my $is_forked = $xml !~ m{<state>RUNNING</state>};
    for my $record ( $xml =~ m{<error>(.*?)</error>}sg ) {
        my $kind    = field( $record, 'kind' );
        my $is_leak = $kind =~ /\ALeak_/;

    # Who has a module loaded, as our library does with signals held back, is not who does what its code does.
        my $inside  = $record =~ s{<fn>Perl_pp_require</fn>.*}{}sr;
        my @objects = $inside =~ m{<obj>(.*?)</obj>}g;
        my $is_ours = grep { $_ =~ $OURS } @objects;
        my ($where) = grep { !m{/vgpreload_} } @objects;
        if    ( $is_leak && $is_forked )   { next }
        elsif ( text($record) =~ $UNREAD ) { $result->{known}++ }
        elsif ($is_ours)                   { push @{ $result->{findings} }, text($record) }
        elsif ($is_leak)                   { $result->{others}++ }
        elsif ( grep { $kind eq $_->{kind} && $where =~ $_->{object} } @KNOWN ) {
            $result->{known}++;
        }
        else { push @{ $result->{findings} }, text($record) }
    }
    return;
}

# As valgrind itself would say it, in less space.
sub text {
    my ($record) = @_;
    my @lines = field( $record, 'what' ) || field( $record, 'text' ) || field( $record, 'kind' );
    for my $part ( $record =~ m{(<stack>.*?</stack>|<auxwhat>.*?</auxwhat>)}sg ) {
        push @lines, "  $1" and next if $part =~ m{<auxwhat>(.*?)</auxwhat>}s;
        for my $frame ( $part =~ m{<frame>(.*?)</frame>}sg ) {
            my $where = field( $frame, 'file' );
            $where = $where ? "$where:" . field( $frame, 'line' ) : field( $frame, 'obj' );
            push @lines, sprintf '    %.100s (%s)', field( $frame, 'fn' ) || '?', $where;
        }
    }
    my $text = join "\n", @lines, '';
    my %char = ( lt => '<', gt => '>', amp => '&', quot => '"' );
    $text =~ s/&(\w+);/$char{$1} \/\/ "&$1;"/ge;
    return $text;
}

sub field {
    my ( $xml, $name ) = @_;
    return $xml =~ m{<$name>(.*?)</$name>}s ? $1 : '';
}

sub slurp {
    my ($name) = @_;
    open my $file, '<', $name or die "$name: $!\n";
    local $/;
    return scalar <$file>;
}

1;

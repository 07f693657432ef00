package Memcheck;
use strict;
use warnings;

# Programs under valgrind, with the tool memcheck.
#
# No suppressions are used. Perl itself gives no cause: whatever memcheck finds in the use of memory is a finding,
# whoever is in the stack. Leaks are one when a frame of our library is in the stack that allocated; modules of others
# leak as well. A forked child's leaks are none: what belongs to the parent's threads is lost there by nature.

use Exporter   qw(import);
use File::Temp ();

our @EXPORT_OK = qw(memcheck memcheck_unavailable);

# Deep enough that no frame of ours is cut off.
my @OPTIONS = qw(
  --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=none --num-callers=200
  --fair-sched=yes --error-exitcode=99 --xml=yes --trace-children=yes
);

# Children that are no perl.
my $OTHERS = '*/java,*/sh,*/dash,*/bash,*/env,*/timeout,*/getent';

my $OURS = qr{/ZooKeeper\.so\z};

sub memcheck_unavailable {
    return 'needs valgrind (package valgrind)' if !grep { -x "$_/valgrind" } split /:/, $ENV{PATH};
    return;
}

# Runs a command. Returns a hash ref:
#   status    as $?
#   output    what the command said, on either stream
#   findings  [ text, ... ]
#   others    how many leaks there are without a frame of ours
#   programs  how many programs and forked children were looked at
sub memcheck {
    my (@command) = @_;
    my $dir       = File::Temp->newdir;
    my @valgrind  = ( 'valgrind', @OPTIONS, "--trace-children-skip=$OTHERS", "--xml-file=$dir/%p.xml" );

    # With it perl frees all that it has, at the end; without debugging code it takes no notice.
    local $ENV{PERL_DESTRUCT_LEVEL} = 2;
    my $pid = open( my $pipe, '-|' ) // die "fork: $!\n";
    if ( !$pid ) {
        open STDERR, '>&', \*STDOUT or die $!;
        exec @valgrind, @command or die "valgrind: $!\n";
    }
    my $output = join '', <$pipe>;
    close $pipe;
    my %result = ( status => $?, output => $output, findings => [], others => 0, programs => 0 );
    for my $file ( glob "$dir/*.xml" ) {
        $result{programs}++;
        look_at( slurp($file), \%result );
    }
    return \%result;
}

sub look_at {
    my ( $xml, $result ) = @_;

    # Only who was started, and not forked, has been seen to start.
    my $is_forked = $xml !~ m{<state>RUNNING</state>};
    for my $record ( $xml =~ m{<error>(.*?)</error>}sg ) {
        my $is_leak = field( $record, 'kind' ) =~ /\ALeak_/;
        my $is_ours = grep { $_ =~ $OURS } $record =~ m{<obj>(.*?)</obj>}g;
        next if $is_leak && $is_forked;
        if   ( $is_leak && !$is_ours ) { $result->{others}++ }
        else                           { push @{ $result->{findings} }, text($record) }
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

package ArgumentFuzz;
use strict;
use warnings;

use ArgumentFuzz::Programs;
use FakeZK;
use Fcntl      ();
use File::Temp ();
use IO::Select;
use Time::HiRes qw(time);
use ZooKeeper::Test::Server;

# Calls the product with arguments of all kinds: programs that ArgumentFuzz::Programs makes of two numbers, a seed and
# that of the program. ArgumentFuzz::Worker runs them in a process of its own, so that a crash is a finding and not the
# end. The same numbers make the same program.

# Programs for one process.
my $BATCH = 400;

# Kinds of findings that are shown.
my $ENOUGH = 20;

# Seconds without a word from a process that is at work: it hangs.
my $SILENCE = 60;

my @DISPATCHERS = qw(Pipe Pipe Pipe AnyEvent Mojo IOAsync Interrupt);

# What a process says when it has been broken.
my $BROKEN =
qr/Attempt to free|panicked at|panic:|Assertion|assertion|freed value|Unbalanced|Scalars leaked|corrupt|double free/;

# Assertions of debugperl's own that hold for none: what it says of a value that is undefined, and where it looks for a
# string in one of characters that don't exist.
my $PERLS = qr/S_find_uninit_var: Assertion|Perl_fbm_instr: Assertion/;

# fuzz( hosts => ..., seed => ..., seconds => ... ): runs programs for so many seconds, or "count" of them, from number
# "first" on, so many as "batch" in one process. Returns an object with their "count" and "findings", each a hash ref:
#   case      "SEED.NUMBER"
#   words     what is wrong
#   program   its text
sub fuzz {
    my (%arg) = @_;
    my $self  = bless { hosts => $arg{hosts}, seed => $arg{seed}, findings => [] }, __PACKAGE__;
    my $batch = $arg{batch} // $BATCH;
    my $first = $arg{first} // 0;
    my $end   = time + ( $arg{seconds} // 1e9 );
    my $last  = $first + ( $arg{count} // 1e9 ) - 1;
    my $next  = $first;
    while ( time < $end && $next <= $last ) {
        my $to = $next + $batch - 1;
        $to = $last if $to > $last;
        my $kind = $DISPATCHERS[ $next / $batch % @DISPATCHERS ];
        $next = 1 +
          $self->_batch( $end, dispatcher => $kind, from => $next, to => $to, leaks => $next / $batch % 2 );
    }
    $self->{count} = $next - $first;
    return $self;
}

# For script/fuzz: ( seconds => ..., seed => ... ) or ( replay => "SEED.NUMBER" ). Says what it finds; the exit status.
sub main {
    my (%arg) = @_;
    my $server = ZooKeeper::Test::Server->new;
    my $self;
    binmode STDOUT, ':encoding(UTF-8)';
    if ( defined $arg{replay} ) {
        my ( $seed, $number ) = $arg{replay} =~ /\A([0-9]+)\.([0-9]+)\z/ or die "SEED.NUMBER, please\n";
        my $text = text( $seed, $number );
        print $text;
        $self = run_text( $server->hosts, $text );
        print "$_->{words}\n" for @{ $self->{findings} };
    }
    else {
        my $seed = $arg{seed} // time % 2**31;
        print "seed $seed\n";
        $self = fuzz( hosts => $server->hosts, seed => int $seed, seconds => $arg{seconds} );
        print "$self->{count} programs\n", $self->said;
    }
    return @{ $self->{findings} } ? 1 : 0;
}

# What was found, the same thing once.
sub said {
    my ($self) = @_;
    my ( @said, %seen );
    for my $found ( @{ $self->{findings} } ) {
        my $kind = substr $found->{words} =~ s/[0-9]+/N/gr, 0, 150;
        next if $seen{$kind}++ || @said >= $ENOUGH;
        push @said, "\n$found->{case}: $found->{words}\n$found->{program}";
    }
    return @said;
}

# The text of a program, as it is run.
sub text {
    my ( $seed, $number ) = @_;
    my ( $text, $about )  = ArgumentFuzz::Programs::program( $seed, $number );
    return join( '', map { "# $_\n" } grep { $about->{$_} } sort keys %$about ) . $text;
}

# Runs programs' texts (see ArgumentFuzz::Worker); returns as "fuzz".
sub run_text {
    my ( $hosts, $text, %more ) = @_;
    my $self = bless { hosts => $hosts, seed => 'text', findings => [], text => $text }, __PACKAGE__;
    my $file = File::Temp->new;
    print {$file} $text;
    close $file or die $!;
    $self->_batch( time + $SILENCE, dispatcher => 'Pipe', file => "$file", %more );
    return $self;
}

# Lets a process run programs. Returns the number of the last one.
sub _batch {
    my ( $self, $end, %what ) = @_;
    my $rubbish = FakeZK->new( \&_nonsense );
    my $said    = File::Temp->new;
    pipe my $read, my $write or die "pipe: $!\n";
    my $flags = fcntl $write, Fcntl::F_GETFD(), 0;
    fcntl $write, Fcntl::F_SETFD(), $flags & ~Fcntl::FD_CLOEXEC();
    my $pid = fork // die "fork: $!\n";
    if ( !$pid ) {
        close $read;
        open STDERR, '>&', $said       or die $!;
        open STDOUT, '>&', $said       or die $!;
        open STDIN,  '<',  '/dev/null' or die $!;
        my @include = map { "-I$_" } grep { !ref } @INC;
        exec $^X, @include, '-MArgumentFuzz::Worker', '-e', 'ArgumentFuzz::Worker::main(@ARGV)',
          fd      => fileno $write,
          hosts   => $self->{hosts},
          rubbish => $rubbish->hosts,
          seed    => $self->{seed},
          %what
          or die "$^X: $!\n";
    }
    close $write;
    my ( $at, $done ) = ( $what{from} // 0 );
    my $select = IO::Select->new($read);
    my $buffer = '';
    my $how;
    while (1) {
        if ( !$select->can_read( $ENV{ZOOKEEPER_TEST_UNDER_VALGRIND} ? 20 * $SILENCE : $SILENCE ) ) {
            $how = 'hangs';
            kill ABRT => $pid;
            last;
        }
        sysread( $read, $buffer, 65_536, length $buffer ) or last;
        while ( $buffer =~ s/\A(.*)\n// ) {
            my ( $kind, $rest ) = split / /, $1, 2;
            if    ( $kind eq 'C' ) { $at = $rest }
            elsif ( $kind eq 'E' ) { $done = 1 }
            else                   { $self->_found( split / /, $rest, 2 ) }
        }
        if ( time > $end && !$done ) {
            kill KILL => $pid;
            $how = 'time is over';
            last;
        }
    }
    waitpid $pid, 0;
    my $status = $?;
    my $text   = do { local ( @ARGV, $/ ) = "$said"; <> }
      // '';
    my $case = $what{file} ? 'text' : "$self->{seed}.$at";
    if ( ( $how // '' ) ne 'time is over' && $text !~ $PERLS ) {
        $self->_found( $case, "it hangs: $text" ) if $how;
        $self->_found( $case, "the process ends with status $status: $text" )
          if !$how && ( $status || !$done );
        $self->_found( "$case or before", "the process says: $text" )
          if !$how && !$status && $done && $text =~ $BROKEN;
    }
    return $done ? $what{to} // 0 : $at;
}

sub _found {
    my ( $self, $case, $words ) = @_;
    my ( $seed, $number ) = $case =~ /\A([0-9]+)\.([0-9]+)/;
    my $text = $self->{text} // text( $seed, $number );
    push @{ $self->{findings} }, { case => $case, words => $words, program => $text };
    return;
}

# Grants a session, and answers with lengths and numbers that mean nothing.
sub _nonsense {
    my ($connection) = @_;
    $connection->handshake(2_000) or return;
    my @ends = map { pack 'l>', $_ } 0, 1, -1, -2, 2**31 - 1, -2**31, 7, 65_536;
    while ( defined( my $frame = $connection->frame ) ) {
        my ( $xid, $op ) = unpack 'l> l>', $frame;
        my $nonsense = join '', map { $ends[ rand @ends ] } 1 .. rand 12;
        my $code     = rand(4) < 1 ? -101 : 0;
        my $header   = pack 'l> q> l>', rand(10) < 1 ? int rand 100 : $xid, 1, $code;
        $connection->send_frame( rand(10) < 1 ? $nonsense : "$header$nonsense" );
        last if $op == -11;
    }
    return;
}

1;

package ArgumentFuzz::Worker;
use strict;
use warnings;

use ArgumentFuzz::Programs;
use ArgumentFuzz::Things;
use POSIX        ();
use Scalar::Util qw(blessed weaken);
use Time::HiRes  qw(time);
use ZooKeeper;
use ZooKeeper::Constants;

# Runs programs in a process that may crash. It is told, by name:
#   hosts, rubbish   of a real server and of one that answers nonsense
#   seed, from, to   which programs
#   file             or the texts of some, with a line "# next" between them
#   dispatcher       the kind of the handles
#   leaks            look for leaks, too
# and tells its parent, over this handle, a line each: which program begins, findings, and that it is done.
my $tell;

# Seconds.
my ( $PATIENCE, $REQUEST ) = ( 20, 20 );

# Megabytes that a process may hold that has run some hundred programs, each with a few strings of one.
my $MUCH = 400;

# Programs between two looks at the session, and at what leaks.
my ( $LOOK_EVERY, $LEAKS_EVERY ) = ( 25, 20 );

my ( %arg, $case, $zk, $id, $sane );

# The handle that the program has, if not the common one: the only reference to it is in the program.
my @given;
my ( $own_dispatcher, $is_mine );

# Objects in the program may give undef for a string.
my $calls_objects;

sub main {
    %arg = @_;
    open $tell, '>&=', $arg{fd} or die "fd $arg{fd}: $!\n";
    $ENV{PERL_ZOOKEEPER_DISPATCHER} = 'Pipe';
    @SIG{qw(ALRM USR2)} = ( sub { } ) x 2;                # an alarm may come late
    local $SIG{__WARN__} = \&_warned;
    $ArgumentFuzz::Things::finding = \&_finding;
    $arg{leaks} &&= eval { require Test::LeakTrace; 1 };
    _prepare();

    if ( defined $arg{file} ) {
        my $number = 0;
        for my $text (
            split /^# next\n/m,
            do { local ( @ARGV, $/ ) = $arg{file}; <> }
          )
        {
            $case = 'text.' . ++$number;
            my %about = map { $_ => scalar( $text =~ /^# $_$/m ) } qw(mine rubbish);
            _run( $text, \%about );
            _look();
        }
    }
    else {
        for my $number ( $arg{from} .. $arg{to} ) {
            $case = "$arg{seed}.$number";
            _tell( C => $number );
            my ( $text, $about ) = ArgumentFuzz::Programs::program( $arg{seed}, $number );
            _run( $text, $about );
            _look()       if $number % $LOOK_EVERY == 0 || $number == $arg{to};
            _leaks($text) if $arg{leaks} && !$about->{mine} && $number % $LEAKS_EVERY == 0;
        }
    }
    $_->close for $zk, $sane;
    ( $ArgumentFuzz::Things::stale, $ArgumentFuzz::Things::foreign, $zk, $sane ) = ();
    _tell('E');
    return;
}

sub _tell {
    my @words = @_;
    my $line  = join ' ', @words;
    utf8::encode($line) if utf8::is_utf8($line);
    $line =~ s/([\\\n])/$1 eq "\n" ? '\n' : '\\\\'/ge;
    syswrite $tell, substr( $line, 0, 3_000 ) . "\n";
    return;
}

sub _finding {
    my @words = @_;
    _tell( F => $case, @words );
    return;
}

# What perl says of lists of odd length and the like.
my $PERLS =
qr/isn't numeric in|Malformed UTF-8|\(in cleanup\) (?:Class::XSAccessor|Can't locate object method)|Not a CODE reference|Undefined subroutine .*::absent called|Use of uninitialized value (?:\S+ )?in (?:delete|concatenation)|Use of uninitialized value \$type in|returns its argument for non-Unicode|substr outside of string|Attempt to access disallowed key |Overloaded dereference did not|Use of uninitialized value (?:within \S+ |\S+ )?in (?:anonymous hash|list assignment)|Odd number of elements in hash|Reference found where even-sized|Operation ".+": no method/;

# Warnings are for the program's lines, and of the kind that the manual knows.
sub _warned {
    my ($text)    = @_;
    my $is_broken = $text =~ /Attempt to free|freed|panic|poison|Unbalanced|leaked|corrupt/i;
    return if !$is_broken && $text =~ /fuzz: |Unhandled rejected promise|$ArgumentFuzz::Things::PLACE|$PERLS/;
    return if !$is_broken && $calls_objects && $text =~ /\AUse of uninitialized value/;
    _finding("warned: $text");
    return;
}

sub _handle {
    my ( $hosts, @more ) = @_;
    return ZooKeeper->new(
        hosts           => $hosts,
        dispatcher      => $arg{dispatcher},
        request_timeout => $REQUEST,
        @more
    );
}

sub _prepare {
    ( $zk, $sane ) = map { _handle( $arg{hosts}, $_ ? ( dispatcher => 'Pipe' ) : () ) } 0, 1;
    $_->wait_connected($PATIENCE) for $zk, $sane;
    $id = $zk->client_id->{client_id};
    my $closed = _handle( $arg{hosts}, dispatcher => 'Pipe' );
    $closed->close;
    $ArgumentFuzz::Things::stale   = $closed;
    $ArgumentFuzz::Things::foreign = bless { dispatcher => $zk->dispatcher }, 'Foreign';
    eval { $sane->delete( '/fz', recursive => 1 ) };
    eval { $sane->ensure_path("/fz/$_") } for qw(a/b b c);
    return;
}

# The objects of the program that runs, as it has them.
sub given { return splice @given }

sub call_in_fetch {
    my ($code) = @_;
    return ${ tied_scalar( sub { $code->(); 1 } ) };
}

sub _run {
    my ( $text, $about ) = @_;
    my $program = _compiled($text) // return;
    $calls_objects = $text =~ /overloaded\(|'ZooKeeper::Error'/;
    _begin($about);
    eval { $program->(); 1 } or _program_died($@);
    undef $program;
    _after();
    return;
}

sub _compiled {
    my ($text)  = @_;
    my $program = eval sprintf <<'CODE', $case, $text;
package ArgumentFuzz::Case;
no strict;
no warnings;
use warnings 'ZooKeeper';
use ArgumentFuzz::Things;
use ZooKeeper::Constants;
# line 1 "case %s"
sub { %s }
CODE
    _finding("is no program: $@") if !$program;
    return $program;
}

sub _begin {
    my ($about) = @_;
    $is_mine = $about->{mine};
    my $handle =
        $about->{rubbish} ? _handle( $arg{rubbish}, timeout => 2_000, request_timeout => 1 )
      : $is_mine          ? _handle( $arg{hosts} )
      :                     $zk;
    my $dispatcher = $handle->dispatcher;
    weaken( $own_dispatcher = $dispatcher );
    $ArgumentFuzz::Things::alarms = 0;
    @given                        = ( $handle, $dispatcher, $dispatcher->channel, $is_mine );
    weaken( $given[1] ) if $is_mine && ( $case =~ /[02468]\z/ );
    return;
}

sub _program_died {
    my ($error) = @_;
    return if ref $error || $error =~ /\Afuzz: |\ACan't "(?:last|next|goto)"|\ACan't find label/;
    judged($error);
    return;
}

# Called by the program at its end, when it still has its arguments: takes in all answers, and sees whether each came
# once. Whatever the callbacks die of, the others are called.
sub settle {
    Time::HiRes::setitimer( Time::HiRes::ITIMER_REAL(), 0 );
    my $end  = time + $PATIENCE;
    my $todo = 1;
    while ($todo) {
        _take_in();
        $todo = grep { _is_missed($_) } @ArgumentFuzz::Things::answers;
        $todo += grep { !$_->() } @ArgumentFuzz::Things::futures;
        last if time > $end;
        select undef, undef, undef, 0.002 if $todo;
    }
    for my $record (@ArgumentFuzz::Things::answers) {
        my ( $called, $expected ) = @{$record}{qw(called expected)};
        _finding("an answer came $called times, not $expected")
          if _is_missed($record) || defined $expected && $called > $expected;
        _finding("an answer came $called times") if $record->{must} && $called > 1;
    }
    _finding("$todo answers never came") if $todo;
    ( @ArgumentFuzz::Things::answers, @ArgumentFuzz::Things::futures ) = ();
    return;
}

# The alarm may have ended a callback before it could count.
sub _is_missed {
    my ($record) = @_;
    return $record->{expected} && !$record->{called} && !$ArgumentFuzz::Things::alarms;
}

sub _take_in {
    _settle_promises() if $INC{'Mojo/IOLoop.pm'};
    my $dispatcher = $own_dispatcher // return;
    _fence() if !$is_mine;
    _take_in_of($dispatcher);
    return;
}

sub _take_in_of {
    my ($dispatcher) = @_;
    for my $each ( $dispatcher, $ArgumentFuzz::Things::stale->dispatcher ) {
        my $channel = $each->channel;
        for ( 1 .. 1_000 ) {
            last if !$channel->size;
            eval { $each->dispatch_event; 1 } or judged($@);
        }
    }
    return;
}

# Whatever the dispatcher is, promises call what waits for them from this loop.
sub _settle_promises {
    for ( 1 .. 3 ) {
        Mojo::IOLoop->next_tick( sub { } );    # with nothing to do it would wait
        eval { Mojo::IOLoop->one_tick; 1 } or judged($@);
    }
    return;
}

# Behind its answer there are those to all that was asked before.
sub _fence {
    return if eval { $zk->exists('/'); 1 };
    _finding("the session does not survive: $@");
    return;
}

sub _after {
    splice @given;
    settle();
    eval { $zk->watcher(undef);           1 } or _finding("watcher: $@");
    eval { $zk->ignore_session_events(1); 1 } or _finding("ignore_session_events: $@");
    eval { $zk->remove_watcher($_);       1 } or _finding("remove_watcher: $@") for $zk->get_watchers;
    undef $own_dispatcher if $is_mine;

    my $acl = join ' ', map {
        ref $_ eq 'HASH' ? map { $_ // 'undef' } @{$_}{qw(id scheme perms)} : $_ // 'undef'
    } @{ +ZOO_OPEN_ACL_UNSAFE };
    if ( $acl ne 'anyone world 31' ) {
        _finding("a constant has become $acl");
        @{ +ZOO_OPEN_ACL_UNSAFE } = { id => 'anyone', scheme => 'world', perms => 31 };
    }

    # Watches may be left at the server.
    my $alive = $ArgumentFuzz::Things::alive;
    _finding("$alive functions of the program are still alive") if $alive && !$ArgumentFuzz::Things::alarms;
    $ArgumentFuzz::Things::alive = 0;
    return;
}

sub _look {
    my $ok = eval {
        my $value = "sane $case";
        $sane->ensure_path('/fuzz-sane');
        $sane->set( '/fuzz-sane' => $value );
        $zk->sync('/fuzz-sane');
        my $got = $zk->get('/fuzz-sane');
        $got eq $value or _finding("a sane get brings '$got'");
        1;
    };
    $ok or _finding("a sane get dies: $@");
    my $now = $zk->client_id->{client_id};
    $now == $id or _finding('the session is another one');
    $id = $now;

    # Steps of a call whose promise nobody has kept may still be under way.
    my $end = time + $PATIENCE;
    _take_in_of( $zk->dispatcher ) while $zk->metrics->{in_flight} && time < $end;
    my $count = $zk->metrics->{in_flight};
    _finding("$count requests are never answered") if $count;
    my ($pages) = do { local ( @ARGV, $/ ) = '/proc/self/statm'; <> =~ /\A[0-9]+ ([0-9]+)/ };
    my $mb = $pages * POSIX::sysconf( POSIX::_SC_PAGESIZE() ) / 2**20;
    _finding("the process holds $mb MB") if $mb > $MUCH && !$ENV{ZOOKEEPER_TEST_UNDER_VALGRIND};
    return;
}

# Whether there are more scalars after each run of the program.
sub _leaks {
    my ($text) = @_;
    return if $text =~ /new\( \{/;    # perl itself leaks when a key dies as a string
    my @counts = (0) x 7;
    for my $count (@counts) {
        _run( $text, {} );
        $count = Test::LeakTrace::count_sv();
    }
    my @grown = map { $counts[$_] - $counts[ $_ - 1 ] } 2 .. $#counts;
    _finding("it leaks: @counts") if !grep { $_ <= 0 } @grown;
    return;
}

package ArgumentFuzz::Worker::Gone;
sub new     { return bless [ $_[1] ], $_[0] }
sub DESTROY { $_[0][0]->(); return }

1;

use strict;
use warnings;

use IO::Socket::INET;
use POSIX ();
use Test::More;
use Time::HiRes qw(alarm setitimer sleep time ITIMER_REAL);
use lib 't/lib';
use TestZK;
use ZooKeeper::Error;
use ZooKeeper::XS;

# A server that takes connections and never says a word: calls wait until something else ends them.
my $mute = IO::Socket::INET->new( Listen => 20, LocalAddr => '127.0.0.1' ) or die "listen: $!\n";
my $MUTE = '127.0.0.1:' . $mute->sockport;

# Far more than any of this takes, also where a process stands still for seconds; the session timeout of the handles is
# longer still.
my $SOON = 30;

subtest 'a handler that dies ends the call, at once' => sub {
    my $zk = handle($MUTE);
    local $SIG{ALRM} = sub { die "alarm\n" };
    for my $call (
        [ get            => '/x' ],
        [ set            => '/x', 'y', -1 ],
        [ multi          => [ [ 'delete', '/x' ] ] ],
        [ wait_connected => 60 ]
      )
    {
        my ( $method, @args ) = ( "_$call->[0]", @$call[ 1 .. $#$call ] );
        my $start = time;
        ok !eval { alarm 0.05; $zk->$method(@args); 1 }, "$call->[0] is ended";
        is $@, "alarm\n", 'by the exception of the handler';
        cmp_ok time - $start, '<', $SOON, 'when the signal came';
        is_deeply [ blocked() ], [], 'no signal is left blocked';
    }
    cmp_ok $zk->_state, '<', 3, 'the handle goes on';
};

subtest 'a handler that returns lets the call go on' => sub {
    my $zk    = handle($MUTE);
    my $count = 0;
    local $SIG{ALRM} = sub {
        return if ++$count < 5;
        setitimer( ITIMER_REAL, 0 );
        die "enough\n";
    };
    ok !eval { setitimer( ITIMER_REAL, 0.02, 0.02 ); $zk->_get('/x'); 1 }, 'it waits';
    is $@,     "enough\n", 'until one dies';
    is $count, 5,          'each has run while it waited';
};

subtest 'a handler can call methods of the same handle' => sub {
    my $zk = handle($MUTE);
    my @seen;
    local $SIG{ALRM} = sub {
        push @seen, $zk->_state;
        local $SIG{USR1} = sub { die "inner\n" };
        my $pid = signal_soon('USR1');
        eval { $zk->_get('/inner') };
        push @seen, $@;
        waitpid $pid, 0;
        eval { $zk->_wait_connected(0.05) };
        push @seen, $@->code;
        die "outer\n";
    };
    ok !eval { alarm 0.05; $zk->_get('/outer'); 1 }, 'a call within a call';
    is $@, "outer\n", 'the outer one is ended by its handler';
    cmp_ok $seen[0], '<', 3, 'a method that only asks answers';
    is $seen[1], "inner\n", 'a call is ended by a handler of its own';
    is $seen[2], -4,        'or by its time';
};

subtest 'a handler can destroy or close the handle' => sub {
    my $zk = handle($MUTE);
    local $SIG{ALRM} = sub { undef $zk };
    ok !eval { alarm 0.2; $zk->_get('/x'); 1 }, 'destroyed';
    is $@->code, -116, 'the call is answered ZCLOSING';

    $zk = handle($MUTE);
    $SIG{ALRM} = sub { $zk->_close };
    ok !eval { alarm 0.2; $zk->_get('/x'); 1 }, 'closed';
    is $@->code, -116, 'the call is answered ZCLOSING';
    ok !eval { $zk->_get('/x'); 1 }, 'later calls';
    is $@->code, -9, 'are answered ZINVALIDSTATE';

    $zk = handle($MUTE);
    $SIG{ALRM} =
      sub { $zk->_connect( { hosts => $MUTE, timeout => 60_000, channel => ZooKeeper::Channel->new } ) };
    ok !eval { alarm 0.2; $zk->_get('/x'); 1 }, 'reopened';
    is $@->code, -116, 'the call of the old session is answered ZCLOSING';
};

subtest 'unsafe handlers' => sub {
    my $zk = handle($MUTE);
    my $inner;
    my $die = POSIX::SigAction->new( sub { die "unsafe\n" }, POSIX::SigSet->new );
    POSIX::sigaction( POSIX::SIGALRM(), $die );
    for ( 1 .. 20 ) {
        eval { alarm 0.01; $zk->_get('/x'); 1 } and last;
        $@ eq "unsafe\n" or last;
    }
    is $@, "unsafe\n", 'POSIX::sigaction, 20 times';
    is_deeply [ blocked() ], [], 'no signal is left blocked';

    my $call = POSIX::SigAction->new(
        sub {
            $inner = eval { $zk->_wait_connected(0.05); 1 } // $@->code;
            die "after\n";
        },
        POSIX::SigSet->new
    );
    POSIX::sigaction( POSIX::SIGALRM(), $call );
    ok !eval { alarm 0.2; $zk->_get('/x'); 1 }, 'one that makes a call of its own';
    is $@,     "after\n", 'ends the outer one';
    is $inner, -4,        'after the inner one had its answer';
    POSIX::sigaction( POSIX::SIGALRM(), POSIX::SigAction->new('DEFAULT') );

    my $code = q{
        use Time::HiRes qw(setitimer ITIMER_REAL); use ZooKeeper::XS; use ZooKeeper::Error;
        my $zk = bless {}, 'ZooKeeper';
        $zk->_connect( { hosts => shift, timeout => 60_000, channel => ZooKeeper::Channel->new } );
        $SIG{ALRM} = sub { die "now\n" };
        my $died = 0;
        while ( $died < 100 ) { eval { setitimer( ITIMER_REAL, 0.005 ); $zk->_get('/x'); die "no\n" }; $@ eq "now\n" ? $died++ : last }
        print "$died $@";
    };
    local $ENV{PERL_SIGNALS} = 'unsafe';
    is output( $^X, ( map { "-I$_" } @INC ), '-e', $code, $MUTE ), "100 now\n",
      'PERL_SIGNALS=unsafe, 100 times';
};

subtest 'signals of others' => sub {
    my $zk = handle($MUTE);
    local $SIG{USR1} = 'IGNORE';
    local $SIG{ALRM} = sub { die "end\n" };
    my $pid = signal_soon('USR1');
    ok !eval { alarm 0.3; $zk->_get('/x'); 1 }, 'those that are ignored';
    is $@, "end\n", 'end nothing';
    waitpid $pid, 0;

    is status_of( sub { handle($MUTE)->_get('/x') }, 'TERM' ), 15, 'one without a handler ends the program';
};

subtest 'calls that were ended leave nothing behind' => sub {
    my $zk = handle($MUTE);
    local $SIG{ALRM} = sub { die "alarm\n" };
    my $end = sub {
        for ( 1 .. $_[0] ) {
            eval {
                setitimer( ITIMER_REAL, 0.001 );
                $zk->_create( '/x' x 500, 'data' x 500, [ { id => 'x', scheme => 'y', perms => 1 } ], 0 );
                1;
            } and die;
        }
    };
    $end->(200);
    my $before = resident_kb();
    $end->(800);
    cmp_ok resident_kb() - $before, '<', 1_000, 'memory does not grow';
};

subtest 'with a server' => sub {
    my $reason = ZooKeeper::Test::Server->unavailable;
    plan skip_all => $reason if defined $reason && !$ENV{ZOOKEEPER_TEST_REQUIRE};
    my $server = ZooKeeper::Test::Server->new;
    my $zk     = handle( $server->hosts );
    my $path   = fresh_path('signals');
    $zk->_create( $path, 'data', [ { id => 'anyone', scheme => 'world', perms => 31 } ], 0 );
    my ( @inner, $pid );
    local $SIG{ALRM} = sub {
        $pid = fork // die "fork: $!\n";
        if ( !$pid ) {
            sleep 0.3;
            kill CONT => $server->pid;
            POSIX::_exit(0);
        }
        push @inner, scalar $zk->_get($path);
    };
    $server->pause;
    alarm 0.1;
    is scalar $zk->_get($path), 'data', 'a call with a call in a handler that interrupts it';
    is_deeply \@inner, ['data'], 'both are answered';
    waitpid $pid, 0;

    my $ticks = 0;
    local $SIG{ALRM} = sub { $ticks++ };
    setitimer( ITIMER_REAL, 0.0005, 0.0005 );
    my $wrong = 0;
    my $end   = time + 0.5;
    while ( time < $end || $ticks <= 50 && time < $end + 60 ) {    # it may stand still meanwhile
        $wrong++ if $zk->_get($path) ne 'data';
    }
    setitimer( ITIMER_REAL, 0 );
    is $wrong, 0, 'many calls under many signals';
    cmp_ok $ticks, '>', 50, 'which did come';
};

done_testing;

sub handle {
    my ($hosts) = @_;
    my $zk      = bless {}, 'ZooKeeper';
    $zk->_connect( { hosts => $hosts, timeout => 60_000, channel => ZooKeeper::Channel->new } );
    return $zk;
}

# A child that sends this process a signal in a moment.
sub signal_soon {
    my ($signal) = @_;
    my $parent   = $$;
    my $pid      = fork // die "fork: $!\n";
    return $pid if $pid;
    sleep 0.1;
    kill $signal => $parent;
    POSIX::_exit(0);
}

sub blocked {
    my $set = POSIX::SigSet->new;
    POSIX::sigprocmask( POSIX::SIG_BLOCK(), POSIX::SigSet->new, $set );
    return grep { $set->ismember($_) } 1 .. 31;
}

# How a child that runs the code ends when it gets the signal.
sub status_of {
    my ( $code, $signal ) = @_;
    pipe my $ready, my $tell or die $!;
    my $pid = fork // die "fork: $!\n";
    if ( !$pid ) {
        syswrite $tell, 'x';
        $code->();
        POSIX::_exit(0);
    }
    sysread $ready, my $byte, 1;
    sleep 0.1;
    kill $signal => $pid;
    waitpid $pid, 0;
    return $?;
}

sub output {
    my (@command) = @_;
    open my $pipe, '-|', @command or die "$command[0]: $!\n";
    local $/;
    return scalar readline $pipe;
}

sub resident_kb {
    open my $statm, '<', '/proc/self/statm' or die $!;
    return 4 * ( split ' ', readline $statm )[1];
}

# max_in_flight: so many requests are unanswered at a time. Those that nobody waits for are refused beyond that, and calls
# that wait wait for room, too.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Answers;
use FakeZK;
use TestZK;

use IO::Select;
use IO::Socket::INET;
use POSIX        ();
use Scalar::Util qw(blessed);
use Time::HiRes  qw(setitimer ITIMER_REAL);
use ZooKeeper;
use ZooKeeper::Constants;

my $MAX = 5;

# Answers a request only when no other one comes for a moment, so that it has as many as the client lets go at once.
# Notes how many it had of them whenever there was one more than ever. With hold => 1 it answers $MAX of them whenever
# the function that is returned is called.
sub counting_server {
    my (%arg) = @_;
    pipe my $read, my $write or die "pipe: $!\n";
    my $server = FakeZK->new(
        sub {
            my ($connection) = @_;
            $connection->handshake(60_000) or return;
            my $select = IO::Select->new( $connection->{socket} );
            my ( $most, $may_answer, @unanswered ) = ( 0, 0 );
            $select->add($read) if $arg{hold};
            while (1) {
                my @ready = $select->can_read( @unanswered && ( $may_answer || !$arg{hold} ) ? 0.05 : undef );
                if ( grep { $_ == $read } @ready ) {
                    $may_answer += $MAX * sysread $read, my $bytes, 1;
                    next;
                }
                if ( !@ready ) {
                    $may_answer--;
                    $connection->send_frame( pack 'l> q> l>', shift @unanswered, 1, ZNONODE );
                    next;
                }
                my ( $xid, $op ) = unpack 'l> l>', $connection->frame // return;
                if ( $op == 11 || $op == -11 ) {
                    $connection->send_frame( pack 'l> q> l>', $xid, 1, 0 );
                    next;
                }
                push @unanswered, $xid;
                $connection->note( $most = @unanswered ) if @unanswered > $most;
            }
        }
    );
    return ( $server, sub { syswrite $write, '.' } );
}

# Answers nothing but pings until it is told to reset the connection; the next one gets all answers.
sub silent_server {
    pipe my $read, my $write or die "pipe: $!\n";
    my $server = FakeZK->new(
        sub {
            my ($connection) = @_;
            $connection->handshake(60_000) or return;
            return $connection->serve(ZNONODE) if $connection->number > 1;
            my $select = IO::Select->new( $connection->{socket}, $read );
            while (1) {
                for my $ready ( $select->can_read ) {
                    return $connection->reset if $ready == $read;
                    my ( $xid, $op ) = unpack 'l> l>', $connection->frame // return;
                    $connection->note($op)                                 if $op != 11;
                    $connection->send_frame( pack 'l> q> l>', $xid, 1, 0 ) if $op == 11;
                }
            }
        }
    );
    return ( $server, sub { syswrite $write, '.' } );
}

sub connect_to {
    my ( $server, @args ) = @_;
    my @more = ( timeout => 60_000, dispatcher => 'Pipe', max_in_flight => $MAX );
    return ZooKeeper->new( hosts => $server->hosts, @more, @args );
}

sub error_of {
    my ($code) = @_;
    my $error  = deadline 60, sub {
        eval { $code->(); 1 } ? 'none' : $@;
    };
    return blessed $error && $error->isa('ZooKeeper::Error') ? $error->code : $error;
}

subtest 'requests that nobody waits for' => sub {
    my ( $server, $go ) = counting_server( hold => 1 );
    my $zk = connect_to($server);
    deadline 60, sub { $zk->wait_connected };
    for my $round ( 1 .. 2 ) {
        my $answers = Answers->new;
        $answers->ask( $zk, delete => '/x' ) for 1 .. 4 * $MAX;
        is $answers->answered, 0, 'nothing is answered at the call';
        $go->();
        $answers->wait_for_all( $zk->dispatcher );
        my @told = $answers->told;
        is_deeply [ @told[ 0 .. $MAX - 1 ] ], [ ( 'delete ' . ZNONODE ) x $MAX ], "$MAX are asked";
        is_deeply [ @told[ $MAX .. $#told ] ], [ ( 'delete ' . ZTHROTTLEDOP ) x ( 3 * $MAX ) ],
          'the others are refused';
        my ($refused) = reverse $answers->errors;
        ok $refused->is_retryable, 'and may be asked again';
        like "$refused", qr{\AError deleting node '/x': .*max_in_flight}, 'the error names the limit';
    }
    my $all = Answers->new->ask_all($zk);
    $go->();
    $all->wait_for_all( $zk->dispatcher );
    is scalar( grep { $_ && $_ == ZTHROTTLEDOP } $all->errors ), Answers->all - $MAX,
      'so it is with all commands and forms';
    is_deeply [ $zk->get_watchers ], [],            'no watcher is left';
    is_deeply [ $server->notes ],    [ 1 .. $MAX ], 'the server never had more than that';
};

subtest 'calls that wait' => sub {
    my ($server) = counting_server();
    my $zk = connect_to($server);
    deadline 60, sub { $zk->wait_connected };
    my $answers = Answers->new;
    $answers->ask( $zk, get => '/x' ) for 1 .. $MAX;
    my @told = map {
        error_of( sub { $zk->get('/x') } )
    } 1 .. 3;
    is_deeply \@told, [ (ZNONODE) x 3 ], 'get their answers when there is room';
    $answers->wait_for_all( $zk->dispatcher );
    is_deeply $answers->counts, { 'get ' . ZNONODE, $MAX }, 'the others had theirs';
    cmp_ok + ( $server->notes )[-1], '<=', $MAX, "the server never had more than $MAX";
};

subtest 'calls in handlers of signals' => sub {
    my ($server) = counting_server();
    my $zk = connect_to( $server, max_in_flight => 1 );
    deadline 60, sub { $zk->wait_connected };
    my ( @told, @answers );
    local $SIG{ALRM} = sub {
        setitimer( ITIMER_REAL, @told < 3 ? 0.01 : 0 );
        push @told, eval { $zk->get('/x'); 1 } ? 'found' : $@->code;
        $zk->get( '/x', cb => sub { push @answers, $_[0]->code } );
    };
    setitimer( ITIMER_REAL, 0.01 );
    my @own = map {
        eval { $zk->get('/x'); 1 }
          ? 'found'
          : $@->code
    } 1 .. 10;
    setitimer( ITIMER_REAL, 0 );
    is_deeply [ grep { $_ != ZNONODE } @own, @told ], [], 'are answered, as are those that they interrupt';
    cmp_ok scalar @told, '>=', 1, 'there were some';
    wait_for { $zk->dispatcher->run_loop_once(0.05); @answers == @told } 60, 'the answers';
    is_deeply [ grep { $_ != ZNONODE && $_ != ZTHROTTLEDOP } @answers ], [],
      'what nobody waits for is answered, too, or refused';
    is_deeply [ $server->notes ], [1], 'the server never had more than one';
};

subtest 'a call that waits for room when the connection is lost' => sub {
    my ( $server, $reset ) = silent_server();
    my $zk = connect_to($server);
    deadline 60, sub { $zk->wait_connected };
    my $answers = Answers->new;
    $answers->ask( $zk, set => '/x', 'v' ) for 1 .. $MAX;
    my $seen = 0;
    wait_for { $zk->dispatcher->run_loop_once(0); ( $seen += () = $server->notes ) == $MAX } 60,
      'the requests';

    # It waits for long when the handler runs; or it has not begun, then the handler runs again.
    my $has_reset;
    local $SIG{USR1} = sub { $reset->() if $zk->metrics->{in_flight} > $MAX && !$has_reset++ };
    my $pid = fork // die "fork: $!\n";
    if ( !$pid ) {
        my $parent = getppid;
        while ( getppid == $parent ) {
            sleep 1;
            kill USR1 => $parent;
        }
        POSIX::_exit(0);
    }
    my $error = deadline 60, sub {
        eval { $zk->set( '/x', 'w' ); 1 } ? undef : $@;
    };
    kill KILL => $pid;
    waitpid $pid, 0;
    is 0 + ( $error // 0 ), ZCONNECTIONLOSS, 'is told of the loss';
    ok $error && !$error->maybe_applied, 'and that nothing has been done';
    is $zk->dispatcher->channel->size, $MAX, 'those before it have been told by then';
    $answers->wait_for_all( $zk->dispatcher );
    is_deeply $answers->counts, { 'set ' . ZCONNECTIONLOSS . '?', $MAX }, 'of the same';
    is error_of( sub { $zk->get('/x') } ), ZNONODE, 'there is room again on the next connection';
    is_deeply [ $server->notes ], ['get /x'], 'which has never seen what was waiting for room';
};

subtest 'a call that waits for room for too long' => sub {
    my ($server) = silent_server();
    my $zk = connect_to($server);
    deadline 60, sub { $zk->wait_connected };
    my $answers = Answers->new;
    $answers->ask( $zk, set => '/x', 'v' ) for 1 .. $MAX;
    my $error = deadline 60, sub {
        eval { $zk->set( '/x', 'w', request_timeout => 0.2 ); 1 } ? undef : $@;
    };
    is 0 + ( $error // 0 ), ZOPERATIONTIMEOUT, 'is told so';
    ok $error && !$error->maybe_applied, 'and that nothing has been done';
    is $answers->answered, 0, 'others wait on';
    $zk->get( '/x', cb => sub { push @{ $answers->{refused} }, 0 + $_[0] } );
    wait_for { $zk->dispatcher->run_loop_once(0.05); $answers->{refused} } 60, 'an answer';
    is_deeply $answers->{refused}, [ZTHROTTLEDOP], 'there is still no room';
};

subtest 'what was given up takes room until it is answered' => sub {
    my ($server) = silent_server();
    my $zk = connect_to($server);
    deadline 60, sub { $zk->wait_connected };
    my $answers = Answers->new;
    $answers->ask( $zk, get => '/x', request_timeout => 0.1 ) for 1 .. $MAX;
    $answers->wait_for_all( $zk->dispatcher );
    is_deeply $answers->counts, { 'get ' . ZOPERATIONTIMEOUT, $MAX }, 'given up';
    $answers->ask( $zk, get => '/x' );
    $answers->wait_for_all( $zk->dispatcher );
    is + ( $answers->told )[-1], 'get ' . ZTHROTTLEDOP, 'the server still has them';
};

subtest 'without a connection' => sub {
    pipe my $read, my $write or die "pipe: $!\n";
    my $server = FakeZK->new(
        sub {
            my ($connection) = @_;
            sysread $read, my $byte, 1;
            $connection->handshake(60_000) and $connection->serve(ZNONODE);
        }
    );
    my $zk      = connect_to($server);
    my $answers = Answers->new;
    $answers->ask( $zk, get => '/x' ) for 1 .. $MAX + 3;
    wait_for { $zk->dispatcher->run_loop_once(0); $answers->promises; $answers->answered >= 3 } 60,
      'refusals';
    is_deeply $answers->counts, { 'get never' => $MAX, 'get ' . ZTHROTTLEDOP, 3 },
      "$MAX wait for it, others are refused";
    syswrite $write, '.';
    is error_of( sub { $zk->get('/x') } ), ZNONODE, 'a call waits behind them';
    $answers->wait_for_all( $zk->dispatcher );
    is_deeply $answers->counts, { 'get ' . ZNONODE, $MAX, 'get ' . ZTHROTTLEDOP, 3 },
      'those that waited are answered';
};

subtest 'values' => sub {
    my $dead = IO::Socket::INET->new( LocalAddr => '127.0.0.1', Listen => 1 ) or die $!;
    my @args = ( hosts => '127.0.0.1:' . $dead->sockport, dispatcher => 'Pipe', timeout => 60_000 );
    for my $value ( 0, -1, 0.5, 'many', '', 2**31 ) {
        is error_of( sub { ZooKeeper->new( @args, max_in_flight => $value ) } ), ZBADARGUMENTS,
          "'$value' is refused";
    }
    like error_of( sub { ZooKeeper->new( @args, max_in_flight => [] ) } ),
      qr/max_in_flight must be a number/, 'and a reference';
    my $zk = ZooKeeper->new(@args);
    is $zk->max_in_flight, 10_000, 'by default there are 10,000';
    my %told;
    $zk->get( '/x', cb => sub { $told{ $_[0]->code }++ } ) for 1 .. 10_001;
    wait_for { $zk->dispatcher->run_loop_once(0); %told } 60, 'an answer';
    is_deeply \%told, { ZTHROTTLEDOP, 1 }, 'and one more is refused';
    $zk->close;
    wait_for { $zk->dispatcher->run_loop_once(0); ( $told{ +ZCLOSING } // 0 ) >= 10_000 } 60, 'the end';
    is_deeply \%told, { ZTHROTTLEDOP, 1, ZCLOSING, 10_000 }, 'all others are told of the end';
};

done_testing;

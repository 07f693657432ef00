# Whatever happens to a handle with requests under way, each of them is answered once, in order, with the code for it;
# and an error says whether the request may have been done.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Answers;
use FakeZK;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;
use ZooKeeper::Dispatcher::Pipe;

my $real = test_server();
my $ALL  = Answers->all;

sub all_told { return Answers->all_told(@_) }

# Handshake, and then nothing but pongs. Notes every request.
sub listen_to {
    my ( $connection, $timeout, $count ) = @_;
    $connection->handshake($timeout) or return;
    return listen_on( $connection, $count );
}

# So many requests, or all that come.
sub listen_on {
    my ( $connection, $count ) = @_;
    while ( defined( my $frame = $connection->frame ) ) {
        my ( $xid, $op ) = unpack 'l> l>', $frame;
        if ( $op == 11 ) {
            $connection->send_frame( pack 'l> q> l>', $xid, 1, 0 );
            next;
        }
        $connection->note($op);
        last if $count && !--$count;
    }
    return;
}

sub connect_to {
    my ( $server, @args ) = @_;
    return ZooKeeper->new( hosts => $server->hosts, timeout => 60_000, dispatcher => 'Pipe', @args );
}

# Waits until the server has so many requests. What is asked in a row may be held back until the loop runs.
sub are_sent {
    my ( $server, $count, $zk ) = @_;
    my $notes = 0;
    wait_for {
        $zk->dispatcher->run_loop_once(0);
        ( $notes += () = $server->notes ) >= $count;
    }
    60, 'the requests';
    return;
}

# A server's code can wait until it is told to go on.
sub gate {
    pipe my $read, my $write or die "pipe: $!\n";
    return ( sub { sysread $read, my $byte, 1 }, sub { syswrite $write, '.' } );
}

sub all_are {
    my ( $answers, $expected, $name ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply $answers->counts, $expected, $name;
    ok $answers->is_in_order, 'in the order in which they were asked';
    return;
}

subtest 'close' => sub {
    my $server  = FakeZK->new( sub { listen_to( $_[0] ) } );
    my $zk      = connect_to($server);
    my $answers = Answers->new->ask_all($zk);
    $zk->add_auth( digest => 'u:p', cb => sub { push @{ $answers->{auth} }, @_ } );
    are_sent( $server, $ALL, $zk );
    deadline 60, sub { $zk->close };
    is $answers->answered, 0, 'nobody is called by close itself';
    $answers->wait_for_all( $zk->dispatcher );
    all_are( $answers, all_told( ZCLOSING, 1 ), 'what was under way is told that the handle is closing' );
    is_deeply [ map { 0 + $_ } @{ $answers->{auth} } ], [ZCLOSING], 'add_auth, too';
    is_deeply [ $zk->get_watchers ],                    [],         'no watcher is left';

    my $after = Answers->new->ask_all($zk);
    is $after->answered, 0, 'what is asked afterwards is not answered at the call';
    $after->wait_for_all( $zk->dispatcher );
    all_are( $after, all_told( ZINVALIDSTATE, 0 ), 'but by the loop' );
    is $zk->dispatcher->channel->size, 0, 'and that is all';
};

subtest 'close, while there is no connection' => sub {
    my ( $wait, $go ) = gate();
    my $server  = FakeZK->new( sub { $wait->() } );
    my $zk      = connect_to($server);
    my $answers = Answers->new->ask_all($zk);
    deadline 60, sub { $zk->close };
    $answers->wait_for_all( $zk->dispatcher );
    all_are( $answers, all_told( ZCLOSING, 0 ), 'nothing of it can have been done' );
};

subtest 'destruction' => sub {
    my $server     = FakeZK->new( sub { listen_to( $_[0] ) } );
    my $dispatcher = ZooKeeper::Dispatcher::Pipe->new;
    my $zk         = connect_to( $server, dispatcher => $dispatcher );

    # The server has one connection at a time. That is to be this one's.
    deadline 60, sub { $zk->wait_connected };
    my $other    = connect_to( $server, dispatcher => $dispatcher );
    my $not_gone = Answers->new->ask_all($other);
    my $answers  = Answers->new->ask_all($zk);
    are_sent( $server, $ALL, $zk );
    deadline 60, sub { undef $zk };
    my $at_once = grep { !/never/ } $answers->told;
    $answers->promises;
    all_are( $answers, all_told( ZCLOSING, 1 ), 'everybody is told' );
    cmp_ok $at_once, '>=', $ALL * 2 / 3, 'at once, but for what promises call';
    $answers->promises;
    is $not_gone->answered, 0, 'other handles of the dispatcher are not concerned';
    undef $other;
    $not_gone->promises;
    is $not_gone->answered, $ALL, 'until they go';
    is_deeply [ $dispatcher->get_watchers ], [], 'no watcher is left';
    is $dispatcher->channel->size, 0, 'nor anything else';
};

subtest 'destruction with answers that have come and were not taken' => sub {
    my $server     = FakeZK->new( sub { $_[0]->handshake and $_[0]->serve(ZNONODE) } );
    my $dispatcher = ZooKeeper::Dispatcher::Pipe->new;
    my $zk         = connect_to( $server, dispatcher => $dispatcher );
    my $answers    = Answers->new;
    $answers->ask( $zk, get => '/x' ) for 1 .. 30;
    wait_for { $dispatcher->channel->size >= 30 } 60, 'the answers';
    undef $zk;
    $answers->promises;
    all_are( $answers, { 'get ' . ZNONODE, 30 }, 'those are what is told' );
    is $dispatcher->channel->size, 0, 'once';
};

subtest 'reopen' => sub {
    my $server = FakeZK->new(
        sub {
            my ($connection) = @_;
            return listen_to($connection) if $connection->number == 1;
            $connection->handshake and $connection->serve(ZNONODE);
        }
    );
    my $zk      = connect_to($server);
    my $answers = Answers->new->ask_all($zk);
    are_sent( $server, $ALL, $zk );
    deadline 60, sub { $zk->reopen };
    my $later = Answers->new;
    $later->ask( $zk, get => '/x' ) for 1 .. 9;
    $later->wait_for_all( $zk->dispatcher );
    all_are(
        $answers,
        all_told( ZCLOSING, 1 ),
        'what the former session was asked is told that it was closed'
    );
    all_are( $later, { 'get ' . ZNONODE, 9 }, 'the new one answers what it was asked, and later' );
    is_deeply [ $zk->get_watchers ], [], 'no watcher is left';
};

subtest 'the session has expired' => sub {
    my ( $wait,  $go )    = gate();
    my ( $reset, $do_it ) = gate();
    my $server = FakeZK->new(
        sub {
            my ($connection) = @_;
            if ( $connection->number == 1 ) {
                listen_to( $connection, 60_000, $ALL );
                $reset->();
                return $connection->reset;
            }
            $connection->frame;
            $wait->();
            $connection->send_frame( pack 'N N q> N/a* C', 0, 0, 0, "\0" x 16, 0 );
            $connection->frame;
        }
    );
    my $zk      = connect_to($server);
    my $answers = Answers->new->ask_all($zk);
    are_sent( $server, $ALL, $zk );
    $do_it->();
    $answers->wait_for_all( $zk->dispatcher );
    all_are( $answers, all_told( ZCONNECTIONLOSS, 1 ), 'what was sent is lost with the connection' );

    my $waiting = Answers->new->ask_all($zk);
    is $waiting->answered, 0, 'what is asked without a connection waits for one';
    $go->();
    $waiting->wait_for_all( $zk->dispatcher );
    all_are( $waiting, all_told( ZSESSIONEXPIRED, 0 ), 'and is told of the expiry' );

    my $later = Answers->new->ask_all($zk);
    $later->wait_for_all( $zk->dispatcher );
    all_are( $later, all_told( ZSESSIONEXPIRED, 0 ), 'as is what comes later' );
    is_deeply [ $zk->get_watchers ], [], 'no watcher is left';
};

subtest 'a real server ends the session' => sub {
    my $zk = connect_to( $real, hosts => $real->hosts . '/none', timeout => 10_000 );    # no node is there
    deadline 60, sub { $zk->wait_connected };
    my $answers = Answers->new->ask_all($zk);
    $zk->dispatcher->run_loop_once(1);
    $answers->ask_all($zk) for 1 .. 10;
    $real->expire_session( $zk, 60 );
    $answers->ask_all($zk) for 1 .. 10;
    $answers->wait_for_all( $zk->dispatcher );
    ok $answers->is_in_order, 'all are answered, in order';
    my %allowed = map { $_ => 1 } ZOK, ZCONNECTIONLOSS, ZSESSIONEXPIRED, ZNONODE, ZNODEEXISTS;
    is_deeply [ grep { !/ (-?\d+)\??\z/ || !$allowed{$1} } $answers->told ], [], 'with what may be, and once';
    wait_for { $zk->is_unrecoverable } 60, 'the expiry';
    my $later = Answers->new->ask_all($zk);
    $later->wait_for_all( $zk->dispatcher );
    all_are( $later, all_told( ZSESSIONEXPIRED, 0 ), 'later ones are told of the expiry' );
    is_deeply [ $zk->get_watchers ], [], 'no watcher is left';
};

subtest 'authentication is refused' => sub {
    my $server = FakeZK->new(
        sub {
            my ($connection) = @_;
            $connection->handshake or return;
            while ( defined( my $frame = $connection->frame ) ) {
                my ( $xid, $op ) = unpack 'l> l>', $frame;
                $connection->send_frame( pack 'l> q> l>', $xid, 1, ZAUTHFAILED ) if $op == 100;
            }
        }
    );
    my $zk = connect_to($server);
    deadline 60, sub { $zk->wait_connected };    # what is asked before would stand behind the authentication
    my $answers = Answers->new->ask_all($zk);
    my $auth    = Answers->new;
    $auth->ask( $zk, add_auth => digest => 'u:p' ) for 1 .. 3;
    $_->wait_for_all( $zk->dispatcher ) for $answers, $auth;
    all_are( $auth,    { 'add_auth ' . ZAUTHFAILED, 3 }, 'add_auth is told' );
    all_are( $answers, all_told( ZAUTHFAILED, 1 ),       'so is what was under way' );
    my $later = Answers->new->ask_all($zk);
    $later->ask( $zk, add_auth => digest => 'u:p' );
    $later->wait_for_all( $zk->dispatcher );
    all_are(
        $later,
        { %{ all_told( ZAUTHFAILED, 0 ) }, 'add_auth ' . ZAUTHFAILED, 1 },
        'and what comes later'
    );
};

subtest 'the connection is lost' => sub {
    my $server = FakeZK->new(
        sub {
            my ($connection) = @_;
            if ( $connection->number == 1 ) {
                listen_to( $connection, 60_000, $ALL );
                return $connection->reset;
            }
            $connection->handshake and $connection->serve(ZNONODE);
        }
    );
    my $zk      = connect_to($server);
    my $answers = Answers->new->ask_all($zk);
    $answers->wait_for_all( $zk->dispatcher );
    all_are( $answers, all_told( ZCONNECTIONLOSS, 1 ), 'all are told; writes may have been done' );
    my $later = Answers->new;
    $later->ask( $zk, get => '/x' ) for 1 .. 9;
    $later->wait_for_all( $zk->dispatcher );
    all_are( $later, { 'get ' . ZNONODE, 9 }, 'later ones get the answers of the next connection' );
};

subtest 'authentication outlives the connection' => sub {
    my $server = FakeZK->new(
        sub {
            my ($connection) = @_;
            if ( $connection->number == 1 ) {
                listen_to( $connection, 60_000, 3 );
                return $connection->reset;
            }
            $connection->handshake and $connection->serve(ZNONODE);
        }
    );
    my $zk   = connect_to($server);
    my $auth = Answers->new;
    $auth->ask( $zk, add_auth => digest => "u$_:p" ) for 1 .. 3;
    $auth->wait_for_all( $zk->dispatcher );
    all_are( $auth, { 'add_auth 0' => 3 }, 'the next connection is asked again, and answers' );
};

subtest 'the connection is lost with most of the requests not yet sent' => sub {
    my ( $wait, $go ) = gate();
    my $server = FakeZK->new(
        sub {
            my ($connection) = @_;
            $connection->handshake(60_000) or return;
            $connection->note('one') if defined $connection->frame;
            $wait->();
            $connection->reset;
        }
    );
    my $zk      = connect_to($server);
    my $answers = Answers->new;
    my $data    = 'x' x 500_000;
    $zk->wait_connected;
    $answers->ask( $zk, set => '/x', $data ) for 1 .. 100;
    are_sent( $server, 1, $zk );
    $go->();
    $answers->wait_for_all( $zk->dispatcher );
    ok $answers->is_in_order, 'in order';
    my @told = $answers->told;
    is $told[0],  'set ' . ZCONNECTIONLOSS . '?', 'the first one may have been done';
    is $told[-1], 'set ' . ZCONNECTIONLOSS,       'the last one surely was not';
    like join( '', map { /\?/ ? '?' : '.' } @told ), qr/\A\?+\.+\z/, 'nor any behind the first of those';
    is_deeply [ map { $_->is_retryable ? 1 : 0 } ( $answers->errors )[ 0, -1 ] ], [ 0, 1 ],
      'which tells what may be asked again';
};

subtest 'there never was a connection' => sub {
    my $zk =
      ZooKeeper->new( hosts => '127.0.0.1:1', timeout => 1_500, request_timeout => 60, dispatcher => 'Pipe' );
    my $answers = Answers->new->ask_all($zk);
    $answers->ask( $zk, add_auth => digest => 'u:p' ) for 1 .. 3;
    $answers->wait_for_all( $zk->dispatcher, 30 );
    all_are(
        $answers,
        { %{ all_told( ZCONNECTIONLOSS, 0 ) }, 'add_auth ' . ZCONNECTIONLOSS, 3 },
        'all are told so after the session timeout'
    );
    is_deeply [ $zk->get_watchers ], [], 'no watcher is left';
};

subtest 'the server does not even answer the handshake' => sub {
    my ($wait)  = gate();
    my $server  = FakeZK->new( sub { $wait->() } );
    my $zk      = connect_to( $server, timeout => 1_500, request_timeout => 60 );
    my $answers = Answers->new->ask_all($zk);
    $answers->wait_for_all( $zk->dispatcher, 30 );
    all_are( $answers, all_told( ZCONNECTIONLOSS, 0 ), 'all are told so after the session timeout' );
};

subtest 'the server stalls' => sub {
    my $has_stalled;
    my $server = FakeZK->new(
        sub {
            my ($connection) = @_;
            $connection->handshake(3_000) or return;
            return $connection->serve(ZNONODE) if $has_stalled;

            # Not even pongs. Whoever has asked for nothing may have been given up before it could.
            while ( defined( my $frame = $connection->frame ) ) {
                $has_stalled = 1 if 11 != unpack 'x4 l>', $frame;
            }
        }
    );
    my $zk = connect_to( $server, timeout => 3_000, request_timeout => 60 );
    deadline 60, sub { $zk->wait_connected(60) };
    my $answers = Answers->new->ask_all($zk);
    $answers->wait_for_all( $zk->dispatcher, 30 );
    all_are( $answers, all_told( ZCONNECTIONLOSS, 1 ), 'the connection is given up, and all are told' );
    $answers = Answers->new;
    $answers->ask( $zk, get => '/x' ) for 1 .. 9;
    $answers->wait_for_all( $zk->dispatcher );
    all_are( $answers, { 'get ' . ZNONODE, 9 }, 'another one answers' );
};

subtest 'a handle that is closed, lost and closed again from within callbacks' => sub {
    my $server = FakeZK->new( sub { $_[0]->handshake and $_[0]->serve(ZNONODE) } );
    my $zk     = connect_to($server);
    my @told;
    for my $n ( 1 .. 20 ) {
        $zk->get( '/x', cb => sub { push @told, "$n " . $_[0]->code; $zk->close if $n == 10 } );
    }
    deadline 60, sub { $zk->dispatcher->run_loop_once(1) while @told < 20 };
    is_deeply [ map { /\A(\d+)/ } @told ], [ 1 .. 20 ], 'all are told, in order';
    is_deeply [ grep { !/ (?:@{[ ZNONODE ]}|@{[ ZCLOSING ]})\z/ } @told ], [],
      'that there is no node, or of the end';

    $zk   = connect_to($server);
    @told = ();
    for my $n ( 1 .. 20 ) {
        $zk->get( '/x', cb => sub { push @told, "$n " . $_[0]->code; undef $zk if $n == 10 } );
    }
    my $dispatcher = $zk->dispatcher;
    deadline 60, sub { $dispatcher->run_loop_once(1) while @told < 20 };
    is_deeply [ map { /\A(\d+)/ } @told ], [ 1 .. 20 ], 'likewise when the handle goes';
    is $dispatcher->channel->size, 0, 'nothing is left';
};

done_testing;

use strict;
use warnings;
use Test::More;
use lib 't/lib';
use FakeZK;
use TestZK;

use Time::HiRes ();
use ZooKeeper;
use ZooKeeper::Constants;

my $acl = ZOO_OPEN_ACL_UNSAFE;

# Every call must end by itself: by the session timeout, long before this. (That is also the limit of a request here: when
# both are over, for the process has stood still, its own is what a call dies of.)
my $LIMIT = 60;

subtest 'nobody listens' => sub {
    my $zk = ZooKeeper->new(
        hosts           => '127.0.0.1:1',
        timeout         => 600,
        request_timeout => $LIMIT,
        dispatcher      => 'Pipe'
    );
    my @calls = (
        [ create       => '/x' ],
        [ get          => '/x' ],
        [ get          => '/x', watcher => sub { } ],
        [ set          => '/x', 'v' ],
        [ get_children => '/x' ],
        [ set_acl      => '/x', $acl ],
        ['wait_connected'],
    );
    for my $call (@calls) {
        my ( $method, @args ) = @$call;
        my $line = __LINE__ + 1;
        ok !eval {
            deadline $LIMIT, sub { $zk->$method(@args) };
            1;
        }, "$method ends";
        my $error = $@;
        ok ref $error                 && $error == ZCONNECTIONLOSS, 'with connection loss' or diag $error;
        ok $error->is_connection_loss && $error->is_retryable,      'it may be tried again';
        ok !$error->maybe_applied, 'surely nothing was done';
    }
    is_deeply [ $zk->get_watchers ], [], 'no watcher is kept';
    is $zk->state, ZOO_CONNECTING_STATE, 'the handle goes on trying';
    ok !eval { $zk->wait_connected(0.05); 1 }, 'wait_connected, with a limit of its own';
    is $@->code,                                     ZCONNECTIONLOSS, 'throws as a call would';
    is eval { $zk->add_auth( 'digest', 'a:b' ); 1 }, 1,               'add_auth does not wait';
};

subtest 'a server that does not answer the handshake' => sub {
    my $silent = FakeZK->new( sub { $_[0]->frame; $_[0]->frame } );
    my $zk     = ZooKeeper->new(
        hosts           => $silent->hosts,
        timeout         => 600,
        request_timeout => $LIMIT,
        dispatcher      => 'Pipe'
    );
    ok !eval {
        deadline $LIMIT, sub { $zk->exists('/x') };
        1;
    }, 'a call ends';
    is $@->code, ZCONNECTIONLOSS, 'with connection loss';
    ok !$zk->is_connected, 'is_connected';
};

subtest 'a server that falls silent' => sub {
    my $silent = FakeZK->new( sub { $_[0]->handshake(1_000); 1 while defined $_[0]->frame } );
    my $zk     = ZooKeeper->new(
        hosts           => $silent->hosts,
        timeout         => 1_000,
        request_timeout => $LIMIT,
        dispatcher      => 'Pipe'
    );
    deadline $LIMIT, sub { $zk->wait_connected($LIMIT) };
    ok !eval {
        deadline $LIMIT, sub { $zk->get('/x') };
        1;
    }, 'a read ends';
    is $@->code, ZCONNECTIONLOSS, 'with connection loss';
    ok !$@->maybe_applied, 'it has changed nothing';
    ok $@->is_retryable,   'and may be tried again';
    my $end = time + $LIMIT;
    my $done;
    do {    # where there is no connection for so long, it ends as well, but was not sent
        deadline $LIMIT, sub { $zk->wait_connected($LIMIT) };
        $done = eval {
            deadline $LIMIT, sub { $zk->set( '/x', 'v' ) };
            1;
        };
    } until $done || !ref $@ || !$@->is_retryable || time > $end;
    ok !$done, 'a write ends';
    is $@->code, ZCONNECTIONLOSS, 'with connection loss';
    ok $@->maybe_applied, 'it may have been done';
    ok !$@->is_retryable, 'so it must not simply be tried again';
};

subtest 'request_timeout' => sub {
    my $slow = FakeZK->new(
        sub {
            my ($connection) = @_;
            $connection->handshake or return;
            my @held;
            while ( defined( my $frame = $connection->frame ) ) {
                my ( $xid, $op ) = unpack 'l> l>', $frame;
                if ( $op == 11 ) { $connection->send_frame( pack 'l> q> l>', $xid, 1, 0 ); next }
                push @held, $xid;
                next if @held < 2;    # answers the first request when there is a second one
                $connection->send_frame( pack 'l> q> l>', $_, 1, ZNONODE ) for splice @held;
            }
        }
    );
    my $zk = ZooKeeper->new( hosts => $slow->hosts, request_timeout => 0.3, dispatcher => 'Pipe' );
    is $zk->request_timeout, 0.3, 'in seconds';
    deadline $LIMIT, sub { $zk->wait_connected };
    ok !eval {
        deadline $LIMIT, sub { $zk->get('/x') };
        1;
    }, 'a call ends';
    is $@->code,   ZOPERATIONTIMEOUT,   'with operation timeout';
    is $zk->state, ZOO_CONNECTED_STATE, 'the connection stays';
    ok !eval {
        deadline $LIMIT, sub { $zk->get( '/y', request_timeout => $LIMIT ) };
        1;
    }, 'the next call, which has time';
    is $@->code, ZNONODE, 'gets its own answer';
};

done_testing;

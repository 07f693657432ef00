# From a read-only server back to one that can write, without anybody's doing.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use FakeZK;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server( servers => 3, read_only => 1 );
my $base   = fresh_path('search');
my @args   = ( timeout => 30_000, dispatcher => 'Pipe', read_only => 1 );

# A call that is repeated while there is no connection, or none to a server that can write.
sub persist {
    my ( $code, $what ) = @_;
    my @result;
    wait_for {
        eval { @result = $code->(); 1 } || ( $@->is_retryable || $@->is_connection_loss ? 0 : die $@ )
    }
    120, $what // 'a call';
    return wantarray ? @result : $result[0];
}

# The quorum is gone, and what is left is read-only.
sub alone {
    my ($left) = @_;
    $server->stop($_) for grep { $_ != $left } 0 .. 2;
    wait_for { ( $server->mode($left) // '' ) eq 'read-only' } 120, 'a server to be read-only';
    return;
}

subtest 'a session survives the time without a quorum, and goes back to it by itself' => sub {
    my ( @session, @seen );
    my $zk = ZooKeeper->new( @args, hosts => $server->hosts, watcher => sub { push @session, $_[0]{state} } );
    persist( sub { $zk->ensure_path("$base/mine") } );
    persist( sub { $zk->create( "$base/ephemeral", ephemeral => 1, value => 'v' ) } );
    my $id = $zk->client_id;
    persist( sub { $zk->get( "$base/mine", watcher => sub { push @seen, @_ } ) } );
    alone(2);
    wait_for { $zk->wait(0.1); $zk->state == ZOO_READONLY_STATE } 120, 'the read-only state';
    is $server->server_of($zk), 2, 'connected to the one that is left';
    ok $zk->is_connected, 'is_connected';
    is persist( sub { scalar $zk->get("$base/ephemeral") } ), 'v', 'reads';
    ok !eval { $zk->set( "$base/mine", 'w' ); 1 }, 'a write';
    is 0 + $@, ZNOTREADONLY, 'is refused';
    ok $@->is_retryable && !$@->maybe_applied, 'and surely was not done';
    ok !eval { $zk->transaction->set( "$base/mine", 'w' )->commit; 1 }, 'a transaction';
    is 0 + $@, ZNOTREADONLY, 'likewise';
    is_deeply $zk->client_id, $id, 'client_id is that of the real session';

    $server->start($_) for 0, 1;
    wait_for { $zk->wait(0.1); $zk->state == ZOO_CONNECTED_STATE } 120, 'a server that can write';
    is_deeply $zk->client_id, $id, 'the session is the same';
    is persist( sub { $zk->exists("$base/ephemeral") } )->{ephemeralOwner}, $id->{client_id},
      'its ephemeral node is there';
    is_deeply \@seen, [], 'no watcher was called';
    persist( sub { $zk->set( "$base/mine", 'changed' ) } );
    wait_for { $zk->wait(1); @seen } 60, 'the event';
    is $seen[0]{type}, ZOO_CHANGED_EVENT, 'watches are armed';
    ok( ( grep { $_ == ZOO_READONLY_STATE } @session ), 'the default watcher has heard of it' );
    is $session[-1], ZOO_CONNECTED_STATE, 'and of the return';
    $zk->close;
};

# A server that thinks that it is alone, as one that is cut off from the others, and one that says "rw".
sub read_only_server {
    my (%arg) = @_;
    return FakeZK->new(
        sub {
            my ($connection) = @_;
            my $first = $connection->_bytes(4) // return;
            if ( $first eq 'isro' ) {
                $connection->note('isro');
                return $connection->send( $arg{isro} // 'ro' );
            }
            my $request = $connection->_bytes( unpack 'N', $first ) // return;
            my ( undef, undef, undef, $id ) = unpack 'N q> N q>', $request;
            $connection->note("session $id");
            $connection->send_frame( pack 'N N q> N/a* C', 0, 10_000, $id || 0x5555, 'p' x 16, 1 );
            $connection->serve(ZNONODE);
        }
    );
}

subtest 'the search: a server of the list that can write is found and taken' => sub {
    my $fake = read_only_server();
    my @seen;
    my $zk = ZooKeeper->new( @args, hosts => $fake->hosts, watcher => sub { push @seen, $_[0]{state} } );
    $zk->wait_connected;
    is $zk->state,      ZOO_READONLY_STATE, 'read-only at first';
    ok !$zk->client_id, 'what such a server calls the session is no client_id';
    is $zk->metrics->{reconnects}, 0, 'there is no other server to be asked';
    $zk->exists( "$base/mine", watcher => sub { push @seen, 'created' } );

    # The list gets a second one, which does not take part: it may stay or go at once, by chance.
    $zk->set_hosts( join ',', $fake->hosts, $server->hosts(0), '127.0.0.1:1', 'no-such-host.invalid:2181' );
    wait_for { $zk->wait(0.1); $zk->state == ZOO_CONNECTED_STATE } 60, 'a server that can write';
    is $server->server_of($zk), 0, 'it is the one';
    ok $zk->client_id, 'it gives a session of its own';
    isnt $zk->client_id->{client_id}, 0x5555, 'the read-only one is forgotten';
    wait_for { $zk->wait(1); $seen[-1] eq 'created' } 60, 'the watch, which is armed there and finds the node';
    is $zk->exists("$base/mine")->{version}, 1, 'calls work';
    ok !( grep { /isro/ } $fake->notes ), 'the server itself was not asked';
    $zk->close;
};

subtest 'a session of servers that can write keeps its id' => sub {
    my $fake  = read_only_server();
    my $owner = ZooKeeper->new( @args, hosts => $server->hosts(0) );
    $owner->wait_connected;
    my $id = $owner->client_id;
    $owner->close( keep => 1 );
    my $zk = ZooKeeper->new( @args, hosts => $fake->hosts, client_id => $id );
    $zk->wait_connected;
    is $zk->state, ZOO_READONLY_STATE, 'read-only';
    is_deeply [ $fake->notes ], ["session $id->{client_id}"], 'it shows its id';
    $zk->set_hosts( join ',', $fake->hosts, $server->hosts(0) );
    wait_for { $zk->state == ZOO_CONNECTED_STATE } 60, 'a server that can write';
    is_deeply $zk->client_id, $id, 'it is the same session';
};

subtest 'servers that can not write either are left alone' => sub {
    my $here = read_only_server();
    for my $answer ( 'ro', 'null', '', 'rwx', "x" x 100, 'not in the whitelist' ) {
        my $other = read_only_server( isro => $answer );
        my $zk    = ZooKeeper->new( @args, hosts => $here->hosts );
        $zk->wait_connected;

        # By chance it moves to the other one at once: then that one is asked nothing, and the first is.
        my ( $at, @notes ) = ( $here->hosts );
        $zk->set_hosts( join ',', $here->hosts, $other->hosts );
        wait_for { @notes = grep { $_ eq 'isro' } $here->notes, $other->notes } 60, 'a question';
        $zk->wait_connected;
        is $zk->state, ZOO_READONLY_STATE, "'$answer' is no reason to move";
        $zk->close;
    }
};

subtest 'without read_only such servers are no servers' => sub {
    my $fake = read_only_server();
    my $zk   = ZooKeeper->new(
        hosts      => join( ',', $fake->hosts, $server->hosts(0) ),
        timeout    => 30_000,
        dispatcher => 'Pipe'
    );
    is $zk->exists("$base/mine")->{version}, 1, 'the other one is taken';
    is $server->server_of($zk), 0, 'which can write';
};

done_testing;

# From a read-only server back to one that can write, without anybody's doing.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use FakeZK;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

# A server that is read-only can only start sessions that are its own.
my $server = test_server(
    servers   => 3,
    read_only => 1,
    config    => { localSessionsEnabled => 'true', localSessionsUpgradingEnabled => 'true' }
);
my $base = fresh_path('search');
my @args = ( timeout => 30_000, dispatcher => 'Pipe', read_only => 1 );

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

subtest 'without a quorum' => sub {
    my ( @session, @seen );
    my $zk = ZooKeeper->new( @args, hosts => $server->hosts );
    persist( sub { $zk->ensure_path("$base/mine") } );
    persist( sub { $zk->create( "$base/ephemeral", ephemeral => 1, value => 'v' ) } );
    my $id = $zk->client_id;
    persist(
        sub {
            $zk->get( "$base/mine", watcher => sub { push @seen, 'of the elder one' } );
        }
    );
    my $left = ZooKeeper->new( @args, hosts => $server->hosts(2) );
    persist( sub { $left->sync('/') } );    # else it may lack what the others have written
    $left->close;
    alone(2);
    my $new =
      ZooKeeper->new( @args, hosts => $server->hosts, watcher => sub { push @session, $_[0]{state} } );
    wait_for { $new->wait(0.1); $new->state == ZOO_READONLY_STATE } 120, 'the read-only state';
    is $server->server_of($new), 2, 'a new session begins on the one that is left';
    ok $new->is_connected, 'is_connected';
    ok !$new->client_id,   'it has no client_id: nobody else knows it';
    is persist( sub { scalar $new->get("$base/ephemeral") } ), 'v', 'it can read';
    persist(
        sub {
            $new->exists( "$base/mine", watcher => sub { push @seen, 'of the new one' } );
        }
    );
    for my $write (
        sub { $new->set( "$base/mine", 'w' ) },
        sub { $new->create("$base/other") },
        sub { $new->transaction->set( "$base/mine", 'w' )->commit }
      )
    {
        ok !eval { $write->(); 1 }, 'a write';
        is 0 + $@, ZNOTREADONLY, 'is refused';
        ok $@->is_retryable && !$@->maybe_applied, 'and surely was not done';
    }
    is_deeply $zk->client_id, $id, 'an elder session keeps its client_id';
    ok !$zk->is_unrecoverable, 'and is not over, though such a server does not take it';

    $server->start($_) for 0, 1;
    for my $handle ( $zk, $new ) {
        wait_for { $handle->wait(0.1); $handle->state == ZOO_CONNECTED_STATE } 120, 'a server that can write';
    }
    is_deeply $zk->client_id, $id, 'with the quorum the elder session goes on';
    is persist( sub { $zk->exists("$base/ephemeral") } )->{ephemeralOwner}, $id->{client_id},
      'with its ephemeral node';
    ok $new->client_id, 'and the new one becomes one that others know';
    is_deeply \@seen, [], 'no watcher was called';
    persist( sub { $new->set( "$base/mine", 'changed' ) } );
    wait_for { $_->wait(0.1) for $zk, $new; @seen == 2 } 60, 'the events';
    is_deeply [ sort @seen ], [ 'of the elder one', 'of the new one' ], 'the watches of both are armed';
    wait_for { $new->wait(0.1); $session[-1] == ZOO_CONNECTED_STATE } 60, 'the event';
    is $session[0], ZOO_READONLY_STATE,
      'the default watcher has heard of the read-only state, and of its end';
    $_->close for $zk, $new;
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

# A handle that has found the read-only one of these servers first, as chance will have it soon.
sub reading_first {
    my (%arg) = @_;
    for ( 1 .. 100 ) {
        my $zk = ZooKeeper->new( @args, %arg );
        $zk->wait_connected(60);
        return $zk if $zk->state == ZOO_READONLY_STATE;
        $zk->close( keep => 1 );
    }
    die "no handle has found the read-only server\n";
}

subtest 'the search: a server of the list that can write is found and taken' => sub {
    my $fake = read_only_server();
    my $name = 'localhost:' . $server->port(1);                                       # which takes a resolver
    my @list = ( $fake->hosts, $name, '127.0.0.1:1', 'no-such-host.invalid:2181' );
    my ( @session, @seen );
    my ( $zk,      $id );

    # On a busy machine it may have moved on before it is asked.
    wait_for {
        @session = ();
        $zk = reading_first( hosts => join( ',', @list ), watcher => sub { push @session, $_[0]{state} } );
        $id = $zk->client_id;
        !$zk->exists( "$base/mine", watcher => sub { push @seen, $_[0]{type} } );
    }
    60, 'an answer of the read-only server';
    ok !$id, 'what a read-only server calls the session is no client_id';
    wait_for { $zk->wait(0.1); $zk->state == ZOO_CONNECTED_STATE } 60, 'a server that can write';
    is $zk->server,                $name, 'it is the one';
    is $zk->metrics->{reconnects}, 1,     'and no other was tried meanwhile';
    ok $zk->client_id, 'it gives a session of its own';
    isnt $zk->client_id->{client_id}, 0x5555, 'the read-only one is forgotten';
    wait_for { $zk->wait(1); @seen } 60, 'the watch';
    is_deeply \@seen, [ZOO_CREATED_EVENT], 'which is armed there, and finds the node';
    is $zk->exists("$base/mine")->{version}, 1, 'calls work';
    is_deeply \@session, [ ZOO_READONLY_STATE, ZOO_CONNECTING_STATE, ZOO_CONNECTED_STATE ],
      'the default watcher hears of the move';
    ok !( grep { /isro/ } $fake->notes ), 'the read-only server itself was not asked';
    $zk->close;
};

subtest 'a session that servers know which can write keeps its id' => sub {
    my $fake  = read_only_server();
    my $owner = ZooKeeper->new( @args, hosts => $server->hosts(0) );
    $owner->create( "$base/owned", ephemeral => 1 );
    my $id = $owner->client_id;
    $owner->close( keep => 1 );
    my $zk = reading_first( hosts => join( ',', $fake->hosts, $server->hosts(0) ), client_id => $id );
    is_deeply [ grep { /session/ } $fake->notes ], ["session $id->{client_id}"],
      'a read-only server is shown the id';
    wait_for { $zk->state == ZOO_CONNECTED_STATE } 60, 'a server that can write';
    is_deeply $zk->client_id, $id, 'it is the same session';
    is $zk->exists("$base/owned")->{ephemeralOwner}, $id->{client_id}, 'with its ephemeral node';
};

subtest 'servers that can not write either are left alone' => sub {
    for my $answer ( 'ro', 'null', '', 'rwx', 'x' x 100, 'not in the whitelist' ) {
        my @fake = map { read_only_server( isro => $answer ) } 1, 2;
        my $zk   = ZooKeeper->new( @args, hosts => join ',', map { $_->hosts } @fake );
        $zk->wait_connected;
        my @asked;
        wait_for {
            push @asked, grep { $_ eq 'isro' } map { $_->notes } @fake;
            @asked >= 2
        }
        60, 'two questions';
        is $zk->state,                 ZOO_READONLY_STATE, "'$answer' is no reason to move";
        is $zk->metrics->{reconnects}, 0,                  'not for a moment';
        $zk->close;
    }
};

subtest 'a server that does not answer the question does not end the search' => sub {
    my $here  = read_only_server();
    my $stuck = FakeZK->new( sub { my ($c) = @_; $c->note('asked'); $c->_bytes(1000) } );
    my $zk    = reading_first( hosts => join( ',', $here->hosts, $stuck->hosts ), timeout => 1_000 );
    my $asked = 0;
    wait_for { $zk->wait(0.01); $asked += () = $stuck->notes; $asked >= 3 } 60, 'three questions';
    is $zk->exists('/x'), undef,              'calls work meanwhile';
    is $zk->state,        ZOO_READONLY_STATE, 'state';
};

subtest 'without read_only such servers are no servers' => sub {
    my $fake = read_only_server();
    my $zk   = ZooKeeper->new(
        hosts      => join( ',', $fake->hosts, $server->hosts(0) ),
        timeout    => 30_000,
        dispatcher => 'Pipe'
    );
    is $zk->exists("$base/mine")->{version}, 1, 'the other one is taken';
    is $server->server_of($zk),              0, 'which can write';
};

done_testing;

use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my @args   = ( hosts => $server->hosts, dispatcher => 'Pipe' );
my $base   = fresh_path('session');

# The events of a handle until one has this state.
sub until_state {
    my ( $zk, $seen, $state ) = @_;
    wait_for {
        $zk->wait(1);
        grep { $_->{state} == $state } @$seen
    }
    60, zstate($state);
    return;
}

my $setup = ZooKeeper->new(@args);
$setup->create($base);

subtest 'the default watcher' => sub {
    my ( @seen, @later );
    my $zk = ZooKeeper->new( @args, watcher => sub { push @seen, @_ } );
    until_state( $zk, \@seen, ZOO_CONNECTED_STATE );
    is_deeply $seen[-1], { type => ZOO_SESSION_EVENT, state => ZOO_CONNECTED_STATE, path => '' }, 'connected';
    is scalar $zk->get_watchers( type => 'default' ), 1, 'it is a watcher of type default';

    my $session = $zk->client_id->{client_id};
    @seen = ();
    $server->lose_connection($zk);
    until_state( $zk, \@seen, ZOO_CONNECTED_STATE );
    is $seen[0]{state},             ZOO_CONNECTING_STATE, 'the connection is lost';
    is $_->{type},                  ZOO_SESSION_EVENT,    'a session event' for @seen;
    is $zk->client_id->{client_id}, $session,             'and comes back with the same session';

    is ref $zk->watcher, 'CODE', 'watcher returns the callback';
    my $new = sub { push @later, @_ };
    $zk->watcher($new);
    is $zk->watcher, $new, 'and sets another one';
    @seen = ();
    $server->lose_connection($zk);
    until_state( $zk, \@later, ZOO_CONNECTED_STATE );
    is_deeply \@seen, [], 'the former is not called any more';
    is scalar $zk->get_watchers( type => 'default' ), 1, 'there is but one';

    @later = ();
    $zk->reopen;
    until_state( $zk, \@later, ZOO_CONNECTED_STATE );
    isnt $zk->client_id->{client_id}, $session, 'it still works after reopen, in a new session';

    @later = ();
    $zk->watcher(undef);
    is_deeply [ $zk->get_watchers ], [], 'undef takes it off';
    $server->lose_connection($zk);
    wait_for {
        eval { $zk->exists('/') }
    }
    60, 'the connection';
    1 while $zk->dispatcher->dispatch_event;
    is_deeply \@later, [], 'nobody is called';
    ok !eval { $zk->watcher('name'); 1 }, 'anything else';
    like $@, qr/\Awatcher: the watcher must be a code reference at \Q${\ __FILE__}\E line/, 'is refused';
};

subtest 'other watchers do not hear of them' => sub {
    my ( @seen, @session );
    my $zk = ZooKeeper->new( @args, watcher => sub { push @session, @_ } );
    $zk->create("$base/ignore");
    $zk->get( "$base/ignore", watcher => sub { push @seen, @_ } );
    until_state( $zk, \@session, ZOO_CONNECTED_STATE );
    @session = ();
    $server->lose_connection($zk);
    until_state( $zk, \@session, ZOO_CONNECTED_STATE );
    is_deeply \@seen, [], 'by default';
    $setup->set( "$base/ignore", 'v' );
    wait_for { $zk->wait(1); scalar @seen } 60, 'the event';
    is_deeply \@seen, [ { type => ZOO_CHANGED_EVENT, state => ZOO_CONNECTED_STATE, path => "$base/ignore" } ],
      'they stay armed for their own';
};

subtest 'unless they are asked to' => sub {
    my @seen;
    my $zk = ZooKeeper->new( @args, ignore_session_events => 0 );
    $zk->create("$base/hear");
    $zk->get( "$base/hear", watcher => sub { push @seen, @_ } );
    $server->lose_connection($zk);
    until_state( $zk, \@seen, ZOO_CONNECTED_STATE );
    is_deeply [ map { $_->{type} } @seen ], [ (ZOO_SESSION_EVENT) x @seen ], 'session events come';
    is $seen[0]{state},                                  ZOO_CONNECTING_STATE, 'the loss';
    is $seen[0]{path},                                   '',                   'without a path';
    is scalar $zk->get_watchers( path => "$base/hear" ), 1,                    'the watcher stays armed';
    @seen = ();
    $setup->set( "$base/hear", 'v' );
    wait_for { $zk->wait(1); scalar @seen } 60, 'the event';
    is $seen[0]{type}, ZOO_CHANGED_EVENT, 'until its own event';
    is_deeply [ $zk->get_watchers ], [], 'after which it is gone';

    $zk->ignore_session_events(1);
    $zk->get( "$base/hear", watcher => sub { push @seen, @_ } );
    @seen = ();
    $server->lose_connection($zk);
    wait_for {
        eval { $zk->exists('/') }
    }
    60, 'the connection';
    1 while $zk->dispatcher->dispatch_event;
    is_deeply \@seen, [], 'it can be changed at any time';
};

subtest 'the session expires' => sub {
    my ( @seen, @session );
    my $zk = ZooKeeper->new( @args, watcher => sub { push @session, @_ }, ignore_session_events => 0 );
    $zk->create( "$base/expire", ephemeral => 1 );

    # Not that of the ephemeral node: the server may still tell of its end.
    $zk->get( $base, watcher => sub { push @seen, @_ } );
    $server->expire_session($zk);
    until_state( $zk, \@session, ZOO_EXPIRED_SESSION_STATE );
    pass 'the default watcher hears of it';
    until_state( $zk, \@seen, ZOO_EXPIRED_SESSION_STATE );
    pass 'so do the others, when asked to';
    is $zk->state, ZOO_EXPIRED_SESSION_STATE, 'state';
    ok $zk->is_unrecoverable, 'is_unrecoverable';

    for my $call ( [ get => $base ], [ create => "$base/x" ], [ exists => $base ] ) {
        my ( $method, @rest ) = @$call;
        ok !eval { $zk->$method(@rest); 1 }, "$method fails";
        is $@->code, ZSESSIONEXPIRED, 'code';
        ok $@->is_session_lost, 'is_session_lost';
    }
    ok !eval { $zk->transaction->create("$base/x")->commit; 1 }, 'commit fails';
    is $@->code, ZSESSIONEXPIRED, 'code';
    $zk->reopen;
    ok $zk->exists($base), 'reopen brings a new session';
    is $zk->exists("$base/expire"),               undef, 'the old one took its ephemeral along';
    is scalar $zk->get_watchers( type => 'get' ), 0,     'and its watchers';
};

done_testing;

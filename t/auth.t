use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my @args   = ( hosts => $server->hosts, dispatcher => 'Pipe' );
my $zk     = ZooKeeper->new(@args);
my $base   = fresh_path('auth');
$zk->create($base);

subtest 'add_auth' => sub {
    my @events;
    is_deeply [ $zk->add_auth( 'digest', 'alice:secret', watcher => sub { push @events, @_ } ) ], [],
      'returns nothing';
    wait_for { $zk->wait(1); scalar @events } 30, 'the answer';
    is_deeply \@events, [ { type => 0, state => ZOK, path => undef } ], 'the watcher hears of it';
    is_deeply [ $zk->get_watchers( type => 'add_auth' ) ], [],          'once';

    $zk->create( "$base/mine", value => 'v', acl => ZOO_CREATOR_ALL_ACL );
    is scalar $zk->get("$base/mine"),           'v',      'the node is readable for who has made it';
    is $zk->get_acl("$base/mine")->[0]{scheme}, 'digest', 'the acl says who that was';
    like $zk->get_acl("$base/mine")->[0]{id}, qr/\Aalice:/, 'by name';

    my $other = ZooKeeper->new(@args);
    ok !eval { $other->get("$base/mine"); 1 }, 'and for nobody else';
    is $@->code, ZNOAUTH, 'code';
    like $@, qr{\AError getting data for node '\Q$base\E/mine': not authenticated at \Q${\ __FILE__}\E line},
      'message';
    $other->add_auth( 'digest', 'alice:secret' );
    is scalar $other->get("$base/mine"), 'v', 'a request behind add_auth is authenticated';
    ok !eval { $zk->create( "$base/x", acl => [] ); 1 }, 'an empty acl';
    is $@->code, ZINVALIDACL, 'is invalid';
};

subtest 'before the connection is up, with bytes of all kinds' => sub {
    my $first = ZooKeeper->new(@args);
    $first->add_auth( 'digest', "bob:\0\xff" );
    is scalar eval { $first->create( "$base/bob", value => 'b', acl => ZOO_CREATOR_ALL_ACL ) }, "$base/bob",
      'works'
      or diag $@;
    my $second = ZooKeeper->new(@args);
    $second->add_auth( 'digest', "bob:\0" );
    ok !eval { $second->get("$base/bob"); 1 }, 'what is behind the NUL counts';
    $second->add_auth( 'digest', "bob:\0\xff" );
    is scalar $second->get("$base/bob"), 'b', 'two of them are two identities';
};

subtest 'authentication of the handle' => sub {
    my @events;
    my $own = ZooKeeper->new( @args,
        authentication => [ 'digest', 'alice:secret', watcher => sub { push @events, @_ } ] );
    is scalar $own->get("$base/mine"), 'v', 'it is sent at once';
    wait_for { $own->wait(1); scalar @events } 30, 'the answer';
    is $events[0]{state}, ZOK, 'with its watcher';
    $own->reopen;
    is scalar $own->get("$base/mine"), 'v', 'and again for a new session';
    $server->lose_connection($own);
    wait_for {
        eval { $own->get("$base/mine") }
    }
    60, 'the node after the connection was lost';
    pass 'and for a new connection';
};

subtest 'no credentials are empty ones, without a warning' => sub {
    my @warned;
    local $SIG{__WARN__} = sub { push @warned, @_ };
    my $other = ZooKeeper->new(@args);
    my $answered;
    $other->add_auth( 'digest', undef, cb => sub { $answered = 1 } );
    wait_for { $other->wait(1); $answered } 30, 'the answer';
    is "@warned", '', 'nothing was said of them';
};

subtest 'refused' => sub {
    my ( @auth, @session );
    my $refused = ZooKeeper->new( @args, watcher => sub { push @session, $_[0]{state} } );
    deadline 30, sub { $refused->wait_connected };
    $refused->add_auth( 'nosuchscheme', 'x', watcher => sub { push @auth, @_ } );
    wait_for { $refused->wait(1); scalar @auth } 30, 'the answer';
    is_deeply \@auth, [ { type => 0, state => ZAUTHFAILED, path => undef } ], 'the watcher hears of it';
    wait_for { $refused->is_unrecoverable } 30, 'the end of the session';
    for ( 1 .. 2 ) {
        ok !eval { $refused->get($base); 1 }, 'every call';
        is $@->code, ZAUTHFAILED, 'fails';
        ok $@->is_session_lost, 'for good';
    }
    is $refused->state, ZOO_AUTH_FAILED_STATE, 'state';
    wait_for {
        $refused->wait(1);
        grep { $_ == ZOO_AUTH_FAILED_STATE } @session
    }
    30, 'the session event';
    pass 'the default watcher hears of it';
    $refused->reopen;
    ok $refused->exists($base), 'reopen gives a session that works';
};

done_testing;

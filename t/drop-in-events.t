use strict;
use warnings;
use Test::More;
use lib 't/lib';
use DropIn;
use FakeZK;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

# What stats and events are made of, and which watcher hears of what.
my $server = test_server();
my $zk     = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
my $else   = ZooKeeper->new( hosts => $server->hosts );
my $base   = fresh_path('events');
$zk->create($base);

my @keys = qw(aversion ctime cversion czxid dataLength ephemeralOwner mtime mzxid numChildren pzxid version);

subtest 'stat: these eleven keys, all integers' => sub {
    my $path = $zk->create( "$base/stat", value => 'four' );
    $zk->create("$path/child");
    my %stat = (
        exists  => $zk->exists($path),
        get     => ( $zk->get($path) )[1],
        get_acl => ( $zk->get_acl($path) )[1],
        set     => $zk->set( $path => 'other' ),
        commit  => ( $zk->transaction->set( $path => 'third' )->commit )[0]{stat},
    );
    for my $method ( sort keys %stat ) {
        is_deeply [ sort keys %{ $stat{$method} } ], \@keys, "$method: keys";
        like json( $stat{$method} ), qr/\A\{(?:"\w+":-?\d+,?){11}\}\z/, "$method: numbers, not strings";
    }
    is $stat{set}{dataLength},  5, 'dataLength';
    is $stat{set}{version},     1, 'version';
    is $stat{set}{numChildren}, 1, 'numChildren';
    is $stat{set}{cversion},    1, 'cversion';
    cmp_ok abs( $stat{set}{mtime} / 1000 - time ), '<', 86_400, 'mtime in milliseconds';
};

subtest 'stat: 64-bit where the record has a long' => sub {
    my %want = (
        czxid          => 4_611_686_018_427_387_905,
        mzxid          => 9_223_372_036_854_775_807,
        ctime          => 1_700_000_000_123,
        mtime          => -1,
        version        => 2_147_483_647,
        cversion       => -2_147_483_648,
        aversion       => 3,
        ephemeralOwner => -9_223_372_036_854_775_807,
        dataLength     => 4,
        numChildren    => 5,
        pzxid          => 4_294_967_296,
    );
    my $record = pack 'q>4 l>3 q> l>2 q>',
      @want{qw(czxid mzxid ctime mtime version cversion aversion ephemeralOwner dataLength numChildren pzxid)
      };
    my $fake = FakeZK->new(
        sub {
            my ($connection) = @_;
            $connection->handshake or return;
            while ( defined( my $frame = $connection->frame ) ) {
                $connection->send_frame( pack( 'l> q> l>', unpack( 'l>', $frame ), 1, 0 ) . $record );
            }
        }
    );
    my $own  = ZooKeeper->new( hosts => $fake->hosts );
    my $stat = deadline 60, sub { $own->exists('/x') };
    is json($stat), json( \%want ), 'to the last digit';
};

# Calls the code, and returns what the watcher of the method had for it.
sub event_of {
    my ( $method, $path, $code ) = @_;
    my @seen;
    $zk->$method( $path, watcher => sub { push @seen, @_ } );
    $code->();
    next_events( $zk, \@seen, 1 );
    return $seen[0];
}

subtest 'event: {type, state, path}, type and state numbers' => sub {
    my $path  = "$base/e";
    my @cases = (
        [ exists       => ZOO_CREATED_EVENT, sub { $else->create($path) } ],
        [ exists       => ZOO_CHANGED_EVENT, sub { $else->set( $path => 'v' ) } ],
        [ get          => ZOO_CHANGED_EVENT, sub { $else->set( $path => 'w' ) } ],
        [ get_children => ZOO_CHILD_EVENT,   sub { $else->create("$path/c") } ],
        [ get_children => ZOO_CHILD_EVENT,   sub { $else->delete("$path/c") } ],
        [ get_children => ZOO_DELETED_EVENT, sub { $else->delete($path); $else->create($path) } ],
        [ get          => ZOO_DELETED_EVENT, sub { $else->delete($path); $else->create($path) } ],
        [ exists       => ZOO_DELETED_EVENT, sub { $else->delete($path) } ],
    );
    for my $case (@cases) {
        my ( $method, $type, $code ) = @$case;
        my $event = event_of( $method, $path, $code );
        is json($event), json( { type => $type, state => ZOO_CONNECTED_STATE, path => $path } ),
          "$method: " . zevent($type);
    }
};

subtest q(event: a session event has type ZOO_SESSION_EVENT and path '') => sub {
    my @seen;
    my $own =
      ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe', watcher => sub { push @seen, @_ } );
    next_events( $own, \@seen, 1 );
    $server->lose_connection($own);
    next_events( $own, \@seen, 3 );
    $server->expire_session($own);
    wait_for { $own->wait(1); $seen[-1]{state} == ZOO_EXPIRED_SESSION_STATE } 60, 'expiry';
    my @states = map { $_->{state} } @seen;
    is_deeply [ @states[ 0 .. 2 ], $states[-1] ],
      [ ZOO_CONNECTED_STATE, ZOO_CONNECTING_STATE, ZOO_CONNECTED_STATE, ZOO_EXPIRED_SESSION_STATE ],
      'connected, lost, connected, expired';
    is json($_), json( { type => ZOO_SESSION_EVENT, state => $_->{state}, path => '' } ),
      zstate( $_->{state} )
      for @seen;
};

subtest 'event: paths are those of the handle, below its chroot' => sub {
    my $rooted = ZooKeeper->new( hosts => $server->hosts . $base, dispatcher => 'Pipe' );
    my @seen;
    $rooted->exists( '/r', watcher => sub { push @seen, @_ } );
    $rooted->get_children( '/', watcher => sub { push @seen, @_ } );
    $else->create("$base/r");
    next_events( $rooted, \@seen, 2 );
    is_deeply {
        map { $_->{path} => $_->{type} } @seen
    }, { '/r' => ZOO_CREATED_EVENT, '/' => ZOO_CHILD_EVENT }, 'the node and its parent';
};

subtest 'a watcher is called once, and may be set again by its callback' => sub {
    my $path = $zk->create("$base/again");
    my ( @values, $read );
    $read = sub { push @values, scalar $zk->get( $path, watcher => $read ) };
    $read->();
    for my $value ( 1 .. 3 ) {
        $else->set( $path => $value );
        next_events( $zk, \@values, 1 + $value );
    }
    is_deeply \@values, [ undef, 1 .. 3 ], 'each change is seen';
    my @once;
    $zk->get( $path, watcher => sub { push @once, @_ } );
    $else->set( $path => $_ ) for 4 .. 6;
    next_events( $zk, \@values, 5 );
    $zk->exists($path);    # what comes before its answer is there
    1 while $zk->dispatcher->dispatch_event;
    is scalar @once, 1, 'one that does not is called for the first';
    $zk->remove_watcher($_) for $zk->get_watchers( path => $path );
    undef $read;
};

subtest 'a watcher stays over the loss of the connection' => sub {
    my $path = $zk->create("$base/stays");
    my ( @seen, @session );
    $zk->watcher( sub { push @session, @_ } );
    $zk->get( $path, watcher => sub { push @seen, @_ } );
    $server->lose_connection($zk);
    next_events( $zk, \@session, 2 );
    is_deeply \@seen, [], 'it is not told of it';
    $else->set( $path => 'v' );
    next_events( $zk, \@seen, 1 );
    is $seen[0]{type}, ZOO_CHANGED_EVENT, 'and gets its event';
    $zk->watcher(undef);
};

subtest 'what happens while the connection is lost is not missed' => sub {
    my $path = $zk->create("$base/missed");
    my %seen;
    $zk->get( $path, watcher => sub { $seen{changed} = $_[0] } );
    $zk->exists( "$path-new", watcher => sub { $seen{created} = $_[0] } );
    $zk->get_children( $path, watcher => sub { $seen{child} = $_[0] } );
    $server->lose_connection($zk);
    $else->transaction->set( $path => 'v' )->create("$path-new")->create("$path/c")->commit;
    wait_for { $zk->wait(1); keys %seen == 3 } 60, 'three events';
    is $seen{changed}{type}, ZOO_CHANGED_EVENT, 'data';
    is $seen{created}{type}, ZOO_CREATED_EVENT, 'a new node';
    is $seen{child}{type},   ZOO_CHILD_EVENT,   'children';
};

done_testing;

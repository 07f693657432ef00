# Below a chroot: everything that has a path in it or brings one back.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use FaultProxy;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

my ($hosts) = split /,/, test_hosts();    # one: another might lag behind
my @args    = ( timeout => 30_000, dispatcher => 'Pipe' );
my $all     = ZooKeeper->new( @args, hosts => $hosts );
my $root    = fresh_path('chroot');

# The second one is no part of the first, although it begins with the same letters.
$all->create("$root$_") for '', '/app', '/apple';
my $app = ZooKeeper->new( @args, hosts => "$hosts$root/app" );
is $app->hosts, "$hosts$root/app", 'hosts';

subtest 'what goes out and what comes back' => sub {
    is $app->create( '/a', value => 'v' ), '/a', 'create';
    is scalar $all->get("$root/app/a"),    'v',  'is below the chroot';
    like $app->create( '/s-', sequential => 1 ), qr{\A/s-\d{10}\z}, 'create, sequential';
    is $app->ensure_path('/b/c/d'), '/b/c/d', 'ensure_path';
    ok $all->exists("$root/app/b/c/d"), 'is below it';
    ok $app->exists('/'),               'the root is the chroot';
    is $app->exists('/')->{czxid}, $all->exists("$root/app")->{czxid}, 'itself';
    is_deeply [ grep { !/\As-/ } sort $app->get_children('/') ], [qw(a b)], 'get_children';
    is $app->exists('/app'), undef, 'the chroot is not put there twice';
    is_deeply [ map { $_->{path} // $_->{type} }
          $app->transaction->create('/t')->create( '/t/u', value => 'w' )->set( '/t', 'x' )
          ->check( '/t', -1 )->delete('/t/u')->commit ],
      [qw(/t /t/u set check delete)], 'a transaction';
    is scalar $all->get("$root/app/t"), 'x', 'is carried out below it';
    is_deeply [ map { $_->{value} // "@{$_->{children}}" }
          $app->multi_read->get('/t')->get_children('/b')->commit ],
      [qw(x c)], 'a multi_read';
    $app->set_acl( '/t', ZOO_READ_ACL_UNSAFE );
    is scalar( $all->get_acl("$root/app/t") )->[0]{perms}, ZOO_PERM_READ, 'set_acl';
    is scalar( $app->get_acl('/t') )->[0]{perms},          ZOO_PERM_READ, 'get_acl';
  SKIP: {
        skip 'no sync yet', 1 if !$app->can('sync');
        is( ( $app->sync('/t') )[0] // '/t', '/t', 'sync' );
    }
    ok !eval { $app->get('/none'); 1 }, 'what is not there';
    like $@, qr{'/none'}, 'is named as it was asked for';
    ok !eval { $app->delete('/'); 1 }, 'the chroot itself can be asked to be deleted';
    ok $all->exists("$root/app"),      'and is not, with what is in it';
};

subtest 'events' => sub {
    my @seen;
    my $note = sub { push @seen, "$_[0]{type} $_[0]{path}" };
    $app->get( '/a', watcher => $note );
    $app->get_children( '/', watcher => $note );
    $app->exists( '/new', watcher => $note );
    $all->set( "$root/app/a", 'changed' );
    $all->create("$root/app/new");
    wait_for { $app->wait(1); @seen == 3 } 60, 'the events';
    my @expected = ( ZOO_CHANGED_EVENT . ' /a', ZOO_CHILD_EVENT . ' /', ZOO_CREATED_EVENT . ' /new' );
    is_deeply [ sort @seen ], [ sort @expected ], 'have paths without it';
    @seen = ();
    $app->exists( '/', watcher => $note );
    $app->get( '/new', watcher => $note );
    $all->set( "$root/app", 'root' );
    wait_for { $app->wait(1); @seen } 60, 'the event';
    is_deeply \@seen, [ ZOO_CHANGED_EVENT . ' /' ], 'that of the chroot itself is /';
    $all->create("$root/apple/a");
    $all->delete("$root/app/new");
    wait_for { $app->wait(1); @seen == 2 } 60, 'the event';
    is $seen[1], ZOO_DELETED_EVENT . ' /new', 'a node whose name begins like the chroot is another one';
};

subtest 'watches that are set again on another connection' => sub {
    my $proxy = FaultProxy->new($hosts);
    my $zk    = ZooKeeper->new( @args, hosts => $proxy->hosts . "$root/app" );
    my @seen;
    $zk->get( '/a', watcher => sub { push @seen, "$_[0]{type} $_[0]{path}" } );
    $proxy->harm( reset => 0 );
    wait_for { $zk->metrics->{reconnects} } 60, 'the reconnect';
    $all->set( "$root/app/a", 'again' );
    wait_for { $zk->wait(1); @seen } 60, 'the event';
    is_deeply \@seen, [ ZOO_CHANGED_EVENT . ' /a' ], 'are below it, too';
};

subtest 'no chroot, and one that is not there' => sub {
    my $zk = ZooKeeper->new( @args, hosts => "$hosts/" );
    ok $zk->exists("$root/app"), '/ is none';
    $zk = ZooKeeper->new( @args, hosts => "$hosts$root/nowhere" );
    is $zk->exists('/'), undef, 'exists';
    ok !eval { $zk->create('/a'); 1 }, 'create';
    is 0 + $@, ZNONODE, 'there is no node above';
    $all->create("$root/nowhere");
    is $zk->create('/a'), '/a', 'until there is';
};

done_testing;

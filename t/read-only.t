use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

# A server that is read-only can only start sessions that are its own.
my $server = test_server(
    servers   => 3,
    read_only => 1,
    config    => { localSessionsEnabled => 'true', localSessionsUpgradingEnabled => 'true' }
);
my $path = fresh_path('read-only');

# By the server that will be left: the others may be ahead of it.
my $setup = ZooKeeper->new( hosts => $server->hosts(2), timeout => 30_000, dispatcher => 'Pipe' );
$setup->create( $path, value => 'v' );
ok $setup->exists($path), 'a node is there';
$setup->close;
$server->stop($_) for 0, 1;
wait_for { ( $server->mode(2) // '' ) eq 'read-only' } 60, 'the server that is left alone to be read-only';

my @args = ( hosts => $server->hosts(2), dispatcher => 'Pipe' );
my @session;
my $zk =
  ZooKeeper->new( @args, timeout => 30_000, read_only => 1, watcher => sub { push @session, $_[0]{state} } );
ok eval {
    deadline 60,
      sub { $zk->wait_connected }
}, 'a handle that is content with it is connected' or diag $@;
is $zk->state, ZOO_READONLY_STATE, 'state';
ok $zk->is_connected, 'is_connected';
wait_for { $zk->wait(1); scalar @session } 60, 'the event';
is $session[-1],           ZOO_READONLY_STATE, 'the default watcher hears of it';
is scalar $zk->get($path), 'v',                'it can read';
ok !eval { $zk->set( $path, 'w' ); 1 }, 'it can not write';
is $@->code, ZNOTREADONLY, 'code';
ok $@->is_retryable, 'surely nothing was done';

my $other = ZooKeeper->new( @args, timeout => 2_000, request_timeout => 60 );
ok !eval {
    deadline 60, sub { $other->exists($path) };
    1;
}, 'another handle gets no connection';
is $@->code, ZCONNECTIONLOSS, 'code';

done_testing;

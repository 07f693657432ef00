use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

my $setup = ZooKeeper->new( hosts => test_hosts(), dispatcher => 'Pipe' );
my $base  = fresh_path('wait');
$setup->create($base);

# The same with a loop and without one.
for my $dispatcher (qw(AnyEvent Pipe ^ZooKeeper::Dispatcher)) {
    subtest $dispatcher => sub {
        my $zk = ZooKeeper->new( hosts => $setup->hosts, dispatcher => $dispatcher );
        ok $zk->wait_connected, 'wait_connected';
        ok $zk->is_connected,   'is_connected';
        my $path = $setup->create( "$base/node-", sequential => 1 );
        is_deeply [ $zk->wait(0.05) ], [undef], 'undef when nothing comes';

        my @seen;
        $zk->get( $path, watcher => sub { push @seen, @_ } );
        $setup->set( $path, 'v' );
        my $event = deadline 60, sub { $zk->wait };
        is_deeply $event, { type => ZOO_CHANGED_EVENT, state => ZOO_CONNECTED_STATE, path => $path },
          'the event';
        is_deeply \@seen,              [$event], 'its watcher was called';
        is_deeply [ $zk->wait(0.05) ], [undef],  'once';

        $zk->get( $path, watcher => sub { push @seen, @_ } ) for 1 .. 2;
        $setup->set( $path, 'w' );
        deadline 60, sub { $zk->wait(0) }
          for 1 .. 2;
        is scalar @seen, 3, 'two watchers are two events';

        my $handle;
        my $session = ZooKeeper->new(
            hosts      => $setup->hosts,
            dispatcher => $dispatcher,
            watcher    => sub { $handle = $_[0]{state} }
        );
        is deadline( 60, sub { $session->wait } )->{type}, ZOO_SESSION_EVENT,   'an event of the session';
        is $handle,                                        ZOO_CONNECTED_STATE, 'for the default watcher';

        $zk->get( $path, watcher => sub { push @seen, scalar $zk->get($path) } );
        $setup->set( $path, 'in the callback' );
        deadline 60, sub { $zk->wait };
        is $seen[-1], 'in the callback', 'a callback may call the server';
    };
}

subtest 'inside a callback of AnyEvent' => sub {
    my $zk = ZooKeeper->new( hosts => $setup->hosts, dispatcher => 'AnyEvent' );
    my ( $error, $line );
    $zk->get(
        $base,
        watcher => sub {
            $line = __LINE__ + 1;
            eval { $zk->wait(1); 1 } or $error = $@;
        }
    );
    $setup->set( $base, 'v' );
    deadline 60, sub { $zk->wait };
    like $error, qr/recursive blocking wait.* at \Q${\ __FILE__}\E line $line\.?$/m, 'it dies and says so';
};

done_testing;

# Watchers that the CPAN module kept, or called, though their call had failed. Each subtest is named after the symptom.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use FakeZK;
use Faults;
use TestZK;

use Time::HiRes qw(setitimer ITIMER_REAL);
use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my @args   = ( hosts => $server->hosts, timeout => 60_000, dispatcher => 'Pipe' );
my $zk     = ZooKeeper->new(@args);
my $other  = ZooKeeper->new(@args);
my $base   = fresh_path('fault-watchers');
$zk->create($base);

my @called;
my $watcher = sub { push @called, @_ };

# Everything that came until now, and nobody was called.
sub nobody_is_called {
    my ($name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $zk->exists('/');    # events come before its answer
    1 while $zk->dispatcher->dispatch_event;
    is_deeply \@called, [], $name;
    @called = ();
    return;
}

for my $method (qw(get get_children)) {
    subtest "a $method that fails keeps no watcher" => sub {
        my $path = "$base/$method";
        for ( 1 .. 3 ) {
            is eval { $zk->$method( $path, watcher => $watcher ); 1 } // 0 + $@, ZNONODE, 'no node';
            is_deeply [ $zk->get_watchers ],              [], 'no watcher';
            is_deeply [ %{ $zk->dispatcher->watchers } ], [], 'nothing at all is kept';
        }
        $other->create($path);
        $other->set( $path, 'v' );
        $other->create("$path/x");
        $other->delete($_) for "$path/x", $path;
        nobody_is_called('when there is one, nobody hears of it');
    };
}

subtest 'an exists that fails keeps no watcher' => sub {
    for my $path ( 'no-slash', '/a//b', "/\0" ) {
        is eval { $zk->exists( $path, watcher => $watcher ); 1 } // 0 + $@, ZBADARGUMENTS, 'a bad path';
        is_deeply [ $zk->get_watchers ], [], 'no watcher';
    }
    my $fake =
      FakeZK->new( sub { my ($connection) = @_; $connection->handshake and $connection->serve(ZSYSTEMERROR) }
      );
    my $handle = ZooKeeper->new( hosts => $fake->hosts, dispatcher => 'Pipe' );
    is eval { $handle->exists( '/x', watcher => $watcher ); 1 } // 0 + $@, ZSYSTEMERROR,
      'an error of the server';
    is_deeply [ $handle->get_watchers ], [], 'no watcher';
    my $nowhere =
      ZooKeeper->new( hosts => '127.0.0.1:1', timeout => 200, request_timeout => 60, dispatcher => 'Pipe' );
    is eval { $nowhere->exists( '/x', watcher => $watcher ); 1 } // 0 + $@, ZCONNECTIONLOSS, 'no server';
    is_deeply [ $nowhere->get_watchers ], [], 'no watcher';
};

subtest 'an exists of a node that is missing is no failure, and keeps its watcher' => sub {
    is $zk->exists( "$base/later", watcher => $watcher ), undef, 'no node';
    is scalar $zk->get_watchers,                          1,     'a watcher';
    $other->create("$base/later");
    $zk->exists('/');
    1 while $zk->dispatcher->dispatch_event;
    is_deeply \@called,
      [ { type => ZOO_CREATED_EVENT, state => ZOO_CONNECTED_STATE, path => "$base/later" } ],
      'which is called';
    @called = ();
};

subtest 'a call that a signal handler ends by an exception keeps no watcher' => sub {
    my $path = "$base/signal";
    $other->create($path);
    local $SIG{ALRM} = sub { die "time is up\n" };
    for my $method (qw(exists get get_children)) {
        $server->pause;
        my $error = eval {
            setitimer( ITIMER_REAL, 0.2 );
            $zk->$method( $path, watcher => $watcher );
            1;
        } ? 'it returned' : $@;
        setitimer( ITIMER_REAL, 0 );
        $server->resume;
        is $error, "time is up\n", $method;
        is_deeply [ $zk->get_watchers ], [], 'no watcher';
    }
    $other->set( $path, 'v' );
    $other->create("$path/x");
    nobody_is_called('though the server has set the watches meanwhile');
};

subtest 'a transaction that fails leaves the watchers as they are' => sub {
    my $path = "$base/transaction";
    $zk->create($path);
    $zk->get( $path, watcher => $watcher );
    my @results = $zk->transaction->set( $path, 'v' )->delete("$path/none")->commit;
    is_deeply [ map { $_->{code} } @results ], [ ZOK, ZNONODE ], 'it failed';
    nobody_is_called('nobody is called');
    is scalar $zk->get_watchers, 1, 'the watcher is kept';
    $other->set( $path, 'v' );
    $zk->exists('/');
    1 while $zk->dispatcher->dispatch_event;
    is scalar @called, 1, 'and called for a change';
};

done_testing;

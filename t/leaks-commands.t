use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

BEGIN {
    plan skip_all => 'Test::LeakTrace is not installed'
      if !eval { require Test::LeakTrace; Test::LeakTrace->import; 1 };
}

use ZooKeeper;
use ZooKeeper::Constants;

my $zk   = ZooKeeper->new( hosts => test_hosts(), dispatcher => 'Pipe' );
my $base = fresh_path('leaks');
$zk->create( $base, value => 'v' );
my $acl = ZOO_OPEN_ACL_UNSAFE;

# Runs a few times before it is measured: first calls fill caches.
sub no_leak {
    my ( $name, $code ) = @_;
    my $leaked;
    $leaked = &leaked_count($code) for 1 .. 4;
    is $leaked, 0, $name;
    return;
}

no_leak 'create and delete'     => sub { $zk->create("$base/x"); $zk->delete("$base/x") };
no_leak 'create with arguments' => sub {
    my $path = $zk->create( "$base/x", value => 'v', acl => $acl, ephemeral => 1, sequential => 1 );
    $zk->delete( $path, version => 0 );
};
no_leak 'exists'        => sub { my $stat = $zk->exists($base) };
no_leak 'exists not'    => sub { my $stat = $zk->exists("$base/none") };
no_leak 'get'           => sub { my $data = $zk->get($base) };
no_leak 'get, list'     => sub { my ( $data, $stat ) = $zk->get($base) };
no_leak 'set'           => sub { my $stat  = $zk->set( $base, 'v' ) };
no_leak 'get_children'  => sub { my @names = $zk->get_children('/') };
no_leak 'how many'      => sub { my $count = $zk->get_children('/') };
no_leak 'get_acl'       => sub { my $got   = $zk->get_acl($base) };
no_leak 'get_acl, list' => sub { my ( $got, $stat ) = $zk->get_acl($base) };
no_leak 'set_acl'       => sub { $zk->set_acl( $base, $acl ) };
no_leak 'ensure_path' =>
  sub { $zk->ensure_path("$base/a/b"); $zk->delete("$base/a/b"); $zk->delete("$base/a") };
no_leak 'create2'       => sub { my ( $path, $stat )  = $zk->create2("$base/x"); $zk->delete("$base/x") };
no_leak 'get_children2' => sub { my ( $names, $stat ) = $zk->get_children2($base) };
no_leak 'sync'                    => sub { my $path  = $zk->sync($base) };
no_leak 'whoami'                  => sub { my @who   = $zk->whoami };
no_leak 'get_ephemerals'          => sub { my @paths = $zk->get_ephemerals('/') };
no_leak 'get_all_children_number' => sub { my $count = $zk->get_all_children_number($base) };
no_leak 'get_config'              => sub { my ( $config, $stat ) = $zk->get_config };
no_leak 'failed reconfig'         => sub {
    eval { $zk->reconfig( leaving => ['7'] ); 1 };
};
no_leak 'add_watch and remove_watches' => sub {
    my $watcher = $zk->add_watch( $base, watcher => sub { } );
    $zk->set( $base, 'v' );
    $zk->remove_watches( $base, watcher => $watcher );
    1 while $zk->dispatcher->dispatch_event;
};
no_leak 'failed remove_watches' => sub {
    eval { $zk->remove_watches($base); 1 };
};
no_leak 'parents and recursive' =>
  sub { $zk->create( "$base/p/q", parents => 1 ); $zk->delete( "$base/p", recursive => 1 ) };
no_leak 'void context' =>
  sub { $zk->get($base); $zk->exists($base); $zk->get_acl($base); $zk->get_children($base); return };
no_leak 'transaction' => sub {
    my @results =
      $zk->transaction->create("$base/t")->set( "$base/t", 'v' )->check( "$base/t", 1 )->delete("$base/t")
      ->commit;
};
no_leak 'transaction that fails' =>
  sub { my @results = $zk->transaction->set( $base, 'v' )->create($base)->commit };
no_leak 'session' => sub {
    my @facts = (
        $zk->state,           $zk->client_id, $zk->server,
        $zk->session_timeout, $zk->last_zxid, $zk->is_unrecoverable
    );
    $zk->wait_connected;
};

for my $failing (
    [ create       => $base ],
    [ delete       => "$base/none" ],
    [ get          => "$base/none" ],
    [ set          => "$base/none", 'v' ],
    [ set          => $base, 'v', version => 99_999 ],
    [ get_children => "$base/none" ],
    [ get_acl      => "$base/none" ],
    [ set_acl      => "$base/none", $acl ],
    [ create       => 'bad' ],
    [ set          => $base, [] ],
    [ set          => $base, "\x{263a}" ],
    [ set_acl      => $base, [ {} ] ],
    [ get          => $base, watcher => 'bad' ],
    [ set          => $base, 'x' x 1_100_000 ],
  )
{
    my ( $method, @args ) = @$failing;
    no_leak "$method that fails" => sub {
        eval { $zk->$method(@args) };
    };
}

for my $method (qw(exists get get_children)) {
    no_leak "$method with a watcher that is called" => sub {
        $zk->create("$base/w");
        my $called;
        $zk->$method( "$base/w", watcher => sub { $called = shift } );
        $zk->delete("$base/w");
        1 while $zk->dispatcher->dispatch_event;
        $called or die 'the event was not there when delete returned';
    };
    no_leak "$method with a watcher that is taken off" => sub {
        $zk->$method( $base, watcher => sub { } );
        $zk->remove_watcher( $zk->get_watchers );
    };
}
no_leak 'a watcher of a call that fails' => sub {
    eval {
        $zk->get( "$base/none", watcher => sub { } );
    };
};
no_leak 'add_auth' => sub {
    my $answered;
    $zk->add_auth( 'digest', 'leak:test', watcher => sub { $answered = 1 } );
    wait_for { $zk->wait(1); $answered } 30, 'the answer';
};
no_leak 'a handle' => sub {
    my $other = ZooKeeper->new( hosts => $zk->hosts, dispatcher => 'Pipe', watcher => sub { } );
    $other->get( $base, watcher => sub { } );
};

# The same with each loop that is installed.
for my $name (qw(AnyEvent Interrupt IOAsync Mojo POE)) {
    eval "require ZooKeeper::Dispatcher::$name; 1" or do { note("without $name"); next };
    my $watched = ZooKeeper->new( hosts => $zk->hosts, dispatcher => $name, watcher => sub { } );
    my $called;
    no_leak "$name: a watcher that is called by the loop" => sub {
        $called = 0;
        $watched->get( $base, watcher => sub { $called = shift } );
        $zk->set( $base, 'v' );
        wait_for { $watched->wait(1); $called } 30, 'the event';
        undef $called;
    };
    no_leak "$name: a handle" => sub {
        my $other = ZooKeeper->new( hosts => $zk->hosts, dispatcher => $name, watcher => sub { } );
        $other->get( $base, watcher => sub { } );
        undef $other;
        $watched->wait(0.01);    # POE ends a session when its loop runs
    };
}
no_leak 'reopen' => sub { $zk->reopen; $zk->exists($base) };

done_testing;

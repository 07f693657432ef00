use strict;
use warnings;
use Test::More;

BEGIN {
    plan skip_all => 'Test::LeakTrace is not installed'
      if !eval { require Test::LeakTrace; Test::LeakTrace->import; 1 };
}

use ZooKeeper;
use ZooKeeper::Channel;
use ZooKeeper::Constants;

# All dispatchers whose loops are installed.
my @classes = grep { eval "require $_; 1" or ( note("without $_") and 0 ) } 'ZooKeeper::Dispatcher',
  map { "ZooKeeper::Dispatcher::$_" } qw(Pipe AnyEvent Interrupt IOAsync Mojo POE);

# No server is needed for any of this. The third run counts: the first ones fill caches.
sub no_leak {
    my ( $name, $code ) = @_;
    my $leaked;
    my $turn = $name =~ /POE/;    # its sessions go when its loop runs the next time
    my $run  = !$turn ? $code : sub { $code->(); POE::Kernel->run_one_timeslice };
    $leaked = &leaked_count($run) for 1 .. 3;
    is $leaked, 0, $name;
    return;
}

sub event { return { type => ZOO_CHANGED_EVENT, state => ZOO_CONNECTED_STATE, path => '/x' } }

no_leak 'channel: items that are received' => sub {
    my $channel = ZooKeeper::Channel->new;
    $channel->send( undef, 1, 'x', [], {}, sub { }, qr/x/, *STDOUT, \*STDOUT );
    $channel->recv while $channel->size;
};
no_leak 'channel: items that nobody receives' => sub {
    my $channel = ZooKeeper::Channel->new;
    $channel->send( [1], { a => 1 } );
};

for my $class (@classes) {
    no_leak "$class: construct"             => sub { $class->new };
    no_leak "$class: ignore_session_events" => sub { $class->new( ignore_session_events => 0 ) };
    no_leak "$class: trigger"               => sub {
        my $dispatcher = $class->new;
        $dispatcher->create_watcher( '/x', sub { }, type => 'get' );
        $dispatcher->trigger_event( path => '/x', type => 'get', event => event() );
        $dispatcher->dispatch_event;
    };
    no_leak "$class: duplicate watchers" => sub {
        my $dispatcher = $class->new;
        $dispatcher->create_watcher( '/x', sub { }, type => 'get' ) for 1 .. 3;
        $dispatcher->trigger_event( path => '/x', type => 'get', event => event() ) for 1 .. 2;
        1 while $dispatcher->dispatch_event;
    };
    no_leak "$class: watchers that are never called" => sub {
        my $dispatcher = $class->new;
        $dispatcher->create_watcher( '/x', sub { }, type => $_ ) for qw(get default);
        $dispatcher->trigger_event( path => '/x' );
    };
    no_leak "$class: remove" => sub {
        my $dispatcher = $class->new;
        $dispatcher->remove_watcher( $dispatcher->create_watcher( '/x', sub { }, type => 'get' ) );
        $dispatcher->get_watchers( path => '/x', type => 'get' );
    };
    no_leak "$class: a callback that dies" => sub {
        my $dispatcher = $class->new;
        no warnings 'once';
        local $Async::Interrupt::DIED = sub { };
        $dispatcher->create_watcher( '/x', sub { die { a => 1 } }, type => 'get' );
        $dispatcher->trigger_event( path => '/x', type => 'get', event => event() );
        eval { $dispatcher->dispatch_event };
    };
    no_leak "$class: wait" => sub {
        my $dispatcher = $class->new;
        $dispatcher->send_event( event() );
        $dispatcher->wait( $class =~ /Interrupt/ ? 0.001 : 1 );    # that one has dispatched it by then
        $dispatcher->wait(0.001);
    };
}

# The port is one that nobody listens on; the handle goes on trying until it goes.
my @args = ( hosts => '127.0.0.1:1', watcher => sub { }, dispatcher => '^ZooKeeper::Dispatcher' );
no_leak 'handle: construct and destroy' => sub { ZooKeeper->new(@args) };
no_leak 'handle: close'                 => sub { ZooKeeper->new(@args)->close };
no_leak 'handle: another watcher'       => sub {
    ZooKeeper->new(@args)->watcher( sub { } );
};
no_leak 'handle: bad hosts' => sub {
    eval { ZooKeeper->new( @args, hosts => ':0' ) };
};

my $zk = ZooKeeper->new(@args);
$zk->close;
for my $call (
    [ create       => '/x', value => 1 ],
    [ create       => 'bad' ],
    [ delete       => '/x' ],
    [ exists       => '/x', watcher => sub { } ],
    [ get          => '/x' ],
    [ get          => '/x', watcher => sub { } ],
    [ set          => '/x', 'value' ],
    [ get_children => '/x', watcher => sub { } ],
    [ get_acl      => '/x' ],
    [ set_acl      => '/x', ZOO_OPEN_ACL_UNSAFE ],
    [ set_acl      => '/x', 'bad' ],
    [ ensure_path  => '/x/y/z' ],
    [ add_auth     => 'digest', 'a:b', watcher => sub { } ],
  )
{
    my ( $method, @rest ) = @$call;
    no_leak "handle: $method that fails" => sub {
        eval { $zk->$method(@rest) };
    };
}
no_leak 'transaction' => sub {
    my $transaction = $zk->transaction->create( '/x', value => 1 )->set( '/x', 2 )->delete('/x');
    eval { $transaction->commit };
};

done_testing;

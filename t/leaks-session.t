# What the life of a session leaves behind: handles, lost connections, expiry, other servers, logs and forks. What its
# commands do is in leaks-commands.t and leaks-forms.t.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Child;
use TestZK;

BEGIN {
    plan skip_all => 'Test::LeakTrace is not installed (package libtest-leaktrace-perl)'
      if !eval { require Test::LeakTrace; Test::LeakTrace->import; 1 };
}

use File::Temp;
use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my @args   = ( hosts => $server->hosts, dispatcher => 'Pipe', watcher => sub { } );
my $zk     = ZooKeeper->new(@args);
my $base   = fresh_path('leaks');
$zk->create($base);

# Runs a few times before it is measured: first calls fill caches.
sub no_leak {
    my ( $name, $code ) = @_;
    my $leaked;
    my $fine = eval { $leaked = &leaked_count($code) for 1 .. 4; 1 };
    ok $fine && $leaked <= 0, $name or diag $fine ? "$leaked scalars" : $@;
    return;
}

sub poll {
    1 while $zk->dispatcher->dispatch_event;
    return;
}

# Asks until there is a connection again.
sub surely {
    my ($code) = @_;
    return wait_for {
        eval { $code->(); 1 }
    }
    60, 'an answer';
}

no_leak 'a lost connection' => sub {
    $zk->get( $base, watcher => sub { } );
    $zk->add_watch( $base, watcher => sub { }, recursive => 1 );
    $zk->get_f($base);
    $server->lose_connection($zk);
    surely( sub { $zk->exists($base) } );
    $zk->remove_watches($base);
    poll();
};
no_leak 'a session that expires' => sub {
    $zk->get( $base, watcher => sub { } );
    $server->expire_session($zk);
    wait_for {
        !eval { $zk->exists($base); 1 } && $@ == ZSESSIONEXPIRED
    }
    60, 'its end';
    $zk->get_f($base);
    poll();
    $zk->reopen;
    $zk->exists($base);
    $zk->remove_watcher( type => 'get' );
    poll();
};
no_leak 'close and reopen' => sub {
    $zk->close;
    eval { $zk->get($base) };
    $zk->reopen( timeout => 9_000 );
    $zk->exists($base);
    poll();
};
no_leak 'a session that is resumed' => sub {
    my $first = ZooKeeper->new(@args);
    $first->create( "$base/e", ephemeral => 1 );
    $first->close( keep => 1 );
    my $second = ZooKeeper->new( @args, client_id => $first->client_id );
    $second->delete("$base/e");
};
no_leak 'other servers' => sub {
    $zk->set_hosts( $server->hosts . ',127.0.0.1:1' );
    $zk->set_hosts( $server->hosts );
    eval { $zk->set_hosts('') };
    eval { $zk->set_hosts('localhost:2181/other') };
    surely( sub { $zk->exists($base) } );
    poll();
};
no_leak 'what is told of it' => sub {
    my @facts = (
        $zk->metrics,          $zk->state,     $zk->client_id,    $zk->server,
        $zk->session_timeout,  $zk->last_zxid, $zk->is_connected, $zk->is_session_suspect,
        $zk->is_unrecoverable, $zk->hosts
    );
};
no_leak 'a handle with everything' => sub {
    my $other = ZooKeeper->new(
        @args,
        hosts           => $server->hosts . $base,
        authentication  => [ 'digest', 'a:b' ],
        utf8            => 1,
        read_only       => 1,
        expire_by_clock => 1,
        request_timeout => 30,
        default_acl     => ZOO_OPEN_ACL_UNSAFE,
        tracer          => { start => sub { }, end => sub { $_[0]{kept} = [1] } },
    );
    $other->get('/');
    eval { $other->get("/\x{e9}") };
    $other->get( '/', cb => sub { } );
    $other->wait(0.01);
};
no_leak 'arguments that are refused' => sub {
    eval { ZooKeeper->new( @args, @$_ ) }
      for [ hosts => ':0' ], [ tls => { ca_file => '/none' } ], [ tls => 1 ], [ sasl => {} ],
      [ timeout => 'long' ],
      [ dispatcher => 'None' ], [ dispatcher => [] ], [ watcher => 'bad' ], [ tracer => 1 ];
};
no_leak 'a connection that is waited for in vain' => sub {
    my $other = ZooKeeper->new( @args, hosts => '127.0.0.1:1' );
    eval { $other->wait_connected(0.01) };
    eval { $other->get( '/', request_timeout => 0.01 ) };
};
no_leak 'a handler of a signal that dies' => sub {
    local $SIG{USR1} = sub { die "enough\n" };
    my $other = ZooKeeper->new( @args, hosts => '127.0.0.1:1' );
    eval {
        local $SIG{ALRM} = sub { kill USR1 => $$ };
        Time::HiRes::ualarm(1_000);
        $other->get( $base, watcher => sub { } );
    };
    Time::HiRes::ualarm(0);
};
no_leak 'watchers and callbacks that die' => sub {
    $zk->get( $base, watcher => sub { die { why => 1 } }, cb => sub { die "oops\n" } );
    $zk->set( $base, 'v' );
    for ( 1 .. 3 ) {
        eval { poll() };
    }
};
no_leak 'a child that goes' => sub {
    in_child {
        eval { $zk->get($base) };
        $zk->close;
        1
    };
};

# Of a file that is another one each time the trace keeps the name; of the same it does not.
my $dir = File::Temp->newdir;
no_leak 'a trace' => sub {
    ZooKeeper->trace( 4, "$dir/trace" );
    $zk->get($base);
    eval { ZooKeeper->trace( 4, '/none/trace' ) };
    ZooKeeper->trace(0);
};
SKIP: {
    skip 'Log::Any is not installed', 1 if !eval { require Log::Any::Adapter };
    no_leak 'a log' => sub {
        my $adapter = Log::Any::Adapter->set( { category => 'ZooKeeper' }, 'Null' );
        ZooKeeper->new(@args)->get($base);
        Log::Any::Adapter->remove($adapter);
    };
}

done_testing;

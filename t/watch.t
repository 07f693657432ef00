use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

my $zk    = ZooKeeper->new( hosts => test_hosts(), dispatcher => 'Pipe' );
my $other = ZooKeeper->new( hosts => test_hosts(), dispatcher => 'Pipe' );
my $base  = fresh_path('watch');
$zk->create($base);

my @seen;
sub watcher { push @seen, @_; return }

# Waits for one event of the watchers and returns it.
sub next_event {
    my ($handle) = @_;
    $handle //= $zk;
    @seen = ();
    wait_for { $handle->wait(1); scalar @seen } 30, 'an event';
    return $seen[0];
}

sub event {
    my ( $type, $path ) = @_;
    return { type => $type, state => ZOO_CONNECTED_STATE, path => $path };
}

# Makes sure that nothing more is under way: an answer comes after all the events before it.
sub no_more {
    my ($handle) = @_;
    $handle //= $zk;
    @seen = ();
    $handle->exists('/');
    1 while $handle->dispatcher->dispatch_event;
    is scalar @seen, 0, 'and nothing more';
    return;
}

subtest 'exists' => sub {
    my $path = "$base/exists";
    is $zk->exists( $path, watcher => \&watcher ),                  undef, 'on a node that is not there';
    is scalar $zk->get_watchers( path => $path, type => 'exists' ), 1,     'keeps its watcher';
    $other->create($path);
    is_deeply next_event(),          event( ZOO_CREATED_EVENT, $path ), 'created';
    is_deeply [ $zk->get_watchers ], [],                                'and is gone';
    $other->set( $path, 'v' );
    no_more();
    ok $zk->exists( $path, watcher => \&watcher ), 'on a node that is there';
    $other->set( $path, 'w' );
    is_deeply next_event(), event( ZOO_CHANGED_EVENT, $path ), 'changed';
    $zk->exists( $path, watcher => \&watcher );
    $other->delete($path);
    is_deeply next_event(), event( ZOO_DELETED_EVENT, $path ), 'deleted';
    no_more();
};

subtest 'get' => sub {
    my $path = "$base/get";
    $zk->create( $path, value => 'v' );
    is_deeply [ $zk->get( $path, watcher => \&watcher ) ], [ 'v', $zk->exists($path) ], 'list context';
    $zk->create("$path/child");
    no_more();
    $zk->set( $path, 'w' );
    is_deeply next_event(), event( ZOO_CHANGED_EVENT, $path ), 'changed, by the same handle';
    is scalar $zk->get( $path, watcher => \&watcher ), 'w', 'scalar context';
    $other->delete("$path/child");
    $other->delete($path);
    is_deeply next_event(), event( ZOO_DELETED_EVENT, $path ), 'deleted';
    no_more();
};

subtest 'get_children' => sub {
    my $path = "$base/children";
    $zk->create($path);
    is_deeply [ $zk->get_children( $path, watcher => \&watcher ) ], [], 'none';
    $other->set( $path, 'v' );
    no_more();
    $other->create("$path/a");
    is_deeply next_event(), event( ZOO_CHILD_EVENT, $path ),               'one came';
    is_deeply [ $zk->get_children( $path, watcher => \&watcher ) ], ['a'], 'one';
    $other->delete("$path/a");
    is_deeply next_event(), event( ZOO_CHILD_EVENT, $path ), 'one went';
    $zk->get_children( $path, watcher => \&watcher );
    $other->delete($path);
    is_deeply next_event(), event( ZOO_DELETED_EVENT, $path ), 'the node itself went';
    no_more();
};

subtest 'several watchers' => sub {
    my $path = "$base/several";
    $zk->create($path);
    my %calls;
    for my $call ( [ get => 1 ], [ get => 2 ], [ exists => 3 ], [ get_children => 4 ] ) {
        my ( $method, $number ) = @$call;
        $zk->$method( $path, watcher => sub { $calls{$number}++ } );
    }
    $other->set( $path, 'v' );
    wait_for { $zk->wait(1); keys %calls == 3 } 30, 'three calls';
    is_deeply \%calls, { 1 => 1, 2 => 1, 3 => 1 }, 'all that watch the data, once each';
    is_deeply [ map { $_->type } $zk->get_watchers ], ['get_children'], 'the other one is kept';
    $other->create("$path/x");
    wait_for { $zk->wait(1); $calls{4} } 30, 'the fourth call';
    is_deeply [ $zk->get_watchers ], [], 'none is left';
};

subtest 'a call that fails keeps no watcher' => sub {
    my $before = scalar $zk->get_watchers;
    my @died;
    local $SIG{__DIE__} = sub { push @died, @_ };
    for my $method (qw(get get_children)) {
        @died = ();
        my $line = __LINE__ + 1;
        ok !eval { $zk->$method( "$base/none", watcher => \&watcher ); 1 }, $method;
        my $error = $@;
        isa_ok $error, 'ZooKeeper::Error';
        is $error->code, ZNONODE, 'the error is the call\'s own';
        like $error, qr/ at \Q${\ __FILE__}\E line $line\.\n\z/, 'with the line of the call';
        is scalar @died,             1,       '__DIE__ hears of it once';
        is scalar $zk->get_watchers, $before, 'no watcher is kept';
    }
    $zk->create("$base/none");
    no_more();
};

subtest 'remove_watcher' => sub {
    my $path = "$base/remove";
    $zk->create($path);
    $zk->get( $path, watcher => \&watcher ) for 1 .. 2;
    my ( $first, $second ) = $zk->get_watchers( path => $path );
    $zk->remove_watcher($first);
    $other->set( $path, 'v' );
    is_deeply next_event(), event( ZOO_CHANGED_EVENT, $path ), 'the other one is called';
    ok $second->done, 'it is the other one';
    no_more();
    $zk->get( $path, watcher => \&watcher );
    $zk->remove_watcher( $zk->get_watchers( path => $path ) );
    $other->set( $path, 'w' );
    no_more();

    $zk->get( $path, watcher => \&watcher );
    $other->set( $path, 'x' );
    $zk->exists('/');    # its event is queued now
    $zk->remove_watcher( $zk->get_watchers( path => $path ) );
    no_more();
};

subtest 'what a callback may do' => sub {
    my $path = "$base/callback";
    $zk->create( $path, value => 0 );
    my @values;
    my $again;
    $again = sub {
        my ($event) = @_;
        push @values, scalar $zk->get( $event->{path}, watcher => $again );
    };
    $zk->get( $path, watcher => $again );
    for my $value ( 1 .. 3 ) {
        $other->set( $path, $value );
        wait_for { $zk->wait(1); @values == $value } 30, 'a call';
    }
    is_deeply \@values, [ 1 .. 3 ], 'ask again, with itself as watcher, in the callback';
    undef $again;

    my @order;
    $zk->create("$path/$_") for 1, 2;
    $zk->get( "$path/1", watcher => sub { push @order, 'dies'; die "oops\n" } );
    $zk->get( "$path/2", watcher => sub { push @order, 'lives' } );
    $other->set( "$path/$_", 'x' ) for 1, 2;
    ok !eval {
        wait_for { $zk->wait(1); 0 } 30, 'ever';
        1;
    }, 'die';
    is $@, "oops\n", 'the exception comes out of wait';
    wait_for { $zk->wait(1); @order == 2 } 30, 'the next event';
    is_deeply \@order, [qw(dies lives)], 'the next event comes all the same';

    my $temporary = ZooKeeper->new( hosts => $zk->hosts, dispatcher => 'Pipe' );
    my $closed;
    $temporary->get( $path, watcher => sub { $temporary->close; $closed = 1 } );
    $other->set( $path, 'close' );
    wait_for { $temporary->wait(1); $closed } 30, 'the call';
    is $temporary->state, ZOO_NOTCONNECTED_STATE, 'close the handle';

    my $gone;
    $temporary = ZooKeeper->new( hosts => $zk->hosts, dispatcher => 'Pipe' );
    my $dispatcher = $temporary->dispatcher;
    $temporary->get( $path, watcher => sub { undef $temporary; $gone = 1 } );
    $other->set( $path, 'undef' );
    wait_for { $dispatcher->wait(1); $gone } 30, 'the call';
    is $temporary, undef, 'let go of the handle';
    is_deeply [ $dispatcher->get_watchers ], [], 'which leaves no watcher behind';
};

subtest 'two handles, one dispatcher' => sub {
    my $dispatcher = ZooKeeper::Dispatcher::Pipe->new;
    my @handles    = map { ZooKeeper->new( hosts => $zk->hosts, dispatcher => $dispatcher ) } 1 .. 2;
    my $path       = "$base/shared";
    $zk->create($path);
    my @calls;
    for my $number ( 0, 1 ) {
        $handles[$number]->get( $path, watcher => sub { push @calls, $number } );
    }
    $zk->set( $path, 'v' );
    wait_for { $dispatcher->wait(1); @calls == 2 } 30, 'two calls';
    is_deeply [ sort @calls ], [ 0, 1 ], 'the watchers of both are called';
    $_->get( $path, watcher => sub { push @calls, 'again' } ) for @handles;
    $handles[0]->close;
    is scalar $dispatcher->get_watchers, 1, 'closing one leaves the watchers of the other';
    $zk->set( $path, 'w' );
    wait_for { $dispatcher->wait(1); @calls == 3 } 30, 'the third call';
    is $calls[2], 'again', 'which is called';
};

subtest 'programs without a loop' => sub {
    my $path = "$base/poll";
    $zk->create($path);
    $zk->get( $path, watcher => \&watcher );
    $other->set( $path, 'v' );
    @seen = ();
    wait_for { 1 while $zk->dispatcher->dispatch_event; scalar @seen } 30, 'an event';
    is_deeply \@seen, [ event( ZOO_CHANGED_EVENT, $path ) ], 'poll the dispatcher';
    is $zk->dispatcher->recv_event, undef, 'and see the end';

    $zk->get( $path, watcher => \&watcher );
    $other->set( $path, 'w' );
    $zk->exists('/');
    my $event = $zk->dispatcher->recv_event;
    is $event->{watcher}, ( $zk->get_watchers( path => $path ) )[0], 'or take the event with its watcher';
    delete $event->{watcher};
    is_deeply $event, event( ZOO_CHANGED_EVENT, $path ), 'which is the event else';
};

subtest 'with a chroot' => sub {
    my $rooted = ZooKeeper->new( hosts => $zk->hosts . $base, dispatcher => 'Pipe' );
    $rooted->exists( '/rooted', watcher => \&watcher );
    $zk->create("$base/rooted");
    is_deeply next_event($rooted), event( ZOO_CREATED_EVENT, '/rooted' ), 'the path is the one of the handle';
};

done_testing;

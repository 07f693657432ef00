use strict;
use warnings;
use Test::More;

use Scalar::Util qw(refaddr weaken);
use ZooKeeper::Constants;
use ZooKeeper::Dispatcher;
use ZooKeeper::Dispatcher::Pipe;

# No server is needed for any of this.

sub changed { return { type => ZOO_CHANGED_EVENT, state => ZOO_CONNECTED_STATE, path => $_[0] // '/x' } }

sub session { return { type => ZOO_SESSION_EVENT, state => ZOO_CONNECTING_STATE, path => '' } }

subtest 'watchers' => sub {
    my $dispatcher = ZooKeeper::Dispatcher->new;
    my $cb         = sub { };
    my $get        = $dispatcher->create_watcher( '/x', $cb, type => 'get' );
    my $exists     = $dispatcher->create_watcher( '/x', $cb, type => 'exists' );
    my $other      = $dispatcher->create_watcher( '/y', $cb, type => 'get' );
    my $twin       = $dispatcher->create_watcher( '/x', $cb, type => 'get' );
    isa_ok $get, 'ZooKeeper::Watcher';
    is_deeply $dispatcher->watchers,
      {
        '/x' => {
            get    => { refaddr $get    => $get, refaddr $twin => $twin },
            exists => { refaddr $exists => $exists }
        },
        '/y' => { get => { refaddr $other => $other } },
      },
      'path -> type -> address';

    my $found = sub {
        return [ map { refaddr $_ } $dispatcher->get_watchers(@_) ];
    };
    my $are = sub {
        return [ map { refaddr $_ } @_ ];
    };
    is_deeply $found->( path => '/x', type => 'get' ), $are->( $get, $twin ),          'by path and type';
    is_deeply $found->( path => '/x' ),                $are->( $get, $exists, $twin ), 'by path';
    is_deeply $found->( type => 'get' ),               $are->( $get, $other, $twin ),  'by type';
    is_deeply $found->(),                  $are->( $get, $exists, $other, $twin ),     'all';
    is_deeply $found->( path => '/none' ), [],                                         'none at that path';
    is_deeply $found->( path => '/y', type => 'exists' ), [],                          'none of that type';
    is_deeply [ sort keys %{ $dispatcher->watchers } ],   [ '/x', '/y' ],              'asking adds nothing';

    $dispatcher->remove_watcher($twin);
    is_deeply $found->( path => '/x', type => 'get' ), $are->($get), 'one of two is taken off';
    $dispatcher->remove_watcher($twin);
    is_deeply $found->( path => '/x', type => 'get' ), $are->($get), 'twice does no harm';
    $dispatcher->remove_watcher( path => '/x', type => 'exists', watcher => $exists );
    is_deeply $found->( path => '/x' ), $are->($get), 'by name';
    $dispatcher->remove_watcher( path => '/x', type => 'get' );
    is_deeply $dispatcher->watchers, { '/y' => { get => { refaddr $other => $other } } },
      'no empty table is left';
    $dispatcher->remove_watcher(undef);
    is_deeply $found->(), $are->($other), 'undef is no watcher';
    isnt $get->id, $twin->id, 'every watcher has an id of its own';
};

subtest 'events' => sub {
    my $dispatcher = ZooKeeper::Dispatcher->new;
    is_deeply [ $dispatcher->recv_event ],     [undef], 'recv_event of an empty channel is undef';
    is_deeply [ $dispatcher->dispatch_event ], [undef], 'dispatch_event too';

    my @seen;
    my $watcher = $dispatcher->create_watcher( '/x', sub { push @seen, @_ }, type => 'get' );
    my $event   = changed();
    $dispatcher->send_event( $event, $watcher );
    is_deeply $dispatcher->recv_event, { %$event, watcher => $watcher },
      'recv_event returns it with its watcher';
    is_deeply \@seen, [], 'and calls nobody';

    $dispatcher->send_event( $event, $watcher );
    my $returned = $dispatcher->dispatch_event;
    is_deeply $returned, changed(),     'dispatch_event returns the event alone';
    is_deeply \@seen,    [ changed() ], 'and calls the watcher with it';
    is_deeply $event,    changed(),     'the event that was sent is as it was';
    isnt refaddr( $seen[0] ), refaddr($returned), 'the watcher has a hash of its own';
    ok $watcher->done, 'the watcher is done';
    is_deeply $dispatcher->watchers, {}, 'and gone';

    $dispatcher->send_event( changed(), $watcher );
    is $dispatcher->dispatch_event, undef, 'an event for a watcher that is gone is skipped';
    is scalar @seen,                1,     'nobody is called';
    my $late = $dispatcher->create_watcher( '/x', sub { push @seen, @_ }, type => 'get' );
    $dispatcher->send_event( changed('/gone'), $watcher );
    $dispatcher->send_event( changed('/late'), $late );
    is $dispatcher->dispatch_event->{path}, '/late', 'and the one behind it is found';
};

subtest 'what the engine sends' => sub {
    my $dispatcher = ZooKeeper::Dispatcher->new;
    my @seen;
    my $watcher = $dispatcher->create_watcher( '/x', sub { push @seen, @_ }, type => 'get' );
    $dispatcher->channel->send( { %{ changed() }, watcher => $watcher->id } );
    is_deeply $dispatcher->recv_event, { %{ changed() }, watcher => $watcher },
      'its number becomes the watcher';
    $dispatcher->channel->send( { %{ changed() }, watcher => $watcher->id } );
    is_deeply $dispatcher->dispatch_event, changed(),     'dispatched';
    is_deeply \@seen,                      [ changed() ], 'the watcher was called';
    $dispatcher->channel->send( { %{ changed() }, watcher => $watcher->id }, 'no event at all' );
    is $dispatcher->dispatch_event, undef, 'a number that is gone is skipped';
    is $dispatcher->channel->size,  0,     'so is what is no event';
};

subtest 'two watchers of the same path and type are both called' => sub {
    my $dispatcher = ZooKeeper::Dispatcher->new;
    my @seen;
    my $cb = sub { push @seen, $_[0]{path} };
    $dispatcher->create_watcher( '/x', $cb, type => 'get' ) for 1 .. 2;
    $dispatcher->trigger_event( path => '/x', type => 'get', event => changed() );
    is $dispatcher->channel->size, 2, 'two events';
    1 while $dispatcher->dispatch_event;
    is_deeply \@seen, [ '/x', '/x' ], 'two calls';
};

subtest 'arguments of wrong types' => sub {
    my $dispatcher = ZooKeeper::Dispatcher->new;
    my $watcher    = $dispatcher->create_watcher( '/x', sub { } );
    my @rows       = (
        [ remove_watcher => ['me'],                'the watcher must be a ZooKeeper::Watcher' ],
        [ remove_watcher => [ {} ],                'the watcher must be a ZooKeeper::Watcher' ],
        [ remove_watcher => [ watcher => [] ],     'the watcher must be a ZooKeeper::Watcher' ],
        [ send_event     => [ 'event', $watcher ], 'the event must be a hash ref' ],
        [ send_event     => [ [], $watcher ],      'the event must be a hash ref' ],
        [ send_event     => [ { type => 1 }, \1 ], 'the watcher must be a ZooKeeper::Watcher' ],
        [ trigger_event  => [ event => 'event' ],  'the event must be a hash ref' ],
    );
    for my $row (@rows) {
        my ( $method, $args, $words ) = @$row;
        my $line = __LINE__ + 1;
        ok !eval { $dispatcher->$method(@$args); 1 }, "$method dies";
        like $@, qr/: \Q$words\E at \Q${\ __FILE__}\E line $line\.\n\z/,
          'and says what was expected, at the line of the call';
    }
    is $dispatcher->channel->size, 0, 'nothing was sent';
    ok !eval { ZooKeeper::Watcher->new('x'); 1 }, 'a watcher made of a string';
    like $@, qr/\Anew: a watcher is made of a list or a hash ref at \Q${\ __FILE__}\E /, 'is none';
};

subtest 'what a watcher is filed under is a string for ever' => sub {
    my $dispatcher = ZooKeeper::Dispatcher->new;
    my $name       = 'a';
    my $path       = bless [ sub { '/' . $name++ } ], 'Says';
    my $watcher    = $dispatcher->create_watcher( $path, sub { }, type => bless [ sub { 'get' } ], 'Says' );
    is $watcher->path, '/a', 'a path that is an object';
    is_deeply [ $dispatcher->get_watchers( path => '/a', type => 'get' ) ], [$watcher], 'is looked for';
    $dispatcher->remove_watcher($watcher);
    is_deeply $dispatcher->watchers, {}, 'and found again';
    ok !eval {
        $dispatcher->create_watcher( bless( [ sub { die "no\n" } ], 'Says' ), sub { } );
        1;
    }, 'one that dies';
    is_deeply [ $dispatcher->get_watchers ], [], 'is not filed at all';
};

subtest 'trigger_event' => sub {
    my $dispatcher = ZooKeeper::Dispatcher->new;
    my @seen;
    for my $watched ( [ '/a', 'get' ], [ '/a', 'exists' ], [ '/b', 'get' ], [ '/b', 'exists' ] ) {
        $dispatcher->create_watcher( $watched->[0], sub { push @seen, "@$watched" }, type => $watched->[1] );
    }
    $dispatcher->trigger_event( path => '/a', type => 'get' );
    my $event = $dispatcher->dispatch_event;
    is $event->{path}, '/a', 'without an event there is one about the path';
    $dispatcher->trigger_event( path => '/b', event => changed('/b') );
    1 while $dispatcher->dispatch_event;
    is_deeply \@seen, [ '/a get', '/b get', '/b exists' ], 'without a type all of the path are triggered';
    $dispatcher->trigger_event( path => '/none', type => 'get' );
    is $dispatcher->channel->size, 0, 'where nobody watches nothing is sent';
};

subtest 'session events' => sub {
    for my $case ( [ get => 1, 0 ], [ get => 0, 1 ], [ default => 1, 1 ], [ default => 0, 1 ] ) {
        my ( $type, $ignore, $calls ) = @$case;
        my $dispatcher = ZooKeeper::Dispatcher->new( ignore_session_events => $ignore );
        my @seen;
        my $watcher = $dispatcher->create_watcher( '', sub { push @seen, $_[0]{type} }, type => $type );
        my $name    = "type $type, ignore_session_events $ignore";
        $dispatcher->send_event( session(), $watcher );
        is_deeply $dispatcher->dispatch_event, session(), "$name: the event is dispatched";
        is scalar @seen, $calls, "$name: $calls calls";
        ok !$watcher->done, "$name: it stays armed";
        is scalar( $dispatcher->get_watchers ), 1, "$name: and known";
        $dispatcher->send_event( changed(), $watcher );
        $dispatcher->dispatch_event;
        is $seen[-1], ZOO_CHANGED_EVENT, "$name: then its own event comes";
        is scalar( $dispatcher->get_watchers ), $type eq 'default' ? 1 : 0,
          "$name: after which only a default one is kept";
    }

    my $dispatcher = ZooKeeper::Dispatcher->new;
    ok $dispatcher->ignore_session_events, 'they are ignored by default';
    my $calls   = 0;
    my $watcher = $dispatcher->create_watcher( '/x', sub { $calls++ }, type => 'get' );
    ok $watcher->ignore_session_events, 'the watcher asks the dispatcher';
    $dispatcher->ignore_session_events(0);
    ok !$watcher->ignore_session_events, 'at any time';
    $dispatcher->send_event( session(), $watcher );
    $dispatcher->dispatch_event;
    is $calls, 1, 'it can be set later, too';

    my $own =
      $dispatcher->create_watcher( '/x', sub { $calls++ }, type => 'get', ignore_session_events => 1 );
    $dispatcher->send_event( session(), $own );
    $dispatcher->dispatch_event;
    is $calls, 1, 'a watcher may have a setting of its own';
};

subtest 'an add_auth watcher ends with its answer' => sub {
    my $dispatcher = ZooKeeper::Dispatcher->new;
    my @seen;
    my $watcher = $dispatcher->create_watcher( '', sub { push @seen, @_ }, type => 'add_auth' );
    $dispatcher->channel->send( { type => 0, state => ZAUTHFAILED, path => undef, watcher => $watcher->id } );
    $dispatcher->dispatch_event;
    is_deeply \@seen, [ { type => 0, state => ZAUTHFAILED, path => undef } ], 'called';
    is_deeply $dispatcher->watchers, {}, 'gone';
};

subtest 'a callback that dies' => sub {
    my $dispatcher = ZooKeeper::Dispatcher->new;
    my $calls      = 0;
    my $bad        = $dispatcher->create_watcher( '/x', sub { die "oops\n" }, type => 'get' );
    my $good       = $dispatcher->create_watcher( '/x', sub { $calls++ },     type => 'get' );
    $dispatcher->trigger_event( path => '/x', type => 'get', event => changed() );
    ok !eval { $dispatcher->dispatch_event; 1 }, 'dispatch_event dies';
    is $@, "oops\n", 'with what the callback said';
    is_deeply [ $dispatcher->get_watchers ], [$good],   'the watcher is gone all the same';
    is_deeply $dispatcher->dispatch_event,   changed(), 'the next event comes';
    is $calls, 1, 'and its watcher is called';
};

subtest 'what a callback may do' => sub {
    my $dispatcher = ZooKeeper::Dispatcher->new;
    my ( $kept, $again );
    my $watcher = $dispatcher->create_watcher(
        '/x',
        sub {
            ($kept) = @_;
            $kept->{path} = 'changed';
            $again = $dispatcher->create_watcher( '/x', sub { }, type => 'get' );
        },
        type => 'get'
    );
    $dispatcher->send_event( changed(), $watcher );
    is_deeply $dispatcher->dispatch_event, changed(), 'a change to its event is seen by nobody else';
    is $kept->{path}, 'changed', 'it may keep its event';
    is_deeply [ $dispatcher->get_watchers ], [$again], 'it may set the same watch again';

    my @order;
    my $inner = $dispatcher->create_watcher( '/y', sub { push @order, 'inner' }, type => 'get' );
    my $outer = $dispatcher->create_watcher(
        '/y',
        sub { push @order, 'outer'; $dispatcher->dispatch_event; push @order, 'end' },
        type => 'get'
    );
    $dispatcher->send_event( changed('/y'), $_ ) for $outer, $inner;
    1 while $dispatcher->dispatch_event;
    is_deeply \@order, [qw(outer inner end)], 'it may dispatch';

    my $object = Callable->new;
    $dispatcher->send_event( changed(), $dispatcher->create_watcher( '/z', $object, type => 'get' ) );
    $dispatcher->dispatch_event;
    is_deeply $object->seen, [ changed() ], 'it may be an object that is called like a function';
    for my $no ( undef, 'name', [], {} ) {
        ok !eval { $dispatcher->create_watcher( '/z', $no, type => 'get' ); 1 }, 'anything else is refused';
        like $@, qr/\Acreate_watcher: .*code reference at \Q${\ __FILE__}\E line/, 'with a message';
    }
};

subtest 'dispatch_cb' => sub {
    my $dispatcher = ZooKeeper::Dispatcher::Pipe->new;
    my $calls      = 0;
    my $default    = $dispatcher->dispatch_cb;
    is ref $default, 'CODE', 'there is one by default';
    $dispatcher->create_watcher( '/x', sub { $calls++ }, type => 'get' ) for 1 .. 2;
    $dispatcher->trigger_event( path => '/x', type => 'get', event => changed() );
    $dispatcher->wait(1) for 1 .. 2;
    is $calls, 2, 'which dispatches';

    my $items = 0;
    $dispatcher->dispatch_cb( sub { $items++; $dispatcher->dispatch_event } );
    $dispatcher->create_watcher( '/x', sub { $calls++ }, type => 'get' ) for 1 .. 2;
    $dispatcher->trigger_event( path => '/x', type => 'get', event => changed() );
    is $dispatcher->wait(1)->{path}, '/x', 'wait goes by another one' for 1 .. 2;
    is $items,                       2,    'called once per item';
};

subtest 'a callback that leaves by "next" does not keep the dispatcher from ending' => sub {
    my $dispatcher = ZooKeeper::Dispatcher->new;
    my $calls      = 0;
    my $next       = sub { die "called $calls times\n" if ++$calls > 10_000; no warnings 'exiting'; next };
    $dispatcher->channel->send(1);
    $dispatcher->dispatch_cb($next);
    ok eval { $dispatcher->dispatch_ready; 1 }, 'dispatch_ready ends' or diag $@;
    ok $calls,                                  "after $calls calls of one that takes nothing";

    my $two = ZooKeeper::Dispatcher->new;
    $two->send_event( { type => $_ }, $two->create_watcher( '/x', $next, type => 'get' ) ) for 1, 2;
    is $two->wait(10)->{type}, 1, 'wait has its event';
    is $two->channel->size,    1, 'and leaves the next one for later';
};

subtest 'wait' => sub {
    for my $class (qw(ZooKeeper::Dispatcher ZooKeeper::Dispatcher::Pipe)) {
        my $dispatcher = $class->new;
        is_deeply [ $dispatcher->wait(0.01) ], [undef], "$class: undef when the time is over";
        my @seen;
        my $watcher = $dispatcher->create_watcher( '/x', sub { push @seen, @_ }, type => 'get' );
        $dispatcher->send_event( session(), $watcher );
        $dispatcher->send_event( changed(), $watcher );
        is_deeply $dispatcher->wait,    session(), "$class: an event that its watcher ignores is returned";
        is_deeply \@seen,               [],        'and ignored';
        is_deeply $dispatcher->wait(0), changed(), "$class: one event at a time";
        is scalar @seen,          1,     'is dispatched';
        is $dispatcher->wait(-1), undef, "$class: a time in the past does not wait";
        ok !eval { $dispatcher->wait('long'); 1 }, "$class: no number";
        like $@, qr/\Await: 'long' is not a number of seconds at \Q${\ __FILE__}\E line/, 'is refused';

        $dispatcher->send_event( changed(),
            $dispatcher->create_watcher( '/y', sub { die "oops\n" }, type => 'get' ) );
        ok !eval { $dispatcher->wait(1); 1 }, "$class: what a callback dies of";
        is $@,                      "oops\n", 'comes out';
        is $dispatcher->wait(0.01), undef,    'and the next wait is a fresh one';

        local $SIG{ALRM} = sub { $dispatcher->send_event( changed('/alarm') ) };
        alarm 1;
        is $dispatcher->wait(60)->{path}, '/alarm',
          "$class: a signal handler may send the event that is waited for";
    }
};

subtest 'Pipe' => sub {
    my $dispatcher = ZooKeeper::Dispatcher::Pipe->new;
    my $readable   = sub {
        my $fd = '';
        vec( $fd, $dispatcher->fd, 1 ) = 1;
        return select $fd, undef, undef, 0;
    };
    is $readable->(), 0, 'nothing to read';
    $dispatcher->send_event( changed() ) for 1 .. 2;
    is $readable->(), 1, 'the descriptor says that there is an event';
    $dispatcher->read_pipe;
    is $dispatcher->channel->size, 2, 'read_pipe takes no event away';
    ok $dispatcher->dispatch_event, 'the first';
    is $readable->(), 1, 'it still says so';
    ok $dispatcher->dispatch_event, 'the second';
    is $readable->(), 0, 'and stops when all are gone';
};

{

    package Callable;
    use overload '&{}' => sub {
        my ($self) = @_;
        return sub { push @{ $self->seen }, @_ }
    };
    sub new  { my @seen; return bless \\@seen, shift }
    sub seen { return ${ $_[0] } }
}

done_testing;

package Says;
use overload '""' => sub { $_[0][0]->() }, fallback => 1;

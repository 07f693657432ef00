use strict;
use warnings;
use Test::More;

use Scalar::Util qw(weaken);
use ZooKeeper::Constants;
use ZooKeeper::Dispatcher;
use ZooKeeper::Watcher;

my $dispatcher = ZooKeeper::Dispatcher->new;
my @seen;
my $cb      = sub { push @seen, @_ };
my $watcher = $dispatcher->create_watcher( '/x', $cb, type => 'exists' );

is $watcher->dispatcher, $dispatcher, 'dispatcher';
is $watcher->cb,         $cb,         'cb';
is $watcher->path,       '/x',        'path';
is $watcher->type,       'exists',    'type';
ok !$watcher->done,                 'not done';
ok $watcher->ignore_session_events, 'ignores session events, as the dispatcher';

subtest 'process calls it once' => sub {
    my $event = { type => ZOO_CREATED_EVENT, state => ZOO_CONNECTED_STATE, path => '/x' };
    $watcher->process($event);
    is_deeply \@seen, [$event], 'called with the event';
    ok $watcher->done, 'done';
    is_deeply [ $dispatcher->get_watchers ], [], 'and taken off';
    $watcher->process($event);
    is scalar @seen, 1, 'never again';
};

subtest 'process of a session event' => sub {
    my $event   = { type => ZOO_SESSION_EVENT, state => ZOO_CONNECTING_STATE, path => '' };
    my $ignores = $dispatcher->create_watcher( '/x', $cb, type => 'get' );
    @seen = ();
    $ignores->process($event);
    is_deeply \@seen, [], 'ignored';
    ok !$ignores->done, 'not done';
    $ignores->ignore_session_events(0);
    $ignores->process($event) for 1 .. 2;
    is_deeply \@seen, [ ($event) x 2 ], 'not ignored: called each time';
    ok !$ignores->done, 'and still armed';
    $dispatcher->remove_watcher($ignores);
    ok $ignores->done, 'a watcher that is taken off is done';
    $ignores->process($event);
    is scalar @seen, 2, 'and not called';
};

subtest 'trigger sends it an event' => sub {
    my $triggered = $dispatcher->create_watcher( '/x', $cb, type => 'get' );
    @seen = ();
    $triggered->trigger( '/y', ZOO_CONNECTED_STATE, ZOO_CHANGED_EVENT );
    is_deeply \@seen, [], 'through the channel';
    is_deeply $dispatcher->dispatch_event,
      { path => '/y', state => ZOO_CONNECTED_STATE, type => ZOO_CHANGED_EVENT },
      'made of path, state and type';
    is scalar @seen, 1, 'it is called when that is dispatched';
};

subtest 'the dispatcher may go first' => sub {
    my $own     = ZooKeeper::Dispatcher->new;
    my $orphan  = $own->create_watcher( '/x', $cb, type => 'get' );
    my $orphan2 = $own->create_watcher( '/x', $cb, type => 'get' );
    undef $own;
    is $orphan->dispatcher, undef, 'the watcher holds it weakly';
    @seen = ();
    is eval { $orphan->trigger( '/x', ZOO_CONNECTED_STATE, ZOO_CHANGED_EVENT ); 1 }, 1,
      'trigger has nowhere to send';
    is eval { $orphan2->process( { type => ZOO_CHANGED_EVENT } ); 1 }, 1, 'process still calls';
    is scalar @seen,                                                   1, 'once';
    ok $orphan2->done, 'it is done';
};

subtest 'a watcher made by hand' => sub {
    my $made =
      ZooKeeper::Watcher->new( { dispatcher => $dispatcher, cb => $cb, path => '/m', type => 'get' } );
    @seen = ();
    $made->trigger( '/m', ZOO_CONNECTED_STATE, ZOO_CHANGED_EVENT );
    is $dispatcher->dispatch_event->{path}, '/m', 'can be triggered';
    is scalar @seen,                        1,    'and is called';
};

done_testing;

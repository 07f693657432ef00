package AnyEventSuite;
use strict;
use warnings;

use Exporter 'import';
use Test::More;
use ZooKeeper::Constants;
use ZooKeeper::Dispatcher::AnyEvent;

our @EXPORT = qw(anyevent_suite);

# What the AnyEvent dispatcher does on the loop that AnyEvent has found. A true argument: this loop hands an exception
# of a callback on to whoever runs it; otherwise it warns and goes on. No server is needed.
sub anyevent_suite {
    my ($propagates) = @_;
    note AnyEvent::detect();
    my $changed = { type => ZOO_CHANGED_EVENT, state => ZOO_CONNECTED_STATE,  path => '/x' };
    my $session = { type => ZOO_SESSION_EVENT, state => ZOO_CONNECTING_STATE, path => '' };

    # Runs the loop until the condition holds; says whether it came to hold in time.
    my $loop_until = sub {
        my ($condition) = @_;
        my $late        = 0;
        my $timer       = AnyEvent->timer( after => 30, cb => sub { $late = 1 } );
        while ( !$late && !$condition->() ) {
            my $turn = AnyEvent->condvar;
            my $tick = AnyEvent->timer( after => 0.01, cb => sub { $turn->send } );
            $turn->recv;
        }
        return !$late;
    };

    subtest 'events come while the loop runs' => sub {
        my $dispatcher = ZooKeeper::Dispatcher::AnyEvent->new;
        my @seen;
        my $cb = sub { push @seen, @_ };
        $dispatcher->create_watcher( '/x', $cb, type => 'get' ) for 1 .. 3;
        $dispatcher->trigger_event( path => '/x', type => 'get', event => $changed );
        is scalar @seen, 0, 'nobody is called before it runs';
        ok $loop_until->( sub { @seen == 3 } ), 'all are called when it runs';
        is_deeply \@seen, [ ($changed) x 3 ], 'with the event';
        is $dispatcher->channel->size, 0, 'nothing is left';
    };

    subtest 'many events leave the loop its turns' => sub {
        my $dispatcher = ZooKeeper::Dispatcher::AnyEvent->new;
        my ( $calls, $between ) = ( 0, undef );
        my $watcher = $dispatcher->create_watcher( '', sub { $calls++ }, type => 'default' );
        $dispatcher->send_event( $session, $watcher ) for 1 .. 2000;
        my $idle;
        $idle =
          AnyEvent->timer( after => 0, interval => 0.0001, cb => sub { $between //= $calls if $calls } );
        ok $loop_until->( sub { $calls == 2000 } ), 'all 2000 come';
        cmp_ok $between, '<', 2000, 'and something else came between';
    };

    subtest 'wait' => sub {
        my $dispatcher = ZooKeeper::Dispatcher::AnyEvent->new;
        my @seen;
        my $watcher = $dispatcher->create_watcher( '/x', sub { push @seen, @_ }, type => 'get' );
        is_deeply [ $dispatcher->wait(0.01) ], [undef], 'undef when the time is over';
        is $dispatcher->wait(-1), undef, 'a time in the past does not wait';
        $dispatcher->send_event( $session, $watcher );
        $dispatcher->send_event( $changed, $watcher );
        $dispatcher->send_event($session);
        is_deeply $dispatcher->wait(10), $session,   'an event that its watcher ignores is returned';
        is_deeply \@seen,                [],         'and ignored';
        is_deeply $dispatcher->wait,     $changed,   'one event at a time';
        is_deeply \@seen,                [$changed], 'is dispatched';
        is $dispatcher->channel->size, 1, 'the next one stays';
        is_deeply $dispatcher->wait(0), $session, 'for the next wait';

        my $timer = AnyEvent->timer( after => 0.01, cb => sub { $dispatcher->send_event($changed) } );
        is_deeply $dispatcher->wait(30), $changed, 'the loop runs while it waits';
        ok !eval { $dispatcher->wait('soon'); 1 }, 'no number';
        like $@, qr/\Await: 'soon' is not a number of seconds at \Q${\ __FILE__}\E line/, 'is refused';
    };

    subtest 'wait leaves dispatch_cb to the program' => sub {
        my $dispatcher = ZooKeeper::Dispatcher::AnyEvent->new;
        my $items      = 0;
        my $mine       = sub { $items++; $dispatcher->dispatch_event };
        $dispatcher->dispatch_cb($mine);
        $dispatcher->send_event($changed);
        is_deeply $dispatcher->wait(30), $changed, 'it is called while wait waits';
        is $items,                   1,     'once per item';
        is $dispatcher->dispatch_cb, $mine, 'it is still there';
        $dispatcher->send_event($changed) for 1 .. 3;
        ok $loop_until->( sub { $items == 4 } ), 'and called by the loop';
    };

    subtest 'wait inside a callback of the loop says that it can not' => sub {
        my $dispatcher = ZooKeeper::Dispatcher::AnyEvent->new;
        my ( $error, $place );
        $dispatcher->create_watcher(
            '/x',
            sub {
                $place = __LINE__ + 1;
                eval { $dispatcher->wait(1); 1 } or $error = $@;
            },
            type => 'get'
        );
        $dispatcher->trigger_event( path => '/x', type => 'get', event => $changed );
        is_deeply $dispatcher->wait(30), $changed, 'the outer one gets its event';
        like $error, qr/recursive blocking wait/,               'the inner one dies';
        like $error, qr/at \Q${\ __FILE__}\E line $place\.?$/m, 'at the line of the program';
        is $dispatcher->wait(0.01), undef, 'the next one waits as ever';
    };

    subtest 'a callback that dies' => sub {
        my $dispatcher = ZooKeeper::Dispatcher::AnyEvent->new;
        my ( $calls, @warnings ) = (0);
        local $SIG{__WARN__} = sub { push @warnings, @_ };
        $dispatcher->create_watcher( '/x', sub { die "oops\n" }, type => 'get' );
        $dispatcher->create_watcher( '/x', sub { $calls++ },     type => 'get' );
        $dispatcher->trigger_event( path => '/x', type => 'get', event => $changed );
        my $got = eval { $dispatcher->wait(30) };
        if ($propagates) {
            is $@, "oops\n", 'the loop hands it on';
        }
        else {
            is_deeply $got, $changed, 'the loop goes on, and the event was dispatched';
            like "@warnings", qr/oops/, 'with a warning';
        }
        is $calls, 0, 'wait was for one event';
        ok $loop_until->( sub { $calls == 1 } ), 'the next event comes';
        is $dispatcher->wait(0.01), undef, 'and the next wait is a fresh one';
    };

    subtest 'a dispatcher that goes takes its watch on the descriptor along' => sub {
        my $dispatcher = ZooKeeper::Dispatcher::AnyEvent->new;
        my $calls      = 0;
        my $watcher    = $dispatcher->create_watcher( '/x', sub { $calls++ }, type => 'get' );
        $dispatcher->send_event( $changed, $watcher );
        undef $dispatcher;
        is $watcher->dispatcher, undef, 'the dispatcher is gone';
        my $other = ZooKeeper::Dispatcher::AnyEvent->new;
        $other->send_event($changed);
        is_deeply $other->wait(30), $changed, 'another one works';
        is $calls, 0, 'nobody is called for the one that went';

        my $suicidal = ZooKeeper::Dispatcher::AnyEvent->new;
        $suicidal->create_watcher( '/x', sub { undef $suicidal; $calls++ }, type => 'get' ) for 1 .. 2;
        $suicidal->trigger_event( path => '/x', type => 'get', event => $changed );
        ok $loop_until->( sub { $calls } ), 'a callback may let go of the dispatcher';
    };

    return;
}

1;

package DispatcherSuite;
use strict;
use warnings;

use Exporter 'import';
use Test::More;
use Time::HiRes qw(CLOCK_MONOTONIC clock_gettime);
use DispatcherServerSuite;
use TestZK;
use ZooKeeper::Constants;

our @EXPORT = qw(anyevent_driver dispatcher_suite ioasync_driver mojo_driver poe_driver);

# What every dispatcher does, whatever its loop. The same checks for all of them; a driver says how its loop is run:
#   class       the dispatcher
#   turn        runs the loop for a moment: some hundredths of a second
#   exceptions  what the loop does with one of a callback: "propagate" to whoever runs it, or "warn" and go on
#   nested      whether wait may be called in a callback, else the words with which it dies
#   at_once     whether an event is dispatched when it was sent, and not by the loop
# No server is needed here; DispatcherServerSuite goes on with one.
sub dispatcher_suite {
    my (%driver) = @_;
    my $class    = $driver{class};
    my $new      = sub { return $class->new(@_) };
    my $until    = sub { return loop_until( \%driver, @_ ) };

    subtest 'events come while the loop runs' => sub {
        my $dispatcher = $new->();
        my @seen;
        my $cb = sub { push @seen, @_ };
        $dispatcher->create_watcher( '/x', $cb, type => 'get' ) for 1 .. 3;
        $dispatcher->trigger_event( path => '/x', type => 'get', event => changed() );
        is scalar @seen, $driver{at_once} ? 3 : 0, 'and not before';
        ok $until->( sub { @seen == 3 } ), 'all are called when it runs';
        is_deeply \@seen, [ ( changed() ) x 3 ], 'with the event, duplicate watchers too';
        is $dispatcher->channel->size, 0, 'nothing is left';
        is_deeply $dispatcher->watchers, {}, 'no watcher is left';
    };

    subtest 'many events leave the loop its turns' => sub {
        my $dispatcher = $new->();
        my $calls      = 0;
        my $watcher    = $dispatcher->create_watcher( '', sub { $calls++ }, type => 'default' );
        $dispatcher->send_event( session(), $watcher ) for 1 .. 2000;
        ok $until->( sub { $calls == 2000 } ), 'all 2000 come';
        my $small = $new->();
        my $between;
        my $other = $small->create_watcher( '', sub { $between //= $calls }, type => 'default' );
        $calls = 0;
        $dispatcher->send_event( session(), $watcher ) for 1 .. 2000;
        $small->send_event( session(), $other );
        ok $until->( sub { $calls == 2000 && defined $between } ), 'so does that of another dispatcher';
        cmp_ok $between, '<', 2000, 'before all of these';
      }
      if !$driver{at_once};

    subtest 'wait' => sub {
        my $dispatcher = $new->();
        my @seen;
        is_deeply [ $dispatcher->wait(0.01) ], [undef], 'undef when the time is over';
        is $dispatcher->wait(-1), undef, 'a time in the past does not wait';
        my $watcher = $dispatcher->create_watcher( '/x', sub { push @seen, @_ }, type => 'get' );

   # Sent while wait waits, or it would be too late: a dispatcher that interrupts has dispatched them by then.
        for my $limit ( 60, undef, 0 ) {
            my $words = defined $limit ? "wait($limit)" : 'wait';
            @seen = ();
            local $SIG{ALRM} = sub {
                $dispatcher->send_event( session(), $watcher );
                $dispatcher->send_event( changed(),
                    $dispatcher->create_watcher( '/x', sub { push @seen, @_ } ) );
            };
            Time::HiRes::alarm(0.2);
            is_deeply $dispatcher->wait($limit), session(),
              "$words: an event that its watcher ignores is returned";
            is_deeply \@seen, $driver{at_once} ? [ changed() ] : [], "$words: and ignored";
            ok $until->( sub { @seen == 1 } ), "$words: the next one stays for the loop";
        }
        ok !eval { $dispatcher->wait('soon'); 1 }, 'no number';
        like $@, qr/\Await: 'soon' is not a number of seconds at \Q${\ __FILE__}\E line/, 'is refused';
    };

    subtest 'wait when the event is already there' => sub {
        my $dispatcher = $new->();
        my @seen;
        $dispatcher->create_watcher( '/x', sub { push @seen, @_ }, type => 'get' );
        $dispatcher->trigger_event( path => '/x', type => 'get', event => changed() );
        $dispatcher->send_event( session() );
        is_deeply $dispatcher->wait,     changed(),     'returns it';
        is_deeply \@seen,                [ changed() ], 'and has it dispatched';
        is_deeply $dispatcher->wait(10), session(),     'one event at a time';
        is $dispatcher->wait(0.01), undef, 'and nothing more';
      }
      if !$driver{at_once};

    subtest 'wait does not return early when the loop has not run for a while' => sub {
        my $dispatcher = $new->();
        $dispatcher->wait(0.01);
        my $busy = clock_gettime(CLOCK_MONOTONIC) + 0.7;
        1 while clock_gettime(CLOCK_MONOTONIC) < $busy;
        my $start = clock_gettime(CLOCK_MONOTONIC);
        is $dispatcher->wait(0.5), undef, 'nothing comes';
        cmp_ok clock_gettime(CLOCK_MONOTONIC) - $start, '>=', 0.49, 'for as long as it was told';
    };

    subtest 'wait leaves dispatch_cb to the program' => sub {
        my $dispatcher = $new->();
        my $items      = 0;
        my $mine       = sub { $items++; $dispatcher->dispatch_event };
        $dispatcher->dispatch_cb($mine);
        local $SIG{ALRM} = sub { $dispatcher->send_event( changed() ) };
        Time::HiRes::alarm(0.1);
        is_deeply $dispatcher->wait(30), changed(), 'it is called while wait waits';
        is $items,                   1,     'once per item';
        is $dispatcher->dispatch_cb, $mine, 'it is still there';
        $dispatcher->send_event( changed() ) for 1 .. 3;
        ok $until->( sub { $items == 4 } ), 'and called by the loop';
    };

    subtest 'wait inside a callback' => sub {
        my $dispatcher = $new->();
        my ( $inner, $error, $place, $done );
        $dispatcher->create_watcher(
            '/x',
            sub {
                $dispatcher->send_event( session() );
                $place = __LINE__ + 1;
                eval { $inner = $dispatcher->wait(30); 1 } or $error = $@;
                $done = 1;
            },
            type => 'get'
        );
        local $SIG{ALRM} =
          sub { $dispatcher->trigger_event( path => '/x', type => 'get', event => changed() ) };
        Time::HiRes::alarm(0.1);
        is_deeply $dispatcher->wait(30), changed(), 'the outer one gets its event';
        ok $done, 'the callback was called';
        if ( $driver{nested} eq '1' ) {
            is_deeply $inner, session(), 'the inner one the next';
        }
        else {
            like $error, qr/$driver{nested}/,                       'the inner one dies';
            like $error, qr/at \Q${\ __FILE__}\E line $place\.?$/m, 'at the line of the program';
            ok $until->( sub { !$dispatcher->channel->size } ), 'its event comes later';
        }
        is $dispatcher->wait(0.01), undef, 'the next one waits as ever';
    };

    subtest 'a callback that dies' => sub {
        my $dispatcher = $new->();
        my ( $calls, $words ) = ( 0, '' );
        local $SIG{__WARN__} = sub { $words .= $_[0] };
        $dispatcher->create_watcher( '/x', sub { die "oops\n" }, type => 'get' );
        $dispatcher->create_watcher( '/x', sub { $calls++ },     type => 'get' );
        for my $round ( 1 .. 3 ) {
            $calls = 0;
            $words = '';
            $dispatcher->create_watcher( '/y', sub { die "oops $round\n" }, type => 'get' );
            $dispatcher->create_watcher( '/y', sub { $calls++ },            type => 'get' ) for 1 .. 2;
            my $died = eval {
                $dispatcher->trigger_event( path => '/y', type => 'get', event => changed('/y') );
                $until->( sub { $calls || $words } );
                1;
            } ? '' : $@;
            if ( $driver{exceptions} eq 'propagate' ) {
                is $died, "oops $round\n", "round $round: the loop hands it on";
            }
            else {
                is $died, '', "round $round: the loop goes on";
                like $words, qr/oops $round/, 'with a warning';
            }
            ok $until->( sub { $calls == 2 } ), 'the events behind it come all the same';
        }
        is $dispatcher->channel->size, 0, 'nothing is left';
    };

    subtest 'a callback that dies while wait waits' => sub {
        my $dispatcher = $new->();
        my ( $calls, $words ) = ( 0, '' );
        local $SIG{__WARN__} = sub { $words .= $_[0] };
        $dispatcher->create_watcher( '/x', sub { die "oops\n" }, type => 'get' );
        $dispatcher->create_watcher( '/x', sub { $calls++ },     type => 'get' );
        local $SIG{ALRM} =
          sub { $dispatcher->trigger_event( path => '/x', type => 'get', event => changed() ) };
        Time::HiRes::alarm(0.1);
        my $got = eval { $dispatcher->wait(30) };

        if ( $driver{exceptions} eq 'propagate' ) {
            is $@, "oops\n", 'the loop hands it on';
        }
        else {
            is_deeply $got, changed(), 'the event was dispatched';
            like $words, qr/oops/, 'with a warning';
        }
        is $calls, 0, 'wait was for one event' if !$driver{at_once};
        ok $until->( sub { $calls == 1 } ), 'the next event comes';
        is $dispatcher->wait(0.01), undef, 'and the next wait is a fresh one';
    };

    subtest 'watchers' => sub {
        my $dispatcher = $new->();
        my @seen;
        my $one   = $dispatcher->create_watcher( '/x', sub { push @seen, 'one' }, type => 'get' );
        my $two   = $dispatcher->create_watcher( '/x', sub { push @seen, 'two' }, type => 'get' );
        my $cb    = sub { $dispatcher->remove_watcher($two) };
        my $first = $dispatcher->create_watcher( '/x', $cb, type => 'exists' );
        local $SIG{ALRM} = sub { $dispatcher->send_event( changed(), $_ ) for $first, $two, $one };
        Time::HiRes::alarm(0.1);
        ok $until->( sub { @seen } ), 'those behind a removed one are called';
        is_deeply \@seen, ['one'], 'the one that a callback removes is not, though its event was there';
        is_deeply [ $dispatcher->get_watchers ], [], 'all are gone';
    };

    subtest 'session events' => sub {
        for my $ignore ( 1, 0 ) {
            my $dispatcher = $new->( ignore_session_events => $ignore );
            my @seen;
            my $watcher = $dispatcher->create_watcher( '/x', sub { push @seen, @_ },      type => 'get' );
            my $default = $dispatcher->create_watcher( '', sub { push @seen, 'default' }, type => 'default' );
            $dispatcher->send_event( session(), $_ ) for $watcher, $default;
            ok $until->(
                sub {
                    grep { $_ eq 'default' } @seen;
                }
              ),
              'the default watcher hears of them';
            is_deeply \@seen, [ $ignore ? () : session(), 'default' ], "ignore_session_events $ignore";
            ok !$watcher->done, 'the other one stays armed';
        }
    };

    subtest 'a dispatcher that goes leaves the loop' => sub {
        my $dispatcher = $new->();
        my $calls      = 0;
        my $watcher    = $dispatcher->create_watcher( '', sub { $calls++ }, type => 'default' );
        $dispatcher->send_event( session(), $watcher );
        my $before = $calls;
        undef $dispatcher;
        is $watcher->dispatcher, undef, 'it is gone';
        my $other = $new->();
        local $SIG{ALRM} = sub { $other->send_event( changed() ) };
        Time::HiRes::alarm(0.1);
        is_deeply $other->wait(30), changed(), 'another one works';
        is $calls, $before, 'nobody is called for the one that went';

        my $suicidal = $new->();
        $calls = 0;
        $suicidal->create_watcher( '/x', sub { undef $suicidal; $calls++ }, type => 'get' ) for 1 .. 2;
        my @both = $suicidal->get_watchers;
        $suicidal->trigger_event( path => '/x', type => 'get', event => changed() );
        ok $until->( sub { $calls } ), 'a callback may let go of the dispatcher';
        is $both[1]->dispatcher, undef, 'it is gone then';
    };

    subtest 'no descriptor is kept' => sub {
        $new->()->wait(0.01);
        my $before = open_files();
        for ( 1 .. 50 ) {
            my $dispatcher = $new->();
            $dispatcher->create_watcher( '/x', sub { }, type => 'get' );
            $dispatcher->trigger_event( path => '/x', type => 'get', event => changed() );
            $until->( sub { !$dispatcher->get_watchers } );
        }
        is open_files(), $before, 'by 50 dispatchers';
    };

    subtest 'with a server' => sub {
        my $reason = ZooKeeper::Test::Server->unavailable;
        plan skip_all => $reason if defined $reason && !$ENV{ZOOKEEPER_TEST_REQUIRE};
        dispatcher_server_suite( \%driver, $until );
    };
    return;
}

# For whatever loop AnyEvent has found.
sub anyevent_driver {
    my $turn = sub {
        my $over = AnyEvent->condvar;
        my $tick = AnyEvent->timer( after => 0.01, cb => sub { $over->send } );
        $over->recv;
    };
    return (
        class  => 'ZooKeeper::Dispatcher::AnyEvent',
        turn   => $turn,
        nested => 'recursive blocking wait',
    );
}

sub ioasync_driver {
    return (
        class      => 'ZooKeeper::Dispatcher::IOAsync',
        turn       => sub { IO::Async::Loop->new->loop_once(0.01) },
        exceptions => 'propagate',
        nested     => 1,
    );
}

sub mojo_driver {
    my $turn = sub {
        Mojo::IOLoop->timer( 0.01 => sub { Mojo::IOLoop->stop } );
        Mojo::IOLoop->start;
    };
    return (
        class      => 'ZooKeeper::Dispatcher::Mojo',
        turn       => $turn,
        exceptions => 'warn',
        nested     => 1,
    );
}

sub poe_driver {
    my $turn = sub {
        my $over;
        POE::Session->create(
            inline_states => {
                _start => sub { $POE::Kernel::poe_kernel->delay( tick => 0.01 ) },
                tick   => sub { $over = 1 },
            }
        );
        POE::Kernel->run_one_timeslice while !$over;
    };
    return (
        class      => 'ZooKeeper::Dispatcher::POE',
        turn       => $turn,
        exceptions => 'propagate',
        nested     => 1,
    );
}

sub loop_until {
    my ( $driver, $condition ) = @_;
    my $end = clock_gettime(CLOCK_MONOTONIC) + 60;
    while ( !$condition->() ) {
        return 0 if clock_gettime(CLOCK_MONOTONIC) > $end;
        $driver->{turn}->();
    }
    return 1;
}

sub open_files {
    opendir my $dir, '/proc/self/fd' or die "/proc/self/fd: $!\n";
    return scalar grep { !/\A\./ } readdir $dir;
}

sub changed {
    my ($path) = @_;
    return { type => ZOO_CHANGED_EVENT, state => ZOO_CONNECTED_STATE, path => $path // '/x' };
}

sub session { return { type => ZOO_SESSION_EVENT, state => ZOO_CONNECTING_STATE, path => '' } }

1;

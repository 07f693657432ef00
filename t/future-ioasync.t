# Futures of ours among those of IO::Async, whose loop brings both.
use strict;
use warnings;
use Test::More;
use lib 't/lib';

BEGIN {
    $ENV{IO_ASYNC_LOOP} = 'Poll';
    plan skip_all => 'needs Future (package libfuture-perl)'      if !eval { require Future };
    plan skip_all => 'needs IO::Async (package libio-async-perl)' if !eval { require IO::Async::Loop };
}
use TestZK;
use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my $loop   = IO::Async::Loop->new;
my $zk     = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'IOAsync' );
my $setup  = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
my $top    = $setup->create( fresh_path('ioasync'), value => 'top' );

sub await_in_loop {
    my ($future) = @_;
    return scalar deadline( 60, sub { $loop->await($future) } );
}

sub get_ok {
    my ( $future, $values, $name ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @got = eval {
        deadline 60, sub { $future->get };
    };
    my $died = $@;
    return is_deeply( \@got, $values, $name ) || diag($died);
}

subtest 'await of the loop' => sub {
    my $future = $zk->get_f($top);
    ok !$future->is_ready, 'one that is not ready';
    is await_in_loop($future), $future, 'is waited for';
    is_deeply [ $future->result ], [ $setup->get($top) ], 'and has the result';
    my $failing = $zk->get_f("$top/none");
    await_in_loop($failing);
    is_deeply [ map { $_->code } $failing->failure ], [ZNONODE], 'or the error';
    my @both = map { $zk->get_f($_) } $top, "$top/none";
    deadline 60, sub { $loop->await_all(@both) };
    ok !( grep { !$_->is_ready } @both ), 'await_all';
};

subtest 'get in callbacks of the loop that are none of ours' => sub {
    my %got;
    my %start = (
        later => sub { $loop->later( $_[0] ) },
        timer => sub { $loop->watch_time( after => 0.01, code => $_[0] ) },
        done  => sub {
            my ($code) = @_;
            return $loop->delay_future( after => 0.01 )->on_done($code)->retain;
        },
    );
    for my $where ( sort keys %start ) {
        $start{$where}->(
            sub {
                $got{$where} = eval { scalar $zk->get_f($top)->get } // "died: $@";
                $loop->stop;
            }
        );
        deadline 60, sub { $loop->run };
        is $got{$where}, 'top', $where;
    }
    my $nested;
    $loop->later(
        sub {
            $loop->later(
                sub {
                    $nested = eval { scalar $zk->get_f("$top/none")->get } // $@;
                    $loop->stop;
                }
            );
            $got{outer} = $zk->get_f($top)->get;
        }
    );
    deadline 60, sub { $loop->run until $nested };
    is $got{outer},   'top',   'one within another: the outer one';
    is $nested->code, ZNONODE, 'and the inner one';
};

subtest 'get inside a callback of ours' => sub {
    my ( $error, $line, $later );
    $zk->get(
        $top,
        cb => sub {
            $later = $zk->get_f($top);
            $line  = __LINE__ + 1;
            eval { $later->get; 1 } or $error = $@;
            $loop->stop;
        }
    );
    deadline 60, sub { $loop->run };
    like $error, qr/a pending future can not be waited for inside a callback/, 'dies';
    like $error, qr/ at \Q${\ __FILE__}\E line $line\.$/,                      'at the line of the program';
    get_ok $later, [ $setup->get($top) ], 'the future is none the worse for it';
};

subtest 'await of the loop inside a callback of ours' => sub {
    my ( @got, $answered );
    $zk->get(
        $top,
        cb => sub {
            my $inner = $zk->get_f($top);
            $loop->await($inner);
            push @got, $inner->result;
        }
    );
    $zk->get( $top, cb => sub { $answered++ } );
    deadline 60, sub { $loop->loop_once until @got };
    is_deeply \@got, [ $setup->get($top) ], 'runs the loop in the loop';
    ok $answered, 'which deals with what is queued';
};

subtest 'with timeouts of the loop' => sub {
    for my $first ( 0, 1 ) {
        my $name  = $first ? 'the timeout first' : 'ours first';
        my $ours  = $zk->get_f($top);
        my $limit = $loop->timeout_future( after => 100 );
        my $any   = Future->wait_any( $first ? ( $limit, $ours ) : ( $ours, $limit ) );
        get_ok $any, [ $setup->get($top) ], "$name: an answer in time";
        ok $limit->is_cancelled, "$name: the loser is cancelled";
    }
    $server->pause;
    for my $first ( 0, 1 ) {
        my $name  = $first ? 'the timeout first' : 'ours first';
        my $ours  = $zk->set_f( $top, "late $first" );
        my $limit = $loop->timeout_future( after => 0.05 );
        my $any   = Future->wait_any( $first ? ( $limit, $ours ) : ( $ours, $limit ) );
        ok !eval {
            deadline 60, sub { $any->get };
            1;
        }, "$name: none in time";
        like $@, qr/\ATimeout/, "$name: it fails as the loop has it";
        ok $ours->is_cancelled, "$name: ours is cancelled";
    }
    $server->resume;
    get_ok $zk->get_f($top)->then( sub { Future->done( $_[0] ) } ), ['late 1'],
      'the requests had gone out all the same, and their answers harm nobody';
};

subtest 'cancelled before it is sent' => sub {
    my $called = 0;
    my $future = $zk->get_f($top)->on_ready( sub { $called++ } );
    my $watch  = $zk->exists_f( $top, watcher => sub { $called++ } );
    $_->cancel for $future, $watch;
    get_ok $zk->get_f($top)->then( sub { Future->done( $_[0] ) } ), ['late 1'], 'the next one is answered';
    is $called, 1, 'on_ready was called for the cancel, and not again';
    $setup->set( $top, 'top' );
    deadline 60, sub { $loop->loop_once until $called > 1 };
    is $called, 2, 'the watch was set: cancelling drops the answer, not the request';
};

subtest 'get of what is made of both kinds' => sub {
    my @top   = $setup->get($top);
    my $delay = sub { $loop->delay_future( after => 0.02 )->then_done(@_) };
    my $ours  = sub { $zk->get_f($top) };
    get_ok $ours->()->then( sub { $delay->( 'after', $_[0] ) } ), [ 'after', 'top' ],
      'ours, then the loop\'s';
    get_ok $delay->()->then($ours),              \@top, 'the loop\'s, then ours';
    get_ok $ours->()->then($delay)->then($ours), \@top, 'three of them';
    get_ok( Future->needs_all( $ours->(), $delay->('d') ), [ @top, 'd' ], 'needs_all' );
    get_ok( Future->needs_all( $delay->('d'), $ours->() ), [ 'd', @top ], 'needs_all, the loop\'s first' );
    get_ok( Future->needs_any( $zk->get_f("$top/none"), $delay->('d') ), ['d'], 'needs_any' );
    get_ok $zk->get_f("$top/none")->else( sub { $delay->( $_[0]->code ) } ), [ZNONODE], 'else';
    get_ok( $zk->get_f("$top/none")->catch( sub { Future->fail('other') } )->else_done('fine'),
        ['fine'], 'catch' );
    get_ok $ours->()->without_cancel,                                   \@top, 'without_cancel';
    get_ok $ours->()->followed_by( sub { $delay->( $_[0]->result ) } ), \@top, 'followed_by';
    my @waited = deadline 60, sub { Future->wait_all( $delay->(), $zk->get_f("$top/none") )->get };
    is_deeply [ map { $_->is_done ? 'done' : 'failed' } @waited ], [qw(done failed)], 'wait_all';
    my $plain = Future->new;
    $loop->watch_time( after => 0.02, code => sub { $plain->done('plain') } );
    get_ok( Future->needs_all( $plain, $ours->() ), [ 'plain', @top ], 'one that knows no loop, among ours' );
};

subtest 'Future::Utils' => sub {
    require Future::Utils;
    my @nodes = map { "$top/n$_" } 1 .. 50;
    my $most  = my $now = 0;
    my $all   = Future::Utils::fmap_concat(
        sub {
            my ($node) = @_;
            $most = $now if ++$now > $most;
            return $zk->create_f($node)->on_ready( sub { $now-- } );
        },
        foreach    => [@nodes],
        concurrent => 5
    );
    get_ok $all, \@nodes, 'fmap_concat';
    is $most, 5, 'as many at a time as it is told';
    my $tries = 0;
    my $until = Future::Utils::repeat( sub { $tries++; $zk->set_f( $nodes[0], $tries ) },
        until => sub { $_[0]->result->{version} == 3 } );
    get_ok $until->then( sub { Future->done($tries) } ),                                     [3], 'repeat';
    get_ok Future::Utils::try_repeat( sub { $zk->delete_f( $_[0] ) }, foreach => [@nodes] ), [], 'try_repeat';
    is_deeply [ $setup->get_children($top) ], [], 'in turn';
};

subtest 'async and await' => sub {
    plan skip_all => 'needs Future::AsyncAwait (package libfuture-asyncawait-perl)'
      if !eval { require Future::AsyncAwait };
    my $made = eval <<'CODE' or die $@;    ## no critic (StringyEval)
        use Future::AsyncAwait;
        +{
            mixed => async sub {
                my ( $data, $stat ) = await $zk->get_f($top);
                await $loop->delay_future( after => 0.02 );
                await $zk->create_f( "$top/async", value => $data );
                return ( $data, await $zk->get_f("$top/async") );
            },
            loop_first => async sub {
                await $loop->delay_future( after => 0.02 );
                return await $zk->get_f($top);
            },
            caught => async sub {
                return eval { await $zk->get_f("$top/none"); 1 } ? 'there' : $@->code;
            },
            thrown => async sub { await $zk->get_f("$top/none") },
        };
CODE
    my $mixed = $made->{mixed}->();
    isa_ok $mixed, 'ZooKeeper::Future', 'what awaits one of ours first';
    my @got = deadline 60, sub { $mixed->get };
    is_deeply \@got, [ 'top', $setup->get("$top/async") ], 'has its result';
    get_ok $made->{loop_first}->(), [ $setup->get($top) ], 'what awaits one of the loop\'s first';
    get_ok $made->{caught}->(),     [ZNONODE],             'eval catches what await throws';
    my $thrown = $made->{thrown}->();
    await_in_loop($thrown);
    isa_ok + ( $thrown->failure )[0], 'ZooKeeper::Error', 'or it is the failure';
    my $cancelled = $made->{mixed}->();
    $cancelled->cancel;
    get_ok $zk->exists_f($top), [ $setup->exists($top) ], 'one that is cancelled ends nothing else';
};

subtest 'the end of the session' => sub {
    my $handle = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'IOAsync' );
    $handle->wait_connected;
    $server->pause;
    my $pending = $handle->get_f($top);
    $loop->later( sub { $handle->close } );
    await_in_loop($pending);
    is + ( $pending->failure )[0]->code, ZCLOSING,
      'close in a callback of the loop ends a wait for what is pending';
    $server->resume;
};

done_testing;

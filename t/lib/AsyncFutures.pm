package AsyncFutures;
use strict;
use warnings;

use Exporter 'import';
use Future;
use Test::More;
use TestZK;
use ZooKeeper::Constants;

our @EXPORT = qw(async_futures);

# What futures of ours do as futures: with the loop, with each other, with async and await.
sub async_futures {
    my ($stage) = @_;
    subtest 'get runs the loop'                           => sub { outside($stage) };
    subtest 'inside a callback get of a pending one dies' => sub { inside($stage) };
    subtest 'failures'                                    => sub { failures($stage) };
    subtest 'futures that outlive their handle'           => sub { outliving($stage) };
    subtest 'futures made of futures'                     => sub { derived($stage) };
    return if !$stage->has_loop;    # the rest is about pending ones, and an interrupt may have settled them
    subtest 'cancel'          => sub { cancelled($stage) };
    subtest 'async and await' => sub { awaited($stage) };
    return;
}

sub outside {
    my ($stage) = @_;
    my $zk      = $stage->handle;
    my $path    = $stage->node;
    my $got     = 0;
    deadline 60, sub { $got += $zk->get_f($path)->get eq 'v' for 1 .. 100 };
    is $got, 100, 'one after the other';

    my @futures = map { $zk->set_f( $path, $_ ) } 1 .. 20;
    my $last    = deadline 60, sub { $futures[-1]->get };
    is $last->{version}, 20, 'the last of many';
    is_deeply [ map { $_->is_done && $_->get->{version} } @futures ], [ 1 .. 20 ],
      'those before it are ready, too';

    my ( $data, $stat ) = deadline 60, sub { $zk->get_f($path)->get };
    is_deeply [ $data, $stat->{version} ], [ 20, 20 ], 'list context';
    is scalar( $zk->get_f($path)->get ), 20, 'scalar context';
    my $awaited = $zk->get_f($path);
    is $awaited->await, $awaited, 'await returns the future';
    ok $awaited->is_done, 'when it is ready';
    my $seen;
    $zk->get( $path, watcher => sub { $seen++ } );
    $stage->setup->set( $path, 'x' );
    $zk->get_f($path)->get;
    ok $stage->until( sub { $seen } ), 'watchers are called meanwhile, or later';
    return;
}

sub inside {
    my ($stage) = @_;
    my $zk      = $stage->handle;
    my $path    = $stage->node;
    my ( $line, $error, $pending, $ready, $value, $kind );
    my $try = sub {
        $pending = $zk->get_f($path);
        $line    = __LINE__ + 1;
        eval { $value = $pending->get; 1 } or $error = $@;
    };
    my $chain = sub {
        $pending = $zk->get_f($path)->then( sub { $zk->get_f($path) } );
        $line    = __LINE__ + 1;
        eval { $value = $pending->get; 1 } or $error = $@;
    };
    my %inside = (
        cb      => sub { $zk->exists( $path, cb => $try ) },
        derived => sub { $zk->exists( $path, cb => $chain ) },
        on_done => sub { $zk->exists_f($path)->on_done($try) },
        on_fail => sub { $zk->get_f("$path/none")->on_fail($try) },
        then    => sub {
            $zk->exists_f($path)->then( sub { $try->(); Future->done } )->retain;
        },
        watcher => sub { $zk->exists( $path, watcher => $try ); $stage->setup->set( $path, 'v' ) },
        commit  => sub { $zk->multi_read->get($path)->commit( cb => $try ) },
        path    => sub { $zk->ensure_path( "$path/x", cb => $try ) },
    );
    delete @inside{qw(derived on_done on_fail then)}
      if !$stage->has_loop;    # one that is ready by now calls at once
    for ( sort keys %inside ) {
        $kind = $_;
        undef $pending;
        undef $error;
        my $behind;
        $inside{$kind}->();
        $zk->get( $path, cb => sub { $behind = 1 } );
        ok $stage->until( sub { $pending } ), "$kind: it is called";
        like $error,
qr/\A(?:await: )?a pending future can not be waited for inside a callback.* at \Q${\ __FILE__}\E line $line\.\n\z/,
          "$kind: and get dies, at the line of the program";
        ok $stage->until( sub { $pending->is_ready && $behind } ), "$kind: nothing is lost by it";
        is scalar $pending->get, 'v', "$kind: later it is ready";
    }
    $zk->exists( $path, cb => sub { $value = $pending->get } );
    ok $stage->until( sub { $value } ), 'one that is ready';
    is $value,                 'v', 'has its result inside a callback, too';
    is $zk->get_f($path)->get, 'v', 'outside get waits as ever';
    return;
}

sub derived {
    my ($stage) = @_;
    my $zk      = $stage->handle;
    my $path    = $stage->node;
    my $get     = sub { $zk->get_f($path) };
    my $none    = sub { $zk->get_f("$path/none") };
    my %made    = (
        then => [
            sub {
                $get->()->then( sub { Future->done("then $_[0]") } );
            },
            'then v'
        ],
        'then pending' => [
            sub {
                $get->()->then( sub { $zk->exists_f("$path/none") } );
            },
            undef
        ],
        else => [
            sub {
                $none->()->else( sub { Future->done( 'else', $_[0]->code ) } );
            },
            'else',
            ZNONODE
        ],
        'then else' => [
            sub {
                $none->()->then( sub { die 'no' }, sub { Future->done( $_[0]->path ) } );
            },
            "$path/none"
        ],
        catch => [
            sub {
                $none->()->catch( sub { Future->done('caught') } );
            },
            'caught'
        ],
        followed_by => [
            sub {
                $none->()->followed_by( sub { Future->done( ref $_[0] ) } );
            },
            'ZooKeeper::Future'
        ],
        transform => [
            sub {
                $get->()->transform( done => sub { "transformed $_[0]" } );
            },
            'transformed v'
        ],
        without_cancel => [
            sub {
                $get->()->without_cancel->then( sub { Future->done( $_[0] ) } );
            },
            'v'
        ],
        needs_all => [
            sub {
                Future->needs_all( map { $_->() } ($get) x 3 )->then( sub { Future->done( scalar @_ ) } );
            },
            6
        ],
        needs_any => [
            sub {
                Future->needs_any( $none->(), $get->() )->then( sub { Future->done( $_[0] ) } );
            },
            'v'
        ],
        wait_all => [
            sub {
                Future->wait_all( $none->(), $get->() )->then(
                    sub {
                        Future->done( map { $_->is_done ? 'done' : 'failed' } @_ );
                    }
                );
            },
            'failed',
            'done'
        ],
        wait_any    => [ sub { Future->wait_any( $zk->exists_f("$path/none"), Future->new ) }, undef ],
        'then_done' => [ sub { $get->()->then_done( 1, 2 ) }, 1, 2 ],
        mixed       => [
            sub {
                Future->needs_all( Future->done('plain'), $get->()->then_done('ours') );
            },
            'plain',
            'ours'
        ],
        'three deep' => [
            sub {
                $get->()->then(
                    sub {
                        $get->()->then( sub { $get->()->then_done('deep') } );
                    }
                );
            },
            'deep'
        ],
    );
    for my $name ( sort keys %made ) {
        my ( $make, @expected ) = @{ $made{$name} };
        my $future = $make->();
        isa_ok $future, 'ZooKeeper::Future', $name if !$future->is_ready;
        is_deeply deadline( 60, sub { [ $future->get ] } ), \@expected, "$name: get";
        $future = $make->();
        ok $stage->until( sub { $future->is_ready } ), "$name: the loop";
        is_deeply [ $future->get ], \@expected, "$name: comes to the same";
    }
    my $failing = Future->needs_all( $get->(), $none->() );
    ok !eval { $failing->get; 1 }, 'needs_all of one that fails';
    is $@->code, ZNONODE, 'fails with its error';

    my @two = map { $stage->pending_handle->get_f($path) } 1 .. 2;
    is_deeply [ map { $_->code } map { $_->failure } Future->wait_all(@two)->get ], [ ZCLOSING, ZCLOSING ],
      'of handles that are gone';
    return;
}

sub failures {
    my ($stage) = @_;
    my $zk      = $stage->handle;
    my $future  = $zk->get_f('/async-none');
    my $line    = __LINE__ - 1;
    ok !eval { $future->get; 1 }, 'get';
    isa_ok $@, 'ZooKeeper::Error', 'what it dies of';
    my @failure = $future->failure;
    is_deeply [ scalar @failure, $failure[0]->code, $failure[0] + 0 ], [ 1, ZNONODE, ZNONODE ],
      'the error object alone';
    like $failure[0], qr/\AError getting data for node '\S+': no node at \Q${\ __FILE__}\E line $line\.\n\z/,
      'with the line of the call';
    my $scalar = $future->failure;
    is $scalar, $failure[0], 'in scalar context the same';

    my $busy    = $stage->pending_handle( max_in_flight => 2 );
    my @futures = map { $busy->get_f("/$_") } 1 .. 3;
    ok $stage->until( sub { $futures[2]->is_ready } ), 'more than max_in_flight';
    is $futures[2]->failure->code, ZTHROTTLEDOP, 'are refused';
    ok !$futures[0]->is_ready && !$futures[1]->is_ready, 'the others wait on';

    my $lost = $stage->pending_handle( timeout => 100, request_timeout => 50 );
    my $late = $lost->set_f( '/x', 'v' );
    is deadline( 60, sub { $late->await } )->failure->code, ZCONNECTIONLOSS,
      'no connection within the session timeout';
    ok !$late->failure->maybe_applied, 'was never sent';
    my $short = $stage->pending_handle->get_f( '/x', request_timeout => 0.1 );
    is $short->failure->code, ZCLOSING, 'a handle that is gone';
    my $own = $stage->pending_handle;
    $short = $own->get_f( '/x', request_timeout => 0.1 );
    is deadline( 60, sub { $short->await } )->failure->code, ZOPERATIONTIMEOUT,
      'no answer within request_timeout';
    return;
}

sub cancelled {
    my ($stage) = @_;
    my $zk      = $stage->handle;
    my $path    = $stage->node;
    my @calls;
    my $future = $zk->set_f( $path, 'changed' )->on_done( sub { push @calls, 'done' } )
      ->on_fail( sub { push @calls, 'fail' } )->on_cancel( sub { push @calls, 'cancel' } );
    $future->cancel;
    is_deeply \@calls, ['cancel'], 'a future is told';
    is $zk->get_f($path)->get, 'changed', 'the request has its effect';
    is_deeply \@calls, ['cancel'], 'and nobody is called for it';
    ok $future->is_cancelled, 'it stays cancelled';

    my $chain = $zk->set_f( $path, 'again' )->then( sub { push @calls, 'then'; $zk->delete_f($path) } );
    $chain->cancel;
    is $zk->get_f($path)->get, 'again', 'of a chain what was asked has its effect';
    is_deeply \@calls, ['cancel'], 'and what comes after it does not';

    my $seen;
    my $watching = $zk->get_f( $path, watcher => sub { $seen++ } );
    $watching->cancel;
    $zk->exists($path);
    $stage->setup->set( $path, 'w' );
    ok $stage->until( sub { $seen } ), 'a watch is part of the effect';

    my $first = Future->wait_any( $zk->get_f($path), $zk->get_f($path) );
    is deadline( 60, sub { $first->get } ), 'w', 'wait_any cancels the others';
    $zk->ensure_path_f("$path/a/b/c")->cancel;
    ok $stage->until( sub { $stage->setup->exists("$path/a/b/c") } ), 'one of several steps takes them all';
    my @many = map { $zk->set_f( $path, $_ ) } 1 .. 10;
    $_->cancel for @many[ 0 .. 8 ];
    is $many[9]->get->{version}, $zk->exists($path)->{version}, 'later ones are fine';
    return;
}

sub awaited {
    my ($stage) = @_;
    plan skip_all => 'needs Future::AsyncAwait (package libfuture-asyncawait-perl)'
      if !eval { require Future::AsyncAwait };
    my $functions = eval <<'PERL' or die $@;    # for the keywords
        use Future::AsyncAwait;
        async sub swap {
            my ( $zk, $path, $new ) = @_;
            my $old  = await $zk->get_f($path);
            my $stat = await $zk->set_f( $path, $new );
            return ( $old, $stat->{version} );
        }
        async sub failing {
            my ( $zk, $path ) = @_;
            my $sum = 0;
            for my $n ( 1 .. 3 ) { $sum += ( await $zk->get_f($path) ) + $n }
            eval { await $zk->get_f("$path/none"); 1 } and die 'no error';
            my $code = $@->code;
            await $zk->delete_f("$path/none");
            return 'not reached';
        }
        async sub waits_inside {
            my ( $zk, $path ) = @_;
            await $zk->exists_f($path);
            return $zk->get_f($path)->get;
        }
        { swap => \&swap, failing => \&failing, waits_inside => \&waits_inside };
PERL
    my $zk   = $stage->handle;
    my $path = $stage->node;
    my $swap = $functions->{swap}->( $zk, $path, 7 );
    isa_ok $swap, 'ZooKeeper::Future', 'what an async sub returns';
    is_deeply deadline( 60, sub { [ $swap->get ] } ), [ 'v', 1 ], 'its get runs the loop';
    my $failing = $functions->{failing}->( $zk, $path );
    ok $stage->until( sub { $failing->is_ready } ), 'the loop takes it to its end';
    is_deeply [ map { ref, $_->code, $_->op } $failing->failure ], [ 'ZooKeeper::Error', ZNONODE, 'delete' ],
      'an error comes out as it went in';
    my $inside = $functions->{waits_inside}->( $zk, $path );
    ok $stage->until( sub { $inside->is_ready } ), 'get after an await is inside a callback';
    like $inside->failure, qr/can not be waited for inside a callback/, 'and dies';
    return;
}

sub outliving {
    my ($stage) = @_;
    my $zk = $stage->pending_handle;
    my @told;
    my $future = $zk->get_f('/x');
    my $chain =
      $future->then( sub { push @told, 'done' }, sub { push @told, $_[0]->code; Future->fail( $_[0] ) } );
    undef $zk;
    is_deeply \@told, [ZCLOSING], 'they are settled when it goes';
    is $chain->failure->code, ZCLOSING, 'and what is made of them';
    undef $future;

    my $dispatcher = $stage->runs( $stage->driver->{class}->new );
    my ( $one, $other ) = map { $stage->pending_handle( dispatcher => $dispatcher ) } 1 .. 2;
    my ( $of_one, $of_other ) = map { $_->get_f('/x') } $one, $other;
    undef $one;
    is $of_one->failure->code, ZCLOSING, 'two handles on a dispatcher: one goes';
    ok !$of_other->is_ready, 'what the other one was asked is pending';
    $other->close;
    is deadline( 60, sub { $of_other->await } )->failure->code, ZCLOSING, 'until it is closed';

    my $never = $of_other->new;
    undef $_ for $other, $dispatcher;
    my $line = __LINE__ + 1;
    ok !eval { $never->get; 1 }, 'one that nothing will settle';
    like $@, qr/the dispatcher of this future is gone.* at \Q${\ __FILE__}\E line $line\.$/,
      'does not wait for ever';
    return;
}

1;

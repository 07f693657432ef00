package AsyncCallbacks;
use strict;
use warnings;

use Child;
use Exporter 'import';
use Scalar::Util qw(weaken);
use Test::More;
use TestZK;
use ZooKeeper::Constants;

our @EXPORT = qw(async_callbacks);

# What callbacks may do: go on for ever, die, use the handle or do away with it, fork.
sub async_callbacks {
    my ($stage) = @_;
    subtest 'a chain that never ends leaves the loop its turns' => sub { endless($stage) };
    subtest 'a callback that dies'                              => sub { exceptions($stage) };
    subtest 'a callback that would leave a loop'                => sub { leaving($stage) };
    subtest 'what callbacks may do'                             => sub { nested($stage) };
    return;
}

# A turn of the driver ends when a timer of the loop has been called.
sub endless {
    my ($stage) = @_;
    my $path    = $stage->node;
    my $full    = $stage->pending_handle( max_in_flight => 1 );
    $full->get( '/x', cb => sub { } );
    my %handle = ( connected => $stage->handle, full => $full );    # which is answered without a server
    delete $handle{full} if !$stage->has_loop;
    for my $name ( sort keys %handle ) {
        my ( $zk, $calls, $again ) = ( $handle{$name}, 0 );
        $again = sub { $calls++; $zk->get( $path, cb => $again ) if $again };
        $zk->get( $path, cb => $again );
        deadline 60, sub {
            $stage->turn for 1 .. 5;
            $stage->until( sub { $calls > 10 } );
        };
        cmp_ok $calls, '>', 10, "$name: it goes on";
        undef $again;
        $stage->turn;
    }

    my $zk = $stage->handle;
    my ( $calls, $many ) = ( 0, 3000 );
    $zk->get( $path, cb => sub { $calls++ } ) for 1 .. $many;
    $zk->exists($path);
    if ( $stage->has_loop ) {
        my ( $small, $between ) = $stage->handle;
        $small->get( $path, cb => sub { $between //= $calls } );
        $small->exists($path);
        ok $stage->until( sub { defined $between && $calls == $many } ), 'many answers at once';
        cmp_ok $between, '<', $many, 'those of another dispatcher come in between'
          if !$stage->driver->{polls};
    }
    else {
        ok $stage->until( sub { $calls == $many } ), 'many answers at once';
    }
    return;
}

sub exceptions {
    my ($stage) = @_;
    my $zk      = $stage->handle;
    my $path    = $stage->node;
    my $thrown;
    my %dies = (
        cb => sub {
            $zk->get( $path, cb => sub { die $thrown } );
        },
        future => sub {
            $zk->get_f($path)->on_done( sub { die $thrown } );
        },
        failing => sub {
            $zk->get_f("$path/none")->on_fail( sub { die $thrown } );
        },
        path => sub {
            $zk->ensure_path( "$path/a/b", cb => sub { die $thrown } );
        },
        commit => sub {
            $zk->transaction->check( $path, -1 )->commit( cb => sub { die $thrown } );
        },
        watched => sub {
            $zk->get( $path, watcher => sub { }, cb => sub { die $thrown } );
        },
    );
    delete @dies{qw(future failing)} if !$stage->has_loop;    # one that is ready by now calls at once
    for my $kind ( sort keys %dies ) {
        for ( "oops $kind\n", { object => $kind } ) {
            $thrown = $_;
            my $calls = 0;
            my $ask   = sub {
                $zk->exists( $path, watcher => sub { $calls++ } );
                $dies{$kind}->();
                $zk->get( $path, cb => sub { $calls++ } );
                $zk->set( $path, 'w', cb => sub { $calls++ } );
            };
            my @said = $stage->exceptions_of( $ask, sub { $calls == 3 && @{ $_[0] } } );
            is $calls,       3, "$kind: the loop goes on";
            is scalar @said, 1, "$kind: the exception goes to it";
            if ( ref $thrown && !ref $said[0] ) {
                like $said[0], qr/HASH\(/, "$kind: which warns of it";
                ok $stage->driver->{exceptions} eq 'warn' || $INC{'POE.pm'}, "$kind: or hands on the words";
            }
            elsif ( ref $thrown ) {
                is $said[0], $thrown, "$kind: as it is";
            }
            else {
                like $said[0], qr/oops $kind\n/, "$kind: as it is";
            }
        }
    }
    if ( $stage->has_loop ) {
        my $caught = $zk->get_f($path)->then( sub { die "within then\n" } );
        ok $stage->until( sub { $caught->is_ready } ), 'what a then dies of';
        is_deeply [ $caught->failure ], ["within then\n"], 'is the failure of its future';
    }

    my $future;
    my @said = $stage->exceptions_of(
        sub {
            $zk->get( $path, cb => sub { die "oops\n" } );
            $future = $zk->get_f($path);
            eval { $future->get; 1 } or warn $@;
        },
        sub { @{ $_[0] } }
    );
    like "@said", qr/oops\n/, 'it is heard of where the loop is run for a future';
    is $future->get, 'w', 'which is not harmed';
    return;
}

# Perl would go on behind the loop, with our frames still on its stack, and crash sooner or later.
sub leaving {
    my ($stage) = @_;
    no warnings 'exiting';
    my $zk   = $stage->handle;
    my $path = $stage->node;
    my %how  = ( last => sub { last }, next => sub { next }, goto => sub { goto OUT } );
    for my $how ( sort keys %how ) {
        my ( $calls, $rounds ) = ( 0, 0 );
        my $ask = sub {
            $zk->get( $path, cb => sub { $calls++; $how{$how}->() } );
            $zk->get( $path, cb => sub { $calls++ } );
        };
        my @said;
        for my $round ( 1 .. 2 ) {
            $calls = 0;
            push @said, $stage->exceptions_of( $ask, sub { $calls == 2 && @{ $_[0] } } );
            $rounds++;
        }
      OUT:
        is $rounds, 2, "$how: the loop around it is not left";
        is $calls,  2, "$how: the next callback is called";
        like "@said", qr/(?:Can't "$how" outside a loop block|Can't find label OUT)/,
          "$how: it is an exception";
    }

    my ( @calls, @said );
    {
        local $SIG{__WARN__} = sub { push @said, @_ };
        my $own = $stage->pending_handle;
        $own->get( $path, cb => sub { push @calls, 1; last } );
        $own->get( $path, cb => sub { push @calls, 2 } );
        for ( 1 .. 2 ) {
            undef $own;
            push @calls, 'after';
        }
    }
    is_deeply \@calls, [ 1, 2, 'after', 'after' ], 'nor is that around the end of a handle';
    like "@said", qr/Can't "last" outside a loop block/, 'which warns';
    return;
}

sub nested {
    my ($stage) = @_;
    my $setup   = $stage->setup;
    my $path    = $stage->node;
    my $zk      = $stage->handle;
    my @log;
    $zk->get(
        $path,
        cb => sub {
            push @log, scalar $zk->get($path), $zk->get_children($path), $zk->ensure_path("$path/x/y");
            $zk->get(
                $path,
                watcher => sub { push @log, 'watched' },
                cb      => sub {
                    push @log, 'inner';
                    $zk->transaction->set( $path, 'w' )->commit;
                    $zk->get( $path, cb => sub { push @log, "innermost $_[1]" } );
                }
            );
            push @log, 'outer';
        }
    );
    ok $stage->until( sub { @log == 6 } ), 'blocking calls, and more questions';
    is_deeply \@log, [ 'v', "$path/x/y", 'outer', 'inner', 'watched', 'innermost w' ], 'each in its turn';

    for my $end ( 'close', 'undef' ) {
        my $own = $stage->handle;
        my @answers;
        $own->get( $path, cb => sub { push @answers, $_[0]; $end eq 'close' ? $own->close : undef $own } );
        my $asked = 1;
        while ( $own && $asked < 4 ) {    # an interrupt may have called it by now
            $asked++;
            $own->get( $path, cb => sub { push @answers, $_[0] } );
        }
        $own->exists($path) if $stage->has_loop;
        ok $stage->until( sub { @answers == $asked } ), "$end in a callback: all are answered";
        $stage->turn;
        is scalar @answers, $asked, "$end in a callback: once";
        is_deeply [ grep { defined && $_ != ZCLOSING && $_ != ZINVALIDSTATE } @answers ], [],
          "$end in a callback: or not any more";
    }

    my $dispatcher = $stage->handle->dispatcher;
    {
        my $own = $stage->handle( dispatcher => $dispatcher );
        my ( $calls, $gone ) = (0);
        $own->get( $path, cb => sub { undef $own; undef $dispatcher; $gone++; $calls++ } );
        my $asked = 1;
        while ( $own && $asked < 3 ) {
            $asked++;
            $own->get( $path, cb => sub { $calls++ } );
        }
        weaken( my $weak = $dispatcher );
        ok $stage->until( sub { $gone && $calls == $asked } ), 'a callback lets go of handle and dispatcher';
        $stage->turn;
        is $calls, $asked, 'all are answered once';
        is $weak,  undef,  'and gone it is';
    }

    my @children;
    for my $how ( 0, 1 ) {
        $zk->get(
            $path,
            cb => sub {
                push @children, in_child { return "child $how" } exit => $how;
            }
        );
        $zk->get( $path, cb => sub { push @children, 'parent' } );
    }
    ok $stage->until( sub { @children == 4 } ), 'a callback forks';
    is_deeply \@children, [ 'child 0', 'parent', 'child 1', 'parent' ],
      'and the child is gone when it returns';
    is scalar $zk->get($path), 'w', 'the handle works on';
    return;
}

1;

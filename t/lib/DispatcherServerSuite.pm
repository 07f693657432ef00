package DispatcherServerSuite;
use strict;
use warnings;

use Exporter 'import';
use POSIX ();
use Test::More;
use Time::HiRes ();
use TestZK;
use ZooKeeper;
use ZooKeeper::Constants;
use ZooKeeper::Test::Server;

our @EXPORT = qw(dispatcher_server_suite);

# What every dispatcher does with the events of real sessions. Drivers are those of DispatcherSuite, which runs the
# loop until a condition holds.
sub dispatcher_server_suite {
    my ( $driver, $until ) = @_;
    my $server = ZooKeeper::Test::Server->new;
    my $setup  = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
    my $base   = $setup->create( fresh_path('dispatcher') );
    my $handle = sub {
        return ZooKeeper->new( hosts => $server->hosts, dispatcher => "^$driver->{class}", @_ );
    };
    my $node = sub { return $setup->create( "$base/n-", value => 'v', sequential => 1 ) };

    subtest 'watchers are called by the loop' => sub {
        my $zk   = $handle->();
        my $path = $node->();
        my @seen;
        my $cb = sub { push @seen, @_ };
        isa_ok $zk->dispatcher, $driver->{class};
        $zk->get( $path, watcher => $cb );
        $setup->set( $path, 'w' );
        ok $until->( sub { @seen == 1 } ), 'get';
        $zk->exists( "$path/x", watcher => $cb );
        $zk->get_children( $path, watcher => $cb );
        $setup->create("$path/x");
        ok $until->( sub { @seen == 3 } ), 'exists and get_children';
        is_deeply [ map { "$_->{type} $_->{state} $_->{path}" } @seen ],
          [ ZOO_CHANGED_EVENT . " 3 $path", ZOO_CREATED_EVENT . " 3 $path/x", ZOO_CHILD_EVENT . " 3 $path" ],
          'with their events, in the order of the server';
        is_deeply [ $zk->get_watchers ], [], 'once';
    };

    subtest 'duplicate watchers are all called' => sub {
        my $zk    = $handle->();
        my $path  = $node->();
        my $calls = 0;
        my $cb    = sub { $calls++ };
        $zk->get( $path, watcher => $cb ) for 1 .. 3;
        $setup->set( $path, 'w' );
        ok $until->( sub { $calls == 3 } ), 'three times the same';
    };

    subtest 'wait' => sub {
        my $zk   = $handle->();
        my $path = $node->();
        my @seen;
        $zk->get( $path, watcher => sub { push @seen, @_ } );
        is_deeply [ $zk->wait(0.05) ], [undef], 'undef when nothing comes in time';
        for my $limit ( undef, 60 ) {
            @seen = ();
            my $other = later( sub { $server->hosts }, sub { $_[0]->set( $path, 'x' ) } );
            while (@seen) {  # too soon: a dispatcher that interrupts has dispatched it before there is a wait
                waitpid $other, 0;
                @seen = ();
                $zk->get( $path, watcher => sub { push @seen, @_ } );
                $other = later( sub { $server->hosts }, sub { $_[0]->set( $path, 'x' ) } );
            }
            my $event = deadline 60, sub { $zk->wait($limit) };
            is_deeply $event, { type => ZOO_CHANGED_EVENT, state => ZOO_CONNECTED_STATE, path => $path },
              defined $limit ? 'with a limit' : 'without one';
            is_deeply \@seen, [$event], 'its watcher was called';
            waitpid $other, 0;
            $zk->get( $path, watcher => sub { push @seen, @_ } );
        }
        if ( !$driver->{at_once} ) {
            @seen = ();
            $setup->set( $path, 'y' );
            $zk->exists($path);
            is $zk->dispatcher->channel->size, 1,     'when the event is already there';
            is $zk->wait->{path},              $path, 'it is returned at once';
            is scalar @seen,                   1,     'and dispatched';
        }
    };

    subtest 'session events' => sub {
        my ( @session, @seen );
        my $zk   = $handle->( watcher => sub { push @session, $_[0]{state} } );
        my $path = $node->();
        $zk->get( $path, watcher => sub { push @seen, $_[0]{type} } );
        ok $until->(
            sub {
                grep { $_ == ZOO_CONNECTED_STATE } @session;
            }
          ),
          'the default watcher hears of the connection';
        @session = ();
        $server->lose_connection($zk);
        ok $until->( sub { @session && $session[-1] == ZOO_CONNECTED_STATE } ),
          'of its loss, and the next one';
        is $session[0], ZOO_CONNECTING_STATE, 'in this order';
        is_deeply \@seen, [], 'others do not by default';

        $zk = $handle->( ignore_session_events => 0 );
        $zk->get( $path, watcher => sub { push @seen, $_[0]{type} } );
        $server->lose_connection($zk);
        ok $until->( sub { @seen >= 2 } ), 'but when they are asked to';
        is_deeply [ grep { $_ != ZOO_SESSION_EVENT } @seen ], [], 'these are session events';
        @seen = ();
        $setup->set( $path, 'w' );
        ok $until->(
            sub {
                grep { $_ == ZOO_CHANGED_EVENT } @seen;
            }
          ),
          'and they are still armed for their own';
    };

    subtest 'a callback that dies' => sub {
        my $zk    = $handle->();
        my @path  = map { $node->() } 1 .. 3;
        my $calls = 0;
        my $words = '';
        local $SIG{__WARN__} = sub { $words .= $_[0] };
        $zk->get( $path[0], watcher => sub { die "oops\n" } );
        $zk->get( $_, watcher => sub { $calls++ } ) for @path[ 1, 2 ];
        $setup->set( $_, 'w' ) for @path;
        my $died = eval {
            $until->( sub { $words || $calls == 2 } );
            1;
        } ? '' : $@;
        is $driver->{exceptions} eq 'propagate' ? $died : $words =~ /(oops\n)/ && $1, "oops\n",
          'the exception goes where the loop has it go';
        ok $until->( sub { $calls == 2 } ), 'the events behind it come all the same';
        is scalar $zk->get( $path[0] ), 'w', 'and the handle works';
    };

    subtest 'calls made inside callbacks' => sub {
        my $zk   = $handle->();
        my $path = $node->();
        my ( @values, $again );
        $again = sub {
            push @values, scalar $zk->get( $path, watcher => $again );
            $zk->create( "$path/c-", sequential => 1 );
            $zk->transaction->set( $base, "@values" )->commit;
        };
        $zk->get( $path, watcher => $again );
        for my $value ( 1 .. 3 ) {
            $setup->set( $path, $value );
            ok $until->( sub { @values == $value } ), "change $value";
        }
        is_deeply \@values, [ 1 .. 3 ], 'each sees the new value, and watches on';
        undef $again;
    };

    subtest 'close and undef inside a callback' => sub {
        my $path = $node->();
        for my $end ( 'close', 'undef' ) {
            my $zk    = $handle->();
            my $calls = 0;
            $zk->get(
                $path,
                watcher => sub {
                    $calls++;
                    $end eq 'close' ? $zk->close : undef $zk;
                }
            );
            $zk->exists( $path, watcher => sub { $calls++ } ) for 1 .. 2;
            $setup->set( $path, $end );
            ok $until->( sub { $calls } ), $end;
            $until->( sub { $calls > 1 || !$zk || !$zk->dispatcher->channel->size } );
            is $calls, 1, "$end: the watchers go with the handle";
            is $zk ? $zk->state : 'gone', $end eq 'close' ? ZOO_NOTCONNECTED_STATE : 'gone',
              "$end: it is over";
        }
    };

    subtest 'one dispatcher serves two handles' => sub {
        my $dispatcher = $driver->{class}->new;
        my @zk         = map { $handle->( dispatcher => $dispatcher ) } 1 .. 2;
        my $path       = $node->();
        my @calls;
        for my $n ( 0, 1 ) {
            $zk[$n]->get( $path, watcher => sub { push @calls, $n } );
        }
        $setup->set( $path, 'w' );
        ok $until->( sub { @calls == 2 } ), 'both hear of it';
        $_->get( $path, watcher => sub { push @calls, 'again' } ) for @zk;
        $zk[0]->close;
        $setup->set( $path, 'x' );
        ok $until->( sub { @calls == 3 } ), 'one is closed: the other one goes on';
    };

    subtest 'reopen' => sub {
        my @session;
        my $zk   = $handle->( watcher => sub { push @session, $_[0]{state} } );
        my $path = $node->();
        ok $until->( sub { @session && $session[-1] == ZOO_CONNECTED_STATE } ), 'connected';
        @session = ();
        $zk->reopen;
        ok $until->( sub { @session && $session[-1] == ZOO_CONNECTED_STATE } ),
          'the default watcher still works';
        my $calls = 0;
        $zk->get( $path, watcher => sub { $calls++ } );
        $setup->set( $path, 'w' );
        ok $until->( sub { $calls } ), 'and so do others';
    };

    subtest 'a forked child that reopens has a loop of its own' => sub {
        my @seen;
        my $zk   = $handle->();
        my $path = $node->();
        $zk->get( $path, watcher => sub { push @seen, @_ } );
        my $child = in_child(
            sub {
                my @own;
                $zk->reopen;
                $zk->get( $path, watcher => sub { push @own, @_ } );
                $zk->set( $path, 'of the child' );
                return $until->( sub { @own } ) && !@seen ? $own[0]{path} : 'nothing';
            }
        );
        is $child, $path, 'its own watcher is called, the one of the parent is not';
        ok $until->( sub { @seen } ), 'which the parent calls';
    };
    return;
}

# A child that does something with a handle of its own in a moment.
sub later {
    my ( $hosts, $code ) = @_;
    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;
    Time::HiRes::sleep(0.2);
    $code->( ZooKeeper->new( hosts => $hosts->(), dispatcher => 'Pipe' ) );
    POSIX::_exit(0);
}

# What the code returns in a child.
sub in_child {
    my ($code) = @_;
    pipe my $read, my $write or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if ( !$pid ) {
        alarm 100;
        syswrite $write, eval { $code->() } // "died: $@";
        POSIX::_exit(0);
    }
    close $write;
    my $line = deadline 120, sub { scalar readline $read };
    waitpid $pid, 0;
    return $line;
}

1;

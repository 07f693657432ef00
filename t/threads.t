use strict;
use warnings;

use Config;
use Test::More;

# Test::More must know of threads before it is asked for a plan.
BEGIN {
    plan skip_all => 'this perl has no threads' if !$Config{useithreads};
    require threads;

    # Loops made of objects in C don't survive that perl copies these, with or without us.
    $ENV{IO_ASYNC_LOOP} = 'Select';
    $ENV{MOJO_REACTOR}  = 'Mojo::Reactor::Poll';
}
use lib 't/lib';
use Child;
use Dispatchers;
use EveryCall;
use TestZK;

use Time::HiRes qw(setitimer ITIMER_REAL);
use ZooKeeper;
use ZooKeeper::Constants;

# Perl's threads copy all objects. A copy of a handle is inert, and says so; the thread that made the handle notices
# nothing of it.
my $INERT = q(a handle can't be used in another thread);

my $server = test_server();
my $hosts  = $server->hosts;
my $base   = fresh_path('threads');
my $setup  = ZooKeeper->new( hosts => $hosts, dispatcher => 'Pipe' );
$setup->create($base);

sub in_thread {
    my ($code) = @_;
    return threads->create( { context => 'scalar' }, $code )->join;
}

sub error_of {
    my ($code) = @_;
    return eval { $code->(); 1 } ? 'no error' : "$@";
}

for my $dispatcher ( dispatchers() ) {
    subtest "$dispatcher: threads come and go" => sub {
        my $path = $setup->create( "$base/goes-on-", sequential => 1 );
        my ( @seen, @session );
        my $zk =
          ZooKeeper->new( hosts => $hosts, dispatcher => $dispatcher, watcher => sub { push @session, @_ } );
        $zk->get( $path, watcher => sub { push @seen, @_ } ) for 1 .. 3;
        $zk->exists( "$path/x", watcher => sub { push @seen, @_ } );
        my $id          = $zk->client_id->{client_id};
        my $transaction = $zk->transaction->create( "$path/x", value => 'v' );
        $setup->set( $path, 'v' );
        $zk->exists('/');    # its answer comes after the events

        in_thread( sub { 1 } ) for 1 .. 3;
        in_thread( sub { undef $zk; undef $transaction; 1 } );
        in_thread( sub { $zk->close; 1 } );
        in_thread(
            sub {
                in_thread( sub { $zk->close; 1 } );
            }
        );
        $_->join for map {
            threads->create(
                sub {
                    eval { $zk->get($path) }
                }
            )
        } 1 .. 8;

        is $zk->client_id->{client_id}, $id, 'the session goes on';
        wait_for { $zk->wait(1); @seen == 3 } 60, 'the events';
        is_deeply [ map { $_->{path} } @seen ],                [ ($path) x 3 ], 'no event is lost';
        is_deeply [ map { $_->{type} } $transaction->commit ], ['create'], 'the transaction can be committed';
        wait_for { $zk->wait(1); @seen == 4 } 60, 'the event';
        is $seen[3]{path},                                                 "$path/x", 'nor is a watch';
        is scalar( grep { $_->{state} != ZOO_CONNECTED_STATE } @session ), 0, 'the connection was not lost';

        $zk->get(
            $path,
            watcher => sub {
                in_thread( sub { $zk->close; 1 } );
                push @seen, @_;
            }
        ) for 1 .. 2;
        $setup->set( $path, 'in a callback' );
        wait_for { $zk->wait(1); @seen == 6 } 60, 'the events';
        is scalar $zk->get($path), 'in a callback', 'a thread that is made in a callback';
    };

    subtest "$dispatcher: the copies say so" => sub {
        my $zk          = ZooKeeper->new( hosts => $hosts, dispatcher => $dispatcher, watcher => sub { } );
        my $watcher     = $zk->create_watcher( $base, sub { }, type => 'get' );
        my $transaction = $zk->transaction->delete($base);
        my $event       = { type => ZOO_CHANGED_EVENT, state => ZOO_CONNECTED_STATE, path => $base };
        $zk->exists($base);
        is in_thread( sub { join ', ', not_refused( $zk, $base, $INERT ) } ), '', 'every call';
        my %method = (
            transaction => sub { $zk->transaction },
            commit      => sub { $transaction->commit },
            watcher     => sub {
                $zk->watcher( sub { } );
            },
            create_watcher => sub {
                $zk->create_watcher( $base, sub { }, type => 'get' );
            },
            get_watchers          => sub { $zk->get_watchers },
            remove_watcher        => sub { $zk->remove_watcher($watcher) },
            ignore_session_events => sub { $zk->ignore_session_events(1) },
            wait                  => sub { $zk->wait },
            reopen                => sub { $zk->reopen },
        );
        for my $name ( sort keys %method ) {
            like in_thread( sub { error_of( $method{$name} ) } ),
              qr/: invalid zhandle state: \Q$INERT\E at \Q${\ __FILE__}\E line/, $name;
        }
        my %other = (
            'wait of the dispatcher'           => sub { $zk->dispatcher->wait },
            'recv_event of the dispatcher'     => sub { $zk->dispatcher->recv_event },
            'dispatch_event of the dispatcher' => sub { $zk->dispatcher->dispatch_event },
            'send_event of the dispatcher'     => sub { $zk->dispatcher->send_event( $event, $watcher ) },
            'trigger_event of the dispatcher'  =>
              sub { $zk->dispatcher->trigger_event( path => $base, type => 'get' ) },
            'trigger of a watcher' =>
              sub { $watcher->trigger( $base, ZOO_CONNECTED_STATE, ZOO_CHANGED_EVENT ) },
            'a new handle with the dispatcher' =>
              sub { ZooKeeper->new( hosts => $hosts, dispatcher => $zk->dispatcher ) },
        );
        for my $name ( sort keys %other ) {
            like in_thread( sub { error_of( $other{$name} ) } ),
              qr/: a (?:channel|dispatcher) can't be used in another thread at \Q${\ __FILE__}\E line/, $name;
        }
        is in_thread(
            sub {
                join ' ', $zk->state, $zk->is_unrecoverable, $zk->is_connected || 0, $zk->client_id // 'none';
            }
          ),
          ZOO_NOTCONNECTED_STATE . ' 1 0 none', 'what can be asked is answered as by a closed handle';
        is_deeply [ map { $_->type } $zk->get_watchers ], [qw(default get)], 'the handle has its watchers';
        is $zk->exists($base)->{version}, 0, 'and works';
    };
}

subtest 'a thread has handles of its own' => sub {
    my $work = sub {
        my $own = ZooKeeper->new( hosts => $hosts, dispatcher => 'Pipe' );
        my ($path) = $own->create( "$base/own-", ephemeral => 1, sequential => 1 );
        my $event;
        $own->get( $path, watcher => sub { ($event) = @_ } );
        $own->transaction->set( $path, 'v' )->commit;
        wait_for { $own->wait(1); $event } 60, 'the event';
        return $event->{path} eq $path ? scalar $own->get($path) : "not $event->{path}";
    };
    is in_thread($work), 'v', 'one';
    my @threads = map { threads->create( { context => 'scalar' }, $work ) } 1 .. 6;
    is_deeply [ map { $_->join } @threads ],                     [ ('v') x 6 ], 'six at a time';
    is_deeply [ grep { /\Aown-/ } $setup->get_children($base) ], [], 'their sessions end with them';
};

subtest 'a thread that is made in a signal handler, inside a call' => sub {
    my $zk = ZooKeeper->new( hosts => $hosts, timeout => 60_000, dispatcher => 'Pipe' );
    $zk->exists($base);
    my $said;
    local $SIG{ALRM} = sub {
        $said = in_thread(
            sub {
                error_of( sub { $zk->get($base) } );
            }
        );
        $server->resume;
    };
    $server->pause;
    setitimer( ITIMER_REAL, 0.2 );
    is eval { $zk->exists($base)->{version} }, 0, 'the call gets its answer' or diag $@;
    like $said, qr/\Q$INERT/, 'the thread an error';
};

subtest 'fork in a thread' => sub {
    my $zk = ZooKeeper->new( hosts => $hosts, dispatcher => 'Pipe' );
    my $id = do { $zk->exists($base); $zk->client_id->{client_id} };
    is in_thread(
        sub {
            my ($said) = in_child {
                error_of( sub { $zk->get($base) } )
            };
            return $said;
        }
    ) =~ /another thread/, 1, 'its child has no use of the handle';
    is in_thread(
        sub {
            return scalar in_child {
                ZooKeeper->new( hosts => $hosts, dispatcher => 'Pipe' )->exists($base)->{version}
            }
        }
      ),
      0, 'but can have its own';
    is_deeply [
        in_child {
            $zk->reopen;
            in_thread(
                sub {
                    eval { $zk->get($base) } // 'inert';
                }
              ),
              in_thread( sub { 1 } ),
              $zk->exists($base)->{version}
        }
      ],
      [ 'inert', 1, 0 ], 'threads in a child';
    is $zk->exists($base)->{version}, 0,   'the handle works';
    is $zk->client_id->{client_id},   $id, 'in its session';
};

my $PROLOGUE = <<'PERL';
use threads;
use strict;
use warnings;
no warnings 'threads';    # threads that are still there at exit are what this is about
use ZooKeeper;
our ( $hosts, $base, $dispatcher ) = @ARGV;
sub handle { return ZooKeeper->new( hosts => $hosts, timeout => 120_000, dispatcher => shift, watcher => sub { } ) }
our $zk = handle($dispatcher);
$zk->create( "$base/e", ephemeral => 1 );
$zk->get( "$base/e", watcher => sub { } );
$zk->set( "$base/e", 'v' );
our $transaction = $zk->transaction->delete("$base/e");
sub own { our $own = handle('Pipe'); $own->create( "$base/own", ephemeral => 1 ); return $own }
PERL
my %program = (
    'after a thread'               => 'threads->create( sub { 1 } )->join;',
    'after a thread with a handle' => 'threads->create( sub { own(); 1 } )->join;',
    'after a thread with a cycle'  =>
      'threads->create( sub { my $own = own(); $own->{self} = $own; 1 } )->join;',
    'after a thread was detached' => 'threads->create( sub { 1 } )->detach; select undef, undef, undef, 0.2;',
    'by exit in a thread'         => 'threads->create( sub { exit 0 } )->join;',
    'by exit in a thread, which has a handle' => 'threads->create( sub { own(); exit 0 } )->join;',
    'while a thread waits in a call'          =>
'threads->create( sub { my $own = handle("Pipe"); $own->wait_connected; $own->wait } )->detach; select undef, undef, undef, 0.5;',
);

# With and without perl's full clean-up at exit, in turn.
my $level = 0;
for my $dispatcher ( dispatchers() ) {
    for my $name ( sort keys %program ) {
        local $ENV{PERL_DESTRUCT_LEVEL} = $level = 2 - $level;
        my $path = $setup->create( "$base/program-", sequential => 1 );
        my ( undef, $output ) = child_program( $PROLOGUE . $program{$name}, $hosts, $path, $dispatcher );
        my @lines = deadline 60, sub { <$output> };
        close $output;
        is "@lines [$?]", ' [0]', "$dispatcher: a program that ends $name, PERL_DESTRUCT_LEVEL=$level";
        soon_ok { !$setup->get_children($path) } 30, '... and its sessions with it';
    }
}

done_testing;

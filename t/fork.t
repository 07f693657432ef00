use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

use POSIX ();
use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my $base   = fresh_path('fork');
my $setup  = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
$setup->create($base);

# Runs the code in a child, which leaves by the code's own word or by POSIX::_exit, and returns what it returned.
sub in_child {
    my ( $code, $exit ) = @_;
    pipe my $read, my $write or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if ( !$pid ) {
        close $read;
        alarm 120;
        my @lines = eval { $code->() };
        @lines = "died: $@" if $@;
        s/\n/ /g for @lines;
        syswrite $write, join "\n", @lines, '';
        close $write;
        $exit ? exit 0 : POSIX::_exit(0);
    }
    close $write;
    my $lines = deadline 150, sub { [<$read>] };
    chomp @$lines;
    waitpid $pid, 0;
    is $?, 0, 'the child ends well';
    return $lines;
}

my @events;

# The parent's session, with an ephemeral node and a watch, is as it was.
sub goes_on {
    my ( $zk, $name ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $zk->exists("$base/$name")->{ephemeralOwner}, $zk->client_id->{client_id},
      'the parent has its session';
    $setup->set( "$base/$name", 'v' );
    @events = ();
    wait_for { $zk->wait(1); scalar @events } 60, 'the event';
    is $events[0]{path}, "$base/$name", 'and its watch';
    return;
}

sub parent {
    my ($name) = @_;
    my $zk = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'AnyEvent' );
    $zk->create( "$base/$name", ephemeral => 1, value => 'mine' );
    $zk->get( "$base/$name", watcher => sub { push @events, @_ } );
    return $zk;
}

subtest 'a child that does nothing with it' => sub {
    for my $exit ( 0, 1 ) {
        my $zk = parent("exit$exit");
        is_deeply in_child( sub { 'here' }, 0 ), ['here'], $exit ? 'exit' : '_exit';
        goes_on( $zk, "exit$exit" );
    }
};

subtest 'a child that ends as a program does' => sub {
    my $zk    = parent('program');
    my $child = fork // die "fork: $!";
    exec $^X, '-e', '1' or die "exec: $!" if !$child;
    waitpid $child, 0;
    is $?, 0, 'exec';
    $child = fork // die "fork: $!";
    if ( !$child ) {
        Test::More->builder->no_ending(1);
        exit 0;    # all objects are destroyed
    }
    deadline 60, sub { waitpid $child, 0 };
    is $?, 0, 'exit';
    goes_on( $zk, 'program' );
};

subtest 'a child that lets go of it' => sub {
    my $zk = parent('undef');
    is_deeply in_child( sub { undef $zk; 'gone' } ), ['gone'], 'undef';
    goes_on( $zk, 'undef' );
};

subtest 'a child that closes it' => sub {
    my $zk = parent('close');
    is_deeply in_child( sub { $zk->close; $zk->close; $zk->state } ), [ZOO_NOTCONNECTED_STATE], 'close';
    goes_on( $zk, 'close' );
};

subtest 'a child that calls without reopen' => sub {
    my $zk    = parent('call');
    my $lines = in_child(
        sub {
            my @lines = ( $zk->state, $zk->is_unrecoverable ? 1 : 0 );
            for my $call (
                [ get    => $base ],
                [ create => "$base/x" ],
                [ exists => $base, watcher => sub { } ],
                ['wait_connected']
              )
            {
                my ( $method, @args ) = @$call;
                push @lines,
                    eval { $zk->$method(@args); 1 } ? 'worked'
                  : ref $@ && $@ == ZINVALIDSTATE   ? "$@"
                  :                                   "other: $@";
            }
            push @lines, eval { $zk->transaction->delete($base)->commit; 1 } ? 'worked' : $@ + 0;
            return @lines;
        }
    );
    my ( $state, $unrecoverable, @errors ) = @$lines;
    is $state,         ZOO_NOTCONNECTED_STATE, 'state';
    is $unrecoverable, 1,                      'is_unrecoverable';
    is pop @errors,    ZINVALIDSTATE,          'commit throws invalid state';
    is scalar @errors, 4,                      'each call';
    like $_, qr/\AError .*: invalid zhandle state: .*reopen.* at \Q${\ __FILE__}\E line/,
      'throws invalid state, and says what to do'
      for @errors;
    goes_on( $zk, 'call' );
};

subtest 'a child that reopens it' => sub {
    for my $dispatcher (qw(AnyEvent Pipe)) {
        my $name = "reopen$dispatcher";
        my $zk   = ZooKeeper->new(
            hosts      => $server->hosts,
            dispatcher => $dispatcher,
            watcher    => sub { }
        );
        $zk->create( "$base/$name", ephemeral => 1, value => 'mine' );
        $zk->get( "$base/$name", watcher => sub { push @events, @_ } );
        my $id    = $zk->client_id->{client_id};
        my $lines = in_child(
            sub {
                my $fd = $zk->dispatcher->fd;
                $zk->reopen;
                my $event;
                $zk->create( "$base/child", ephemeral => 1 );
                $zk->get( "$base/child", watcher => sub { ($event) = @_ } );
                $zk->set( "$base/child", 'v' );
                wait_for { $zk->wait(1); $event } 60, 'the event';
                return (
                    $zk->client_id->{client_id} eq $id ? 'same session' : 'own session',
                    $zk->dispatcher->fd == $fd         ? 'same fd'      : 'other fd',
                    $event->{path},
                    scalar $zk->get("$base/$name"),
                    $zk->get_watchers( path => "$base/$name" )
                    ? 'watch of the parent'
                    : 'no watch of the parent',
                );
            },
            1
        );
        is_deeply $lines, [ 'own session', 'same fd', "$base/child", 'mine', 'no watch of the parent' ],
          "$dispatcher: it has a session of its own";
        goes_on( $zk, $name );
        soon_ok { !$setup->exists("$base/child") } 60, 'the session of the child ends with it';
    }
};

subtest 'a grandchild' => sub {
    my $zk    = parent('grand');
    my $lines = in_child(
        sub {
            my $pid = fork // die "fork: $!";
            if ( !$pid ) {
                $zk->reopen;
                $zk->create("$base/grandchild");
                exit 0;
            }
            waitpid $pid, 0;
            my $status = $?;
            $zk->reopen;
            return ( $status, $zk->exists("$base/grandchild") ? 'there' : 'missing' );
        }
    );
    is_deeply $lines, [ 0, 'there' ], 'has a session of its own, too';
    goes_on( $zk, 'grand' );
};

subtest 'events that are queued belong to the parent' => sub {
    my $zk = parent('queued');
    $setup->set( "$base/queued", 'v' );
    $zk->exists('/');
    @events = ();
    is_deeply in_child(
        sub { my $event = $zk->dispatcher->dispatch_event; defined $event ? 'event' : 'none', scalar @events }
      ),
      [ 'none', 0 ], 'the child has none of them';
    ok $zk->dispatcher->dispatch_event, 'the parent has them';
    is scalar @events, 1, 'as ever';
};

subtest 'a child that reopens hears session events if the parent wanted them' => sub {
    my $zk = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe', ignore_session_events => 0 );
    $zk->exists($base);
    my $lines = in_child(
        sub {
            my @seen;
            $zk->reopen;
            $zk->get( $base, watcher => sub { push @seen, $_[0]{state} } );
            $server->lose_connection($zk);
            wait_for {
                $zk->wait(1);
                grep { $_ == ZOO_CONNECTED_STATE } @seen
            }
            60, 'the session event';
            return 'heard';
        }
    );
    is_deeply $lines, ['heard'], 'its watcher was called';
};

subtest 'descriptors that the program has closed behind our back are not touched in children' => sub {
    my $zk = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
    $zk->exists($base);
    my $lines = in_child(    # a daemon: closes all, opens its logs, forks a worker
        sub {
            my $result = $_[0];
            my %keep   = map { $_ => 1 } 0 .. 2,
              grep { ( readlink("/proc/self/fd/$_") // '' ) =~ /^pipe/ } 3 .. 255;
            POSIX::close($_) for grep { !$keep{$_} } 3 .. 255;
            my @logs = map { open my $log, '<', '/proc/self/status' or die $!; $log } 1 .. 40;
            my $pid  = fork // die "fork: $!";
            if ( !$pid ) {
                my @changed = grep { readlink( '/proc/self/fd/' . fileno $_ ) !~ m{/status\z} } @logs;
                POSIX::_exit( scalar @changed );
            }
            waitpid $pid, 0;
            return 'changed: ' . ( $? >> 8 );
        }
    );
    is_deeply $lines, ['changed: 0'], 'in the grandchild';
    goes_on( parent('daemon'), 'daemon' );
};

subtest 'a dispatcher that only the parent used leaves no descriptor behind in a child' => sub {
    my @dispatchers = map { ZooKeeper::Dispatcher::Pipe->new } 1 .. 20;
    my $lines       = in_child(
        sub {
            my $count  = sub { scalar( () = glob '/proc/self/fd/*' ) };
            my $before = $count->();
            @dispatchers = ();
            return $before - $count->();
        }
    );
    is_deeply $lines, [20], 'when it goes';
};

done_testing;

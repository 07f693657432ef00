# Much at once, and programs that are busy with something else.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use FakeZK;
use Faults;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;
use ZooKeeper::Dispatcher::Pipe;

my $server = test_server();

sub connect_to_server {
    my (@args) = @_;
    my $zk = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe', @args );
    deadline 60, sub { $zk->wait_connected };
    return $zk;
}

# What becomes of three sessions of so many milliseconds when a callback of one takes twice as long.
sub after_a_long_callback {
    my ($timeout) = @_;
    my $dispatcher = ZooKeeper::Dispatcher::Pipe->new;
    my ( @events, @told );
    my @handles = map {
        connect_to_server(
            timeout    => $timeout,
            dispatcher => $_,
            watcher    => sub { push @events, $_[0]{state} }
        )
    } $dispatcher, $dispatcher, 'Pipe';
    my @paths    = map { $_->create( fresh_path('slow'), ephemeral => 1 ) } @handles;
    my @sessions = map { $_->client_id->{client_id} } @handles;
    wait_for { $_->dispatcher->run_loop_once(0) for @handles; @events == 3 } 60, 'the first event of each';
    @events = ();
    my $slow = sub { select undef, undef, undef, 2 * $timeout / 1_000; push @told, 'slow' };
    $handles[0]->get( $paths[0], cb => $slow );
    $_->get_f( $paths[0] )->on_ready( sub { push @told, 'other' } )->retain for @handles[ 0, 1 ];
    deadline 120, sub { $dispatcher->run_loop_once(1) while @told < 3 };
    my $look = connect_to_server();
    my @live = grep { $look->exists( $paths[$_] ) } 0 .. $#paths;
    $_->exists('/') for @handles;
    $_->dispatcher->run_loop_once(0) for @handles;
    my @changed = grep { $handles[$_]->client_id->{client_id} != $sessions[$_] } 0 .. $#handles;
    return { told => [ sort @told ], live => \@live, changed => \@changed, events => \@events };
}

# A process, or a server, that stands still for so long costs a connection or a session, too. Then there is more time.
subtest 'a callback that takes long costs no session' => sub {
    my $became;
    for my $timeout ( 1_500, 6_000, 18_000 ) {
        $became = eval { after_a_long_callback($timeout) } || { died => $@ };
        last if !$became->{died} && @{ $became->{live} } == 3 && !@{ $became->{events} };
        note "once more, with more than $timeout ms";
    }
    is $became->{died}, undef, 'all goes well';
    is_deeply $became->{told},    [qw(other other slow)], 'all are answered';
    is_deeply $became->{live},    [ 0 .. 2 ],             'all sessions live';
    is_deeply $became->{changed}, [],                     'and are the same as before';
    is_deeply $became->{events},  [],                     'nor has any lost its connection';
};

# Many small requests, some thousands at a time.
sub in_turns {
    my ( $zk, $count, $ask ) = @_;
    my $answered   = 0;
    my $dispatcher = $zk->dispatcher;
    deadline 240, sub {
        for my $n ( 1 .. $count ) {
            $ask->( $n, sub { $answered++ } );
            $dispatcher->run_loop_once(1) while $n - $answered > 5_000;
        }
        $dispatcher->run_loop_once(1) while $answered < $count;
    };
    return;
}

sub bytes_in_use {
    open my $statm, '<', '/proc/self/statm' or die "statm: $!\n";
    return 4096 * ( split ' ', <$statm> )[1];
}

subtest 'a flood of events while the program is busy' => sub {
    my $EVENTS = 100_000;
    my $NODES  = 100;
    my $zk     = connect_to_server( timeout => 20_000 );
    my $other  = connect_to_server();
    my $base   = $other->create( fresh_path('flood') );
    create_children( $other, $base, map { "n$_" } 1 .. $NODES );
    my $came = 0;
    my $cb   = sub { $came++ };
    my @grown;

    for my $time ( 1 .. 2 ) {
        $came = 0;
        in_turns( $zk, $EVENTS,
            sub { $zk->get( "$base/n" . ( 1 + $_[0] % $NODES ), watcher => $cb, cb => $_[1] ) } );
        my $before = bytes_in_use();
        my $change = $other->transaction;
        $change = $change->set( "$base/n$_" => $time ) for 1 .. $NODES;
        $change->commit;
        wait_for { $zk->dispatcher->channel->size >= $EVENTS } 60, 'the events';
        push @grown, bytes_in_use() - $before;
        is $came, 0, 'nobody has looked yet';
        deadline 120, sub { $zk->dispatcher->run_loop_once(1) while $came < $EVENTS };
        is $zk->dispatcher->channel->size, 0, "$EVENTS come, and no more";
    }
    is_deeply [ $zk->get_watchers ], [], 'no watcher is left';
    cmp_ok $grown[0], '<', 100 << 20,                'they take less than a kilobyte each';
    cmp_ok $grown[1], '<', $grown[0] + ( 10 << 20 ), 'and the second time not twice as much' or diag "@grown";
};

# The answers are longer than the requests, and the server reads on only when they have been taken.
subtest 'many requests at once to a server that reads slowly' => sub {
    my $REQUESTS = 20_000;
    my $slow     = FakeZK->new(
        sub {
            my ($connection) = @_;
            $connection->handshake(60_000) or return;
            my $socket = $connection->{socket};
            my $answer = pack( 'l> N/a*', 0, 'x' x 1_000 ) . pack 'q>4 N3 q> N2 q>', (0) x 11;
            while ( defined( my $frame = $connection->frame ) ) {
                my ( $xid, $op ) = unpack 'l> l>', $frame;
                select undef, undef, undef, 0.01 if $xid % 200 == 0;
                my $out = pack 'N/a*', pack( 'l> q>', $xid, 1 ) . ( $op == 4 ? $answer : pack 'l>', 0 );
                while ( length $out ) {
                    my $sent = syswrite $socket, $out or return;
                    substr $out, 0, $sent, '';
                }
            }
        }
    );
    my $zk = ZooKeeper->new(
        hosts         => $slow->hosts,
        timeout       => 60_000,
        dispatcher    => 'Pipe',
        max_in_flight => $REQUESTS
    );
    deadline 60, sub { $zk->wait_connected };
    my $path = '/' . 'p' x 500;
    my ( $came, @wrong ) = (0);
    for my $n ( 1 .. $REQUESTS ) {
        $zk->get(
            $path,
            cb => sub {
                my ( $error, $data ) = @_;
                push @wrong, "$n: " . ( $error // length $data )
                  if ++$came != $n || $error || length $data != 1_000;
            }
        );
    }
    is $came, 0, 'all are asked in one turn';
    deadline 120, sub { $zk->dispatcher->run_loop_once(1) while $came < $REQUESTS };
    is_deeply [ splice @wrong, 0, 3 ], [], 'all are answered, in order';
    is length( deadline( 60, sub { scalar $zk->get($path) } ) ), 1_000, 'the connection is as good as before';
};

done_testing;

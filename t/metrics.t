# What a handle counts, held against what went over the wire.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Child;
use CountingProxy;
use FakeZK;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my $base   = fresh_path('metrics');
my @names  = qw(bytes_received bytes_sent events in_flight last_rtt_us received reconnects sent watches);

# No ping falls into so short a test.
my @args = ( timeout => 600_000, dispatcher => 'Pipe' );

# A counting proxy, and a handle that goes through it.
sub counted {
    my (@more) = @_;
    my $proxy = CountingProxy->new( $server->hosts );
    return ( $proxy, ZooKeeper->new( @args, hosts => $proxy->hosts, @more ) );
}

sub bytes {
    my ($proxy) = @_;
    my %bytes = ( sent => 0, received => 0 );
    for my $connection ( $proxy->connections ) {
        $bytes{$_} += length $connection->{$_} for keys %bytes;
    }
    return \%bytes;
}

subtest 'before the first connection' => sub {
    my $zk      = ZooKeeper->new( @args, hosts => '127.0.0.1:1' );
    my $metrics = $zk->metrics;
    is_deeply [ sort keys %$metrics ], \@names, 'what there is';
    is delete $metrics->{last_rtt_us}, undef, 'nothing was measured';
    is_deeply [ grep { $_ } values %$metrics ], [], 'nothing was counted';
    $zk->exists( '/', cb => sub { } ) for 1 .. 5;
    is $zk->metrics->{in_flight}, 5, 'requests that wait are in flight';
    is $zk->metrics->{sent},      0, 'but not sent';
    my $copy = $zk->metrics;
    $copy->{sent} = 17;
    is $zk->metrics->{sent}, 0, 'each call gives a hash of its own';
};

subtest 'requests, answers and bytes add up' => sub {
    my ( $proxy, $zk ) = counted();
    $zk->create( $base, value => 'v' );
    $zk->get($base) for 1 .. 50;
    eval { $zk->get("$base/none") } for 1 .. 10;    # an error is an answer, too
    my $transaction = $zk->transaction;
    $transaction = $transaction->set( $base, $_ ) for 1 .. 5;
    $transaction->commit;
    my $answered = 0;
    $zk->exists( $base, cb => sub { $answered++ } ) for 1 .. 100;
    wait_for { $zk->wait(0.01); $answered == 100 } 60, 'the answers';
    $zk->add_auth( digest => 'a:b' );
    $zk->exists($base);
    my $metrics = $zk->metrics;
    is $metrics->{sent},      1 + 50 + 10 + 1 + 100 + 1 + 1, 'sent: every request, a transaction being one';
    is $metrics->{received},  $metrics->{sent},              'received: every answer';
    is $metrics->{in_flight}, 0,                             'nothing is in flight';
    cmp_ok $metrics->{last_rtt_us}, '>', 0,          'the last answer took its time';
    cmp_ok $metrics->{last_rtt_us}, '<', 60_000_000, 'in microseconds';
    my $bytes = bytes($proxy);
    is $metrics->{bytes_sent},        $bytes->{sent},     'bytes_sent: all that went over the wire';
    is $metrics->{bytes_received},    $bytes->{received}, 'bytes_received';
    is scalar( $proxy->requests(1) ), $metrics->{sent},   'the handshake is no request';
    $zk->close;
    $metrics = $zk->metrics;
    is $metrics->{sent},       164 + 1,               'close is one';
    is $metrics->{received},   164 + 1,               'with an answer';
    is $metrics->{bytes_sent}, bytes($proxy)->{sent}, 'bytes still add up';
};

subtest 'in_flight counts what max_in_flight limits' => sub {
    my $mute = FakeZK->new( sub { $_[0]->handshake(60_000); 1 while defined $_[0]->frame } );
    my $zk   = ZooKeeper->new( @args, hosts => $mute->hosts, max_in_flight => 3 );
    $zk->wait_connected;
    my @errors;
    $zk->exists( '/', cb => sub { push @errors, 0 + ( $_[0] // 0 ) } ) for 1 .. 5;
    1 while $zk->dispatcher->dispatch_event;
    is_deeply \@errors, [ (ZTHROTTLEDOP) x 2 ], 'two too many';
    my $metrics = $zk->metrics;
    is "@{$metrics}{qw(in_flight sent received)}", '3 3 0', 'three in flight, three sent, none answered';
};

subtest 'watches and events' => sub {
    my ( $proxy, $zk ) = counted();
    my $called = 0;
    my $count  = sub { $called++ };
    $zk->get( $base, watcher => $count ) for 1 .. 3;
    is $zk->metrics->{watches}, 1, 'three watchers of a node share one watch';
    $zk->get_children( $base, watcher => $count );
    $zk->exists( "$base/later", watcher => $count );
    is $zk->metrics->{watches}, 3, 'other kinds and nodes have their own';
    is $zk->metrics->{events},  0, 'no event yet';
    $zk->set( $base, 'changed' );
    wait_for { $zk->wait(1); $called == 3 } 60, 'the event';
    is $zk->metrics->{events},  1, 'one event, whatever number hear of it';
    is $zk->metrics->{watches}, 2, 'its watch is spent';
    my $metrics = $zk->metrics;
    is $metrics->{received}, $metrics->{sent}, 'events are no answers';

    # On the next connection they are set again, in one request.
    my $sent = $zk->metrics->{sent};
    $server->lose_connection($zk);
    wait_for { $zk->metrics->{reconnects} } 60, 'the reconnect';
    wait_for {
        $zk->exists($base);
        $zk->metrics->{received} == $zk->metrics->{sent}
    }
    60, 'all answers';
    is $zk->metrics->{watches}, 2, 'watches stay';
    cmp_ok $zk->metrics->{sent}, '>=', $sent + 2, 'setting them again is a request';
    $zk->create("$base/later");
    wait_for { $zk->wait(1); $called == 5 } 60, 'the events';
    is $zk->metrics->{watches}, 0, 'until they are spent';
};

subtest 'reconnects' => sub {
    my ( $proxy, $zk ) = counted();
    $zk->exists($base);
    is $zk->metrics->{reconnects}, 0, 'the first connection is none';
    for my $n ( 1, 2 ) {
        $server->lose_connection($zk);
        wait_for { $zk->metrics->{reconnects} >= $n } 60, 'another connection';
        wait_for {
            eval { $zk->exists($base) }
        }
        60, 'a call';
    }
    my $connections = grep { length $_->{received} } $proxy->connections;
    cmp_ok $zk->metrics->{reconnects}, '<=', $connections - 1, 'each later one that gave a session is';
    $zk->reopen;
    $zk->exists($base);
    is_deeply {
        map { $_ => $zk->metrics->{$_} } qw(reconnects sent received)
    }, { reconnects => 0, sent => 1, received => 1 }, 'reopen starts from nothing';
};

subtest 'pings are requests' => sub {
    my $zk = ZooKeeper->new( hosts => $server->hosts, timeout => 3_000, dispatcher => 'Pipe' );
    $zk->wait_connected;
    my %before = %{ $zk->metrics };
    for my $what (qw(sent received)) {    # one that is lost with its connection has no answer
        wait_for { $zk->metrics->{$what} >= $before{$what} + 2 } 60, "two pings $what";
    }
    cmp_ok $zk->metrics->{last_rtt_us}, '>', 0, 'whose time is taken, too';
};

subtest 'without a handle to ask' => sub {
    my ( $proxy, $zk ) = counted();
    $zk->exists($base);
    is in_child( sub { defined $zk->metrics ? 'defined' : 'undef' } ), 'undef', 'in a forked child';
    ok !eval { ZooKeeper->metrics; 1 }, 'a class';
    like $@, qr/not an initialised ZooKeeper object/, 'has none';
};

done_testing;

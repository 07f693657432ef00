# Networks that are slow, cut everything into pieces, or put it together; and a program that is slower than its events.
# Each subtest is named after the symptom.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use FaultProxy;
use POSIX ();
use TestZK;

use Time::HiRes qw(sleep time);
use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my $base   = fresh_path('slow');
my @args   = ( timeout => 30_000, dispatcher => 'Pipe' );
my $setup  = ZooKeeper->new( @args, hosts => $server->hosts );
$setup->create( $base,           value => 'v' );
$setup->create( "$base/watched", value => 'v' );
$setup->create("$base/changed");    # below the base others come and go meanwhile
$setup->create("$base/parent-$_")   for 0 .. 4;
$setup->create("$base/parent-4/$_") for 1 .. 4;

sub drain {
    my (@handles) = @_;
    for my $zk (@handles) { 1 while $zk->dispatcher->dispatch_event }
    return;
}

# It takes seconds, while the other tests run: two from a request to its answer, four to a ping.
my $LATENCY = 2;
my %slow    = ( proxy => FaultProxy->new( $server->hosts ), begun => time, seen => [], told => [] );
$slow{proxy}->harm( "delay_$_" => 0, $LATENCY / 2 ) for qw(requests answers);
$slow{zk} = ZooKeeper->new(
    hosts      => $slow{proxy}->hosts,
    timeout    => 12_000,
    dispatcher => 'Pipe',
    watcher    => sub { push @{ $slow{seen} }, $_[0]{state} }
);
$slow{zk}
  ->create( "$base/slow", ephemeral => 1, cb => sub { push @{ $slow{told} }, $_[0] // "created $_[1]" } );
$slow{zk}->get(
    "$base/watched",
    watcher => sub { push @{ $slow{seen} }, $_[0]{path} },
    cb      => sub { push @{ $slow{told} }, $_[1] }
);
$slow{zk}->set( "$base/slow", $_, cb => sub { push @{ $slow{told} }, $_[0] // $_[1]{version} } ) for 1 .. 100;

subtest 'what comes byte by byte is understood' => sub {
    my $proxy = FaultProxy->new( $server->hosts );
    $proxy->harm( "piece_$_" => 0, 1 ) for qw(requests answers);
    my ( $zk, $node, @events ) = ( ZooKeeper->new( @args, hosts => $proxy->hosts ), "$base/pieces" );
    is $zk->create( $node, value => 'a', ephemeral => 1 ), $node, 'a session, and a node';
    $zk->add_auth( digest => 'a:b' );
    my $id = $zk->client_id->{client_id};
    my ( $data, $stat ) = $zk->get( $node, watcher => sub { push @events, $_[0]{type} } );
    is_deeply [ $data, $stat->{ephemeralOwner} ], [ 'a', $id ], 'get';
    my ( $theirs, $ours ) = map {
        [ sort grep { $_ ne 'slow' } $_->get_children($base) ]
    } $zk, $setup;    # that one comes at its own time
    is_deeply $theirs, $ours, 'get_children';
    is eval { $zk->delete($base); 1 } // 0 + $@, ZNOTEMPTY, 'an error';
    is_deeply [ map { $_->{type} } $zk->transaction->set( $node, 'b' )->check( $node, 1 )->commit ],
      [qw(set check)],
      'a transaction';
    is_deeply [ map { $_->{value} // $_->{code} } $zk->multi_read->get($node)->get("$base/none")->commit ],
      [ 'b', ZNONODE ],
      'several reads';
    my @answers;
    $zk->get( $node, cb => sub { push @answers, $_[1] } ) for 1 .. 10;
    wait_for { $zk->wait(0.01); @answers == 10 } 60, 'the answers';
    is_deeply \@answers, [ ('b') x 10 ],      'many under way';
    is_deeply \@events,  [ZOO_CHANGED_EVENT], 'a watch';

    $zk->get( $node, watcher => sub { push @events, $_[0]{type} } );
    $proxy->harm( reset => 0 );
    wait_for { $zk->metrics->{reconnects} && $zk->is_connected } 60, 'another connection';
    $setup->set( $node, 'c' );
    wait_for { $zk->wait(0.1); @events == 2 } 60, 'the event';
    is $zk->client_id->{client_id}, $id, 'the session and its watch go on, on another connection';
    is $zk->metrics->{reconnects},  1,   'there was no other';
};

subtest 'a thousand answers and events in one piece each reach whom they are for' => sub {
    my $proxy = FaultProxy->new( $server->hosts );
    my $zk    = ZooKeeper->new( @args, hosts => $proxy->hosts );
    my ( @seen, %told );
    $zk->add_watch( "$base/changed", watcher => sub { push @seen, $_[0]{type} } );
    drain($zk);
    $proxy->harm( hold_answers => 0 );
    my $before  = ( $proxy->bytes(0) )[1];
    my $answers = sub { ( $proxy->bytes(0) )[1] - $before };

    for my $number ( 0 .. 999 ) {
        $zk->get_all_children_number( "$base/parent-" . $number % 5,
            cb => sub { push @{ $told{$number} }, $_[0] // $_[1]; push @seen, $number if $number == 499 } );
        next if $number != 499;
        drain($zk);    # which sends them
        wait_for { $answers->() == 500 * 24 } 60, 'answers to these';
        $setup->set( "$base/changed", 'v' );
    }
    drain($zk);
    wait_for { $answers->() > 1000 * 24 } 60, 'answers that are held';
    is_deeply [ keys %told ], [], 'nobody has been told anything';
    $proxy->harm( heal => 0 );
    wait_for { $zk->wait(0.01); keys %told == 1000 } 60, 'the answers';
    is_deeply [ map { "@{ $told{$_} }" } 0 .. 999 ], [ map { $_ % 5 == 4 ? 4 : 0 } 0 .. 999 ],
      'each once, its own';
    is_deeply \@seen, [ 499, ZOO_CHANGED_EVENT ], 'the event comes behind what was answered before it';
    is $zk->metrics->{reconnects}, 0, 'on one connection';
};

sub resident_mb {
    open my $statm, '<', '/proc/self/statm' or die "statm: $!\n";
    return ( split ' ', <$statm> )[1] / 256;
}

subtest 'a program that is blocked while events pour in' => sub {
    my ( $changes, $nodes ) = ( at_length( 100_000, 25_000 ), 50 );
    my ( $path, $T, @events, @session ) = ( "$base/flood", 9 );
    $setup->create($path);
    $setup->create("$path/$_") for 0 .. $nodes - 1;
    my $zk = ZooKeeper->new(
        hosts      => $server->hosts,
        timeout    => 1000 * $T,
        dispatcher => 'Pipe',
        watcher    => sub { push @session, $_[0]{state} }
    );
    $zk->create( "$path-mine", ephemeral => 1 );
    $zk->add_watch( $path, watcher => sub { push @events, $_[0] }, recursive => 1 );
    drain($zk);
    my ( $before, $begun, $received ) = ( resident_mb(), time, $zk->metrics->{bytes_received} );

    my $pid = fork // die "fork: $!\n";
    if ( !$pid ) {
        my $ok = eval {
            my $flood = ZooKeeper->new( @args, hosts => $server->hosts );
            my ( $asked, $told ) = ( 0, 0 );
            while ( $told < $changes ) {
                $flood->set( "$path/" . $asked++ % $nodes, 'v', cb => sub { $_[0] ? die $_[0] : $told++ } )
                  while $asked < $changes && $asked < $told + 1_000;
                $flood->wait(0.01);
            }
            1;
        };
        print {*STDERR} $@ if !$ok;
        POSIX::_exit( $ok ? 0 : 1 );
    }
    waitpid $pid, 0;                            # and nothing else is done
    is $?, 0, "$changes changes";
    my $left = 1.3 * $T - ( time - $begun );    # longer than a session lives without pings
    sleep $left if $left > 0;
    my $grown = resident_mb() - $before;
    cmp_ok $grown, '<', 24, sprintf 'memory has a bound (%.1f MB more)', $grown;
    cmp_ok $zk->metrics->{bytes_received} - $received, '>', 40 * $changes, 'all of it has been read';
    cmp_ok $zk->dispatcher->channel->size,             '<', 10_100,        'what is queued has one';
    is $zk->metrics->{reconnects}, 0, 'the connection is kept: pings are sent and answered';
    drain($zk);
    is_deeply \@session, [ZOO_CONNECTED_STATE], 'the session has never been in doubt';
    is $zk->exists("$path-mine")->{ephemeralOwner}, $zk->client_id->{client_id},
      'its ephemeral node is there';
    is scalar @events,    10_001,           'as many events as max_in_flight, and one';
    is $events[-1]{type}, ZOO_RESYNC_EVENT, 'which says that there were more';
    is_deeply [ map { $_->{path} } @events[ 0 .. 9_999 ] ], [ map { "$path/" . $_ % $nodes } 0 .. 9_999 ],
      'they are in order';
    @events = ();
    $setup->set( "$path/0", 'later' );
    wait_for { $zk->wait(1); @events } 60, 'an event';
    is $events[0]{type}, ZOO_CHANGED_EVENT, 'then they flow again';
};

subtest "an answer that takes $LATENCY seconds" => sub {
    my ( $zk, $told, $seen ) = @slow{qw(zk told seen)};
    wait_for { $zk->wait(0.01); @$told == 102 } 60, 'the answers';
    is_deeply $told, [ "created $base/slow", 'v', 1 .. 100 ], 'all is done, in order';
    $setup->set( "$base/watched", 'w' );
    wait_for { $zk->wait(0.1); @$seen == 2 } 60, 'the event';
    is_deeply $seen, [ ZOO_CONNECTED_STATE, "$base/watched" ], 'one connection, and a watch that was called';
    my $start = time;
    ok $zk->exists("$base/slow"), 'a blocking call';
    cmp_ok time - $start, '>=', $LATENCY - 0.1, 'it is as slow as that';
    my $sent = $zk->metrics->{sent};
    wait_for { $zk->metrics->{sent} > $sent && $zk->metrics->{sent} == $zk->metrics->{received} } 60,
      'a ping and its answer';
    sleep at_length( 30, 0 );
    is $zk->metrics->{reconnects},                  0,                           'the connection holds';
    is $zk->exists("$base/slow")->{ephemeralOwner}, $zk->client_id->{client_id}, 'and the session';
};

done_testing;

# Servers that do not hear each other: what tests of partitions stand on.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use ServerFaults;
use ServerPartitions;
use TestZK;

use ZooKeeper;

my $between = ServerPartitions->new;
my $server  = test_server( servers => 3, $between->arguments );
my $faults  = ServerFaults->new( server => $server, between => $between, timeout_ms => 4_000 );
my $zk      = ZooKeeper->new( hosts => $server->hosts, timeout => 30_000, dispatcher => 'Pipe' );
my $path    = fresh_path('apart');
$faults->settle;
$zk->create($path);

subtest 'a leader that is cut off' => sub {
    my $old    = leader_of($server);
    my @others = grep { $_ != $old } 0 .. 2;
    $between->cut( [$old], \@others );
    soon_ok {
        grep { ( $server->mode($_) // '' ) eq 'leader' } @others
    }
    60, 'the others elect another';
    soon_ok { !defined $server->mode($old) } 60, 'it serves no more';
    my $alone = ZooKeeper->new( hosts => $server->hosts($old), timeout => 30_000, dispatcher => 'Pipe' );
    ok !eval { $alone->wait_connected(1); 1 }, 'nobody gets a session there';
    my $stat;
    soon_ok {
        $stat = eval { $zk->set( $path, 'there' ) }
    }
    60, 'with the others a write is done';

    $between->heal;
    $faults->settle;
    ok eval { $alone->wait_connected(60); 1 }, 'healed, it has sessions again';
    $alone->sync($path);
    is scalar $alone->get($path), 'there', 'and that write';
};

subtest 'all are cut off from all' => sub {
    $between->cut( [$_], [ $_ + 1 .. 2 ] ) for 0, 1;
    soon_ok {
        !grep { defined $server->mode($_) } 0 .. 2
    }
    60, 'none serves';
    $between->heal;
    $faults->settle;
    pass 'healed, they are an ensemble';
};

subtest 'a leader that the others do not hear' => sub {
    plan skip_all => 'only at length (script/chaos --tests)' if !at_length( 1, 0 );
    my $old    = leader_of($server);
    my @others = grep { $_ != $old } 0 .. 2;
    $between->cut( [$old], \@others, one_way => 1 );
    soon_ok {
        grep { ( $server->mode($_) // '' ) eq 'leader' } @others
    }
    60, 'they elect another';
    $between->heal;
    $faults->settle;
    pass 'healed, they are an ensemble';
};

done_testing;

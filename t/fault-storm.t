# Thirty clients of an ensemble that loses its leader, and then its majority: a storm of connections that keeps servers
# from coming up again. Each subtest is named after the symptom.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use FaultProxy;
use List::Util qw(max);
use TestZK;

use Time::HiRes qw(clock sleep time);    # clock: processor time of all threads
use ZooKeeper;
use ZooKeeper::Constants;

my $CLIENTS = 30;
my $SPAN    = at_length( 30, 6 );        # seconds without a majority

my $server = test_server( servers => 3 );
my $proxy  = FaultProxy->new( map { $server->hosts($_) } 0 .. 2 );
my @args   = ( timeout => 60_000, dispatcher => 'Pipe' );
my $base   = fresh_path('storm');
my $setup  = ZooKeeper->new( @args, hosts => $server->hosts );
$setup->create($base);
my @clients;

for my $number ( 1 .. $CLIENTS ) {
    my @states;
    my $zk = ZooKeeper->new( @args, hosts => $proxy->hosts, watcher => sub { push @states, $_[0]{state} } );
    wait_for {
        eval { $zk->create( "$base/$number", ephemeral => 1 ) }
          // ( $@ == ZNONODE ? undef : die $@ )    # a server may lag behind
    }
    60, 'an ephemeral node';
    push @clients,
      { zk => $zk, id => $zk->client_id->{client_id}, node => "$base/$number", states => \@states };
}

# When they have connected since then, in order.
sub connects {
    my ($since) = @_;
    my @times   = sort { $a <=> $b } map { $proxy->connects($_) } 0 .. 2;
    return grep { $_ >= $since } @times;
}

# How many of these fall into a span of so many seconds, at most.
sub most_within {
    my ( $seconds, @times ) = @_;
    my ( $most,    $first ) = ( 0, 0 );
    for my $last ( 0 .. $#times ) {
        $first++ while $times[$first] < $times[$last] - $seconds;
        $most = max $most, $last - $first + 1;
    }
    return $most;
}

# All sessions are there, as they were.
sub all_are_back {
    my $end = time + 60;    # T: with a majority back in time no session may be lost
    my @owners;
    for my $client (@clients) {
        my $stat = wait_for {
            eval { $client->{zk}->exists( $client->{node} ) } || ( $@ && $@ != ZCONNECTIONLOSS ? die $@ : 0 )
        }
        $end - time, 'a session';
        push @owners, $stat->{ephemeralOwner};
    }
    is scalar( grep { $_->{zk}->client_id->{client_id} == $_->{id} } @clients ), $CLIENTS,
      'with all their sessions';
    is_deeply \@owners, [ map { $_->{id} } @clients ], 'and what is ephemeral';
    for my $client (@clients) {
        1 while $client->{zk}->dispatcher->dispatch_event;
    }
    return;
}

subtest 'the loss of the leader is no storm' => sub {
    my $leader = $server->leader;
    my $start  = time;
    $server->kill($leader);
    wait_for {
        !grep { !$_->{zk}->metrics->{reconnects} || !$_->{zk}->is_connected } @clients
    }
    60, 'all to be back';
    my @connects = connects($start);
    my $took     = time - $start;
    note sprintf '%d connections in %.1f s, %d in a second at most', scalar @connects, $took,
      most_within( 1, @connects );
    cmp_ok most_within( 1, @connects ), '<=', 6 * $CLIENTS, 'each tries five times a second at most';
    cmp_ok scalar @connects,            '<=', $CLIENTS * ( 6 + $took ), 'and then once a second';
    all_are_back();
    $server->start($leader);
};

subtest 'the loss of the majority is no storm, and none spins' => sub {
    my $start = time;
    my $left  = $server->leader;
    my @gone  = grep { $_ != $left } 0 .. 2;
    $server->kill($_) for @gone;
    wait_for {
        !grep { $_->{zk}->is_connected } @clients
    }
    60, 'all to be cut off';
    my ( $cpu, $cut, $span, @connects, @late ) = ( clock, time );
    sleep 3;

# A process that stands still, this one or the proxy, gathers the clients in one moment: then it is looked at again.
    for ( 1 .. 5 ) {
        my $from = time;
        sleep $SPAN - 3;
        @connects = connects($start);
        @late     = grep { $_ > $from } @connects;
        last
          if @late && most_within( 1, @late ) <= 1.5 * $CLIENTS && most_within( 0.1, @late ) <= $CLIENTS / 2;
    }
    $cpu  = clock() - $cpu;
    $span = time - $cut;
    cmp_ok most_within( 1, @connects ), '<=', 6 * $CLIENTS,   'each tries five times a second at most';
    cmp_ok scalar @late,                '>',  0,              'all the time';
    cmp_ok most_within( 1, @late ),     '<=', 1.5 * $CLIENTS, 'and later once a second, or less often';
    cmp_ok most_within( 0.1, @late ),   '<=', $CLIENTS / 2,   'but not all at the same moment';
    cmp_ok $cpu, '<', 0.05 * $span + 0.1, "$cpu seconds of processor time in $span are little";
    note sprintf '%d connections in %.1f s, %d in the first second, later %d', scalar @connects,
      time - $start,
      most_within( 1, @connects ), most_within( 1, @late );
    is scalar( grep { $_->{zk}->is_unrecoverable } @clients ), 0, 'nobody has given up';

    $server->start($_) for @gone;
    all_are_back();
    is_deeply [
        map {
            scalar grep { $_ == ZOO_EXPIRED_SESSION_STATE }
              @{ $_->{states} }
        } @clients
      ],
      [ (0) x $CLIENTS ],
      'nobody has heard that his session had expired';
};

done_testing;

#!/usr/bin/perl
# This project's client: N handles in one process, which do nothing for three of their session timeouts.
#
#     perl -Mblib bench/handles.pl PORT N [TIMEOUT]
#
# TIMEOUT is the session's, in milliseconds: 30,000 by default. Prints one line: threads beside perl's own, bytes of
# memory for each handle, how many are still the sessions that they were, and how much of a CPU was used.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Bench::Memory;
use JSON::PP    ();
use Time::HiRes qw(CLOCK_MONOTONIC clock clock_gettime sleep);
use ZooKeeper;

my ( $port, $n, $timeout ) = @ARGV;
die "usage: handles.pl PORT N [TIMEOUT]\n" if !$n;
$timeout //= 30_000;

# The first one has what all share: the thread, the dispatcher's module.
my $open    = sub { ZooKeeper->new( hosts => "127.0.0.1:$port", timeout => $timeout, dispatcher => 'Pipe' ) };
my $first   = $open->();
my $threads = threads();
$first->wait_connected(60) or die "no connection\n";
my $before  = Bench::Memory::resident();
my @handles = map { $open->() } 1 .. $n;
$_->wait_connected(60) or die "no connection\n" for @handles;
my $bytes = ( Bench::Memory::resident() - $before ) / $n;
my @ids   = map { $_->client_id->{client_id} } @handles;

my ( $cpu, $wall ) = ( clock, clock_gettime(CLOCK_MONOTONIC) );
sleep 3 * $timeout / 1_000;
my $used  = ( clock() - $cpu ) / ( clock_gettime(CLOCK_MONOTONIC) - $wall );
my $pings = $first->metrics->{sent};
my $alive = grep {
    my $zk = $handles[$_];
         $zk->is_connected
      && $zk->client_id->{client_id} == $ids[$_]
      && $zk->metrics->{reconnects} == 0
      && eval { $zk->exists('/'); 1 }
} 0 .. $#handles;
print JSON::PP->new->canonical->encode(
    {
        handles => $n,
        threads => threads() - 1,
        bytes   => int $bytes,
        alive   => $alive,
        cpu     => $used,
        pings   => $pings,
        seconds => 3 * $timeout / 1_000
    }
  ),
  "\n";

sub threads {
    opendir my $dir, '/proc/self/task' or die "/proc/self/task: $!\n";
    return scalar grep { /\A\d/ } readdir $dir;
}

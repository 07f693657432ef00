#!/usr/bin/perl
# This project's client: N blocking gets of PATH.
#
#     perl -Mblib bench/get.pl HOSTS PATH N
use strict;
use warnings;

use Time::HiRes qw(clock time);    # clock: processor time of all threads
use ZooKeeper;

my ( $hosts, $path, $n ) = @ARGV;
die "usage: get.pl HOSTS PATH N\n" if !$n;

my $zk = ZooKeeper->new( hosts => $hosts, timeout => 10_000 );
$zk->get($path);                   # connects

my ( $wall, $cpu ) = ( time, clock );
$zk->get($path) for 1 .. $n;
( $wall, $cpu ) = ( time - $wall, clock - $cpu );
printf "perl window=1 %.2f us/op %.0f ops/s cpu %.2f us/op\n", $wall / $n * 1e6, $n / $wall, $cpu / $n * 1e6;
$zk->close;

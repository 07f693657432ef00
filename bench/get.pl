#!/usr/bin/perl
# This project's client: N blocking gets of PATH.
#
#     perl -Mblib bench/get.pl HOSTS PATH N
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Bench::Clock;
use ZooKeeper;

my ( $hosts, $path, $n ) = @ARGV;
die "usage: get.pl HOSTS PATH N\n" if !$n;

my $zk = ZooKeeper->new( hosts => $hosts, timeout => 10_000 );
$zk->get($path);    # connects

my $clock = Bench::Clock->new;
$zk->get($path) for 1 .. $n;
$clock->report( 'perl', 1, $n );
$zk->close;

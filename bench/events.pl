#!/usr/bin/perl
# This project's client: sets N watches at a stub, has it fire them all at once, and measures from that request to the
# last callback.
#
#     perl -Mblib bench/events.pl PORT N
use strict;
use warnings;

use EV;
use AnyEvent;
use FindBin;
use lib "$FindBin::Bin/lib";
use Bench::Clock;
use Bench::Watches;
use ZooKeeper;

my ( $port, $n ) = @ARGV;
die "usage: events.pl PORT N\n" if !$n;

my $zk = ZooKeeper->new(
    hosts      => "127.0.0.1:$port",
    timeout    => 10_000,
    dispatcher => 'AnyEvent'
);
my $done = AE::cv;
my $left = $n;
Bench::Watches::set( $zk, $n, sub { $done->send if !--$left } );

my $clock = Bench::Clock->new;
Bench::Watches::fire($zk);
$done->recv;
$clock->report( 1, $n );
$zk->close;

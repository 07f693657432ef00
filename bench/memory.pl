#!/usr/bin/perl
# This project's client: what its process takes of memory after GETS/5 and after GETS gets with 1,000 in flight, and
# when EVENTS events come while the program is busy, twice.
#
#     perl -Mblib bench/memory.pl HOSTS PATH GETS EVENTS
use strict;
use warnings;

use EV;
use AnyEvent;
use FindBin;
use lib "$FindBin::Bin/lib";
use Bench::Gets;
use Bench::Memory;
use Bench::Watches;
use Time::HiRes qw(sleep time);
use ZooKeeper;

my ( $hosts, $path, $gets, $events ) = @ARGV;
die "usage: memory.pl HOSTS PATH GETS EVENTS\n" if !$events;
my $zk = ZooKeeper->new(
    hosts      => $hosts,
    timeout    => 10_000,
    dispatcher => 'AnyEvent'
);

for my $form (qw(cb f)) {
    my @kib;
    my $reached = sub { push @kib, kib(); return @kib == 1 && $gets };
    Bench::Gets::flow( $zk, $path, $form, 1_000, $gets / 5, $reached );
    printf "%-9s%8d KiB after %d gets, %d KiB after %d\n", $form, $kib[0], $gets / 5, $kib[1], $gets;
}

for my $flood ( 1, 2 ) {
    my $done = AE::cv;
    my $left = $events;
    Bench::Watches::set( $zk, $events, sub { $done->send if !--$left } );
    my $armed = kib();
    Bench::Watches::fire($zk);
    await_without_loop( 1 + $events );
    my $full = kib();
    $done->recv;
    printf
      "flood %d  %8d KiB before it, %d KiB with %d events (%d bytes each), %d KiB after\n",
      $flood, $armed, $full, $events, ( $full - $armed ) * 1_024 / $events,
      kib();
}
$zk->close;

# What a program does that is busy: nothing for us.
sub await_without_loop {
    my ($count) = @_;
    my $end = time + 60;
    while ( $zk->dispatcher->channel->size < $count ) {
        die "the events don't come\n" if time > $end;
        sleep 0.01;
    }
    return;
}

sub kib {
    return Bench::Memory::resident() / 1_024;
}

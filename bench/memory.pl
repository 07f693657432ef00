#!/usr/bin/perl
# This project's client: what its process takes of memory (KiB) after GETS blocking gets and after as many again; after
# GETS/5 and after GETS gets with 1,000 in flight; and when EVENTS events come while the program is busy, twice. Prints
# one line.
#
#     perl -Mblib bench/memory.pl PORT PATH GETS EVENTS
use strict;
use warnings;

use EV;
use AnyEvent;
use FindBin;
use lib "$FindBin::Bin/lib";
use Bench::Flow;
use Bench::Memory;
use Bench::Watches;
use JSON::PP    ();
use Time::HiRes qw(sleep time);
use ZooKeeper;

my ( $port, $path, $gets, $events ) = @ARGV;
die "usage: memory.pl PORT PATH GETS EVENTS\n" if !$events;
my %line;
my $zk = ZooKeeper->new(
    hosts      => "127.0.0.1:$port",
    timeout    => 10_000,
    dispatcher => 'AnyEvent'
);

$line{blocking} = {
    map {
        $_ => do { $zk->get($path) for 1 .. $gets; kib() }
    } qw(warm after)
};
for my $form (qw(cb f)) {
    my @kib;
    my $reached = sub { push @kib, kib(); return @kib == 1 && $gets };
    Bench::Flow::run( $zk, $form, 'get', [$path], 1_000, $gets / 5, $reached );
    $line{$form} = { warm => $kib[0], after => $kib[1] };
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
    $line{"flood $flood"} = {
        before     => $armed,
        full       => $full,
        bytes_each => int( ( $full - $armed ) * 1_024 / $events ),
        after      => kib()
    };
}
$zk->close;
print JSON::PP->new->canonical->encode( \%line ), "\n";

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
    return int( Bench::Memory::resident() / 1_024 );
}

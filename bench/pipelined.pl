#!/usr/bin/perl
# This project's client: N gets of PATH with WINDOW in flight, after N/10 that don't count. FORM is how it is told of
# the answers: cb, or f (futures with on_done).
#
#     perl -Mblib bench/pipelined.pl HOSTS PATH N WINDOW FORM
use strict;
use warnings;

use EV;
use FindBin;
use lib "$FindBin::Bin/lib";
use Bench::Clock;
use Bench::Gets;
use ZooKeeper;

my ( $hosts, $path, $n, $window, $form ) = @ARGV;
die "usage: pipelined.pl HOSTS PATH N WINDOW cb|f\n" if !$form;

my $zk = ZooKeeper->new(
    hosts      => $hosts,
    timeout    => 10_000,
    dispatcher => 'AnyEvent'
);
my $warm = 1 + int $n / 10;
my $clock;
Bench::Gets::flow(
    $zk, $path, $form, $window, $warm,
    sub {
        return $clock->report( $form, $window, $n ) if $clock;
        $clock = Bench::Clock->new;
        return $warm + $n;
    }
);
$zk->close;

#!/usr/bin/perl
# This project's client: N watches that are armed, and a connection that is lost.
#
#     perl -Mblib bench/watches.pl PORT N
#
# The port is that of a stub. Prints one line: bytes of memory for each watch beside the caller's own closure, and the
# seconds from the loss of the connection until all are armed again.
use strict;
use warnings;

use EV;
use AnyEvent;
use FindBin;
use lib "$FindBin::Bin/lib";
use Bench::Memory;
use Bench::Watches;
use JSON::PP    ();
use Time::HiRes qw(CLOCK_MONOTONIC clock_gettime);
use ZooKeeper;

my ( $port, $n ) = @ARGV;
die "usage: watches.pl PORT N\n" if !$n;

# What the closures take is the caller's own, and not counted.
my $fired   = 0;
my $closure = sub {
    my ($number) = @_;
    return sub { $fired += $number }
};
my $zk       = ZooKeeper->new( hosts => "127.0.0.1:$port", timeout => 30_000, dispatcher => 'AnyEvent' );
my @closures = map { $closure->($_) } 1 .. $n;
Bench::Watches::set( $zk, 1_000, sub { } );
my $before = Bench::Memory::resident();
Bench::Watches::set( $zk, $n, \@closures );
my $bytes = ( Bench::Memory::resident() - $before ) / $n;
die "not all are armed\n" if $zk->metrics->{watches} < $n;

# The server drops the connection instead of answering this; what is asked then is answered behind the watches.
my $sent  = $zk->metrics->{bytes_sent};
my $start = clock_gettime(CLOCK_MONOTONIC);
eval { $zk->set( '/drop', '' ); 1 } and die "the connection was not lost\n";
$zk->exists('/');
my $seconds = clock_gettime(CLOCK_MONOTONIC) - $start;
die "they were not armed again\n"
  if $zk->metrics->{bytes_sent} - $sent < 10 * $n || $zk->metrics->{reconnects} != 1;

Bench::Watches::fire($zk);
my $timer = AE::timer( 120, 0, sub { die "the events don't come\n" } );
EV::run(EV::RUN_ONCE) while $zk->metrics->{watches};
print JSON::PP->new->canonical->encode( { watches => $n, bytes => int $bytes, seconds => $seconds } ), "\n";

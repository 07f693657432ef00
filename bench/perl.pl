#!/usr/bin/perl
# This project's client.
#
#     perl -Mblib bench/perl.pl PORT OP PATH N WINDOW FORM [quantiles]
#
# N times OP (get, get_stat, exists, set, children, create) of PATH. FORM is "blocking", one after the other, or how it
# is told of the answers with WINDOW in flight, after N/10 that don't count: "cb" (callbacks) or "f" (futures, with
# on_done). "get_stat" is get in list context. Prints one line, as bench.h says. "unpack" is no client: that is what perl
# itself takes to make 100,000 strings of 14 bytes out of one, and to free the list before.
use strict;
use warnings;
use feature 'current_sub';

use FindBin;
use lib "$FindBin::Bin/lib";
use Bench::Clock;
use Bench::Flow;
use ZooKeeper;

my $VALUE = 'y' x 100;

my ( $port, $op, $path, $n, $window, $form, $quantiles ) = @ARGV;
die "usage: perl.pl PORT OP PATH N WINDOW blocking|cb|f|unpack [quantiles]\n" if !$form;
$form eq 'unpack' and exit !unpacking();

my $zk = ZooKeeper->new(
    hosts      => "127.0.0.1:$port",
    timeout    => 30_000,
    dispatcher => $form eq 'blocking' ? 'Pipe' : 'AnyEvent',
);
$zk->wait_connected(20) or die "no connection\n";

$form eq 'blocking' ? blocking() : flowing();
$zk->close;

# Written out for each operation, for one more call per operation would be measured, too.
sub blocking {
    my ( $kept, @names );
    my @create = ( value => $VALUE, ephemeral => 1, sequential => 1 );
    my %call   = (
        get      => sub { $kept = $zk->get($path)     for 1 .. $_[0] },
        get_stat => sub { $kept = [ $zk->get($path) ] for 1 .. $_[0] },
        exists   => sub { $kept = $zk->exists($path)  for 1 .. $_[0] },
        set      => sub { $zk->set( $path => $VALUE )       for 1 .. $_[0] },
        children => sub { @names = $zk->get_children($path) for 1 .. $_[0] },
        create   => sub { $zk->create( $path, @create )     for 1 .. $_[0] },
    );
    my $call = $call{$op} or die "no operation $op\n";
    $call->(1);
    my $clock = Bench::Clock->new;
    if ($quantiles) {
        $clock->lap while $clock->laps < $n && ( $call->(1), 1 );
    }
    else {
        $call->($n);
    }
    return $clock->report( 1, $n );
}

sub unpacking {
    my $all = join '', map { sprintf 'name%010d', $_ } 0 .. 99_999;
    my @names;
    my $call = sub { @names = unpack '(a14)*', $all for 1 .. $_[0] };
    $call->(1);
    my $clock = Bench::Clock->new;
    $call->($n);
    return $clock->report( 1, $n );
}

sub flowing {
    my $warm = 1 + int $n / 10;
    my $clock;
    my $reached = sub {
        return $clock->report( $window, $n ) && 0 if $clock;
        $clock = Bench::Clock->new;
        return $warm + $n;
    };
    return Bench::Flow::run( $zk, $form, $op, [ $path, $op eq 'set' ? $VALUE : () ], $window, $warm,
        $reached );
}

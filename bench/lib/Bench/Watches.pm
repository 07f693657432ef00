package Bench::Watches;
use strict;
use warnings;
use feature 'current_sub';

use AnyEvent;
use Bench::Clock;

# Watches at a stub, by the hundred thousand.

# Sets watches on as many nodes, each with this callback, or with its own of a list.
sub set {
    my ( $zk, $count, $callback ) = @_;
    my ( $asked, $answered ) = ( 0, 0 );
    my $own  = ref $callback eq 'ARRAY' && $callback;
    my $done = AE::cv;
    my $next = sub {
        die $_[0]   if $_[0];
        $done->send if @_ && ++$answered == $count;
        return      if $asked == $count;
        my $number = $asked++;
        $zk->get( "/watched/$number", watcher => $own ? $own->[$number] : $callback, cb => __SUB__ );
    };
    $next->() for 1 .. 1_000;
    $done->recv;
    return;
}

# Has the stub fire all that are set. Does not wait for it.
sub fire {
    my ($zk) = @_;
    $zk->set( '/fire', '', cb => sub { die $_[0] if $_[0] } );
    return;
}

1;

package Bench::Flow;
use strict;
use warnings;
use feature 'current_sub';

use AnyEvent;
use Bench::Clock;

# Methods by the names that the other programs here have for them.
my %METHOD = ( get => 'get', exists => 'exists', set => 'set', children => 'get_children' );

# Keeps so many requests in flight, each asked for by the answer to an earlier one: by a callback ("cb") or with a future
# ("f"). When $mark have been answered calls $reached, which returns the next mark, or
# false when that was the last.
sub run {
    my ( $zk, $form, $op, $args, $window, $mark, $reached ) = @_;
    my $method   = $METHOD{$op} or die "no operation $op\n";
    my @args     = @$args;
    my $path     = $args[0];
    my $done     = AE::cv;
    my $answered = -$window;                                                   # the first ones are no answers
    my $stop     = sub { $mark = $reached->() || 0; $done->send if !$mark };

    # Gets, which the tables are about, are written out in both forms, for anything more per answer would be
    # measured, too.
    my $in_form = "${method}_f";
    my %answer  = (
        cb => sub {
            die $_[0]                            if $_[0];
            $stop->()                            if ++$answered == $mark;
            $zk->$method( @args, cb => __SUB__ ) if $mark;
        },
        f => sub {
            $stop->()                              if ++$answered == $mark;
            $zk->$in_form(@args)->on_done(__SUB__) if $mark;
        },
        'cb get' => sub {
            die $_[0]                        if $_[0];
            $stop->()                        if ++$answered == $mark;
            $zk->get( $path, cb => __SUB__ ) if $mark;
        },
        'f get' => sub {
            $stop->()                           if ++$answered == $mark;
            $zk->get_f($path)->on_done(__SUB__) if $mark;
        },
    );
    my $answer = $answer{"$form $op"} // $answer{$form} // die "no form $form: cb or f\n";
    $answer->() for 1 .. $window;
    $done->recv;
    return;
}

1;

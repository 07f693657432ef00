package Bench::Gets;
use strict;
use warnings;
use feature 'current_sub';

use AnyEvent;
use Bench::Clock;

# Keeps so many gets in flight, each asked for by the answer to an earlier one: by a callback ("cb") or with a future
# ("f"). When $mark have been answered calls $reached, which returns the next mark, or
# false when that was the last.
sub flow {
    my ( $zk, $path, $form, $window, $mark, $reached ) = @_;
    my $done     = AE::cv;
    my $answered = -$window;                                                   # the first ones are no answers
    my $stop     = sub { $mark = $reached->() || 0; $done->send if !$mark };

    # Written out in both forms, for one more call per answer would be measured, too.
    my %answer = (
        cb => sub {
            die $_[0]                        if $_[0];
            $stop->()                        if ++$answered == $mark;
            $zk->get( $path, cb => __SUB__ ) if $mark;
        },
        f => sub {
            $stop->()                           if ++$answered == $mark;
            $zk->get_f($path)->on_done(__SUB__) if $mark;
        },
    );
    my $answer = $answer{$form} or die "no form $form: cb or f\n";
    $answer->() for 1 .. $window;
    $done->recv;
    return;
}

1;

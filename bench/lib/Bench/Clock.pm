package Bench::Clock;
use strict;
use warnings;

use Time::HiRes qw(clock time);    # clock: processor time of all threads

# Starts.
sub new {
    my ($class) = @_;
    return bless { wall => time, cpu => clock }, $class;
}

# Stops, and prints the line that every program here prints.
sub report {
    my ( $self, $name, $window, $n ) = @_;
    my ( $wall, $cpu ) = ( time - $self->{wall}, clock - $self->{cpu} );
    printf "%s window=%d %.2f us/op %.0f ops/s cpu %.2f us/op\n", $name,
      $window, $wall / $n * 1e6,
      $n / $wall, $cpu / $n * 1e6;
    return;
}

1;

package Bench::Clock;
use strict;
use warnings;
no warnings 'once';

use Time::HiRes qw(clock time);    # clock: processor time of all threads

# A program that fails must not hang: EV goes on after an exception, and an answer may never come.
$EV::DIED = sub { print STDERR $@; exit 1 };
alarm 300;

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

package Bench::Clock;
use strict;
use warnings;
no warnings 'once';

use Time::HiRes qw(CLOCK_MONOTONIC clock clock_gettime);    # clock: processor time of all threads

# A program that fails must not hang: EV goes on after an exception, and an answer may never come.
$EV::DIED = sub { print STDERR $@; exit 1 };
alarm 300;

# Starts.
sub new {
    my ($class) = @_;
    my $now = clock_gettime(CLOCK_MONOTONIC);
    return bless { wall => $now, last => $now, laps => [], cpu => clock }, $class;
}

# One operation has been done.
sub lap {
    my ($self) = @_;
    my $now = clock_gettime(CLOCK_MONOTONIC);
    push @{ $self->{laps} }, $now - $self->{last};
    $self->{last} = $now;
    return;
}

sub laps { return scalar @{ $_[0]{laps} } }

# Stops, and prints the line that every program here prints (bench.h says what is in it), with more if there is more
# to say. Returns true.
sub report {
    my ( $self, $window, $n, %more ) = @_;
    my ( $wall, $cpu ) = ( clock_gettime(CLOCK_MONOTONIC) - $self->{wall}, clock - $self->{cpu} );
    my %line = (
        n        => $n,
        window   => $window,
        wall_us  => sprintf( '%.4f', $wall / $n * 1e6 ),
        cpu_us   => sprintf( '%.4f', $cpu / $n * 1e6 ),
        peak_kib => peak_kib(),
        %more
    );
    if ( my @laps = sort { $a <=> $b } @{ $self->{laps} } ) {
        my @at = map { int( ( 1 - 10**( -$_ / 10 ) ) * @laps ) } 0 .. 40;
        $line{quantiles} = '[' . join( ',', map { sprintf '%.2f', 1e6 * $laps[$_] } @at ) . ']';
    }
    print '{', join( ',', map { qq("$_":$line{$_}) } sort keys %line ), "}\n";
    return 1;
}

# What the process has had at most of memory.
sub peak_kib {
    open my $status, '<', '/proc/self/status' or die "/proc/self/status: $!\n";
    my ($kib) = map { /^VmHWM:\s+([0-9]+)/ ? $1 : () } readline $status;
    return $kib;
}

1;

package Bench::Part::Flight;
use strict;
use warnings;

use Bench::Results;
use Bench::Stage;

# Operations a second over how many are in flight.

my @NAMES   = qw(floor cb f cclient rustclient kazoo);
my @WINDOWS = ( 2, 4, 16, 64, 256, 1024 );

sub run {
    my ( $class, $stage ) = @_;
    print "\nIN FLIGHT: thousands of gets a second over how many are in flight; stub, one CPU\n\n";
    my ($stub) = $stage->against( 1, 'stub' );
    my %shown;
    for my $window (@WINDOWS) {
        my %figure = $stage->measure(
            flight => op => 'get',
            pinned => 1,
            server => 'stub',
            port   => $stub->{port},
            path   => $Bench::Stage::NODE,
            window => $window,
            names  => \@NAMES,
            n      => {
                floor => $stage->count( 60_000 * $window, 2_000 * $window ),
                other => $stage->count( 20_000,           1_000 ),
                kazoo => $stage->count( 3_000,            300 ),
                map { $_ => $stage->count( 60_000, 3_000 ) } qw(cb f rustclient)
            },
        );
        $shown{$_}{$window} = sprintf '%.1f', 1e3 / $figure{$_}{wall_us}{median} for keys %figure;
    }
    my @rows = map {
        my $name = $_;
        [ 'stub', $name, map { $shown{$name}{$_} } @WINDOWS ]
    } grep { $shown{$_} } @NAMES;
    print Bench::Results::table( [ qw(server client), @WINDOWS ], @rows );
    return;
}

1;

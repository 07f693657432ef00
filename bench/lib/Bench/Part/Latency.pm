package Bench::Part::Latency;
use strict;
use warnings;

use Bench::Results;
use Bench::Stage;

# How long single calls take, and the slowest of many: a get after the other on a real server.

my @NAMES = qw(floor blocking cclient rustclient kazoo);

# Of a hundred, a thousand, ten thousand: indices into what quantiles there are (see bench.h).
my @SHOWN = ( [ '50 %' => 3 ], [ '90 %' => 10 ], [ '99 %' => 20 ], [ '99.9 %' => 30 ], [ '99.99 %' => 40 ] );

sub run {
    my ( $class, $stage ) = @_;
    print "\nLATENCY: so many of all gets took at most so long; us, unpinned\n\n";
    for my $against ( $stage->against( 0, 'real' ) ) {
        my %figure = $stage->measure(
            latency   => op => 'get',
            pinned    => 0,
            server    => $against->{name},
            port      => $against->{port},
            path      => $Bench::Stage::NODE,
            names     => \@NAMES,
            quantiles => 1,
            n         => { other => $stage->count( 20_000, 2_000 ) },
        );
        my @rows =
          map {
            my $name = $_;
            [
                $against->{name}, $name,
                map { Bench::Results::digits( $figure{$name}{quantiles}[ $_->[1] ] ) } @SHOWN
            ]
          }
          grep { $figure{$_} } @NAMES;
        print Bench::Results::table( [ qw(server client), map { $_->[0] } @SHOWN ], @rows ), "\n";
    }
    return;
}

1;

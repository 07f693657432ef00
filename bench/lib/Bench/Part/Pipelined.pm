package Bench::Part::Pipelined;
use strict;
use warnings;

use Bench::Results;
use Bench::Stage;

# A thousand gets in flight.

my @NAMES  = qw(floor cb f cclient refill rustclient kazoo);
my $WINDOW = 1_000;

sub run {
    my ( $class, $stage ) = @_;
    print
"\nPIPELINED: $WINDOW gets in flight; us, medians (and ranges); x: times the C client's operations, part of its CPU\n\n";
    for my $pinned ( 1, 0 ) {
        for my $against ( $stage->against($pinned) ) {
            my %figure = $stage->measure(
                pipelined => op => 'get',
                pinned    => $pinned,
                server    => $against->{name},
                port      => $against->{port},
                path      => $Bench::Stage::NODE,
                window    => $WINDOW,
                names     => \@NAMES,
                n         => $class->_counts( $stage, $against->{name} ),
            );
            my @rows;
            for my $name ( grep { $figure{$_} } @NAMES ) {
                my $own   = $figure{$name};
                my $times = $own->{wall_to_cclient} && 1 / $own->{wall_to_cclient};
                push @rows,
                  [
                    "$against->{name}, " . $stage->where($pinned),
                    $name,
                    sprintf( '%.0f', 1e6 / $own->{wall_us}{median} ),
                    Bench::Results::digits( $times || ( $name eq 'cclient' ? 1 : undef ) ),
                    Bench::Results::with_range( $own->{wall_us} ),
                    Bench::Results::with_range( $own->{cpu_us} ),
                    Bench::Results::digits( $own->{cpu_to_cclient} // ( $name eq 'cclient' ? 1 : undef ) ),
                  ];
            }
            print Bench::Results::table( [qw(server client ops/s x wall CPU x)], @rows ), "\n";
        }
    }
    return $class->_goals($stage);
}

sub _counts {
    my ( $class, $stage, $server ) = @_;
    return $server eq 'stub'
      ? {
        floor => $stage->count( 4_000_000, 200_000 ),
        other => $stage->count( 40_000,    3_000 ),
        kazoo => $stage->count( 10_000,    2_000 ),
        map { $_ => $stage->count( 200_000, 20_000 ) } qw(cb f rustclient)
      }
      : { other => $stage->count( 40_000, 3_000 ), kazoo => $stage->count( 10_000, 1_000 ) };
}

sub _goals {
    my ( $class, $stage ) = @_;
    my $results = $stage->results;
    my %least   = ( cb => 8, f => 4 );
    for my $form (qw(cb f)) {
        my $own = $results->find( part => 'pipelined', client => $form, pinned => 1, server => 'stub' );
        $results->goal(
            "1,000 in flight, $form, stub, one CPU: x the C client's operations",
            $own->{wall_to_cclient} && 1 / $own->{wall_to_cclient},
            $least{$form}, least => 1
        );
        $results->goal(
            "1,000 in flight, cb, stub, one CPU: us of CPU",
            $own->{cpu_us}{median},
            5, unit => ' us'
        ) if $form eq 'cb';
    }
    for my $against ( grep { $_->{name} ne 'stub' } $stage->against(0) ) {
        my $own =
          $results->find( part => 'pipelined', client => 'cb', pinned => 0, server => $against->{name} );
        $results->goal(
            "1,000 in flight, cb, $against->{name}, unpinned: x the C client's operations",
            $own->{wall_to_cclient} && 1 / $own->{wall_to_cclient},
            1, least => 1
        );
        $results->goal( "1,000 in flight, cb, $against->{name}, unpinned: CPU x C client",
            $own->{cpu_to_cclient}, 0.2 );
    }
    return;
}

1;

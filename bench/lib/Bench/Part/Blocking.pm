package Bench::Part::Blocking;
use strict;
use warnings;

use Bench::Results qw();
use Bench::Stage;

# Calls that wait, one after the other, by every client, on every server, pinned and not.

my @NAMES = qw(floor blocking cclient rustclient kazoo);
my @OPS   = qw(get exists set children create);

sub run {
    my ( $class, $stage ) = @_;
    print "\nBLOCKING: calls one after the other; us, medians (and ranges); ratios to the floor\n\n";
    for my $pinned ( 1, 0 ) {
        for my $against ( $stage->against($pinned) ) {
            my @rows;
            for my $op (@OPS) {
                my %figure = $class->_measure( $stage, $pinned, $against, $op );
                push @rows,
                  map { _row( $against, $pinned, $op, $_, $figure{$_} ) } grep { $figure{$_} } @NAMES,
                  'with stat';
            }
            print Bench::Results::table( [qw(server op client wall x CPU x)], @rows ), "\n";
        }
    }
    return $class->_goals($stage);
}

sub _measure {
    my ( $class, $stage, $pinned, $against, $op ) = @_;
    my $slow = $against->{name} ne 'stub' || !$pinned;
    my %n    = (
        other => $stage->count( $slow ? 5_000 : 30_000, 300 ),
        kazoo => $stage->count( $slow ? 2_000 : 5_000,  100 ),
    );
    my %arg = (
        pinned => $pinned,
        server => $against->{name},
        port   => $against->{port},
        path   => $op eq 'create' ? "$Bench::Stage::NODE/e-" : $Bench::Stage::NODE,
        n      => \%n,
    );
    my %figure = $stage->measure( blocking => %arg, op => $op, names => \@NAMES );

    # Only this client has a choice; its other calls give what a stat has anyway.
    if ( $op eq 'get' ) {
        my %with_stat = $stage->measure( blocking => %arg, op => 'get_stat', names => ['blocking'] );
        $figure{'with stat'} = $with_stat{blocking};
    }
    return %figure;
}

sub _row {
    my ( $against, $pinned, $op, $name, $figure ) = @_;
    return [
        "$against->{name}, " . Bench::Stage->where($pinned),
        $op,
        $name,
        Bench::Results::with_range( $figure->{wall_us} ),
        Bench::Results::digits( $figure->{wall_to_floor} // ( $name eq 'floor' ? 1 : undef ) ),
        Bench::Results::with_range( $figure->{cpu_us} ),
        Bench::Results::digits( $figure->{cpu_to_floor} // ( $name eq 'floor' ? 1 : undef ) ),
    ];
}

sub _goals {
    my ( $class, $stage ) = @_;
    my $results = $stage->results;
    my $find    = sub { $results->find( part => 'blocking', client => 'blocking', @_ ) };
    for my $against ( grep { $_->{name} ne 'stub' } $stage->against(0) ) {
        my $server = $against->{name};
        my $get    = $find->( server => $server, pinned => 0, op => 'get' );
        my $set    = $find->( server => $server, pinned => 0, op => 'set' );
        $results->goal( "blocking get, $server, unpinned: x floor", $get->{wall_to_floor}, 1.15 );
        $results->goal( "blocking set, $server, unpinned: x floor", $set->{wall_to_floor}, 1.1 );
    }
    my %stub = map { $_ => $find->( server => 'stub', pinned => 1, op => $_ ) } qw(get exists get_stat);
    $results->goal( 'blocking get, stub, one CPU: x floor',        $stub{get}{wall_to_floor},  1.25 );
    $results->goal( 'blocking get, stub, one CPU: CPU x C client', $stub{get}{cpu_to_cclient}, 0.3 );
    for my $op (qw(exists get_stat)) {
        my $more = $stub{$op}{wall_us}{median} - $stub{get}{wall_us}{median};
        $results->goal( "$op, stub, one CPU: us above get", $more, 1, unit => ' us' );
    }
    return;
}

1;

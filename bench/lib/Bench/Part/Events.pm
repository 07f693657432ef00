package Bench::Part::Events;
use strict;
use warnings;

use Bench qw(perl_command run_rounds);
use Bench::Results;
use Bench::Stage;

# Watches that all fire at once.

sub run {
    my ( $class, $stage ) = @_;
    my $n = $stage->count( 100_000, 20_000 );
    print "\nEVENTS: $n watches that fire at once; stub\n\n";
    my @rows;
    for my $pinned ( 1, 0 ) {
        my ($stub)  = $stage->against( $pinned, 'stub' );
        my @command = ( $stage->pin($pinned), perl_command('events.pl'), $stub->{port}, $n );
        my %lines   = run_rounds( $stage->rounds, [ cb => @command ] );
        my $figure  = $stage->results->add_lines(
            { part => 'events', client => 'cb', server => 'stub', pinned => $pinned },
            $lines{cb} );
        my $rate = 1e6 / $figure->{wall_us}{median};
        push @rows,
          [
            'stub, ' . $stage->where($pinned),
            'cb',
            sprintf( '%.0f', $rate ),
            map { Bench::Results::with_range( $figure->{$_} ) } qw(wall_us cpu_us)
          ];
        $stage->results->goal( 'watch events a second, one CPU', int $rate, 200_000, least => 1 ) if $pinned;
    }
    print Bench::Results::table( [qw(server client events/s wall CPU)], @rows );
    return;
}

1;

package Bench::Part::Handles;
use strict;
use warnings;

use Bench qw(perl_command run_rounds);
use Bench::Stage;

# Many handles in one process that do nothing.

sub run {
    my ( $class, $stage ) = @_;
    my $n       = $stage->count( 1_000,  200 );
    my $timeout = $stage->count( 30_000, 4_000 );
    my ($real)  = $stage->against( 0, 'real' )
      or return print "\nHANDLES: left out, there is no real server\n";
    print "\nHANDLES: $n in one process, $real->{name}, for ", 3 * $timeout / 1_000, " s\n\n";
    my %lines = run_rounds( 1, [ handles => perl_command('handles.pl'), $real->{port}, $n, $timeout ] );
    my $line  = $lines{handles}[0];
    $stage->results->add( { part => 'handles', server => $real->{name} },
        { map { $_ => [ $line->{$_} ] } keys %$line } );
    printf "%-10s%s\n", $_, $line->{$_} for sort keys %$line;
    my @goals = (
        [ 'threads beside perl\'s',     $line->{threads},                      1 ],
        [ 'bytes each',                 $line->{bytes},                        65_536 ],
        [ 'that are not alive',         $line->{handles} - $line->{alive},     0 ],
        [ 'percent of a CPU when idle', sprintf( '%.3f', 100 * $line->{cpu} ), 1 ],
    );
    $stage->results->goal( "$n handles: $_->[0]", $_->[1], $_->[2] ) for @goals;
    return;
}

1;

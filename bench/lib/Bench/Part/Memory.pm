package Bench::Part::Memory;
use strict;
use warnings;

use Bench qw(perl_command run_rounds);
use Bench::Results;
use Bench::Stage;

# What the process has of memory after calls, and when events come that nobody takes out.

sub run {
    my ( $class, $stage ) = @_;
    my $gets   = $stage->count( 1_000_000, 50_000 );
    my $events = $stage->count( 100_000,   20_000 );
    print "\nMEMORY: KiB that are the process's alone; stub, one CPU\n\n";
    my ($stub) = $stage->against( 1, 'stub' );
    my %lines = run_rounds(
        1,
        [
            memory => $stage->pin(1),
            perl_command('memory.pl'), $stub->{port}, $Bench::Stage::NODE, $gets, $events
        ]
    );
    my $line = $lines{memory}[0];
    my @rows;
    my $add = sub {
        my ( $what, %kib ) = @_;
        $stage->results->add( { part => 'memory', what => $what },
            { map { ( "${_}_kib" => [ $kib{$_} ] ) } keys %kib } );
        push @rows, [ $what, @kib{qw(before after)}, $kib{after} - $kib{before} ];
    };
    for my $form (qw(blocking cb f)) {
        $add->( "$gets gets, $form", before => $line->{$form}{warm}, after => $line->{$form}{after} );
    }
    for my $flood ( 1, 2 ) {
        my $of = $line->{"flood $flood"};
        $add->( "$events events wait ($flood)",     before => $of->{before}, after => $of->{full} );
        $add->( "... and have been taken ($flood)", before => $of->{full},   after => $of->{after} );
    }
    print Bench::Results::table( [qw(what before after more)], @rows );
    $stage->results->goal(
        "$gets blocking gets: KiB more",
        $line->{blocking}{after} - $line->{blocking}{warm},
        256, unit => ' KiB'
    );
    return;
}

1;

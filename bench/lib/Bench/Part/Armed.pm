package Bench::Part::Armed;
use strict;
use warnings;

use Bench qw(perl_command run_rounds);
use Bench::Stage;

# Many armed watches: their memory, and how long it takes to arm them again on another connection.

sub run {
    my ( $class, $stage ) = @_;
    my $n = $stage->count( 100_000, 20_000 );
    print "\nARMED: $n watches; stub\n\n";
    my ($stub) = $stage->against( 0, 'stub' );
    my %lines  = run_rounds( $stage->rounds, [ watches => perl_command('watches.pl'), $stub->{port}, $n ] );
    my %rounds = map {
        my $what = $_;
        $what => [ map { $_->{$what} } @{ $lines{watches} } ]
    } qw(bytes seconds);
    my $figure = $stage->results->add( { part => 'armed', server => 'stub', watches => $n }, \%rounds );
    print 'bytes each: ', Bench::Results::with_range( $figure->{bytes} ), "\narmed again: ",
      Bench::Results::with_range( $figure->{seconds}, 1e-3 ), " ms\n";
    $stage->results->goal( "$n armed watches: bytes each beside the closure",
        $figure->{bytes}{median}, 2_048 );
    $stage->results->goal( "$n armed watches: seconds until armed on another connection",
        $figure->{seconds}{median}, 2 );
    return;
}

1;

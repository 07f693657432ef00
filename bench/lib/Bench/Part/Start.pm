package Bench::Part::Start;
use strict;
use warnings;

use Bench qw(one_cpu perl_command);
use Bench::Results;
use Time::HiRes qw(CLOCK_MONOTONIC clock_gettime);

# How long perl takes to load the module.

my @PROGRAMS = (
    [ 'perl -e1'                              => [] ],
    [ 'perl -MMoo -MAnyEvent -MThrowable -e1' => [qw(-MMoo -MAnyEvent -MThrowable)] ],
    [ 'perl -MZooKeeper -e1'                  => ['-MZooKeeper'] ],
);

sub run {
    my ( $class, $stage ) = @_;
    my $rounds = $stage->count( 60, 10 );
    print "\nSTART: $rounds starts of perl; ms\n\n";
    my ( $perl, @path ) = grep { !/\.pl\z/ } perl_command('perl.pl');
    my %seconds;
    for my $round ( 0 .. $rounds ) {
        for my $program (@PROGRAMS) {
            my ( $name, $modules ) = @$program;
            my $before = clock_gettime(CLOCK_MONOTONIC);
            system( $stage->pin(1), $perl, @path, @$modules, '-e1' ) == 0 or die "$name failed\n";
            push @{ $seconds{$name} }, 1e6 * ( clock_gettime(CLOCK_MONOTONIC) - $before ) if $round;
        }
    }
    my %figure =
      map {
        $_->[0] =>
          $stage->results->add( { part => 'start', what => $_->[0] }, { wall_us => $seconds{ $_->[0] } } )
      } @PROGRAMS;
    my $of   = $figure{ $PROGRAMS[1][0] }{wall_us}{median};
    my @rows = map {
        my $wall = $figure{ $_->[0] }{wall_us};
        [
            $_->[0],
            Bench::Results::with_range( $wall, 1_000 ),
            Bench::Results::digits( $wall->{median} / $of )
        ]
    } @PROGRAMS;
    print Bench::Results::table( [qw(program wall x)], @rows );
    $stage->results->goal( "$PROGRAMS[2][0]: x $PROGRAMS[1][0]",
        $figure{ $PROGRAMS[2][0] }{wall_us}{median} / $of, 1.25 );
    return;
}

1;

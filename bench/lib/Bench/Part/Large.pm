package Bench::Part::Large;
use strict;
use warnings;

use Bench::Results;
use Bench::Stage;

# Replies that are long: how much longer than by a raw socket they take, and how often their data are in memory at once.

my @NAMES = qw(floor blocking cclient rustclient kazoo);
my @WHAT  = (
    [ get      => $Bench::Stage::DATA,     'get of 900,000 bytes',      900_000 ],
    [ children => $Bench::Stage::CHILDREN, '100,000 names of 14 bytes', undef ],
);

sub run {
    my ( $class, $stage ) = @_;
    print "\nLARGE: long replies; ms; MB at most in the process, and how much of it came with the reply\n\n";
    my @rows;
    for my $against ( $stage->against( 0, 'real' ) ) {
        $stage->stock( $against->{server} );
        for my $what (@WHAT) {
            my ( $op, $path, $text, $bytes ) = @$what;
            my %arg = (
                op     => $op,
                pinned => 0,
                server => $against->{name},
                port   => $against->{port},
                names  => [ @NAMES, $op eq 'children' ? 'unpack' : () ],
                n      => { other => $stage->count( 50, 3 ) },
            );
            my %small  = $stage->measure( 'large, small' => %arg, path => $Bench::Stage::NODE );
            my %figure = $stage->measure( large          => %arg, path => $path );
            for my $name ( grep { $figure{$_} } @NAMES, 'unpack' ) {
                my $own  = $figure{$name};
                my $more = ( $own->{peak_kib}{median} - $small{$name}{peak_kib}{median} ) * 1_024;
                $own->{more_bytes} = $more;
                push @rows,
                  [
                    "$against->{name}, unpinned",
                    $text,
                    $name,
                    Bench::Results::with_range( $own->{wall_us}, 1_000 ),
                    Bench::Results::digits( $own->{wall_to_floor} // 1 ),
                    Bench::Results::with_range( $own->{cpu_us}, 1_000 ),
                    Bench::Results::digits( $own->{peak_kib}{median} / 1_024 ),
                    Bench::Results::digits( $more / 2**20 ),
                  ];
            }
            my $own = $figure{blocking};
            $stage->results->goal( "$text, $against->{name}: x floor", $own->{wall_to_floor}, 1.3 );
            $stage->results->goal( "$text, $against->{name}: copies in memory at the peak",
                $own->{more_bytes} / $bytes, 3 )
              if $bytes;
        }
    }
    print Bench::Results::table( [qw(server what client wall x CPU MB more)], @rows );
    return;
}

1;

package Bench::Plot;
use strict;
use warnings;

use Bench::Stage;
use List::Util qw(max min);

# Pictures for the README, of what a run has measured: SVG, readable on light and dark.

my ( $WIDTH, $HEIGHT ) = ( 760, 420 );
my %MARGIN     = ( left => 78, right => 170, top => 46, bottom => 58 );
my $LINE_APART = 17;

# Colours that differ for those who see few, on white and on black.
my %COLOUR = (
    floor      => '#8b949e',
    blocking   => '#2f81f7',
    cb         => '#2f81f7',
    f          => '#0fa3b1',
    cclient    => '#e36209',
    rustclient => '#b08800',
    kazoo      => '#bf3989',
);
my %LABEL = (
    floor      => 'raw socket',
    blocking   => 'this project',
    cb         => 'this, callbacks',
    f          => 'this, futures',
    cclient    => 'C client',
    rustclient => 'zookeeper-client (Rust)',
    kazoo      => 'kazoo (Python)',
);

# Draws them into this directory, and returns their names.
sub draw {
    my ( $class, $results, $directory ) = @_;
    my %text  = ( 'latency.svg' => _latency($results), 'throughput.svg' => _throughput($results) );
    my @drawn = grep { defined $text{$_} } sort keys %text;
    for my $name (@drawn) {
        open my $file, '>', "$directory/$name" or die "$directory/$name: $!\n";
        print {$file} $text{$name};
        close $file or die "$directory/$name: $!\n";
    }
    return map { "$directory/$_" } @drawn;
}

sub _latency {
    my ($results) = @_;
    my @figures   = grep { $_->{part} eq 'latency' } $results->figures or return;
    my $server    = $figures[0]{server};
    my %points;
    for my $figure ( grep { $_->{server} eq $server && $_->{quantiles} } @figures ) {
        my $values = $figure->{quantiles};
        $points{ $figure->{client} } = [ map { [ $_ / 10, $values->[$_] ] } 0 .. $#$values ];
    }
    return _picture(
        title   => "How long a get takes: ZooKeeper $server, one call after the other",
        x_label => 'so many of all calls took at most so long',
        y_label => 'microseconds',
        x_ticks => [ [ 0.301, '50 %' ], [ 1, '90 %' ], [ 2, '99 %' ], [ 3, '99.9 %' ], [ 4, '99.99 %' ] ],
        points  => \%points,
    );
}

sub _throughput {
    my ($results) = @_;
    my @figures = grep { $_->{part} eq 'flight' } $results->figures or return;
    my %points;
    for my $figure (@figures) {
        push @{ $points{ $figure->{client} } },
          [ log( $figure->{window} ) / log 2, 1e6 / $figure->{wall_us}{median} ];
    }
    my %windows = map { $_->{window} => 1 } @figures;
    return _picture(
        title   => 'Gets a second: client and an answerer that costs nothing on one CPU',
        x_label => 'requests in flight',
        y_label => 'gets a second',
        x_ticks => [ map { [ log($_) / log 2, $_ ] } sort { $a <=> $b } keys %windows ],
        points  => \%points,
    );
}

# Lines over a logarithmic axis. points: client => [ [ x, y ], ... ]
sub _picture {
    my (%arg)   = @_;
    my $points  = $arg{points};
    my @names   = grep { $points->{$_} } map { $_->[0] } Bench::Stage->descriptions;
    my @x       = map  { $_->[0] } map       { @{ $points->{$_} } } @names;
    my @y       = map  { $_->[1] } map       { @{ $points->{$_} } } @names;
    my @x_range = ( min(@x), max(@x) );
    my @y_range = map { log($_) / log 10 } min(@y) * 0.85, max(@y) * 1.15;
    my $across  = $WIDTH - $MARGIN{left} - $MARGIN{right};
    my $down    = $HEIGHT - $MARGIN{top} - $MARGIN{bottom};
    my $x_of    = sub { $MARGIN{left} + ( $_[0] - $x_range[0] ) / ( $x_range[1] - $x_range[0] ) * $across };
    my $y_of    = sub {
        $MARGIN{top} + ( $y_range[1] - log( $_[0] ) / log 10 ) / ( $y_range[1] - $y_range[0] ) * $down;
    };

    my @parts = ( _text( $MARGIN{left}, 26, $arg{title}, class => 'title' ) );
    for my $tick ( _ticks(@y_range) ) {
        my $y = $y_of->($tick);
        push @parts, _line( $MARGIN{left}, $y, $WIDTH - $MARGIN{right}, $y, 'grid' ),
          _text( $MARGIN{left} - 8, $y + 4, _short($tick), anchor => 'end' );
    }
    for my $tick ( @{ $arg{x_ticks} } ) {
        my $x = $x_of->( $tick->[0] );
        push @parts, _line( $x, $MARGIN{top}, $x, $HEIGHT - $MARGIN{bottom}, 'grid' ),
          _text( $x, $HEIGHT - $MARGIN{bottom} + 18, $tick->[1], anchor => 'middle' );
    }
    push @parts,
      _text( $MARGIN{left} + $across / 2, $HEIGHT - 16, $arg{x_label}, anchor => 'middle' ),
      _text( 18, $MARGIN{top} + $down / 2, $arg{y_label}, anchor => 'middle', turned => 1 );

    my %label_y = _apart( map { $_ => $y_of->( $points->{$_}[-1][1] ) } @names );
    for my $name (@names) {
        my @at   = map { sprintf '%.1f,%.1f', $x_of->( $_->[0] ), $y_of->( $_->[1] ) } @{ $points->{$name} };
        my $ours = $name =~ /\A(?:blocking|cb|f)\z/ ? 3                         : 1.8;
        my $dash = $name eq 'floor'                 ? ' stroke-dasharray="5 4"' : '';
        push @parts,
qq(<polyline fill="none" stroke="$COLOUR{$name}" stroke-width="$ours"$dash stroke-linejoin="round" points="@at"/>),
          _text( $WIDTH - $MARGIN{right} + 8, $label_y{$name} + 4, $LABEL{$name}, colour => $COLOUR{$name} );
    }
    my $body = join "\n", @parts;
    return <<"SVG";
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 $WIDTH $HEIGHT" width="$WIDTH" height="$HEIGHT" role="img" aria-label="$arg{title}">
<style>
text { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 }
.grid { stroke: #8b949e; stroke-opacity: 0.3 }
\@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } }
</style>
$body
</svg>
SVG
}

# 1, 2, 5 of each power of ten in the range (of logarithms).
sub _ticks {
    my ( $low, $high ) = @_;
    return grep { my $at = log($_) / log 10; $at >= $low && $at <= $high }
      map {
        my $power = 10**$_;
        map { $_ * $power } 1, 2, 5
      } int( $low - 1 ) .. int( $high + 1 );
}

# So that no two labels lie over each other, in the order in which they are.
sub _apart {
    my (%y) = @_;
    my @names = sort { $y{$a} <=> $y{$b} } keys %y;
    for my $i ( 1 .. $#names ) {
        my $least = $y{ $names[ $i - 1 ] } + $LINE_APART;
        $y{ $names[$i] } = $least if $y{ $names[$i] } < $least;
    }
    my $below = @names ? $y{ $names[-1] } - ( $HEIGHT - $MARGIN{bottom} ) : 0;
    return map { $_ => $y{$_} - max( $below, 0 ) } @names;
}

sub _short {
    my ($value) = @_;
    return $value >= 1e6 ? $value / 1e6 . ' M' : $value >= 1e3 ? $value / 1e3 . ' k' : $value;
}

sub _line {
    my ( $x1, $y1, $x2, $y2, $class ) = @_;
    return sprintf '<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>', $class, $x1, $y1, $x2, $y2;
}

sub _text {
    my ( $x, $y, $text, %arg ) = @_;
    my @more;
    push @more, qq(class="$arg{class}")        if $arg{class};
    push @more, qq(text-anchor="$arg{anchor}") if $arg{anchor};
    push @more, qq(style="fill: $arg{colour}") if $arg{colour};
    push @more, sprintf 'transform="rotate(-90 %.1f %.1f)"', $x, $y if $arg{turned};
    return sprintf '<text x="%.1f" y="%.1f" %s>%s</text>', $x, $y, join( ' ', @more ), $text;
}

1;

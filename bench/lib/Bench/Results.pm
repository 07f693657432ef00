package Bench::Results;
use strict;
use warnings;

use JSON::PP   ();
use List::Util qw(max min);

# What was measured, for the tables and for programs; and what it was to be.

sub new {
    my ($class) = @_;
    return bless { figures => [], goals => [] }, $class;
}

# One figure: what it is about, and { wall_us => [ one for each round ], ... }. Returns the same with
# { median, min, max } for each.
sub add {
    my ( $self, $about, $rounds ) = @_;
    my %figure = ( %$about, map { $_ => summary( @{ $rounds->{$_} } ) } keys %$rounds );
    push @{ $self->{figures} }, \%figure;
    return \%figure;
}

# The lines of a program's rounds, by what they are of. A list of quantiles is that of the median round.
sub add_lines {
    my ( $self, $about, $lines, $to ) = @_;
    my %rounds;
    for my $name (qw(wall_us cpu_us peak_kib)) {
        $rounds{$name} = [ map { $_->{$name} } @$lines ];
    }
    my $figure = $self->add( $about, \%rounds );
    if ( $lines->[0]{quantiles} ) {
        my @sorted = sort { $a->{wall_us} <=> $b->{wall_us} } @$lines;
        $figure->{quantiles} = $sorted[ @sorted / 2 ]{quantiles};
    }
    for my $name ( sort keys %{ $to // {} } ) {
        my $other = $to->{$name} or next;
        for my $what (qw(wall cpu)) {
            my $of = $other->{"${what}_us"}{median} or next;
            $figure->{"${what}_to_$name"} = $figure->{"${what}_us"}{median} / $of;
        }
    }
    return $figure;
}

sub summary {
    my (@values) = @_;
    my @sorted = sort { $a <=> $b } @values;
    return { median => $sorted[ @sorted / 2 ], min => $sorted[0], max => $sorted[-1] };
}

# What there was to reach: a text, the figure, and the bound: at most (or with least => 1 at least) that much. Without
# a figure, for want of what it is compared with, it counts as not measured.
sub goal {
    my ( $self, $text, $figure, $bound, %arg ) = @_;
    my $reached = !defined $figure ? undef : $arg{least} ? $figure >= $bound : $figure <= $bound;
    push @{ $self->{goals} },
      {
        goal    => $text,
        bound   => ( $arg{least} ? 'at least ' : 'at most ' ) . $bound . ( $arg{unit} // '' ),
        figure  => $figure,
        reached => defined $reached ? ( $reached ? JSON::PP::true : JSON::PP::false ) : undef,
      };
    return;
}

sub figures { return @{ $_[0]{figures} } }

sub goals { return @{ $_[0]{goals} } }

sub find {
    my ( $self, %about ) = @_;
    my ($found) = grep {
        my $figure = $_;
        !grep { ( $figure->{$_} // '' ) ne $about{$_} } keys %about
    } $self->figures;
    return $found;
}

sub write {
    my ( $self, $path, %about ) = @_;
    open my $file, '>', $path or die "$path: $!\n";
    my $json = JSON::PP->new->canonical->pretty->indent_length(1);
    print {$file} $json->encode( { %about, figures => $self->{figures}, goals => $self->{goals} } );
    close $file or die "$path: $!\n";
    return;
}

# Lines of columns, the first of which are words.
sub table {
    my ( $head, @rows ) = @_;
    my @width = map {
        my $i = $_;
        max map { length( $_->[$i] // '' ) } $head, @rows
    } 0 .. $#$head;
    my @numeric = map {
        my $i = $_;
        !grep { ( $_->[$i] // '' ) !~ /\A(?:-?[\d.]+(?: \([\d.]+-[\d.]+\))?)?\z/ } @rows
    } 0 .. $#$head;
    my $text = '';
    for my $row ( $head, @rows ) {
        my @cells = map {
            my $cell = $row->[$_] // '';
            my $pad  = ' ' x ( $width[$_] - length $cell );
            $numeric[$_] ? $pad . $cell : $cell . $pad
        } 0 .. $#$head;
        my $line = join '  ', @cells;
        $text .= ( $line =~ s/\s+\z//r ) . "\n";
    }
    return $text;
}

# "12.3 (12.0-14.1)"
sub with_range {
    my ( $summary, $scale ) = @_;
    return '' if !$summary;
    my @shown = map { digits( $summary->{$_} / ( $scale // 1 ) ) } qw(median min max);
    return "$shown[0] ($shown[1]-$shown[2])";
}

# Three digits that count.
sub digits {
    my ($value) = @_;
    return '' if !defined $value;
    my $places = abs $value >= 100 ? 0 : abs $value >= 10 ? 1 : 2;
    return sprintf "%.${places}f", $value;
}

1;

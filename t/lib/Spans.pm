package Spans;
use strict;
use warnings;

use Scalar::Util qw(refaddr);

# A tracer that keeps what it is told: spans as hash refs of start and end, copies of the hash at these moments, in the
# order of their beginnings; and the names of what came in the order in which it came.
sub new {
    my ($class) = @_;
    return bless { spans => [], by => {}, order => [], wrong => [] }, $class;
}

sub tracer {
    my ( $self, %also ) = @_;
    return {
        start => sub {
            my ($facts) = @_;
            my $span = $self->{by}{ refaddr $facts} = { facts => $facts, start => {%$facts} };
            push @{ $self->{spans} }, $span;
            push @{ $self->{order} }, "start $facts->{op}";
            push @{ $self->{wrong} }, 'more than one argument' if @_ > 1;
            $also{start}->($facts) if $also{start};
        },
        end => sub {
            my ($facts) = @_;
            my $span = $self->{by}{ refaddr $facts};
            push @{ $self->{wrong} }, "an end without a beginning: $facts->{op}" if !$span;
            push @{ $self->{wrong} }, "a second end: $facts->{op}"               if $span && $span->{end};
            $span->{end} = {%$facts};
            push @{ $self->{order} }, "end $facts->{op}";
            $also{end}->($facts) if $also{end};
        },
    };
}

sub all   { return @{ $_[0]{spans} } }
sub order { return @{ $_[0]{order} } }

sub clear {
    my ($self) = @_;
    @{$self}{qw(spans by order)} = ( [], {}, [] );
    return;
}

# What is wrong with the pairs: nothing, if each that began has ended, once.
sub wrong {
    my ($self) = @_;
    my @open = map { "no end: $_->{start}{op}" } grep { !$_->{end} } $self->all;
    return ( @{ $self->{wrong} }, @open );
}

# Each as "op path: what became of it".
sub plain {
    my ($self) = @_;
    return map {
        join ' ', $_->{start}{op}, $_->{start}{path} // '-', $_->{end}
          ? 0 + ( $_->{end}{error} // 0 )
          : 'open'
    } $self->all;
}

1;

package LongRun;
use strict;
use warnings;

# A run of things that are done at random, for as long as there is time: what Soak, Chaos and History::Run have in common.
# Such an object has a seed, a server, problems (an array ref) and say, which is told what happens; and a method
# _account, what its report says but for the problems.

# After so many it is clear that something is wrong.
my $ENOUGH = 20;

# What follows from the seed is what is asked, and what happens.
sub seed     { return $_[0]{seed} }
sub version  { return $_[0]{server}->version }
sub problems { return @{ $_[0]{problems} } }

sub report {
    my ($self) = @_;
    return join '', $self->_account, map { "PROBLEM: $_\n" } $self->problems;
}

# How many there were of what.
sub _counts {
    my ( undef, $count ) = @_;
    return join ', ', map { "$_ $count->{$_}" } sort keys %$count;
}

sub _problem {
    my ( $self, $what ) = @_;
    chomp $what;
    $self->{say}->("PROBLEM: $what");
    push @{ $self->{problems} }, $what if $self->problems < $ENOUGH;
    return;
}

1;

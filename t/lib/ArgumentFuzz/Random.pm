package ArgumentFuzz::Random;
use strict;
use warnings;

# Numbers that depend on nothing but two others: perl's own come from one place for the whole process, and whoever
# asks for one more would change what all others get.

sub new {
    my ( $class, $seed, $case ) = @_;
    my $state;
    {
        use integer;
        no warnings 'portable';
        $state = ( $seed + 1 ) * 0x1e3779b97f4a7c15 + ( $case + 1 ) * 0x3f58476d1ce4e5b9;
    }
    my $self = bless \$state, $class;
    $self->below(2) for 1 .. 8;
    return $self;
}

# A number from 0 to one less.
sub below {
    my ( $self, $limit ) = @_;
    my $high;
    {
        use integer;
        $$self = $$self * 6364136223846793005 + 1442695040888963407;
        $high  = ( $$self >> 33 ) & 0x7fffffff;
    }
    return $high % $limit;
}

sub pick {
    my ( $self, @of ) = @_;
    return $of[ $self->below( scalar @of ) ];
}

# True so many times of a hundred.
sub often {
    my ( $self, $percent ) = @_;
    return $self->below(100) < $percent;
}

1;

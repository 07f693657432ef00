package ZooKeeper::Guard;
use strict;
use warnings;

our $VERSION = '0.2.0';

# Runs a piece of code when it goes, however that comes about: an exception passes by untouched. Not at the end of
# the program, when what the code needs may be gone, and not in another thread, which gets no copy of the code.
sub new {
    my ( $class, $code ) = @_;
    return bless [$code], $class;
}

# Leaves it at that.
sub dismiss {
    my ($self) = @_;
    @$self = ();
    return;
}

sub DESTROY {
    my ($self) = @_;
    my $code = $self->[0];
    return if !$code || ${^GLOBAL_PHASE} eq 'DESTRUCT';
    local ( $@, $!, $? );
    $code->();
    return;
}

sub CLONE_SKIP { return 1 }

1;

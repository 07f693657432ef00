package ZooKeeper::Dispatcher::Pipe;
use Moo;
extends 'ZooKeeper::Dispatcher';

our $VERSION = '0.2.0';

# A loop has other things to do as well: after so many events it gets its turn. The rest keeps the descriptor
# readable.
my $BATCH = 256;

has _pid => ( is => 'rw', init_arg => undef );

sub BUILD {
    my ($self) = @_;
    $self->_after_fork;
    return;
}

sub fd {
    my ($self) = @_;
    return $self->channel->_fd;
}

sub read_pipe {
    my ($self) = @_;
    $self->channel->_clear;
    return;
}

# What a loop does when the descriptor is readable.
sub _readable {
    my ($self) = @_;
    my $wait = $self->{_waiting};
    for my $nth ( 1 .. $BATCH ) {    # not $_: that is the callbacks'
        last if !$self->channel->size;
        $self->dispatch_cb->();
        last if $wait && !$self->{_waiting};    # wait asks for one event, and has it
    }
    return;
}

# Subclasses make their loop watch the descriptor here.
sub _attach { return }

# In a forked child the channel has a descriptor of its own under the number of the parent's, and a loop may
# know the parent's by that number.
sub _after_fork {
    my ($self) = @_;
    return if $$ == ( $self->_pid // 0 );
    $self->_pid($$);
    $self->_attach;
    return;
}

1;

__END__

=encoding UTF-8

=head1 NAME

ZooKeeper::Dispatcher::Pipe - dispatcher with a descriptor to watch

=head1 SYNOPSIS

    use ZooKeeper;

    my $zk         = ZooKeeper->new( hosts => 'localhost:2181', dispatcher => 'Pipe' );
    my $dispatcher = $zk->dispatcher;
    $zk->get_children( '/', watcher => sub { print "something came or went\n" } );

    my $fds = '';
    vec( $fds, $dispatcher->fd, 1 ) = 1;
    select my $readable = $fds, undef, undef, 10;
    1 while $dispatcher->dispatch_event;

=head1 DESCRIPTION

A L<ZooKeeper::Dispatcher> for programs with a loop of their own. It is the base of
those for known loops.

=head1 METHODS

=head2 fd

The number of a descriptor that is readable exactly while there is something in the
channel. Only watch it. A forked child has one of its own under this number.

=head2 read_pipe

Reads the descriptor, as loops do that want to be told only once; the channel keeps
what it has, and the descriptor goes on to say so. There is no need to call it:
taking the last event out has the same effect.

=head1 SEE ALSO

L<ZooKeeper::Dispatcher>

=cut

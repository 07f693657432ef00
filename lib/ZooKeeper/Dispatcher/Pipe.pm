package ZooKeeper::Dispatcher::Pipe;
use Moo;
use Scalar::Util qw(weaken);
use ZooKeeper::Guard;
extends 'ZooKeeper::Dispatcher';

our $VERSION = '0.2.0';

# A handle of ours may go without closing the descriptor: the channel counts among its users then.
has fh => ( is => 'lazy', init_arg => undef );

has _pid      => ( is => 'rw', init_arg => undef );
has _is_child => ( is => 'rw', init_arg => undef );

# Makes the loop forget the descriptor when it goes.
has _watch => ( is => 'rw', init_arg => undef );

sub fd {
    my ($self) = @_;
    return $self->channel->_fd;
}

sub read_pipe {
    my ($self) = @_;
    $self->channel->_clear;
    return;
}

sub attach_loop { return }

sub on_readable {
    my ($self) = @_;
    weaken($self);
    return sub {
        $self->dispatch_ready if $self;    # which may have gone in the same turn of the loop
        return;
    };
}

sub BUILD {
    my ($self) = @_;
    $self->_after_fork;
    return;
}

# Before the channel goes, and in spite of loops that keep the handle for another turn: the channel keeps its
# descriptor for ever rather than let a handle close it later, when it may be a stranger's.
sub DEMOLISH {
    my ($self) = @_;
    $self->_watch(undef);
    close $self->{fh} if $self->{fh};
    return;
}

sub _attach {
    my ($self) = @_;
    $self->_watch(undef);
    delete $self->{fh} if $self->{fh} && fileno( $self->{fh} ) != $self->fd;    # a daemon has closed it
    my $detach = $self->attach_loop;
    $self->_watch( ZooKeeper::Guard->new($detach) ) if $detach;
    return;
}

# In a forked child the channel has a descriptor of its own under the number of the parent's, and a loop may
# know the parent's by that number.
sub _after_fork {
    my ($self) = @_;
    return              if $$ == ( $self->_pid // 0 );
    $self->_is_child(1) if $self->_pid;
    $self->_pid($$);
    $self->_attach;
    return;
}

sub _build_fh {
    my ($self) = @_;
    open my $fh, '<&=', $self->channel->_share
      or ZooKeeper::Error::_croak("can't open the dispatcher's descriptor: $!");
    return $fh;
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

=head2 A dispatcher of your own

A subclass has to override two methods, and is then used by its name, with C<^> before
it, or as an object:

    package My::Dispatcher;
    use Moo;
    extends 'ZooKeeper::Dispatcher::Pipe';

    has loop => ( is => 'ro', default => sub { My::Loop->instance } );

    sub attach_loop {
        my ($self) = @_;
        my $watch = $self->loop->watch( $self->fd, $self->on_readable );
        return sub { $watch->cancel };
    }

    sub run_loop_once {
        my ( $self, $seconds ) = @_;
        $self->loop->run_once($seconds);
    }

    package main;
    my $zk = ZooKeeper->new( hosts => 'localhost:2181', dispatcher => '^My::Dispatcher' );

F<examples/select-loop.pl> is a whole program with one.

=head1 METHODS

=head2 fd

The number of a descriptor that is readable exactly while there is something in the
channel, or requests wait there to be sent; looking is enough for these. Only watch it. A forked child has one of its own under this number.

=head2 fh

The same as a file handle, for loops that want one. Closing it does not close the
descriptor.

=head2 read_pipe

Reads the descriptor, as loops do that want to be told only once; the channel keeps
what it has, and the descriptor goes on to say so. There is no need to call it:
taking the last event out has the same effect.

=head2 attach_loop

Called when the dispatcher is made, and again in a forked child when a handle is
reopened there. Has the loop call L</on_readable> whenever the descriptor is readable.
Returns a code reference that takes this back, or nothing.

=head2 on_readable

A code reference that calls L<ZooKeeper::Dispatcher/dispatch_ready>, and does not keep
the dispatcher alive.

=head1 SEE ALSO

L<ZooKeeper::Dispatcher>

=cut

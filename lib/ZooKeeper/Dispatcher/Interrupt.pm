package ZooKeeper::Dispatcher::Interrupt;
use Moo;
use Async::Interrupt;
use Scalar::Util qw(refaddr weaken);
use ZooKeeper::Modules;
extends 'ZooKeeper::Dispatcher';

our $VERSION = '0.2.0';

has _async => ( is => 'ro', init_arg => undef, builder => 1, lazy => 1 );

# Whose channels know an Async::Interrupt. At the end of the program objects go in any order, and another thread must
# not signal one that is gone.
my %attached;
END { $_ && $_->channel->_signal for values %attached }

sub wait {
    my ( $self, $seconds ) = @_;
    $self->channel->_fd;           # dies in another thread than its own
    $self->_async->scope_block;    # between a look at the channel and the wait nobody else may dispatch
    return $self->SUPER::wait($seconds);
}

sub _drive {
    my ( $self, $future ) = @_;
    $self->_can_drive;
    $self->_async->scope_block;    # for the same reason
    return $self->SUPER::_drive($future);
}

sub send_event {
    my ( $self, @args ) = @_;
    $self->SUPER::send_event(@args);
    return $self->channel && ();    # perl looks for interrupts in few operators: "and" is one
}

# An exception goes to a handler, as Async::Interrupt has it, and what comes after it is not concerned.
sub dispatch_ready {
    my ($self) = @_;
    $self->_async->scope_block;     # one callback after the other
    my ( $wait, $last ) = ( $self->{_waiting}, 0 );
    local $@;
    while ( my $size = $self->channel->size ) {
        last if $wait && !$self->{_waiting} || $size == $last;    # there is nobody who takes them
        $last = $size;
        next if eval { $self->SUPER::dispatch_ready; 1 };
        my $error = $@;
        eval { local $@ = $error; $Async::Interrupt::DIED->(); 1 } or warn $@;
    }
    return;
}

sub BUILD {
    my ($self) = @_;
    $self->channel->_signal( $self->_async->signal_func );
    weaken( $attached{ refaddr $self} = $self );
    return;
}

sub DEMOLISH {
    my ($self) = @_;
    delete $attached{ refaddr $self};
    $self->channel->_signal if $self->channel;
    return;
}

sub _build__async {
    my ($self) = @_;
    weaken($self);
    my $cb = sub {
        $self or return;
        $self->_async->scope_block;    # nor one look whether it may be after the other: each would be longer
        return $self->channel->_signal_later
          if ZooKeeper::Modules::are_being_loaded()
          || defined &ZooKeeper::Future::_is_at_work && ZooKeeper::Future::_is_at_work();
        $self->dispatch_ready;
    };
    return ZooKeeper::Dispatcher::Interrupt::Async->new( cb => $cb );
}

# Another thread must not get a copy: it would free what is not its own.
package ZooKeeper::Dispatcher::Interrupt::Async;
our @ISA = ('Async::Interrupt');    ## no critic (ProhibitExplicitISA)
sub CLONE_SKIP { return 1 }

1;

__END__

=encoding UTF-8

=head1 NAME

ZooKeeper::Dispatcher::Interrupt - dispatcher that interrupts the program

=head1 SYNOPSIS

    use ZooKeeper;

    my $zk = ZooKeeper->new( hosts => 'localhost:2181', dispatcher => 'Interrupt' );
    $zk->exists( '/x', watcher => sub { print "something happened to it\n" } );
    while (1) { }    # whatever the program does, it hears of it

=head1 DESCRIPTION

Watchers are called as Perl's signal handlers are, one at a time, between two operators of
whatever the program does, also while it waits in a method of L<ZooKeeper>. A system call
such as C<sleep> is not cut short. What a callback dies of goes to C<$Async::Interrupt::DIED>.
While C<wait> waits it alone dispatches; what came before it has been dispatched already.

=head1 SEE ALSO

L<ZooKeeper::Dispatcher>, L<Async::Interrupt>

=cut

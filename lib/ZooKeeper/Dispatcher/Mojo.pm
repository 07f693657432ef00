package ZooKeeper::Dispatcher::Mojo;
use Moo;
use Mojo::IOLoop;
extends 'ZooKeeper::Dispatcher::Pipe';

our $VERSION = '0.2.0';

has loop => ( is => 'ro', default => sub { Mojo::IOLoop->singleton } );

sub attach_loop {
    my ($self) = @_;
    my ( $reactor, $fh ) = ( $self->loop->reactor, $self->fh );
    $reactor->io( $fh => $self->on_readable )->watch( $fh, 1, 0 );
    return sub { $reactor->remove($fh) };
}

sub run_loop_once {
    my ( $self, $seconds ) = @_;
    my $reactor = $self->loop->reactor;
    {
        local ( $@, $SIG{__DIE__} );
        eval { $reactor->watch( $self->fh, 1, 0 ); 1 } or $self->_attach;    # the loop was reset
    }
    my $timer = defined $seconds && $reactor->timer( $seconds => sub { } );
    $reactor->one_tick;
    $reactor->remove($timer) if $timer;
    return;
}

1;

__END__

=encoding UTF-8

=head1 NAME

ZooKeeper::Dispatcher::Mojo - dispatcher for programs with Mojolicious

=head1 SYNOPSIS

    use Mojo::IOLoop;
    use ZooKeeper;

    my $zk = ZooKeeper->new( hosts => 'localhost:2181', dispatcher => 'Mojo' );
    $zk->exists( '/x', watcher => sub { Mojo::IOLoop->stop } );
    Mojo::IOLoop->start;

=head1 DESCRIPTION

Watchers are called whenever the loop runs, in a Mojolicious application for example.
What a callback dies of becomes the C<error> event of the reactor, which warns unless
the program has changed that.

=head1 ATTRIBUTES

=head2 loop

The L<Mojo::IOLoop>: its singleton if none is given.

=head1 METHODS

Those of L<ZooKeeper::Dispatcher::Pipe>. L<wait|ZooKeeper::Dispatcher/wait> may be called
inside a callback, too: it runs the loop within the loop. Not so in that of a timer where
Mojo uses EV (L<Mojo::Reactor::EV>), which calls it again and again while it waits; go on
in C<next_tick> there. Methods that ask the server do not run the loop.

C<< Mojo::IOLoop->reset >> makes the loop forget the dispatcher too, until the next
C<wait>, or C<reopen> in a forked child.

=head1 SEE ALSO

L<ZooKeeper::Dispatcher>, L<Mojo::IOLoop>

=cut

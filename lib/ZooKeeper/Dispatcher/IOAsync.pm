package ZooKeeper::Dispatcher::IOAsync;
use Moo;
use IO::Async::Loop;
use Scalar::Util qw(refaddr);
extends 'ZooKeeper::Dispatcher::Pipe';

our $VERSION = '0.2.0';

has loop => ( is => 'ro', default => sub { IO::Async::Loop->new } );

# Whether it is the one for the whole program, and what that was in the parent.
has [qw(_is_the_loop _former_loop)] => ( is => 'rw', init_arg => undef );

# A child that the loop has forked itself (Process, Function) has another one: the descriptors of the parent's are
# closed, and must not be touched, for their numbers may be anybody's by now. So it is kept, too.
sub _after_fork {
    my ($self) = @_;
    my $is_the_loop = refaddr( $self->loop ) == refaddr( IO::Async::Loop->new );
    $self->_is_the_loop($is_the_loop) if !$self->_pid;
    if ( $self->_is_the_loop && !$is_the_loop && $$ != $self->_pid ) {
        $self->_watch->dismiss if $self->_watch;
        $self->_former_loop( $self->loop );
        $self->{loop} = IO::Async::Loop->new;
    }
    return $self->SUPER::_after_fork;
}

sub attach_loop {
    my ($self) = @_;
    my ( $loop, $fh ) = ( $self->loop, $self->fh );
    if ( $self->_is_child ) {  # IO::Async::Loop::Epoll never watches a number again that it did before a fork
        open my $copy, '<&', $fh or ZooKeeper::Error::_croak("can't copy the dispatcher's descriptor: $!");
        $fh = $copy;
    }
    $loop->watch_io( handle => $fh, on_read_ready => $self->on_readable );
    return sub {
        local $SIG{__DIE__};
        eval { $loop->unwatch_io( handle => $fh, on_read_ready => 1 ) };    # for the same reason it may fail
    };
}

sub run_loop_once {
    my ( $self, $seconds ) = @_;
    $self->loop->loop_once($seconds);
    return;
}

1;

__END__

=encoding UTF-8

=head1 NAME

ZooKeeper::Dispatcher::IOAsync - dispatcher for programs with IO::Async

=head1 SYNOPSIS

    use IO::Async::Loop;
    use ZooKeeper;

    my $loop = IO::Async::Loop->new;
    my $zk   = ZooKeeper->new( hosts => 'localhost:2181', dispatcher => 'IOAsync' );
    $zk->exists( '/x', watcher => sub { $loop->stop } );
    $loop->run;

=head1 DESCRIPTION

Watchers are called whenever the loop runs. What a callback dies of comes out of the
method that runs the loop, C<run> or C<loop_once>.

=head1 ATTRIBUTES

=head2 loop

The L<IO::Async::Loop>: C<< IO::Async::Loop->new >> if none is given, which is the same
one for the whole program. In a child that such a loop has forked (L<IO::Async::Process>,
L<IO::Async::Function>) C<reopen> takes the child's own.

    my $dispatcher = ZooKeeper::Dispatcher::IOAsync->new( loop => $loop );
    my $zk         = ZooKeeper->new( hosts => 'localhost:2181', dispatcher => $dispatcher );

=head1 METHODS

Those of L<ZooKeeper::Dispatcher::Pipe>. L<wait|ZooKeeper::Dispatcher/wait> may be called
inside a callback, too: it runs the loop within the loop.

=head1 SEE ALSO

L<ZooKeeper::Dispatcher>, L<IO::Async>

=cut

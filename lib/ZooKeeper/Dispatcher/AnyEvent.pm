package ZooKeeper::Dispatcher::AnyEvent;
use Moo;
use AnyEvent;
use ZooKeeper::Arguments qw(seconds);
extends 'ZooKeeper::Dispatcher::Pipe';

our $VERSION = '0.2.0';

# Seconds from one notice that a wait is over to the next.
my $AGAIN = 0.05;

# A wait within a wait is refused by AnyEvent: Carp then names the user's line.
our @CARP_NOT = qw(ZooKeeper ZooKeeper::Future AnyEvent::CondVar AnyEvent::CondVar::Base);

sub wait {
    my ( $self, $seconds ) = @_;
    my $limit = seconds( 'wait', $seconds );
    $self->fd;               # dies in another thread than its own, where the loop must not run
    my $done = AnyEvent->condvar;
    AnyEvent->now_update;    # the loop's clock stands still while it does not run

   # Again and again: the exception of a signal handler may hit the callback, and loops keep it to themselves.
    my $end   = sub { $done->send if !$done->ready };
    my $timer = defined $limit && AnyEvent->timer( after => $limit, interval => $AGAIN, cb => $end );
    local $self->{_waiting} = sub { $done->send( $_[0] ) };
    return scalar $done->recv;
}

sub _drive {
    my ( $self, $future ) = @_;
    $self->_can_drive;
    my $done = AnyEvent->condvar;
    AnyEvent->now_update;
    my $end = sub { $done->send if $future->is_ready && !$done->ready };
    my $timer =
      AnyEvent->timer( after => $AGAIN, interval => $AGAIN, cb => $end );    # what dies skips callbacks
    $future->on_ready($end);
    $done->recv;
    return;
}

sub attach_loop {
    my ($self) = @_;
    my $io     = AnyEvent->io( fh => $self->fd, poll => 'r', cb => $self->on_readable );
    my $holder = bless [$io], 'ZooKeeper::Dispatcher::AnyEvent::Holder';
    return sub { undef $holder };
}

# A thread copies every closure with what it holds, and EV can't deal with copies of its objects.
sub ZooKeeper::Dispatcher::AnyEvent::Holder::CLONE_SKIP { return 1 }

1;

__END__

=encoding UTF-8

=head1 NAME

ZooKeeper::Dispatcher::AnyEvent - dispatcher for programs with AnyEvent

=head1 SYNOPSIS

    use AnyEvent;
    use ZooKeeper;

    my $zk   = ZooKeeper->new( hosts => 'localhost:2181' );    # this dispatcher is the default one
    my $done = AE::cv;
    $zk->exists( '/x', watcher => sub { $done->send } );
    $done->recv;

=head1 DESCRIPTION

Watchers are called whenever AnyEvent's loop runs. Many events at once leave other
watchers of the loop their turn.

What a callback dies of goes to the loop: EV warns and goes on, AnyEvent's own hands
it on to whoever runs it.

=head1 METHODS

Those of L<ZooKeeper::Dispatcher::Pipe>, and

=head2 wait

    my $event = $dispatcher->wait($seconds);

Lets the loop run until one event was dispatched; see L<ZooKeeper::Dispatcher/wait>.
Inside a callback of a loop that is run by such a wait, or by C<recv> of a condition
variable, it dies with AnyEvent's message about a recursive blocking wait.

=head1 SEE ALSO

L<ZooKeeper::Dispatcher>, L<AnyEvent>

=cut

package ZooKeeper::Dispatcher;
use Moo;
use Scalar::Util         qw(blessed refaddr reftype weaken);
use Time::HiRes          qw(CLOCK_MONOTONIC clock_gettime);
use ZooKeeper::Arguments qw(is_callable seconds);
use ZooKeeper::Channel;
use ZooKeeper::Constants qw(ZOO_CONNECTED_STATE ZOO_PERSISTENT_WATCH_REMOVED_EVENT ZOO_SESSION_EVENT);
use ZooKeeper::Error;
use ZooKeeper::Watcher;

our $VERSION = '0.2.0';

# A loop has other things to do as well: after so many events it gets its turn. The rest keeps the descriptor
# readable.
my $BATCH = 256;

# Dispatchers without a loop whose futures somebody has, held weakly.
my %with_futures;

# Seconds from one look at a future to the next, where an interrupt of another dispatcher may be what makes it ready: that
# does not cut a wait short.
my $AGAIN = 0.05;

has channel     => ( is => 'ro', default => sub { ZooKeeper::Channel->new } );
has watchers    => ( is => 'lazy' );
has dispatch_cb => ( is => 'rw', lazy => 1, builder => '_build_dispatch_cb' );
has ignore_session_events => (
    is      => 'rw',
    default => 1,
    trigger => sub { $_[0]->channel->_session_events( $_[1] ? 0 : 1 ) },
);

# All that are not done, id => watcher: whom an event of the engine's is for. "watchers" is made of it when somebody
# asks, and kept up to date from then on; most programs never do, and it costs more than all the rest.
has _by_id => ( is => 'ro', init_arg => undef, default => sub { {} } );

sub create_watcher {
    my ( $self, $path, $cb, %arg ) = @_;
    is_callable($cb) or ZooKeeper::Error::_croak('create_watcher: the callback must be a code reference');
    my $watcher = ZooKeeper::Watcher->new( %arg, dispatcher => $self, path => $path, cb => $cb );
    $self->{_by_id}{ $watcher->{id} } = $watcher;
    _index( $self->{watchers}, $watcher ) if $self->{watchers};
    return $watcher;
}

sub get_watchers {
    my ( $self, %arg )  = @_;
    my ( $path, $type ) = @arg{qw(path type)};
    my @found = values %{ $self->{_by_id} };
    if ( defined $path || defined $type ) {
        my $all   = $self->watchers;
        my @types = defined $path ? $all->{$path} // () : values %$all;
        @found = map { values %$_ } map { defined $type ? $_->{$type} // () : values %$_ } @types;
    }
    @found = sort { $a->id <=> $b->id } @found;
    return @found;
}

sub remove_watcher {
    my ( $self, @args ) = @_;
    my %arg = @args == 1 ? ( watcher => $args[0] ) : @args;
    !defined $arg{watcher} || _is_watcher( $arg{watcher} )
      or ZooKeeper::Error::_croak('remove_watcher: the watcher must be a ZooKeeper::Watcher');
    $self->_remove($_) for exists $arg{watcher} ? $arg{watcher} // () : $self->get_watchers(%arg);
    return;
}

sub _is_watcher {
    my ($watcher) = @_;
    return blessed $watcher && $watcher->isa('ZooKeeper::Watcher');
}

# Events come by the hundred thousand: here and below attributes are read where they are.
sub _remove {
    my ( $self, $watcher ) = @_;
    delete $self->{_by_id}{ $watcher->{id} };
    if ( my $all = $self->{watchers} ) {
        my ( $path, $type ) = ( $watcher->{path} // '', $watcher->{type} );
        if ( my $types = $all->{$path} ) {
            delete $types->{$type}{ refaddr $watcher};
            delete $types->{$type} if !%{ $types->{$type} };
            delete $all->{$path}   if !%$types;
        }
    }
    $watcher->{done} = 1;
    my $handle = delete $watcher->{_handle} or return;
    $handle->[0]->_forget_watcher( $watcher->{id} ) if $handle->[0];    # the engine's half
    return;
}

sub _index {
    my ( $all, $watcher ) = @_;
    $all->{ $watcher->{path} // '' }{ $watcher->{type} }{ refaddr $watcher } = $watcher;
    return;
}

sub _build_watchers {
    my ($self) = @_;
    my %all;
    _index( \%all, $_ ) for values %{ $self->{_by_id} };
    return \%all;
}

sub recv_event {
    my ($self) = @_;
    local $self->{_in_callback} = 1;     # of a command, whose turn comes before the event's
    my $room = delete $self->{_room};    # not for callbacks that poll in their turn
    return $self->_next_event($room);
}

sub dispatch_event {
    my ($self) = @_;
    local $self->{_in_callback} = 1;
    my $event = $self->recv_event;
    return defined $event ? $self->_hand_over($event) : undef;
}

sub _next_event {
    my ( $self, $room ) = @_;
    my $channel = $self->{channel};
    my $event;
    while ( defined( $event = $channel->recv($room) ) ) {
        next if ref $event ne 'HASH';
        my $watcher = $event->{watcher} // last;
        if ( !ref $watcher ) {    # the engine knows numbers
            $watcher = $event->{watcher} = $self->{_by_id}{$watcher} // next;
            my $type = $event->{type};
            delete $watcher->{_handle}
              if $type != ZOO_SESSION_EVENT
              && ( !$watcher->{persistent} || $type == ZOO_PERSISTENT_WATCH_REMOVED_EVENT );
        }
        last if !$watcher->{done};
    }
    return $event;
}

# Returns the event, without its watcher, if anybody wants it.
sub _hand_over {
    my ( $self, $event ) = @_;
    my $watcher = delete $event->{watcher};
    my $waiting = delete $self->{_waiting};
    my $copy    = $waiting || defined wantarray ? {%$event} : undef;    # callbacks may change their own
    $waiting->($copy)         if $waiting;
    $watcher->process($event) if $watcher;
    return $copy;
}

sub send_event {
    my ( $self, $event, $watcher ) = @_;
    !defined $event || ref $event && reftype $event eq 'HASH'
      or ZooKeeper::Error::_croak('send_event: the event must be a hash ref');
    !defined $watcher || _is_watcher($watcher)
      or ZooKeeper::Error::_croak('send_event: the watcher must be a ZooKeeper::Watcher');
    $self->channel->send( { %{ $event // {} }, watcher => $watcher } );
    return;
}

sub trigger_event {
    my ( $self, %arg ) = @_;
    for my $watcher ( $self->get_watchers( path => $arg{path}, type => $arg{type} ) ) {
        my $event = $arg{event} // { type => 0, state => ZOO_CONNECTED_STATE, path => $watcher->path };
        $self->send_event( $event, $watcher );
    }
    return;
}

sub wait {
    my ( $self, $seconds ) = @_;
    my $limit = seconds( 'wait', $seconds );
    $self->channel->_fd;    # dies in another thread than its own, where nothing would ever come

    # Not the loop's clock, which may stand still while the loop does not run, nor the one that people set.
    my $end = defined $limit ? clock_gettime(CLOCK_MONOTONIC) + $limit : undef;
    my $event;
    local $self->{_waiting} = sub { ($event) = @_ };    # dispatch_event calls it once, before the watcher
    while ( !$event ) {
        my $left = defined $end ? $end - clock_gettime(CLOCK_MONOTONIC) : undef;
        $self->run_loop_once( defined $left && $left < 0 ? 0 : $left );
        last if defined $left && $left <= 0;
    }
    return $event;
}

sub dispatch_ready {
    my ($self) = @_;
    my ( $channel, $wait, $room ) = ( $self->channel, $self->{_waiting}, $BATCH );

    # What is the program's own is called for each item. What is ours takes the answers to commands together.
    my $own = !$self->{dispatch_cb} || $self->{dispatch_cb} == ( $self->{_own_cb} // 0 );
    my $plain =
      $own && $self->can('dispatch_event') == \&dispatch_event && $self->can('recv_event') == \&recv_event;
    local $self->{_in_callback} = 1;
    local $self->{_room};

    # Callbacks may leave by a stray "next": what is counted is counted before, and wait asks for one event.
    while ( $room > 0 && ( !$wait || $self->{_waiting} ) ) {
        if ($plain) {
            if ( my $completed = $channel->_complete($room) ) {
                $room -= $completed;
                next;
            }
            $room--;
            $self->_hand_over( $self->_next_event(1) // last );
        }
        else {
            last if !$channel->size;
            $room--;
            $self->{_room} = 1;
            $self->dispatch_cb->();
        }
    }
    return;
}

# Lets the loop run until a future is ready.
sub _drive {
    my ( $self, $future ) = @_;
    $self->_can_drive;
    while ( !$future->is_ready ) {
        my @all = $self->_has_loop ? () : grep { defined } values %with_futures;
        @all > 1 ? _run_all_once(@all) : $self->run_loop_once;
    }
    return;
}

# A future may be made of those of several handles. Without a loop that brings them together it is done here.
sub _makes_futures {
    my ($self) = @_;
    $self->{_makes_futures} = 1;
    weaken( $with_futures{ refaddr $self} = $self ) if !$self->_has_loop;
    return;
}

sub _run_all_once {
    my (@dispatchers) = @_;
    my $fds = '';
    for my $dispatcher (@dispatchers) {
        my $channel = $dispatcher->channel;
        return $dispatcher->dispatch_ready if $channel->size;
        vec( $fds, $channel->_fd, 1 ) = 1;
    }
    select $fds, undef, undef, $AGAIN;
    return;
}

sub _has_loop {
    my ($self) = @_;
    return $self->can('run_loop_once') != \&run_loop_once;
}

# In a callback others have to wait until it returns, and with them what the future waits for.
sub _can_drive {
    my ($self) = @_;
    $self->channel->_fd;    # dies in another thread than its own
    $self->_after_fork;
    $self->{_in_callback}
      and ZooKeeper::Error::_croak( 'a pending future can not be waited for inside a callback:'
          . ' chain what depends on it (then, await)' );
    return;
}

# There is no loop: what would be waited for in it is the descriptor alone.
sub run_loop_once {
    my ( $self, $seconds ) = @_;
    my $channel = $self->channel;
    if ( !$channel->size ) {
        vec( my $fds = '', $channel->_fd, 1 ) = 1;
        select $fds, undef, undef, $seconds;
    }
    $self->dispatch_ready;
    return;
}

# For a dispatcher whose loop has to be told of a fork.
sub _after_fork { return }

sub DEMOLISH {
    my ($self) = @_;
    delete $with_futures{ refaddr $self} if $self->{_makes_futures};
    return;
}

# Another thread has copies that nobody feeds.
sub CLONE { %with_futures = (); return }

# Loops call it without arguments, and dispatchers of other people's look at what it returns.
sub _build_dispatch_cb {
    my ($self) = @_;
    weaken( my $weak = $self );
    return $self->{_own_cb} = sub { return $weak ? $weak->dispatch_event : undef };
}

1;

__END__

=encoding UTF-8

=head1 NAME

ZooKeeper::Dispatcher - brings events to their watchers

=head1 SYNOPSIS

    use ZooKeeper;

    my $zk = ZooKeeper->new( hosts => 'localhost:2181', dispatcher => 'Pipe' );
    $zk->exists( '/x', watcher => sub { print "something happened to it\n" } );

    # A program without a loop looks from time to time …
    1 while $zk->dispatcher->dispatch_event;

    # … or waits.
    $zk->wait(10);

=head1 DESCRIPTION

A dispatcher has the channel through which events come, and the answers to commands
that L<don't wait|ZooKeeper::Asynchronous>, the watchers that wait for events, and a way for
the program's loop to notice. This class knows no loop. Others do, and a handle takes
them by name:

=over

=item C<AnyEvent>

The default. Watchers are called from L<AnyEvent>'s loop, whichever that is: EV, if it
is installed.

=item C<IOAsync>

From an L<IO::Async> loop, C<< IO::Async::Loop->new >> if none is given.

=item C<Mojo>

From a L<Mojo::IOLoop>, the singleton if none is given.

=item C<POE>

From L<POE>'s kernel.

=item C<Interrupt>

Without a loop, between two operations of the program, whatever it does (by
L<Async::Interrupt>). A system call that waits is not interrupted.

=item C<Pipe>

For a loop of one's own: a descriptor that is readable while there are events. See
L<ZooKeeper::Dispatcher::Pipe>.

=back

Each has a manual, C<perldoc ZooKeeper::Dispatcher::NAME>. Their loops are loaded with
them and not before. To give one its loop, make it first:

    require ZooKeeper::Dispatcher::IOAsync;
    my $dispatcher = ZooKeeper::Dispatcher::IOAsync->new( loop => $loop );
    my $zk         = ZooKeeper->new( hosts => 'localhost:2181', dispatcher => $dispatcher );

Several handles may share one. It needs no server, and is destroyed with the last
handle that has it.

=head1 ATTRIBUTES

=head2 channel

A L<ZooKeeper::Channel>.

=head2 watchers

All watchers that are not done: a hash ref, path to type to a hash of the
L<ZooKeeper::Watcher>s by address. The path of a session's default watcher, and that
of C<add_auth>, is C<''>.

=head2 dispatch_cb

    Scalar::Util::weaken( my $own = $dispatcher );
    my $count = 0;
    $dispatcher->dispatch_cb( sub { $count++; return $own->dispatch_event } );

What the loop calls, without arguments, once per item, an event or an answer, while there
is one. By default it calls L</dispatch_event>.

=head2 ignore_session_events

True by default: session events are for watchers of type C<default> only. May be set
at any time.

=head1 METHODS

=head2 create_watcher

    my $watcher = $dispatcher->create_watcher( '/x', $callback, type => 'get' );

Makes a watcher and keeps it. No server knows of it: that is for the C<watcher>
arguments of L<ZooKeeper>. Dies if the callback is no code reference, nor an object
that can be called like one.

=head2 get_watchers

    my @watchers = $dispatcher->get_watchers( path => '/x', type => 'get' );

Those of that path and type, the oldest first; of any, where it is left out.

=head2 remove_watcher

    $dispatcher->remove_watcher($watcher);
    $dispatcher->remove_watcher( path => '/x', type => 'get' );

Takes a watcher off, or all that L</get_watchers> would find: it is not called any
more, also not for an event that is queued already.

=head2 recv_event

The next event, with its watcher as C<watcher>, or undef; no watcher is called. Events
whose watcher is gone are skipped. Answers to commands that stand before it are told.

=head2 dispatch_event

Calls the watcher of the next event, and returns the event: a hash ref of C<type>,
C<state> and C<path>. undef without one. Answers that stand before it are told first. What
the callback dies of comes out. May be called at any time, whatever else dispatches.

=head2 send_event

    $dispatcher->send_event( { type => ZOO_CHANGED_EVENT, state => ZOO_CONNECTED_STATE, path => '/x' }, $watcher );

Queues an event for a watcher, behind those that are there.

=head2 trigger_event

    $dispatcher->trigger_event( path => '/x', type => 'get', event => $event );

Queues the event, by default one about the path, for all watchers of that path and
type.

=head2 wait

    my $event = $dispatcher->wait($seconds);

Dispatches one event as the loop would, and returns it, also if its watcher has
ignored it; undef if there was none within so many seconds (fractions count; no
argument or 0: no limit). Answers to commands are told meanwhile, and don't end it.

=head2 dispatch_ready

    $dispatcher->dispatch_ready;

What a loop does when there is something: calls L</dispatch_cb> for each item, at most
for some hundreds before it returns, and within L</wait> not for more than the one
that is waited for.

=head2 run_loop_once

    $dispatcher->run_loop_once($seconds);

Waits for something to happen in the loop, at most so many seconds (undef: no limit),
and lets it happen. L</wait> is made of it; it is there for dispatchers to override.

=head1 SEE ALSO

L<ZooKeeper>, L<ZooKeeper::Watcher>, L<ZooKeeper::Dispatcher::Pipe>

=cut

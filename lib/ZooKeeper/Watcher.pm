package ZooKeeper::Watcher;
use Moo;
use ZooKeeper::Constants qw(ZOO_SESSION_EVENT);

our $VERSION = '0.2.0';

# Never reused, so that an event still under way for a watcher long gone finds nobody.
my $last_id = 0;

has id         => ( is => 'ro', init_arg => undef, default  => sub { ++$last_id } );
has dispatcher => ( is => 'ro', required => 1,     weak_ref => 1 );
has cb         => ( is => 'ro', required => 1 );
has path       => ( is => 'ro' );
has type       => ( is => 'ro', default => '' );
has done       => ( is => 'rw', default => 0 );

has _ignore_session_events => ( is => 'rw', init_arg => 'ignore_session_events' );

# The handle whose session knows this watcher by its id, until its event has come.
has _handle => ( is => 'ro', init_arg => 'handle', weak_ref => 1, clearer => '_forgotten' );

sub ignore_session_events {
    my $self = shift;
    $self->_ignore_session_events(shift) if @_;
    my $dispatcher = $self->dispatcher;
    return $self->_ignore_session_events // ( $dispatcher ? $dispatcher->ignore_session_events : 1 );
}

sub process {
    my ( $self, $event ) = @_;
    return if $self->done;
    if ( $self->type ne 'default' ) {
        if ( $self->_is_own($event) ) {
            $self->_retire;    # before the call: it may die, or set the same watch again
        }
        elsif ( $self->ignore_session_events ) {
            return;
        }
    }
    $self->cb->($event);
    return;
}

sub trigger {
    my ( $self, $path, $state, $type ) = @_;
    my $dispatcher = $self->dispatcher or return;
    $dispatcher->send_event( { path => $path, state => $state, type => $type }, $self );
    return;
}

# A one-shot watcher lives through the session's events and ends with the one it was set for.
sub _is_own {
    my ( $self, $event ) = @_;
    return ( $event->{type} // 0 ) != ZOO_SESSION_EVENT;
}

sub _retire {
    my ($self) = @_;
    my $dispatcher = $self->dispatcher;
    return $dispatcher ? $dispatcher->remove_watcher($self) : $self->done(1);
}

# The engine's half of removing a watcher.
sub _forget {
    my ($self) = @_;
    $self->done(1);
    my $handle = $self->_handle or return;
    $self->_forgotten;
    $handle->_forget_watcher( $self->id );
    return;
}

1;

__END__

=encoding UTF-8

=head1 NAME

ZooKeeper::Watcher - a callback that waits for an event

=head1 SYNOPSIS

    use ZooKeeper;

    my $zk = ZooKeeper->new( hosts => 'localhost:2181' );
    $zk->exists( '/x', watcher => sub { print "it is there\n" } );
    my ($watcher) = $zk->get_watchers( path => '/x', type => 'exists' );
    $zk->remove_watcher($watcher);    # or not

=head1 DESCRIPTION

L<ZooKeeper> makes one of each C<watcher> argument,
L<ZooKeeper::Dispatcher/create_watcher> makes them by hand. All but those of type
C<default> end with the event that they were set for.

=head1 ATTRIBUTES

=head2 id

A number of its own, by which the compiled part knows it.

=head2 dispatcher

The dispatcher, held weakly.

=head2 cb

The callback: a code reference, or an object that can be called like one.

=head2 path

The node.

=head2 type

What it was set by: C<exists>, C<get>, C<get_children>, C<add_auth>, or C<default>
for the one of the session.

=head2 done

True when it will not be called any more.

=head2 ignore_session_events

Whether it is not called for session events. As the dispatcher's, unless it was set.

=head1 METHODS

=head2 process($event)

Calls the callback with the event, unless this is L</done> or ignores it; before
that takes itself off, if it is the event that it was set for. What the callback
dies of comes out.

=head2 trigger($path, $state, $type)

Sends itself an event through the dispatcher's channel, as if it came from the
server.

=head1 SEE ALSO

L<ZooKeeper>, L<ZooKeeper::Dispatcher>

=cut

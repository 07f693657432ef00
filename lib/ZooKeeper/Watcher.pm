package ZooKeeper::Watcher;
use strict;
use warnings;

use Scalar::Util         qw(reftype weaken);
use ZooKeeper::Constants qw(ZOO_PERSISTENT_WATCH_REMOVED_EVENT ZOO_SESSION_EVENT);
use ZooKeeper::Error;

our $VERSION = '0.2.0';

# Never reused, so that an event still under way for a watcher long gone finds nobody.
my $last_id = 0;

# Programs may have a hundred thousand of them: so this is no class of Moo's, and what is held weakly is shared.
# (Perl searches a list of all weak references to a thing when one of them goes.)
sub new {
    my ( $class, @args ) = @_;
    @args != 1 || ref $args[0] && reftype $args[0] eq 'HASH'
      or ZooKeeper::Error::_croak('new: a watcher is made of a list or a hash ref');
    my %arg = @args == 1 ? %{ $args[0] } : @args;
    defined $arg{$_} or ZooKeeper::Error::_croak("new: a watcher needs a $_") for qw(cb dispatcher);

    # What is an object becomes a string: the watcher is filed, and looked for again, by it.
    ref $arg{$_} and $arg{$_} = "$arg{$_}" for qw(path type);
    return bless {
        id                    => ++$last_id,
        cb                    => $arg{cb},
        path                  => $arg{path},
        type                  => $arg{type} // '',
        done                  => $arg{done} // 0,
        ignore_session_events => $arg{ignore_session_events},
        persistent            => $arg{persistent},
        _dispatcher           => _weakly( $arg{dispatcher} ),
        $arg{handle} ? ( _handle => _weakly( $arg{handle} ) ) : (),
    }, $class;
}

sub id   { return $_[0]{id} }
sub cb   { return $_[0]{cb} }
sub path { return $_[0]{path} }
sub type { return $_[0]{type} }

sub persistent { return $_[0]{persistent} ? 1 : 0 }

sub done {
    my ( $self, @new ) = @_;
    $self->{done} = $new[0] if @new;
    return $self->{done};
}

sub dispatcher { return $_[0]{_dispatcher}[0] }

sub ignore_session_events {
    my ( $self, @new ) = @_;
    $self->{ignore_session_events} = $new[0] if @new;
    my $dispatcher = $self->dispatcher;
    return $self->{ignore_session_events} // ( $dispatcher ? $dispatcher->ignore_session_events : 1 );
}

sub process {
    my ( $self, $event ) = @_;
    return if $self->{done};
    if ( $self->{type} ne 'default' ) {

        # It lives through the session's events, and ends with the one that it was set for.
        my $type = $event->{type} // 0;
        if ( $type == ZOO_SESSION_EVENT ) {
            return if $self->ignore_session_events;
        }
        elsif ( !$self->{persistent} || $type == ZOO_PERSISTENT_WATCH_REMOVED_EVENT ) {
            my $dispatcher =
              $self->{_dispatcher}[0];    # before the call: it may die, or set the same watch again
            $dispatcher ? $dispatcher->_remove($self) : $self->done(1);
        }
    }
    $self->{cb}->($event);
    return;
}

sub trigger {
    my ( $self, $path, $state, $type ) = @_;
    my $dispatcher = $self->dispatcher or return;
    $dispatcher->send_event( { path => $path, state => $state, type => $type }, $self );
    return;
}

sub _retire {
    my ($self) = @_;
    my $dispatcher = $self->{_dispatcher}[0];
    return $dispatcher ? $dispatcher->_remove($self) : $self->done(1);
}

# The handle whose session knows this watcher by its id, until its event has come.
sub _handle { return $_[0]{_handle} && $_[0]{_handle}[0] }

sub _forgotten {
    my ($self) = @_;
    delete $self->{_handle};
    return;
}

# One weak reference to a thing for all that want one.
sub _weakly {
    my ($thing) = @_;
    return $thing->{_weakly} // do {
        weaken( ( $thing->{_weakly} = [$thing] )->[0] );
        $thing->{_weakly};
    };
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
C<default> end with the event that they were set for, and those that are
L</persistent> when they are taken off.

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

What it was set by: C<exists>, C<get>, C<get_children> (also by C<get_children2>),
C<get_config>, C<add_auth>, C<persistent> or C<persistent_recursive> by C<add_watch>, or
C<default> for the one of the session.

=head2 done

True when it will not be called any more.

=head2 ignore_session_events

Whether it is not called for session events. As the dispatcher's, unless it was set.

=head2 persistent

True for one of L<ZooKeeper/add_watch>: its events don't end it.

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

package ZooKeeper;
use Moo;
use Scalar::Util         qw(blessed);
use ZooKeeper::Arguments ();
use ZooKeeper::Constants qw(ZNODEEXISTS ZNONODE ZOO_CONNECTED_STATE ZOO_NOTCONNECTED_STATE ZOO_OPEN_ACL_UNSAFE
  ZOO_READONLY_STATE);
use ZooKeeper::Commands    ();
use ZooKeeper::Error       ();
use ZooKeeper::Methods     ();
use ZooKeeper::Settings    ();
use ZooKeeper::Transaction ();
use ZooKeeper::XS          ();

our $VERSION = '0.2.0';

has hosts           => ( is => 'ro', required => 1 );
has timeout         => ( is => 'ro', default  => 10_000 );
has authentication  => ( is => 'ro' );
has buffer_length   => ( is => 'ro', default => 2048 );
has default_acl     => ( is => 'ro', default => sub { ZOO_OPEN_ACL_UNSAFE } );
has utf8            => ( is => 'ro', default => 0 );
has read_only       => ( is => 'ro', default => 0 );
has request_timeout => ( is => 'ro' );
has jute_maxbuffer  => ( is => 'ro', default  => 1_048_575 );
has dispatcher      => ( is => 'ro', default  => sub { ZooKeeper::Settings::default_dispatcher() } );
has _watcher        => ( is => 'rw', init_arg => 'watcher' );

# create, delete, exists, get, set, get_children, get_acl, set_acl, add_auth
ZooKeeper::Methods::install(__PACKAGE__);

sub ensure_path {
    my ( $self, $path, @pairs ) = @_;
    my $arg   = ZooKeeper::Arguments::named( 'ensure_path', ZooKeeper::Commands::known('create'), @pairs );
    my %above = map { $_ => $arg->{$_} } grep { exists $arg->{$_} } 'acl';

    # From the node upwards, not down: who may create below a node need not have a right to anything above.
    my ( $created, @todo ) = ( $path, $path );
    my $attempts = 100 + ( $path // '' ) =~ tr{/}{};    # for somebody may take away again what is made here
    while (@todo) {
        my $node = $todo[-1];
        my ( $error, $made ) = $self->_try( create => $node, @todo == 1 ? %$arg : %above );
        if ( defined $error ) {
            my $code = blessed $error && $error->isa('ZooKeeper::Error') ? $error->code : 0;
            if ( $code == ZNONODE && $attempts-- > 0 && $node =~ m{\A(/.+)/[^/]*\z}s ) {
                push @todo, $1;
                next;
            }
            die $error if $code != ZNODEEXISTS;
        }
        pop @todo;
        $created = $made // $path if !@todo;
    }
    return $created;
}

sub transaction {
    my ($self) = @_;
    $self->_dispatcher_of('transaction');
    return ZooKeeper::Transaction->new( handle => $self );
}

# Accessor of the default watcher's callback: a new one takes over at once.
sub watcher {
    my ( $self, @new ) = @_;
    $self->_dispatcher_of('watcher');
    return $self->_watcher if !@new;
    defined $new[0] && !ZooKeeper::Arguments::is_callable( $new[0] )
      and ZooKeeper::Error::_croak('watcher: the watcher must be a code reference');
    $self->_watcher( $new[0] );
    $self->_default_watcher( $self->_watch_session ) if $self->state != ZOO_NOTCONNECTED_STATE;
    return $new[0];
}

sub create_watcher        { return shift->_dispatcher_of('create_watcher')->create_watcher(@_) }
sub get_watchers          { return shift->_dispatcher_of('get_watchers')->get_watchers(@_) }
sub remove_watcher        { return shift->_dispatcher_of('remove_watcher')->remove_watcher(@_) }
sub ignore_session_events { return shift->_dispatcher_of('ignore_session_events')->ignore_session_events(@_) }
sub wait                  { return shift->_dispatcher_of('wait')->wait(@_) }

sub state            { return $_[0]->_state }
sub client_id        { return scalar $_[0]->_client_id }
sub is_unrecoverable { return $_[0]->_is_unrecoverable }
sub server           { return scalar $_[0]->_server }
sub session_timeout  { return $_[0]->_session_timeout }
sub last_zxid        { return $_[0]->_last_zxid }

sub is_connected {
    my ($self) = @_;
    my $state = $self->state;
    return $state == ZOO_CONNECTED_STATE || $state == ZOO_READONLY_STATE;
}

sub wait_connected {
    my ( $self, $seconds ) = @_;
    return $self->_wait_connected( ZooKeeper::Arguments::seconds( 'wait_connected', $seconds ) );
}

sub close {
    my ($self) = @_;
    $self->_close;
    $self->_drop_watchers;
    return;
}

sub reopen {
    my ( $self, @pairs ) = @_;
    $self->_dispatcher_of('reopen');
    my $arg    = ZooKeeper::Settings::for_reopen( $self->hosts, @pairs );
    my $resume = delete $arg->{client_id};
    $self->_check_hosts( $arg->{hosts} ) if exists $arg->{hosts};    # before anything is lost
    $self->close;
    $self->dispatcher->_after_fork;
    if ( exists $arg->{ignore_session_events} ) {
        $self->ignore_session_events( delete $arg->{ignore_session_events} );
    }
    $self->_watcher( delete $arg->{watcher} ) if exists $arg->{watcher};
    @{$self}{ keys %$arg } = values %$arg;
    $self->_open($resume);
    return;
}

sub trace {
    my ( undef, $level, $file ) = @_;
    defined $level && $level =~ /\A[0-9]+\z/
      or ZooKeeper::Error::_croak('trace: the level must be a number from 0 to 4');
    if ( defined $file ) {
        open my $probe, '>>', $file or ZooKeeper::Error::_croak("trace: can't write to '$file': $!");
    }
    ZooKeeper::XS::_trace( $level > 4 ? 4 : $level, $file );
    return;
}

sub BUILDARGS {
    my ( $class, @args ) = @_;
    return ZooKeeper::Settings::for_new( $class, %{ $class->SUPER::BUILDARGS(@args) } );
}

sub BUILD {
    my ( $self, $arg ) = @_;
    ZooKeeper::Settings::settle($self)                            if ref $self ne 'ZooKeeper';
    $self->ignore_session_events( $arg->{ignore_session_events} ) if defined $arg->{ignore_session_events};
    $self->_open( $arg->{client_id} );
    return;
}

sub DEMOLISH {
    my ( $self, $in_global_destruction ) = @_;
    $self->_drop_watchers if !$in_global_destruction && $self->dispatcher;
    return;
}

# The dispatcher, which every initialised object has. The method is for the message.
sub _dispatcher_of {
    my ( $self, $method ) = @_;
    return ref $self && $self->{dispatcher}
      || ZooKeeper::Error::_croak("$method: not an initialised ZooKeeper object");
}

# A new session for this object; the one that was is closed.
sub _open {
    my ( $self, $resume ) = @_;
    $self->_connect(
        {
            channel         => $self->dispatcher->channel,
            client_id       => $resume || undef,
            default_watcher => $self->_watch_session,
            map { $_ => $self->{$_} } qw(hosts timeout utf8 read_only request_timeout jute_maxbuffer),
        }
    );
    my $authentication = $self->authentication;
    $self->add_auth(@$authentication) if $authentication;
    return;
}

# Makes a watcher of the session's callback; returns its id, 0 without one.
sub _watch_session {
    my ($self) = @_;
    my $former = delete $self->{_session_watcher};
    $self->remove_watcher($former) if $former;
    my $cb = $self->_watcher // return 0;
    $self->{_session_watcher} = $self->create_watcher( '', $cb, type => 'default', handle => $self );
    return $self->{_session_watcher}->id;
}

# Watchers end with the session. Others may go on using the dispatcher.
sub _drop_watchers {
    my ($self) = @_;
    delete $self->{_session_watcher};
    for my $watcher ( $self->get_watchers ) {
        next if !$watcher->_handle || $watcher->_handle != $self;
        $watcher->_forgotten;
        $self->remove_watcher($watcher);
    }
    return;
}

# Calls a method and returns (error, result). What is seen to here is not for the program's __DIE__ handler.
sub _try {
    my ( $class, $method, @args ) = @_;
    my $result;
    local ( $@, $SIG{__DIE__} );
    return eval { $result = $class->$method(@args); 1 } ? ( undef, $result ) : ($@);
}

# A tracing that can't be had is no reason for a program not to run.
sub _trace_as_told_by {
    my ( $class, $setting ) = @_;
    my ($error) = $class->_try( trace => split /=/, $setting, 2 );
    warn "PERL_ZOOKEEPER_TRACE=$setting has no effect: $error" if defined $error;
    return;
}
__PACKAGE__->_trace_as_told_by( $ENV{PERL_ZOOKEEPER_TRACE} ) if length( $ENV{PERL_ZOOKEEPER_TRACE} // '' );

1;

__END__

=encoding UTF-8

=head1 NAME

ZooKeeper - client for Apache ZooKeeper

=head1 SYNOPSIS

    use strict;
    use warnings;
    use ZooKeeper;
    use ZooKeeper::Constants;

    my $zk = ZooKeeper->new( hosts => 'localhost:2181' );

    $zk->ensure_path('/app/workers');
    $zk->create( '/app/workers/w-', value => "pid $$", ephemeral => 1, sequential => 1 );

    my ( $data, $stat ) = $zk->get('/app');
    eval { $zk->set( '/app', 'new', version => $stat->{version} ); 1 }
      or $@ == ZBADVERSION ? warn "somebody else was faster: $@" : die $@;

    my @workers = $zk->get_children( '/app/workers', watcher => sub {
        my ($event) = @_;
        print zevent( $event->{type} ), " at $event->{path}\n";
    } );
    print "workers: @workers\n";
    $zk->wait(60);    # for somebody to come or go

=head1 DESCRIPTION

A ZooKeeper keeps a tree of small nodes for programs that must agree on something:
who leads, who is there, how things are set up. This class holds one session with
it. Its methods block until the server has answered, and throw when it refuses;
watchers are called from the program's event loop.

The connection is made and kept up in the background, by a thread of the compiled
part: a handle reconnects to another server by itself, with the same session, and
its watches go along.

=head2 Paths and data

A path begins with C</>, has no C</> at its end, and no empty, C<.> or C<..> name in
it. It is checked before anything is sent.

Paths, names and the ids in ACLs are bytes, whatever Perl's internal flag says;
characters above 255 in them are sent as UTF-8. With L</utf8> they are text: encoded
on their way out, decoded on their way in, also in events, errors and transactions.

Data and credentials are always bytes. A value with characters above 255, or a
reference, is refused with a plain message. A node may have null data, which is
undef here and not the same as C<''>.

=head2 Stats

A stat is a hash ref of integers: C<czxid>, C<mzxid> and C<pzxid> (the transactions
that created the node, changed its data, changed its children), C<ctime> and
C<mtime> (milliseconds since 1970), C<version>, C<cversion> and C<aversion> (how
often data, children and ACL were changed), C<ephemeralOwner> (a session id or 0),
C<dataLength> (bytes) and C<numChildren>.

=head2 ACLs

An ACL is an array ref of hash refs C<< {id, scheme, perms} >>, where C<perms> is a
sum of the constants C<ZOO_PERM_…>. See L<ZooKeeper::Constants/acls>.

=head2 Events and watchers

An event is a hash ref C<< {type, state, path} >>. The types are the constants
C<ZOO_…_EVENT>, the states C<ZOO_…_STATE>. A session event, type
C<ZOO_SESSION_EVENT>, has the path C<''> and says what became of the connection or
session.

The C<watcher> argument of L</exists>, L</get> and L</get_children> is a code
reference, or an object that can be called like one. It is called once, with one
event, when what was asked for has changed, from wherever events are dispatched:
from the loop, L</wait>, or the dispatcher's C<dispatch_event>; see
L<ZooKeeper::Dispatcher>. Each such argument is a watcher of its own, also when the
function is the same. When the call throws, there is none.

The default watcher, L</watcher>, is called for every session event instead. The
others hear of these only where L</ignore_session_events> is false: otherwise nobody
calls them when the session expires, and what waits for them alone waits for ever.

What a callback dies of goes to whoever dispatches, as a rule the event loop. Later
events come all the same.

=head2 Errors

A request that fails throws a L<ZooKeeper::Error>: it compares as the code
(C<< $@ == ZNONODE >>) and prints as the message. A path or number that no server
would take throws one with C<ZBADARGUMENTS>, before anything is sent. An argument of
the wrong Perl type dies with a plain message, which begins with the method's name.

A call always ends. While there is no connection it waits for one at most the
session timeout, then throws C<ZCONNECTIONLOSS>; the same when the connection is
lost while the request is under way (a server that falls silent is given up after
two thirds of the session timeout), and C<maybe_applied> of the error says whether a
write may have been done all the same. After L</request_timeout> it throws
C<ZOPERATIONTIMEOUT>.

When the session has expired every call throws C<ZSESSIONEXPIRED>, when
authentication was refused C<ZAUTHFAILED>, and on a closed handle C<ZINVALIDSTATE>.
L</reopen> starts anew.

Signal handlers run while a call waits. One that dies ends the call, and the handle
can still be used:

    my $value = eval {
        local $SIG{ALRM} = sub { die "no answer in time\n" };
        alarm 5;
        my $got = $zk->get('/x');
        alarm 0;
        $got;
    };

=head2 Named arguments

One that is undef counts as not given. One that a method does not know has no effect
but a warning in the category C<ZooKeeper>, which C<no warnings 'ZooKeeper'> turns
off. C<persistent> of L</create> and C<encoded> of L</add_auth> are known, and have
no effect either.

=head2 fork

A session belongs to the process that made it. In a forked child the handle throws
C<ZINVALIDSTATE> until L</reopen> gives it a session of its own; closing or
destroying it there does not disturb the parent.

=head1 ATTRIBUTES

Arguments of C<new>, as a list or one hash ref; methods of the same name return
them. C<new> does not wait for the connection: the first call does.

=head2 hosts

Required: C<host[:port]>, or several of them with commas between, and perhaps a path
at the end, below which all paths of this handle are: C<zk1:2181,zk2:2181/app>. The
port is 2181 if none is given. C<new> throws C<ZBADARGUMENTS> for a string that no
connection could be made to.

=head2 timeout

The session timeout to ask for, in B<milliseconds>: 10_000 by default. The server
has the last word, see L</session_timeout>.

=head2 authentication

An array ref of arguments for L</add_auth>, used for every session of this handle.

=head2 buffer_length

Has no effect, here and as an argument of L</create> and L</get>: data is never cut.
2048 by default.

=head2 default_acl

The ACL of nodes that are created without one: C<ZOO_OPEN_ACL_UNSAFE> by default.

=head2 utf8

True: paths, names and ids are text. See L</Paths and data>.

=head2 read_only

True: a server that is cut off from the majority will do, if it serves read-only
clients (and, for a new session, local ones: C<localSessionsEnabled>). Writes on it
throw C<ZNOTREADONLY>, and L</state> is C<ZOO_READONLY_STATE>.

=head2 request_timeout

How long a call waits for its answer, in B<seconds>, fractions count: three times
the session timeout by default. The connection stays.

=head2 jute_maxbuffer

The longest request in bytes, 1_048_575 by default, which is the servers' limit
unless theirs is set otherwise. A longer one throws before it is sent.

=head2 dispatcher

How events reach the program: a name (C<AnyEvent>, C<Pipe>: the part behind
C<ZooKeeper::Dispatcher::>), the full name of a class with C<^> before it, or an
object, which several handles may share. By default
C<$ENV{PERL_ZOOKEEPER_DISPATCHER}>, or C<AnyEvent>.

=head2 client_id, ignore_session_events, watcher

See the L<methods|/METHODS> of these names. C<client_id> is what that method of
another handle has returned: its session is resumed. A session can have but one
handle at a time.

=head1 METHODS

=head2 create

    my $path = $zk->create( '/x', value => 'data', acl => $acl, ephemeral => 1, sequential => 1 );

Creates a node and returns its path, to which C<sequential> adds a number of ten
digits. The node goes with the session if it is C<ephemeral>. Without C<value>, or
with undef, its data is null. Throws C<ZNODEEXISTS>, C<ZNONODE> (no parent),
C<ZNOCHILDRENFOREPHEMERALS>, C<ZINVALIDACL>, among others.

=head2 delete

    $zk->delete( '/x', version => 3 );

Deletes a node; with C<version> only if its data has this one (else C<ZBADVERSION>).
Throws C<ZNOTEMPTY> when the node has children. Returns nothing.

=head2 exists

    my $stat = $zk->exists( '/x', watcher => $callback );

The node's stat, undef without a node. The watcher is called when the node is
created, deleted, or its data set.

=head2 get

    my $data = $zk->get( '/x', watcher => $callback );
    my ( $data, $stat ) = $zk->get('/x');

The node's data, in list context with its stat. The watcher is called when the data
is set or the node deleted.

=head2 set

    my $stat = $zk->set( '/x' => 'data', version => 3 );

Sets the node's data, with C<version> only if it has this one (else C<ZBADVERSION>),
and returns the new stat. undef sets null data.

=head2 get_children

    my @names = $zk->get_children( '/x', watcher => $callback );
    my $count = $zk->get_children('/x');

The names of the node's children, in no order; in scalar context how many there are.
The watcher is called when one comes or goes, or the node itself is deleted.

=head2 get_acl

    my $acl = $zk->get_acl('/x');
    my ( $acl, $stat ) = $zk->get_acl('/x');

The node's ACL, in list context with its stat.

=head2 set_acl

    $zk->set_acl( '/x' => $acl, version => 0 );

Sets the node's ACL, with C<version> only if the ACL has this one (its C<aversion>).
Returns nothing.

=head2 add_auth

    $zk->add_auth( 'digest', 'user:password', watcher => sub {
        my ($event) = @_;
        warn "not authenticated\n" if $event->{state} != ZOK;
    } );

Authenticates the session, on this connection and all that follow. Returns nothing,
at once; later requests are sent after it. Its watcher gets
C<< {type => 0, state => $code, path => undef} >> with C<ZOK> or C<ZAUTHFAILED>; the
latter ends the session for every later call.

=head2 ensure_path

    $zk->ensure_path( '/a/b/c', acl => $acl, value => 'data' );

Creates the node and the nodes above it as far as they are missing, and returns the
path. It is no error if the node is there, or somebody creates it at the same
moment. The arguments are those of L</create>; only C<acl> is also for the nodes
above.

=head2 transaction

    my @results = $zk->transaction->check( '/x', 3 )->create('/y')->delete('/z')->commit;

A new L<ZooKeeper::Transaction>.

=head2 watcher

    $zk->watcher( sub { my ($event) = @_; print zstate( $event->{state} ), "\n" } );

The default watcher's callback, and an argument of C<new>. A new one takes over at
once; undef takes it off.

=head2 create_watcher, get_watchers, remove_watcher

Those of the L<dispatcher|ZooKeeper::Dispatcher>. A watcher of a call above is taken
off by

    $zk->remove_watcher($_) for $zk->get_watchers( path => '/x', type => 'get' );

=head2 ignore_session_events

    $zk->ignore_session_events(0);

That of the dispatcher, and an argument of C<new>: true by default. If it is false
every watcher is also called for session events, and stays armed until its own event
comes.

=head2 wait

    my $event = $zk->wait($seconds);

Lets the dispatcher's loop run until one event was dispatched, and returns it, also
when its watcher has ignored it; undef when none came within so many B<seconds>
(fractions count; no argument or 0: no limit). Inside a callback of AnyEvent's loop
it dies, since that can't be entered twice.

=head2 state

A constant C<ZOO_…_STATE>: C<ZOO_CONNECTED_STATE>, C<ZOO_CONNECTING_STATE> while
there is no connection, C<ZOO_EXPIRED_SESSION_STATE>, C<ZOO_AUTH_FAILED_STATE>,
C<ZOO_NOTCONNECTED_STATE> after C<close>.

=head2 client_id

    my $id = $zk->client_id;    # { client_id => $number, passwd => $sixteen_bytes }

What it takes to resume the session, by the argument of this name of C<new> or
L</reopen>: plain data that may be handed to another process; false before the first
connection. Keep it secret: whoever has it has the session.

=head2 is_unrecoverable

True when the session is over: expired, not authenticated, closed.

=head2 is_connected, wait_connected

    $zk->wait_connected($seconds);

Whether there is a connection; waits for it, returns true, or throws as a call
would, C<ZCONNECTIONLOSS> when the B<seconds> are over (no argument or 0: the
session timeout).

=head2 server

The server in use, C<host:port>; undef without a connection.

=head2 session_timeout

What the server has granted, in B<milliseconds>; before the first connection what is
asked for.

=head2 last_zxid

The number of the last transaction that this session has seen.

=head2 close

Ends the session: its ephemeral nodes are gone (if there is no connection, only at the
session's timeout), its watchers taken off. Waits at most a second for the server.
Closing twice does no harm. Destroying the handle does the same.

=head2 reopen

    $zk->reopen(%args);

Closes, and starts a session with the same settings, or others: arguments as for C<new>
but C<dispatcher>; kept, except C<client_id>. L</authentication> is sent again.

=head2 trace

    ZooKeeper->trace( 4, '/tmp/zookeeper.log' );

Writes lines about what is done to a file, or to standard error: level 0 none, 1
failed calls, 4 every call. The environment variable
C<PERL_ZOOKEEPER_TRACE=level[=file]> does the same when this module is loaded.

=head1 ENVIRONMENT

C<PERL_ZOOKEEPER_DISPATCHER> (see L</dispatcher>), C<PERL_ZOOKEEPER_TRACE> (see
L</trace>).

=head1 SEE ALSO

L<ZooKeeper::Constants>, L<ZooKeeper::Error>, L<ZooKeeper::Transaction>,
L<ZooKeeper::Dispatcher>, L<ZooKeeper::Watcher>, L<ZooKeeper::Test::Server>

=cut

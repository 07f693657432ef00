package ZooKeeper;
use Moo;
use Scalar::Util         qw(blessed);
use ZooKeeper::Arguments ();
use ZooKeeper::Constants
  qw(ZINVALIDSTATE ZOO_CONNECTED_STATE ZOO_NOTCONNECTED_STATE ZOO_OPEN_ACL_UNSAFE ZOO_READONLY_STATE);
use ZooKeeper::Error       ();
use ZooKeeper::Log         ();
use ZooKeeper::Methods     ();
use ZooKeeper::Modules     ();
use ZooKeeper::Settings    ();
use ZooKeeper::Transaction ();    # programs written for 0.1 name it as they please
use ZooKeeper::XS          ();

our $VERSION = '0.2.0';

has hosts           => ( is => 'ro', required => 1 );
has expire_by_clock => ( is => 'ro', default  => 0 );
has timeout         => ( is => 'ro', default  => 10_000 );
has authentication  => ( is => 'ro' );
has buffer_length   => ( is => 'ro', default => 2048 );
has default_acl     => ( is => 'ro', default => sub { ZOO_OPEN_ACL_UNSAFE } );
has utf8            => ( is => 'ro', default => 0 );
has read_only       => ( is => 'ro', default => 0 );
has request_timeout => ( is => 'ro' );
has jute_maxbuffer  => ( is => 'ro', default => 1_048_575 );
has max_in_flight   => ( is => 'ro', default => 10_000 );
has sasl            => ( is => 'ro' );
has tls             => ( is => 'ro' );
has tracer          => ( is => 'ro' );
has dispatcher      => ( is => 'ro',   default => sub { ZooKeeper::Settings::default_dispatcher() } );
has watcher         => ( is => 'bare', reader  => '_watcher', writer => '_set_watcher' );

# create, delete, exists, get, set and all the others
ZooKeeper::Methods::install(__PACKAGE__);

sub transaction {
    my ($self) = @_;
    $self->_own_dispatcher('transaction');
    return ZooKeeper::Transaction->new( handle => $self );
}

sub multi_read {
    my ($self) = @_;
    $self->_own_dispatcher('multi_read');
    ZooKeeper::Modules::need('ZooKeeper::MultiRead');
    return ZooKeeper::MultiRead->new( handle => $self );
}

# Accessor of the default watcher's callback: a new one takes over at once.
sub watcher {
    my ( $self, @new ) = @_;
    $self->_own_dispatcher('watcher');
    return $self->_watcher if !@new;
    defined $new[0] && !ZooKeeper::Arguments::is_callable( $new[0] )
      and ZooKeeper::Error::_croak('watcher: the watcher must be a code reference');
    $self->_set_watcher( $new[0] );
    $self->_default_watcher( $self->_watch_session ) if $self->state != ZOO_NOTCONNECTED_STATE;
    return $new[0];
}

sub create_watcher { return shift->_own_dispatcher('create_watcher')->create_watcher(@_) }
sub get_watchers   { return shift->_own_dispatcher('get_watchers')->get_watchers(@_) }
sub remove_watcher { return shift->_own_dispatcher('remove_watcher')->remove_watcher(@_) }

sub ignore_session_events {
    return shift->_own_dispatcher('ignore_session_events')->ignore_session_events(@_);
}
sub wait { return shift->_own_dispatcher('wait')->wait(@_) }

sub state            { return $_[0]->_state }
sub client_id        { return scalar $_[0]->_client_id }
sub is_unrecoverable { return $_[0]->_is_unrecoverable }
sub server           { return scalar $_[0]->_server }
sub session_timeout  { return $_[0]->_session_timeout }
sub last_zxid        { return $_[0]->_last_zxid }
sub metrics          { return scalar $_[0]->_metrics }

sub is_session_suspect { return $_[0]->_is_session_suspect }

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
    my ( $self, @pairs ) = @_;
    $self->_dispatcher_for('close');
    my $arg = ZooKeeper::Arguments::named( 'close', { keep => 1 }, @pairs );
    $self->{_closings}++;    # for what consists of several commands
    $self->_close( undef, $arg->{keep} );
    $self->_drop_watchers;
    return;
}

# What is an object becomes a string: it is to say the same for ever.
sub set_hosts {
    my ( $self, $hosts ) = @_;
    $self->_own_dispatcher('set_hosts');
    my $checked = ZooKeeper::Settings::hosts( 'set_hosts', $hosts );
    $self->_set_hosts($checked);
    $self->{hosts} = $checked;
    return;
}

sub reopen {
    my ( $self, @pairs ) = @_;
    $self->_own_dispatcher('reopen');
    my $arg    = ZooKeeper::Settings::for_reopen( $self->hosts, @pairs );
    my $resume = delete $arg->{client_id};
    $self->_check_hosts( $arg->{hosts} ) if exists $arg->{hosts};    # before anything is lost
    $self->_check_tls( $arg->{hosts} // $self->hosts, $arg->{tls} // $self->tls );
    $self->close;
    $self->dispatcher->_after_fork;

    if ( exists $arg->{ignore_session_events} ) {
        $self->ignore_session_events( delete $arg->{ignore_session_events} );
    }
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
    ZooKeeper::Settings::settle($self) if ref $self ne 'ZooKeeper';
    $self->dispatcher->ignore_session_events( $arg->{ignore_session_events} )
      if defined $arg->{ignore_session_events};
    $self->_open( $arg->{client_id} );
    return;
}

sub DEMOLISH {
    my ( $self, $in_global_destruction ) = @_;
    return if $in_global_destruction || !blessed $self->dispatcher;    # a subclass's may still be a name
    $self->{_closings}++;
    $self->_part;
    $self->_drop_watchers;
    return;
}

# The dispatcher, which every initialised object has. The method is for the message.
sub _dispatcher_for {
    my ( $self, $method ) = @_;
    return ref $self && $self->{dispatcher}
      || ZooKeeper::Error::_croak("$method: not an initialised ZooKeeper object");
}

# The same for a method that would do something with it. In another thread it is a copy that nobody feeds, and its
# event loop may be one that no other thread must touch.
sub _own_dispatcher {
    my ( $self, $method ) = @_;
    my $dispatcher = $self->_dispatcher_for($method);
    $self->_is_of_another_thread
      and
      ZooKeeper::Error::_raise( $method, undef, ZINVALIDSTATE, q(a handle can't be used in another thread) );
    return $dispatcher;
}

# In a forked child this handle is the parent's, and what becomes of its requests is about to be told here, too. Rust
# calls this.
sub _inherited {
    my ($self)     = @_;
    my $dispatcher = $self->dispatcher or return;
    my $after_fork = $dispatcher->can('_after_fork');
    $dispatcher->$after_fork if $after_fork;
    return;
}

# A new session for this object; the one that was is closed.
sub _open {
    my ( $self, $resume ) = @_;
    if ( $self->tracer ) {
        ZooKeeper::Modules::need('ZooKeeper::Tracer');
        $ZooKeeper::Tracer::is_used = 1;
    }
    ZooKeeper::Log::_attend( $self->dispatcher->channel );    # which may want to hear of it
    $self->_connect(
        {
            channel         => $self->dispatcher->channel,
            client_id       => $resume || undef,
            default_watcher => $self->_watch_session,
            sasl            => $self->{sasl} || undef,
            map { $_ => $self->{$_} }
              qw(hosts timeout utf8 read_only request_timeout jute_maxbuffer max_in_flight expire_by_clock tls),
        }
    );
    my $authentication = $self->authentication;
    return if !$authentication || !@$authentication;
    my ($error) = $self->_try( add_auth => @$authentication );

  # A session that is to be resumed may have turned out to be over by now. As ever, that is for the next call.
    die $error
      if defined $error && !( blessed $error && $error->isa('ZooKeeper::Error') && $error->is_session_lost );
    return;
}

# Makes a watcher of the session's callback; returns its id, 0 without one.
sub _watch_session {
    my ($self) = @_;
    my $former = delete $self->{_session_watcher};
    $self->dispatcher->remove_watcher($former) if $former;
    my $cb      = $self->_watcher // return 0;
    my $watcher = $self->dispatcher->create_watcher( '', $cb, type => 'default', handle => $self );
    $self->{_session_watcher} = $watcher;
    return $watcher->id;
}

# Watchers end with the session. Others may go on using the dispatcher.
sub _drop_watchers {
    my ($self) = @_;
    delete $self->{_session_watcher};
    my $dispatcher = $self->dispatcher;
    for my $watcher ( $dispatcher->get_watchers ) {
        next if !$watcher->_handle || $watcher->_handle != $self;
        $watcher->_forgotten;
        $dispatcher->remove_watcher($watcher);
    }
    return;
}

# Calls a method and returns (error, result). What is seen to here is not for the program's __DIE__ handler.
sub _try {
    my ( $class, $method, @args ) = @_;
    my ( $earlier, $result ) = $@;
    local ( $@, $SIG{__DIE__} );
    return eval { $@ = $earlier; $result = $class->$method(@args); 1 } ? ( undef, $result ) : ($@);
}

# A tracing that can't be had is no reason for a program not to run.
sub _trace_as_told_by {
    my ( $class, $setting ) = @_;
    my ($error) = $class->_try( trace => split /=/, $setting, 2 );
    warn "PERL_ZOOKEEPER_TRACE=$setting has no effect: $error" if defined $error;
    return;
}
__PACKAGE__->_trace_as_told_by( $ENV{PERL_ZOOKEEPER_TRACE} ) if length( $ENV{PERL_ZOOKEEPER_TRACE} // '' );

ZooKeeper::Modules::finish( __PACKAGE__, 'ZooKeeper::Error', 'ZooKeeper::Transaction' );

1;

# The manual is in ZooKeeper.pod: with it this file would be too long.

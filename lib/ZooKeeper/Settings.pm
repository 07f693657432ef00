package ZooKeeper::Settings;
use strict;
use warnings;

use overload ();

use Scalar::Util         qw(blessed looks_like_number);
use ZooKeeper::Arguments qw(is_callable);
use ZooKeeper::Constants qw(ZBADARGUMENTS);
use ZooKeeper::Error;
use ZooKeeper::Modules;

our $VERSION = '0.2.0';

my $MAX_INT = 2**31 - 1;    # what the protocol has room for

# The arguments of the constructor. A check gets the value and a name to blame, and returns the value to take.
my %CHECK = (
    authentication        => _typed( 'an array ref', sub { ref $_[0] eq 'ARRAY' } ),
    buffer_length         => \&_as_is,
    client_id             => _typed( 'what client_id of a handle returned',           \&_is_client_id ),
    default_acl           => _typed( 'an array ref of hash refs {id, scheme, perms}', \&_is_acl ),
    dispatcher            => \&_dispatcher,
    expire_by_clock       => \&_as_is,
    hosts                 => _typed( 'a string', \&_is_string ),
    ignore_session_events => \&_as_is,
    jute_maxbuffer        => _number( 'a number of bytes',    $MAX_INT, sub { int $_[0] } ),
    max_in_flight         => _number( 'a number of requests', $MAX_INT, sub { int $_[0] } ),
    read_only             => \&_as_is,
    request_timeout       => _number( 'a positive number of seconds', 1e9, sub { 0 + $_[0] } ),
    sasl                  => \&_sasl,
    timeout               => _number( 'a number of milliseconds', $MAX_INT, sub { int $_[0] } ),
    tls                   => \&_tls,
    tracer                => \&_tracer,
    utf8                  => \&_as_is,
    watcher               => _typed( 'a code reference', \&is_callable ),
);

# What "new" was given, checked; undef is as good as nothing.
sub for_new {
    my ( $class, %arg ) = @_;

# A subclass has attributes and defaults of its own: only the class itself can tell what is missing or unknown.
    ZooKeeper::Error::_croak('new: hosts is required') if !defined $arg{hosts} && $class eq 'ZooKeeper';
    my @unknown = grep { !exists $CHECK{$_} } sort keys %arg;
    _unknown( 'new', @unknown ) if $class eq 'ZooKeeper';
    return { %arg{@unknown}, _checked( 'new', $arg{hosts}, %arg ) };
}

# What a subclass has defaults for: checked as if it had been given.
sub settle {
    my ($self) = @_;
    my %arg = map { $_ => $self->$_ } grep { !/\A(?:client_id|ignore_session_events)\z/ } keys %CHECK;
    ZooKeeper::Error::_croak('new: hosts is required') if !defined $arg{hosts};
    my %checked = _checked( 'new', $arg{hosts}, %arg );
    @{$self}{ keys %checked } = values %checked;
    return;
}

# What "reopen" was given, checked. The dispatcher stays: the handle's watchers live there.
sub for_reopen {
    my ( $hosts, @pairs ) = @_;
    ZooKeeper::Error::_croak('reopen: odd number of named arguments') if @pairs % 2;
    my %arg = @pairs;
    _unknown( 'reopen', grep { $_ eq 'dispatcher' || !exists $CHECK{$_} } sort keys %arg );
    delete $arg{dispatcher};
    return { _checked( 'reopen', $arg{hosts} // $hosts, %arg ) };
}

# What "set_hosts" was given, as a string.
sub hosts {
    my ( $method, $hosts ) = @_;
    ZooKeeper::Error::_croak("$method: hosts must be a string") if !defined $hosts || !_is_string($hosts);
    return "$hosts";
}

# The dispatcher of a handle that was given none.
sub default_dispatcher {
    my $name = $ENV{PERL_ZOOKEEPER_DISPATCHER};
    return _dispatcher( defined $name && length $name ? $name : 'AnyEvent', 'new: dispatcher' );
}

sub _unknown {
    my ( $method, @names ) = @_;
    ZooKeeper::Error::_warn("$method: unknown argument '$_' has no effect") for @names;
    return;
}

sub _checked {
    my ( $method, $hosts, %arg ) = @_;
    my %checked;
    for my $name ( grep { exists $CHECK{$_} && defined $arg{$_} } sort keys %arg ) {
        $checked{$name} = $CHECK{$name}->( $arg{$name}, "$method: $name", $hosts );
    }
    return %checked;
}

sub _as_is { return $_[0] }

sub _typed {
    my ( $expected, $is_it ) = @_;
    return sub {
        my ( $value, $what ) = @_;
        return $value if $is_it->($value);
        ZooKeeper::Error::_croak("$what must be $expected");
    };
}

sub _number {
    my ( $expected, $max, $convert ) = @_;
    return sub {
        my ( $value, $what, $hosts ) = @_;
        ZooKeeper::Error::_croak("$what must be $expected") if ref $value;
        my $number = looks_like_number($value) ? $convert->($value) : 0;
        return $number if $number > 0 && $number <= $max;
        my ($name) = $what =~ /(\w+)\z/;
        ZooKeeper::Error::_raise( 'new', $hosts, ZBADARGUMENTS, "$name '$value' is not $expected" );
    };
}

# What is text in it is settled here; the server's answer decides how it is encoded. No message shows the password.
sub _sasl {
    my ( $value, $what, $hosts ) = @_;
    return 0 if !$value;    # none, for who reopens without
    ref $value eq 'HASH'
      or ZooKeeper::Error::_croak("$what must be a hash ref {mechanism, username, password}");
    my %given   = %$value;
    my $refused = sub { ZooKeeper::Error::_raise( 'new', $hosts, ZBADARGUMENTS, "sasl: $_[0]" ) };
    my %login;
    for my $key (qw(mechanism username password)) {
        my $text = delete $given{$key} // $refused->("$key is missing");
        _is_string($text) or ZooKeeper::Error::_croak("$what: $key must be a string");
        $login{$key} = "$text";
        $key ne 'mechanism' || $text eq 'DIGEST-MD5'
          or $refused->("mechanism '$text' is not supported, only DIGEST-MD5 is");
        $text !~ /[^\x{0}-\x{D7FF}\x{E000}-\x{10FFFF}]/
          or $refused->("$key holds what is no Unicode character");
    }

    # Java's server breaks over it, and drops every connection without an answer.
    length $login{username} or $refused->('username is empty');
    ZooKeeper::Error::_warn("new: unknown argument '$_' of sasl has no effect") for sort keys %given;
    return \%login;
}

sub _is_string {
    my ($value) = @_;
    return !ref $value || blessed $value && overload::Method( $value, '""' );
}

# False is what a handle returns that had no session yet.
sub _is_client_id {
    my ($value) = @_;
    return 1 if !$value;
    return ref $value eq 'HASH' && defined $value->{client_id} && defined $value->{passwd};
}

sub _is_acl {
    my ($value) = @_;
    return ref $value eq 'ARRAY' && !grep { ref $_ ne 'HASH' } @$value;
}

sub _dispatcher {
    my ( $value, $what ) = @_;
    if ( ref $value ) {
        return $value if blessed $value && _can_dispatch($value);
        ZooKeeper::Error::_croak("$what must be the name of a dispatcher or an object of such a class");
    }
    my $class = $value =~ /\A\^(.*)\z/s ? $1 : "ZooKeeper::Dispatcher::$value";
    ZooKeeper::Error::_croak("$what '$value' is not a name") if $class !~ /\A[A-Za-z_]\w*(?:::\w+)*\z/a;
    local $@ = $@;    # loops that come to life try this and that
    _load( $class, $what );
    _can_dispatch($class) or ZooKeeper::Error::_croak("$what: $class is not the class of a dispatcher");
    return $class->new;
}

sub _tls {
    my @given = @_;
    ZooKeeper::Modules::need('ZooKeeper::Settings::TLS');
    return ZooKeeper::Settings::TLS::checked(@given);
}

# One without functions is as good as none.
sub _tracer {
    my ( $value, $what ) = @_;
    ref $value eq 'HASH' or ZooKeeper::Error::_croak("$what must be a hash ref {start, end}");
    for my $name ( sort keys %$value ) {
        $name =~ /\A(?:start|end)\z/ or ZooKeeper::Error::_croak("$what has no '$name', only start and end");
        !defined $value->{$name} || is_callable( $value->{$name} )
          or ZooKeeper::Error::_croak("$what: $name must be a code reference");
    }
    my %copy = %$value;
    return \%copy;
}

sub _can_dispatch {
    my ($class) = @_;
    return !grep { !$class->can($_) } qw(new create_watcher channel);
}

sub _load {
    my ( $class, $what ) = @_;
    return if $class->can('new');
    my $error = ZooKeeper::Modules::load($class);
    ZooKeeper::Error::_croak("$what: can't load $class: $error") if defined $error;
    return;
}

1;

package ZooKeeper::Error;
use Moo;
use Carp ();
use ZooKeeper::Commands;
use ZooKeeper::Constants qw(
  ZAUTHFAILED ZCONNECTIONLOSS ZNEWCONFIGNOQUORUM ZNOTREADONLY ZOPERATIONTIMEOUT ZRECONFIGINPROGRESS ZREQUESTTIMEOUT
  ZSESSIONCLOSEDREQUIRESASLAUTH ZSESSIONEXPIRED ZSESSIONMOVED ZTHROTTLEDOP ZUNKNOWNSESSION zerror
);
with 'Throwable';

our $VERSION = '0.2.0';

use overload
  '0+'     => sub { $_[0]->code },
  '""'     => sub { $_[0]->message },
  'bool'   => sub { 1 },
  fallback => 1;

# Callers see this category after "use ZooKeeper", and can switch it off by its name.
warnings::register_categories('ZooKeeper');

has code          => ( is => 'ro',   required => 1 );
has error         => ( is => 'lazy', default  => sub { zerror( $_[0]->code ) } );
has message       => ( is => 'lazy', default  => sub { $_[0]->error } );
has op            => ( is => 'ro' );
has path          => ( is => 'ro' );
has maybe_applied => ( is => 'ro', default => 0 );

my %SESSION_LOST = map { $_ => 1 } ZSESSIONEXPIRED, ZAUTHFAILED, ZUNKNOWNSESSION,
  ZSESSIONCLOSEDREQUIRESASLAUTH;

# Refused before it had an effect, or without an answer: what was in the way may be gone at the next attempt.
my %PASSING = map { $_ => 1 } ZCONNECTIONLOSS, ZOPERATIONTIMEOUT, ZREQUESTTIMEOUT, ZTHROTTLEDOP,
  ZSESSIONMOVED, ZNOTREADONLY, ZNEWCONFIGNOQUORUM, ZRECONFIGINPROGRESS;

sub is_connection_loss { return $_[0]->code == ZCONNECTIONLOSS }
sub is_session_lost    { return exists $SESSION_LOST{ $_[0]->code } }
sub is_retryable       { return exists $PASSING{ $_[0]->code } && !$_[0]->maybe_applied }

# The packages whose frames are never "the user's line". A list and no prefix, for others have modules below
# ZooKeeper::, too. Of Moo's: constructors, and methods that a class of the program hands on to its handle.
my %OURS = map { $_ => 1 } qw(
  ZooKeeper ZooKeeper::Arguments ZooKeeper::Channel ZooKeeper::Commands ZooKeeper::Constants
  ZooKeeper::Dispatcher ZooKeeper::Dispatcher::AnyEvent ZooKeeper::Dispatcher::Interrupt
  ZooKeeper::Dispatcher::IOAsync ZooKeeper::Dispatcher::Mojo ZooKeeper::Dispatcher::Pipe
  ZooKeeper::Dispatcher::POE ZooKeeper::Error ZooKeeper::Future ZooKeeper::Guard ZooKeeper::Log
  ZooKeeper::Methods ZooKeeper::Modules ZooKeeper::MultiRead ZooKeeper::Operations ZooKeeper::Settings
  ZooKeeper::Settings::TLS ZooKeeper::Steps ZooKeeper::Steps::Delete ZooKeeper::Tracer
  ZooKeeper::Transaction
  ZooKeeper::Watcher ZooKeeper::XS
  Future Future::PP Future::_base Method::Generate::Accessor::_Generated Moo::Object Sub::Defer
);

# Those that programs make subclasses of.
my @CLASSES = qw(ZooKeeper ZooKeeper::Dispatcher ZooKeeper::Operations);

# Throws what a call came to. Rust calls this for the server's and its own codes.
sub _raise {
    my @facts = @_;
    ZooKeeper::Error->throw( _described( _at_caller(), @facts ) );
}

# The same as a value, of a call that was made " at FILE line N.". Rust calls this where nobody waits.
sub _made {
    my @facts = @_;
    local $@ = '';    # what happens to be there is no previous exception
    return ZooKeeper::Error->new( _described(@facts) );
}

sub _described {
    my ( $at, $op, $path, $code, $detail, $maybe_applied ) = @_;
    my $error  = zerror($code);
    my $doing  = ZooKeeper::Commands::doing( $op, $path );
    my $reason = defined $detail ? "$error: $detail" : $error;
    return {
        code          => $code,
        error         => $error,
        message       => "Error $doing: $reason$at",
        op            => $op,
        path          => ( $op =~ /\A(?:new|set_hosts)\z/ ? undef : $path ),
        maybe_applied => ( $maybe_applied                 ? 1     : 0 ),
    };
}

# Dies with a plain message: the caller used a wrong Perl type.
sub _croak {
    my ($message) = @_;
    die $message . _at_caller();
}

# Warns at the user's line, unless it says: no warnings 'ZooKeeper'. It stays a warning where warnings are fatal.
sub _warn {
    my ($message) = @_;
    local @Carp::Internal{ keys %OURS } = values %OURS;    # warnings goes by Carp
    warn $message . _at_caller() if warnings::enabled('ZooKeeper');
    return;
}

# Where a call began that goes on in callbacks: set while one runs.
our $at;

# Rust asks, too.
sub _at_caller {
    return $at if defined $at;
    my ( undef, $file, $line ) = caller( _caller_level() );
    return " at $file line $line.\n";
}

# The number of the first frame outside our packages, as caller() counts it in the function that asks.
sub _caller_level {
    my $level = 1;
    while ( my ( $package, $file, undef, $called ) = caller $level ) {

      # The constructor that Moo makes for a subclass is in the subclass's package, and so are the wrappers of
      # method modifiers.
        my $made = $file =~ /\A\(eval [0-9]+\)/ && grep { $package->isa($_) } @CLASSES;
        return $level - 1 if !$OURS{$package} && !$made && $called !~ /::BUILD(?:ARGS)?\z/;
        $level++;
    }
    return $level - 2;
}

1;

__END__

=encoding UTF-8

=head1 NAME

ZooKeeper::Error - what a request that fails throws

=head1 SYNOPSIS

    use ZooKeeper;
    use ZooKeeper::Constants;

    my $zk = ZooKeeper->new( hosts => 'localhost:2181' );
    if ( !eval { $zk->create('/x'); 1 } ) {
        my $error = $@;
        die $error if !ref $error || $error != ZNODEEXISTS;
        print "$error";    # Error creating node '/x': node exists at FILE line N.
    }

=head1 DESCRIPTION

A L<Throwable>. As a number it is its L</code>, as a string its L</message>, and it
is always true.

=head1 ATTRIBUTES

=head2 code

A constant C<Z…> of L<ZooKeeper::Constants>, some other number that the server has
sent, or, above 0, an error number of the operating system. Required by C<throw>.

=head2 error

The text of the code, as C<zerror> gives it. By default just that.

=head2 message

The whole message: what was tried, what came of it, and the line of the program,
with a newline at its end. By default the text of the code.

=head2 op

The method that threw: C<create>, C<get>, C<commit>, C<new>, …

=head2 path

The node that it was about, or undef.

=head2 maybe_applied

True for a write whose outcome is unknown: the request was sent, and the connection
lost, or the time over, before the answer came. Look what is there before you repeat
it.

=head1 METHODS

=head2 throw

    ZooKeeper::Error->throw( code => ZNONODE, message => "no such thing\n" );
    ZooKeeper::Error->throw( { code => ZNONODE } );

Makes one and dies with it. Arguments are the attributes above, as a list or one hash
ref.

=head2 is_connection_loss

True if the connection was lost, or could not be had in time.

=head2 is_session_lost

True if the session is over by the server's word, expired or not authenticated: only
C<reopen> helps.

=head2 is_retryable

True if it is safe to send the same request again: it surely had no effect, and may
well succeed the next time. So it is after C<ZCONNECTIONLOSS>, C<ZOPERATIONTIMEOUT>,
C<ZREQUESTTIMEOUT>, C<ZTHROTTLEDOP>, C<ZSESSIONMOVED>, C<ZNOTREADONLY>,
C<ZNEWCONFIGNOQUORUM> and C<ZRECONFIGINPROGRESS>, unless L</maybe_applied> is true.

=head1 SEE ALSO

L<ZooKeeper>, L<ZooKeeper::Constants>

=cut

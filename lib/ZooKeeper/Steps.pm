package ZooKeeper::Steps;
use strict;
use warnings;

use Scalar::Util         qw(blessed weaken);
use ZooKeeper::Constants qw(ZCLOSING ZINVALIDSTATE ZNOAUTH ZNODEEXISTS ZNONODE ZNOTREADONLY);
use ZooKeeper::Error;
use ZooKeeper::Guard;
use ZooKeeper::Modules;

our $VERSION = '0.2.0';

# What takes several commands is a function that is called with the answer to its last question, an error and
# results (at first with nothing). It returns the next question, the name of a command (or a code reference to call
# like one) and its arguments, or an array ref, its own result; or dies.

# Such a function for each command, or for one that an argument has made several of.
my %STEPS = (
    ensure_path  => sub { my ( undef, undef, $arg ) = @_; _create_path( 'create', $arg, 1 ) },
    create_below => sub { my ( undef, $name, $arg ) = @_; _create_path( $name,    $arg ) },
    delete_below => sub {
        my ( $handle, undef, $arg ) = @_;
        ZooKeeper::Modules::need('ZooKeeper::Steps::Delete');
        return ZooKeeper::Steps::Delete::steps( $handle, $arg );
    },
);

# Takes these steps in place of a command; tells somebody, or waits and returns the result.
sub take {
    my ( $handle, $steps, $name, $arg, @told ) = @_;
    my $next = $STEPS{$steps}->( $handle, $name, $arg );
    return @told ? _walk_later( $handle, $next, @told ) : _walk( $handle, $next );
}

# Takes the steps one after the other, and returns the result.
sub _walk {
    my ( $handle, $next ) = @_;
    my $session = _session($handle);
    my @answer;
    while (1) {
        my ( $command, @args ) = $next->(@answer);
        return wantarray ? @$command : $command->[0] if ref $command eq 'ARRAY';
        my @result;
        my $ask = sub { _goes_on( $handle, $session, $command, @args ); @result = $handle->$command(@args) };
        my $error = _died($ask);
        @answer = ( $error, @result );
    }
}

# Takes the first step, and the others when the answers come; tells the result. What is wrong with the first
# question is for the caller.
sub _walk_later {
    my ( $handle, $next, $tell, @subject ) = @_;
    my $at      = ZooKeeper::Error::_at_caller();
    my $session = _session($handle);
    weaken($handle);    # if it goes, that is the answer
    my $step;
    $step = sub {
        my @answer = @_;
        local $ZooKeeper::Error::at = $at;
        my ( $command, @args );
        my $error = _died( sub { ( $command, @args ) = $next->(@answer) } );
        die $error if defined $error && !@answer;
        if ( !defined $error && ref $command ne 'ARRAY' ) {
            my $again = $step;
            my $ask   = sub {
                _goes_on( $handle, $session, $command, @args );
                $handle->$command( @args, cb => $again );
            };
            $error = _died($ask) // return;
            my $told = $error;
            $error = _died( sub { $next->($told) } ) // $told;    # it may have better words
            die $error if !@answer;
        }
        undef $step;
        local $ZooKeeper::Error::at;
        return $tell->( @subject, $error, defined $error ? () : @$command );
    };
    my $first = $step;
    my $lost  = ZooKeeper::Guard->new( sub { undef $step } );
    $first->();
    $lost->dismiss;
    return;
}

# Which process has opened the handle, and how often it was closed before.
sub _session {
    my ($handle) = @_;
    return [ $$, $handle->{_closings} // 0 ];
}

# What is under way when the handle is closed ends with that, whether the next command could still be asked (by a handle that
# was reopened) or not. Dies if so.
sub _goes_on {
    my ( $handle, $session, $command, $path ) = @_;
    my @about = ref $command ? ( 'commit', undef ) : ( $command, $path );
    my ( $pid, $closings ) = @$session;
    $pid == $$
      or ZooKeeper::Error::_raise( @about, ZINVALIDSTATE, 'the parent process has asked for this' );
    return if $handle && ( $handle->{_closings} // 0 ) == $closings;
    return ZooKeeper::Error::_raise( @about, ZCLOSING );
}

sub _died {
    my ($code) = @_;
    my $earlier = $@;
    local ( $@, $SIG{__DIE__} );
    return eval { $@ = $earlier; $code->(); 1 } ? undef : $@;
}

# Creates a node and those above it that are missing. Leniently: it may be there already.
sub _create_path {
    my ( $command, $arg, $leniently ) = @_;
    my $path   = $arg->{path};
    my %above  = map { $_ => $arg->{$_} } grep { defined $arg->{$_} } qw(acl request_timeout);
    my %own    = map { $_ => $arg->{$_} } grep { $_ ne 'path' } keys %$arg;
    my %asking = map { $_ => $arg->{$_} } grep { defined $arg->{$_} } 'request_timeout';

# From the node upwards, not down: who may create below a node need not have a right to anything above. Of each that
# is missing only the length is kept: the paths themselves would be as many as the longest has parts.
    my @created  = $path;
    my $whole    = length( $path // '' );
    my @todo     = $whole;
    my $attempts = 100 + ( $path // '' ) =~ tr{/}{};    # for somebody may take away again what is made here
    my $next     = sub { $todo[-1] == $whole ? $path : substr $path, 0, $todo[-1] };
    my $refused;
    return sub {
        my ( $error, @made ) = @_;
        if ($refused) {                                 # is it there?
            die $refused if !$made[0];
            undef $refused;
            pop @todo;
        }
        elsif (@_) {
            my $code         = blessed $error && $error->isa('ZooKeeper::Error') ? $error->code : 0;
            my $may_be_there = $leniently || @todo > 1;

            # Servers look at permissions before they look for the node.
            if ( $may_be_there && ( $code == ZNOAUTH || $code == ZNOTREADONLY ) ) {
                $refused = $error;
                return ( exists => $next->(), %asking );
            }
            my $above = $code == ZNONODE && $todo[-1] ? rindex $path, '/', $todo[-1] - 1 : 0;
            if ( $above > 0 && $attempts-- > 0 ) {
                push @todo, $above;
            }
            elsif ( defined $error && !( $code == ZNODEEXISTS && $may_be_there ) ) {
                die $error;
            }
            else {
                pop @todo;
                @created = @made if !@todo && !defined $error;
            }
        }
        return [@created] if !@todo;
        return @todo == 1 ? ( $command => $path, %own ) : ( create => $next->(), %above );
    };
}

1;

package ZooKeeper::Steps;
use strict;
use warnings;

use Scalar::Util         qw(blessed weaken);
use ZooKeeper::Constants qw(ZINVALIDSTATE ZNODEEXISTS ZNONODE);
use ZooKeeper::Error;

our $VERSION = '0.2.0';

# What takes several commands is a function that is called with the answer to its last question, an error and
# results (at first with nothing). It returns the next question, the name of a command and its arguments, or an
# array ref, its own result; or dies.

# Takes the steps one after the other, and returns the result.
sub walk {
    my ( $handle, $next ) = @_;
    my @answer;
    while (1) {
        my ( $command, @args ) = $next->(@answer);
        return wantarray ? @$command : $command->[0] if ref $command;
        @answer = $handle->_try( $command, @args );
    }
}

# Takes the first step, and the others when the answers come; tells the result. What is wrong with the first
# question is for the caller.
sub walk_later {
    my ( $handle, $next, $tell, @subject ) = @_;
    my $at = ZooKeeper::Error::_at_caller();
    weaken($handle);    # if it goes, that is the answer
    my $step;
    $step = sub {
        my @answer = @_;
        local $ZooKeeper::Error::at = $at;
        my ( $command, @args );
        my $error = _died( sub { ( $command, @args ) = $next->(@answer) } );
        if ( !defined $error && !ref $command ) {
            my $again = $step;
            my $ask   = sub {
                $handle
                  // ZooKeeper::Error::_raise( $command, $args[0], ZINVALIDSTATE, 'the handle is gone' );
                $handle->$command( @args, cb => $again );
            };
            return $ask->() if !@answer;
            $error = _died($ask) // return;
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

sub _died {
    my ($code) = @_;
    my $earlier = $@;
    local ( $@, $SIG{__DIE__} );
    return eval { $@ = $earlier; $code->(); 1 } ? undef : $@;
}

# Creates a node and those above it that are missing.
sub ensure_path {
    my ( $path, $arg ) = @_;
    my %above = map { $_ => $arg->{$_} } grep { defined $arg->{$_} } qw(acl request_timeout);
    my %own   = map { $_ => $arg->{$_} } grep { $_ ne 'path' } keys %$arg;

    # From the node upwards, not down: who may create below a node need not have a right to anything above.
    my ( $created, @todo ) = ( $path, $path );
    my $attempts = 100 + ( $path // '' ) =~ tr{/}{};    # for somebody may take away again what is made here
    return sub {
        my ( $error, $made ) = @_;
        if (@_) {
            my $code = blessed $error && $error->isa('ZooKeeper::Error') ? $error->code : 0;
            if ( $code == ZNONODE && $attempts-- > 0 && $todo[-1] =~ m{\A(/.+)/[^/]*\z}s ) {
                push @todo, $1;
            }
            elsif ( defined $error && $code != ZNODEEXISTS ) {
                die $error;
            }
            else {
                pop @todo;
                $created = $made // $path if !@todo;
            }
        }
        return [$created] if !@todo;
        return ( create => $todo[-1], @todo == 1 ? %own : %above );
    };
}

1;

package ZooKeeper::Tracer;
use strict;
use warnings;

use Scalar::Util qw(blessed);
use Time::HiRes  qw(CLOCK_MONOTONIC clock_gettime);
use ZooKeeper::Error;

our $VERSION = '0.2.0';

# The tracer of a handle: two functions of the program that are called for each of its requests. Set once there is such
# a handle in this process: until then calls go straight to the compiled part.
our $is_used;

# What is kept of a call: the tracer, the hash that its functions get, where the call stands, when it began, and what
# it came to while the program's function was at work that is told of its beginning.
use constant { TRACER => 0, FACTS => 1, STAGE => 2, SINCE => 3, ENDED_AS => 4 };
use constant { STARTING => 1, STARTED => 2, ENDED => 3 };

# What a command is asked with, traced: a function that takes what the given one takes. That is the handle, and further
# arguments, so many in all; then, if nobody waits, whom to tell.
sub around {
    my ( $handle, $op, $path, $ask, $count ) = @_;
    my $tracer = $handle->{tracer};
    return sub {
        my @call = splice @_, 0, $count;
        $#call = $count - 1;
        my $span = [ $tracer, { op => $op, path => $path, xid => undef, bytes => undef } ];
        return @_ ? _later( $span, $ask, \@call, @_ ) : _now( $span, $ask, @call );
    };
}

sub _now {
    my ( $span, $ask, @call ) = @_;
    my $list = wantarray;
    my @result;
    _run(
        $span,
        sub {
            @result =
              $list ? $ask->( @call, undef, undef, $span ) : scalar $ask->( @call, undef, undef, $span );
        }
    );
    _end($span);
    return $list ? @result : $result[0];
}

# A refusal that is told like an answer has no frame.
sub _later {
    my ( $span, $ask, $call, @told ) = @_;
    _run( $span, sub { $ask->( @$call, \&_answered, [ $span, @told ], $span ) } );
    _begun($span) if !$span->[STAGE];
    return;
}

# Rust calls this with an answer.
sub _answered {
    my ( $call, $xid,  @answer )  = @_;
    my ( $span, $tell, @subject ) = @$call;
    _numbered( $span, $xid );
    _begun($span) if !$span->[STAGE];
    _end( $span, $answer[0] );
    return $tell->( @subject, @answer );
}

# What the call dies of comes out, and is its end. Of an argument of a wrong type nobody is told: it is the program's
# mistake, and no request.
sub _run {
    my ( $span, $code ) = @_;
    my ( $earlier, $died, $error ) = $@;
    {
        local ( $@, $SIG{__DIE__} );
        eval { $@ = $earlier; $code->(); 1 } or ( $died, $error ) = ( 1, $@ );
    }
    return                if !$died;
    _begun($span)         if !$span->[STAGE] && blessed $error && $error->isa('ZooKeeper::Error');
    _end( $span, $error ) if $span->[STAGE];
    die $error;    ## no critic (RequireCarping)
}

# The request was handed over, or waits until it can be. Rust calls this, where there is a frame.
sub _begun {
    my ( $span, $xid, $bytes ) = @_;
    @{ $span->[FACTS] }{qw(xid bytes)} = ( $xid, $bytes );
    @{$span}[ SINCE, STAGE ] = ( clock_gettime(CLOCK_MONOTONIC), STARTING );
    _call( $span, 'start' );
    $span->[STAGE] = STARTED;
    _end( $span, @{ $span->[ENDED_AS] } ) if $span->[ENDED_AS];
    return;
}

# It has got its number, later. Rust calls this, too.
sub _numbered {
    my ( $span, $xid ) = @_;
    local ( $@, $SIG{__DIE__} );
    eval { $span->[FACTS]{xid} = $xid } if defined $xid;    # the program may have locked its hash
    return;
}

sub _end {
    my ( $span, $error, $at ) = @_;
    $at //= clock_gettime(CLOCK_MONOTONIC);
    if ( $span->[STAGE] == STARTING ) {    # the program waits for it while it is told of the beginning
        $span->[ENDED_AS] = [ $error, $at ];
        return;
    }
    return if $span->[STAGE] == ENDED;
    $span->[STAGE] = ENDED;
    my $us = int( 1e6 * ( $at - $span->[SINCE] ) + 0.5 );
    {
        local ( $@, $SIG{__DIE__} );
        eval { @{ $span->[FACTS] }{qw(duration_us error)} = ( $us, $error ) };
    }
    _call( $span, 'end' );
    return;
}

# Nothing gets out of it: neither its call nor the session is the worse for it.
sub _call {
    my ( $span, $which ) = @_;
    my $function = $span->[TRACER]{$which} // return;
    my $status   = $?;                                  # a local one would hide what the function exits with
    local ( $@, $!, $SIG{__DIE__} );
    for my $once (1) {                                  # where a stray "last" ends
        next if eval { $function->( $span->[FACTS] ); 1 };
        my $why = $@;
        eval { warn "ZooKeeper: the tracer's $which died: $why" };    # warnings may be fatal
    }
    $? = $status;
    return;
}

1;

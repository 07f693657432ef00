package FaultProxy;
use strict;
use warnings;

use Errno  qw(EAGAIN EINTR);
use Fcntl  qw(F_SETFL O_NONBLOCK);
use Socket qw(IPPROTO_TCP SOL_SOCKET SO_LINGER TCP_NODELAY);
use IO::Socket::INET;
use List::Util  qw(min);
use POSIX       ();
use Time::HiRes ();

# Bytes that are kept for a side which does not read. The other one is not read then, either.
my $ROOM = 1 << 20;

# Seconds between two pieces of what is sent in pieces: else the other side finds them put together again.
my $PACE = 0.000_3;

# A process between clients and several servers, a port for each of them, which harms connections when it is told to.
#
#     my $proxy = FaultProxy->new(@addresses);
#     $proxy->harm( swallow_requests => 0 );
#     $proxy->harm( delay_answers => 0, 1.5 );
#
# The second argument is the server's index; an address may be { to => $address, listen => $address_of_the_proxy }. What
# there is, of the connections that there are and of those to come:
#
#     reset               ends the connections that there are
#     cut                 the same, but only when the server answers the next time: the answer is lost
#     cut_request         the same when a client sends the next time: the request is lost
#     swallow_requests    what clients send does not arrive any more
#     swallow_answers     nor what servers send
#     hold_requests       a network that loses everything for a while: nothing gets through, not even that a side has
#     hold_answers        closed; it is sent again, and arrives, when it is healed. With the value "old" this comes over
#                         the connections that there are, with "new" over those to come
#     delay_requests      arrives so many seconds later
#     delay_answers
#     piece_requests      arrives in pieces of so many bytes
#     piece_answers
#     hang_up             connections to come are closed after so many bytes of the server's: 0 is at once
#     heal                all of this is over, but what was swallowed once is a hole in the stream
#
# A code ref after the addresses may change what clients send, given the index, the bytes and all ports.
sub new {
    my ( $class, @addresses ) = @_;
    my $edit   = ref $addresses[-1] eq 'CODE' ? pop @addresses : undef;
    my @listen = map {
        my $address = ref $_ ? $_->{listen} : '127.0.0.1';
        IO::Socket::INET->new( LocalAddr => $address, Listen => 64, ReuseAddr => 1 )
          or die "no port of $address can be had: $!\n"
    } @addresses;
    @addresses = map { ref $_ ? $_->{to} : $_ } @addresses;
    pipe my $told, my $tell or die "pipe: $!\n";
    pipe my $ack,  my $done or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if ( !$pid ) {
        close $_ for $tell, $ack;
        $SIG{PIPE} = 'IGNORE';
        eval { _relay( \@listen, \@addresses, $told, $done, $edit ); 1 } or print {*STDERR} "FaultProxy: $@";
        POSIX::_exit(1);
    }
    close $_ for $told, $done;
    my @hosts = map { $_->sockhost . ':' . $_->sockport } @listen;
    return bless { hosts => \@hosts, pid => $pid, owner => $$, tell => $tell, ack => $ack }, $class;
}

sub ports {
    return map { /:(\d+)\z/ } @{ $_[0]{hosts} };
}

# The addresses of the proxy, or that for one server.
sub hosts {
    my ( $self, $index ) = @_;
    return join ',', defined $index ? $self->{hosts}[$index] : @{ $self->{hosts} };
}

# Which server a client is connected to, by the address that it knows.
sub index_of {
    my ( $self, $address ) = @_;
    my ($port)  = ( $address // '' ) =~ /:(\d+)\z/ or return;
    my ($index) = grep { $self->{hosts}[$_] =~ /:$port\z/ } 0 .. $#{ $self->{hosts} };
    return $index;
}

# Returns when it has been done, or is about to be with the next bytes.
sub harm {
    my ( $self, $what, $index, $value ) = @_;
    $self->_tell( $what, $index, $value // 1 );
    return;
}

# When clients have connected to this port so far: times since the epoch.
sub connects {
    my ( $self, $index ) = @_;
    return split / /, $self->_tell( 'connects', $index );
}

# How many bytes clients, and servers, have sent through this port so far.
sub bytes {
    my ( $self, $index ) = @_;
    return split / /, $self->_tell( 'bytes', $index );
}

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{owner};
    local ( $?, $! );
    kill KILL => $self->{pid};
    waitpid $self->{pid}, 0;
    return;
}

sub _tell {
    my ( $self, @order ) = @_;
    syswrite $self->{tell}, "@order\n";
    my $answer = '';
    while ( $answer !~ s/\n\z// ) {
        sysread $self->{ack}, $answer, 65_536, length $answer or die "the proxy is gone\n";
    }
    return $answer;
}

# It ends with the program, whose end of the pipe is closed then. What is read from an end of a connection is queued
# there, until it is due; then it waits in the other end's "out" for that to take it.
sub _relay {
    my ( $listen, $addresses, $told, $done, $edit ) = @_;
    my $ports = [ map { $_->sockport } @$listen ];
    my ( %end, @port );    # of a connection: number of its descriptor => what there is to know
    my %index = map { fileno $listen->[$_] => $_ } 0 .. $#$listen;
    @port = map { { harms => {}, connects => [], bytes => [ 0, 0 ] } } @$listen;
    while (1) {
        my $now     = Time::HiRes::time();
        my $wake    = _pass_on( \%end, $now );
        my $timeout = defined $wake ? $wake - $now : undef;
        my ( $read, $write ) = ( '', '' );
        vec( $read, $_, 1 ) = 1 for fileno $told, keys %index;
        for my $fd ( keys %end ) {
            my $end = $end{$fd};
            vec( $read, $fd, 1 ) = 1
              if !$end->{is_over} && length( $end->{peer}{out} ) + $end->{queued} < $ROOM;
            vec( $write, $fd, 1 ) = 1 if length $end->{out} && $end->{next} <= $now;
        }
        next if select( $read, $write, undef, $timeout ) < 0;
        if ( vec $read, fileno $told, 1 ) {
            sysread $told, my $orders, 4096 or return;
            syswrite $done, _obey( \%end, \@port, split / /, $_ ) . "\n" for split /\n/, $orders;
            next;
        }
        for my $fd ( grep { vec $write, $_, 1 } keys %end ) {
            _send( $end{$fd} );
        }
        for my $fd ( grep { vec $read, $_, 1 } keys %end ) {
            my $end = $end{$fd} or next;
            my $got = sysread $end->{socket}, my $bytes, 65_536;
            next if !defined $got && ( $! == EAGAIN || $! == EINTR );
            if ( $got && $end->{cut} ) { _finish( \%end, $end, 1 ) }
            else {
                $bytes = $edit->( $end->{index}, $bytes, $ports ) if $got && $edit && !$end->{is_server};
                _take( $end, $got ? $bytes : '', !defined $got );
            }
        }
        for my $fd ( grep { vec $read, $_, 1 } keys %index ) {
            my $index  = $index{$fd};
            my $port   = $port[$index];
            my $client = $listen->[$index]->accept or next;
            push @{ $port->{connects} }, Time::HiRes::time();
            next if defined $port->{harms}{hang_up} && !$port->{harms}{hang_up};
            my $server = IO::Socket::INET->new( $addresses->[$index] );
            if ( !$server ) {
                _reset($client);
                next;
            }
            my ( $one, $other ) = map {
                fcntl $_, F_SETFL, O_NONBLOCK;
                setsockopt $_, IPPROTO_TCP, TCP_NODELAY, 1;
                {
                    socket => $_,
                    out    => '',
                    next   => 0,
                    queue  => [],
                    queued => 0,
                    index  => $index,
                    port   => $port
                }
            } $client, $server;
            $one->{peer}        = $other;
            $other->{peer}      = $one;
            $other->{is_server} = 1;
            $other->{hang_up}   = $port->{harms}{hang_up};
            for my $end ( $one, $other ) {
                my $mine = $end->{is_server} ? 'answers' : 'requests';
                $end->{$_} = $port->{harms}{"${_}_$mine"} for qw(swallow hold delay piece);
                $end{ fileno $end->{socket} } = $end;
            }
        }
    }
    return;
}

# What has come from an end; nothing is its end.
sub _take {
    my ( $end, $bytes, $is_reset ) = @_;
    $end->{port}{bytes}[ $end->{is_server} ? 1 : 0 ] += length $bytes;
    return if $end->{swallow} && length $bytes;
    my $is_over = !length $bytes;
    if ( defined $end->{hang_up} && !$is_over ) {
        $bytes   = substr $bytes, 0, $end->{hang_up};
        $is_over = !( $end->{hang_up} -= length $bytes );
    }
    my $due = Time::HiRes::time() + ( $end->{delay} // 0 );
    push @{ $end->{queue} }, { due => $due, bytes => $bytes } if length $bytes;
    push @{ $end->{queue} }, { due => $due, bytes => '', is_reset => $is_reset } if $is_over;
    $end->{queued} += length $bytes;
    $end->{is_over} = $is_over;
    return;
}

# Moves what is due; returns the time at which there is more to do, if it is known.
sub _pass_on {
    my ( $ends, $now ) = @_;
    my @later;
    my @ends = values %$ends;    # some may go meanwhile
    for my $end (@ends) {
        my $peer = $end->{peer} or next;
        push @later, $end->{next} if length $end->{out} && $end->{next} > $now;
        next if $end->{hold};
        while ( my $first = $end->{queue}[0] ) {
            if ( $first->{due} > $now ) {
                push @later, $first->{due};
                last;
            }
            if ( !length $first->{bytes} ) {
                _finish( $ends, $end, $first->{is_reset} ) if !length $peer->{out};
                last;
            }
            $peer->{out} .= $first->{bytes};
            $end->{queued} -= length $first->{bytes};
            shift @{ $end->{queue} };
        }
    }
    return min(@later);
}

# One that takes nothing any more has ended, or is about to be read as such.
sub _send {
    my ($end) = @_;
    my $piece = $end->{peer}{piece};
    my $sent  = syswrite $end->{socket}, $end->{out}, $piece || length $end->{out};
    if    ($sent)                         { substr $end->{out}, 0, $sent, '' }
    elsif ( $! != EAGAIN && $! != EINTR ) { $end->{out} = '' }
    $end->{next} = Time::HiRes::time() + $PACE if $piece;
    return;
}

sub _obey {
    my ( $ends, $ports, $what, $index, $value ) = @_;
    my $port = $ports->[$index];
    my @ends = grep { $_->{index} == $index } values %$ends;
    return join ' ', @{ $port->{$what} } if $what eq 'connects' || $what eq 'bytes';
    if ( $what eq 'heal' ) {
        $port->{harms} = {};
        delete @{$_}{qw(hold delay piece)} for @ends;
        for my $chunk ( map { @{ $_->{queue} } } @ends ) {
            $chunk->{due} = 0;
        }
    }
    elsif ( $what eq 'reset' ) {
        _finish( $ends, $_, 1 ) for grep { !$_->{is_server} } @ends;
    }
    elsif ( $what eq 'cut' || $what eq 'cut_request' ) {
        $_->{cut} = 1 for grep { !$_->{is_server} == ( $what ne 'cut' ) } @ends;
    }
    elsif ( $what eq 'hang_up' ) {
        $port->{harms}{hang_up} = $value;
    }
    elsif ( my ( $harm, $side ) = $what =~ /\A(swallow|hold|delay|piece)_(requests|answers)\z/ ) {
        $port->{harms}{$what} = $value if $value ne 'old';
        return ''                      if $value eq 'new';
        $_->{$harm} = $value for grep { $side eq ( $_->{is_server} ? 'answers' : 'requests' ) } @ends;
    }
    else { die "no such harm: $what\n" }
    return '';
}

sub _finish {
    my ( $ends, $end, $is_reset ) = @_;
    my $peer = delete $end->{peer} or return;
    delete $peer->{peer};
    delete @{$ends}{ map { fileno $_->{socket} } $end, $peer };
    for my $socket ( map { $_->{socket} } $end, $peer ) {
        $is_reset ? _reset($socket) : close $socket;
    }
    return;
}

sub _reset {
    my ($socket) = @_;
    setsockopt $socket, SOL_SOCKET, SO_LINGER, pack 'i i', 1, 0;
    close $socket;
    return;
}

1;

package FaultProxy;
use strict;
use warnings;

use Errno  qw(EAGAIN EINTR);
use Fcntl  qw(F_SETFL O_NONBLOCK);
use Socket qw(SOL_SOCKET SO_LINGER);
use IO::Socket::INET;
use POSIX ();

# Bytes that are kept for a side which does not read. The other one is not read then, either.
my $ROOM = 1 << 20;

# A process between clients and several servers, a port for each of them, which harms connections when it is told to.
#
#     my $proxy = FaultProxy->new(@addresses);
#     $proxy->harm( swallow_requests => 0 );
#
# The last argument is the server's index. What there is:
#
#     reset             ends the connections that there are
#     cut               the same, but only when the server answers the next time: the answer is lost
#     swallow_requests  what clients send does not arrive any more
#     swallow_answers   nor what servers send
#     heal              the last two for connections to come
sub new {
    my ( $class, @addresses ) = @_;
    my @listen = map {
        IO::Socket::INET->new( LocalAddr => '127.0.0.1', Listen => 64, ReuseAddr => 1 )
          or die "no port of 127.0.0.1 can be had: $!\n"
    } @addresses;
    pipe my $told, my $tell or die "pipe: $!\n";
    pipe my $ack,  my $done or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if ( !$pid ) {
        close $_ for $tell, $ack;
        $SIG{PIPE} = 'IGNORE';
        eval { _relay( \@listen, \@addresses, $told, $done ); 1 } or print {*STDERR} "FaultProxy: $@";
        POSIX::_exit(1);
    }
    close $_ for $told, $done;
    my @ports = map { $_->sockport } @listen;
    return bless { ports => \@ports, pid => $pid, owner => $$, tell => $tell, ack => $ack }, $class;
}

sub hosts {
    return join ',', map { "127.0.0.1:$_" } @{ $_[0]{ports} };
}

# Which server a client is connected to, by the address that it knows.
sub index_of {
    my ( $self, $address ) = @_;
    my ($port)  = ( $address // '' ) =~ /:(\d+)\z/ or return;
    my ($index) = grep { $self->{ports}[$_] == $port } 0 .. $#{ $self->{ports} };
    return $index;
}

# Returns when it has been done, or is about to be with the next bytes.
sub harm {
    my ( $self, $what, $index ) = @_;
    syswrite $self->{tell}, "$what $index\n";
    sysread $self->{ack}, my $ack, 1 or die "the proxy is gone\n";
    return;
}

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{owner};
    local ( $?, $! );
    kill KILL => $self->{pid};
    waitpid $self->{pid}, 0;
    return;
}

# It ends with the program, whose end of the pipe is closed then.
sub _relay {
    my ( $listen, $addresses, $told, $done ) = @_;
    my ( %end, @swallow );    # of a connection: number of its descriptor => what there is to know
    my %index = map { fileno $listen->[$_] => $_ } 0 .. $#$listen;
    while (1) {
        my ( $read, $write ) = ( '', '' );
        vec( $read, $_, 1 ) = 1 for fileno $told, keys %index;
        for my $fd ( keys %end ) {
            vec( $read,  $fd, 1 ) = 1 if length $end{$fd}{peer}{out} < $ROOM;
            vec( $write, $fd, 1 ) = 1 if length $end{$fd}{out};
        }
        next if select( $read, $write, undef, undef ) < 0;
        if ( vec $read, fileno $told, 1 ) {
            sysread $told, my $orders, 4096 or return;
            for my $order ( split /\n/, $orders ) {
                _obey( \%end, \@swallow, split / /, $order );
                syswrite $done, '.';
            }
            next;
        }
        for my $fd ( grep { vec $write, $_, 1 } keys %end ) {
            my $end  = $end{$fd} or next;
            my $sent = syswrite $end->{socket}, $end->{out};
            if    ($sent)                         { substr $end->{out}, 0, $sent, '' }
            elsif ( $! != EAGAIN && $! != EINTR ) { _finish( \%end, $end ) }
        }
        for my $fd ( grep { vec $read, $_, 1 } keys %end ) {
            my $end = $end{$fd} or next;
            my $got = sysread $end->{socket}, my $bytes, 65_536;
            next if !defined $got && ( $! == EAGAIN || $! == EINTR );
            if ( !$got || $end->{cut} ) { _finish( \%end, $end ) }
            elsif ( !$end->{swallow} ) { $end->{peer}{out} .= $bytes }
        }
        for my $fd ( grep { vec $read, $_, 1 } keys %index ) {
            my $index  = $index{$fd};
            my $client = $listen->[$index]->accept or next;
            my $server = IO::Socket::INET->new( $addresses->[$index] );
            if ( !$server ) {
                _reset($client);
                next;
            }
            fcntl $_, F_SETFL, O_NONBLOCK for $client, $server;
            my ( $one, $other ) = map { { socket => $_, out => '', index => $index } } $client, $server;
            $one->{peer}        = $other;
            $other->{peer}      = $one;
            $other->{is_server} = 1;
            $_->{swallow} = $swallow[$index]{ $_->{is_server} ? 'answers' : 'requests' } for $one, $other;
            $end{ fileno $client } = $one;
            $end{ fileno $server } = $other;
        }
    }
    return;
}

# What was swallowed once is a hole in the stream: those connections are not healed.
sub _obey {
    my ( $end, $swallow, $what, $index ) = @_;
    my @ends = grep { $_->{index} == $index } values %$end;
    if    ( $what eq 'heal' ) { $swallow->[$index] = {} }
    elsif ( $what eq 'reset' ) {
        _finish( $end, $_ ) for grep { !$_->{is_server} } @ends;
    }
    elsif ( $what eq 'cut' ) {
        $_->{cut} = 1 for grep { $_->{is_server} } @ends;
    }
    elsif ( my ($side) = $what =~ /\Aswallow_(\w+)\z/ ) {
        $swallow->[$index]{$side} = 1;
        $_->{swallow} = 1 for grep { $side eq ( $_->{is_server} ? 'answers' : 'requests' ) } @ends;
    }
    else { die "no such harm: $what\n" }
    return;
}

sub _finish {
    my ( $ends, $end ) = @_;
    my $peer = delete $end->{peer} or return;
    delete $peer->{peer};
    delete @{$ends}{ map { fileno $_->{socket} } $end, $peer };
    _reset( $_->{socket} ) for $end, $peer;
    return;
}

sub _reset {
    my ($socket) = @_;
    setsockopt $socket, SOL_SOCKET, SO_LINGER, pack 'i i', 1, 0;
    close $socket;
    return;
}

1;

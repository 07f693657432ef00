package ZooKeeper::Test::Server::Wire;
use strict;
use warnings;

use Errno  qw(EINPROGRESS EINTR EAGAIN);
use Fcntl  ();
use POSIX  ();
use Socket qw(AF_INET INADDR_LOOPBACK MSG_NOSIGNAL SOCK_STREAM SOL_SOCKET SO_ERROR
  pack_sockaddr_in sockaddr_family unpack_sockaddr_in);
use Time::HiRes ();

our $VERSION = '0.2.0';

my $CREATE        = 1;
my $CLOSE_SESSION = -11;

my $NODE_EXISTS = -110;

# Asks and returns all that the server says before it closes; undef when it does
# not listen, says nothing, or does not come to an end in time.
sub four_letter {
    my ( $port, $word, $seconds ) = @_;
    my $deadline = Time::HiRes::time() + $seconds;
    my $socket   = _connect( $port, $deadline ) or return;
    _send( $socket, $word, $deadline ) or return;
    my $text = '';
    while (1) {
        my $got = _receive( $socket, \$text, $deadline ) // return;
        last if !$got;
    }
    return length $text ? $text : undef;
}

# Whether somebody takes connections there.
sub listens {
    my ( $port, $seconds ) = @_;
    return defined _connect( $port, Time::HiRes::time() + $seconds );
}

# Takes the session over by a connection of its own, which it returns as {socket}:
# the server drops the connection that had it. Returns {timeout} as negotiated, 0
# for a session that is no more; {dropped} if the session was taken back before the
# answer came; nothing if the server did not answer. With $close, ends the session.
sub resume {
    my ( $port, $id, $timeout_ms, $close ) = @_;
    my $deadline = Time::HiRes::time() + 5;
    my $socket   = _connect( $port, $deadline ) or return;

    # ConnectRequest: protocol version, last zxid seen, timeout, session id,
    # password, read-only.
    my $request = pack 'N q> N q> N/a* C', 0, 0, $timeout_ms, @{$id}{qw(client_id passwd)}, 0;
    _send( $socket, pack( 'N/a*', $request ), $deadline ) or return;
    my $answer = _receive_frame( $socket, $deadline ) // return;
    return { dropped => 1 } if !length $answer;
    my ( undef, $timeout ) = unpack 'N l>', $answer;
    $timeout = 0 if $timeout < 0;
    if ( $close && $timeout ) {
        _send( $socket, pack( 'N/a*', pack 'l> l>', 1, $CLOSE_SESSION ), $deadline ) or return;
        _receive_frame( $socket, $deadline );
    }
    return { timeout => $timeout, socket => $socket };
}

# Makes an empty node that everybody may use, if it is not there; in a session of its own. Returns nothing, or what the
# server did instead.
sub make_node {
    my ( $port, $path ) = @_;
    my $deadline = Time::HiRes::time() + 5;
    my $id       = { client_id => 0, passwd => "\0" x 16 };
    my $session  = resume( $port, $id, 10_000 ) or return 'gives no session';
    return 'gives no session' if !$session->{timeout};
    my $socket = $session->{socket};

    # xid, opcode, path, data, ACL (everything to world:anyone), flags.
    my $request = pack 'l> l> N/a* l> N l> N/a* N/a* l>', 1, $CREATE, $path, -1, 1, 31, 'world', 'anyone', 0;
    _send( $socket, pack( 'N/a*', $request ), $deadline ) or return 'takes no request';
    my $answer = _receive_frame( $socket, $deadline );
    return 'gives no answer' if !length( $answer // '' );
    my ( undef, undef, $code ) = unpack 'l> q> l>', $answer;
    _send( $socket, pack( 'N/a*', pack 'l> l>', 2, $CLOSE_SESSION ), $deadline )
      && _receive_frame( $socket, $deadline );
    return $code && $code != $NODE_EXISTS ? "refuses to create $path ($code)" : ();
}

# Ends the connection between these ports, if it is one of this process.
sub cut {
    my ( $own, $server ) = @_;
    opendir my $dir, '/proc/self/fd' or return;
    for my $fd ( grep { /\A\d+\z/ } readdir $dir ) {
        open my $socket, '+<&', $fd or next;    # a copy: closing it ends nothing
        my @ports =
          map { $_ && length == 16 && sockaddr_family($_) == AF_INET ? ( unpack_sockaddr_in $_ )[0] : 0 }
          getsockname $socket,
          getpeername $socket;
        shutdown $socket, 2 if $ports[0] == $own && $ports[1] == $server;
    }
    return;
}

# Below the range from which the kernel takes the source ports of outgoing
# connections: there, a client that tries to connect to a server which is down
# could be given its port, and the server would find it in use. All are held until
# the last is found, so that they differ.
sub free_ports {
    my ($wanted) = @_;
    my $below = _first_ephemeral_port();
    my @sockets;
    for my $try ( 1 .. 100 * $wanted ) {
        last if @sockets == $wanted;
        my $port = $below > 12_000 ? 10_240 + _random() % ( $below - 10_240 ) : 0;
        socket my $socket, AF_INET, SOCK_STREAM, 0 or last;
        bind $socket, pack_sockaddr_in( $port, INADDR_LOOPBACK ) or next;
        push @sockets, $socket;
    }
    die "no free port on 127.0.0.1: $!\n" if @sockets < $wanted;
    return map { ( unpack_sockaddr_in( getsockname $_ ) )[0] } @sockets;
}

sub _first_ephemeral_port {
    open my $file, '<', '/proc/sys/net/ipv4/ip_local_port_range' or return 0;
    my ($first) = ( <$file> // '' ) =~ /(\d+)/;
    return $first // 0;
}

# Not rand: a program that called srand goes on to see its own sequence.
sub _random {
    open my $file, '<:raw', '/dev/urandom' or die "/dev/urandom: $!\n";
    sysread $file, my $bytes, 4;
    return unpack 'N', $bytes;
}

sub _connect {
    my ( $port, $deadline ) = @_;
    socket my $socket, AF_INET, SOCK_STREAM, 0 or return;
    fcntl $socket, Fcntl::F_SETFL(), Fcntl::O_NONBLOCK() or return;
    return $socket if connect $socket, pack_sockaddr_in( $port, INADDR_LOOPBACK );
    return if $! != EINPROGRESS || !_wait( 1, $socket, $deadline );
    return unpack( 'i', getsockopt $socket, SOL_SOCKET, SO_ERROR ) ? () : $socket;
}

sub _send {
    my ( $socket, $bytes, $deadline ) = @_;
    while ( length $bytes ) {
        _wait( 1, $socket, $deadline ) or return;
        my $sent = send $socket, $bytes, MSG_NOSIGNAL;
        if    ( defined $sent )               { substr $bytes, 0, $sent, '' }
        elsif ( $! != EINTR && $! != EAGAIN ) { return }
    }
    return 1;
}

# 0 at the end of the stream; undef when the deadline has passed, or on an error.
sub _receive {
    my ( $socket, $into, $deadline ) = @_;
    while ( _wait( 0, $socket, $deadline ) ) {
        my $got = sysread $socket, ${$into}, 65_536, length ${$into};
        return $got if defined $got || ( $! != EINTR && $! != EAGAIN );
    }
    return;
}

# Empty at the end of the stream; undef when the deadline has passed.
sub _receive_frame {
    my ( $socket, $deadline ) = @_;
    my $bytes = '';
    until ( length $bytes >= 4 && length $bytes >= 4 + unpack 'N', $bytes ) {
        my $got = _receive( $socket, \$bytes, $deadline ) // return;
        return '' if !$got;
    }
    return unpack 'N/a*', $bytes;
}

sub _wait {
    my ( $to_write, $socket, $deadline ) = @_;
    while (1) {
        my $left = $deadline - Time::HiRes::time();
        return if $left <= 0;
        my $set = '';
        vec( $set, fileno $socket, 1 ) = 1;
        my $ready = $to_write ? select undef, $set, undef, $left : select $set, undef, undef, $left;
        return 1 if $ready > 0;
    }
}

1;

__END__

=head1 NAME

ZooKeeper::Test::Server::Wire - the few frames that a test server is spoken to with

=head1 DESCRIPTION

Internal to L<ZooKeeper::Test::Server>: four letter words, the session handshake and
C<closeSession>, by hand, so that the test server depends on no client.

=cut

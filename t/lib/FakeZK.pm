package FakeZK;
use strict;
use warnings;

use IO::Socket::INET;
use POSIX  ();
use Socket ();
use TestZK qw(at_length);

# A server made of Perl, in a process of its own, for what no real one does: it says what it was asked, or nonsense.
# The code is called with each connection, one after the other.
sub new {
    my ( $class, $code ) = @_;
    my $socket = IO::Socket::INET->new( LocalAddr => '127.0.0.1', Listen => 16, ReuseAddr => 1 )
      or die "no port of 127.0.0.1 can be had: $!\n";
    pipe my $read, my $write or die "pipe: $!\n";
    pipe my $told, my $tell  or die "pipe: $!\n";
    $told->blocking(0);
    my $parent = $$;
    my $pid    = fork // die "fork: $!\n";
    if ( !$pid ) {
        $write->autoflush;
        $SIG{PIPE} = 'IGNORE';
        alarm at_length( 3_600, 900 );    # in case nobody is left to end it; no test file takes so long
        my $number = 0;
        while ( my $peer = $socket->accept ) {
            setsockopt $peer, Socket::IPPROTO_TCP(), Socket::TCP_NODELAY(), 1;
            eval { $code->( FakeZK::Connection->new( $peer, $write, ++$number, $told ) ); 1 }
              or print {$write} "died: $@";
            close $peer;
        }
        POSIX::_exit(0);
    }
    $read->blocking(0);
    my %self = ( hosts => '127.0.0.1:' . $socket->sockport, pid => $pid, owner => $parent );
    return bless { %self, log => $read, tell => $tell }, $class;
}

# A server that grants sessions and answers everything well, but some kinds of requests otherwise: number of the operation =>
# a function of the connection, the xid and the rest of the request. It returns the payloads of what is sent.
sub answering {
    my ( $class, %otherwise ) = @_;
    require GoodReplies;
    return $class->new(
        sub {
            my ($connection) = @_;
            $connection->handshake or return;
            while ( defined( my $frame = $connection->frame ) ) {
                my ( $xid, $op, $rest ) = unpack 'l> l> a*', $frame;
                $connection->send_frame($_)
                  for $otherwise{$op}
                  ? $otherwise{$op}->( $connection, $xid, $rest )
                  : GoodReplies::good_reply( $xid, $op );
                last if $op == -11;
            }
        }
    );
}

sub hosts { return $_[0]{hosts} }

# What the connections have noted since the last time.
sub notes {
    my ($self) = @_;
    my @lines = readline $self->{log};
    chomp @lines;
    return @lines;
}

# Words for the next connection that asks for them.
sub order {
    my ( $self, @words ) = @_;
    syswrite $self->{tell}, "@words\n";
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

package FakeZK::Connection;

my %NAME = (
    1   => 'create',
    2   => 'delete',
    3   => 'exists',
    4   => 'get',
    5   => 'set',
    6   => 'get_acl',
    7   => 'set_acl',
    8   => 'get_children',
    14  => 'multi',
    100 => 'auth',
    -11 => 'close',
);

sub new {
    my ( $class, $socket, $notes, $number, $orders ) = @_;
    return bless { socket => $socket, notes => $notes, number => $number, orders => $orders }, $class;
}

# Which connection of this server it is, from 1.
sub number { return $_[0]{number} }

# The words of the next "order" of the test, none if there is none.
sub order {
    my ($self) = @_;
    my $line = readline $self->{orders};
    return split ' ', $line // '';
}

sub note {
    my ( $self, @words ) = @_;
    print { $self->{notes} } "@words\n";
    return;
}

sub send {
    my ( $self, $bytes ) = @_;
    syswrite $self->{socket}, $bytes;
    return;
}

sub send_frame {
    my ( $self, $payload ) = @_;
    return $self->send( pack 'N/a*', $payload );
}

# The payload of the next frame, undef when the client has closed; or has sent nothing for so many seconds.
sub frame {
    my ( $self, $seconds ) = @_;
    vec( my $readable = '', fileno $self->{socket}, 1 ) = 1;
    return if defined $seconds && !select $readable, undef, undef, $seconds;
    my $length = $self->_bytes(4) // return;
    return $self->_bytes( unpack 'N', $length );
}

sub _bytes {
    my ( $self, $count ) = @_;
    my $bytes = '';
    while ( length $bytes < $count ) {
        my $got = sysread $self->{socket}, $bytes, $count - length $bytes, length $bytes;
        return if !$got;
    }
    return $bytes;
}

# Drops the connection as a machine does that knows nothing of it.
sub reset {
    my ($self) = @_;
    shutdown $self->{socket}, 1;    # after an end of the stream a reset makes the next write a broken pipe
    setsockopt $self->{socket}, Socket::SOL_SOCKET(), Socket::SO_LINGER(), pack 'i i', 1, 0;
    close $self->{socket};
    return;
}

# Reads the request for a session and grants it: a new one, or the one that is asked for.
sub handshake {
    my ( $self, $timeout ) = @_;
    return $self->grant( timeout => $timeout // 10_000 ) && 1;
}

# The same, with an answer of which anything may be otherwise: version, timeout, id, passwd (undef: null), read_only
# (undef: the byte is missing), or all of it: bytes. Returns what was asked for.
sub grant {
    my ( $self, %answer ) = @_;
    my $request = $self->frame // return;
    my %asked;
    @asked{qw(version zxid timeout id passwd read_only)} = unpack 'N q> N q> N/a* C', $request;
    my %sent = (
        version   => 0,
        timeout   => 10_000,
        id        => $asked{id} || 0x1234,
        passwd    => 'p' x 16,
        read_only => 0,
        %answer
    );
    my $passwd = defined $sent{passwd}    ? pack 'N/a*', $sent{passwd}    : pack 'l>', -1;
    my $last   = defined $sent{read_only} ? pack 'C',    $sent{read_only} : '';
    $self->send_frame( $sent{bytes} // pack( 'N l> q>', @sent{qw(version timeout id)} ) . $passwd . $last );
    return \%asked;
}

# Answers pings and auth, says goodbye to a close, notes every other request and answers it with an error code. What it
# notes is the name and the path, or with whole => 1 the name and all bytes.
sub serve {
    my ( $self, $code, %arg ) = @_;
    while ( defined( my $frame = $self->frame ) ) {
        my ( $xid, $op, $rest ) = unpack 'l> l> a*', $frame;
        my $name = $NAME{$op} // $op;
        my @said = $arg{whole} ? unpack 'H*', $rest : $op < 14 && $op > 0 ? unpack 'N/a*', $rest : ();
        $self->note( $name, @said ) if $op != 11;
        $self->send_frame( pack 'l> q> l>', $xid, 1, $op == 11 || $op == 100 || $op == -11 ? 0 : $code );
        last if $op == -11;
    }
    return;
}

1;

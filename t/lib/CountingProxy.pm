package CountingProxy;
use strict;
use warnings;

use File::Temp ();
use IO::Select;
use IO::Socket::INET;
use POSIX ();

# A process between client and server that passes everything on and writes down who sent what, and how each
# connection ended: what a test has to see that says "not a byte".
sub new {
    my ( $class, $to ) = @_;
    my $listen = IO::Socket::INET->new( LocalAddr => '127.0.0.1', Listen => 64, ReuseAddr => 1 )
      or die "no port of 127.0.0.1 can be had: $!\n";
    my $log = File::Temp->new;
    my $pid = fork // die "fork: $!\n";
    if ( !$pid ) {
        $SIG{PIPE} = 'IGNORE';
        alarm 600;    # in case nobody is left to end it
        eval { _relay( $listen, $to, $log ); 1 } or warn "CountingProxy: $@";
        POSIX::_exit(1);
    }
    return bless { hosts => '127.0.0.1:' . $listen->sockport, pid => $pid, owner => $$, log => $log }, $class;
}

sub hosts { return $_[0]{hosts} }

# The connections so far, in the order in which they came, as hash refs: sent (bytes of the client), received, and
# ended: undef while it is open, else "client", "client's reset" or "server".
sub connections {
    my ($self) = @_;
    open my $log, '<', $self->{log}->filename or die "the log: $!\n";
    my @connections;
    while ( my $line = <$log> ) {
        last if $line !~ /\n\z/;    # just being written
        my ( $number, $what, $bytes ) = split ' ', $line;
        my $connection = $connections[ $number - 1 ] //= { sent => '', received => '', ended => undef };
        if    ( $what eq 'ended' ) { $connection->{ended} //= $bytes =~ tr/_/ /r }
        elsif ( $what ne 'open' )  { $connection->{$what} .= pack 'H*', $bytes }
    }
    return @connections;
}

# What was sent on a connection after the handshake, one string for each request: its operation's number, its path if
# it begins with one, "ping" and "close" for those.
sub requests {
    my ( $self, $number ) = @_;
    my ( undef, @frames ) = unpack '(N/a*)*', ( $self->connections )[ $number - 1 ]{sent};
    return map { _request($_) } @frames;
}

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{owner};
    local ( $?, $! );
    kill KILL => $self->{pid};
    waitpid $self->{pid}, 0;
    return;
}

sub _request {
    my ($frame) = @_;
    my ( $xid, $op, $rest ) = unpack 'l> l> a*', $frame;
    return 'ping'  if $op == 11;
    return 'close' if $op == -11;
    my $path = length $rest > 4 ? unpack 'N/a*', $rest : '';
    return $path =~ m{\A/} ? "$op $path" : $op;
}

sub _relay {
    my ( $listen, $to, $log ) = @_;
    my $select = IO::Select->new($listen);
    my ( %at, $count );
    while (1) {
        for my $socket ( $select->can_read ) {
            if ( $socket == $listen ) {
                my $client = $listen->accept                          or next;
                my $server = IO::Socket::INET->new( PeerAddr => $to ) or next;
                my %side   = ( number => ++$count, client => $client, server => $server );
                @at{ $client, $server } = ( { %side, mine => 'sent' }, { %side, mine => 'received' } );
                $select->add( $client, $server );
                _note( $log, $count, 'open' );
                next;
            }
            my $at  = $at{$socket} or next;
            my $got = sysread $socket, my $bytes, 65_536;
            if ($got) {
                _note( $log, $at->{number}, $at->{mine}, unpack 'H*', $bytes );
                syswrite $at->{mine} eq 'sent' ? $at->{server} : $at->{client}, $bytes;
                next;
            }
            my $who = $at->{mine} eq 'received' ? 'server' : defined $got ? 'client' : q(client's_reset);
            _note( $log, $at->{number}, 'ended', $who );
            delete @at{ @{$at}{qw(client server)} };
            $select->remove( @{$at}{qw(client server)} );
            close $_ for @{$at}{qw(client server)};
        }
    }
    return;
}

sub _note {
    my ( $log, @words ) = @_;
    syswrite $log, "@words\n";
    return;
}

1;

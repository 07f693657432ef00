package ZooKeeper::Test::Server::Clients;
use strict;
use warnings;

use Carp        qw(croak);
use Time::HiRes ();
use ZooKeeper::Test::Server::Wire;

our $VERSION  = '0.2.0';
our @CARP_NOT = ('ZooKeeper::Test::Server');

# Milliseconds: of sessions that only serve a question.
my $TIMEOUT_MS = 10_000;

# Seconds between two looks at a condition that nothing announces.
my $POLL_EVERY = 0.02;

# Seconds that a server may take to answer, and to let go of a connection: on a busy machine it may stand still for a while.
my $PATIENCE = 15;

my $chroots = 0;

sub lose_connection {
    my ( $server, $zk ) = @_;
    my $id      = _client_id($zk);
    my $at      = _holder( $server, $id ) // croak 'no server has a connection of this session';
    my $timeout = ref $zk && eval { $zk->session_timeout } || $TIMEOUT_MS;
    delete $server->{taken}{ $id->{client_id} };    # if it is still there, it is none of the client's
    my @ports   = _client_ports( $server, $id, $at );
    my $session = ZooKeeper::Test::Server::Wire::resume( $server->port($at), $id, $timeout )
      // croak "server $at did not take the session over";
    croak 'the session has expired' if defined $session->{timeout} && !$session->{timeout};

# The server closes it when the client comes back. Closing it here could be noticed just after that, and would
# have the server forget which connection is the session's.
    $server->{taken}{ $id->{client_id} } = $session->{socket};

# It also forgets when a client comes back faster than it deals with this: there are two connections then, and
# the older one stays. A client in this process can lose it all the same.
    my $deadline = Time::HiRes::time() + $PATIENCE;
    while ( my @left = _common( \@ports, [ _client_ports( $server, $id, $at ) ] ) ) {
        ZooKeeper::Test::Server::Wire::cut( $_, $server->port($at) ) for @left;
        croak "server $at does not let go of the connection" if Time::HiRes::time() > $deadline;
        Time::HiRes::sleep($POLL_EVERY);
    }
    return 1;
}

sub expire_session {
    my ( $server, $zk, $seconds ) = @_;
    my $id       = _client_id($zk);
    my $deadline = Time::HiRes::time() + ( $seconds // $PATIENCE );

    # The client may come back before its session is closed, and take the
    # connection over from the one used here: only the server's word counts.
    while ( Time::HiRes::time() < $deadline ) {
        my $at      = _holder( $server, $id ) // ( $server->answering )[0];
        my $session = defined $at
          && ZooKeeper::Test::Server::Wire::resume( $server->port($at), $id, $TIMEOUT_MS, 'close' );
        return 1                        if $session && defined $session->{timeout} && !$session->{timeout};
        Time::HiRes::sleep($POLL_EVERY) if !$session || $session->{dropped};
    }
    croak 'the session could not be closed in time';
}

sub fresh_chroot {
    my ( $server, $name ) = @_;
    $name //= 'chroot';
    croak "fresh_chroot: a name is made of letters, digits, '_', '.' and '-', not '$name'"
      if $name !~ /\A[\w.-]+\z/a;
    my $path = join '-', '/test', $name, $$, int( 1000 * Time::HiRes::time() ), ++$chroots;

# Each server has to know it by now. An answer to a write, be it that the node is there already, comes behind all
# writes before it.
    my @servers = $server->answering or croak 'fresh_chroot: no server answers';
    for my $i (@servers) {
        my $problem = ZooKeeper::Test::Server::Wire::make_node( $server->port($i), $path );
        croak "fresh_chroot: server $i $problem" if defined $problem;
    }
    return $server->hosts . $path;
}

# The server to which this session is connected.
sub _holder {
    my ( $server, $id ) = @_;
    my ($at) = grep { _client_ports( $server, $id, $_ ) } $server->answering;
    return $at;
}

# The client's ports of this session's connections to a server. `cons` has a line for each connection of the server,
# with the session id in hexadecimal.
sub _client_ports {
    my ( $server, $id, $i ) = @_;
    my $sid = sprintf 'sid=0x%x', $id->{client_id};
    return map { /\b$sid,/ && m{/[\d.]+:(\d+)\[} ? $1 : () } split /\n/,
      $server->four_letter( $i, 'cons', $PATIENCE ) // '';
}

sub _common {
    my ( $one, $other ) = @_;
    my %in = map { $_ => 1 } @$other;
    return grep { $in{$_} } @$one;
}

sub _client_id {
    my ($zk) = @_;
    my $id = ref $zk eq 'HASH' ? $zk : $zk->client_id;
    return $id if ref $id eq 'HASH' && defined $id->{client_id} && defined $id->{passwd};
    croak 'the handle has no session yet';
}

1;

__END__

=head1 NAME

ZooKeeper::Test::Server::Clients - what a test server does to its clients, and for them

=head1 DESCRIPTION

Internal to L<ZooKeeper::Test::Server>, whose C<lose_connection>, C<expire_session> and C<fresh_chroot> are here.

=cut

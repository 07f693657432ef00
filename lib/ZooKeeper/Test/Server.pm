package ZooKeeper::Test::Server;
use strict;
use warnings;

use Carp        qw(croak);
use File::Path  ();
use File::Temp  ();
use Time::HiRes ();
use ZooKeeper::Test::Server::Clients;
use ZooKeeper::Test::Server::Config;
use ZooKeeper::Test::Server::Jars;
use ZooKeeper::Test::Server::Process;
use ZooKeeper::Test::Server::Wire;

our $VERSION = '0.2.0';

# Seconds: a server that needs more than this to start does not start.
my $START_WITHIN = 40;

# Seconds between two looks at a condition that nothing announces.
my $POLL_EVERY = 0.02;

my $PORT_TRIES = 5;

sub unavailable {
    my ( $class, %args ) = @_;
    return ZooKeeper::Test::Server::Jars::unavailable( $args{jars} );
}

sub new {
    my ( $class, %args ) = @_;
    my $self = bless {
        owner     => $$,
        servers   => 1,
        spares    => 0,
        tick_time => 500,
        config    => {},
        java_opts => [],
        process   => [],
    }, $class;
    for my $name (qw(servers spares read_only tick_time config java_opts jars tls _between)) {
        my $value = delete $args{$name};
        $self->{$name} = $value if defined $value;
    }
    croak 'unknown argument: ' . join ', ', sort keys %args if %args;
    ZooKeeper::Test::Server::Config::check($self);
    croak "servers must be 1 or more, not '$self->{servers}'" if $self->{servers} !~ /\A[1-9]\d*\z/;
    croak "spares must be fewer than servers, not '$self->{spares}'"
      if $self->{spares} !~ /\A\d+\z/ || $self->{spares} >= $self->{servers};
    my ($ours) = grep { /\A(?:clientPort(?:Address)?|dataDir|server\.\d+)\z/ } sort keys %{ $self->{config} };
    croak "config: $ours is chosen here" if defined $ours;
    my $reason = $class->unavailable( jars => $self->{jars} );
    croak $reason if $reason;

    # Somebody else may take a port between the choice and the server's bind.
    for my $try ( 1 .. $PORT_TRIES ) {
        $self->_set_up;
        return $self if eval { $self->_start_all; 1 };
        my $error = $@;
        my $clash = $self->_has_port_clash;
        $self->_clear_away;
        die $error if !$clash || $try == $PORT_TRIES;
    }
    return;
}

sub count { return $_[0]{servers} }

sub port {
    my ( $self, $i ) = @_;
    return $self->{ports}[ $self->_index( $i // 0 ) ]{client};
}

sub hosts {
    my ( $self, $i ) = @_;
    return join ',', map { '127.0.0.1:' . $self->port($_) } defined $i ? $i : $self->_all;
}

sub secure_port {
    my ( $self, $i ) = @_;
    return $self->{ports}[ $self->_index( $i // 0 ) ]{secure};
}

sub secure_hosts {
    my ( $self, $i ) = @_;
    croak 'secure_hosts: the servers have no TLS' if !$self->{tls};
    return join ',', map { '127.0.0.1:' . $self->secure_port($_) } defined $i ? $i : $self->_all;
}

sub member {
    my ( $self, $i, $role ) = @_;
    return ZooKeeper::Test::Server::Config::member( $self, $self->_index($i), $role );
}

sub server_of {
    my ( $self, $who ) = @_;
    my $address = ref $who ? $who->server : $who;
    my ($port)  = ( $address // '' ) =~ /:(\d+)\z/ or return;
    my ($i)     = grep { $self->port($_) == $port || ( $self->secure_port($_) // 0 ) == $port } $self->_all;
    return $i;
}

sub pid {
    my ( $self, $i ) = @_;
    my $process = $self->{process}[ $self->_index( $i // 0 ) ];
    return $process && $process->is_alive ? $process->pid : undef;
}

sub is_running {
    my ( $self, $i ) = @_;
    return defined $self->pid($i);
}

sub start {
    my ( $self, $i ) = @_;
    return $self->new( @_[ 1 .. $#_ ] ) if !ref $self;
    $self->_mine('start');
    $self->_start_all( $self->_which($i) );
    return $self;
}

sub stop {
    my ( $self, $i ) = @_;
    return $self->_each( stop => $i, 5 );
}

sub restart {
    my ( $self, $i ) = @_;
    $self->stop($i);
    return $self->start($i);
}

sub kill {
    my ( $self, $i ) = @_;
    return $self->_each( kill => $i );
}

sub pause {
    my ( $self, $i ) = @_;
    return $self->_each( pause => $i );
}

sub resume {
    my ( $self, $i ) = @_;
    return $self->_each( resume => $i );
}

sub four_letter {
    my ( $self, $i, $word, $seconds ) = @_;
    return ZooKeeper::Test::Server::Wire::four_letter( $self->port($i), $word, $seconds // 2 );
}

sub mode {
    my ( $self, $i ) = @_;
    my ($mode) = ( $self->four_letter( $i, 'srvr' ) // '' ) =~ /^Mode: (\S+)/m;
    return $mode;
}

sub leader {
    my ($self) = @_;
    my ($i)    = grep { ( $self->mode($_) // '' ) =~ /\A(?:leader|standalone)\z/ } $self->answering;
    return $i;
}

sub version {
    my ($self) = @_;
    for my $i ( $self->answering ) {
        last if $self->{version};
        my $text = $self->four_letter( $i, 'srvr' ) // '';
        ( $self->{version} ) = $text =~ /^Zookeeper version: (\d+\.\d+\.\d+)/m;
    }
    return $self->{version};
}

sub wait_ready {
    my ( $self, $i, $seconds ) = @_;
    $self->_mine('wait_ready');
    my @which    = $self->_which($i);
    my $within   = $seconds // $START_WITHIN;
    my $deadline = Time::HiRes::time() + $within;
    for my $n (@which) {
        until ( $self->_is_ready($n) ) {
            my $problem =
                !$self->is_running($n)          ? 'has ended'
              : Time::HiRes::time() > $deadline ? "is not ready after $within s"
              : $self->_has_port_clash($n)      ? 'found its port in use'
              :                                   undef;
            croak "server $n $problem. The end of its log:\n" . $self->log($n) if $problem;
            _pause_briefly();
        }
    }
    return 1;
}

sub log {
    my ( $self, $i, $lines ) = @_;
    open my $file, '<', $self->_log_file( $self->_index( $i // 0 ) ) or return '';
    my @lines = <$file>;
    $lines //= 40;
    splice @lines, 0, @lines - $lines if @lines > $lines;
    return join '', @lines;
}

sub lose_connection { return ZooKeeper::Test::Server::Clients::lose_connection(@_) }

sub expire_session { return ZooKeeper::Test::Server::Clients::expire_session(@_) }

sub fresh_chroot { return ZooKeeper::Test::Server::Clients::fresh_chroot(@_) }

# Those that can be asked something.
sub answering {
    my ($self) = @_;
    return grep { $self->is_running($_) && !$self->{process}[$_]->is_paused } $self->_all;
}

sub DESTROY {
    my ($self) = @_;
    return if $self->{owner} != $$;
    local ( $?, $!, $@ );

    # At the end of the program the keepers notice and tidy up after it, so
    # that handles which are destroyed later still find their server.
    return if ( ${^GLOBAL_PHASE} // '' ) eq 'DESTRUCT' && grep { $_ } @{ $self->{process} };
    $self->_clear_away;
    return;
}

sub CLONE_SKIP { return 1 }

sub _all { return 0 .. $_[0]{servers} - 1 }

sub _which {
    my ( $self, $i ) = @_;
    return defined $i ? $self->_index($i) : $self->_all;
}

sub _index {
    my ( $self, $i ) = @_;
    return $i if $i =~ /\A\d+\z/ && $i < $self->{servers};
    croak "there is no server '$i' among $self->{servers} (the first is 0)";
}

# A forked child may read, but the servers are its parent's.
sub _mine {
    my ( $self, $method ) = @_;
    croak "$method: only the process that started the servers can do that" if $self->{owner} != $$;
    return;
}

sub _each {
    my ( $self, $method, $i, @args ) = @_;
    $self->_mine($method);
    for my $n ( $self->_which($i) ) {
        $self->{process}[$n]->$method(@args) if $self->is_running($n);
    }
    return $self;
}

sub _start_all {
    my ( $self, @which ) = @_;
    @which = $self->_all if !@which;
    for my $n ( grep { !$self->is_running($_) } @which ) {
        my $home = "$self->{root}/$n";
        $self->{process}[$n] = ZooKeeper::Test::Server::Process->launch(
            root    => $self->{root},
            log     => $self->_log_file($n),
            command => ZooKeeper::Test::Server::Jars::command(
                $self->{jars},                                               $home,
                ZooKeeper::Test::Server::Config::properties( $home, $self ), $self->{java_opts}
            ),
        );
    }
    $self->wait_ready($_) for @which;
    return;
}

# Without a majority a member only listens. A read-only one serves reads.
sub _is_ready {
    my ( $self, $n ) = @_;
    my $answer = $self->four_letter( $n, 'srvr', 1 ) // '';
    my $secure = $self->secure_port($n);                      # which is bound after the other one
    return 0 if defined $secure && !ZooKeeper::Test::Server::Wire::listens( $secure, 1 );
    return 1 if $answer =~ /^Mode:/m;
    my $majority = 2 * $self->answering > $self->{servers};
    return !$majority && $answer =~ /not currently serving/;
}

sub _has_port_clash {
    my ( $self, @which ) = @_;
    return
      scalar grep { $self->log( $_, 200 ) =~ /BindException|Address already in use/ }
      @which ? @which : $self->_all;
}

sub _log_file {
    my ( $self, $n ) = @_;
    return "$self->{root}/$n/server.log";
}

sub _set_up {
    my ($self) = @_;
    $self->{root} = File::Temp::tempdir( 'zookeeper-test-XXXXXXXX', TMPDIR => 1 );
    my @ports = ZooKeeper::Test::Server::Wire::free_ports( 4 * $self->{servers} );
    $self->{ports} =
      [ map { { client => shift @ports, quorum => shift @ports, election => shift @ports } } $self->_all ];
    if ( $self->{tls} ) {
        $_->{secure} = shift @ports for @{ $self->{ports} };
    }
    ZooKeeper::Test::Server::Config::write_home( "$self->{root}/$_", $_, $self ) for $self->_all;
    return;
}

sub _clear_away {
    my ($self) = @_;
    my @processes = grep { $_ } @{ $self->{process} };
    $self->{process} = [];
    $_->release for @processes;
    File::Path::remove_tree( $self->{root}, { error => \my $ignored } ) if defined $self->{root};
    return;
}

sub _pause_briefly { return Time::HiRes::sleep($POLL_EVERY) }

1;

__END__

=head1 NAME

ZooKeeper::Test::Server - real ZooKeeper servers for tests and demos

=head1 SYNOPSIS

    use Test::More;
    use ZooKeeper;
    use ZooKeeper::Test::Server;

    my $reason = ZooKeeper::Test::Server->unavailable;
    plan skip_all => $reason if $reason;

    my $server = ZooKeeper::Test::Server->new(servers => 3);
    my $zk     = ZooKeeper->new(hosts => $server->hosts, timeout => 4_000);
    $zk->create('/x', value => 'here');

    $server->kill($server->server_of($zk));    # the session moves to another server
    my $data = eval { $zk->get('/x') } // $zk->get('/x');    # the first call may find the loss
    is $data, 'here', 'the node outlives its server';

    done_testing;

=head1 DESCRIPTION

Starts one real ZooKeeper server, or an ensemble, on free ports of 127.0.0.1,
with temporary directories, and ends it when the object goes. Servers can be
stopped, killed, paused and started again, one by one. Perl core modules only;
Linux only. What it needs beside Perl is a Java run time and ZooKeeper's jars.

=head2 Where the jars come from

=over

=item 1.

the argument C<jars>: a directory with all the jars of one version;

=item 2.

the environment variable C<ZOOKEEPER_TEST_JARS>, also a directory;

=item 3.

those of Debian's package C<zookeeper> in F</usr/share/java>.

=back

Java is C<$JAVA_HOME/bin/java>, else C<java> in the C<PATH>.

=head2 Nothing stays behind

A server ends, and its files go, when the object is destroyed, and also when
the program ends in any way whatever, kill -9 included: every server has a
keeper, a small separate process that waits for the program's end (see
L<ZooKeeper::Test::Server::Keeper>). At a normal exit that is a moment after
the exit. Only when every server of the object was stopped before a kill -9, its
temporary directory stays.

The keepers and servers are not children of the program: C<wait>, C<$SIG{CHLD}>
and Ctrl-C do not meet them. In a forked child, or another thread, the object can
be asked for C<hosts> and the like, but controls nothing and ends nothing.

=head1 CLASS METHODS

=head2 unavailable

    my $reason = ZooKeeper::Test::Server->unavailable;

undef when servers can be started; otherwise a sentence that says what is
missing and what to do about it. Takes C<jars> as C<new> does.

=head2 new, start

    my $server = ZooKeeper::Test::Server->new(servers => 3, tick_time => 200);

Starts the servers and returns when all of them serve; dies with the end of a
server's log when one does not. The arguments:

=over

=item servers

How many, 1 by default. More than one make an ensemble.

=item spares

How many of the servers, the last ones, are started but are no members of the
ensemble: 0 by default. They follow it, and serve clients, but have no vote and
are not in its configuration until C<reconfig> takes them in; see C<member>.

=item read_only

True: a server that is cut off from the majority serves read-only clients.

=item tick_time

ZooKeeper's tick in milliseconds, 500 by default. It is also the
shortest session timeout that the servers grant, and the grain with which
sessions expire. The longest is 600 s.

=item config

A hash ref of further lines for F<zoo.cfg>; they replace the ones of the same
name, and undef takes a line away. Ports, addresses and directories are chosen here:
C<clientPort>, C<clientPortAddress>, C<dataDir> and C<server.N> are refused.

=item java_opts

An array ref of further options for C<java>, for example
C<< ['-Djute.maxbuffer=10485760'] >>.

=item tls

A hash ref: the servers have a second port, for TLS (C<secure_hosts>). In it: C<key_store> and C<trust_store>,
PKCS12 files with the server's certificate and key, and with the authorities of clients' certificates; C<password>,
of both; C<client_auth>, C<need> (as servers have it by default), C<want> or C<none>; C<protocols>, such as
C<TLSv1.2,TLSv1.3> (1.3 with servers of 3.8 takes C<< config => {'ssl.ciphersuites' => 'TLS_AES_128_GCM_SHA256'} >>).

=item jars

A directory with ZooKeeper's jars; see above.

=back

All four letter words are allowed, as are TTL nodes and C<reconfig> (which
needs an identity that may write F</zookeeper/config>). The admin server is off.

=head1 METHODS

Servers are counted from 0. A method with an optional C<$i> means all servers
without it.

=head2 hosts($i), port($i), count

The connect string (C<127.0.0.1:PORT,...>), a client port (of server 0 without
C<$i>), the number of servers.

=head2 secure_hosts($i), secure_port($i)

The same for the ports that TLS is spoken on.

=head2 member($i, $role)

A server in the form in which a configuration names it, for C<reconfig>'s
C<joining> and C<members>: C<server.N=...>, where N is C<$i> + 1. The role is
C<participant> (or C<observer>).

    $zk->reconfig(joining => $server->member(3));

=head2 server_of($zk)

The index of the server to which C<$zk> is connected, or of a string
C<HOST:PORT>; undef when it is none of these.

=head2 pid($i), is_running($i)

The process id of a running server (0 without C<$i>), else undef.

=head2 start($i), stop($i), restart($i)

C<stop> ends a server in good order (SIGTERM, after 5 seconds SIGKILL). C<start>
starts it again on the same ports and data, and returns when it serves, or, where
the running servers are no majority, when it listens. Both do nothing to a server
that is there already, or gone.

=head2 kill($i), pause($i), resume($i)

SIGKILL, SIGSTOP, SIGCONT. When they return it has happened: a killed server is
gone, a paused one stands still.

=head2 wait_ready($i, $seconds)

Waits until the server serves; dies with the end of its log when it ends, or does
not serve within C<$seconds> (40).

=head2 four_letter($i, $word, $seconds)

The answer to a four letter word, undef when there is none within C<$seconds> (2).

=head2 mode($i), leader, version

The server's mode by C<srvr> (C<leader>, C<follower>, C<standalone>,
C<read-only>; undef while it does not serve); the index of the leader (or of the
only server); ZooKeeper's version, for example C<3.8.0>.

=head2 log($i, $lines)

The last lines (40) of a server's log.

=head2 lose_connection($zk)

Makes the server close the connection of C<$zk>. Its session lives on and the
client connects again. C<$zk> is a handle, or what its C<client_id> returned.

Not for connections by TLS, which servers do not list. One may lose track of a client in
another process that connects again within a millisecond; then this dies after 5 seconds.

=head2 expire_session($zk, $seconds)

Ends the session of C<$zk> behind its back, as if it had expired: its ephemeral
nodes are gone when this returns, and the client finds the session expired when
it connects again. Dies if that can't be done within C<$seconds> (15).

=head2 fresh_chroot($name)

A connect string of all servers with a chroot that is there, empty, and nobody else's: each call makes another one, so
that each test has a tree of its own on one server. C<$name>, of letters, digits, C<_>, C<.> and C<->, becomes a part
of its path.

    my $zk = ZooKeeper->new(hosts => $server->fresh_chroot('queue'));

Dies when the servers can't write.

=head2 answering

The indices of the servers that run and are not paused.

=head1 SEE ALSO

L<ZooKeeper>

=cut

use strict;
use warnings;

use Test::More;
use File::Temp;
use IO::Socket::INET;
use lib 't/lib';
use TestZK;
use ZooKeeper::Test::Server;

my $class = 'ZooKeeper::Test::Server';

subtest 'what is missing is told, with what to do about it' => sub {
    my $empty = File::Temp->newdir;
    like $class->unavailable( jars => "$empty" ), qr/the argument jars is '\Q$empty\E'/, 'no jars there';
    local $ENV{ZOOKEEPER_TEST_JARS} = '/does/not/exist';
    like $class->unavailable, qr{ZOOKEEPER_TEST_JARS is '/does/not/exist'.*names a directory},
      'no such directory';
    ok !eval { $class->new; 1 }, 'new throws';
    like $@, qr{ZOOKEEPER_TEST_JARS is '/does/not/exist'}, '... the same sentence';

    open my $jar, '>', "$empty/zookeeper-3.9.9.jar" or die $!;
    local $ENV{JAVA_HOME} = '/does/not/exist';
    local $ENV{PATH}      = "$empty";
    like $class->unavailable( jars => "$empty" ), qr/there is no java: install .*default-jre-headless/,
      'no java';
};

subtest 'arguments that make no sense are refused' => sub {
    for my $case ( [ servers => 0 ], [ servers => 'many' ], [ server => 3 ], [ spares => 1 ] ) {
        ok !eval { $class->new(@$case); 1 }, "new(@$case) throws";
        like $@, qr/servers must be 1 or more|unknown argument: server|spares must be fewer than servers/,
          '... and says why';
    }
    ok !eval { ZooKeeper::Test::Server->new( config => { clientPort => 2181 } ); 1 }, 'a port of one\'s own';
    like $@, qr/\Aconfig: clientPort is chosen here at \Q${\ __FILE__}\E/, 'is refused at once';
};

my $server = test_server( config => { tickTime => 250, globalOutstandingLimit => 777 } );

subtest 'one server' => sub {
    like $server->hosts, qr/\A127\.0\.0\.1:\d+\z/, 'hosts';
    is $server->hosts(0), $server->hosts,               'hosts(0)';
    is $server->hosts,    '127.0.0.1:' . $server->port, 'port';
    is $server->count,    1,                            'count';
    like $server->version, qr/\A3\.\d+\.\d+\z/, 'version';
    if ( my $dir = $ENV{ZOOKEEPER_TEST_JARS} ) {
        my ($jar) = glob "$dir/zookeeper-[0-9]*.jar";
        like $jar, qr/zookeeper-\Q${\ $server->version }\E\.jar\z/, 'it is the version of the jars asked for';
    }
    is $server->mode(0),                  'standalone', 'mode';
    is $server->leader,                   0,            'the only server leads';
    is $server->four_letter( 0, 'ruok' ), 'imok',       'four_letter';
    like $server->four_letter( 0, 'conf' ), qr/^tickTime=250$/m, 'config lines reach the server';
    is $server->server_of( $server->hosts ), 0,     'server_of its address';
    is $server->server_of('127.0.0.1:1'),    undef, 'server_of another address';
    ok kill( 0, $server->pid ),       'pid is a process';
    ok !eval { $server->port(1); 1 }, 'there is no server 1';
    like $@,           qr/there is no server '1' among 1/, '... and it says so';
    like $server->log, qr/\S/,                             'log';
};

subtest 'stop, start, restart and kill of one server' => sub {
    my ( $pid, $port ) = ( $server->pid, $server->port );
    $server->stop;
    ok !kill( 0, $pid ), 'stopped: the process is gone';
    is $server->pid, undef, 'no pid';
    ok !$server->is_running(0), 'not running';
    is $server->four_letter( 0, 'ruok' ), undef, 'no answer';
    $server->stop;
    pass 'a second stop does nothing';

    $server->start;
    isnt $server->pid,   $pid,         'started: another process';
    is $server->port,    $port,        '... on the same port';
    is $server->mode(0), 'standalone', '... that serves';
    $pid = $server->pid;
    $server->start;
    is $server->pid, $pid, 'a second start does nothing';

    $server->restart;
    isnt $server->pid, $pid, 'restarted: another process';
    $pid = $server->pid;
    $server->kill;
    ok !kill( 0, $pid ), 'killed: gone at once';
    ok free($port),      '... and its port is free';
    $server->start(0);
    is $server->four_letter( 0, 'ruok' ), 'imok', 'started after the kill';
};

subtest 'pause and resume' => sub {
    $server->pause;
    like state( $server->pid ), qr/\AT/, 'the process stands still';
    is $server->four_letter( 0, 'ruok', 0.3 ), undef, 'no answer';
    $server->pause;
    $server->resume;
    unlike state( $server->pid ), qr/\AT/, 'it goes on';
    is $server->four_letter( 0, 'ruok' ), 'imok', 'it answers';
    $server->pause;
    my $pid = $server->pid;
    $server->stop;
    ok !kill( 0, $pid ), 'a paused server can be stopped';
    $server->start;
    $server->pause;
    $server->kill;
    is $server->pid, undef, '... and killed';
    $server->start;
};

subtest 'lose_connection and expire_session' => sub {
    my ( $socket, $id ) = session( $server->port );
    $server->lose_connection($id);
    ok ended($socket), 'the connection is closed';
    my ( $again, $same ) = session( $server->port, $id );
    is $same->{client_id}, $id->{client_id}, 'the session lives on';

    $server->expire_session($id);
    ok ended($again), 'the connection is closed';
    my ( undef, $none ) = session( $server->port, $id );
    is $none->{client_id}, 0, 'the session is gone';
    ok !eval { $server->lose_connection($id); 1 }, 'no connection to lose any more';
    like $@, qr/no server has a connection of this session/, '... and it says so';
};

subtest 'a server that does not start shows its log' => sub {
    ok !eval { $class->new( java_opts => ['-XX:+NoSuchOption'] ); 1 }, 'new throws';
    like $@, qr/server 0 has ended\. The end of its log:\n.*NoSuchOption/s, '... with what the server said';
    like $@, qr/ at \Q${\ __FILE__}\E line/,                                '... and where';
};

subtest 'a port that somebody else took is chosen anew' => sub {
    my $busy   = IO::Socket::INET->new( Listen => 1, LocalAddr => '127.0.0.1' ) or die $!;
    my $choose = \&ZooKeeper::Test::Server::Wire::free_ports;
    my $asked  = 0;
    no warnings 'redefine';
    local *ZooKeeper::Test::Server::Wire::free_ports =
      sub { $asked++ ? $choose->(@_) : ( $busy->sockport, ( ( $choose->(@_) )[ 1, 2 ] ) ) };
    my $other = $class->new;
    is $asked,                           2,               'chosen twice';
    isnt $other->port,                   $busy->sockport, 'the server is on another port';
    is $other->four_letter( 0, 'ruok' ), 'imok',          'and serves';
};

subtest 'an ensemble of three' => sub {
    my $ensemble = $class->start( servers => 3, read_only => 1, tick_time => 200 );
    is scalar( split /,/, $ensemble->hosts ), 3, 'three addresses';

    # Who stands still for a second is dropped, and is silent meanwhile: there is another election then.
    soon_ok {
        my @modes = sort map { $ensemble->mode($_) // 'none' } 0 .. 2;
        "@modes" eq 'follower follower leader'
    }
    60, 'one leads';
    my $leader  = wait_for { my $l = $ensemble->leader; defined $l && [$l] } 60, 'the leader';
    my ($first) = @$leader;
    $ensemble->kill($first);
    my $next = wait_for { my $l = $ensemble->leader; defined $l && [$l] } 60, 'a new leader';
    isnt $next->[0], $first, 'another one leads when it is killed';
    $ensemble->start($first);
    soon_ok { ( $ensemble->mode($first) // '' ) eq 'follower' } 60, 'it comes back as a follower';

    my ( $socket, $id ) = session( $ensemble->port($first) );
    $ensemble->lose_connection($id);
    ok ended($socket), 'a connection to any of them can be lost';
    ( undef, my $same ) = session( $ensemble->port( $next->[0] ), $id );
    is $same->{client_id}, $id->{client_id}, '... the session goes on at another one';
    $ensemble->expire_session($id);
    ( undef, my $none ) = session( $ensemble->port($first), $id );
    is $none->{client_id}, 0, '... and can be expired';

    $ensemble->stop($_) for 0, 1;
    soon_ok { ( $ensemble->mode(2) // '' ) eq 'read-only' } 60, 'the last one is read-only';
    $ensemble->start(0);
    $ensemble->wait_ready(2);
    soon_ok { defined $ensemble->leader } 60, 'two of three have a leader again';
    $ensemble->stop;
    is join( ',', map { $ensemble->pid($_) // 'none' } 0 .. 2 ), 'none,none,none', 'stop means all';
    $ensemble->start;
    soon_ok { defined $ensemble->leader } 60, 'start means all';
};

subtest 'a member without its majority listens' => sub {
    my $ensemble = $class->new( servers => 3 );
    $ensemble->stop;
    deadline 30, sub { $ensemble->start(1) };
    ok $ensemble->is_running(1), 'start returned';
    like $ensemble->four_letter( 1, 'srvr' ), qr/not currently serving/, 'it serves nobody';
};

done_testing;

sub free {
    my ($port) = @_;
    return IO::Socket::INET->new( Listen => 1, LocalAddr => "127.0.0.1:$port", ReuseAddr => 1 );
}

sub state {
    my ($pid) = @_;
    open my $file, '<', "/proc/$pid/stat" or return 'gone';
    return ( <$file> =~ /.*\) (\S)/ )[0];
}

# A session by hand: its socket and what a client's client_id would give.
sub session {
    my ( $port, $id ) = @_;
    my $socket = IO::Socket::INET->new( PeerAddr => "127.0.0.1:$port", Timeout => 60 ) or die "connect: $!";
    $id //= { client_id => 0, passwd => "\0" x 16 };
    $socket->syswrite( pack 'N/a*', pack 'N q> N q> N/a* C', 0, 0, 60_000, @{$id}{qw(client_id passwd)}, 0 );
    my $answer = '';
    deadline 60, sub {
        while ( length $answer < 41 ) { $socket->sysread( $answer, 100, length $answer ) or die 'closed' }
    };
    my ( undef, undef, undef, $client_id, $passwd ) = unpack 'N N N q> N/a*', $answer;
    return $socket, { client_id => $client_id, passwd => $passwd };
}

sub ended {
    my ($socket) = @_;
    return deadline 60, sub {
        1 while $socket->sysread( my $rest, 100 );
        return 1;
    };
}

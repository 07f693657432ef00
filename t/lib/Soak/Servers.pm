package Soak::Servers;
use strict;
use warnings;

use IO::Handle;
use List::Util  qw(max);
use POSIX       ();
use Socket      qw(AF_UNIX PF_UNSPEC SOCK_STREAM);
use Time::HiRes qw(sleep time);
use ZooKeeper::Test::Server;

# The servers of a soak run, in a process of their own: that whose descriptors and memory are watched has nothing but the
# client. It is asked one thing at a time, and the asker goes on meanwhile:
#
#     my $servers = Soak::Servers->new( servers => 3 );
#     $servers->ask( restart => 1 );
#     ...
#     my $answer = $servers->answer;    # undef as long as there is none
#
# An answer is [ $is_ok, @words ].

my %DO = (
    facts    => sub { return $_[0]->hosts, $_[0]->version },
    restart  => sub { $_[0]->restart( $_[1] ); return },
    kill     => sub { $_[0]->kill( $_[1] );    sleep 0.5; $_[0]->start( $_[1] );  return },
    pause    => sub { $_[0]->pause( $_[1] );   sleep 0.4; $_[0]->resume( $_[1] ); return },
    lose     => sub { $_[0]->lose_connection( _session( @_[ 1, 2 ] ) ); return },
    expire   => sub { $_[0]->expire_session( _session( @_[ 1, 2 ] ) );  return },
    sessions => \&_sessions,
    failures => sub {
        my ($servers) = @_;
        return scalar grep { /Failed to process/ } map { split /\n/, $servers->log( $_, 1e9 ) } 0 .. 2;
    },
);

sub new {
    my ( $class, %server ) = @_;
    socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die "socketpair: $!\n";
    my $pid = fork // die "fork: $!\n";
    if ( !$pid ) {
        close $ours;
        eval { _serve( $theirs, %server ); 1 } or print {*STDERR} "the servers' process: $@";
        POSIX::_exit(0);
    }
    close $theirs;
    $ours->autoflush(1);
    my $self  = bless { socket => $ours, pid => $pid, owner => $$, buffer => '' }, $class;
    my $facts = $self->asked('facts');
    @{$self}{qw(hosts version)} = @$facts[ 1, 2 ];
    return $self;
}

sub hosts   { return $_[0]{hosts} }
sub version { return $_[0]{version} }
sub is_busy { return $_[0]{is_busy} }

sub ask {
    my ( $self, @words ) = @_;
    die "the servers are busy\n" if $self->{is_busy};
    $self->{is_busy} = 1;
    print { $self->{socket} } "@words\n";
    return;
}

# The answer if it comes within so many seconds.
sub answer {
    my ( $self, $seconds ) = @_;
    my $end = time + ( $seconds // 0 );
    while ( $self->{buffer} !~ /\n/ ) {
        vec( my $fds = '', fileno $self->{socket}, 1 ) = 1;
        my $found = select $fds, undef, undef, max( 0, $end - time );
        next   if $found < 0 && time < $end;    # a signal came between
        return if $found <= 0;
        sysread $self->{socket}, $self->{buffer}, 65_536, length $self->{buffer}
          or die "the servers' process has ended\n";
    }
    $self->{is_busy} = 0;
    $self->{buffer} =~ s/\A(.*)\n// or die;
    my ( $word, @words ) = split / /, $1;
    return [ $word eq 'ok', @words ];
}

# Asks and waits. What fails is fatal.
sub asked {
    my ( $self, @words ) = @_;
    $self->ask(@words);
    my $answer = $self->answer(120) // die "the servers don't answer\n";
    die "@words: @$answer[ 1 .. $#$answer ]\n" if !$answer->[0];
    return $answer;
}

sub DESTROY {
    my ($self) = @_;
    return if $self->{owner} != $$;
    local ( $?, $!, $@ );
    close $self->{socket};    # its end is that of the servers
    waitpid $self->{pid}, 0;
    return;
}

sub _serve {
    my ( $socket, %server ) = @_;
    $socket->autoflush(1);
    local $SIG{INT} = 'IGNORE';    # it is for the other process to end this one
    my $server = ZooKeeper::Test::Server->new(%server);
    while ( my $line = <$socket> ) {
        my ( $what, @args ) = split ' ', $line;
        my @words;
        my $ok = eval { @words = $DO{$what}->( $server, @args ); 1 };
        @words = map { s/\s+/ /gr } $@ if !$ok;
        print {$socket} join( ' ', $ok ? 'ok' : 'error', @words ), "\n";
    }
    return;
}

sub _session {
    my ( $id, $passwd ) = @_;
    return { client_id => $id, passwd => pack 'H*', $passwd };
}

# The ids of all sessions, as the leader knows them, and then those of the connections.
sub _sessions {
    my ($server)   = @_;
    my $leader     = $server->leader // die "no leader\n";
    my ($sessions) = split /^ephemeral/mi, $server->four_letter( $leader, 'dump' ) // die "no dump\n";
    my @connected =
      map { ( $server->four_letter( $_, 'cons' ) // '' ) =~ /sid=0x([0-9a-f]*[1-9a-f][0-9a-f]*)/g }
      0 .. $server->count - 1;

    # The sockets that lose_connection keeps are of no use by now: the client has come back.
    $server->{taken} = {};
    my $list = sub {
        return join ',', sort @_;
    };
    return $list->( $sessions =~ /0x([0-9a-f]+)/g ) || '-', $list->(@connected) || '-';
}

1;

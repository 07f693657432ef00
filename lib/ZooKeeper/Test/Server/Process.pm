package ZooKeeper::Test::Server::Process;
use strict;
use warnings;

use Carp        ();
use Fcntl       ();
use File::Spec  ();
use POSIX       ();
use Socket      qw(AF_UNIX PF_UNSPEC SOCK_STREAM SHUT_WR MSG_NOSIGNAL);
use Time::HiRes ();
use ZooKeeper::Test::Server::Keeper;

our $VERSION  = '0.2.0';
our @CARP_NOT = ('ZooKeeper::Test::Server');

# Seconds that a keeper has to answer. It only ever waits for the kernel.
my $ANSWER_WITHIN = 20;

# Absolute, for the program may change its directory.
my $KEEPER = File::Spec->rel2abs( $INC{'ZooKeeper/Test/Server/Keeper.pm'} );

sub launch {
    my ( $class, %args ) = @_;
    local ( $?, $! );
    socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC
      or Carp::croak("socketpair: $!");
    _spawn( $theirs, $$, @args{qw(root log)}, @{ $args{command} } );
    close $theirs;
    my $self = bless { owner => $$, socket => $ours, buffer => '', log => $args{log} }, $class;
    my $line = $self->_answer(qr/^pid /);
    Carp::croak('the process that runs the server did not come up') if !$line;
    ( $self->{pid} ) = $line =~ /(\d+)/;
    return $self;
}

sub pid       { return $_[0]{pid} }
sub log_file  { return $_[0]{log} }
sub is_paused { return $_[0]{paused} }

sub is_alive {
    my ($self) = @_;
    return !$self->{ended} if $self->{owner} != $$;    # what was known at the fork
    $self->_read(0) while !$self->{ended} && _readable( $self->{socket}, 0 );
    return !$self->{ended};
}

# The signal has had its effect when this returns: a stopped process is
# stopped, a killed one is gone and its ports are free.
sub pause {
    my ($self) = @_;
    return $self->{paused} || $self->_command( 'STOP', paused => 1 );
}

sub resume {
    my ($self) = @_;
    return $self->_command( 'CONT', paused => 0 );
}

sub kill {
    my ($self) = @_;
    return $self->_command('KILL');
}

sub stop {
    my ( $self, $seconds ) = @_;
    $self->_command( 'TERM', paused => 0 );
    my $deadline = Time::HiRes::time() + $seconds;
    while ( $self->is_alive ) {
        my $left = $deadline - Time::HiRes::time();
        return $self->kill if $left <= 0;
        _readable( $self->{socket}, $left );
    }
    return 1;
}

# The keeper kills the server, removes its files and goes; wait for that.
sub release {
    my ($self) = @_;
    my $socket = delete $self->{socket} or return;
    return if $self->{owner} != $$;
    shutdown $socket, SHUT_WR;
    my $deadline = Time::HiRes::time() + $ANSWER_WITHIN;
    while ( ( my $left = $deadline - Time::HiRes::time() ) > 0 ) {
        next if !_readable( $socket, $left );
        my $got = sysread $socket, my $rest, 4096;
        last if defined $got ? $got == 0 : !$!{EINTR};
    }
    return;
}

sub DESTROY {
    my ($self) = @_;
    return if $self->{owner} != $$ || ( ${^GLOBAL_PHASE} // '' ) eq 'DESTRUCT';
    local ( $?, $!, $@ );
    $self->release;
    return;
}

sub CLONE_SKIP { return 1 }

sub _command {
    my ( $self, $signal, %then ) = @_;
    return if !$self->is_alive;
    send $self->{socket}, "$signal\n", MSG_NOSIGNAL;
    my $line = $self->_answer( $signal eq 'KILL' ? qr/^exit / : qr/^(?:done $signal$|exit )/ );
    Carp::croak("no answer to $signal for the server with pid $self->{pid}") if !$line;
    @{$self}{ keys %then } = values %then;
    return $line =~ /^done/ || $signal eq 'KILL';
}

# The first line that fits, undef when the keeper is gone or takes too long.
sub _answer {
    my ( $self, $wanted ) = @_;
    my $deadline = Time::HiRes::time() + $ANSWER_WITHIN;
    while (1) {
        while ( $self->{buffer} =~ s/\A(.*)\n// ) {
            my $line = $1;
            return $line if $line =~ $wanted;
        }
        return if $self->{ended};
        my $left = $deadline - Time::HiRes::time();
        return if $left <= 0;
        $self->_read($left);
    }
}

sub _read {
    my ( $self, $seconds ) = @_;
    return if !_readable( $self->{socket}, $seconds );
    my $got = sysread $self->{socket}, $self->{buffer}, 4096, length $self->{buffer};
    return             if !defined $got && $!{EINTR};
    $self->{ended} = 1 if !$got || $self->{buffer} =~ /^exit /m;
    return;
}

sub _readable {
    my ( $handle, $seconds ) = @_;
    my $set = '';
    vec( $set, fileno $handle, 1 ) = 1;
    return select( $set, undef, undef, $seconds ) > 0;
}

# Runs the keeper as a grandchild, so that it is never a child of the owner:
# no SIGCHLD and no surprise for `wait` when it ends. All signals are blocked
# meanwhile: a handler that reaps every child must not take the go-between
# away from the waitpid here, and one that dies must not leave it behind. The
# go-between's own SIGCHLD is seen when that is over, at a moment at which there
# is no child to find; taking it away could also take one of the user's.
sub _spawn {
    my ( $socket, @args ) = @_;

    my $before = POSIX::SigSet->new;
    my $all    = POSIX::SigSet->new;
    $all->fillset;
    POSIX::sigprocmask( POSIX::SIG_SETMASK(), $all, $before );
    my $pid = fork;
    if ( defined $pid && !$pid ) {
        my $keeper = fork // POSIX::_exit(1);
        POSIX::_exit(0) if $keeper;
        fcntl $socket, Fcntl::F_SETFD(), 0;
        no warnings 'exec';
        exec {$^X} $^X, $KEEPER, fileno $socket, @args;
        POSIX::_exit(127);
    }
    my $error = $!;
    waitpid $pid, 0 if $pid;
    POSIX::sigprocmask( POSIX::SIG_SETMASK(), $before );
    Carp::croak("fork: $error") if !defined $pid;
    return;
}

1;

__END__

=head1 NAME

ZooKeeper::Test::Server::Process - one running server process

=head1 DESCRIPTION

Internal to L<ZooKeeper::Test::Server>: the owner's side of
L<ZooKeeper::Test::Server::Keeper>.

=cut

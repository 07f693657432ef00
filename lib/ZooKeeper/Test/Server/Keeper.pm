package ZooKeeper::Test::Server::Keeper;
use strict;
use warnings;

use File::Path ();
use POSIX      ();
use Socket     qw(MSG_NOSIGNAL);

our $VERSION = '0.2.0';

# Seconds between two looks at the owner. Normally the end of file on the
# socket tells at once; the look covers children that the owner forked, which
# hold a copy of its end and would keep the file open.
my $LOOK_EVERY = 0.5;

main(@ARGV) unless caller;

sub main {
    my ( $fd, $owner, $root, $log, @command ) = @_;

    _shed_inherited($fd);
    my $over;
    local $SIG{TERM} = local $SIG{INT} = local $SIG{HUP} = sub { $over = 1 };

    open my $socket, '+<&=', $fd or die "fdopen $fd: $!";
    my $owner_birth = _birth($owner);
    pipe my $alive, my $held or die "pipe: $!";
    my $pid = _run( $log, $held, @command );
    close $held;
    _tell( $socket, "pid $pid" );

    my $buffer = '';
    my $status;
    until ($over) {
        my ( $said, $ended ) = _wait_readable( $socket, $alive );
        if ($ended) {
            waitpid $pid, 0;
            _tell( $socket, 'exit ' . ( $status // $? ) );
            return;
        }
        if ($said) {
            my $got = sysread $socket, $buffer, 4096, length $buffer;
            next if !defined $got && $!{EINTR};
            last if !$got;
            while ( $buffer =~ s/\A(\w+)\n// ) {
                $status = _obey( $socket, $pid, $1 ) // $status;
            }
        }
        last if !defined $owner_birth || ( _birth($owner) // '' ) ne $owner_birth;
    }

    # Nobody is left to ask for the server: it goes, with all its files.
    kill KILL => $pid;
    waitpid $pid, 0;
    File::Path::remove_tree( $root, { error => \my $ignored } );
    return;
}

# One signal; the answer comes when it has had its effect. Returns the exit
# status if the server turned out to have ended.
sub _obey {
    my ( $socket, $pid, $signal ) = @_;
    kill $signal => $pid;
    kill CONT    => $pid if $signal eq 'TERM';    # a stopped process ends only when it goes on

    # All its threads stand still when waitpid tells of the stop. ($? does not say
    # "stopped", perl shows only ends there; one that has ended is gone now.)
    if ( $signal eq 'STOP' ) {
        waitpid $pid, POSIX::WUNTRACED();
        return $? if !-e "/proc/$pid";    # the loop says "exit"
    }
    _tell( $socket, "done $signal" );
    return;
}

# The server keeps the writing end of a pipe open for as long as it lives, so
# its end shows as an end of file: no SIGCHLD and no race.
sub _run {
    my ( $log, $held, @command ) = @_;
    my $pid = fork // die "fork: $!";
    return $pid if $pid;
    fcntl $held, POSIX::F_SETFD(), 0;
    $SIG{$_} = 'DEFAULT' for qw(TERM INT HUP);
    open STDIN,  '<',  '/dev/null';
    open STDOUT, '>>', $log;
    open STDERR, '>>', $log;
    no warnings 'exec';

    # If this keeper itself is killed, the kernel takes the server down.
    my ($setpriv) = grep { -x } map { "$_/setpriv" } split /:/, $ENV{PATH} // '/usr/bin';
    exec $setpriv, '--pdeathsig', 'KILL', @command if $setpriv;
    exec { $command[0] } @command;
    print STDERR "cannot run $command[0]: $!\n";
    POSIX::_exit(127);
}

# Whatever the owner had open or set up is none of our business: a test's
# output pipe that stayed open here would make its harness wait.
sub _shed_inherited {
    my ($keep) = @_;
    POSIX::setsid();    # a Ctrl-C is meant for the owner, whose end ends us
    for my $name (qw(CHLD PIPE ALRM USR1 USR2 QUIT)) { $SIG{$name} = 'DEFAULT' }
    POSIX::sigprocmask( POSIX::SIG_SETMASK(), POSIX::SigSet->new );
    open STDIN,  '<', '/dev/null';
    open STDOUT, '>', '/dev/null';
    open STDERR, '>', '/dev/null';
    opendir my $dir, '/proc/self/fd' or return;
    my @others = grep { /\A\d+\z/ && $_ > 2 && $_ != $keep && $_ != fileno $dir } readdir $dir;
    POSIX::close($_) for @others;
    return;
}

sub _wait_readable {
    my @handles = @_;
    my $set     = '';
    vec( $set, fileno $_, 1 ) = 1 for @handles;
    return if select( $set, undef, undef, $LOOK_EVERY ) <= 0;
    return map { vec $set, fileno $_, 1 } @handles;
}

# When the process was started (clock ticks since boot), undef when it has
# ended: a pid alone might belong to another process by now.
sub _birth {
    my ($pid) = @_;
    open my $file, '<', "/proc/$pid/stat" or return;
    my $stat       = <$file>                                 // return;
    my @after_name = split ' ', ( $stat =~ /.*\) (.*)/s )[0] // return;
    return if $after_name[0] =~ /\A[ZX]/;
    return $after_name[19];
}

sub _tell {
    my ( $socket, $line ) = @_;
    return send $socket, "$line\n", MSG_NOSIGNAL;
}

1;

__END__

=head1 NAME

ZooKeeper::Test::Server::Keeper - ends a test server when its owner is gone

=head1 DESCRIPTION

Internal to L<ZooKeeper::Test::Server>. This file is run as a program of its
own, one per server, between the owner and the server:

=for highlighter language=text

    owner (a test)  <-- socket -->  keeper  -- parent of -->  java

It obeys one-word lines (C<STOP>, C<CONT>, C<TERM>, C<KILL>: signals for the
server), answers C<done SIGNAL>, and says C<exit STATUS> when the server has
ended. When the owner's end of the socket closes, or the owner is gone while
its children still hold that end, it kills the server and removes its files.
That needs nothing of the owner, so it also works when the owner was killed
with SIGKILL. If the keeper itself is killed, C<setpriv --pdeathsig> (of
util-linux, where there is one) takes the server down.

The keeper is in a session of its own and not a child of the owner, so
that a Ctrl-C does not reach it, and the owner's C<wait> and C<$SIG{CHLD}> never
hear of it.

=cut

package Recipe::Command;

# Runs a command for as long as a node of ours is there: with the node goes the command.
# For AnyEvent, whose loop waits for both at once.
use strict;
use warnings;

use AnyEvent;
use Errno    qw(ENOENT);
use Exporter qw(import);
use POSIX    ();
use Recipe   qw(gone stopped when_gone);

our @EXPORT_OK = qw(run_while);

# How long the command goes on without a connection, as a part of the session timeout. A server that falls silent is
# given up after two thirds of it, so a third is left until the session can expire; some of that is for the way here.
my $ALONE = 1 / 4;

# Returns the command's wait status (undef if the program is to end before there is one) and, if the command was
# killed because the node was lost, what became of that. Dies like a call if it is lost before the command starts.
sub run_while {
    my ( $zk, $node, @command ) = @_;
    my ( $pid, $status, $lost ) = 0;
    my ( $news, $ended )        = ( AE::cv, AE::cv );
    my $lose = sub { $lost //= $_[0]; $news->send };

    # All is watched before the command is there. Signals are passed on to it.
    my @signals = map { _passed_on( $_, \$pid ) } qw(INT TERM HUP);
    my $former  = $zk->watcher;
    when_gone( $zk, $node, sub { $lose->('it was deleted') } ) or gone($node);
    $zk->watcher( my $look = _looker( $zk, $lose ) );
    $look->();    # what was before is nobody's event any more

    if ( !defined $lost && !defined stopped() ) {
        $pid = _start(@command);
        my $guard = _guard($pid);
        my $child = AE::child $pid, sub { ( $pid, $status ) = ( 0, $_[1] ); $_->send for $news, $ended };
        $news->recv;
        kill KILL => -$pid if $pid;    # not TERM: somebody else may have what was ours
        $ended->recv;
        _dismiss($guard);
    }
    $zk->watcher($former);
    gone($node) if defined $lost && !defined $status;
    return ( $status, $lost );
}

# A default watcher: reports a session that has expired, or may have.
sub _looker {
    my ( $zk, $lose ) = @_;
    my $alone;
    return sub {
        if ( $zk->is_connected ) {
            undef $alone;
        }
        elsif ( $zk->is_unrecoverable ) {
            $lose->('the session has expired');
        }
        else {
            my $seconds = $ALONE * $zk->session_timeout / 1000;
            $alone //= AE::timer $seconds, 0, sub { $lose->('no connection, and the session may expire') };
        }
    };
}

sub _passed_on {
    my ( $signal, $pid ) = @_;
    return AE::signal $signal, sub { kill $signal => -$$pid if $$pid };
}

# In a process group of its own: what the command starts ends with it.
sub _start {
    my (@command) = @_;
    my $pid = fork // die "fork: $!\n";
    if ( !$pid ) {
        setpgrp 0, 0;
        no warnings 'exec';
        exec { $command[0] } @command or do {
            my $code = $! == ENOENT ? 127 : 126;
            print STDERR "$command[0]: $!\n";
            POSIX::_exit($code);
        };
    }
    setpgrp $pid, $pid;    # both do it, for either may be the first
    return $pid;
}

# If this program is killed nobody would end the command, while somebody else gets the node's place: a process that
# sees to it reads from a pipe until a word comes or the pipe's end.
sub _guard {
    my ($pid) = @_;
    my $script = q(trap '' INT TERM HUP; read -r word || kill -s KILL -- "-$1");
    open my $guard, '|-', 'sh', '-c', $script, 'sh', $pid or die "sh: $!\n";
    return $guard;
}

sub _dismiss {
    my ($guard) = @_;
    local $SIG{PIPE} = 'IGNORE';
    print {$guard} "over\n";
    close $guard;
    return;
}

1;

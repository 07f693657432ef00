#!/usr/bin/perl
# Runs a command under a lock: of all programs that name the same PATH, one at a time.
#
#     perl -Mblib examples/lock.pl [OPTIONS] HOSTS PATH COMMAND [ARGUMENTS...]
#     perl -Mblib examples/lock.pl --wait 60 localhost:2181 /locks/report make report
#
#     --wait SECONDS   give up when the lock can't be had in that time
#     --timeout MS     session timeout, 10000: how long a holder that dies keeps the lock
#     --verbose        say on standard error what happens
#
# Who comes first has the lock first. The command gets the lock's node in ZK_LOCK, and in
# ZK_FENCE a number that grows with every holder: what the lock protects can refuse
# whoever comes with a smaller one than it has seen. INT, TERM and HUP are passed on to
# the command. It runs in a process group of its own, so it can't read from a terminal,
# and is killed with all of that group when the lock is lost or can't be vouched for any
# more: when the session has expired, or may soon, because there is no connection.
#
# Exit code: the command's (128 + N for signal N, 126 or 127 if it can't be run), or 64
# wrong usage, 69 no connection, 75 no lock in time, 76 the lock was lost.
use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/lib";

use AnyEvent;
use Recipe qw(command_line fail stop stopped exit_status connect_to in_sessions finish retry gone
  make_path create_protected ahead_of when_gone confirm);
use Recipe::Command qw(run_while);
use Sys::Hostname   qw(hostname);

my ( $option, $hosts, $path, @command ) = command_line( { 'wait=f' => undef, 'verbose' => 0 }, 1 );

# What happens rings a bell; the program gets up then, and looks.
my $bell    = AE::cv;
my @signals = map { on_signal($_) } qw(INT TERM HUP);
my $timer   = defined $option->{wait} && AE::timer $option->{wait}, 0, sub { stop('late'); $bell->send };
my $zk      = connect_to( hosts => $hosts, timeout => $option->{timeout} );
$zk->watcher( sub { $bell->send if $zk->is_unrecoverable } );

# What is lost before the command has started is but a place in the queue.
my ( $status, $lost ) =
  in_sessions( $zk, sub { run_under( acquire() ) }, sub { note("$_[0]: again, from the end of the queue") } );
defined $lost ? $zk->close : finish($zk);    # with the session goes the node: the lock is free

if ( !defined $status ) {
    fail( Recipe::NOT_IN_TIME, "no lock within $option->{wait} s" ) if stopped() eq 'late';
    exit exit_status( stopped() );
}
fail( Recipe::LOST, "the lock is lost: $lost; the command was killed" ) if defined $lost;
exit exit_status($status);

# Returns the node that has the lock.
sub acquire {
    make_path( $zk, $path );
    my $node = create_protected( $zk, $path, 'lock', hostname() . " $$" );
    while ( defined( my $ahead = ahead_of( $zk, $node ) ) ) {
        $bell = AE::cv;
        when_gone( $zk, $ahead, sub { $bell->send } ) or next;
        note("waiting for $ahead");
        $bell->recv;
        note('woken');
    }
    confirm( $zk, $node );
    undef $timer;
    return $node;
}

sub run_under {
    my ($lock) = @_;
    my $stat = retry( $zk, sub { $zk->exists($lock) } ) // gone($lock);
    note("$lock has the lock");
    local @ENV{qw(ZK_LOCK ZK_FENCE)} = ( $lock, $stat->{czxid} );
    return run_while( $zk, $lock, @command );
}

sub on_signal {
    my ($signal) = @_;
    return AE::signal $signal, sub { stop($signal); $bell->send };
}

sub note {
    my (@text) = @_;
    print STDERR @text, "\n" if $option->{verbose};
    return;
}

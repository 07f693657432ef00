#!/usr/bin/perl
# A double barrier: programs that name the same PATH start together, when COUNT of them
# are there, and end together, when the last of these has done its part.
#
#     perl -Mblib examples/barrier.pl [OPTIONS] HOSTS PATH COUNT [COMMAND [ARGUMENTS...]]
#     perl -Mblib examples/barrier.pl localhost:2181 /barrier 3 make part1
#
#     --timeout MS  session timeout, 10000: how long one that dies is still counted
#     --verbose     say on standard error what happens
#
# Without COMMAND it ends when COUNT are there. Otherwise the command is run then, and
# the program ends when the commands of all have ended, well or not. One that dies, or
# whose session expires, counts as one that has left; its command is killed. INT, TERM
# and HUP end the wait, or are passed on to the command, which runs in a process group of
# its own. A PATH can be used again and again: who comes later waits for the next round.
#
# Exit code: the command's (128 + N for signal N, 126 or 127 if it can't be run), or 64
# wrong usage, 69 no connection, 76 its place was lost, so the others went on without it.
use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/lib";

use AnyEvent;
use Recipe qw(command_line fail stop stopped exit_status connect_to in_sessions finish retry if_there
  make_path create_protected children comes_after number when_gone);
use Recipe::Command qw(run_while);
use ZooKeeper::Constants;

my ( $option, $hosts, $path, $count, @command ) = command_line( { 'verbose' => 0 }, 1 );
fail( Recipe::USAGE, "COUNT must be a whole number from 1, not '$count'" ) if $count !~ /\A[1-9][0-9]*\z/;

# What happens rings a bell; the program gets up then, and looks.
my $bell    = AE::cv;
my @signals = map { on_signal($_) } qw(INT TERM HUP);
my $zk      = connect_to( hosts => $hosts, timeout => $option->{timeout} );
$zk->watcher( sub { $bell->send if $zk->is_unrecoverable } );

my ( $status, $lost );
my ( $node,   @round ) = in_sessions( $zk, \&enter, sub { note("$_[0]: enters again") } );
if ( defined $node && @command ) {
    eval { ( $status, $lost ) = run_while( $zk, $node, @command ); 1 }
      or $lost = defined stopped() ? undef : $@;
    in_sessions( $zk, sub { leave( $node, @round ) }, sub { } );
}
defined $lost ? $zk->close : finish($zk);

fail( Recipe::LOST, "the others have gone on without this one: $lost" ) if defined $lost;
exit exit_status( $status || stopped() || 0 );

# Returns the node of this program, and the numbers of the first and the last node that started together with it.
#
# Whoever comes looks whether there are enough, and if so lets all in: by one transaction, which tells each of them by
# its own node, so that each wakes once and can't miss it, and writes the last number to PATH, so that nobody is let in
# twice and the next round knows where it begins.
sub enter {
    make_path( $zk, $path );
    my $mine = create_protected( $zk, $path, 'party', '' );
    while (1) {
        my $my_bell = $bell = AE::cv;    # the watch may be left over, and ring when nobody waits for it
        my $told    = retry(
            $zk,
            sub {
                $zk->get( $mine, watcher => sub { $my_bell->send } );
            }
        );
        if ( length $told ) {
            note("in: $told");
            return ( $mine, split / /, $told );
        }
        let_in();
        $bell->recv;
    }
}

sub let_in {
    while (1) {
        my ( $last, $stat ) = retry( $zk, sub { $zk->get($path) } );
        die "$path has data that is not a barrier's\n" if ( $last // '' ) !~ /\A(?:-?[0-9]+)?\z/;
        my @waiting = children( $zk, $path, 'party' );
        @waiting = grep { comes_after( number($_), $last ) } @waiting if length( $last // '' );
        note( scalar @waiting, " of $count are here" );
        return if @waiting < $count;

        my ( $from, $to ) = map { number($_) } @waiting[ 0, -1 ];
        my $all = $zk->transaction->set( $path, $to, version => $stat->{version} );
        $all = $all->set( "$path/$_", "$from $to" ) for @waiting;
        my @results = retry( $zk, sub { $all->commit } );
        my ($culprit) = grep { $_->{type} eq 'error' && $_->{code} != ZOK } @results or return;

        # Another one was faster (or this one: the answer was lost), or one has left.
        next if $culprit->{code} == ZBADVERSION || $culprit->{code} == ZNONODE;
        die "$path: $culprit->{message}\n";
    }
}

# Waits for one after the other: for all of its round, that is.
sub leave {
    my ( $mine, $from, $to ) = @_;
    if_there( $zk, sub { $zk->delete($mine) } );
    while (1) {
        my @there = if_there( $zk, sub { children( $zk, $path, 'party' ) } );
        my ($other) =
          grep { !comes_after( $from, number($_) ) && !comes_after( number($_), $to ) } @there
          or return;
        $bell = AE::cv;
        when_gone( $zk, "$path/$other", sub { $bell->send } ) or next;
        note("waiting for $other to leave");
        $bell->recv;
    }
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

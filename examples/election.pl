#!/usr/bin/perl
# Elects a leader: of all programs that name the same PATH one leads, and the others
# stand by, each behind another one.
#
#     perl -Mblib examples/election.pl [OPTIONS] HOSTS PATH [NAME]
#     perl -Mblib examples/election.pl localhost:2181 /election anna
#
#     --every SECONDS  how often a leader works, 1
#     --timeout MS     session timeout, 10000: how long a leader that dies is not missed
#
# Prints what becomes of it until INT, TERM or HUP comes:
#
#     following, behind NAME    NAME leads, or stands by itself, one place ahead
#     leading, term NUMBER      a number that grows with every leader
#     work COUNT in term NUMBER is what only a leader may do
#     cut off                   no connection: no leader works then, until it is back
#     connected
#     lost: REASON              somebody else may lead now; it stands for election again
#     stepped down
#
# Exit code: 0, or 64 wrong usage, 69 no connection.
use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/lib";

use AnyEvent;
use Recipe qw(command_line stop stopped connect_to in_sessions finish retry if_there gone
  make_path create_protected ahead_of when_gone confirm);
use Sys::Hostname qw(hostname);
use ZooKeeper::Constants;

$| = 1;
my ( $option, $hosts, $path, $name ) = command_line( { 'every=f' => 1 }, 0, 1 );
$name //= hostname() . "-$$";

# What happens rings a bell; the program gets up then, and looks.
my $bell    = AE::cv;
my @signals = map { on_signal($_) } qw(INT TERM HUP);
my $zk      = connect_to( hosts => $hosts, timeout => $option->{timeout} );
my ( $leads, $cut_off ) = ( 0, 0 );
$zk->watcher( \&session_event );

in_sessions( $zk, \&stand, \&lose );
print "stepped down\n" if $leads;
finish($zk);    # with the session goes the node: the next one leads
exit 0;

sub stand {
    make_path( $zk, $path );
    my $node = create_protected( $zk, $path, 'candidate', $name );
    while ( defined( my $ahead = ahead_of( $zk, $node ) ) ) {
        $bell = AE::cv;
        when_gone( $zk, $ahead, sub { $bell->send } ) or next;
        my $who = if_there( $zk, sub { $zk->get($ahead) } ) // next;
        print "following, behind $who\n";
        $bell->recv;
    }
    lead($node);
    return;
}

sub lose {
    my ($reason) = @_;
    print "lost: $reason\n" if $leads;
    $leads = 0;
    return;
}

# Works as long as it is the leader. That is asked before each piece of work, not remembered: this process may have
# been stopped for an hour between two lines of it, and not know of that yet. (It may as well be stopped between
# the answer and the work. Where that matters the work has to take the term along, and whoever gets it to refuse
# older ones.)
sub lead {
    my ($node) = @_;
    my $stat   = retry( $zk, sub { $zk->exists($node) } ) // gone($node);
    my $term   = $stat->{czxid};
    my $worked = 0;
    my $timer  = AE::timer $option->{every}, $option->{every}, sub { $bell->send };
    until ( defined stopped() ) {
        $bell = AE::cv;
        confirm( $zk, $node );
        print "leading, term $term\n" if !$leads;
        $leads = 1;
        work( ++$worked, $term );
        $bell->recv;
    }
    return;
}

# Yours to replace.
sub work {
    my ( $count, $term ) = @_;
    print "work $count in term $term\n";
    return;
}

# Goes by the event, not by the handle's state: that may be a newer one.
sub session_event {
    my ($event) = @_;
    my $was = $cut_off;
    $cut_off = $event->{state} != ZOO_CONNECTED_STATE;
    print $cut_off ? "cut off\n" : "connected\n" if $cut_off xor $was;
    $bell->send                                  if $zk->is_unrecoverable;
    return;
}

sub on_signal {
    my ($signal) = @_;
    return AE::signal $signal, sub { stop($signal); $bell->send };
}

#!/usr/bin/perl
# Group membership: joins a group, and tells who else is there.
#
#     perl -Mblib examples/group.pl [OPTIONS] HOSTS PATH [NAME]
#     perl -Mblib examples/group.pl localhost:2181 /group anna
#
#     --list        print the names of those who are there, in the order of their coming,
#                   and end
#     --timeout MS  session timeout, 10000: how long a member that dies is still listed
#
# Prints "+ NAME" for everybody who is there or comes, "- NAME" for everybody who goes,
# and "! REASON" when it is no longer a member itself (its session has expired) and joins
# again; until INT, TERM or HUP comes. Without NAME it only watches.
#
# Exit code: 0, or 64 wrong usage, 69 no connection.
#
# It has no event loop: it calls, and waits.
use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/lib";

use Recipe
  qw(command_line stop connect_to in_sessions finish retry if_there gone make_path create_protected children);

$| = 1;
my ( $option, $hosts, $path, $name ) = command_line( { 'list' => 0 }, 0, 1 );
my $zk = connect_to( hosts => $hosts, timeout => $option->{timeout}, dispatcher => 'Pipe' );

# A handler that dies ends the call or wait that it interrupts, and the eval that this is in sees to the rest.
$SIG{$_} = sub { stop( $_[0] ); die "stopped\n" if $^S }
  for qw(INT TERM HUP);

# node => name
my %here;
in_sessions( $zk, $option->{list} ? \&list : \&take_part, sub { print "! $_[0]\n" if defined $name } );
finish($zk);    # with the session goes the node
exit 0;

sub list {
    my @members = if_there( $zk, sub { children( $zk, $path, 'member' ) } );
    print map { "$_\n" } grep { defined } map { name_of($_) } @members;
    return;
}

# Joins, and watches on: a watch fires once.
sub take_part {
    make_path( $zk, $path );
    my $node = defined $name && create_protected( $zk, $path, 'member', $name );
    while (1) {
        my $changed;
        my @now = children( $zk, $path, 'member', watcher => sub { $changed = 1 } );
        report(@now);
        gone($node) if $node && !grep { $node eq "$path/$_" } @now;
        $zk->wait until $changed || $zk->is_unrecoverable;
    }
    return;
}

sub report {
    my (@now) = @_;
    my %now = map { $_ => 1 } @now;
    for my $node ( grep { !$now{$_} } sort keys %here ) {
        print '- ', delete $here{$node}, "\n";
    }
    for my $node ( grep { !exists $here{$_} } @now ) {
        my $its = name_of($node) // next;    # gone again: the watch has fired
        $here{$node} = $its;
        print "+ $its\n";
    }
    return;
}

# undef for a node that is not there any more.
sub name_of {
    my ($node) = @_;
    return scalar if_there( $zk, sub { $zk->get("$path/$node") } );
}

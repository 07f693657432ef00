#!/usr/bin/perl
# How much there is below a node, as du says it of files: with IO::Async, async and await.
#
#     perl -Mblib examples/ioasync-await.pl HOSTS PATH [SECONDS]
#
# Prints a line for each child of PATH, and one for PATH: how many nodes there are from there on, how many of them are
# ephemeral, and the bytes in them. Gives up after SECONDS (30). Many nodes are asked about at a time, and the tree
# may change meanwhile: a node that is gone when its turn comes is not counted.
use strict;
use warnings;

use Future::AsyncAwait;
use Future::Utils qw(fmap_concat);
use IO::Async::Loop;
use ZooKeeper;
use ZooKeeper::Constants;

# Nodes that are asked about at a time.
my $AT_ONCE = 50;

# Seconds between two attempts at what has failed for the moment.
my $PAUSE = 0.1;

my ( $hosts, $path, $seconds ) = @ARGV;
if ( @ARGV < 2 || @ARGV > 3 || $path !~ m{\A/} || ( $seconds //= 30 ) !~ /\A[0-9]*\.?[0-9]+\z/ ) {
    print STDERR "usage: $0 HOSTS /PATH [SECONDS]\n";
    exit 64;
}
my $loop = IO::Async::Loop->new;
my $zk   = ZooKeeper->new( hosts => $hosts, dispatcher => 'IOAsync' );

# Whichever is ready first; the other one is cancelled.
my $walk = Future->wait_any( walk($path), $loop->timeout_future( after => $seconds ) );
$loop->await($walk);
if ( my ($why) = $walk->failure ) {
    print STDERR "$0: ", $why =~ s/\n?\z/\n/r;
    exit 1;
}
my @nodes = $walk->result;
$zk->close;

my %size;
for my $node (@nodes) {
    my ($child) = $node->{path} =~ m{\A\Q$path\E/?([^/]+)};
    for my $size ( map { $size{$_} //= {} } $path, $child // () ) {
        $size->{nodes}++;
        $size->{ephemerals} += $node->{stat}{ephemeralOwner} ? 1 : 0;
        $size->{bytes}      += $node->{stat}{dataLength};
    }
}
my $total = delete $size{$path} // die "$0: there is no $path\n";
printf "%9d %9d %12d %s\n", @{ $size{$_} }{qw(nodes ephemerals bytes)}, $_ for sort keys %size;
printf "%9d %9d %12d %s\n", @{$total}{qw(nodes ephemerals bytes)},      $path;

# All nodes from this one on, as visit returns them: level by level, each of them many at a time.
async sub walk {
    my ($top) = @_;
    my @found;
    my @level = ($top);
    while (@level) {
        my @visited = await( fmap_concat { visit( $_[0] ) } foreach => \@level, concurrent => $AT_ONCE );
        push @found, @visited;
        @level = map { @{ $_->{children} } } @visited;
    }
    return @found;
}

# One node, as a hash ref of its path, stat and children; nothing if it is not there.
async sub visit {
    my ($node) = @_;
    my $stat = await patiently( sub { $zk->exists_f($node) } );
    return if !$stat;
    my @names;
    if ( $stat->{numChildren} ) {
        my $asked = patiently( sub { $zk->get_children_f($node) } );
        @names =
          await $asked->catch( sub { my ($error) = @_; $error == ZNONODE ? Future->done : die $error } );
    }
    my $below = $node eq '/' ? '' : $node;
    return { path => $node, stat => $stat, children => [ map { "$below/$_" } @names ] };
}

# Asks until there is an answer: a lost connection is no reason to give up, for the handle looks for another one by
# itself. Only for what may be done twice, as reading may.
async sub patiently {
    my ($ask) = @_;
    while (1) {
        my @result;
        return @result if eval { @result = await $ask->(); 1 };
        my $error = $@;
        die $error if !ref $error || !$error->isa('ZooKeeper::Error') || !$error->is_retryable;
        await $loop->delay_future( after => $PAUSE );
    }
}

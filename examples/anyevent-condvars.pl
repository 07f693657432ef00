#!/usr/bin/perl
# Many commands at once, with AnyEvent: callbacks, and condition variables that know when all are answered.
#
#     perl -Mblib examples/anyevent-condvars.pl HOSTS PATH [COUNT]
#
# Creates COUNT nodes (1000) below PATH, reads all of them, asks to be told of each one's next change, changes them,
# waits until it was told of every one, and deletes them; says so each time. No answer is waited for before the next
# question is asked, and questions that are asked in a row travel together.
use strict;
use warnings;

use AnyEvent;
use ZooKeeper;
use ZooKeeper::Constants;

# A server works on one request after the other: more of them under way would only take memory. (And a handle refuses
# more than its max_in_flight.)
my $AT_ONCE = 500;

my ( $hosts, $path, $count ) = @ARGV;
if ( @ARGV < 2 || @ARGV > 3 || $path !~ m{\A(?:/[^/]+)+\z} || ( $count //= 1000 ) !~ /\A[1-9]\d*\z/ ) {
    print STDERR "usage: $0 HOSTS /PATH [COUNT]\n";
    exit 64;
}
$| = 1;
my $zk = ZooKeeper->new( hosts => $hosts );    # its dispatcher is AnyEvent's, if no other one is asked for

# One command, and a condition variable for its answer.
my $made = AE::cv;
$zk->ensure_path( $path,
    cb => sub { my ($error) = @_; defined $error ? $made->croak($error) : $made->send } );
$made->recv;

# Another program like this one may be at work here.
my @nodes = map { sprintf "%s/%d-%06d", $path, $$, $_ } 1 .. $count;

# What may be done twice, for its answer may have been lost, must not mind that it was done before.
my $created =
  at_once( \@nodes, sub { $zk->create( $_[0], value => "of $$", cb => $_[1] ) }, ZNODEEXISTS )->recv;
print 'created ', scalar keys %$created, "\n";

# A watch is told of one change. It lives on when the connection is lost: it is called once for each node.
my $told  = AE::cv { print "told of $count changes\n" };
my $heard = sub { $told->end };
$told->begin for @nodes;    # now, for a change may come before the answer
my $read  = at_once( \@nodes, sub { $zk->get( $_[0], watcher => $heard, cb => $_[1] ) } )->recv;
my $bytes = 0;
$bytes += length $_->[0] for values %$read;
print 'read ', scalar keys %$read, ", $bytes bytes\n";

my $changed = at_once( \@nodes, sub { $zk->set( $_[0], 'changed', cb => $_[1] ) } );
$_->recv for $changed, $told;

my $deleted = at_once( \@nodes, sub { $zk->delete( $_[0], cb => $_[1] ) }, ZNONODE )->recv;
print 'deleted ', scalar keys %$deleted, "\n";
$zk->close;

# Calls $ask with each item and the callback for its answer. Returns a condition variable: it gives a hash ref, item to
# results, when all are answered; or dies of the first error. An error that is $fine is an answer like any other, and
# what has failed with its connection is asked again: the handle looks for a server by itself.
sub at_once {
    my ( $items, $ask, $fine ) = @_;
    my @todo = @$items;
    my ( %results, $failed, $next );

   # Each question calls begin, and each answer end. The first begin is for the questions that are still to be
   # asked: without it no question at all would never end.
    my $all = AE::cv;
    $all->begin(
        sub {
            my ($cv) = @_;
            undef $next;    # which refers to itself
            defined $failed ? $cv->croak($failed) : $cv->send( \%results );
        }
    );
    $next = sub {
        my ($item) = @_;
        $all->begin;
        $ask->(
            $item,
            sub {
                my ( $error, @result ) = @_;
                if ( !defined $error || $error->code == ( $fine // ZOK ) ) {
                    $results{$item} = \@result;
                }
                elsif ( $error->is_connection_loss ) {
                    unshift @todo, $item;
                }
                else {
                    $failed //= $error;
                }
                $next->( shift @todo ) if @todo && !defined $failed;
                $all->end;
            }
        );
    };
    $next->($_) for splice @todo, 0, $AT_ONCE;
    $all->end;
    return $all;
}

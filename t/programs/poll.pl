# A program with a loop of its own, and a dispatcher of its own class that counts what it dispatches.
use strict;
use warnings;

package My::Dispatcher;
use Moo;
extends 'ZooKeeper::Dispatcher';

has dispatched => ( is => 'rw', default => 0 );
around dispatch_event => sub {
    my ( $dispatch, $self, @args ) = @_;
    my $event = $self->$dispatch(@args);
    $self->dispatched( $self->dispatched + 1 ) if $event;
    return $event;
};

package main;
use ZooKeeper;
use ZooKeeper::Constants;

$| = 1;
my ( $hosts, $path ) = @ARGV;
my $zk   = ZooKeeper->new( hosts => $hosts, dispatcher => '^My::Dispatcher' );
my $live = 1;
my $again;
$again = sub {
    my ($event) = @_;
    $live = $event->{type} != ZOO_DELETED_EVENT;
    $zk->exists( $path, watcher => $again ) if $live;
    print zevent( $event->{type} ), "\n";    # last: who reads it may go on at once
};
print $zk->exists( $path, watcher => $again ) ? "there\n" : "not there\n";
while ($live) {
    1 while $zk->dispatcher->dispatch_event;
    select undef, undef, undef, 0.01;        # what the program has to do besides
}
print 'dispatched: ', $zk->dispatcher->dispatched, "\n";

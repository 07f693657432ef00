# A consumer of a queue of jobs: sequential nodes, each for whoever deletes it first. Ends with a job "quit", which
# it leaves to the others.
use strict;
use warnings;
use ZooKeeper;
use ZooKeeper::Constants;

$| = 1;
my ( $hosts, $queue ) = @ARGV;
my $zk = ZooKeeper->new( hosts => $hosts );

sub take {
    my ($name) = @_;
    my ( $job, $stat ) = eval { $zk->get("$queue/$name") };
    return      if $@ && ref $@ && $@ == ZNONODE;
    die $@      if $@;
    return $job if $job eq 'quit';
    return
        eval { $zk->delete( "$queue/$name", version => $stat->{version} ); 1 } ? $job
      : $@ == ZNONODE                                                          ? undef
      :                                                                          die $@;
}

print "ready\n";
while (1) {
    my $changed = 0;
    my @names   = sort $zk->get_children( $queue, watcher => sub { $changed = 1 } );
    for my $name (@names) {
        my $job = take($name) // next;
        exit 0 if $job eq 'quit';
        print "job $job\n";
    }
    $zk->wait until $changed;
}

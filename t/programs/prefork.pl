# A parent with workers: each takes a session of its own from the handle it was born with.
use strict;
use warnings;
use POSIX ();
use ZooKeeper;
use ZooKeeper::Constants;

$| = 1;
my ( $hosts, $group, $workers ) = @ARGV;
my $zk = ZooKeeper->new( hosts => $hosts, timeout => 60_000 );
$zk->create($group);
$zk->create( "$group/parent", value => $$, ephemeral => 1 );

my @pids;
for my $number ( 1 .. $workers ) {
    my $pid = fork // die "fork: $!";
    if ( !$pid ) {
        my $before = eval { $zk->get("$group/parent"); 1 } ? 'it works' : zerror($@);
        $zk->reopen;
        $zk->create( "$group/worker-$number", value => $before, ephemeral => 1 );
        my $gone = 0;
        $zk->wait until $gone || !$zk->exists( "$group/parent", watcher => sub { $gone = 1 } );
        exit 0;
    }
    push @pids, $pid;
}

my $changed = 1;
until ( $zk->get_children($group) == 1 + $workers ) {
    $changed = 0;
    last if $zk->get_children( $group, watcher => sub { $changed = 1 } ) == 1 + $workers;
    $zk->wait until $changed;
}
my @names  = sort grep { /worker/ } $zk->get_children($group);
my %owners = map       { $zk->exists("$group/$_")->{ephemeralOwner} => 1 } $zk->get_children($group);
print "@names\n";
print 'before reopen: ', scalar $zk->get("$group/worker-1"), "\n";
print 'sessions: ',      scalar keys %owners,                "\n";
$zk->delete("$group/parent");
waitpid $_, 0 for @pids;

# Sessions end with their processes, which wait for a slow server no longer than a second.
my $end = time + 30;
1 while $zk->get_children($group) && time < $end;
print "left: @{[ $zk->get_children($group) ]}\n";

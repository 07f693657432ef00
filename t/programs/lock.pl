# A lock: who has the lowest number has it, the others watch the one before them. Under it a number is read and
# written without any other precaution.
use strict;
use warnings;
use ZooKeeper;
use ZooKeeper::Constants;

my ( $hosts, $lock, $counter, $times ) = @ARGV;
my $zk = ZooKeeper->new( hosts => $hosts, dispatcher => 'AnyEvent' );

sub with_lock {
    my ($code) = @_;
    my $mine   = $zk->create( "$lock/lock-", ephemeral => 1, sequential => 1 );
    my ($name) = $mine =~ m{([^/]+)\z};
    while (1) {
        my ($before) = reverse grep { $_ lt $name } sort $zk->get_children($lock);
        last if !defined $before;
        my $gone = 0;
        next if !$zk->exists( "$lock/$before", watcher => sub { $gone = 1 } );
        $zk->wait while !$gone;
    }
    my $result = $code->();
    $zk->delete($mine);
    return $result;
}

for ( 1 .. $times ) {
    with_lock( sub { $zk->set( $counter => 1 + $zk->get($counter) ) } );
}
print "counted\n";

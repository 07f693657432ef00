# Who is in a group: AnyEvent, and a watcher that asks again. Ends when a member is called "stop".
use strict;
use warnings;
use AnyEvent;
use ZooKeeper;
use ZooKeeper::Constants;

$| = 1;
my ( $hosts, $group ) = @ARGV;
my $zk   = ZooKeeper->new( hosts => $hosts, timeout => 10_000 );
my $done = AE::cv;

sub members {
    my ($event) = @_;
    print zevent( $event->{type} ), "\n" if $event;
    my @members = $zk->get_children( $group, watcher => \&members );
    print "members: @{[ sort @members ]}\n";
    $done->send( scalar @members ) if grep { $_ eq 'stop' } @members;
    return;
}

$zk->ensure_path($group);
members();
print 'at last: ', $done->recv, "\n";

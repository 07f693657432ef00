# An ephemeral node that is there as long as the program: when the session has expired it gets a new one.
use strict;
use warnings;
use AnyEvent;
use ZooKeeper;
use ZooKeeper::Constants;

$| = 1;
my ( $hosts, $path ) = @ARGV;
my $done = AE::cv;
my $zk;
$zk = ZooKeeper->new(
    hosts          => $hosts,
    timeout        => 6_000,
    authentication => [ digest => 'me:secret' ],
    watcher        => sub {
        my ($event) = @_;
        return if $event->{type} != ZOO_SESSION_EVENT || $event->{state} != ZOO_EXPIRED_SESSION_STATE;
        print zstate( $event->{state} ), "\n";
        $zk->reopen;
        register();
    },
);

sub register {
    $zk->create(
        $path,
        value     => $$,
        ephemeral => 1,
        acl       => [ @{ ZOO_CREATOR_ALL_ACL() }, @{ ZOO_READ_ACL_UNSAFE() } ]
    );
    $zk->exists( "$path-stop", watcher => sub { $done->send( zevent( $_[0]{type} ) ) } );
    print "registered\n";
    return;
}

register();
print 'ends: ', $done->recv, "\n";

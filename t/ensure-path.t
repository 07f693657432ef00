use strict;
use warnings;
use Test::More;
use lib 't/lib';
use FakeZK;
use GoodReplies;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

my $zk   = ZooKeeper->new( hosts => test_hosts() );
my $base = fresh_path('ensure');

is_deeply [ $zk->ensure_path("$base/a/b/c") ], ["$base/a/b/c"], 'returns the path';
ok $zk->exists("$base/a/b/c"), 'the node is there, and all above it';
is scalar $zk->get("$base/a/b"),          undef,         'the ones above are empty';
is $zk->ensure_path("$base/a/b/c"),       "$base/a/b/c", 'a node that is there is no error';
is $zk->exists("$base/a/b/c")->{version}, 0,             'and left as it is';
is $zk->ensure_path("$base/a"),           "$base/a",     'nor one with children';
is $zk->ensure_path("$base/a/b/d"),       "$base/a/b/d", 'only the last one missing';
is $zk->ensure_path('/zookeeper'),        '/zookeeper',  'at the top';

$zk->ensure_path( "$base/v/w", value => 'here' );
is scalar $zk->get("$base/v/w"), 'here', 'value is for the node itself';
is scalar $zk->get("$base/v"),   undef,  'not for those above';
$zk->ensure_path( "$base/v/w", value => 'else' );
is scalar $zk->get("$base/v/w"), 'here', 'and not for one that is there';

my $acl = [ { ZOO_ANYONE_ID_UNSAFE, perms => ZOO_PERM_ALL & ~ZOO_PERM_ADMIN } ];
$zk->ensure_path( "$base/acl/x", acl => $acl );
is_deeply scalar $zk->get_acl("$base/$_"), $acl, "acl is for $_" for qw(acl acl/x);

$zk->ensure_path( "$base/e/x", ephemeral => 1 );
ok $zk->exists("$base/e/x")->{ephemeralOwner}, 'ephemeral is for the node itself';
is $zk->exists("$base/e")->{ephemeralOwner}, 0, 'not for those above';
like $zk->ensure_path( "$base/s/n-", sequential => 1 ), qr{\A\Q$base\E/s/n-[0-9]{10}\z},
  'sequential: the path created';

subtest 'errors' => sub {
    $zk->create( "$base/closed", acl => ZOO_READ_ACL_UNSAFE );
    my $died = 0;
    local $SIG{__DIE__} = sub { $died++ };
    my $line = __LINE__ + 1;
    ok !eval { $zk->ensure_path("$base/closed/x/y"); 1 }, 'no right to create';
    is $@->code, ZNOAUTH, 'code';
    is "$@", "Error creating node '$base/closed/x': not authenticated at ${\ __FILE__} line $line.\n",
      'says where';
    is $died, 1, '__DIE__ hears of that alone, not of the nodes that were missing on the way';
    local $@ = 'untouched';
    $zk->ensure_path("$base/new/path");
    is $@, 'untouched', 'nor does $@ when all went well';
};

subtest 'others create the same path at the same moment' => sub {
    my $path = "$base/race/" . join '/', 'a' .. 'h';
    pipe my $read, my $write or die "pipe: $!";
    my @children;
    for ( 1 .. 4 ) {
        my $pid = fork // die "fork: $!";
        push @children, $pid;
        next if $pid;
        my $ok = eval {
            $zk->reopen;
            $zk->ensure_path("$path/$_") for 1 .. 20;
            1;
        };
        syswrite $write, $ok ? "ok\n" : "failed: $@\n";
        require POSIX;
        POSIX::_exit(0);
    }
    close $write;
    is_deeply deadline( 120, sub { [<$read>] } ), [ ("ok\n") x 4 ], 'all of them get it';
    waitpid $_, 0 for @children;
    is scalar $zk->get_children($path), 20, 'once';
};

subtest 'with a chroot' => sub {
    my $rooted = ZooKeeper->new( hosts => $zk->hosts . $base );
    is $rooted->ensure_path('/in/here'), '/in/here', 'below it';
    ok $zk->exists("$base/in/here"), 'is where it should be';
    my $lost = ZooKeeper->new( hosts => "${\ $zk->hosts }$base/no/such/root" );
    ok !eval { $lost->ensure_path('/x'); 1 }, 'a chroot that is not there';
    is $@->code, ZNONODE, 'is an error';
};

subtest 'a path of thousands of parts takes no memory for each part of each' => sub {
    my ( $parts, $most ) = ( 6_000, 12_000 );
    my $deepest = '/x' x $parts;
    my $is_top_there;
    my $fake = FakeZK->answering(
        1 => sub {
            my ( $connection, $xid, $rest ) = @_;
            my $path = unpack 'N/a*', $rest;
            return pack 'l> q> l>', $xid, 1, ZNONODE if !( $is_top_there ||= $path eq '/x' );
            return reply_frame( $xid, pack 'N/a*', $path );
        }
    );
    my $own    = ZooKeeper->new( hosts => $fake->hosts, dispatcher => 'Pipe', request_timeout => 60 );
    my $before = memory();
    is deadline( 120, sub { $own->ensure_path($deepest) } ), $deepest, 'it is made';
    cmp_ok memory() - $before, '<', $most, "$parts parts, in KB";
};

# What this process had in memory at most, in KB.
sub memory {
    open my $status, '<', '/proc/self/status' or die "/proc/self/status: $!\n";
    my ($kilobytes) = map { /\AVmHWM:\s+([0-9]+)/ ? $1 : () } <$status>;
    return $kilobytes;
}

done_testing;

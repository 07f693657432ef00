use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

my $zk   = ZooKeeper->new( hosts => test_hosts() );
my $base = fresh_path('nodes');
$zk->create($base);

my @stat =
  sort qw(czxid mzxid ctime mtime version cversion aversion ephemeralOwner dataLength numChildren pzxid);

# The code throws this error, with the words of the method.
sub throws {
    my ( $code, $number, $words ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $line = ( caller 0 )[2];
    ok !eval { $code->(); 1 }, "$words: throws";
    my $error = $@;
    ok ref $error && $error == $number, "$words: $number";
    is "$error", "Error $words: ${\ zerror($number)} at ${\ __FILE__} line $line.\n", 'message';
    return;
}

subtest 'exists' => sub {
    my $stat = $zk->exists($base);
    is_deeply [ sort keys %$stat ], \@stat, 'a stat has these keys';
    like $stat->{$_}, qr/\A-?[0-9]+\z/, "$_ is an integer" for @stat;
    is_deeply [ $zk->exists("$base/none") ], [undef], 'no node: one undef';
    is scalar $zk->exists("$base/none"), undef, 'in scalar context, too';
    my $now = time;
    cmp_ok abs( $stat->{ctime} / 1000 - $now ), '<', 3600, 'ctime is in milliseconds';
    cmp_ok $stat->{czxid},                      '>', 0,    'czxid';
};

subtest 'get' => sub {
    my $path = "$base/get";
    $zk->create( $path, value => 'v' );
    is scalar $zk->get($path), 'v', 'scalar context: the data';
    my @both = $zk->get($path);
    is scalar @both, 2,   'list context: two';
    is $both[0],     'v', 'the data';
    is_deeply $both[1], $zk->exists($path), 'and the stat';
    is $both[1]{dataLength}, 1, 'dataLength';
    my ($data) = $zk->get($path);
    is $data, 'v', 'the first of them';
    throws( sub { $zk->get("$base/none") }, ZNONODE, "getting data for node '$base/none'" );
};

subtest 'set' => sub {
    my $path = "$base/set";
    $zk->create( $path, value => 'v' );
    my $stat = $zk->set( $path => 'new' );
    is_deeply $stat, $zk->exists($path), 'returns the stat';
    is $stat->{version},                                    1,     'with the next version';
    is scalar $zk->get($path),                              'new', 'the data is set';
    is $zk->set( $path, 'newer', version => 1 )->{version}, 2,     'with the version expected';
    throws( sub { $zk->set( $path, 'x', version => 1 ) }, ZBADVERSION, "setting data for node '$path'" );
    is scalar $zk->get($path),                                'newer', 'with another one nothing is set';
    is $zk->set( $path, 'any', version => -1 )->{version},    3,       'version -1 is any';
    is $zk->set( $path, undef, version => undef )->{version}, 4,       'so is undef';
    is scalar $zk->get($path),                                undef,   'undef is null data';
    $zk->set( $path, '' );
    is scalar $zk->get($path), '', 'and not empty data';
    throws( sub { $zk->set( "$base/none", 'x' ) }, ZNONODE, "setting data for node '$base/none'" );
};

subtest 'delete' => sub {
    my $path = "$base/delete";
    $zk->create($path);
    is_deeply [ $zk->delete($path) ], [], 'returns nothing';
    is $zk->exists($path), undef, 'the node is gone';
    throws( sub { $zk->delete($path) }, ZNONODE, "deleting node '$path'" );
    $zk->create($path);
    $zk->set( $path, 'x' );
    throws( sub { $zk->delete( $path, version => 0 ) }, ZBADVERSION, "deleting node '$path'" );
    is_deeply [ $zk->delete( $path, version => 1 ) ], [], 'with the version expected';
    throws( sub { $zk->delete($base) }, ZNOTEMPTY, "deleting node '$base'" );
};

subtest 'get_children' => sub {
    my $path = "$base/children";
    $zk->create($path);
    is_deeply [ $zk->get_children($path) ], [], 'none: an empty list';
    is scalar $zk->get_children($path), 0, 'and zero';
    $zk->create("$path/$_") for qw(b a c);
    is_deeply [ sort $zk->get_children($path) ], [qw(a b c)], 'their names';
    is scalar $zk->get_children($path),                                      3, 'and how many';
    is scalar( my @names = $zk->get_children( $path, watcher => sub { } ) ), 3, 'the same with a watcher';
    is scalar $zk->get_children( $path, watcher => sub { } ),                3, 'in both contexts';
    throws( sub { $zk->get_children("$base/none") }, ZNONODE, "getting children for node '$base/none'" );
    ok scalar( grep { $_ eq 'zookeeper' } $zk->get_children('/') ), 'the root has children, too';
};

subtest 'get_acl and set_acl' => sub {
    my $path = "$base/acl";
    $zk->create($path);
    my $acl = [
        { scheme => 'world', id => 'anyone', perms => ZOO_PERM_ALL },
        {
            scheme => 'digest',
            id     => 'u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=',
            perms  => ZOO_PERM_READ | ZOO_PERM_ADMIN
        },
        { scheme => 'ip', id => '127.0.0.1', perms => ZOO_PERM_READ },
    ];
    is_deeply [ $zk->set_acl( $path => $acl ) ], [],                           'set_acl returns nothing';
    is_deeply scalar $zk->get_acl($path),        $acl,                         'scalar context: the acl';
    is_deeply [ $zk->get_acl($path) ],           [ $acl, $zk->exists($path) ], 'list context: with the stat';
    is $zk->exists($path)->{aversion}, 1, 'aversion rises';
    $zk->set_acl( $path, ZOO_OPEN_ACL_UNSAFE, version => 1 );
    throws( sub { $zk->set_acl( $path, $acl, version => 1 ) }, ZBADVERSION, "setting acl for node '$path'" );
    throws( sub { $zk->get_acl("$base/none") },                ZNONODE, "getting acl for node '$base/none'" );
    throws( sub { $zk->set_acl( "$base/none", $acl ) },        ZNONODE, "setting acl for node '$base/none'" );

    $zk->set_acl( $path, ZOO_READ_ACL_UNSAFE );
    throws( sub { $zk->set( $path, 'x' ) }, ZNOAUTH, "setting data for node '$path'" );
};

done_testing;

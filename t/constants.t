use strict;
use warnings;
use Test::More;

use ZooKeeper::Constants;

# Programs compare with these numbers, and some have them written down.
my %value = (
    ZOK                       => 0,
    ZSYSTEMERROR              => -1,
    ZRUNTIMEINCONSISTENCY     => -2,
    ZDATAINCONSISTENCY        => -3,
    ZCONNECTIONLOSS           => -4,
    ZMARSHALLINGERROR         => -5,
    ZUNIMPLEMENTED            => -6,
    ZOPERATIONTIMEOUT         => -7,
    ZBADARGUMENTS             => -8,
    ZINVALIDSTATE             => -9,
    ZAPIERROR                 => -100,
    ZNONODE                   => -101,
    ZNOAUTH                   => -102,
    ZBADVERSION               => -103,
    ZNOCHILDRENFOREPHEMERALS  => -108,
    ZNODEEXISTS               => -110,
    ZNOTEMPTY                 => -111,
    ZSESSIONEXPIRED           => -112,
    ZINVALIDCALLBACK          => -113,
    ZINVALIDACL               => -114,
    ZAUTHFAILED               => -115,
    ZCLOSING                  => -116,
    ZNOTHING                  => -117,
    ZSESSIONMOVED             => -118,
    ZNOTREADONLY              => -119,
    ZTHROTTLEDOP              => -127,
    ZOO_EPHEMERAL             => 1,
    ZOO_SEQUENCE              => 2,
    ZOO_CONTAINER             => 4,
    ZOO_PERSISTENT_WITH_TTL   => 5,
    ZOO_PERM_READ             => 1,
    ZOO_PERM_WRITE            => 2,
    ZOO_PERM_CREATE           => 4,
    ZOO_PERM_DELETE           => 8,
    ZOO_PERM_ADMIN            => 16,
    ZOO_PERM_ALL              => 31,
    ZOO_CREATED_EVENT         => 1,
    ZOO_DELETED_EVENT         => 2,
    ZOO_CHANGED_EVENT         => 3,
    ZOO_CHILD_EVENT           => 4,
    ZOO_SESSION_EVENT         => -1,
    ZOO_NOTWATCHING_EVENT     => -2,
    ZOO_EXPIRED_SESSION_STATE => -112,
    ZOO_AUTH_FAILED_STATE     => -113,
    ZOO_CONNECTING_STATE      => 1,
    ZOO_ASSOCIATING_STATE     => 2,
    ZOO_CONNECTED_STATE       => 3,
    ZOO_READONLY_STATE        => 5,
    ZOO_SSL_CONNECTING_STATE  => 7,
    ZOO_NOTCONNECTED_STATE    => 999,
    ZOO_CREATE_OP             => 1,
    ZOO_DELETE_OP             => 2,
    ZOO_SETDATA_OP            => 5,
    ZOO_CHECK_OP              => 13,
);
for my $name ( sort keys %value ) {
    no strict 'refs';
    is eval { &{"main::$name"}() }, $value{$name}, "$name is exported by default";
}
like ZOOKEEPER_VERSION, qr/\A[0-9]+\.[0-9]+\.[0-9]+\z/, 'ZOOKEEPER_VERSION';

is_deeply [ZOO_ANYONE_ID_UNSAFE], [ id => 'anyone', scheme => 'world' ],
  'ZOO_ANYONE_ID_UNSAFE is a flat list';
is_deeply [ZOO_AUTH_IDS],      [ id => '', scheme => 'auth' ], 'ZOO_AUTH_IDS is a flat list';
is_deeply ZOO_OPEN_ACL_UNSAFE, [ { id => 'anyone', scheme => 'world', perms => 31 } ], 'ZOO_OPEN_ACL_UNSAFE';
is_deeply ZOO_READ_ACL_UNSAFE, [ { id => 'anyone', scheme => 'world', perms => 1 } ],  'ZOO_READ_ACL_UNSAFE';
is_deeply ZOO_CREATOR_ALL_ACL, [ { id => '',       scheme => 'auth',  perms => 31 } ], 'ZOO_CREATOR_ALL_ACL';

my %tag = (
    errors     => [qw(ZOK ZNONODE ZNOTHING ZTHROTTLEDOP zerror)],
    node_flags => [qw(ZOO_EPHEMERAL ZOO_SEQUENCE)],
    acl_ids    => [qw(ZOO_ANYONE_ID_UNSAFE ZOO_AUTH_IDS)],
    acl_perms  => [qw(ZOO_PERM_READ ZOO_PERM_ALL)],
    acls       => [qw(ZOO_OPEN_ACL_UNSAFE ZOO_READ_ACL_UNSAFE ZOO_CREATOR_ALL_ACL)],
    events     => [qw(ZOO_CREATED_EVENT ZOO_SESSION_EVENT zevent)],
    states     => [qw(ZOO_CONNECTED_STATE ZOO_NOTCONNECTED_STATE zstate)],
    ops        => [qw(ZOO_CREATE_OP ZOO_CHECK_OP)],
    version    => [qw(ZOOKEEPER_VERSION)],
    all => [qw(ZOK ZOO_PERM_ALL zerror zevent zstate zperm ZOOKEEPER_VERSION ZOO_AUTH_IDS ZOO_CHECK_OP)],
);

for my $tag ( sort keys %tag ) {
    my $package = "Importer::$tag";
    ok eval "package $package; ZooKeeper::Constants->import(':$tag'); 1", ":$tag can be imported" or diag $@;
    is_deeply [ grep { !$package->can($_) } @{ $tag{$tag} } ], [], ":$tag brings what belongs to it";
}
ok !Importer::errors->can('ZOO_PERM_READ'), 'a tag brings nothing else';
ok eval { package Importer::one; ZooKeeper::Constants->import('ZNONODE'); ZNONODE() == -101 },
  'a single name';

my %error = (
    0    => 'ok',
    -1   => 'system error',
    -2   => 'run time inconsistency',
    -3   => 'data inconsistency',
    -4   => 'connection loss',
    -5   => 'marshalling error',
    -6   => 'unimplemented',
    -7   => 'operation timeout',
    -8   => 'bad arguments',
    -9   => 'invalid zhandle state',
    -100 => 'api error',
    -101 => 'no node',
    -102 => 'not authenticated',
    -103 => 'bad version',
    -108 => 'no children for ephemerals',
    -110 => 'node exists',
    -111 => 'not empty',
    -112 => 'session expired',
    -113 => 'invalid callback',
    -114 => 'invalid acl',
    -115 => 'authentication failed',
    -116 => 'zookeeper is closing',
    -117 => '(not error) no server responses to process',
    -999 => 'unknown error',
);
is zerror($_), $error{$_},                "zerror($_)" for sort { $b <=> $a } keys %error;
is zerror(2),  do { local $! = 2; "$!" }, 'zerror of a positive number is what the system says';
{
    local $! = 13;
    zerror(2);
    is $! + 0, 13, 'zerror leaves $! alone';
}
unlike zerror($_), qr/unknown/, "zerror($_) has words" for -12 .. -15, -118 .. -125, -127;

my %event =
  ( 1 => 'created', 2 => 'deleted', 3 => 'changed', 4 => 'child', -1 => 'session', -2 => 'not watching' );
is zevent($_), $event{$_},      "zevent($_)" for sort keys %event;
is zevent(99), 'unknown event', 'zevent of another number';

my %state = (
    -112 => 'expired session',
    -113 => 'auth failed',
    1    => 'connecting',
    2    => 'associating',
    3    => 'connected'
);
is zstate($_), $state{$_},      "zstate($_)" for sort keys %state;
is zstate(99), 'unknown state', 'zstate of another number';

my %perm = (
    1  => 'read',
    2  => 'write',
    4  => 'create',
    8  => 'delete',
    16 => 'admin',
    7  => 'create|read|write',
    31 => 'all',
    30 => 'admin|create|delete|write',
    0  => 'unknown perm',
    64 => 'unknown perm',
);
is zperm($_), $perm{$_}, "zperm($_)" for sort { $a <=> $b } keys %perm;

{
    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, @_ };
    is_deeply [ zerror(undef), zevent(undef), zstate(undef), zperm(undef) ],
      [ 'unknown error', 'unknown event', 'unknown state', 'unknown perm' ], 'undef is unknown everywhere';
    is_deeply \@warnings, [], 'without a warning';
}

done_testing;

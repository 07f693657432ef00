use strict;
use warnings;
use Test::More;
use lib 't/lib';
use DropIn;

use ZooKeeper::Constants ();
use ZooKeeper::Error;

# ZooKeeper::Constants: every name, value, tag and text. What programs of the CPAN module know comes first; what is
# newer is listed apart, so that nothing else is exported.
my %old = (
    errors => {
        ZOK                      => 0,
        ZSYSTEMERROR             => -1,
        ZRUNTIMEINCONSISTENCY    => -2,
        ZDATAINCONSISTENCY       => -3,
        ZCONNECTIONLOSS          => -4,
        ZMARSHALLINGERROR        => -5,
        ZUNIMPLEMENTED           => -6,
        ZOPERATIONTIMEOUT        => -7,
        ZBADARGUMENTS            => -8,
        ZINVALIDSTATE            => -9,
        ZAPIERROR                => -100,
        ZNONODE                  => -101,
        ZNOAUTH                  => -102,
        ZBADVERSION              => -103,
        ZNOCHILDRENFOREPHEMERALS => -108,
        ZNODEEXISTS              => -110,
        ZNOTEMPTY                => -111,
        ZSESSIONEXPIRED          => -112,
        ZINVALIDCALLBACK         => -113,
        ZINVALIDACL              => -114,
        ZAUTHFAILED              => -115,
        ZCLOSING                 => -116,
        ZNOTHING                 => -117,
    },
    node_flags => { ZOO_EPHEMERAL => 1, ZOO_SEQUENCE => 2 },
    acl_ids    => {},
    acl_perms  => {
        ZOO_PERM_READ   => 1,
        ZOO_PERM_WRITE  => 2,
        ZOO_PERM_CREATE => 4,
        ZOO_PERM_DELETE => 8,
        ZOO_PERM_ADMIN  => 16,
        ZOO_PERM_ALL    => 31,
    },
    acls   => {},
    events => {
        ZOO_CREATED_EVENT     => 1,
        ZOO_DELETED_EVENT     => 2,
        ZOO_CHANGED_EVENT     => 3,
        ZOO_CHILD_EVENT       => 4,
        ZOO_SESSION_EVENT     => -1,
        ZOO_NOTWATCHING_EVENT => -2,
    },
    states => {
        ZOO_EXPIRED_SESSION_STATE => -112,
        ZOO_AUTH_FAILED_STATE     => -113,
        ZOO_CONNECTING_STATE      => 1,
        ZOO_ASSOCIATING_STATE     => 2,
        ZOO_CONNECTED_STATE       => 3,
    },
    ops     => { ZOO_CREATE_OP => 1, ZOO_DELETE_OP => 2, ZOO_SETDATA_OP => 5, ZOO_CHECK_OP => 13 },
    version => {},
);

# What is no number.
my %other = (
    errors    => [qw(zerror)],
    acl_ids   => [qw(ZOO_ANYONE_ID_UNSAFE ZOO_AUTH_IDS)],
    acl_perms => [qw(zperm)],
    acls      => [qw(ZOO_OPEN_ACL_UNSAFE ZOO_READ_ACL_UNSAFE ZOO_CREATOR_ALL_ACL)],
    events    => [qw(zevent)],
    states    => [qw(zstate)],
    version   => [qw(ZOOKEEPER_VERSION)],
);

# Names that the CPAN module did not have.
my %new = (
    errors => [
        qw(ZUNKNOWNSESSION ZNEWCONFIGNOQUORUM ZRECONFIGINPROGRESS ZSSLCONNECTIONERROR ZSESSIONMOVED ZNOTREADONLY
          ZEPHEMERALONLOCALSESSION ZNOWATCHER ZREQUESTTIMEOUT ZRECONFIGDISABLED ZSESSIONCLOSEDREQUIRESASLAUTH
          ZQUOTAEXCEEDED ZTHROTTLEDOP)
    ],
    node_flags => [qw(ZOO_CONTAINER ZOO_PERSISTENT_WITH_TTL ZOO_PERSISTENT_SEQUENTIAL_WITH_TTL)],
    events     => [
        qw(ZOO_DATA_WATCH_REMOVED_EVENT ZOO_CHILD_WATCH_REMOVED_EVENT ZOO_PERSISTENT_WATCH_REMOVED_EVENT
          ZOO_RESYNC_EVENT)
    ],
    states => [qw(ZOO_READONLY_STATE ZOO_SSL_CONNECTING_STATE ZOO_NOTCONNECTED_STATE)],
    ops    => [qw(ZOO_CREATE2_OP ZOO_CREATE_CONTAINER_OP ZOO_CREATE_TTL_OP)],
);

sub names_of {
    my ($tag) = @_;
    return ( keys %{ $old{$tag} }, @{ $other{$tag} // [] }, @{ $new{$tag} // [] } );
}

# The functions that a package has after importing this.
my $imports = 0;

sub imported {
    my (@what) = @_;
    my $package = 'Importer' . ++$imports;
    eval "package $package; ZooKeeper::Constants->import(\@what); 1" or die $@;
    no strict 'refs';
    return {
        map  { $_ => *{"${package}::$_"}{CODE} }
        grep { *{"${package}::$_"}{CODE} } keys %{"${package}::"}
    };
}

subtest 'exports everything by default' => sub {
    is_deeply [ sort keys %{ imported() } ], [ sort map { names_of($_) } keys %old ], 'and nothing besides';
};

for my $tag ( sort keys %old ) {
    subtest "tag :$tag" => sub {
        my $got = imported(":$tag");
        is_deeply [ sort keys %$got ], [ sort( names_of($tag) ) ], 'these names, and nothing besides';
        is json( [ $got->{$_}->() ] ), "[$old{$tag}{$_}]", $_ for sort keys %{ $old{$tag} };
    };
}

subtest 'tag :all' => sub {
    is_deeply [ sort keys %{ imported(':all') } ], [ sort map { names_of($_) } keys %old ], 'everything';
};

subtest 'single names, and several tags at once' => sub {
    is_deeply [ sort keys %{ imported(qw(ZNONODE zerror)) } ], [qw(ZNONODE zerror)], 'names';
    is_deeply [ sort keys %{ imported(qw(:acl_ids :version ZOK)) } ],
      [qw(ZOK ZOOKEEPER_VERSION ZOO_ANYONE_ID_UNSAFE ZOO_AUTH_IDS)], 'tags';
    like thrown { imported('ZNOSUCH') }, qr/"ZNOSUCH" is not exported/, 'no such name';
};

BEGIN { ZooKeeper::Constants->import }

subtest 'ZOO_ANYONE_ID_UNSAFE, ZOO_AUTH_IDS: flat lists' => sub {
    is_deeply [ZOO_ANYONE_ID_UNSAFE], [ id => 'anyone', scheme => 'world' ], 'ZOO_ANYONE_ID_UNSAFE';
    is_deeply [ZOO_AUTH_IDS],         [ id => '',       scheme => 'auth' ],  'ZOO_AUTH_IDS';
    is_deeply { ZOO_AUTH_IDS, perms => ZOO_PERM_READ }, { id => '', scheme => 'auth', perms => 1 },
      'to be part of a hash';
};

subtest 'ACLs: array refs' => sub {
    is_deeply ZOO_OPEN_ACL_UNSAFE, [ { id => 'anyone', scheme => 'world', perms => 31 } ],
      'world:anyone, all';
    is_deeply ZOO_READ_ACL_UNSAFE, [ { id => 'anyone', scheme => 'world', perms => 1 } ],
      'world:anyone, read';
    is_deeply ZOO_CREATOR_ALL_ACL, [ { id => '', scheme => 'auth', perms => 31 } ], q(auth, '', all);
    is_deeply [ @{ ZOO_READ_ACL_UNSAFE() }, @{ +ZOO_CREATOR_ALL_ACL } ],
      [ { id => 'anyone', scheme => 'world', perms => 1 }, { id => '', scheme => 'auth', perms => 31 } ],
      'to be joined';
};

subtest 'constants are constants' => sub {
    is prototype('ZooKeeper::Constants::ZNONODE'), '', 'without arguments';
    is ZOO_PERM_READ | ZOO_PERM_WRITE,             3,  'they can stand before an operator';
    my %by_code = ( ZNONODE, 'none', ZNODEEXISTS() => 'there' );
    is_deeply \%by_code, { -101 => 'none', -110 => 'there' }, 'and be keys';
};

subtest 'ZOOKEEPER_VERSION: the version of the ZooKeeper API that is implemented' => sub {
    like ZOOKEEPER_VERSION, qr/\A3\.\d+\.\d+\z/, 'three numbers';
};

subtest 'zerror($code)' => sub {
    my %text = (
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
    );
    is_deeply [ sort values %{ $old{errors} } ], [ sort keys %text ], 'all codes are here';
    is zerror($_), $text{$_}, "code $_" for sort { $b <=> $a } keys %text;
    for my $errno ( 1, 2, 13, 111 ) {
        is zerror($errno), do { local $! = $errno; "$!" }, "$errno: the operating system's text";
    }
    is zerror($_), 'unknown error', "$_: anything else unknown" for -10, -99, -104, -126, -1_000_000;
    isnt zerror( ZooKeeper::Constants->can($_)->() ), 'unknown error', "$_ has a text" for @{ $new{errors} };
    is zerror( ZooKeeper::Error->new( code => -101 ) ), 'no node',     'an error counts as its code';
};

subtest 'zevent($type)' => sub {
    my %text = (
        1  => 'created',
        2  => 'deleted',
        3  => 'changed',
        4  => 'child',
        -1 => 'session',
        -2 => 'not watching'
    );
    is zevent($_), $text{$_}, "type $_" for sort keys %text;
    is zevent($_), 'unknown event', "$_: else" for 0, 99, -99;
};

subtest 'zstate($state)' => sub {
    my %text = (
        -112 => 'expired session',
        -113 => 'auth failed',
        1    => 'connecting',
        2    => 'associating',
        3    => 'connected',
    );
    is zstate($_), $text{$_}, "state $_" for sort keys %text;
    is zstate($_), 'unknown state', "$_: else" for 0, 99, -99;
};

subtest 'zperm($bits): all, or the names of the bits sorted and joined' => sub {
    my @names = ( [ 1, 'read' ], [ 2, 'write' ], [ 4, 'create' ], [ 8, 'delete' ], [ 16, 'admin' ] );
    for my $bits ( 1 .. 30 ) {
        is zperm($bits), join( '|', sort map { $_->[1] } grep { $bits & $_->[0] } @names ), "bits $bits";
    }
    is zperm(7),  'create|read|write', 'the example';
    is zperm(31), 'all',               'all bits';
    is zperm($_), 'unknown perm',      "$_: else" for 0, 32, 64;
};

done_testing;

use strict;
use warnings;
use utf8;
use Test::More;
use Digest::SHA qw(sha1_base64);
use lib 't/lib';
use Kazoo;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

# What one client writes the other reads: kazoo shares no line with this one. The watches are in
# interop-kazoo-watches.t, the recipes in interop-kazoo-recipes.t.
my $kazoo = kazoo();
my $hosts = test_hosts();
my @args  = ( hosts => $hosts, timeout => 30_000, dispatcher => 'Pipe' );
my $zk    = ZooKeeper->new( @args, utf8 => 1 );
my $kz    = $kazoo->client($hosts);
my $base  = fresh_path('kazoo');
$zk->create( $base, parents => 1 );

my $TRUE = JSON::PP::true;

# A method of kazoo's client.
sub kz { my (@call) = @_; return $kazoo->call( $kz, @call ) }

# Passes when the call fails like this.
sub fails_like {
    my ( $code, $like, $name ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok !eval { $code->(); 1 }, "$name: fails";
    return like $@, $like, $name;
}

# What both say of a node is the same, and this.
sub same_stat_ok {
    my ( $path, $name ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $stat = $zk->exists($path);
    is scalar keys %$stat, 11, "$name: all fields";
    return is_deeply kz( exists => $path ), $stat, $name;
}

subtest 'data' => sub {
    my %case = (
        'every byte' => join( '', map { chr } 0 .. 255 ),
        'one NUL'    => "\0",
        'UTF-8'      => "\xc3\xa9",
        'long'       => join( '', map { chr( $_ * 7 % 256 ) } 1 .. 250_000 ),
    );
    for my $name ( sort keys %case ) {
        ( my $node = "$base/data-$name" ) =~ tr/ /-/;
        my $bytes = $case{$name};
        $zk->create( $node, value => $bytes );
        ok kz( get => $node )->[0] eq $bytes, "$name: theirs is ours";
        my $other = reverse $bytes;
        kz( set => $node, data($other) );
        ok $zk->get($node) eq $other, "$name: ours is theirs";
        kz( create => "$node-2", data($bytes) );
        ok $zk->get("$node-2") eq $bytes, "$name: created there";
        same_stat_ok( $node, "$name: the stat" );
    }
};

subtest 'no data, and empty data' => sub {
    $zk->create( "$base/null-1",  value => undef );
    $zk->create( "$base/empty-1", value => '' );
    kz( create => "$base/null-2",  undef );
    kz( create => "$base/empty-2", data('') );
    for my $n ( 1, 2 ) {
        is scalar $zk->get("$base/null-$n"),   undef, "null, created by $n: undef here";
        is kz( get => "$base/null-$n" )->[0],  undef, '... and None there';
        is scalar $zk->get("$base/empty-$n"),  '',    "empty, created by $n: empty here";
        is kz( get => "$base/empty-$n" )->[0], '',    '... and there';
        same_stat_ok( "$base/$_-$n", "the stat of $_-$n" ) for qw(null empty);
    }
    $zk->set( "$base/empty-1", undef );
    is kz( get => "$base/empty-1" )->[0], undef, 'set to null here';
    kz( set => "$base/null-1", data('') );
    is scalar $zk->get("$base/null-1"), '', 'set to empty there';
};

subtest 'paths that are text' => sub {
    my @names = ( 'späße', 'Ελλάς', '日本語', 'имя', 'e' . "\x{301}" );
    my $bytes = ZooKeeper->new(@args);
    $zk->create("$base/text");
    for my $n ( 0 .. $#names ) {
        my $node = "$base/text/$names[$n]";
        if ( $n % 2 ) { is $zk->create($node), $node, "name $n: created here" }
        else          { is kz( create => $node ), $node, "name $n: created there" }
        ok $zk->exists($node),    'it is there for us';
        ok kz( exists => $node ), 'and for kazoo';
        utf8::encode( my $encoded = $node );
        ok $bytes->exists($encoded), 'and for a handle whose paths are bytes';
    }
    is_deeply [ sort $zk->get_children("$base/text") ],         [ sort @names ], 'the children, here';
    is_deeply [ sort @{ kz( get_children => "$base/text" ) } ], [ sort @names ], 'and there';
};

subtest 'children and stats' => sub {
    $zk->create("$base/family");
    for my $n ( 1 .. 20 ) {
        $n % 2 ? $zk->create("$base/family/n$n") : kz( create => "$base/family/n$n" );
    }
    $zk->delete("$base/family/n2");
    kz( delete => "$base/family/n1" );
    my ( $names, $stat ) = $zk->get_children2("$base/family");
    is_deeply [ sort @$names ], [ sort map { "n$_" } 3 .. 20 ], 'all that are left';
    is_deeply kz( get_children => "$base/family" ), $names, 'kazoo has them in the same order';
    is_deeply kz( get_children => "$base/family", named => { include_data => $TRUE } ), [ $names, $stat ],
      'and the same stat with them';
    same_stat_ok( "$base/family", 'exists' );
    is_deeply kz( create => "$base/family/both", named => { include_data => $TRUE } )->[1],
      $zk->exists("$base/family/both"), 'the stat of what kazoo creates';
    my ( $path, $made ) = $zk->create2("$base/family/ours");
    is_deeply kz( exists => $path ), $made, 'and of what we create';
    is $zk->get_all_children_number("$base/family"), 20, 'get_all_children_number counts both';
};

subtest 'names with numbers' => sub {
    $zk->create("$base/seq");
    my @made = map {
            $_ % 2
          ? $zk->create( "$base/seq/n-", sequential => 1 )
          : kz( create => "$base/seq/n-", named => { sequence => $TRUE } )
    } 0 .. 19;
    is_deeply \@made, [ map { sprintf "$base/seq/n-%010d", $_ } 0 .. 19 ], 'one row of numbers for both';
};

subtest 'versions' => sub {
    my $stat = kz( set => $zk->create("$base/version"), data('1') );
    fails_like sub { $zk->set( "$base/version", 'x', version => 0 ) }, qr/bad version/,
      'the version before theirs';
    my $next = $zk->set( "$base/version", '2', version => $stat->{version} );
    is $next->{version}, 2, 'the one that kazoo was told';
    fails_like sub { kz( set => "$base/version", data('y'), 1 ) }, qr/BadVersionError/,
      'kazoo with an older one';
    is kz( set => "$base/version", data('3'), 2 )->{version}, 3, 'and with ours';
    fails_like sub { $zk->delete( "$base/version", version => 2 ) }, qr/bad version/,
      'delete with an older one';
    kz( delete => "$base/version", 3 );
    is $zk->exists("$base/version"), undef, 'and with the right one';
    fails_like sub { kz( get => "$base/version" ) }, qr/NoNodeError/, 'what is gone is gone for both';
};

subtest 'ephemerals' => sub {
    my $ours   = ZooKeeper->new(@args);
    my $theirs = $kazoo->client($hosts);
    $ours->create( "$base/eph-ours", ephemeral => 1 );
    $kazoo->call( $theirs, create => "$base/eph-theirs", named => { ephemeral => $TRUE } );
    my ($id) = @{ $kazoo->call( $theirs, 'client_id' ) };
    is kz( exists => "$base/eph-ours" )->{ephemeralOwner}, $ours->client_id->{client_id}, 'ours';
    is $zk->exists("$base/eph-theirs")->{ephemeralOwner},  $id,                           'theirs';
    same_stat_ok( "$base/eph-$_", $_ ) for qw(ours theirs);
    fails_like sub { $zk->create("$base/eph-theirs/below") }, qr/no children for ephemerals/,
      'nothing below theirs';
    fails_like sub { kz( create => "$base/eph-ours/below" ) }, qr/NoChildrenForEphemeralsError/,
      'nor below ours';
    $ours->close;
    is kz( exists => "$base/eph-ours" ), undef, 'ours is gone when it is closed';
    $kazoo->call( $theirs, 'stop' );
    is $zk->exists("$base/eph-theirs"), undef, 'theirs as well';
};

subtest 'containers, and nodes that live for a time' => sub {
    $zk->create( "$base/container", container => 1,       value => 'c' );
    $zk->create( "$base/ttl",       ttl       => 600_000, value => 't' );
    is kz( get => "$base/container" )->[0], 'c', 'a container';
    is kz( get => "$base/ttl" )->[0],       't', 'a TTL node';
    same_stat_ok( "$base/$_", "the stat of a $_ node" ) for qw(container ttl);
    kz( create => "$base/container/x", data('x') );
    is scalar $zk->get("$base/container/x"), 'x', 'kazoo creates in our container';
};

subtest 'access lists' => sub {
    my $acl = $kazoo->call(
        security => 'make_digest_acl',
        'kazoo', 'söcret', named => { read => $TRUE, write => $TRUE }
    );
    utf8::encode( my $credentials = 'kazoo:söcret' );
    is $acl->{id}, 'kazoo:' . sha1_base64($credentials) . '=', 'make_digest_acl, as we would compute it';

    my $theirs = $kazoo->keep( security => 'make_digest_acl', 'kazoo', 'söcret', named => { all => $TRUE } );
    kz( create => "$base/acl-theirs", data('theirs'), [ { object => $theirs } ] );
    fails_like sub { $zk->get("$base/acl-theirs") }, qr/not authenticated/, 'nobody may read it';
    my $ours = ZooKeeper->new( @args, utf8 => 1, authentication => [ digest => $credentials ] );
    is scalar $ours->get("$base/acl-theirs"), 'theirs', 'but who has the password';
    is_deeply [ map { $_->{id} } grep { $_->{scheme} eq 'digest' } $ours->whoami ], ['kazoo'], 'by this name';
    is_deeply [ $ours->get_acl("$base/acl-theirs") ],
      [
        [ { scheme => 'digest', id => $acl->{id}, perms => ZOO_PERM_ALL } ],
        $ours->exists("$base/acl-theirs")
      ],
      'get_acl here';
    my ( $listed, $stat ) = @{ kz( get_acls => $base ) };
    is_deeply [ $listed, $stat ], [ $zk->get_acl($base) ], 'get_acls there: the same list, and the same stat';

    my $id = 'ours:' . sha1_base64('ours:secret') . '=';
    $zk->create(
        "$base/acl-ours",
        value => 'ours',
        acl   => [ { scheme => 'digest', id => $id, perms => ZOO_PERM_READ } ]
    );
    fails_like sub { kz( get => "$base/acl-ours" ) }, qr/NoAuthError/, 'kazoo may not read ours';
    my $knows = $kazoo->client($hosts);
    is $kazoo->call( $knows, add_auth => 'digest', 'ours:secret' ), 1, 'add_auth there';
    is $kazoo->call( $knows, get => "$base/acl-ours" )->[0], 'ours', 'then it may';
    fails_like sub { $kazoo->call( $knows, set => "$base/acl-ours", data('x') ) }, qr/NoAuthError/,
      'but not write';

    $ours->create( "$base/acl-auth", acl => ZOO_CREATOR_ALL_ACL );
    my $too = $kazoo->client( $hosts, auth_data => [ [ 'digest', 'kazoo:söcret' ] ] );
    is_deeply $kazoo->call( $too, get_acls => "$base/acl-auth" )->[0],
      [ { scheme => 'digest', id => $acl->{id}, perms => ZOO_PERM_ALL } ],
      'whoever creates a node is the same for both';
    $kazoo->call(
        $too,
        set_acls => "$base/acl-auth",
        [ { acl => [ ZOO_PERM_READ, 'world', 'anyone' ] } ], 0
    );
    is_deeply scalar $zk->get_acl("$base/acl-auth"), ZOO_READ_ACL_UNSAFE, 'set_acls there';
    fails_like sub { $zk->set_acl( "$base/acl-ours", ZOO_OPEN_ACL_UNSAFE ) }, qr/not authenticated/,
      'set_acl without the right';
    $zk->create("$base/acl-open");
    $zk->set_acl( "$base/acl-open",
        [ map { +{ %$_, perms => ZOO_PERM_READ | ZOO_PERM_ADMIN } } @{ +ZOO_OPEN_ACL_UNSAFE } ] );
    is_deeply kz( get_acls => "$base/acl-open" )->[0],
      [ { scheme => 'world', id => 'anyone', perms => ZOO_PERM_READ | ZOO_PERM_ADMIN } ], 'set_acl here';
    fails_like sub { kz( set_acls => "$base/acl-open", [ { acl => [ 31, 'world', 'anyone' ] } ], 0 ) },
      qr/BadVersionError/, 'with an older version there';
};

subtest 'transactions' => sub {
    my $results = [
        $zk->transaction->create( "$base/tx-1", value => 'one' )->create( "$base/tx-1/n-", sequential => 1 )
          ->set( "$base/tx-1", 'two' )->check( "$base/tx-1", 1 )->delete("$base/tx-1/n-0000000000")->commit ];
    is kz( get    => "$base/tx-1" )->[0],     'two',                      'kazoo sees what ours did';
    is kz( exists => "$base/tx-1" )->{pzxid}, $results->[2]{stat}{czxid}, 'all of it one transaction';

    my $tx = $kazoo->keep( $kz, 'transaction' );
    $kazoo->call( $tx, create   => "$base/tx-2",    data('one') );
    $kazoo->call( $tx, create   => "$base/tx-2/n-", named => { sequence => $TRUE } );
    $kazoo->call( $tx, set_data => "$base/tx-2",    data('two') );
    $kazoo->call( $tx, check    => "$base/tx-2",    1 );
    $kazoo->call( $tx, delete   => "$base/tx-1" );
    my $stat;
    is_deeply $kazoo->call( $tx, 'commit' ),
      [
        "$base/tx-2", "$base/tx-2/n-0000000000", { %{ $stat = $zk->exists("$base/tx-2") }, numChildren => 1 },
        1,            1
      ],
      'the results of theirs';
    is scalar $zk->get("$base/tx-2"), 'two', 'and we see what it did';
    is $zk->exists("$base/tx-1"),     undef, 'all of it';

    my $bad = $kazoo->keep( $kz, 'transaction' );
    $kazoo->call( $bad, delete => "$base/tx-2/n-0000000000" );
    $kazoo->call( $bad, check  => "$base/tx-2", 7 );
    $kazoo->call( $bad, delete => "$base/tx-2" );
    is_deeply [ map { $_->{exception} } @{ $kazoo->call( $bad, 'commit' ) } ],
      [qw(RolledBackError BadVersionError RuntimeInconsistency)], 'one of theirs that fails';
    my @ours =
      $zk->transaction->delete("$base/tx-2/n-0000000000")->check( "$base/tx-2", 7 )->delete("$base/tx-2")
      ->commit;
    is_deeply [ map { $_->{code} } @ours ], [ ZOK, ZBADVERSION, ZRUNTIMEINCONSISTENCY ], 'the same of ours';
    ok $zk->exists("$base/tx-2/n-0000000000"), 'nothing was done';
};

subtest 'ten thousand children' => sub {
    $zk->create("$base/many");
    for my $part ( 0 .. 9 ) {
        my $tx = $zk->transaction;
        $tx = $tx->create( "$base/many/" . 'n' x 60 . "-$_" ) for map { $part * 500 + $_ } 0 .. 499;
        $tx->commit;
        my $theirs = $kazoo->keep( $kz, 'transaction' );
        $kazoo->ask( $theirs, create => "$base/many/" . 'k' x 60 . "-$_" )
          for map { $part * 500 + $_ } 0 .. 499;
        $kazoo->call( $theirs, 'commit' );
    }
    my @names = $zk->get_children("$base/many");
    is scalar @names, 10_000, 'are there';
    ok "@names" eq join( ' ', @{ kz( get_children => "$base/many" ) } ), 'and kazoo lists the same';
    is kz( exists => "$base/many" )->{numChildren}, 10_000, 'numChildren there';
    $zk->delete( "$base/many", recursive => 1 );
    is kz( exists => "$base/many" ), undef, 'none is left when we have deleted them';
};

subtest 'a chroot' => sub {
    $zk->create("$base/root");
    my $ours   = ZooKeeper->new( @args, hosts => "$hosts$base/root" );
    my $theirs = $kazoo->client("$hosts$base/root");
    is $ours->create( '/x', value => 'ours' ), '/x', 'create here';
    is $kazoo->call( $theirs, get => '/x' )->[0], 'ours', 'get there';
    is $kazoo->call( $theirs, create => '/y-', named => { sequence => $TRUE } ), '/y-0000000001',
      'create there';
    is_deeply [ sort $ours->get_children('/') ],        [qw(x y-0000000001)], 'get_children here';
    is_deeply [ sort $zk->get_children("$base/root") ], [qw(x y-0000000001)], 'and from above';
};

done_testing;

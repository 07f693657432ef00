use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

my $zk   = ZooKeeper->new( hosts => test_hosts() );
my $base = fresh_path('create');

is_deeply [ $zk->create($base) ],       [$base], 'returns the path';
is_deeply [ $zk->get_children($base) ], [],      'and the node is there';

subtest 'value' => sub {
    my %value =
      ( text => 'abc', empty => '', null => undef, zero => 0, binary => join( '', map { chr } 0 .. 255 ) );
    for my $name ( sort keys %value ) {
        $zk->create( "$base/$name", value => $value{$name} );
        is_deeply [ scalar $zk->get("$base/$name") ], [ $value{$name} ], "$name comes back as it was";
    }
    $zk->create("$base/none");
    is scalar $zk->get("$base/none"), undef, 'no value is null data';
};

subtest 'acl' => sub {
    is_deeply scalar $zk->get_acl($base), ZOO_OPEN_ACL_UNSAFE, 'open to everybody by default';
    $zk->create( "$base/read", acl => ZOO_READ_ACL_UNSAFE );
    is_deeply scalar $zk->get_acl("$base/read"), ZOO_READ_ACL_UNSAFE, 'the one that is given';
    $zk->create( "$base/undef", acl => undef );
    is_deeply scalar $zk->get_acl("$base/undef"), ZOO_OPEN_ACL_UNSAFE, 'undef is none given';
    my $acl    = [ { ZOO_ANYONE_ID_UNSAFE, perms => ZOO_PERM_READ | ZOO_PERM_DELETE } ];
    my $strict = ZooKeeper->new( hosts => test_hosts(), default_acl => $acl );
    $strict->create("$base/default");
    is_deeply scalar $zk->get_acl("$base/default"), $acl, 'default_acl of the handle';
};

subtest 'ephemeral' => sub {
    $zk->create( "$base/e", ephemeral => 1 );
    is $zk->exists("$base/e")->{ephemeralOwner}, $zk->client_id->{client_id}, 'belongs to the session';
    $zk->create( "$base/p", ephemeral => 0 );
    is $zk->exists("$base/p")->{ephemeralOwner}, 0, 'a persistent one to nobody';
    ok !eval { $zk->create("$base/e/child"); 1 }, 'it has no children';
    ok $@ == ZNOCHILDRENFOREPHEMERALS,            $@;
};

subtest 'sequential' => sub {
    my @made = map { $zk->create( "$base/s-", sequential => 1, value => $_ ) } 1 .. 3;
    like $_, qr{\A\Q$base\E/s-[0-9]{10}\z}, "$_ has a number" for @made;
    is_deeply [ sort @made ], \@made, 'numbers rise';
    is scalar $zk->get( $made[1] ), 2, 'the path returned is the one created';
    my $both = $zk->create( "$base/both-", sequential => 1, ephemeral => 1 );
    ok $zk->exists($both)->{ephemeralOwner}, 'ephemeral and sequential';
    like $zk->create( "$base/", sequential => 1 ), qr{\A\Q$base\E/[0-9]{10}\z},
      'a name of nothing but the number';
};

subtest 'what programs pass, and has no effect' => sub {
    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, @_ };
    my $long = 'x' x 5_000;
    $zk->create( "$base/long", value => $long, buffer_length => 10, persistent => 1 );
    is scalar $zk->get( "$base/long", buffer_length => 10 ), $long, 'buffer_length cuts nothing';
    is_deeply \@warnings, [], 'no warning';
};

subtest 'errors' => sub {
    my $line = __LINE__ + 1;
    ok !eval { $zk->create($base); 1 }, 'the node is there already';
    my $error = $@;
    isa_ok $error, 'ZooKeeper::Error';
    is $error->code,  ZNODEEXISTS,                                                               'code';
    is $error->error, 'node exists',                                                             'error';
    is "$error",      "Error creating node '$base': node exists at ${\ __FILE__} line $line.\n", 'message';
    is $error->op,    'create',                                                                  'op';
    is $error->path,  $base,                                                                     'path';
    ok !$error->maybe_applied, 'surely not done';

    ok !eval { $zk->create("$base/no/such/parent"); 1 }, 'no parent';
    is $@->code, ZNONODE, 'code';
    like $@, qr{\AError creating node '\Q$base\E/no/such/parent': no node at }, 'message';
    ok !
      eval { $zk->create( "$base/acl", acl => [ { id => 'x', scheme => 'nosuchscheme', perms => 31 } ] ); 1 },
      'an acl that the server does not like';
    is $@->code, ZINVALIDACL, 'code';
};

done_testing;

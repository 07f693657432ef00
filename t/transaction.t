use strict;
use warnings;
use Test::More;
use lib 't/lib';
use FakeZK;
use TestZK;

use Scalar::Util qw(refaddr);
use ZooKeeper;
use ZooKeeper::Constants;

my $zk   = ZooKeeper->new( hosts => test_hosts() );
my $base = fresh_path('transaction');
$zk->create($base);

subtest 'all four operations' => sub {
    my $transaction = $zk->transaction;
    isa_ok $transaction, 'ZooKeeper::Transaction';
    my @results =
      $transaction->create( "$base/a", value => 'v' )->set( "$base/a", 'w' )->check( "$base/a", 1 )
      ->create("$base/b")->delete("$base/b")->commit;
    my $stat = $zk->exists("$base/a");
    is_deeply \@results,
      [
        { type => 'create', path => "$base/a" },
        { type => 'set',    stat => $stat },
        { type => 'check' },
        { type => 'create', path => "$base/b" },
        { type => 'delete' },
      ],
      'one result for each';
    is scalar $zk->get("$base/a"), 'w',   'the node is there';
    is $zk->exists("$base/b"),     undef, 'and the other one gone';
};

subtest 'arguments of create' => sub {
    my $acl = ZOO_READ_ACL_UNSAFE;
    my @results =
      $zk->transaction->create( "$base/s-", sequential => 1, value => '' )
      ->create( "$base/e", ephemeral => 1 )
      ->create( "$base/acl", acl => $acl, buffer_length => 1, value => 'not cut' )->create("$base/null")
      ->commit;
    like $results[0]{path}, qr{\A\Q$base\E/s-[0-9]{10}\z}, 'sequential';
    is scalar $zk->get( $results[0]{path} ), '', 'empty data';
    ok $zk->exists("$base/e")->{ephemeralOwner}, 'ephemeral';
    is_deeply scalar $zk->get_acl("$base/acl"), $acl, 'acl';
    is scalar $zk->get("$base/acl"),  'not cut', 'value, whatever the buffer_length';
    is scalar $zk->get("$base/null"), undef,     'null data';
    is_deeply scalar $zk->get_acl("$base/null"), ZOO_OPEN_ACL_UNSAFE, 'no acl: the default';

    my $strict = ZooKeeper->new( hosts => $zk->hosts, default_acl => $acl );
    $strict->transaction->create("$base/default")->commit;
    is_deeply scalar $zk->get_acl("$base/default"), $acl, 'default_acl of the handle';
};

subtest 'versions' => sub {
    $zk->create("$base/v");
    is scalar( my @r = $zk->transaction->set( "$base/v", 1 )->set( "$base/v", 2, version => 1 )->commit ), 2,
      'set';
    is $zk->exists("$base/v")->{version}, 2, 'with the version expected, or any';
    is_deeply [ map { $_->{code} } $zk->transaction->delete( "$base/v", version => 7 )->commit ],
      [ZBADVERSION], 'delete';
    is_deeply [ map { $_->{code} } $zk->transaction->check( "$base/v", 1 )->commit ], [ZBADVERSION], 'check';
    is_deeply [ $zk->transaction->check( "$base/v", 2 )->delete( "$base/v", version => 2 )->commit ],
      [ { type => 'check' }, { type => 'delete' } ], 'the right ones';
};

subtest 'an operation that fails undoes all' => sub {
    my @results = $zk->transaction->create("$base/new")->create("$base/a")->delete("$base/new")->commit;
    is_deeply \@results,
      [
        { type => 'error', code => ZOK,                   message => 'ok' },
        { type => 'error', code => ZNODEEXISTS,           message => 'node exists' },
        { type => 'error', code => ZRUNTIMEINCONSISTENCY, message => 'run time inconsistency' },
      ],
      'ok before it, its own error, run time inconsistency behind it';
    is $zk->exists("$base/new"), undef, 'nothing was done';
};

subtest 'a transaction never changes' => sub {
    my $empty = $zk->transaction;
    my $one   = $empty->create("$base/one");
    my $two   = $one->create("$base/two");
    my $other = $one->create("$base/other");
    isnt refaddr($one), refaddr($empty), 'each operation makes a new one';
    is_deeply [ $empty->commit ], [], 'the first is still empty';
    is scalar( my @made = $one->commit ), 1, 'the second still has one operation';
    $zk->delete("$base/one");
    is_deeply [ map { $_->{path} } $other->commit ], [ "$base/one", "$base/other" ],
      'two were made from the same';
    $zk->delete("$base/$_") for qw(one other);
    is_deeply [ map { $_->{path} } $two->commit ], [ "$base/one", "$base/two" ],
      'with no effect on each other';
    is $two->commit + 0,            2,           'in scalar context: how many';
    is + ( $two->commit )[0]{code}, ZNODEEXISTS, 'and it can be committed again';
};

subtest 'in an object of its own, and no more than it' => sub {
    my $gone = do {
        my $handle = ZooKeeper->new( hosts => $zk->hosts );
        $handle->transaction->delete("$base/a");
    };
    is $gone->handle, undef, 'the handle is held weakly';
    my $line = __LINE__ + 1;
    ok !eval { $gone->commit; 1 }, 'commit without a handle';
    is $@->code, ZINVALIDSTATE, 'code';
    like $@,
      qr/\AError committing transaction: invalid zhandle state: .* at \Q${\ __FILE__}\E line $line\.\n\z/,
      'message';

    my $closed = ZooKeeper->new( hosts => $zk->hosts );
    $closed->close;
    ok !eval { $closed->transaction->delete("$base/a")->commit; 1 }, 'commit on a closed handle';
    is $@->code, ZINVALIDSTATE, 'code';
    is_deeply [ $closed->transaction->commit ], [], 'an empty one needs no session';
    ok $zk->exists("$base/a"), 'nothing was done';
};

subtest 'arguments that no server would take' => sub {
    my $server = FakeZK->new(
        sub {
            my ($connection) = @_;
            $connection->handshake or return;
            $connection->serve(ZNONODE);
        }
    );
    my $fake = ZooKeeper->new( hosts => $server->hosts );
    deadline 30, sub { $fake->wait_connected };
    my @bad = (
        [ create => 'x' ],
        [ create => '/x/' ],
        [ create => undef ],
        [ delete => '' ],
        [ delete => '/x',    version => 'new' ],
        [ set    => "/a\0b", 'v' ],
        [ set    => '/x',    'v', version => 5_000_000_000 ],
        [ check  => '/x//y', 1 ],
        [ check  => '/x',    'one' ],
        [ check  => '/x',    undef ],
    );
    for my $bad (@bad) {
        my ( $op, @args ) = @$bad;
        my $transaction = $fake->transaction->create('/good')->$op(@args);
        my $line        = __LINE__ + 1;
        ok !eval { $transaction->commit; 1 }, "$op: commit throws";
        ok ref $@ && $@ == ZBADARGUMENTS,     'bad arguments' or diag $@;
        like $@,
qr/\AError committing transaction: bad arguments: .*\b2 \($op\).* at \Q${\ __FILE__}\E line $line\.\n\z/s,
          'names the second operation';
    }
    for my $wrong (
        [ set    => '/x', [] ],
        [ set    => '/x', "\x{263a}" ],
        [ create => '/x', acl => 'open' ],
        [ delete => [] ]
      )
    {
        my ( $op, @args ) = @$wrong;
        ok !eval { $fake->transaction->$op(@args)->commit; 1 }, "$op with a wrong type";
        is ref $@, '', 'a plain message';
        like $@, qr/$op/, 'names the operation';
    }
    for my $ops ( ['create'], [ {} ], [undef] ) {
        ok !eval { ZooKeeper::Transaction->new( handle => $fake, ops => $ops )->commit; 1 },
          'an operation that is no array ref';
        like $@, qr/\Acommit: operation 1 must be an array ref at \Q${\ __FILE__}\E line/,
          'says what was expected';
    }
    is_deeply [ $fake->transaction->commit ], [], 'no operation: an empty list';
    is_deeply [ $server->notes ],             [], 'nothing was sent in all of this';
};

subtest 'many operations' => sub {
    my $transaction = $zk->transaction;
    $transaction = $transaction->create( "$base/many-$_", value => $_ ) for 1 .. 500;
    $transaction = $transaction->delete("$base/many-$_")                for 1 .. 500;
    my @results = $transaction->commit;
    is scalar @results, 1000, '1000 results';
    is_deeply $results[499], { type => 'create', path => "$base/many-500" }, 'each in its place';
    is_deeply $results[999], { type => 'delete' },                           'to the last';
};

done_testing;

use strict;
use warnings;
use Test::More;
use lib 't/lib';
use DropIn;
use FakeZK;
use TestZK;

use Scalar::Util qw(isweak refaddr);
use ZooKeeper;
use ZooKeeper::Constants;

# ZooKeeper::Transaction.
my $server = test_server();
my $zk     = ZooKeeper->new( hosts => $server->hosts );
my $base   = fresh_path('transaction');
$zk->create($base);

# The results in a word each: type, or the code of an error.
sub outline {
    return [ map { $_->{type} eq 'error' ? $_->{code} : $_->{type} } @_ ];
}

subtest 'a program that names the class, which came with the other' => sub {
    my $transaction = ZooKeeper::Transaction->new( handle => $zk );
    is_deeply outline( $transaction->check( $base, 0 )->commit ), ['check'], 'makes transactions by it';
};

subtest 'create, delete, set, check: each returns a new transaction with the op added' => sub {
    my $empty  = $zk->transaction;
    my $create = $empty->create("$base/new");
    my $delete = $create->delete("$base/new");
    my $set    = $create->set( "$base/new" => 'v' );
    my $check  = $set->check( "$base/new", 1 );
    my @steps  = ( $empty, $create, $delete, $set, $check );
    isa_ok $_, 'ZooKeeper::Transaction' for @steps;
    is scalar( keys %{ { map { refaddr $_ => 1 } @steps } } ), 5, 'five of them';
    is_deeply outline( $empty->commit ),  [],                     'the first is as it was';
    is_deeply outline( $delete->commit ), [qw(create delete)],    'each has what was added to it';
    is_deeply outline( $check->commit ),  [qw(create set check)], 'and not what was added elsewhere';
    is_deeply outline( $check->commit ), [ ZNODEEXISTS, (ZRUNTIMEINCONSISTENCY) x 2 ],
      'it can be committed again';
    $zk->delete("$base/new");
};

subtest 'in the style of the original: a chain, results in a list' => sub {
    my ( $created, $set, $checked, $deleted ) =
      $zk->transaction->create( "$base/chain", value => 'v' )->set( "$base/chain" => 'w' )
      ->check( "$base/chain", 1 )->delete( "$base/chain", version => 1 )->commit;
    is_deeply $created, { type => 'create', path => "$base/chain" }, 'create';
    is_deeply [ sort keys %$set ], [qw(stat type)], 'set';
    is $set->{type}, 'set', 'set: type';
    is_deeply [ sort keys %{ $set->{stat} } ], [ sort keys %{ $zk->exists($base) } ], 'set: stat';
    is $set->{stat}{version}, 1, 'set: the new version';
    is_deeply $checked, { type => 'check' },  'check';
    is_deeply $deleted, { type => 'delete' }, 'delete';
};

subtest 'create($path, acl, buffer_length, ephemeral, sequential, value)' => sub {
    my @made =
      map { $_->{path} }
      $zk->transaction->create( "$base/acl", acl => ZOO_READ_ACL_UNSAFE )
      ->create( "$base/long",      value      => 'x' x 5_000, buffer_length => 3 )
      ->create( "$base/ephemeral", ephemeral  => 1 )->create( "$base/seq-", sequential => 1 )
      ->create( "$base/seq-",      sequential => 1, ephemeral => 1 )->create("$base/null")
      ->create( "$base/undef",     map { $_ => undef } qw(acl buffer_length ephemeral sequential value) )
      ->create( "$base/empty",     value => '' )->commit;
    is_deeply scalar $zk->get_acl( $made[0] ), ZOO_READ_ACL_UNSAFE, 'acl';
    is length $zk->get( $made[1] ),               5_000,                       'buffer_length cuts nothing';
    is $zk->exists( $made[2] )->{ephemeralOwner}, $zk->client_id->{client_id}, 'ephemeral';
    like $made[3], qr{\A\Q$base\E/seq-\d{10}\z}, 'sequential: the path created';
    cmp_ok $made[4], 'gt', $made[3], 'with rising numbers';
    is_deeply [ map { scalar $zk->get($_) } @made[ 5 .. 7 ] ], [ undef, undef, '' ], 'value';
    is_deeply scalar $zk->get_acl( $made[6] ), ZOO_OPEN_ACL_UNSAFE, 'undef counts as not given';
    my $transaction = $zk->transaction;
    $transaction = $transaction->delete($_) for @made;
    is_deeply outline( $transaction->commit ), [ ('delete') x @made ], 'delete';
};

subtest 'delete($path, version), set($path, $value, version): default to any version' => sub {
    my $path = $zk->create("$base/version");
    $zk->set( $path => 'v' );
    is_deeply outline( $zk->transaction->set( $path, 'w', version => 0 )->commit ), [ZBADVERSION],
      'set: another';
    is_deeply outline( $zk->transaction->delete( $path, version => 0 )->commit ), [ZBADVERSION],
      'delete: another';
    is_deeply outline( $zk->transaction->set( $path, 'w', version => 1 )->commit ), ['set'],
      'set: the right one';
    is_deeply outline( $zk->transaction->set( $path, undef, version => undef )->commit ), ['set'],
      'set: undef';
    is scalar $zk->get($path), undef, 'a value of undef is null data';
    is_deeply outline( $zk->transaction->delete( $path, version => undef )->commit ), ['delete'],
      'delete: undef';
};

subtest 'check($path, $version)' => sub {
    my $path = $zk->create("$base/check");
    is_deeply outline( $zk->transaction->check( $path,      0 )->commit ), ['check'],     'the right one';
    is_deeply outline( $zk->transaction->check( $path,      7 )->commit ), [ZBADVERSION], 'another';
    is_deeply outline( $zk->transaction->check( "$path-no", 0 )->commit ), [ZNONODE],     'no node';
    $zk->delete($path);
};

subtest 'when an op failed, nothing was done and all are {type => error, code, message}' => sub {
    my @results =
      $zk->transaction->create("$base/a")->create("$base/b")->check( "$base/no-node", 0 )->create("$base/c")
      ->delete("$base/a")->commit;
    my $result = sub { { type => 'error', code => $_[0], message => zerror( $_[0] ) } };
    is_deeply \@results, [ map { $result->($_) } ZOK, ZOK, ZNONODE, (ZRUNTIMEINCONSISTENCY) x 2 ],
      'ZOK for those before the culprit, ZRUNTIMEINCONSISTENCY after it';
    is json( [ map { $_->{code} } @results ] ), '[0,0,-101,-2,-2]', 'codes are numbers';
    is_deeply [ $zk->get_children($base) ], [], 'nothing was done';
    my ($culprit) = grep { $_->{type} eq 'error' && $_->{code} != ZOK } @results;
    is $culprit->{message}, 'no node', 'how programs find it';
};

my $fake = FakeZK->new( sub { $_[0]->handshake and $_[0]->serve(ZNONODE) } );

subtest 'no ops: an empty list, nothing sent' => sub {
    my $own = ZooKeeper->new( hosts => $fake->hosts );
    deadline 60, sub { $own->wait_connected };
    is_deeply [ $own->transaction->commit ], [], 'an empty list';
    is scalar $own->transaction->commit, undef, 'undef in scalar context';
    eval { $own->get('/asked') };
    is_deeply [ $fake->notes ], ['get /asked'], 'nothing sent';
    my $closed = ZooKeeper->new( hosts => '127.0.0.1:1' );
    $closed->close;
    is_deeply [ $closed->transaction->commit ], [], 'not even without a session';
};

subtest 'an op with arguments that no server would take makes commit throw ZBADARGUMENTS, naming the op' =>
  sub {
    my $own = ZooKeeper->new( hosts => $fake->hosts );
    deadline 60, sub { $own->wait_connected };
    my %bad = (
        create => ['relative'],
        delete => ['/x/'],
        set    => [ "/\0", 'v' ],
        check  => [ '/x',  'one' ],
    );
    for my $op ( sort keys %bad ) {
        my $transaction = $own->transaction->create('/good')->$op( @{ $bad{$op} } );
        my $line        = __LINE__ + 1;
        my $error       = thrown { $transaction->commit };
        is $error->code, ZBADARGUMENTS, "$op: code";
        like $error,
qr/\AError committing transaction: bad arguments: operation 2 \($op\): .* at \Q${\ __FILE__}\E line $line\.\n\z/s,
          "$op: message";
    }
    is_deeply [ grep { $_ ne 'close' } $fake->notes ], [], 'nothing was sent';
  };

subtest 'wrong Perl types die with a plain message' => sub {
    my %wrong = (
        'an acl that is none'  => [ create => '/x', acl => 'open' ],
        'a reference as value' => [ set    => '/x', [] ],
        'a reference as path'  => [ delete => [] ],
        'no value'             => [ set    => '/x' ],
        'no version to check'  => [ check  => '/x' ],
    );
    for my $name ( sort keys %wrong ) {
        my ( $op, @args ) = @{ $wrong{$name} };
        my $error = thrown { $zk->transaction->$op(@args)->commit };
        is ref $error, '', $name;
        like $error, qr/\b$op\b.*(?:must be|expected) .* at \Q${\ __FILE__}\E line \d+\.\n\z/,
          "$name: message";
    }
    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, @_ };
    $zk->transaction->create( '/x', epehmeral => 1 );
    like "@warnings", qr/\Acreate: unknown argument 'epehmeral' has no effect at \Q${\ __FILE__}\E line/,
      'an unknown argument is but warned of';
};

subtest 'when the commit itself failed (connection, session), it throws' => sub {
    my $closed = ZooKeeper->new( hosts => $server->hosts );
    my $late   = $closed->transaction->create("$base/late");
    $closed->close;
    my $line  = __LINE__ + 1;
    my $error = thrown { $late->commit };
    is_error( $error, ZINVALIDSTATE, 'Error committing transaction: invalid zhandle state', $line, 'closed' );
    my $absent = ZooKeeper->new( hosts => '127.0.0.1:1', timeout => 300, request_timeout => 60 );
    $error = thrown {
        deadline 60,
          sub { $absent->transaction->create('/x')->commit }
    };
    is $error->code, ZCONNECTIONLOSS, 'no connection';
    my $expired = ZooKeeper->new( hosts => $server->hosts );
    $expired->exists('/');
    $server->expire_session($expired);
    wait_for { $expired->is_unrecoverable } 60, 'the news';  # till then a commit may find its connection lost
    is thrown { $expired->transaction->create("$base/late")->commit }->code, ZSESSIONEXPIRED, 'expired';
    is $zk->exists("$base/late"),                                            undef, 'nothing was done';
};

subtest 'bound (weakly) to the handle' => sub {
    my $own         = ZooKeeper->new( hosts => $server->hosts );
    my $transaction = $own->transaction->create("$base/weak");
    ok isweak( $transaction->{handle} ), 'weakly';
    undef $own;
    is thrown { $transaction->commit }->code, ZINVALIDSTATE, 'the handle is gone';
};

done_testing;

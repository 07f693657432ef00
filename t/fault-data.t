# What the CPAN module cut, or corrupted, of the data that went through it. Each subtest is named after the symptom.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use FakeZK;
use Faults;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

my $zk   = ZooKeeper->new( hosts => test_hosts(), dispatcher => 'Pipe' );
my $base = fresh_path('fault-data');
$zk->create($base);

# Compares without printing a megabyte.
sub same {
    my ( $got, $expected, $name ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $ok = defined $got && $got eq $expected;
    return ok( $ok, $name ) || diag sprintf 'got %s bytes, expected %d',
      defined $got ? length $got : 'undef instead of', length $expected;
}

subtest 'get_children of more than 120 names does not corrupt the stack' => sub {
    my $deep;
    $deep = sub { my ( $level, @names ) = @_; return $level ? $deep->( $level - 1, @names ) : @names };
    for my $count ( 119, 120, 121, 122, 128, 5_000 ) {
        my $path  = "$base/$count";
        my @names = map { sprintf 'child-%05d', $_ } 1 .. $count;
        $zk->create($path);
        create_children( $zk, $path, @names );

        my @got = $zk->get_children($path);
        is_deeply [ sort @got ], \@names, "$count: in list context";
        is scalar $zk->get_children($path), $count, "$count: in scalar context";
        is_deeply [ sort $zk->get_children($path) ], \@names, "$count: in sort";
        is_deeply [ sort { $a cmp $b } map { "$_" } grep { length } $zk->get_children($path) ], \@names,
          "$count: in map and grep";
        my @around = ( 'before', ( map { $_ } 1 .. 3 ), $zk->get_children($path), 'behind' );
        is_deeply [ @around[ 0 .. 3, -1 ] ], [ 'before', 1, 2, 3, 'behind' ], "$count: between other values";
        is scalar @around, $count + 5, "$count: as many";
        is_deeply [ sort( $deep->( 50, $zk->get_children($path) ) ) ], \@names, "$count: as arguments";
        is join( '', map { length } ( $zk->get_children($path) )[ 0, -1 ] ), '1111', "$count: in a slice";
        my %is_there = map { $_ => 1 } $zk->get_children($path), $zk->get_children($path);
        is scalar keys %is_there, $count, "$count: twice in a list";
    }
};

subtest 'get_children at every level of a recursion does not corrupt the stack' => sub {
    my $path = "$base/5000";
    my $walk;
    $walk = sub {
        my ( $level, @names ) = @_;
        return @names if !$level;
        return ( $level, $walk->( $level - 1, $zk->get_children($path) ), $level );
    };
    my @got = $walk->(20);
    is_deeply [ @got[ 0 .. 19 ] ],   [ reverse 1 .. 20 ], 'what stands before the names is whole';
    is_deeply [ @got[ -20 .. -1 ] ], [ 1 .. 20 ],         'and what stands behind them';
    is scalar @got,                        5_040, 'and they are all there';
    is scalar( grep { /\Achild-/ } @got ), 5_000, 'and are names';
};

subtest 'get_children of 100,000 names returns them all' => sub {
    my $path = "$base/very-many";
    $zk->create($path);
    create_children( $zk, $path, 1 .. 100_000 );
    my $wrong = 0;
    my $last  = 0;
    $_ == ++$last or $wrong++ for sort { $a <=> $b } $zk->get_children($path);
    is $last,                           100_000, 'in list context';
    is $wrong,                          0,       'each once';
    is scalar $zk->get_children($path), 100_000, 'in scalar context';
};

subtest 'data longer than 2048 bytes is not cut' => sub {
    my $all = join '', map { chr } 0 .. 255;
    for my $size ( 2_047, 2_048, 2_049, 65_536, 1_000_000 ) {
        my $data  = substr $all x ( $size / 256 + 1 ), 0, $size;
        my $other = reverse $data;
        for my $length ( undef, 10, 2_048, 5_000_000 ) {
            my $path = "$base/" . join '-', 'data', $size, $length // 'default';
            my $handle =
              ZooKeeper->new( hosts => $zk->hosts, dispatcher => 'Pipe', buffer_length => $length );
            my @buffer = ( buffer_length => $length );
            my $name   = "$size bytes, buffer_length " . ( $length // 'not given' );
            $handle->create( $path, value => $data, @buffer );
            same scalar $handle->get( $path, @buffer ), $data, "$name: create and get";
            same scalar $handle->get($path),            $data, "$name: get with that of the handle";
            same( ( $handle->get( $path, @buffer ) )[0], $data, "$name: in list context" );
            $handle->set( $path => $other );
            same scalar $handle->get($path), $other, "$name: set";

            my @result = $handle->transaction->create( "$path-t", value => $data, @buffer )->commit;
            is_deeply \@result, [ { type => 'create', path => "$path-t" } ], "$name: in a transaction";
            same scalar $handle->get("$path-t"), $data, "$name: transaction create";
            $handle->transaction->set( "$path-t" => $other )->commit;
            same scalar $handle->get("$path-t"), $other, "$name: transaction set";
            $handle->delete($_) for $path, "$path-t";
        }
    }
};

subtest 'a path longer than buffer_length is not cut' => sub {
    my $long = 'n' x 3_000;
    for my $length ( undef, 5, 2_048 ) {
        my $handle = ZooKeeper->new( hosts => $zk->hosts, dispatcher => 'Pipe', buffer_length => $length );
        my $path   = "$base/path-" . ( $length // 'default' );
        my @buffer = ( buffer_length => $length );
        $handle->create($path);
        same $handle->create( "$path/$long", @buffer ), "$path/$long", 'create';
        same $handle->create( "$path/$long-", sequential => 1, @buffer ), "$path/$long-0000000001",
          'sequential';
        my ($result) = $handle->transaction->create( "$path/t$long", @buffer )->commit;
        same $result->{path},                                "$path/t$long", 'in a transaction';
        same join( ' ', sort $handle->get_children($path) ), "$long $long-0000000001 t$long", 'get_children';
    }
};

subtest 'null data and empty data are told apart' => sub {
    $zk->create("$base/null");
    $zk->create( "$base/empty", value => '' );
    is scalar $zk->get("$base/null"),  undef, 'nothing';
    is scalar $zk->get("$base/empty"), '',    'an empty string';
};

subtest 'data with NUL bytes is not cut' => sub {
    my $path = "$base/nul";
    for my $data ( "\0", "a\0b", "\0\0\0", "a\0" ) {
        $zk->create( $path, value => $data );
        is scalar $zk->get($path), $data, 'create';
        $zk->set( $path => "x$data" );
        is scalar $zk->get($path), "x$data", 'set';
        $zk->transaction->set( $path => "y$data" )->create( "$path-t", value => $data )->commit;
        is scalar $zk->get($path),     "y$data", 'transaction set';
        is scalar $zk->get("$path-t"), $data,    'transaction create';
        $zk->delete($_) for $path, "$path-t";
    }
};

subtest 'a path with a NUL byte is refused, not cut' => sub {
    my $path = "$base/cut";
    $zk->create( $path, value => 'whole' );
    my $bad = "$path\0/x";
    my $cb  = sub { };
    my $acl = ZOO_OPEN_ACL_UNSAFE;
    for my $call (
        [ create       => $bad ],
        [ create       => $bad, sequential => 1 ],
        [ delete       => $bad ],
        [ exists       => $bad ],
        [ exists       => $bad, watcher => $cb ],
        [ get          => $bad ],
        [ get          => $bad, watcher => $cb ],
        [ set          => $bad, 'v' ],
        [ get_children => $bad ],
        [ get_children => $bad, watcher => $cb ],
        [ get_acl      => $bad ],
        [ set_acl      => $bad, $acl ],
        [ ensure_path  => $bad ],
      )
    {
        my ( $method, @args ) = @$call;
        my $error = eval { $zk->$method(@args); 1 } ? 'it worked' : $@;
        is ref $error && $error->code, ZBADARGUMENTS, $method . ( @args > 2 ? ' with more' : '' )
          or diag $error;
    }
    for my $transaction (
        $zk->transaction->create($bad),
        $zk->transaction->delete($bad),
        $zk->transaction->set( $bad => 'v' ),
        $zk->transaction->check( $bad, -1 ),
        $zk->transaction->set( $path => 'half' )->delete($bad)
      )
    {
        my $error = eval { $transaction->commit; 1 } ? 'it worked' : $@;
        is ref $error && $error->code, ZBADARGUMENTS, 'in a transaction' or diag $error;
    }
    is scalar $zk->get($path), 'whole', 'the node with the shorter name is as it was';
    is_deeply [ $zk->get_watchers ], [], 'and no watcher is kept';
    is_deeply [
        map {
            eval { ZooKeeper->new( hosts => $_ ) }
              ? 'taken'
              : 0 + $@
        } "$zk->{hosts}\0.example",
        "$zk->{hosts}/root\0"
      ],
      [ (ZBADARGUMENTS) x 2 ], 'nor hosts with one';
};

subtest 'credentials with NUL bytes are sent whole' => sub {
    my $server = FakeZK->new(
        sub { my ($connection) = @_; $connection->handshake and $connection->serve( ZNONODE, whole => 1 ) } );
    my $fake        = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
    my $credentials = "user:\0pass\0";
    $fake->add_auth( 'digest', $credentials );
    $fake->exists('/x');
    my ($sent) = grep { /\Aauth / } $server->notes;
    is $sent, 'auth ' . unpack( 'H*', pack 'N N/a* N/a*', 0, 'digest', $credentials ), 'to the last byte';

    my @args = ( hosts => $zk->hosts, dispatcher => 'Pipe' );
    my $mine = ZooKeeper->new( @args, authentication => [ 'digest', "alice:\0one" ] );
    $mine->create( "$base/alice", value => 'v', acl => ZOO_CREATOR_ALL_ACL );
    my $wrong = ZooKeeper->new( @args, authentication => [ 'digest', "alice:\0two" ] );
    is eval { $wrong->get("$base/alice"); 1 } // 0 + $@, ZNOAUTH, 'what stands behind it counts';
    my $right = ZooKeeper->new( @args, authentication => [ 'digest', "alice:\0one" ] );
    is eval { $right->get("$base/alice") } // $@, 'v', 'all of it';
};

subtest 'an ACL id with a NUL byte is sent whole' => sub {
    my $server = FakeZK->new(
        sub { my ($connection) = @_; $connection->handshake and $connection->serve( ZNONODE, whole => 1 ) } );
    my $fake = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
    my $acl  = [ { scheme => "ip\0x", id => "one\0two", perms => ZOO_PERM_ALL } ];
    my $wire = unpack 'H*', pack 'N N N/a* N/a*', 1, ZOO_PERM_ALL, "ip\0x", "one\0two";
    for my $call ( [ create => '/x', acl => $acl ], [ set_acl => '/x', $acl ] ) {
        my ( $method, @args ) = @$call;
        eval { $fake->$method(@args) };
        my ($sent) = grep { /\A$method / } $server->notes;
        like $sent, qr/$wire/, $method;
    }
    eval { $fake->transaction->create( '/x', acl => $acl )->commit };
    like join( ' ', $server->notes ), qr/multi .*$wire/, 'in a transaction';
};

done_testing;

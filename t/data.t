use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

my $zk   = ZooKeeper->new( hosts => test_hosts() );
my $base = fresh_path('data');
$zk->create($base);

# Written by create and by set, read in both contexts; the comparison is not printed.
my $all  = join '', map { chr } 0 .. 255;
my %data = (
    '1 byte'                        => 'x',
    'a NUL'                         => "\0",
    'all bytes'                     => $all,
    '2048 bytes'                    => 'a' x 2048,
    '2049 bytes'                    => 'b' x 2048 . 'c',
    '64 KB'                         => $all x 256,
    '900 KB'                        => $all x 3600,
    'what looks like a number'      => '0 but true',
    'a zero'                        => '0',
    'bytes that look like UTF-8'    => "\xc3\xa4",
    'bytes that do not'             => "\xff\xfe",
    'latin-1 without the utf8 flag' => do { my $s = "\xe4"; utf8::downgrade($s); $s },
    'latin-1 with the utf8 flag'    => do { my $s = "\xe4"; utf8::upgrade($s);   $s },
);
my $number = 0;
for my $name ( sort keys %data ) {
    my $data = $data{$name};
    my $path = "$base/" . $number++;
    $zk->create( $path, value => $data );
    ok scalar $zk->get($path) eq $data, "$name: create and get";
    my ( $got, $stat ) = $zk->get($path);
    ok $got eq $data, "$name: in list context";
    is $stat->{dataLength}, length $data, "$name: as many bytes";
    ok !utf8::is_utf8($got), "$name: bytes come back";
    $zk->set( $path => $data );
    ok scalar $zk->get($path) eq $data, "$name: set and get";
}

for my $case ( [ 'null', undef ], [ 'empty', '' ] ) {
    my ( $name, $data ) = @$case;
    my $path = "$base/$name";
    $zk->create( $path, value => $data );
    is_deeply [ scalar $zk->get($path) ], [$data], "$name data by create";
    is( ( $zk->get($path) )[1]{dataLength}, 0, 'has no length' );
    $zk->set( $path, 'x' );
    $zk->set( $path, $data );
    is_deeply [ scalar $zk->get($path) ], [$data], "$name data by set";
}

subtest 'scalars are left alone' => sub {
    my $path = "$base/alone";
    my $data = "\xe4";
    utf8::upgrade($data);
    $zk->create( $path, value => $data );
    ok utf8::is_utf8($data), 'a string keeps its flag';
    my $n = 42;
    $zk->set( $path, $n );
    is scalar $zk->get($path), '42', 'a number is written as its digits';
    my $object = Stringy->new('as a string');
    $zk->set( $path, $object );
    is scalar $zk->get($path), 'as a string', 'an object as its string';
    isa_ok $object, 'Stringy';
    tie my $tied, 'Tied';
    $zk->set( $path, $tied );
    is scalar $zk->get($path), 'fetched once', 'a tied scalar is fetched once';
    my ( $one, $two ) = ( scalar $zk->get($path), scalar $zk->get($path) );
    $one .= ' and changed';
    is $two, 'fetched once', 'what get returned is the caller\'s own';
};

subtest 'too long a request' => sub {
    my $path = "$base/long";
    $zk->create($path);
    my $session = $zk->client_id->{client_id};
    ok !eval { $zk->set( $path, 'x' x 1_100_000 ); 1 }, '1.1 MB';
    like $@, qr/jute_maxbuffer/, 'names the option';
    like $@, qr/1[0-9]{6}/,      'and the length';
    ok !$@->maybe_applied, 'and was not sent';
    is $zk->set( $path, 'x' )->{version}, 1,        'the session works';
    is $zk->client_id->{client_id},       $session, 'and is the same';

    my $small = ZooKeeper->new( hosts => $zk->hosts, jute_maxbuffer => 1_000 );
    ok !eval { $small->set( $path, 'x' x 1_000 ); 1 }, 'a handle with a limit of its own';
    like $@, qr/jute_maxbuffer \(1000\)/, 'says which';
    ok eval { $small->set( $path, 'x' x 900 ); 1 }, 'shorter is fine';
    $zk->set( $path, 'x' x 5_000 );
    is length $small->get($path), 5_000, 'the limit is for requests';
};

subtest 'many children' => sub {
    my $path = "$base/many";
    $zk->create($path);
    my @names = map { sprintf 'a-rather-long-name-of-a-child-node-%05d', $_ } 1 .. 5_000;
    for my $from ( map { $_ * 500 } 0 .. 9 ) {
        my $transaction = $zk->transaction;
        $transaction = $transaction->create("$path/$_") for @names[ $from .. $from + 499 ];
        is scalar( my @made = $transaction->commit ), 500, '500 nodes';
    }
    my @got = sort $zk->get_children($path);
    is scalar @got, 5_000, 'get_children of 5000';
    is_deeply \@got, \@names, 'all of them';
    is scalar $zk->get_children($path), 5_000, 'in scalar context: how many';
};

{

    package Stringy;
    use overload '""' => sub { ${ $_[0] } };
    sub new { my ( $class, $string ) = @_; return bless \$string, $class }

    package Tied;
    sub TIESCALAR { my $count = 0; return bless \$count }
    sub FETCH     { return ${ $_[0] }++ ? 'fetched again' : 'fetched once' }
}

done_testing;

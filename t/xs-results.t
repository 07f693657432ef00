use strict;
use warnings;

use POSIX ();
use Test::More;
use lib 't/lib';
use TestZK;
use ZooKeeper::Error;
use ZooKeeper::XS;

# What Rust makes of replies.
my $hosts = test_hosts();
my @acl   = { id => 'anyone', scheme => 'world', perms => 31 };
my @STAT  = qw(aversion ctime cversion czxid dataLength ephemeralOwner mtime mzxid numChildren pzxid version);
my $channel = ZooKeeper::Channel->new;
my $zk      = handle( channel => $channel );
my $base    = fresh_path('results');
is $zk->_create( $base, undef, \@acl, 0 ), $base, 'create gives the path';

subtest 'data and stat' => sub {
    my $path = $zk->_create( "$base/data", "\0bytes\xff", \@acl, undef );
    my @both = $zk->_get($path);
    is scalar @both, 2,             'get in list context';
    is $both[0],     "\0bytes\xff", 'data';
    ok !utf8::is_utf8( $both[0] ), 'are bytes';
    is_deeply [ sort keys %{ $both[1] } ], \@STAT, 'stat';
    is $both[1]{dataLength},    7,             'has values';
    is scalar $zk->_get($path), "\0bytes\xff", 'scalar context';
    $zk->_get($path);
    is $zk->_set( $path, undef, -1 )->{version}, 1,     'set gives a stat';
    is scalar $zk->_get($path),                  undef, 'null';
    is_deeply [ ( $zk->_get($path) )[0] ], [undef], 'null in a list';
    $zk->_set( $path, '' );
    is scalar $zk->_get($path), '', 'empty';
    $zk->_set( $path, 'x' x 500_000 );
    is length $zk->_get($path), 500_000, 'long';
    is_deeply $zk->_exists($path), ( $zk->_get($path) )[1], 'exists gives the stat';
    is_deeply [ $zk->_exists("$base/nothing") ],            [undef], 'or one undef';
    is_deeply [ $zk->_delete( $path, 3 ) ],                 [],      'delete gives nothing';
};

subtest 'names' => sub {
    my $path = $zk->_create( "$base/many", '', \@acl, 0 );
    is_deeply [ $zk->_get_children($path) ], [], 'none';
    is scalar $zk->_get_children($path), 0, 'none, in scalar context';
    my @names = map { sprintf 'child-%05d', $_ } 1 .. 3000;
    while ( my @some = splice @names, 0, 500 ) {
        $zk->_multi( [ map { [ 'create', "$path/$_", undef, \@acl, 0 ] } @some ] );
    }
    @names = map { sprintf 'child-%05d', $_ } 1 .. 3000;
    is_deeply [ sort $zk->_get_children($path) ], \@names, 'three thousand';
    is scalar $zk->_get_children($path), 3000, 'in scalar context how many';
    is_deeply [ 'before', ( sort $zk->_get_children($path) ), 'after' ], [ 'before', @names, 'after' ],
      'among other things on the stack';
};

subtest 'access lists' => sub {
    my @list = ( @acl, { id => '127.0.0.1', scheme => 'ip', perms => 1 } );
    my $path = $zk->_create( "$base/acl", '', \@list, 0 );
    my @both = $zk->_get_acl($path);
    is_deeply $both[0],                          \@list, 'come back';
    is_deeply [ sort keys %{ $both[1] } ],       \@STAT, 'with the stat';
    is_deeply scalar $zk->_get_acl($path),       \@list, 'alone in scalar context';
    is_deeply [ $zk->_set_acl( $path, \@acl ) ], [],     'set_acl gives nothing';
    is_deeply scalar $zk->_get_acl($path),       \@acl,  'and sets';
};

subtest 'transactions' => sub {
    my $path    = "$base/t";
    my @results = $zk->_multi(
        [
            [ 'create', $path,                'v',   \@acl, 0 ],
            [ 'create', "$path/s-",           undef, \@acl, 2 ],
            [ 'set',    $path,                'w',   0 ],
            [ 'check',  $path,                1 ],
            [ 'delete', "$path/s-0000000000", -1 ],
        ]
    );
    is_deeply [ map { $_->{type} } @results ], [qw(create create set check delete)], 'types';
    is $results[0]{path}, $path,                'path';
    is $results[1]{path}, "$path/s-0000000000", 'path of a sequential node';
    is_deeply [ sort keys %{ $results[2]{stat} } ], \@STAT, 'stat';
    is_deeply $results[4], { type => 'delete' }, 'nothing else';
    is_deeply [ $zk->_multi( [ [ 'check', $path, 1 ], [ 'check', $path, 7 ], [ 'delete', $path ] ] ) ],
      [ map { { type => 'error', code => $_ } } 0, -103, -2 ], 'one that fails';
    is_deeply [ $zk->_multi( [] ) ], [], 'one without operations';
};

subtest 'errors' => sub {
    my $line = __LINE__ + 1;
    ok !eval { $zk->_get("$base/nothing"); 1 }, 'it throws';
    is $@->code, -101,            'code';
    is $@->op,   'get',           'op';
    is $@->path, "$base/nothing", 'path';
    ok !$@->maybe_applied, 'not applied';
    is "$@", "Error getting data for node '$base/nothing': no node at ${\__FILE__} line $line.\n", 'message';
    my $small = handle( jute_maxbuffer => 1000 );
    ok !eval { $small->_create( "$base/big", 'x' x 2000, \@acl, 0 ); 1 }, 'a request that is too long';
    like "$@", qr/jute_maxbuffer/, 'names the limit';
    ok $small->_exists('/'), 'and does no harm';
};

subtest 'text' => sub {
    my $text  = handle( utf8 => 1, channel => my $events = ZooKeeper::Channel->new );
    my $name  = "caf\xe9-\x{969}";    # whose bytes are no control characters
    my $bytes = $name;
    utf8::encode($bytes);
    is $text->_create( "$base/$name", $bytes, \@acl, 0 ), "$base/$name", 'utf8: a path is text';
    is scalar $zk->_get("$base/$bytes"),                  $bytes,        'whose bytes are UTF-8';
    is scalar $zk->_get("$base/$name"), $bytes, 'what can only be text goes out as UTF-8 anyway';
    ok( ( grep { $_ eq $name } $text->_get_children($base) ), 'utf8: names are text' );
    ok( ( grep { $_ eq $bytes } $zk->_get_children($base) ),  'else bytes' );
    ok $text->_exists( "$base/$name", 77 ), 'utf8: a watch';
    utf8::upgrade( my $upgraded = "$base/$bytes" );
    ok $zk->_exists($upgraded),    'bytes are the same however Perl stores them';
    ok !$text->_exists($upgraded), 'utf8: and are the characters that they look like';
    $zk->_delete( "$base/$bytes", -1 );
    my $event = wait_for { $events->recv } 60, 'the event';
    is_deeply $event, { type => 2, state => 3, path => "$base/$name", watcher => 77 },
      'utf8: the path of an event is text';
    my @id   = { id => "caf\xe9:x", scheme => 'digest', perms => 31 };
    my $path = eval { $text->_create( "$base/id", '', [ @acl, @id ], 0 ) } or return diag "no such id: $@";
    is_deeply scalar $text->_get_acl($path), [ @acl, @id ], 'utf8: ids are text';
};

subtest 'events' => sub {
    $channel->recv while $channel->size;
    my $path = $zk->_create( "$base/watched", '', \@acl, 0 );
    $zk->_get( $path, 2**40 );
    $zk->_set( $path, 'x' );
    is $channel->size, 1, 'an event is there before the reply to what came after it';
    is_deeply $channel->recv, { type => 3, state => 3, path => $path, watcher => 2**40 }, 'with its watcher';
    is_deeply [ $zk->_add_auth( 'digest', "a:b\0", 5 ) ], [], 'add_auth gives nothing';
    my $event = wait_for { $channel->recv } 60, 'the event';
    is_deeply $event, { type => 0, state => 0, path => undef, watcher => 5 }, 'and tells the watcher';
};

subtest 'the session' => sub {
    my $own =
      handle( timeout => 7000, default_watcher => 3, channel => my $events = ZooKeeper::Channel->new );
    ok $own->_wait_connected(30), 'wait_connected';
    is_deeply $events->recv, { type => -1, state => 3, path => '', watcher => 3 },
      'the default watcher is told';
    is $own->_state, 3, 'state';
    ok !$own->_is_unrecoverable, 'is_unrecoverable';
    like $own->_server, qr/\A127\.0\.0\.1:\d+\z/, 'server' if $hosts !~ /[a-z]/;
    cmp_ok $own->_session_timeout, '>', 0, 'session_timeout';
    $own->_exists($base);
    cmp_ok $own->_last_zxid, '>', 0, 'last_zxid';
    my $id = $own->_client_id;
    is_deeply [ sort keys %$id ], [qw(client_id passwd)], 'client_id';
    is length $id->{passwd}, 16, 'passwd';
    $own->_default_watcher(undef);
    $own->_default_watcher(4);
    $own->_forget_watcher(4);
    $own->_close;
    $own->_close;
    is $own->_state, 999, 'closed';
    ok $own->_is_unrecoverable,           'is_unrecoverable';
    ok !eval { $own->_exists($base); 1 }, 'a call';
    is $@->code, -9, 'is refused';
};

subtest 'a session is resumed' => sub {

    # From a process that ends without a word: two handles would take the session away from each other.
    pipe my $read, my $write or die $!;
    my $pid = fork // die "fork: $!\n";
    if ( !$pid ) {
        my $first = handle();
        $first->_wait_connected(30);
        my $id = $first->_client_id;
        syswrite $write, "$id->{client_id} " . unpack 'H*', $id->{passwd};
        POSIX::_exit(0);
    }
    close $write;
    my ( $session, $passwd ) = split ' ', readline $read;
    waitpid $pid, 0;
    my $again = handle( client_id => { client_id => $session, passwd => pack 'H*', $passwd } );
    ok $again->_exists($base), 'by another process';
    is $again->_client_id->{client_id}, $session, 'the same session';
};

subtest 'nothing leaks' => sub {
    plan skip_all => 'Test::LeakTrace is not installed' if !eval { require Test::LeakTrace; 1 };
    my $path = $zk->_create( "$base/leak", 'x', \@acl, 0 );
    my $use  = sub {
        my @data = $zk->_get( $path, 9 );
        my $data = $zk->_get($path);
        $zk->_get($path);
        my @names = $zk->_get_children($base);
        my @acls  = $zk->_get_acl($path);
        my $acls  = $zk->_get_acl($path);
        my $stat  = $zk->_set( $path, 'y' );
        $stat = $zk->_exists( "$base/none", undef );
        my @results = $zk->_multi( [ [ 'set', $path, 'z', -1 ], [ 'check', $path, 12345 ] ] );
        @results = $zk->_multi( [ [ 'set', $path, 'z', -1 ], [ 'create', "$path/c", undef, \@acl, 0 ] ] );
        $zk->_delete( "$path/c", -1 );
        my @asked = ( $zk->_client_id, $zk->_server, $zk->_state );
        $channel->recv while $channel->size;
        my $own = handle( client_id => undef );
        $own->_exists('/');
        return;
    };
    $use->() for 1 .. 2;
    is Test::LeakTrace::leaked_count($use), 0, 'in no form of a call';
};

done_testing;

sub handle {
    my (%options) = @_;
    my $self      = bless {}, 'ZooKeeper';
    $self->_connect( { hosts => $hosts, timeout => 10_000, channel => ZooKeeper::Channel->new, %options } );
    return $self;
}

package OperationsSuite;
use strict;
use warnings;

use Exporter qw(import);
use Test::More;
use TestZK;
use ZooKeeper;
use ZooKeeper::Constants;

our @EXPORT = qw(operations warnings_of fails);

# Milliseconds.
my $LONGEST_TTL = ( 1 << 40 ) - 1;

# What the operations do that the original module does not have, against some server: results, errors, arguments.
# (Their forms are compared in AsyncCommands, under every loop.)
my ( $server, $hosts, $base, $follower, $zk );

sub operations {
    ($server) = @_;
    $hosts = $server->hosts;
    $base  = fresh_path('operations');

    # Not at the leader, which answers a sync before it has applied itself what others have seen already.
    my $leader = leader_of($server);
    ($follower) = grep { $server->count == 1 || $_ != $leader } 0 .. $server->count - 1;
    $zk = handle( hosts => $server->hosts($follower) );
    $zk->create($base);
    subtest 'create2'                 => \&create2;
    subtest 'get_children2'           => \&get_children2;
    subtest 'sync'                    => \&sync;
    subtest 'whoami'                  => \&whoami;
    subtest 'get_ephemerals'          => \&get_ephemerals;
    subtest 'get_all_children_number' => \&get_all_children_number;
    subtest 'get_config'              => \&get_config;
    subtest 'container and ttl'       => \&containers_and_ttl;
    subtest 'transactions'            => \&transactions;
    subtest 'below a chroot'          => \&below_a_chroot;
    subtest 'text'                    => \&text;
    subtest 'arguments'               => \&arguments;
    return;
}

sub handle {
    my (%arg) = @_;
    my $chroot = delete $arg{chroot} // '';
    return ZooKeeper->new( hosts => $hosts . $chroot, dispatcher => 'Pipe', %arg );
}

# The code dies of this code, or of a plain message if there is no code, with these words.
sub fails {
    my ( $code, $number, $words, $name ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $name //= $words;
    ok !eval { $code->(); 1 }, "$name: fails" or return;
    my $error = $@;
    is ref $error ? $error->code : undef, $number, "$name: with code " . ( $number // 'none' );
    return like "$error", ref $words ? $words : qr/\Q$words\E/, "$name: words";
}

sub warnings_of {
    my ($code) = @_;
    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, @_ };
    $code->();
    return @warnings;
}

sub create2 {
    my $path = "$base/create2";
    my ( $made, $stat ) = $zk->create2( $path, value => 'four' );
    is $made, $path, 'the path';
    is_deeply $stat, $zk->exists($path), 'and the stat';
    is $stat->{dataLength},            4,         'of the node with its data';
    is scalar $zk->create2("$path/x"), "$path/x", 'scalar context: the path';
    ( $made, $stat ) = $zk->create2( "$path/e-", ephemeral => 1, sequential => 1 );
    like $made, qr{\A\Q$path\E/e-[0-9]{10}\z}, 'sequential: the path created';
    is $stat->{ephemeralOwner}, $zk->client_id->{client_id}, 'ephemeral: of this session';
    fails( sub { $zk->create2($path) },          ZNODEEXISTS, "Error creating node '$path': node exists at" );
    fails( sub { $zk->create2("$base/none/x") }, ZNONODE,     "Error creating node '$base/none/x': no node" );
    fails( sub { $zk->create2('x') },            ZBADARGUMENTS, "Error creating node 'x': bad arguments" );
    return;
}

sub get_children2 {
    my $path = "$base/children2";
    $zk->create($path);
    my ( $names, $stat ) = $zk->get_children2($path);
    is_deeply $names, [], 'no children: an empty list';
    $zk->create("$path/$_") for 'a' .. 'e';
    my $heard = 0;
    ( $names, $stat ) = $zk->get_children2( $path, watcher => sub { $heard++ } );
    is_deeply [ sort @$names ], [ 'a' .. 'e' ],     'all names';
    is_deeply $stat,            $zk->exists($path), 'and the stat';
    is ref scalar $zk->get_children2($path), 'ARRAY', 'scalar context: the names';
    my ($watcher) = $zk->get_watchers( path => $path );
    is $watcher->type, 'get_children', 'the type of its watcher';
    $zk->create("$path/f");
    soon_ok { 1 while $zk->dispatcher->dispatch_event; $heard } 60, 'its watcher hears of another one';
    fails(
        sub {
            $zk->get_children2( "$base/none", watcher => sub { } );
        },
        ZNONODE,
        "Error getting children for node '$base/none': no node"
    );
    is_deeply [ $zk->get_watchers( path => "$base/none" ) ], [], 'and no watcher is left';
    return;
}

sub sync {
    is $zk->sync($base), $base, 'returns the path';
    my $writer = handle();
    my $reader = handle( hosts => $server->hosts($follower) );
    for my $n ( 1 .. 20 ) {
        $writer->set( $base, $n );
        $reader->sync($base);
        is scalar $reader->get($base), $n, "then all is seen that was done before: $n";
    }
    is $zk->sync("$base/none"), "$base/none", 'a node that is not there is synced all the same';
    fails( sub { $zk->sync('x') }, ZBADARGUMENTS, "Error syncing node 'x': bad arguments" );
    return;
}

sub whoami {
    my $me = handle();
    is_deeply [ $me->whoami ], [ { scheme => 'ip', id => '127.0.0.1' } ], 'an address at first';
    $me->add_auth( digest => 'user:password' );
    my @all = sort { $a->{scheme} cmp $b->{scheme} } $me->whoami;
    is_deeply \@all, [ { scheme => 'digest', id => 'user' }, { scheme => 'ip', id => '127.0.0.1' } ],
      'then the user, too, without password';
    is scalar $me->whoami, 2, 'scalar context: how many';
    return;
}

sub get_ephemerals {
    my $mine = handle();
    my $path = "$base/ephemerals";
    $mine->create($path);
    is_deeply [ $mine->get_ephemerals($path) ], [], 'none';
    $mine->create( "$path/$_", ephemeral => 1 ) for qw(a1 a2 b);
    my $other = handle();
    $other->create( "$path/other", ephemeral => 1 );
    is_deeply [ sort $mine->get_ephemerals($path) ], [ map { "$path/$_" } qw(a1 a2 b) ],
      'the paths of those that are of this session';
    is_deeply [ sort $mine->get_ephemerals("$path/a") ], [ map { "$path/$_" } qw(a1 a2) ],
      'whose paths begin like that';
    is_deeply [ sort $mine->get_ephemerals("$path/") ], [ map { "$path/$_" } qw(a1 a2 b) ],
      'a slash at the end';
    is scalar( my @all = $mine->get_ephemerals('/') ), 3, 'all: /';
    is scalar $mine->get_ephemerals('/'),              3, 'scalar context: how many';
    is scalar $_, 3, 'without a beginning: all'
      for scalar $mine->get_ephemerals, scalar $mine->get_ephemerals(undef),
      scalar( () = $mine->get_ephemerals_f(undef)->get );
    is scalar $mine->get_ephemerals( request_timeout => 60 ), 3, 'and with arguments by name alone';
    is scalar( () = $mine->get_ephemerals_f( request_timeout => 60 )->get ), 3, 'as a future, too';
    my @told;
    $mine->get_ephemerals( @$_, cb => sub { push @told, [@_] } )
      for [], [ request_timeout => 60 ], [ "$path/b", request_timeout => 60 ];
    wait_for { $mine->wait(0.1); @told == 3 } 60, 'three callbacks';
    is_deeply [ map { scalar @$_ } @told ], [ 4, 4, 2 ],
      'and told to a callback: an error, or undef, and paths';
    is_deeply [ $mine->get_ephemerals("$path/zzz") ], [], 'none that begins like that';
    fails( sub { $mine->get_ephemerals('x') },
        ZBADARGUMENTS, "Error getting ephemerals below 'x': bad arguments" );
    return;
}

sub get_all_children_number {
    my $path = "$base/count";
    $zk->ensure_path("$path/$_/x/y") for 'a' .. 'c';
    is $zk->get_all_children_number($path),         9, 'all below';
    is $zk->get_all_children_number("$path/a/x"),   1, 'below a node further down';
    is $zk->get_all_children_number("$path/a/x/y"), 0, 'none';
    cmp_ok $zk->get_all_children_number('/'), '>', 9, 'and in all';
    fails( sub { $zk->get_all_children_number("$base/none") },
        ZNONODE, "Error counting nodes below '$base/none': no node" );
    return;
}

sub get_config {
    my ( $config, $stat ) = $zk->get_config;
    is defined $config && ref $stat, 'HASH', 'data and stat';
    is_deeply [ $config, $stat ], [ $zk->get('/zookeeper/config') ], 'those of a node';
    is scalar $zk->get_config, $config, 'scalar context: the data';
    my $below = handle( chroot => $base );
    is scalar $below->get_config, $config, 'also below a chroot';
    $zk->get_config( watcher => sub { } );
    is_deeply [ map { $_->type } $zk->get_watchers( path => '/zookeeper/config' ) ], ['get_config'],
      'it takes a watcher';
    return;
}

sub containers_and_ttl {
    is $zk->create( "$base/container", container => 1 ), "$base/container", 'a container';
    like $zk->create( "$base/ttl-", ttl => 600_000, sequential => 1 ), qr/ttl-[0-9]{10}\z/,
      'a node with a time to live, and sequential';
    is $zk->create( "$base/ttl-$_", ttl => $_ ), "$base/ttl-$_", "ttl $_" for 1_000_000, $LONGEST_TTL;
    for my $ttl ( 0, -1, $LONGEST_TTL + 1, '1.5', 'soon', '' ) {
        fails( sub { $zk->create( "$base/x", ttl => $ttl ) },
            ZBADARGUMENTS,
            "Error creating node '$base/x': bad arguments: ttl '$ttl' is no whole number of milliseconds" );
    }
    my %wrong = (
        'ttl goes with neither ephemeral nor container' =>
          [ [ ttl => 1, ephemeral => 1 ], [ ttl => 1, container => 1 ] ],
        'container goes with neither ephemeral nor sequential' =>
          [ [ container => 1, ephemeral => 1 ], [ container => 1, sequential => 1 ] ],
    );
    for my $words ( sort keys %wrong ) {
        for my $args ( @{ $wrong{$words} } ) {
            fails( sub { $zk->create( "$base/x", @$args ) }, ZBADARGUMENTS, $words, "$words (@$args)" );
            fails( sub { $zk->transaction->create( "$base/x", @$args )->commit },
                ZBADARGUMENTS, $words, "$words (@$args), transaction" );
        }
    }
    is $zk->exists("$base/x"), undef, 'nothing was created';
    is $zk->create( "$base/plain", ttl => undef, container => undef, parents => undef ), "$base/plain",
      'undef counts as not given';
    return;
}

sub transactions {
    my $path = "$base/transaction";
    my @results =
      $zk->transaction->create2( $path, value => 'xyz' )->create2( "$path/s-", sequential => 1 )
      ->create2( "$path/e", ephemeral => 1 )->create( "$path/c", container => 1 )
      ->create( "$path/t-", ttl => 1_000_000, sequential => 1 )->create2( "$path/c2", container => 1 )
      ->commit;
    is_deeply [ map { $_->{type} } @results ], [qw(create2 create2 create2 create create create2)], 'types';
    is_deeply [ map { $_->{path} =~ s/\Q$path\E//r } @results ],
      [ '', '/s-0000000000', '/e', '/c', '/t-0000000003', '/c2' ], 'paths';

    # A server before 3.9 takes a create2 in a transaction for a create, and has no stat in its answer.
    my @stats   = map { $_->{stat} ? 1 : 0 } @results;
    my $version = wait_for { $server->version } 60, 'the version';
    my @first   = $version ge '3.9' ? 1 : 0;
    is_deeply \@stats, [ (@first) x 3, 0, 0, 1 ], 'stats' or diag explain \@results;
    is $results[0]{stat}{dataLength}, 3, 'the stat is the node\'s' if $results[0]{stat};
    is_deeply [ $zk->transaction->create2("$path/n")->create2($path)->commit ],
      [ map { { type => 'error', code => $_, message => zerror($_) } } ZOK, ZNODEEXISTS ],
      'all or nothing';
    fails( sub { $zk->transaction->delete($path)->create2( "$path/x", ttl => 0 )->commit },
        ZBADARGUMENTS, qr/ttl '0' is no whole number/ );
    my @warnings = warnings_of( sub { $zk->transaction->create( "$path/x", parents => 1 ) } );
    is @warnings, 1, 'parents is nothing that a transaction could do';
    like $warnings[0], qr/create: unknown argument 'parents' has no effect/, 'and it says so';
    return;
}

sub below_a_chroot {
    $zk->create("$base/chroot");
    my $below = handle( chroot => "$base/chroot" );
    my ( $path, $stat ) = $below->create2( '/a', value => 'x' );
    is $path,                                    '/a',     'create2';
    is $below->create( '/p/q/r', parents => 1 ), '/p/q/r', 'parents';
    is_deeply [ sort @{ scalar $below->get_children2('/') } ], [qw(a p)], 'get_children2';
    is $below->sync('/a'),                   '/a', 'sync';
    is $below->sync('/'),                    '/',  'sync of the root';
    is $below->get_all_children_number('/'), 4,    'get_all_children_number';
    $below->create( '/p/e', ephemeral => 1 );
    is_deeply [ $below->get_ephemerals('/') ],  ['/p/e'], 'get_ephemerals';
    is_deeply [ $below->get_ephemerals('/p') ], ['/p/e'], 'with a prefix';
    is_deeply [ $below->get_ephemerals('/a') ], [],       'and another one';
    is_deeply [ map { $_->{path} }
          $below->transaction->create2('/t')->create( '/u', container => 1 )->commit ],
      [qw(/t /u)], 'transactions';
    is_deeply [ $below->delete( '/p', recursive => 1 ) ], [], 'delete recursive';
    $zk->sync("$base/chroot");
    is_deeply [ sort $zk->get_children("$base/chroot") ], [qw(a t u)], 'the node and what was below are gone';
    fails( sub { $below->delete( '/', recursive => 1 ) }, ZBADARGUMENTS, 'the root can not be deleted' );
    is $below->get_all_children_number('/'), 3, 'of the root, nothing';

    my $missing = handle( chroot => "$base/missing" );
    fails(
        sub { $missing->create( '/a/b', parents => 1 ) },
        ZNONODE,
        "creating node '/a'",
        'parents are not made above the chroot'
    );
    fails( sub { $missing->get_all_children_number('/') }, ZNONODE, 'no node', 'counting there' );
    return;
}

sub text {
    binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output);
    my $text   = handle( utf8 => 1 );
    my $smile  = "\x{263a}";
    my $bytes  = "\xe2\x98\xba";
    my ($path) = $text->create2("$base/$smile");
    is $path,                                                       "$base/$smile",               'create2';
    is $text->create( "$base/$smile/\x{e9}/$smile", parents => 1 ), "$base/$smile/\x{e9}/$smile", 'parents';
    is_deeply [ $text->get_children2("$base/$smile") ]->[0], ["\x{e9}"], 'get_children2';
    is $text->sync("$base/$smile"), "$base/$smile", 'sync';
    is $zk->sync("$base/$bytes"),   "$base/$bytes", 'sync, bytes';
    is_deeply [ $zk->get_children2("$base/$bytes") ]->[0], ["\xc3\xa9"], 'bytes without utf8';
    $text->create( "$base/$smile/e", ephemeral => 1 );
    is_deeply [ $text->get_ephemerals("$base/$smile") ], ["$base/$smile/e"], 'get_ephemerals';
    $text->add_auth( digest => "\xc3\xa9:x" );
    is_deeply [ grep { $_->{scheme} eq 'digest' } $text->whoami ], [ { scheme => 'digest', id => "\x{e9}" } ],
      'whoami';
    fails( sub { $text->create2("$base/$smile") }, ZNODEEXISTS, "creating node '$base/$smile'" );
    fails( sub { $text->get_all_children_number("$base/$smile$smile") },
        ZNONODE, "below '$base/$smile$smile'" );
    $text->delete( "$base/$smile", recursive => 1 );
    $zk->sync("$base/$bytes");
    is $zk->exists("$base/$bytes"), undef, 'delete recursive';
    $zk->create( "$base/$bytes/$bytes", parents => 1 );
    $zk->delete( "$base/$bytes", recursive => 1 );
    is $zk->exists("$base/$bytes"), undef, 'and with bytes';
    return;
}

# Each is one operation short of success.
sub arguments {
    my %call = (
        create2                 => [$base],
        get_children2           => [$base],
        sync                    => [$base],
        get_all_children_number => [$base],
        get_ephemerals          => [$base],
        remove_watches          => [$base],
        whoami                  => [],
        get_config              => [],
    );
    for my $method ( sort keys %call ) {
        my @args     = @{ $call{$method} };
        my @warnings = warnings_of(
            sub {
                eval { $zk->$method( @args, wacher => 1 ); 1 };
            }
        );
        is_deeply [ map { s/ at .*//sr } @warnings ], ["$method: unknown argument 'wacher' has no effect"],
          "$method: an unknown argument is told of";
        is warnings_of(
            sub {
                eval { $zk->$method( @args, request_timeout => undef, cb => undef ); 1 };
            }
          ),
          0, "$method: undef counts as not given";
        fails( sub { $zk->$method( @args, cb => 'x' ) }, undef, "$method: cb must be a code reference" );
        fails(
            sub { $zk->$method( @args, request_timeout => 'x' ) },
            ZBADARGUMENTS,
            q(request_timeout 'x' is not a number of seconds),
            "$method, request_timeout"
        );
        next if !@args;
        fails( sub { $zk->$method($_) }, ZBADARGUMENTS, 'bad arguments', "$method " . ( $_ // 'undef' ) )
          for 'x', "/\0", $method eq 'get_ephemerals' ? () : ( '', '/a//b', undef );
    }
    for my $method (qw(get_children2 get_config)) {
        fails( sub { $zk->$method( ( $method eq 'get_config' ? () : $base ), watcher => 'x' ) },
            undef, "$method: the watcher must be a code reference" );
    }
    fails( sub { $zk->create2( $base, acl => 'x' ) }, undef, qr/\Acreate2: .*acl/, 'create2: a wrong acl' );
    for my $name (qw(joining leaving members)) {
        fails( sub { $zk->reconfig( $name => {} ) },
            undef, qr/\Areconfig: .*$name must be a string or an array ref of strings/ );
    }
    fails( sub { $zk->reconfig( leaving => '1', version => 'x' ) },
        ZBADARGUMENTS, q(version 'x' is not an integer) );
    return;
}

1;

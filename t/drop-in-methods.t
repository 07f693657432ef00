use strict;
use warnings;
use Test::More;
use lib 't/lib';
use DropIn;
use TestZK;

use POSIX ();
use ZooKeeper;
use ZooKeeper::Constants;

# The commands: arguments, contexts, what they return.
my $zk   = ZooKeeper->new( hosts => test_hosts(), dispatcher => 'Pipe' );
my $else = ZooKeeper->new( hosts => test_hosts() );
my $base = fresh_path('methods');
$zk->create($base);
my $count = 0;

# A node that nobody else in this file uses.
sub node {
    my (@args) = @_;
    return $zk->create( "$base/n" . ++$count, @args );
}

# Void, scalar and list context of a call: what it returned in the last two.
sub contexts {
    my ($call) = @_;
    $call->();
    my $scalar = $call->();
    my @list   = $call->();
    return ( $scalar, \@list );
}

subtest 'create: returns the path created' => sub {
    is_deeply [ $zk->create("$base/list") ], ["$base/list"], 'list context';
    is scalar $zk->create("$base/scalar"), "$base/scalar", 'scalar context';
    $zk->create("$base/void");
    ok $zk->exists("$base/void"), 'void context';
    like $zk->create( "$base/s-", sequential => 1 ), qr{\A\Q$base\E/s-\d{10}\z},
      'sequential: with its number';
    my $first = $zk->create( "$base/e-", sequential => 1, ephemeral => 1 );
    my $next  = $zk->create( "$base/e-", sequential => 1, ephemeral => 1 );
    cmp_ok $next, 'gt', $first, 'numbers rise';
    is $zk->exists($next)->{ephemeralOwner}, $zk->client_id->{client_id}, 'ephemeral: owned by the session';
    is $zk->exists("$base/void")->{ephemeralOwner}, 0,                    'else by nobody';
    $zk->create( "$base/false", ephemeral => 0, sequential => 0 );
    is $zk->exists("$base/false")->{ephemeralOwner}, 0, 'false is as good as not given';
};

subtest 'create: acl' => sub {
    my $acl = [ { ZOO_ANYONE_ID_UNSAFE, perms => ZOO_PERM_READ | ZOO_PERM_DELETE } ];
    is_deeply scalar $zk->get_acl( node( acl => $acl ) ),  $acl,                'the one given';
    is_deeply scalar $zk->get_acl( node( acl => undef ) ), ZOO_OPEN_ACL_UNSAFE, 'undef: the default';
};

subtest q(create: no value (or undef) stores null data, '' stores empty data, and get tells them apart) =>
  sub {
    is_deeply [ scalar $zk->get( node() ) ], [undef], 'no value';
    is_deeply [ scalar $zk->get( node( value => undef ) ) ], [undef], 'undef';
    is_deeply [ scalar $zk->get( node( value => '' ) ) ],    [''],    q('');
    is_deeply [ scalar $zk->get( node( value => 0 ) ) ],     [0],     '0';
  };

subtest 'create, ensure_path: persistent => 1 is accepted silently; add_auth: encoded => 1' => sub {
    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, @_ };
    node( persistent => 1 );
    $zk->ensure_path( "$base/persistent", persistent => 1 );
    $zk->transaction->delete("$base/persistent")->create( "$base/persistent", persistent => 1 )->commit;
    $zk->add_auth( 'digest', 'u:p', encoded => 1 );
    is_deeply \@warnings, [], 'no warning';
};

subtest 'any other unknown argument is ignored with a warning, never an error' => sub {
    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, @_ };
    my $path = "$base/warned";
    my %call = (
        create       => sub { $zk->create( $path, @_ ) },
        exists       => sub { $zk->exists( $path, @_ ) },
        get          => sub { $zk->get( $path, @_ ) },
        set          => sub { $zk->set( $path => 'v', @_ ) },
        get_children => sub { $zk->get_children( $path, @_ ) },
        get_acl      => sub { $zk->get_acl( $path, @_ ) },
        set_acl      => sub { $zk->set_acl( $path => ZOO_OPEN_ACL_UNSAFE, @_ ) },
        ensure_path  => sub { $zk->ensure_path( $path, @_ ) },
        add_auth     => sub { $zk->add_auth( 'digest', 'u:p', @_ ) },
        delete       => sub { $zk->delete( $path, @_ ) },
    );
    for my $method (qw(create exists get set get_children get_acl set_acl ensure_path add_auth delete)) {
        @warnings = ();
        is thrown { $call{$method}->( verison => 1 ) }, undef, "$method: no error";
        is scalar @warnings,                            1,     "$method: one warning";
        like $warnings[0], qr/\A$method: unknown argument 'verison' has no effect at /,
          "$method: what it says";
        next if $method =~ /\A(?:create|delete)\z/;
        @warnings = ();
        use warnings FATAL => 'all';
        is thrown { no warnings 'ZooKeeper'; $call{$method}->() }, undef, "$method: nothing to warn of";
        is_deeply \@warnings, [], "$method: no warning";
    }
};

subtest 'delete: returns nothing; version defaults to -1' => sub {
    is_deeply [ $zk->delete( node() ) ], [], 'list context: an empty list';
    is scalar $zk->delete( node() ), undef, 'scalar context: undef';
    my $path = node();
    $zk->set( $path, $_ ) for 1 .. 3;
    my $line  = __LINE__ + 1;
    my $error = thrown { $zk->delete( $path, version => 1 ) };
    is_error( $error, ZBADVERSION, "Error deleting node '$path': bad version", $line, 'another version' );
    is_deeply [ $zk->delete( $path, version => 3 ) ], [], 'the right one';
    $path = node();
    $zk->set( $path, 1 );
    is_deeply [ $zk->delete($path) ], [], 'none: whatever it is';
    is $zk->exists($path), undef, 'it is gone';
    is_deeply [ $zk->delete( node(), version => $_ ) ], [], 'as with ' . ( $_ // 'undef' ) for -1, undef;
};

subtest 'exists: stat hash ref, or one undef when there is no such node' => sub {
    my $path = node();
    my ( $scalar, $list ) = contexts( sub { $zk->exists($path) } );
    is ref $scalar, 'HASH', 'scalar context';
    is_deeply $list, [$scalar], 'list context';
    ( $scalar, $list ) = contexts( sub { $zk->exists("$path-not") } );
    is $scalar, undef, 'no node, scalar context';
    is_deeply $list, [undef], 'no node, list context: one undef';
    is_deeply { there => $zk->exists("$path-not"), more => 1 }, { there => undef, more => 1 },
      'good in a hash';
};

subtest 'get: scalar context: data; list context: (data, stat)' => sub {
    my $path = node( value => 'v' );
    my ( $scalar, $list ) = contexts( sub { $zk->get($path) } );
    is $scalar, 'v', 'scalar context';
    is_deeply $list, [ 'v', $zk->exists($path) ], 'list context';
    my ($data) = $zk->get($path);
    is $data, 'v', 'one variable in list context';
    ( $scalar, $list ) = contexts(
        sub {
            $zk->get( $path, watcher => sub { } );
        }
    );
    is_deeply [ $scalar, @$list ], [ 'v', 'v', $zk->exists($path) ], 'the same with a watcher';
    $zk->remove_watcher($_) for $zk->get_watchers( path => $path );
};

subtest 'set: stat hash ref' => sub {
    my $path = node();
    my ( $scalar, $list ) = contexts( sub { $zk->set( $path => 'v' ) } );
    is ref $scalar,        'HASH', 'scalar context';
    is $scalar->{version}, 2,      'of the node as it is then';
    is_deeply $list, [ $zk->exists($path) ], 'list context';
    is $zk->set( $path => 'w', version => 3 )->{version}, 4, 'version';
    my $line  = __LINE__ + 1;
    my $error = thrown { $zk->set( $path => 'x', version => 3 ) };
    is_error( $error, ZBADVERSION, "Error setting data for node '$path': bad version",
        $line, 'another version' );
    is scalar $zk->get($path),                                'w', 'nothing was set';
    is $zk->set( $path => 'x', version => undef )->{version}, 5,   'undef: any version';
};

subtest 'get_children: list of names; scalar context: how many' => sub {
    my $path = node();
    is_deeply [ contexts( sub { $zk->get_children($path) } ) ], [ 0, [] ], 'none';
    $zk->create("$path/$_") for qw(a b c);
    my ( $scalar, $list ) = contexts( sub { $zk->get_children($path) } );
    is $scalar, 3, 'scalar context';
    is_deeply [ sort @$list ], [qw(a b c)], 'list context';
    ( $scalar, $list ) = contexts(
        sub {
            $zk->get_children( $path, watcher => sub { } );
        }
    );
    is_deeply [ $scalar, sort @$list ], [qw(3 a b c)], 'the same with a watcher';
    $zk->remove_watcher($_) for $zk->get_watchers( path => $path );
};

subtest 'exists, get, get_children: watcher' => sub {
    my $path = node();
    $zk->create("$path/child");
    my %seen;
    for my $method (qw(exists get get_children)) {
        $zk->$method( $path, watcher => sub { push @{ $seen{$method} }, @_ } );
    }
    is_deeply [ sort map { $_->type } $zk->get_watchers( path => $path ) ], [qw(exists get get_children)],
      'is a watcher of the type of the method';
    my $event = sub { [ { type => $_[0], state => ZOO_CONNECTED_STATE, path => $path } ] };
    $else->set( $path, 'v' );
    wait_for { $zk->wait(1); keys %seen == 2 } 60, 'two events';
    is_deeply \%seen, { map { $_ => $event->(ZOO_CHANGED_EVENT) } qw(exists get) }, 'exists, get: data';
    $else->delete("$path/child");
    wait_for { $zk->wait(1); $seen{get_children} } 60, 'the third';
    is_deeply $seen{get_children},                    $event->(ZOO_CHILD_EVENT), 'get_children: a child';
    is_deeply [ $zk->get_watchers( path => $path ) ], [],                        'each is called once';
    my $line  = __LINE__ + 1;
    my $error = thrown { $zk->get( $path, watcher => 'name' ) };
    dies_plainly( $error, 'get: the watcher must be a code reference', $line, 'no code ref' );
};

subtest 'a named argument that is undef counts as not given' => sub {
    my $path = node();
    my @all  = map { $_ => undef } qw(acl buffer_length ephemeral persistent sequential value);
    is $zk->create( "$path-undef", @all ),    "$path-undef", 'create';
    is $zk->ensure_path( "$path/x/y", @all ), "$path/x/y",   'ensure_path';
    is_deeply scalar $zk->get_acl($_), ZOO_OPEN_ACL_UNSAFE, "acl of $_"
      for "$path-undef", "$path/x", "$path/x/y";
    is scalar $zk->get( $path, watcher => undef, buffer_length => undef ), undef, 'get';
    ok $zk->exists( $path, watcher => undef ), 'exists';
    is scalar $zk->get_children( $path, watcher => undef ), 1, 'get_children';
    is_deeply [ $zk->add_auth( 'digest', 'a:b', watcher => undef ) ], [], 'add_auth';
    is_deeply [ $zk->get_watchers( path => $path ), $zk->get_watchers( type => 'add_auth' ) ], [],
      'no watcher is made of undef';
};

subtest 'get_acl: scalar: array ref of {id, scheme, perms}; list: (acl, stat)' => sub {
    my $path = node();
    my ( $scalar, $list ) = contexts( sub { $zk->get_acl($path) } );
    is_deeply $scalar, [ { id => 'anyone', scheme => 'world', perms => 31 } ], 'scalar context';
    is_deeply $list,   [ $scalar, $zk->exists($path) ],                        'list context';
    is json($scalar), '[{"id":"anyone","perms":31,"scheme":"world"}]', 'perms is a number';
};

subtest 'set_acl: returns nothing; version' => sub {
    my $path = node();
    my $acl =
      [ { ZOO_ANYONE_ID_UNSAFE, perms => ZOO_PERM_ALL }, { scheme => 'ip', id => '127.0.0.1', perms => 1 } ];
    is_deeply [ contexts( sub { $zk->set_acl( $path => $acl ) } ) ], [ undef, [] ], 'in any context';
    is_deeply scalar $zk->get_acl($path),                            $acl,          'it is set';
    my $version = $zk->exists($path)->{aversion};
    is_deeply [ $zk->set_acl( $path, $acl, version => $version ) ], [], 'the right version';
    my $line  = __LINE__ + 1;
    my $error = thrown { $zk->set_acl( $path, $acl, version => $version ) };
    is_error( $error, ZBADVERSION, "Error setting acl for node '$path': bad version",
        $line, 'another version' );
    is_deeply [ $zk->set_acl( $path, $acl, version => undef ) ], [], 'undef: any version';
};

subtest 'add_auth: returns nothing, at once, also before the connection is up' => sub {
    my ( @good, @bad );
    my $early = ZooKeeper->new( hosts => '127.0.0.1:1', timeout => 600_000 );
    is_deeply deadline( 60, sub { [ $early->add_auth( 'digest', 'a:b' ) ] } ), [], 'no connection at all';
    my $own = ZooKeeper->new( hosts => $zk->hosts, dispatcher => 'Pipe' );
    is_deeply [
        contexts(
            sub {
                $own->add_auth( 'digest', "eve:\0\xff\0", watcher => sub { push @good, @_ } );
            }
        )
      ],
      [ undef, [] ], 'in any context';
    my $path = $own->create( "$base/auth", acl => ZOO_CREATOR_ALL_ACL, value => 'v' );
    is next_events( $own, \@good, 3 ), 3, 'the watcher is called';
    is_deeply \@good, [ ( { type => 0, state => ZOK, path => undef } ) x 3 ], 'with ZOK';
    $else->add_auth( 'digest', 'eve:' );
    is thrown { $else->get($path) }->code, ZNOAUTH, 'credentials may hold NUL: what is behind it counts';
    $own->delete($path);

    $own->add_auth( 'no such scheme', 'x', watcher => sub { push @bad, @_ } );
    next_events( $own, \@bad, 1 );
    is_deeply \@bad, [ { type => 0, state => ZAUTHFAILED, path => undef } ], 'or with ZAUTHFAILED';
    is json( [ $bad[0]{type}, $bad[0]{state} ] ), '[0,-115]', 'both numbers';
    $own->close;
    my $line  = __LINE__ + 1;
    my $error = thrown { $own->add_auth( 'digest', 'a:b' ) };
    is_error( $error, ZINVALIDSTATE, 'Error trying to authenticate: invalid zhandle state',
        $line, 'throws if the request could not be made' );
};

subtest 'ensure_path: creates missing parents and the node, returns the path' => sub {
    my $path = "$base/ensure/a/b";
    is_deeply [ contexts( sub { $zk->ensure_path($path) } ) ], [ $path, [$path] ],
      'in any context, again and again';
    ok $zk->exists($path), 'it is there';
    is $zk->ensure_path( "$path/c/d", value => 'v', acl => ZOO_OPEN_ACL_UNSAFE ), "$path/c/d", '%create_args';
    is scalar $zk->get("$path/c/d"),                  'v',                         'are for the node';
    is scalar $zk->get("$path/c"),                    undef,                       'and not for its parents';
    is $zk->ensure_path( "$path/e", ephemeral => 1 ), "$path/e",                   'any of them';
    is $zk->exists("$path/e")->{ephemeralOwner},      $zk->client_id->{client_id}, 'ephemeral';
};

subtest 'ensure_path: no error if somebody else creates one at the same moment' => sub {
    pipe my $read, my $write or die "pipe: $!";
    my @children;
    for ( 1 .. 3 ) {
        push @children, fork // die "fork: $!";
        next if $children[-1];
        my $error = thrown {
            $zk->reopen;
            $zk->ensure_path("$base/race/$_/a/b/c/d") for 1 .. 30;
        };
        syswrite $write, ( $error // 'well' ) =~ s/\n//gr . "\n";
        POSIX::_exit(0);
    }
    close $write;
    is_deeply deadline( 120, sub { [<$read>] } ), [ ("well\n") x 3 ], 'three do it at once';
    waitpid $_, 0 for @children;
    is scalar $zk->get_children("$base/race"), 30, 'all nodes are there';
};

subtest 'transaction: a ZooKeeper::Transaction bound (weakly) to the handle' => sub {
    my $own         = ZooKeeper->new( hosts => $zk->hosts );
    my $transaction = $own->transaction;
    isa_ok $transaction, 'ZooKeeper::Transaction';
    is $transaction->handle, $own, 'bound';
    undef $own;
    is $transaction->handle, undef, 'weakly';
};

subtest 'create_watcher, get_watchers, remove_watcher: delegated to the dispatcher' => sub {
    my $watcher = $zk->create_watcher( '/w', sub { }, type => 'get' );
    isa_ok $watcher, 'ZooKeeper::Watcher';
    is $watcher->dispatcher, $zk->dispatcher, 'create_watcher';
    is_deeply [ $zk->dispatcher->get_watchers( path => '/w', type => 'get' ) ], [$watcher], 'it is there';
    is_deeply [ $zk->get_watchers( path => '/w', type => 'get' ) ],             [$watcher], 'get_watchers';
    $zk->remove_watcher($watcher);
    is_deeply [ $zk->dispatcher->get_watchers( path => '/w' ) ], [], 'remove_watcher';
};

done_testing;

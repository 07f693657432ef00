# A login by SASL: what it gives, and that nothing overtakes it. How it fails is in sasl-failures.t.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use SaslServer;
use TestZK;
use TraceFile;

use ZooKeeper;
use ZooKeeper::Constants;

my $server = sasl_server();
my @args   = ( hosts => $server->hosts, timeout => 30_000, dispatcher => 'Pipe' );
my $base   = fresh_path('sasl');
ZooKeeper->new(@args)->create($base);

sub handle {
    my ( $user, @more ) = @_;
    return ZooKeeper->new( @args, login($user), @more );
}

# The name that the server knows the handle's user by.
sub identities {
    my ($zk) = @_;
    my $path = $zk->create( "$base/who-", sequential => 1, acl => ZOO_CREATOR_ALL_ACL );
    return map { "$_->{scheme}:$_->{id}" } @{ $zk->get_acl($path) };
}

subtest 'a node of bob is for bob alone' => sub {
    my $bob = handle('bob');
    deadline 60, sub { $bob->create( "$base/bob", value => 'v', acl => acl_of('bob') ) };
    is scalar $bob->get("$base/bob"), 'v', 'he can read it';
    is_deeply [ identities($bob) ], ['sasl:bob'], 'the server knows his name';
    for my $other ( handle('alice'), ZooKeeper->new(@args) ) {
        is eval { $other->get("$base/bob"); 1 } // 0 + $@, ZNOAUTH, 'another can not';
    }
    is scalar handle('bob')->get("$base/bob"), 'v', 'another handle of his can';
};

subtest 'names and passwords of all kinds, as text' => sub {
    for my $user ( sort keys %SaslServer::PASSWORD ) {
        my $name = join '', map { $_ > 126 ? sprintf '\x{%x}', $_ : chr } unpack 'W*', $user;
        my $zk   = handle($user);
        is eval {
            deadline 60,
              sub { $zk->wait_connected }
        } // $@, 1, "$name";
        my $utf8 = ZooKeeper->new( @args, login($user), utf8 => 1 );
        is_deeply eval {
            [ deadline 60, sub { identities($utf8) } ]
        } // $@, ["sasl:$user"], "$name: the identity";
    }

    # How Perl stores a string makes no difference.
    my ( $wide, $narrow ) = ( $SaslServer::PASSWORD{latin} ) x 2;
    utf8::upgrade($wide);
    utf8::downgrade($narrow);
    for my $password ( $wide, $narrow ) {
        my $zk = ZooKeeper->new( @args, login( latin => $password ) );
        is eval {
            deadline 60,
              sub { $zk->wait_connected }
        } // $@, 1, 'ISO 8859-1, either way';
    }
    utf8::encode( my $bytes = $SaslServer::PASSWORD{latin} );
    my $zk = ZooKeeper->new( @args, login( latin => $bytes ) );
    is eval {
        deadline 60,
          sub { $zk->wait_connected }
    } // 0 + $@, ZAUTHFAILED, 'bytes of UTF-8 are another password';
};

subtest 'the state is connected when the login is done, and not before' => sub {
    my @states;
    my $zk = handle( 'bob', watcher => sub { push @states, $_[0]{state} } );
    wait_for { $zk->wait(1); scalar @states } 60, 'a session event';
    is_deeply \@states, [ZOO_CONNECTED_STATE], 'one event';
    ok $zk->is_connected, 'is_connected';
};

subtest 'the identity is there again on every connection' => sub {
    my $bob = handle('bob');
    $bob->create( "$base/watched", value => 1, acl => acl_of('bob') );
    my @events;
    $bob->get( "$base/watched", watcher => sub { push @events, $_[0] } );
    $server->lose_connection($bob);
    soon_ok {
        eval { $bob->get("$base/bob") }
    }
    60, 'after a lost connection the node can be read';
    $server->restart;
    my $other = handle('bob');
    wait_for {
        eval { $other->set( "$base/watched", 2 ) }
    }
    60, 'another handle to write';
    wait_for { $bob->wait(1); scalar @events } 60, 'the event';
    is_deeply \@events,
      [ { type => ZOO_CHANGED_EVENT, state => ZOO_CONNECTED_STATE, path => "$base/watched" } ],
      'and after a restart the watch on a protected node fires';
    is scalar deadline( 60, sub { $bob->get("$base/watched") } ), 2, 'which can be read';
    is_deeply [ identities($bob) ], ['sasl:bob'], 'by name';
};

subtest 'with add_auth beside it' => sub {
    my $zk = handle( 'bob', authentication => [ digest => 'dora:x' ] );
    $zk->add_auth( digest => 'emil:y' );
    my $expected = [ 'digest:dora', 'digest:emil', 'sasl:bob' ];
    my $all      = sub {
        [ sort map { s/\A(digest:\w+):.*/$1/r } identities($zk) ]
    };
    is_deeply deadline( 60, $all ), $expected, 'all identities';
    $server->lose_connection($zk);
    wait_for {
        eval { $zk->exists($base) }
    }
    60, 'the next connection';
    is_deeply deadline( 60, $all ), $expected, 'and on the next connection';
    my $wrong = handle('bob');
    $wrong->add_auth( digest        => 'dora:x' );
    $wrong->add_auth( no_such_thing => 'x' );
    is eval {
        deadline 60, sub { $wrong->get($base) };
        1;
    } // 0 + $@, ZAUTHFAILED, 'a wrong one ends the session, and what is asked behind it';
    is $wrong->state, ZOO_AUTH_FAILED_STATE, 'state';
};

subtest 'requests that were queued before the connection keep their order' => sub {
    my $bob = handle('bob');
    my ( $count, @paths, @errors ) = (1_000);
    $bob->create( "$base/queue", acl => acl_of('bob') );
    $server->pause;
    my $zk   = handle('bob');
    my @more = ( sequential => 1, acl => acl_of('bob') );
    for my $n ( 1 .. $count ) {
        my $answered = sub { my ($error) = @_; $error ? push @errors, $error : push @paths, $n };
        $zk->create( "$base/queue/n-", value => $n, @more, cb => $answered );
    }
    isnt $zk->state, ZOO_CONNECTED_STATE, 'there is no connection yet';
    $server->resume;
    wait_for { $zk->wait(0.01); @paths + @errors >= $count } 120, 'the answers';
    is "@errors", '', 'none fails';
    is_deeply \@paths, [ 1 .. $count ], 'they are answered in order';
    my @values = map { scalar $bob->get("$base/queue/$_") } sort $bob->get_children("$base/queue");
    is_deeply \@values, [ 1 .. $count ], 'and were done in it';
};

subtest 'many handles, of several users' => sub {
    my @users = ( qw(bob alice super), undef ) x 10;
    my @all   = map { defined $_ ? handle($_) : ZooKeeper->new(@args) } @users;
    for my $n ( 0 .. $#all ) {
        my $told = eval {
            deadline 60,
              sub { join ' ', identities( $all[$n] ) }
        } // 0 + $@;
        my $expected = defined $users[$n] ? "sasl:$users[$n]" : ZINVALIDACL;
        is $told, $expected, $expected if $told ne $expected;
    }
    pass 'each is itself';
};

subtest 'reopen' => sub {
    my $zk = handle('bob');
    is_deeply [ deadline 60, sub { identities($zk) } ], ['sasl:bob'], 'one user';
    $zk->reopen;
    is_deeply [ deadline 60, sub { identities($zk) } ], ['sasl:bob'], 'the same';
    $zk->reopen( login('alice') );
    is_deeply [ deadline 60, sub { identities($zk) } ], ['sasl:alice'], 'another';
    $zk->reopen( login( alice => 'wrong' ) );
    is eval {
        deadline 60, sub { $zk->exists('/') };
        1;
    } // 0 + $@, ZAUTHFAILED, 'with a wrong password';
    $zk->reopen( login('alice') );
    is_deeply [ deadline 60, sub { identities($zk) } ], ['sasl:alice'], 'and a right one again';
    my $id = $zk->client_id;
    ok !eval { $zk->reopen( sasl => { mechanism => 'GSSAPI' } ); 1 }, 'what can not be';
    is $@->code, ZBADARGUMENTS, 'is refused';
    is_deeply $zk->client_id, $id, 'before anything is lost';
    $zk->reopen( sasl => 0 );
    ok deadline( 60, sub { $zk->exists('/') } ), 'without a login';
    is_deeply [ grep { $_->{scheme} eq 'sasl' } $zk->whoami ], [], 'there is none';
};

subtest 'a session that is resumed' => sub {
    my $zk = handle('bob');
    $zk->create( "$base/mine", ephemeral => 1, acl => acl_of('bob') );
    my $id = $zk->client_id;
    $zk->close( keep => 1 );    # or it would take the session back
    my $resumed = handle( 'bob', client_id => $id );
    is deadline( 60, sub { $resumed->exists("$base/mine") } )->{ephemeralOwner}, $id->{client_id},
      'is logged in, too';
    is scalar $resumed->get("$base/mine"), undef, 'and reads';
};

subtest 'a close amid the login ends at once' => sub {
    for ( 1 .. 20 ) {
        my $zk = handle('bob');
        my @answers;
        $zk->get( $base, cb => sub { push @answers, 0 + ( $_[0] // 0 ) } ) for 1 .. 3;
        deadline 60, sub { $zk->close };
        1 while $zk->dispatcher->dispatch_event;

        # On a busy machine the login may have been quicker.
        my $wrong = join( ' ', @answers ) !~ /\A(?:0 ?)*(?:-116 ?)*\z/ || @answers != 3;
        is_deeply \@answers, [ (ZCLOSING) x 3 ], 'all are answered' if $wrong;
    }
    pass 'and all are answered';
};

subtest 'neither password nor tokens are traced' => sub {
    my $trace = TraceFile->new(4);
    my $bob   = handle('bob');
    deadline 60, sub { $bob->get($base) };
    my $wrong = ZooKeeper->new( @args, login( bob => 'not-the-right-one' ) );
    eval {
        deadline 60, sub { $wrong->get($base) };
    };
    my $error = "$@";
    ZooKeeper->trace(0);
    my $text = $trace->content . $error;
    like $text, qr/SASL login accepted/,                                         'the login is';
    like $text, qr/no login at \S+: the server refused the SASL login \(-115\)/, 'and the refusal';

    for my $secret ( 'bobsecret', 'not-the-right-one', 'nonce', 'response=', 'rspauth' ) {
        unlike $text, qr/\Q$secret\E/, "not: $secret";
        my $hex = unpack 'H*', $secret;
        unlike $text, qr/\Q$hex\E/i, "not: $secret, in hexadecimal";
    }
};

done_testing;

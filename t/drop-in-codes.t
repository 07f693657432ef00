use strict;
use warnings;
use Test::More;
use lib 't/lib';
use DropIn;
use FakeZK;
use TestZK;

use POSIX       ();
use Time::HiRes qw(setitimer ITIMER_REAL);
use ZooKeeper;
use ZooKeeper::Constants;

# Which code a call throws, and when. That a call ends at all is half of it: nothing waits for ever.
my $server = test_server();
my @args   = ( hosts => $server->hosts, dispatcher => 'Pipe' );
my $setup  = ZooKeeper->new(@args);
my $base   = fresh_path('codes');
$setup->create($base);

# Longer than anything here is to take. A call of more than that counts as one that waits for ever.
my $LIMIT = 90;

my $acl = ZOO_OPEN_ACL_UNSAFE;

# Every call that asks the server.
my @calls = (
    [ create       => "$base/x" ],
    [ delete       => "$base/x" ],
    [ exists       => "$base/x" ],
    [ exists       => "$base/x", watcher => sub { } ],
    [ get          => "$base/x" ],
    [ set          => "$base/x", 'v' ],
    [ get_children => $base ],
    [ get_acl      => $base ],
    [ set_acl      => $base, $acl ],
    [ ensure_path  => "$base/x" ],
    ['commit'],
);

# What a call of this list dies of.
sub outcome {
    my ( $zk,     $call ) = @_;
    my ( $method, @rest ) = @$call;
    return thrown {
        deadline $LIMIT, sub {
            $method eq 'commit' ? $zk->transaction->set( $base => 'v' )->commit : $zk->$method(@rest);
        }
    };
}

# All of them throw this code.
sub all_throw {
    my ( $zk, $code, $why ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    for my $call (@calls) {
        my $error = outcome( $zk, $call );
        ok ref $error && $error->isa('ZooKeeper::Error') && $error == $code, "$why: $call->[0]"
          or diag $error;
    }
    return;
}

# What the code dies of, when after a moment a signal handler does this.
sub interrupted {
    my ( $handler, $code ) = @_;
    local $SIG{ALRM} = $handler;
    setitimer( ITIMER_REAL, 0.3 );
    my $error = thrown { $code->() };
    setitimer( ITIMER_REAL, 0 );
    return $error;
}

subtest q(a hosts that can't be used: ZBADARGUMENTS) => sub {
    is thrown { ZooKeeper->new( hosts => 'localhost:0' ) }->code, ZBADARGUMENTS, 'new';
    is thrown { $setup->reopen( hosts => 'localhost:0' ) }->code, ZBADARGUMENTS, 'reopen';
    ok $setup->exists($base), 'which left the session as it was';
};

subtest 'not connected in time: ZCONNECTIONLOSS' => sub {
    my $zk = ZooKeeper->new(
        hosts           => '127.0.0.1:1',
        timeout         => 400,
        request_timeout => $LIMIT,
        dispatcher      => 'Pipe'
    );
    all_throw( $zk, ZCONNECTIONLOSS, 'nobody listens' );
    is_deeply [ $zk->get_watchers ], [], 'no watcher is kept';
};

subtest 'the link lost with the request under way: ZCONNECTIONLOSS' => sub {
    my $own = test_server();
    my $zk  = ZooKeeper->new( hosts => $own->hosts, timeout => 60_000 );
    $zk->exists('/');
    $own->pause;
    my $error = interrupted( sub { $own->kill }, sub { $zk->exists('/') } );
    ok ref $error && $error == ZCONNECTIONLOSS, 'the server is killed while a call waits' or diag $error;
    $own->start;
    soon_ok {
        eval { $zk->exists('/') }
    }
    60, 'the handle finds it again';
};

subtest 'a server that stalls is given up after two thirds of the session timeout: ZCONNECTIONLOSS' => sub {
    my $stalls = FakeZK->new( sub { $_[0]->handshake(3_000); 1 while defined $_[0]->frame } );
    my $zk     = ZooKeeper->new( hosts => $stalls->hosts, timeout => 3_000, request_timeout => 10 * $LIMIT );
    deadline $LIMIT, sub { $zk->wait_connected($LIMIT) };
    my $from  = Time::HiRes::time();
    my $error = outcome( $zk, [ get => '/x' ] );
    my $took  = Time::HiRes::time() - $from;
    ok ref $error && $error == ZCONNECTIONLOSS, 'a call ends' or diag $error;
    cmp_ok $took, '>', 1,                    'not at once';
    cmp_ok $took, '<', $zk->request_timeout, 'and not only by the time limit of a request';
};

subtest 'expired: ZSESSIONEXPIRED, every call until reopen' => sub {
    my $zk = ZooKeeper->new(@args);
    $zk->exists('/');
    $server->expire_session($zk);
    wait_for { $zk->is_unrecoverable } $LIMIT, 'the end of the session';
    all_throw( $zk, ZSESSIONEXPIRED, 'expired' );
    is $zk->state, ZOO_EXPIRED_SESSION_STATE, 'state';
    $zk->reopen;
    ok $zk->exists($base), 'reopen';
};

subtest 'authentication refused: ZAUTHFAILED, likewise' => sub {
    my $zk = ZooKeeper->new(@args);
    $zk->exists('/');
    $zk->add_auth( 'no such scheme', 'x' );
    wait_for { $zk->is_unrecoverable } $LIMIT, 'the end of the session';
    all_throw( $zk, ZAUTHFAILED, 'refused' );
    is $zk->state, ZOO_AUTH_FAILED_STATE, 'state';
    $zk->reopen;
    ok $zk->exists($base), 'reopen';
};

subtest 'after close: ZINVALIDSTATE, and state is ZOO_NOTCONNECTED_STATE' => sub {
    my $zk = ZooKeeper->new(@args);
    $zk->exists('/');
    $zk->close;
    all_throw( $zk, ZINVALIDSTATE, 'closed' );
    is thrown { $zk->add_auth( 'digest', 'a:b' ) }->code, ZINVALIDSTATE,          'closed: add_auth';
    is $zk->state,                                        ZOO_NOTCONNECTED_STATE, 'state';
    $zk->reopen;
    ok $zk->exists($base), 'reopen';
};

subtest 'in a forked child: ZINVALIDSTATE, and it says so' => sub {
    my $zk = ZooKeeper->new(@args);
    $zk->exists('/');
    pipe my $read, my $write or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if ( !$pid ) {
        alarm $LIMIT;
        for my $call (@calls) {
            my $error = outcome( $zk, $call );
            syswrite $write,
              ( ref $error ? $error->code . ' ' : '' ) . ( $error // 'it worked' ) =~ s/\n//gr . "\n";
        }
        syswrite $write, $zk->state . "\n";
        POSIX::_exit(0);
    }
    close $write;
    my @lines = deadline 2 * $LIMIT, sub { <$read> };
    waitpid $pid, 0;
    is pop @lines,    ZOO_NOTCONNECTED_STATE . "\n", 'state';
    is scalar @lines, scalar @calls,                 'all calls end';
    for my $n ( 0 .. $#lines ) {
        like $lines[$n], qr/\A${\ZINVALIDSTATE} .*invalid zhandle state.* parent process/, $calls[$n][0];
    }
    ok $zk->exists($base), 'the parent is not disturbed';
};

subtest 'calls that were pending when close came: ZCLOSING' => sub {
    for my $call ( [ get => $base, watcher => sub { } ], [ set => $base, 'v' ], ['commit'] ) {
        my $mute = FakeZK->new( sub { $_[0]->handshake; 1 while defined $_[0]->frame } );
        my $zk   = ZooKeeper->new( hosts => $mute->hosts, timeout => 60_000, dispatcher => 'Pipe' );
        deadline $LIMIT, sub { $zk->wait_connected };
        my ( $method, @rest ) = @$call;
        my $error = interrupted(
            sub { $zk->close },
            sub { $method eq 'commit' ? $zk->transaction->set( $base => 'v' )->commit : $zk->$method(@rest) }
        );
        ok ref $error && $error == ZCLOSING, "$method, closed by a signal handler" or diag $error;
        is $zk->state, ZOO_NOTCONNECTED_STATE, "$method: state";
        is_deeply [ $zk->get_watchers ], [], "$method: no watcher is kept";
    }
};

subtest q(the server's own codes) => sub {
    $setup->create( "$base/full/", sequential => 1 ) if $setup->ensure_path("$base/full");
    $setup->create( "$base/short", ephemeral  => 1 );
    my $locked = $setup->create( "$base/locked", acl => ZOO_READ_ACL_UNSAFE );
    my %call   = (
        ZNONODE                  => [ get    => "$base/none" ],
        ZNODEEXISTS              => [ create => $base ],
        ZNOTEMPTY                => [ delete => "$base/full" ],
        ZBADVERSION              => [ set    => $base, 'v', version => 99 ],
        ZNOCHILDRENFOREPHEMERALS => [ create => "$base/short/x" ],
        ZNOAUTH     => [ set    => $locked,   'v' ],
        ZINVALIDACL => [ create => "$base/x", acl => [ { scheme => 'none', id => 'x', perms => 1 } ] ],
    );
    for my $name ( sort keys %call ) {
        my $code  = ZooKeeper::Constants->can($name)->();
        my $error = outcome( $setup, $call{$name} );
        is $error->code,  $code,         $name;
        is $error->error, zerror($code), "$name: its text";
        like $error, qr/: ${\ zerror($code) } at /, "$name: in the message";
    }
};

subtest 'request_timeout => $seconds: ZOPERATIONTIMEOUT, the connection stays' => sub {
    my $mute = FakeZK->new(
        sub {
            my ($connection) = @_;
            $connection->handshake or return;
            while ( defined( my $frame = $connection->frame ) ) {    # answers pings only
                my ( $xid, $op ) = unpack 'l> l>', $frame;
                $connection->send_frame( pack 'l> q> l>', $xid, 1, 0 ) if $op == 11;
            }
        }
    );
    my $zk = ZooKeeper->new(
        hosts           => $mute->hosts,
        timeout         => 60_000,
        request_timeout => 0.2,
        dispatcher      => 'Pipe'
    );
    deadline $LIMIT, sub { $zk->wait_connected };
    all_throw( $zk, ZOPERATIONTIMEOUT, 'no answer' );
    is $zk->state, ZOO_CONNECTED_STATE, 'state';
};

subtest 'blocking calls let signal handlers run while they wait' => sub {
    $server->pause;
    my $ran   = 0;
    my $zk    = ZooKeeper->new( @args, timeout => 60_000 );
    my $error = interrupted( sub { $ran++; $server->resume }, sub { $zk->exists('/') } );
    is $ran,   1,     'it runs';
    is $error, undef, 'and the call goes on';
    $server->pause;
    $error = interrupted( sub { die "enough\n" }, sub { $zk->exists('/') } );
    $server->resume;
    is $error, "enough\n", 'one that dies ends the call';
    ok deadline( $LIMIT, sub { $zk->exists('/') } ), 'and leaves the handle usable';
};

subtest 'jute_maxbuffer: a longer request dies with an error that names it and the length' => sub {
    my $zk = ZooKeeper->new( @args, jute_maxbuffer => 2_000 );
    is $zk->jute_maxbuffer,    2_000,     'the accessor';
    is $setup->jute_maxbuffer, 1_048_575, 'default';
    my $path = $zk->create( "$base/j", value => 'v' );
    for my $call ( [ set => $path, 'x' x 2_000 ], [ create => "$path-", value => 'x' x 2_000 ] ) {
        my $error = outcome( $zk, $call );
        is $error->code, ZBADARGUMENTS, "$call->[0]: code";
        like $error, qr/request of (2\d\d\d) bytes is longer than jute_maxbuffer \(2000\)/,
          "$call->[0]: message";
        ok !$error->maybe_applied, "$call->[0]: nothing was sent";
    }
    my $transaction = $zk->transaction;
    $transaction = $transaction->check( $path, 0 ) for 1 .. 100;
    like thrown { $transaction->commit }, qr/jute_maxbuffer/, 'commit';
    is scalar $zk->get($path), 'v', 'the session goes on';
    $setup->set( $path => 'x' x 100_000 );
    is length $zk->get($path), 100_000, 'replies may be longer';
};

done_testing;

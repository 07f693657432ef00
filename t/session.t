use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

use POSIX ();
use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my @args   = ( hosts => $server->hosts, dispatcher => 'Pipe' );
my $setup  = ZooKeeper->new(@args);
my $base   = fresh_path('session');
$setup->create($base);

subtest 'what a handle says of its session' => sub {
    my $zk = ZooKeeper->new( @args, timeout => 6_000 );
    ok $zk->wait_connected(60), 'wait_connected';
    is $zk->state,           ZOO_CONNECTED_STATE, 'state';
    is $zk->server,          $server->hosts,      'server';
    is $zk->session_timeout, 6_000,               'session_timeout in milliseconds';
    my $id = $zk->client_id;
    is_deeply [ sort keys %$id ], [qw(client_id passwd)], 'client_id';
    like $id->{client_id}, qr/\A-?[1-9][0-9]*\z/, 'a number';
    is length $id->{passwd}, 16, 'and 16 bytes';
    ok !$zk->is_unrecoverable, 'is_unrecoverable';
    my $zxid = $zk->last_zxid;
    $setup->create("$base/zxid");
    $zk->exists($base);
    cmp_ok $zk->last_zxid, '>', $zxid, 'last_zxid';
};

subtest 'the server does not grant what was asked for' => sub {
    my $zk = ZooKeeper->new( @args, timeout => 1_000_000_000 );
    $zk->wait_connected;
    is $zk->timeout, 1_000_000_000, 'timeout says what was asked for';
    cmp_ok $zk->session_timeout, '<', 1_000_000_000, 'session_timeout what was granted';
};

subtest 'close' => sub {
    my $zk = ZooKeeper->new(@args);
    $zk->create( "$base/close", ephemeral => 1 );
    $zk->get( "$base/close", watcher => sub { fail 'never called' } );
    is_deeply [ $zk->close ], [], 'returns nothing';
    is $setup->exists("$base/close"), undef,                  'ephemeral nodes are gone at once';
    is $zk->state,                    ZOO_NOTCONNECTED_STATE, 'state';
    ok $zk->is_unrecoverable, 'is_unrecoverable';
    ok !$zk->is_connected,    'is_connected';
    is $zk->server, undef, 'server';
    is_deeply [ $zk->get_watchers ], [], 'no watcher is kept';
    is eval { $zk->close; 1 }, 1, 'twice does no harm';
    my $acl = ZOO_OPEN_ACL_UNSAFE;

    for my $call (
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
        [ add_auth     => 'digest', 'a:b' ],
        ['wait_connected'],
      )
    {
        my ( $method, @rest ) = @$call;
        my $line = __LINE__ + 1;
        ok !eval { $zk->$method(@rest); 1 }, "$method throws";
        ok ref $@ && $@ == ZINVALIDSTATE,    'invalid state' or diag $@;
        like $@, qr/: invalid zhandle state.* at \Q${\ __FILE__}\E line $line\.\n\z/,
          'at the line of the call';
    }
    is_deeply [ $zk->get_watchers ], [], 'no watcher is made';
    is eval {
        $zk->watcher( sub { } );
        1;
    }, 1, 'a default watcher can be set';
    is_deeply [ $zk->wait(0.01) ], [undef], 'nothing comes';
};

subtest 'close before the connection is up' => sub {
    my $zk = ZooKeeper->new( hosts => '127.0.0.1:1', dispatcher => 'Pipe' );
    deadline 30, sub { $zk->close };
    is $zk->state, ZOO_NOTCONNECTED_STATE, 'does not wait for it';
};

subtest 'destroy' => sub {
    my $zk = ZooKeeper->new(@args);
    $zk->create( "$base/destroy", ephemeral => 1 );
    my $dispatcher = $zk->dispatcher;
    $zk->get( "$base/destroy", watcher => sub { fail 'never called' } );
    undef $zk;
    is $setup->exists("$base/destroy"), undef, 'ephemeral nodes are gone at once';
    is_deeply [ $dispatcher->get_watchers ], [], 'no watcher is kept';
    is $dispatcher->wait(0.01), undef, 'nothing comes';
};

subtest 'reopen' => sub {
    my @seen;
    my $zk = ZooKeeper->new( @args, timeout => 8_000, watcher => sub { push @seen, $_[0]{state} } );
    $zk->create( "$base/reopen", ephemeral => 1 );
    $zk->exists( "$base/created", watcher => sub { fail 'of the former session' } );
    my $id = $zk->client_id->{client_id};
    is_deeply [ $zk->reopen ], [], 'returns nothing';
    is $zk->exists("$base/reopen"),   undef, 'what was ephemeral is gone';
    isnt $zk->client_id->{client_id}, $id,   'a new session';
    is $zk->session_timeout,          8_000, 'with the same settings';
    is_deeply [ map { $_->type } $zk->get_watchers ], ['default'], 'only the default watcher is kept';
    @seen = ();
    wait_for {
        $zk->wait(1);
        grep { $_ == ZOO_CONNECTED_STATE } @seen
    }
    60, 'the event';
    pass 'and works';
    my $called;
    $zk->exists( "$base/created", watcher => sub { $called++ } );
    $setup->create("$base/created");
    wait_for { $zk->wait(1); $called } 60, 'the event';
    is $called, 1, 'new watchers work, too';

    $zk->close;
    $zk->reopen;
    ok $zk->exists($base), 'after close';
    $zk->reopen( timeout => 5_000 );
    $zk->wait_connected;
    is $zk->session_timeout, 5_000, 'with another timeout';
    is $zk->timeout,         5_000, 'which the handle knows';
    $zk->reopen;
    $zk->wait_connected;
    is $zk->session_timeout, 5_000, 'and keeps';
    my $wrong = $zk->client_id->{client_id};
    ok !eval { $zk->reopen( timeout => 'long' ); 1 }, 'with a wrong one';
    is $@->code,                    ZBADARGUMENTS, 'is refused';
    is $zk->client_id->{client_id}, $wrong,        'and the session stays';
    ok !eval { $zk->reopen( hosts => '127.0.0.1:0' ); 1 }, 'with hosts that are none';
    is $@->code,                    ZBADARGUMENTS, 'too';
    is $zk->client_id->{client_id}, $wrong,        'and the session stays';
    isnt $zk->hosts,                '127.0.0.1:0', 'as do its hosts';
    ok !eval { $zk->reopen('odd'); 1 }, 'an odd list';
    like $@, qr/\Areopen: odd number of named arguments at \Q${\ __FILE__}\E line/, 'is refused';
};

# A session that was left alone by the process that had it: its client_id, and an ephemeral node.
sub orphan {
    my ($path) = @_;
    pipe my $read, my $write or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if ( !$pid ) {
        my $zk = ZooKeeper->new(@args);
        $zk->create( $path, ephemeral => 1 );
        my $id = $zk->client_id;
        syswrite $write, "$id->{client_id} " . unpack 'H*', $id->{passwd};
        POSIX::_exit(0);    # nothing is closed in good order
    }
    close $write;
    my ( $number, $passwd ) = split / /, deadline( 60, sub { <$read> } );
    waitpid $pid, 0;
    return { client_id => $number, passwd => pack 'H*', $passwd };
}

subtest 'client_id resumes a session' => sub {
    my $id = orphan("$base/resume");
    my $zk = ZooKeeper->new( @args, client_id => {%$id} );
    $zk->wait_connected;
    is $zk->client_id->{client_id},                   $id->{client_id}, 'the same session';
    is $zk->client_id->{passwd},                      $id->{passwd},    'and password';
    is $zk->exists("$base/resume")->{ephemeralOwner}, $id->{client_id}, 'with its ephemeral nodes';
    $zk->close;
    is $setup->exists("$base/resume"), undef, 'which go when it is closed';

    my $late = ZooKeeper->new( @args, client_id => $id );
    ok !eval { $late->exists('/'); 1 }, 'a session that is no more';
    is $@->code,     ZSESSIONEXPIRED,           'has expired';
    is $late->state, ZOO_EXPIRED_SESSION_STATE, 'state';
    $late->reopen;
    ok $late->exists('/'), 'reopen starts a new one';

    # One that is slow: the session is known to be over when it sends the authentication.
    my $slow =
      eval { SlowToAuthenticate->new( @args, client_id => $id, authentication => [ 'digest', 'a:b' ] ) };
    ok $slow, 'it is never the constructor that says so' or diag $@;
    ok !eval { $slow->exists('/'); 1 } && $@ == ZSESSIONEXPIRED, 'but the next call';

    my $owner = ZooKeeper->new(@args);
    $owner->wait_connected;
    my $foreign = ZooKeeper->new( @args, client_id => { %{ $owner->client_id }, passwd => 'x' x 16 } );
    ok !eval { $foreign->exists('/'); 1 }, 'a wrong password';
    is $@->code, ZSESSIONEXPIRED, 'is as good as expired';
    ok $owner->exists('/'), 'and does not disturb the owner';

    $id = orphan("$base/reopen");
    $late->reopen( client_id => $id );
    is $late->exists("$base/reopen")->{ephemeralOwner}, $id->{client_id}, 'reopen can resume, too';
};

subtest 'use before the connection is up' => sub {
    my $zk = ZooKeeper->new(@args);
    ok $zk->exists('/'), 'the first call waits for it';
    $zk = ZooKeeper->new(@args);
    ok( ( $zk->transaction->create("$base/early")->commit )[0]{path}, 'so does a transaction' );
};

BEGIN {

    package SlowToAuthenticate;
    use Moo;
    extends 'ZooKeeper';

    sub add_auth {
        my ( $self, @args ) = @_;
        TestZK::wait_for( sub { $self->is_unrecoverable }, 30, 'the refusal' );
        return $self->SUPER::add_auth(@args);
    }
}

done_testing;

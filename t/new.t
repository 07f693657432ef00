use strict;
use warnings;
use Test::More;
use lib 't/lib';
use FakeZK;
use TestZK qw(deadline);

use ZooKeeper;
use ZooKeeper::Constants;

# Nobody listens on this port; a handle is there all the same.
my @hosts = ( hosts => '127.0.0.1:1' );

subtest 'defaults' => sub {
    local $ENV{PERL_ZOOKEEPER_DISPATCHER};
    my $zk = ZooKeeper->new(@hosts);
    is $zk->hosts,           '127.0.0.1:1', 'hosts';
    is $zk->timeout,         10_000,        'timeout';
    is $zk->buffer_length,   2048,          'buffer_length';
    is $zk->watcher,         undef,         'watcher';
    is $zk->authentication,  undef,         'authentication';
    is $zk->request_timeout, undef,         'request_timeout';
    is $zk->jute_maxbuffer,  1_048_575,     'jute_maxbuffer';
    ok !$zk->utf8,                 'utf8';
    ok !$zk->read_only,            'read_only';
    ok $zk->ignore_session_events, 'ignore_session_events';
    is_deeply $zk->default_acl, ZOO_OPEN_ACL_UNSAFE, 'default_acl';
    isa_ok $zk->dispatcher, 'ZooKeeper::Dispatcher::AnyEvent';
    is $zk->state, ZOO_CONNECTING_STATE, 'new does not wait for the connection';
    ok !$zk->is_connected,     'is_connected';
    ok !$zk->is_unrecoverable, 'is_unrecoverable';
    ok !$zk->client_id,        'no client_id before there is a session';
};

subtest 'arguments' => sub {
    my $cb    = sub { };
    my %given = (
        @hosts,
        timeout         => 4_000,
        buffer_length   => 10,
        watcher         => $cb,
        default_acl     => ZOO_READ_ACL_UNSAFE,
        request_timeout => 1.5,
        jute_maxbuffer  => 5_000_000,
        utf8            => 1,
        read_only       => 1,
    );
    for my $args ( [%given], [ \%given ] ) {
        my $zk = ZooKeeper->new(@$args);
        is_deeply {
            map { $_ => $zk->$_ } keys %given
        }, \%given, 'as a ' . ( @$args > 1 ? 'list' : 'hash ref' );
    }
    my $zk = ZooKeeper->new( @hosts,
        map { $_ => undef } qw(timeout default_acl buffer_length dispatcher watcher client_id) );
    is $zk->timeout, 10_000, 'undef is as good as nothing';
    is_deeply $zk->default_acl, ZOO_OPEN_ACL_UNSAFE, 'for all of them';
    ok( ZooKeeper->new( @hosts, client_id => $_ ), 'a false client_id, of a handle that had no session' )
      for '', 0;
    is( ZooKeeper->new( @hosts, timeout => q(6000) )->timeout, 6000, q(a number may be a string) );
};

subtest 'hosts that no connection could be made to' => sub {
    my $line;
    for my $hosts (
        '',                      ',',               ' ',              'localhost:',
        'localhost:0',           'localhost:65536', 'localhost:x',    ':2181',
        '/chroot',               'localhost:2181/', 'localhost/a//b', 'localhost:-1',
        'localhost:2181/a/../b', 'a,,b:0'
      )
    {
        next if $hosts eq 'localhost:2181/';    # nothing behind the slash: no chroot
        ok !eval { $line = __LINE__; ZooKeeper->new( hosts => $hosts ); 1 }, "'$hosts' is refused";
        my $error = $@;
        isa_ok $error, 'ZooKeeper::Error';
        ok ref $error && $error == ZBADARGUMENTS, 'bad arguments';
        like "$error",
qr/\AError initializing ZooKeeper handle for '\Q$hosts\E': bad arguments: .+ at \Q${\ __FILE__}\E line $line\.\n\z/,
          'message';
    }
    for my $hosts ( 'localhost', 'localhost:2181', '127.0.0.1:1,127.0.0.1:2', '[::1]:2181',
        '127.0.0.1:1/chroot/deep' )
    {
        ok eval { ZooKeeper->new( hosts => $hosts ) }, "'$hosts' is taken" or diag $@;
    }
};

subtest 'wrong types' => sub {
    my $acl   = 'an array ref of hash refs \{id, scheme, perms\}';
    my @wrong = (
        [ hosts           => undef,         'hosts is required' ],
        [ hosts           => ['127.0.0.1'], 'hosts must be a string' ],
        [ timeout         => [],            'timeout must be a number of milliseconds' ],
        [ watcher         => 'name',        'watcher must be a code reference' ],
        [ watcher         => {},            'watcher must be a code reference' ],
        [ authentication  => 'digest',      'authentication must be an array ref' ],
        [ authentication  => {},            'authentication must be an array ref' ],
        [ default_acl     => 'open',        "default_acl must be $acl" ],
        [ default_acl     => ['open'],      "default_acl must be $acl" ],
        [ client_id       => 42,            'client_id must be what client_id of a handle returned' ],
        [ client_id       => [],            'client_id must be what client_id of a handle returned' ],
        [ request_timeout => {},            'request_timeout must be a positive number of seconds' ],
        [ jute_maxbuffer  => [],            'jute_maxbuffer must be a number of bytes' ],
        [ dispatcher      => {},            'dispatcher must be .*' ],
        [ dispatcher      => 'No::Such',    q(dispatcher: can't load ZooKeeper::Dispatcher::No::Such: .*) ],
        [ dispatcher      => '^No::Such',   q(dispatcher: can't load No::Such: .*) ],
        [ dispatcher      => '../x',        q(dispatcher '../x' is not a name) ],
    );
    for my $wrong (@wrong) {
        my ( $name, $value, $message ) = @$wrong;
        my $line = __LINE__ + 1;
        ok !eval { ZooKeeper->new( @hosts, $name => $value ); 1 }, "$name is refused";
        is ref $@, '', 'with a plain message';
        like $@, qr/\Anew: $message at \Q${\ __FILE__}\E line $line\.\n\z/, 'that says what was expected';
    }
    ok !eval { ZooKeeper->new; 1 }, 'no argument at all';
    like $@, qr/\Anew: hosts is required at \Q${\ __FILE__}\E/, 'hosts is required';

    for my $wrong (
        [ timeout         => 'abc' ],
        [ timeout         => 0 ],
        [ timeout         => -5 ],
        [ timeout         => 3e9 ],
        [ timeout         => 'nan' ],
        [ request_timeout => 0 ],
        [ request_timeout => -1 ],
        [ request_timeout => 'soon' ],
        [ jute_maxbuffer  => 0 ]
      )
    {
        my ( $name, $value ) = @$wrong;
        ok !eval { ZooKeeper->new( @hosts, $name => $value ); 1 }, "$name $value is refused";
        ok ref $@ && $@ == ZBADARGUMENTS,                          'bad arguments';
        like $@,
qr/\AError initializing ZooKeeper handle for '127.0.0.1:1': bad arguments: $name '.*' is not .* at \Q${\ __FILE__}\E/,
          'that name the argument';
    }
    for my $id (
        {},
        { client_id => 1 },
        { client_id => 'x', passwd => 'p' x 16 },
        { client_id => 1,   passwd => 'short' }
      )
    {
        ok !eval { ZooKeeper->new( @hosts, client_id => $id ); 1 }, 'a client_id that is none';
        like $@, qr/client_id|passwd/, 'is refused by name';
    }
};

subtest 'dispatcher' => sub {
    for my $name ( 'Pipe', '^ZooKeeper::Dispatcher::Pipe' ) {
        isa_ok( ZooKeeper->new( @hosts, dispatcher => $name )->dispatcher, 'ZooKeeper::Dispatcher::Pipe' );
        local $ENV{PERL_ZOOKEEPER_DISPATCHER} = $name;
        isa_ok( ZooKeeper->new(@hosts)->dispatcher, 'ZooKeeper::Dispatcher::Pipe' );
    }
    {
        local $ENV{PERL_ZOOKEEPER_DISPATCHER} = '';
        isa_ok( ZooKeeper->new(@hosts)->dispatcher, 'ZooKeeper::Dispatcher::AnyEvent' );
    }

    package In::This::File {
        use Moo;
        extends 'ZooKeeper::Dispatcher';
    }
    isa_ok( ZooKeeper->new( @hosts, dispatcher => '^In::This::File' )->dispatcher, 'In::This::File' );

    for my $no (qw(^strict ^IO::Handle)) {
        ok !eval { ZooKeeper->new( @hosts, dispatcher => $no ); 1 }, "$no is loaded, and refused";
        like $@,
          qr/\Anew: dispatcher: \Q${\ substr $no, 1}\E is not the class of a dispatcher at \Q${\ __FILE__}\E/,
          'with a plain message';
    }

    my $object = ZooKeeper::Dispatcher::Pipe->new;
    my @both   = map { ZooKeeper->new( @hosts, dispatcher => $object ) } 1 .. 2;
    is $_->dispatcher, $object, 'an object, also for two handles' for @both;
};

subtest 'ignore_session_events' => sub {
    for my $value ( 0, 1 ) {
        my $zk = ZooKeeper->new( @hosts, ignore_session_events => $value );
        is !!$zk->ignore_session_events,             !!$value, "set to $value";
        is !!$zk->dispatcher->ignore_session_events, !!$value, 'in the dispatcher';
        $zk->ignore_session_events( !$value );
        is !!$zk->dispatcher->ignore_session_events, !$value, 'and later to the opposite';
    }
};

subtest 'watchers can be handled without a server' => sub {
    my $zk      = ZooKeeper->new(@hosts);
    my $watcher = $zk->create_watcher( '/x', sub { }, type => 'get' );
    is_deeply [ $zk->get_watchers( path => '/x' ) ], [$watcher], 'get_watchers';
    $zk->remove_watcher($watcher);
    is_deeply [ $zk->get_watchers ], [], 'remove_watcher';
};

subtest 'what the server is asked for' => sub {
    my $server = FakeZK->new(
        sub {
            my ($connection) = @_;
            my $request = $connection->frame // return;
            my ( undef, $zxid, $timeout, $session, $password, $read_only ) = unpack 'N q> N q> N/a* C',
              $request;
            $connection->note( $timeout, $session, $password, $read_only );
            $connection->frame;
        }
    );
    my $asked = sub {
        my $zk = ZooKeeper->new( hosts => $server->hosts, @_ );
        return TestZK::wait_for( sub { join '', $server->notes }, 30, 'the request for a session' );
    };
    is $asked->(), "10000 0 ${\ ( qq(\0) x 16)} 0", 'a new session';
    is $asked->( timeout   => 7_500 ), "7500 0 ${\ ( qq(\0) x 16)} 0",  'timeout in milliseconds';
    is $asked->( read_only => 1 ),     "10000 0 ${\ ( qq(\0) x 16)} 1", 'read_only';
    is $asked->( client_id => { client_id => 77, passwd => '0123456789abcdef' } ),
      '10000 77 0123456789abcdef 0',
      'client_id';
};

done_testing;

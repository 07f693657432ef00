use strict;
use warnings;
use Test::More;
use lib 't/lib';
use DropIn;
use FakeZK;
use TestZK;

use IO::Socket::INET;
use Time::HiRes qw(setitimer ITIMER_REAL);
use ZooKeeper;
use ZooKeeper::Constants;

# The constructor's arguments, and the accessors of the same names.
my $server = test_server();
my $hosts  = $server->hosts;
my $setup  = ZooKeeper->new( hosts => $hosts );
my $base   = fresh_path('constructor');
$setup->create($base);

# Nobody listens there: for what needs no server.
my @nobody = ( hosts => '127.0.0.1:1' );

# What a server is asked for when a session begins: timeout, session id, password. Each has a server of its own: one that
# is slow may be asked again by a handle that has gone by then.
sub greeting {
    my (@args) = @_;
    my $greeter = FakeZK->new(
        sub {
            my ($connection) = @_;
            my $request = $connection->frame // return;
            my ( undef, undef, $timeout, $id, $password ) = unpack 'N q> N q> N/a*', $request;
            $connection->note( $timeout, $id, unpack 'H*', $password );
            $connection->frame;
        }
    );
    my $zk   = ZooKeeper->new( hosts => $greeter->hosts, @args );
    my $note = wait_for { my ($first) = $greeter->notes; $first } 60, 'a greeting';
    return $note;
}

subtest 'new: arguments as a list or one hash ref' => sub {
    my %args = ( hosts => $hosts, timeout => 7_000, buffer_length => 11 );
    for my $zk ( ZooKeeper->new(%args), ZooKeeper->new( {%args} ) ) {
        is_deeply {
            map { $_ => $zk->$_ } keys %args
        }, \%args, 'each is known';
        ok $zk->exists('/'), 'and it works';
    }
};

{

    package Prefixed;
    use Moo;
    extends 'ZooKeeper';
    has prefix => ( is => 'ro', required => 1 );
    has built  => ( is => 'rw' );
    sub BUILD { my ($self) = @_; $self->built('yes'); return }
    around get => sub {
        my ( $get, $self, $name, @args ) = @_;
        return $self->$get( $self->prefix . "/$name", @args );
    };
    before delete => sub { my ( $self, $path ) = @_; $self->{deleted} = $path };
    after delete => sub { my ($self) = @_; $self->{deleted} .= ' is gone' };

    sub put {
        my ( $self, $name, $value ) = @_;
        return $self->ensure_path( $self->prefix . "/$name", value => $value );
    }

    package WithDefaults;
    use Moo;
    extends 'ZooKeeper';
    has '+hosts'          => ( default => sub { $hosts } );
    has '+timeout'        => ( default => 7_000 );
    has '+default_acl'    => ( default => sub { ZooKeeper::Constants::ZOO_CREATOR_ALL_ACL } );
    has '+authentication' => ( default => sub { [ digest => 'own:pw' ] } );
    has '+dispatcher'     => ( default => 'Pipe' );
    has '+watcher' => (
        default => sub {
            sub { push our @seen, @_ }
        }
    );

    package Counting;
    use Moo::Role;
    has calls => ( is => 'rw', default => 0 );
    before exists => sub { my ($self) = @_; $self->calls( $self->calls + 1 ) };

    package PrefixedAndCounting;
    use Moo;
    extends 'Prefixed';
    with 'Counting';
}

subtest 'package ZooKeeper: a Moo class' => sub {
    isa_ok $setup, 'Moo::Object';
    for my $class (qw(Prefixed PrefixedAndCounting)) {
        my $zk = $class->new( hosts => $hosts, prefix => $base );
        isa_ok $zk, 'ZooKeeper', $class;
        is $zk->built,             'yes',       'its BUILD runs';
        is $zk->put( moo => 'v' ), "$base/moo", 'its own methods call ours';
        is_deeply [ ( $zk->get('moo') )[0], scalar $zk->get('moo') ], [qw(v v)], 'around, in both contexts';
        $zk->delete("$base/moo");
        is $zk->{deleted}, "$base/moo is gone", 'before and after';
    }
    my $zk = PrefixedAndCounting->new( { hosts => $hosts, prefix => $base } );
    $zk->exists($base) for 1 .. 2;
    is $zk->calls, 2, 'a role of its own';
    my $one = ZooKeeper->new( hosts => $hosts );
    Moo::Role->apply_roles_to_object( $one, 'Counting' );
    $one->calls(0);
    $one->exists($base);
    is $one->calls, 1, 'a role applied to one object';
    like thrown { Prefixed->new( hosts => $hosts ) }, qr/prefix/, 'what a subclass requires is required';
};

subtest 'package ZooKeeper: a subclass may have defaults of its own' => sub {
    my $zk = WithDefaults->new;
    $zk->create("$base/own");
    is_deeply $zk->get_acl("$base/own")->[0]{id} =~ s/:.*//r, 'own', 'hosts, default_acl, authentication';
    $zk->delete("$base/own");
    is $zk->session_timeout, 7_000, 'timeout';
    isa_ok $zk->dispatcher, 'ZooKeeper::Dispatcher::Pipe', 'dispatcher';
    next_events( $zk, \@WithDefaults::seen, 1 );
    is $WithDefaults::seen[0]{state}, ZOO_CONNECTED_STATE, 'watcher';
    my @later;
    $zk->watcher( sub { push @later, @_ } );
    $server->lose_connection($zk);
    is next_events( $zk, \@later, 2 ), 2, 'which can be set as any other';
    is( WithDefaults->new( timeout => 6_000 )->timeout, 6_000, 'an argument comes first' );
};

subtest 'new: returns before the connection is up; a blocking call waits for it' => sub {
    $server->pause;
    my $resumed = 0;
    local $SIG{ALRM} = sub { $resumed = 1; $server->resume };
    my $zk = ZooKeeper->new( hosts => $hosts, timeout => 60_000 );
    isnt $zk->state, ZOO_CONNECTED_STATE, 'not connected yet';
    setitimer( ITIMER_REAL, 0.3 );
    ok $zk->exists($base), 'the call is answered';
    ok $resumed,           'when the server is there';
};

subtest 'hosts: required, ro' => sub {
    my $line = __LINE__ + 1;
    dies_plainly( thrown { ZooKeeper->new( timeout => 1_000 ) }, 'new: hosts is required', $line, 'none' );
    my $zk = ZooKeeper->new(@nobody);
    is $zk->hosts, '127.0.0.1:1', 'the accessor returns it';
    ok thrown { $zk->hosts('127.0.0.1:2') }, 'and sets nothing';
};

subtest 'hosts: host[:port][,host[:port]...][/chroot]' => sub {
    ok( ZooKeeper->new( hosts => "127.0.0.1:1,$hosts,127.0.0.1:1" )->exists($base), 'one of several' );
    my $rooted = ZooKeeper->new( hosts => "$hosts$base" );
    is $rooted->create('/rooted'), '/rooted', 'with a chroot all paths are below it';
    ok $setup->exists("$base/rooted"), 'for everybody else it is part of the path';
    is_deeply [ $rooted->get_children('/') ], ['rooted'], 'its root is the node itself';
    ok( ZooKeeper->new( hosts => "127.0.0.1:1,$hosts$base" )->exists('/rooted'), 'several, with a chroot' );
    $setup->delete("$base/rooted");
};

subtest 'hosts: port 2181 when not given' => sub {
    my $address = join '.', 127,
      map { 1 + int rand 254 } 1 .. 3;    # an address of this machine, with ports of its own
    my $socket = IO::Socket::INET->new( LocalAddr => $address, LocalPort => 2181, Listen => 1 );
    plan skip_all => "port 2181 of $address can't be had: $!" if !$socket;
    my $zk = ZooKeeper->new( hosts => $address );
    vec( my $set = '', fileno $socket, 1 ) = 1;
    is scalar select( $set, undef, undef, 60 ), 1, 'the connection comes in there';
};

subtest 'hosts: a string that no connection could ever be made to throws from new' => sub {
    my %bad = (
        'empty'         => '',
        'port 0'        => 'localhost:0',
        'port > 65535'  => 'localhost:65536',
        'no port'       => 'localhost:',
        'no number'     => 'localhost:zk',
        'no host'       => ':2181',
        'only commas'   => ',,',
        'only a chroot' => '/chroot',
        'a bad chroot'  => 'localhost//x',
        'one of many'   => 'localhost:2181,localhost:99999',
    );
    for my $name ( sort keys %bad ) {
        my $line  = __LINE__ + 1;
        my $error = thrown { ZooKeeper->new( hosts => $bad{$name} ) };
        isa_ok $error, 'ZooKeeper::Error', $name;
        is $error->code, ZBADARGUMENTS, "$name: code";
        like "$error",
qr/\AError initializing ZooKeeper handle for '\Q$bad{$name}\E': bad arguments\b.* at \Q${\ __FILE__}\E line $line\.\n\z/,
          "$name: message";
    }
};

subtest 'timeout: ro, 10_000 by default, in milliseconds' => sub {
    my $zk = ZooKeeper->new(@nobody);
    is $zk->timeout, 10_000, 'default';
    ok thrown { $zk->timeout(1) }, 'sets nothing';
    is( ( split / /, greeting() )[0],                   10_000, 'what the server is asked for' );
    is( ( split / /, greeting( timeout => 4_321 ) )[0], 4_321,  'another one' );
};

subtest 'watcher: rw, code ref for session events' => sub {
    my ( @first, @second );
    my ( $first, $second ) = ( sub { push @first, @_ }, sub { push @second, @_ } );
    my $zk = ZooKeeper->new( hosts => $hosts, watcher => $first, dispatcher => 'Pipe' );
    is $zk->watcher, $first, 'the accessor returns it';
    next_events( $zk, \@first, 1 );
    is_deeply \@first, [ { type => ZOO_SESSION_EVENT, state => ZOO_CONNECTED_STATE, path => '' } ],
      'it is called when the connection is up';
    $zk->watcher($second);
    is $zk->watcher, $second, 'setting it';
    $server->lose_connection($zk);
    next_events( $zk, \@second, 2 );
    is_deeply [ map { $_->{state} } @second ], [ ZOO_CONNECTING_STATE, ZOO_CONNECTED_STATE ],
      'replaces the default watcher of the live handle';
    is scalar @first, 1, 'the former is not called any more';
    is( ZooKeeper->new(@nobody)->watcher, undef, 'none by default' );
};

subtest 'authentication: array ref passed as a list to add_auth on connect and on reopen' => sub {
    my ( @first, @answers );
    my $auth = [ digest => 'ann:pw', watcher => sub { push @answers, $_[0]{state} }, encoded => 1 ];
    my $zk   = ZooKeeper->new( hosts => $hosts, authentication => $auth, dispatcher => 'Pipe' );
    is $zk->authentication, $auth, 'the accessor returns it';
    ok thrown { $zk->authentication( [] ) }, 'and sets nothing';
    $zk->create( "$base/ann", acl => ZOO_CREATOR_ALL_ACL, value => 'hers' );
    is next_events( $zk, \@answers, 1 ),          1,       'its watcher is called';
    is $answers[0],                               ZOK,     'the server agrees';
    is thrown { $setup->get("$base/ann") }->code, ZNOAUTH, 'others may not read it';
    $zk->reopen;
    is scalar $zk->get("$base/ann"), 'hers', 'a new session is authenticated, too';
    next_events( $zk, \@answers, 2 );
    $zk->delete("$base/ann");
    is( ZooKeeper->new(@nobody)->authentication, undef, 'none by default' );
};

subtest 'buffer_length: ro, 2048 by default, accepted, never cuts anything' => sub {
    my $long = 'x' x 5_000;
    my $zk   = ZooKeeper->new( hosts => $hosts, buffer_length => 10 );
    is $zk->buffer_length, 10, 'the accessor returns it';
    ok thrown { $zk->buffer_length(1) }, 'and sets nothing';
    is( ZooKeeper->new(@nobody)->buffer_length, 2048, 'default' );
    my $name = 'n' x 300;
    is $zk->create( "$base/$name", value => $long, buffer_length => 5 ), "$base/$name", 'create';
    is scalar $zk->get("$base/$name"),                                   $long,         'constructor';
    is scalar $zk->get( "$base/$name", buffer_length => 5 ),             $long,         'get';
    is_deeply [ map { $_->{path} // $_->{type} }
          $zk->transaction->delete("$base/$name")->create( "$base/$name", buffer_length => 5 )->commit ],
      [ 'delete', "$base/$name" ], 'transaction create';
    $zk->delete("$base/$name");
};

subtest 'client_id: resumes what client_id of another handle returned; constructor only' => sub {
    my $id = { client_id => 99, passwd => 'sixteen bytes  !' };
    is greeting( client_id => $id ), "10000 99 ${\ unpack 'H*', $id->{passwd} }",
      'the server is asked for it';
    is greeting(), '10000 0 ' . '00' x 16, 'without it for a new one';
    is greeting( client_id => $_ ), '10000 0 ' . '00' x 16, 'as with that of a handle that had none'
      for undef, '', 0;
};

subtest 'default_acl: ro, ZOO_OPEN_ACL_UNSAFE by default, for create, ensure_path and transactions' => sub {
    is_deeply( ZooKeeper->new(@nobody)->default_acl, ZOO_OPEN_ACL_UNSAFE, 'default' );
    my $acl = [ { ZOO_ANYONE_ID_UNSAFE, perms => ZOO_PERM_ALL & ~ZOO_PERM_ADMIN } ];
    my $zk  = ZooKeeper->new( hosts => $hosts, default_acl => $acl );
    is $zk->default_acl, $acl, 'the accessor returns it';
    ok thrown { $zk->default_acl( [] ) }, 'and sets nothing';
    my %make = (
        create      => sub { $zk->create(@_) },
        ensure_path => sub { $zk->ensure_path(@_) },
        transaction => sub { $zk->transaction->create(@_)->commit },
    );
    for my $by ( sort keys %make ) {
        $make{$by}->("$base/acl");
        is_deeply scalar $zk->get_acl("$base/acl"), $acl, $by;
        $zk->delete("$base/acl");
        $make{$by}->( "$base/acl", acl => ZOO_READ_ACL_UNSAFE );
        is_deeply scalar $zk->get_acl("$base/acl"), ZOO_READ_ACL_UNSAFE, "$by with another one";
        $zk->delete("$base/acl");
    }
};

{

    package Local::Dispatcher;
    use Moo;
    extends 'ZooKeeper::Dispatcher';
}

subtest 'dispatcher: ro, $ENV{PERL_ZOOKEEPER_DISPATCHER} or AnyEvent' => sub {
    delete local $ENV{PERL_ZOOKEEPER_DISPATCHER};
    is ref ZooKeeper->new(@nobody)->dispatcher, 'ZooKeeper::Dispatcher::AnyEvent', 'AnyEvent';
    $ENV{PERL_ZOOKEEPER_DISPATCHER} = 'Pipe';
    is ref ZooKeeper->new(@nobody)->dispatcher, 'ZooKeeper::Dispatcher::Pipe', 'a name in the environment';
    $ENV{PERL_ZOOKEEPER_DISPATCHER} = '^Local::Dispatcher';
    is ref ZooKeeper->new(@nobody)->dispatcher, 'Local::Dispatcher', 'a class in the environment';
    is ref ZooKeeper->new( @nobody, dispatcher => 'Pipe' )->dispatcher, 'ZooKeeper::Dispatcher::Pipe',
      'the argument comes first';
    my $zk = ZooKeeper->new(@nobody);
    ok thrown { $zk->dispatcher( $zk->dispatcher ) }, 'the accessor sets nothing';
};

subtest 'dispatcher: a name, ^Full::Class::Name, or an object' => sub {
    my @names = dispatcher_names();
    ok scalar( grep { $_ eq 'AnyEvent' } @names ), 'AnyEvent is always there';
    for my $name (@names) {
        my $program =
'use ZooKeeper; $|++; print ref ZooKeeper->new(hosts => "127.0.0.1:1", dispatcher => shift)->dispatcher';
        is( ( run_perl( $program, $name ) )[0], "ZooKeeper::Dispatcher::$name", $name );
    }
    is ref ZooKeeper->new( @nobody, dispatcher => '^Local::Dispatcher' )->dispatcher, 'Local::Dispatcher',
      'a class of the program';
    is ref ZooKeeper->new( @nobody, dispatcher => '^ZooKeeper::Dispatcher::Pipe' )->dispatcher,
      'ZooKeeper::Dispatcher::Pipe', 'a class that is loaded for it';
    my $object = Local::Dispatcher->new;
    is( ZooKeeper->new( @nobody, dispatcher => $object )->dispatcher, $object, 'an object' );
};

subtest 'ignore_session_events: true by default, delegated to the dispatcher' => sub {
    my $zk = ZooKeeper->new(@nobody);
    ok $zk->ignore_session_events,             'default';
    ok $zk->dispatcher->ignore_session_events, 'of the dispatcher, too';
    $zk->ignore_session_events(0);
    ok !$zk->dispatcher->ignore_session_events, 'the handle sets the dispatcher';
    $zk->dispatcher->ignore_session_events(1);
    ok $zk->ignore_session_events, 'and asks it';
    $zk = ZooKeeper->new( @nobody, ignore_session_events => 0 );
    ok !$zk->ignore_session_events && !$zk->dispatcher->ignore_session_events, 'as an argument';
};

subtest
  'ignore_session_events: false = every watcher is called for them and stays armed until its own event' =>
  sub {
    my @seen;
    my $zk = ZooKeeper->new( hosts => $hosts, ignore_session_events => 0, dispatcher => 'Pipe' );
    $zk->get( $base, watcher => sub { push @seen, @_ } );
    $server->lose_connection($zk);
    next_events( $zk, \@seen, 2 );
    is_deeply \@seen,
      [
        map { { type => ZOO_SESSION_EVENT, state => $_, path => '' } } ZOO_CONNECTING_STATE,
        ZOO_CONNECTED_STATE
      ],
      'both session events';
    $setup->set( $base, 'v' );
    next_events( $zk, \@seen, 3 );
    is_deeply $seen[2], { type => ZOO_CHANGED_EVENT, state => ZOO_CONNECTED_STATE, path => $base }, 'its own';
    is_deeply [ $zk->get_watchers ], [], 'was the last';
  };

subtest 'a named argument that is undef counts as not given' => sub {
    my $zk = ZooKeeper->new(
        hosts => $hosts,
        map { $_ => undef }
          qw(timeout watcher authentication buffer_length client_id default_acl dispatcher ignore_session_events)
    );
    is $zk->timeout,       10_000, 'timeout';
    is $zk->buffer_length, 2048,   'buffer_length';
    is_deeply $zk->default_acl, ZOO_OPEN_ACL_UNSAFE, 'default_acl';
    isa_ok $zk->dispatcher, 'ZooKeeper::Dispatcher', 'dispatcher';
    ok $zk->ignore_session_events, 'ignore_session_events';
    ok $zk->exists('/'),           'and it works';
};

subtest 'unknown named arguments: a warning in the category ZooKeeper, never an error' => sub {
    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, @_ };
    my $line = __LINE__ + 1;
    ok( ZooKeeper->new( @nobody, host => 'localhost' ), 'new' );
    is_deeply \@warnings, ["new: unknown argument 'host' has no effect at ${\ __FILE__} line $line.\n"],
      'warns';
    @warnings = ();
    { no warnings 'ZooKeeper'; ZooKeeper->new( @nobody, host => 'localhost' ) }
    is_deeply \@warnings, [], 'unless it was told not to';
};

done_testing;

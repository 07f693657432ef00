use strict;
use warnings;
use Test::More;
use lib 't/lib';
use DropIn;
use TestZK;

use File::Temp  qw(tempdir);
use POSIX       ();
use Time::HiRes qw(setitimer time ITIMER_REAL);
use ZooKeeper;
use ZooKeeper::Constants;

# A session's life: state, client_id, is_unrecoverable, close, reopen, wait, fork, the end of the program.
my $server = test_server();
my $hosts  = $server->hosts;
my @args   = ( hosts => $hosts, dispatcher => 'Pipe' );
my $setup  = ZooKeeper->new(@args);
my $base   = fresh_path('session');
$setup->create($base);

# Sessions of which is shown that they are closed: none of them would expire in time.
my @long = ( timeout => 60_000 );

# An ephemeral node goes with this code, which ends its session: at once, or, when a server did not answer within the
# second for which it is waited for, soon.
sub goes_with {
    my ( $path, $name, $code ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $from = time;
    $code->();
    return is $setup->exists($path), undef, $name if time - $from < 0.9;
    return soon_ok { !$setup->exists($path) } 30, $name;
}
my $dir = tempdir( CLEANUP => 1 );

# Runs the code in a child: the lines that it returns.
sub in_child {
    my ($code) = @_;
    pipe my $read, my $write or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if ( !$pid ) {
        alarm 120;
        my @lines;
        my $error = thrown { @lines = $code->() };
        syswrite $write, join '', map { s/\n/ /gr . "\n" } defined $error ? "died: $error" : @lines;
        POSIX::_exit(0);
    }
    close $write;
    my $lines = deadline 150, sub { [<$read>] };
    waitpid $pid, 0;
    chomp @$lines;
    return @$lines;
}

subtest 'state: a ZOO_*_STATE number' => sub {
    my $zk = ZooKeeper->new(@args);
    $zk->exists('/');
    is json( $zk->state ), ZOO_CONNECTED_STATE, 'connected';
    $zk->close;
    is json( $zk->state ),                                      ZOO_NOTCONNECTED_STATE, 'closed';
    is json( ZooKeeper->new( hosts => '127.0.0.1:1' )->state ), ZOO_CONNECTING_STATE,   'not yet connected';
};

subtest 'state: between connections ZOO_CONNECTING_STATE' => sub {
    my $own = test_server();
    my $zk  = ZooKeeper->new( hosts => $own->hosts, timeout => 60_000 );
    $zk->exists('/');
    $own->stop;
    soon_ok { $zk->state == ZOO_CONNECTING_STATE } 60, 'the server has gone';
    ok !$zk->is_unrecoverable, 'which is not the end';
    $own->start;
    soon_ok { $zk->state == ZOO_CONNECTED_STATE } 60, 'the server is back';
};

subtest 'client_id: false before the first connection, then plain data {client_id, passwd}' => sub {
    my $never = ZooKeeper->new( hosts => '127.0.0.1:1' );
    ok !$never->client_id, 'no connection yet';
    my $zk = ZooKeeper->new(@args);
    $zk->exists('/');
    my $id = $zk->client_id;
    is ref $id, 'HASH', 'a plain hash ref';
    is_deeply [ sort keys %$id ], [qw(client_id passwd)], 'of two';
    like json( $id->{client_id} ), qr/\A-?\d+\z/, 'client_id is a number';
    is length $id->{passwd}, 16, 'passwd sixteen bytes';
    is_deeply $zk->client_id, $id, 'the same each time';
};

subtest 'client_id: good in another process' => sub {
    my ( $output, $status ) = run_perl( <<'PERL', $hosts, "$base/resumed" );
use ZooKeeper;
use POSIX ();
my ( $hosts, $path ) = @ARGV;
my $zk = ZooKeeper->new( hosts => $hosts, timeout => 60_000 );
$zk->create( $path, ephemeral => 1 );
my $id = $zk->client_id;
print $id->{client_id}, ' ', unpack( 'H*', $id->{passwd} );
close STDOUT;
POSIX::_exit(0);    # as if it had crashed: the session is left alone
PERL
    is $status, 0, 'a program that leaves its session';
    my ( $number, $passwd ) = split / /, $output;
    my $zk =
      ZooKeeper->new( @args, @long, client_id => { client_id => $number, passwd => pack 'H*', $passwd } );
    is $zk->exists("$base/resumed")->{ephemeralOwner}, $number, 'its ephemeral node is there';
    is $zk->client_id->{client_id},                    $number, 'the session is the same';
    goes_with( "$base/resumed", 'and ends with this handle', sub { $zk->close } );
};

subtest 'is_unrecoverable: true after expiry, failed authentication, close' => sub {
    my $zk = ZooKeeper->new(@args);
    ok !$zk->is_unrecoverable, 'not before the connection';
    $zk->exists('/');
    ok !$zk->is_unrecoverable, 'not with it';
    $server->expire_session($zk);
    soon_ok { $zk->is_unrecoverable } 60, 'expiry';
    $zk->reopen;
    ok !$zk->is_unrecoverable, 'not after reopen';
    $zk->add_auth( 'no such scheme', 'x' );
    soon_ok { $zk->is_unrecoverable } 60, 'failed authentication';
    $zk->reopen;
    $zk->close;
    ok $zk->is_unrecoverable, 'close';
};

subtest 'close: ends the session. Idempotent' => sub {
    my $zk = ZooKeeper->new( @args, @long );
    $zk->create( "$base/close", ephemeral => 1 );
    my @returned;
    goes_with( "$base/close", 'its ephemeral nodes are gone at once', sub { @returned = $zk->close } );
    is_deeply \@returned, [], 'returns nothing';
    is thrown { $zk->close for 1 .. 3 }, undef,                  'again and again';
    is $zk->state,                       ZOO_NOTCONNECTED_STATE, 'state';
};

subtest 'destroying the handle closes the session' => sub {
    my $zk = ZooKeeper->new( @args, @long );
    $zk->create( "$base/destroy", ephemeral => 1 );
    goes_with( "$base/destroy", 'undef', sub { undef $zk } );
    goes_with(
        "$base/destroy",
        'the end of its scope',
        sub { ZooKeeper->new( @args, @long )->create( "$base/destroy", ephemeral => 1 ) }
    );
};

subtest 'reopen: closes, then starts a new session with the same settings' => sub {
    my @session;
    my $zk = ZooKeeper->new(
        @args,
        timeout        => 90_000,
        watcher        => sub { push @session, $_[0]{state} },
        authentication => [ digest => 'r:pw' ],
        default_acl    => ZOO_CREATOR_ALL_ACL,
    );
    $zk->create( "$base/reopen", ephemeral => 1 );
    my $former = $zk->client_id->{client_id};
    my @returned;
    goes_with( "$base/reopen", 'the former session is closed', sub { @returned = $zk->reopen } );
    is_deeply \@returned, [], 'returns nothing';
    $zk->create( "$base/reopen", ephemeral => 1 );
    isnt $zk->client_id->{client_id},             $former,  'there is a new one';
    is $zk->session_timeout,                      90_000,   'timeout';
    is $zk->get_acl("$base/reopen")->[0]{scheme}, 'digest', 'default_acl and authentication';
    @session = ();
    $server->lose_connection($zk);
    next_events( $zk, \@session, 2 );
    pass 'watcher';
    $zk->close;
    $zk->reopen;
    ok $zk->exists($base), 'after close';
};

subtest 'reopen(%args): with other settings' => sub {
    my $zk = ZooKeeper->new( @args, timeout => 9_000 );
    $zk->reopen( timeout => 7_000, hosts => "$hosts$base" );
    is_deeply [ sort $zk->get_children('/') ], [ sort $setup->get_children($base) ], 'hosts';
    is $zk->session_timeout, 7_000, 'timeout';
    is_deeply [ $zk->hosts, $zk->timeout ], [ "$hosts$base", 7_000 ], 'the accessors know';
    $zk->reopen( timeout => undef );
    $zk->exists('/');
    is $zk->session_timeout, 7_000, 'undef counts as not given';
};

subtest 'reopen: how a forked child gets a session of its own' => sub {
    my $zk = ZooKeeper->new(@args);
    $zk->create( "$base/parent", ephemeral => 1 );
    my $id = $zk->client_id->{client_id};
    my ( $refused, $own, $owner ) = in_child(
        sub {
            my $error = thrown { $zk->exists($base) };
            $zk->reopen;
            $zk->create( "$base/child", ephemeral => 1 );
            return ( "$error", $zk->client_id->{client_id}, $zk->exists("$base/parent")->{ephemeralOwner} );
        }
    );
    like $refused,
      qr/\AError checking existence of node '\Q$base\E': invalid zhandle state: .*parent process/,
      'without it the handle throws ZINVALIDSTATE and says so';
    isnt $own,                                        $id, 'the child has its own';
    is $owner,                                        $id, 'and the parent the former';
    is $zk->exists("$base/parent")->{ephemeralOwner}, $id, 'which goes on';
};

subtest q(close: a forked child's only drops its socket, and never disturbs the parent) => sub {
    my $zk = ZooKeeper->new(@args);
    $zk->create( "$base/close", ephemeral => 1, value => 'v' );
    my @seen;
    $zk->get( "$base/close", watcher => sub { push @seen, @_ } );
    is_deeply [ in_child( sub { $zk->close; $zk->close; $zk->state } ) ], [ZOO_NOTCONNECTED_STATE], 'close';
    is_deeply [ in_child( sub { undef $zk; 'gone' } ) ], ['gone'], 'destroying it';
    is scalar $zk->get("$base/close"), 'v', 'the parent has its session';
    $setup->set( "$base/close" => 'w' );
    is next_events( $zk, \@seen, 1 ), 1, 'and its watcher';
};

# An event, soon, by a signal handler. It comes while something waits.
sub event_soon {
    my ($path) = @_;
    $SIG{ALRM} = sub { $setup->set( $path => 'v' ) };
    setitimer( ITIMER_REAL, 0.2 );
    return;
}

for my $dispatcher (qw(AnyEvent Pipe ^ZooKeeper::Dispatcher)) {
    local $SIG{ALRM};
    my $zk   = ZooKeeper->new( hosts => $hosts, dispatcher => $dispatcher );
    my $path = $setup->create( "$base/wait-", sequential => 1 );
    my $want = { type => ZOO_CHANGED_EVENT, state => ZOO_CONNECTED_STATE, path => $path };
    my @seen;

    subtest "wait: dispatches one event and returns it ($dispatcher)" => sub {
        $zk->get( $path, watcher => sub { push @seen, @_ } ) for 1 .. 2;
        $setup->set( $path => 'v' );
        is_deeply deadline( 60, sub { $zk->wait } ), $want,   'the event';
        is_deeply \@seen,                            [$want], 'its watcher was called';
        is_deeply deadline( 60, sub { $zk->wait } ), $want,   'the next one';
        is scalar @seen, 2, 'with the next call';
    };
    subtest "wait: undef after \$seconds, fractions count ($dispatcher)" => sub {
        my $from = time;
        is_deeply [ $zk->wait(0.2) ], [undef], 'undef';
        my $took = time - $from;
        cmp_ok $took, '>=', 0.19, 'not before';
        cmp_ok $took, '<',  60,   'and not never';
    };
    subtest "wait: no argument or 0: no limit ($dispatcher)" => sub {
        for my $args ( [], [0], [undef] ) {
            $zk->get( $path, watcher => sub { } );
            event_soon($path);
            is_deeply $zk->wait(@$args), $want, 'wait(' . join( ', ', map { $_ // 'undef' } @$args ) . ')';
        }
    };
    subtest "wait: returns also an event that its watcher ignored ($dispatcher)" => sub {
        $zk->dispatcher->ignore_session_events(0);
        my $deaf = $zk->create_watcher(
            $path, sub { fail 'it is called' },
            type                  => 'get',
            ignore_session_events => 1
        );
        $deaf->trigger( '', ZOO_CONNECTING_STATE, ZOO_SESSION_EVENT );
        is_deeply $zk->wait(60), { type => ZOO_SESSION_EVENT, state => ZOO_CONNECTING_STATE, path => '' },
          'the event';
    };
}

subtest q(wait: inside a callback of a loop that can't be re-entered it dies and says so) => sub {
    my $zk = ZooKeeper->new( hosts => $hosts, dispatcher => 'AnyEvent' );
    my $error;
    $zk->get(
        $base,
        watcher => sub {
            $error = thrown { $zk->wait(1) }
        }
    );
    $setup->set( $base => 'v' );
    deadline 60, sub { $zk->wait };
    like $error, qr/recursive blocking wait/, 'AnyEvent';
};

sub content {
    my ($file) = @_;
    open my $in, '<', $file or return '';
    local $/;
    return scalar(<$in>) // '';
}

subtest 'trace($level, $file): 0 none ... 4 debug (larger = 4)' => sub {
    for my $level ( 0 .. 4, 99 ) {
        my $file = "$dir/trace-$level";
        is_deeply [ ZooKeeper->trace( $level, $file ) ], [], "$level: returns nothing";
        thrown { $setup->get("$base/not-there") };
        $setup->exists($base);
        ZooKeeper->trace(0);
        my $said = content($file);
        $level ? like( $said, qr{/not-there}, "$level: an error is told" ) : is( $said, '', '0: nothing' );
        like $said, qr/exists/, "$level: every call is told" if $level >= 4;
    }
};

subtest 'trace: no file = standard error; PERL_ZOOKEEPER_TRACE=level[=file] does the same at load' => sub {
    my $call    = 'use ZooKeeper; BEGIN { $| = 1 } ';
    my $failing = 'eval { ZooKeeper->new(hosts => shift)->get("/not-there") }; ';
    like( ( run_perl( $call . 'ZooKeeper->trace(4); ' . $failing, $hosts ) )[0],
        qr{/not-there}, 'standard error' );
    local $ENV{PERL_ZOOKEEPER_TRACE} = 4;
    like( ( run_perl( $call . $failing, $hosts ) )[0], qr{/not-there}, 'PERL_ZOOKEEPER_TRACE=level' );
    $ENV{PERL_ZOOKEEPER_TRACE} = "4=$dir/environment";
    is( ( run_perl( $call . $failing, $hosts ) )[0], '', 'PERL_ZOOKEEPER_TRACE=level=file' );
    like content("$dir/environment"), qr{/not-there}, 'is in the file';
};

subtest 'nothing crashes or hangs in global destruction' => sub {
    my %program = (
        'global'        => 'our $zk = open_it(); ',
        'lexical'       => 'my $zk = open_it(); ',
        'with watchers' =>
          'our $zk = open_it(); our $again; $again = sub { $zk->get("/", watcher => $again) }; $again->();',
        'in a cycle'   => 'my $zk = open_it(); $zk->{self} = $zk; ',
        'dispatcher'   => 'our $d = open_it()->dispatcher; ',
        'in an object' =>
'package App { sub DESTROY { $_[0]{zk} and $_[0]{zk}->exists("/") } } our $app = bless { zk => open_it() }, "App"; ',
    );
    my $open = 'use strict; use warnings; use ZooKeeper; my ($hosts, $path) = @ARGV;
        sub open_it { my $zk = ZooKeeper->new(hosts => $hosts, timeout => 60_000); $zk->create($path, ephemeral => 1); return $zk } ';
    for my $name ( sort keys %program ) {
        my ( $output, $status ) = run_perl( "$open $program{$name} print qq(done\n);", $hosts, "$base/end" );
        is $output, "done\n", "$name: not a word";
        is $status, 0,        "$name: status";

        # At the end of a program nobody waits for longer than a second, either.
        soon_ok { !$setup->exists("$base/end") } 30, "$name: the session is closed";
    }
};

done_testing;

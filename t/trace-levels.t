use strict;
use warnings;
use Test::More;
use lib 't/lib';
use FakeZK;
use TestZK;
use TraceFile;

use IO::Socket::INET;
use POSIX ();
use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my $hosts  = $server->hosts;

sub client {
    return ZooKeeper->new( hosts => $hosts, dispatcher => 'Pipe', timeout => 30_000, @_ );
}

# A session in which nothing goes wrong: what is traced of it.
sub life_at {
    my ($level) = @_;
    my $trace   = TraceFile->new($level);
    my $path    = fresh_path('life');
    deadline 60, sub {
        my $zk = client();
        $zk->ensure_path('/test');
        $zk->create( $path, value => "data of level $level" );
        $zk->set( $path, 'x' x 100 );
        $zk->get( $path, watcher => sub { } );
        $zk->exists("$path-not");
        $zk->get_children($path);
        $zk->delete($path);
        $zk->close;
    };
    return ( $trace, $path );
}
life_at(0);    # ensure_path finds it from now on

subtest 'level 3: the life of a session' => sub {
    my ($trace) = life_at(3);
    is_deeply [ grep { !/ensure|'\/test'/ } $trace->plain ],
      [
        'info: opened for SERVER, timeout 30000 ms',
        'info: connecting to SERVER',
        'info: connected to SERVER from SERVER',
        'info: session 0xN granted by SERVER, timeout 30000 ms',
        'info: closing the session',
        'info: session closed',
      ],
      'from its opening to its end';
    my @lines = $trace->lines;
    is scalar( grep { !$_->{handle} } @lines ), 0, 'every line names the handle';
    my ($granted) = grep { $_->{text} =~ /granted/ } @lines;
    like $granted->{text}, qr/session \Q$granted->{session}\E granted/, 'and the session, once there is one';
};

subtest 'level 4: what is said, with data' => sub {
    my ( $trace, $path ) = life_at(4);
    unlike $trace->levels, qr/wrong|warn/, 'lines as they should be';
    my @debug = map { s/\d+ us/TIME/r } grep { /\Adebug: re/ && !m{'/test'} } $trace->plain;
    my ( $x, $zxid ) = ( 'x' x 64, qr/zxid 0x\w+, TIME/ );
    my @expected = (
qr/request \d+, \d+ bytes: create '$path', data 'data of level 4' \(15 bytes\), acl \[world:anyone 0x1f\], Persistent/,
        qr/reply \d+, \d+ bytes, $zxid: create '$path': ok, path '$path'/,
        qr/request \d+, \d+ bytes: setData '$path', data '$x[.]{3}' \(100 bytes\), version -1/,
        qr/reply \d+, 84 bytes, $zxid: setData '$path': ok, version 1/,
        qr/request \d+, \d+ bytes: getData '$path', watch/,
        qr/reply \d+, 188 bytes, $zxid: getData '$path': ok, data '$x[.]{3}' \(100 bytes\), version 1/,
        qr/request \d+, \d+ bytes: exists '$path-not'/,
        qr/reply \d+, 16 bytes, $zxid: exists '$path-not': no node \(-101\)/,
        qr/request \d+, \d+ bytes: getChildren '$path'/,
        qr/reply \d+, 20 bytes, $zxid: getChildren '$path': ok, 0/,
        qr/request \d+, \d+ bytes: delete '$path', version -1/,
        qr/reply \d+, 16 bytes, $zxid: delete '$path': ok/,
        qr/request \d+, 8 bytes: closeSession/,
        qr/reply \d+, 16 bytes, $zxid: closeSession: ok/,
    );
    is scalar @debug, scalar @expected, 'a line for each request and each reply';
    like $debug[$_], qr/\Adebug: $expected[$_]\z/, "line $_" for 0 .. $#expected;
    my $event = qr/event deleted \(2\) '$path', state connected \(3\), watchers: 1/;
    is scalar( grep { /\Adebug: $event\z/ } $trace->plain ), 1, 'and the watch event';
};

subtest 'levels 1 and 2: nothing of what went well' => sub {
    for my $level ( 1, 2 ) {
        my ($trace) = life_at($level);

        # ensure_path tries to make what is there; that call is one that failed.
        is_deeply [ grep { !m{create '/test': node exists} } $trace->plain ], [], "level $level";
    }
};

subtest 'calls that failed' => sub {
    my $trace = TraceFile->new(1);
    my $zk    = client();
    deadline 60, sub {
        eval { $zk->create('/zookeeper') };
        eval { $zk->get('no path') };
        eval { $zk->create( '/q', acl => [ { scheme => 'nobody', id => '', perms => 31 } ] ) };
        eval { $zk->transaction->delete("/a\nb")->commit };
        $zk->close;
        eval { $zk->get('/late') };
    };
    my @expected = (
        qr/create '\/zookeeper': node exists \(-110\)/,
        qr/get 'no path': bad arguments \(-8\): path must start with '\/'/,
        qr/create '\/q': invalid acl \(-114\)/,
        qr/commit.*: bad arguments \(-8\): .*control character U\+000A/,
        qr/get '\/late': invalid zhandle state \(-9\)/
    );
    my @lines = $trace->plain;
    is scalar @lines, scalar @expected, 'each has one line';
    like $lines[$_], qr/\Aerror: $expected[$_]\z/, "call $_" for 0 .. $#expected;
    eval { client( timeout => 'long' ) };
    is scalar( $trace->lines ), 5, 'what the Perl layer refuses has none';
};

subtest 'a connection that is lost and comes back' => sub {
    my $lose = sub {
        my ($level) = @_;
        my $trace   = TraceFile->new($level);
        my $zk      = client();
        deadline 60, sub {
            $zk->exists( "/not/$_", watcher => sub { } ) for 1 .. 3;
            $zk->get_children( '/', watcher => sub { } );
            $server->lose_connection($zk);
            soon_ok {
                eval { $zk->exists('/zookeeper') }
            }
            30, 'it comes back';
            $zk->close;
        };
        return $trace;
    };
    my $trace = $lose->(2);
    my @lines = grep { !/connection loss \(-4\)/ } $trace->plain;
    is_deeply \@lines, ['warn: connection to SERVER lost: closed by the server'],
      'level 2 says which, and why';
    my @life = grep { !/connection loss \(-4\)/ } $lose->(3)->plain;
    is_deeply [ @life[ 4 .. 8 ] ],
      [
        'warn: connection to SERVER lost: closed by the server',
        'info: connecting to SERVER',
        'info: connected to SERVER from SERVER',
        'info: session 0xN resumed by SERVER, timeout 30000 ms',
        'info: watches set again: 3 exist 1 child',
      ],
      'level 3 also how it comes back';
};

subtest 'requests that go with a connection' => sub {
    my $fake  = FakeZK->new( sub { $_[0]->handshake(30_000); $_[0]->frame } );
    my $trace = TraceFile->new(2);
    my $zk    = client( hosts => $fake->hosts );
    eval {
        deadline 60,
          sub { $zk->set( '/lost', 'x' ) }
    };
    my @lines = $trace->plain;
    my %at    = map { $lines[$_] => $_ } 0 .. $#lines;
    my $count = $at{'warn: requests answered with connection loss (-4): 1'};
    ok defined $count, 'are counted';
    my $call = "error: set '/lost': connection loss (-4); it may have been carried out";
    cmp_ok $at{$call} // -1, '>', $count // 99, 'and the call that failed says what it may have done';
};

subtest 'servers that cannot be had' => sub {
    my $closed = IO::Socket::INET->new( LocalAddr => '127.0.0.1', Listen => 1 )->sockport;
    my $trace  = TraceFile->new(2);
    my $zk     = client( hosts => "127.0.0.1:$closed" );
    soon_ok { $trace->content =~ /warn #\d+: cannot connect to 127.0.0.1:$closed: Connection refused/ } 30,
      'nobody listens';
    undef $zk;

    my $mute = IO::Socket::INET->new( LocalAddr => '127.0.0.1', Listen => 1 );
    $zk = client( hosts => '127.0.0.1:' . $mute->sockport, timeout => 600 );
    soon_ok {
        ( join "\n", $trace->plain ) =~ /warn: no session from SERVER: no answer for \d+ ms; connection dr/
    }
    30, 'one that does not answer the handshake';
    undef $zk;

    my $fake = FakeZK->new( sub { $_[0]->handshake(600); 1 while defined $_[0]->frame } );
    $zk = client( hosts => $fake->hosts );
    soon_ok {
        ( join "\n", $trace->plain ) =~ /warn: connection to SERVER lost: no answer for [4-9]\d\d\d* ms/
    }
    30, 'one that does not answer pings';
};

subtest 'why a session ends, and rubbish' => sub {
    my %ends = (
        'session expired: SERVER does not know it any more' =>
          sub { $_[0]->number == 1 ? $_[0]->handshake : $_[0]->frame && $_[0]->send_frame( "\0" x 37 ) },
        q{authentication of scheme 'digest' was refused by SERVER: authentication failed (-115)} => sub {
            $_[0]->handshake && $_[0]->frame && $_[0]->send_frame( pack 'l> q> l>', -4, 0, -115 );
            $_[0]->frame;
        },
        'rubbish from SERVER: frame of negative length -1; connection dropped' =>
          sub { $_[0]->handshake && $_[0]->send("\xff\xff\xff\xff"); $_[0]->frame },
    );
    for my $text ( sort keys %ends ) {
        my $fake  = FakeZK->new( $ends{$text} );
        my $trace = TraceFile->new(1);
        my $zk    = client( hosts => $fake->hosts );
        eval { $zk->add_auth( digest => 'a:b' ) };    # the session may be over already
        soon_ok {
            grep { $_ eq "error: $text" } $trace->plain
        }
        30, $text;
    }
    my $trace = TraceFile->new(1);
    eval { ZooKeeper::XS::_panic() };
    like( ( $trace->plain )[0], qr/\Aerror: internal error: asked to/, 'a bug of ours' );
};

subtest 'reopened, and forked' => sub {
    my $trace = TraceFile->new(3);
    my $zk    = client();
    deadline 60, sub { $zk->wait_connected(30) };
    $zk->reopen;
    my ( $first, $second ) = map { $_->{handle} } grep { $_->{text} =~ /\Aopened for/ } $trace->lines;
    ok( ( grep { /reopened in place of #$first\z/ } $trace->plain ), 'which handle had its place' );
    my $pid = fork // die "fork: $!";
    if ( !$pid ) {
        eval { $zk->exists('/zookeeper') };
        $zk->reopen;
        eval {
            deadline 60,
              sub { $zk->exists('/zookeeper') }
        };
        $zk->close;
        POSIX::_exit(0);
    }
    waitpid $pid, 0;
    my @child = map { "$_->{level}: $_->{text}" } grep { $_->{pid} == $pid } $trace->lines;
    is $child[0], 'info: forked: the handles of the parent process have to be reopened here',
      'a child that uses a handle, with its own pid';
    like $child[1], qr/\Aerror: exists '\/zookeeper': invalid zhandle state/,
      'the call that it must not make';
    ok( ( grep { /\Ainfo: reopened in place of the parent process's\z/ } @child ),
        'and how it gets its own' );
    is $trace->levels, 'error info', 'all lines are whole';
};

subtest 'a long line is cut' => sub {
    my $trace       = TraceFile->new(4);
    my $zk          = client( hosts => '127.0.0.1:1', timeout => 200 );
    my $transaction = $zk->transaction;
    $transaction = $transaction->delete( "/" . "\xe4" x 300 ) for 1 .. 10;
    eval {
        deadline 60,
          sub { $transaction->commit }
    };
    my ($line) = $trace->content =~ /(.*multi, 10: .*\n)/;
    is length $line, 4096, 'to what a pipe takes in one piece';
    like $line, qr/[.]{3}\n\z/, 'which shows';
    is $trace->levels =~ /wrong/, '', 'it is a line all the same';
};

done_testing;

# What happens to sessions, in the program's log.
use strict;
use warnings;
use Test::More;
use lib 't/lib';

BEGIN {
    plan skip_all => 'needs Log::Any (package liblog-any-perl)' if !eval { require Log::Any::Adapter };
}
use Child;
use Dispatchers;
use FakeZK;
use LogLines;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();

sub handle {
    return ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe', timeout => 30_000, @_ );
}

# A server of Perl that does as it is told with each request: xid, number of the request.
sub fake {
    my ($answer) = @_;
    return FakeZK->new(
        sub {
            my ($connection) = @_;
            $connection->handshake or return;
            my $number = 0;
            while ( defined( my $frame = $connection->frame ) ) {
                $answer->( $connection, unpack( 'l> l>', $frame ), ++$number );
            }
        }
    );
}

sub no_node {
    my ( $connection, $xid, $op, $number ) = @_;
    return $connection->send_frame( pack 'l> q> l>', $xid, $number, $op == -11 ? ZOK : ZNONODE );
}

subtest 'the life of a session' => sub {
    my $log = LogLines->new( level => 'info' );
    my $zk  = handle();
    $zk->wait_connected(30);
    $zk->get( '/', watcher => sub { } );
    $server->lose_connection($zk);
    soon_ok {
        eval { $zk->get('/'); 1 }
    }
    30, 'it comes back';
    my $id = sprintf '0x%x', $zk->client_id->{client_id};
    $zk->close;
    my @lines = $log->plain;
    is_deeply \@lines,
      [
        'info: opened for SERVER, timeout 30000 ms',
        'info: connecting to SERVER',
        'info: connected to SERVER from SERVER',
        'info: session 0xN granted by SERVER, timeout 30000 ms',
        'warning: connection to SERVER lost: closed by the server',
        ( grep { /\Awarning: requests answered/ } @lines ),
        'info: connecting to SERVER',
        'info: connected to SERVER from SERVER',
        'info: session 0xN resumed by SERVER, timeout 30000 ms',
        'info: watches set again: 1 data',
        'info: closing the session',
        'info: session closed',
      ],
      'lines of a program that never dispatches'
      or diag explain \@lines;
    my @messages = $log->messages;
    is_deeply [ grep { $_->{category} ne 'ZooKeeper' } @messages ], [], 'all of one category';
    my $handle = $messages[0]{about}{handle};
    like $handle, qr/\A[1-9][0-9]*\z/, 'the handle has a number';
    is_deeply $messages[1]{about}, { handle => $handle, server => $server->hosts },
      'structure, before there is a session';
    is_deeply $messages[-1]{about}, { handle => $handle, server => $server->hosts, session => $id },
      'and with one';
};

subtest 'levels' => sub {
    my %seen;
    for my $level (qw(trace debug info warning error)) {
        my $log = LogLines->new( level => $level );
        my $zk =
          handle( hosts => '127.0.0.1:1,' . $server->hosts );    # some begin with the one that is not there
        $zk->get('/') for 1 .. 3;
        $zk->close;
        my $bad = handle();
        $bad->add_auth( nosuchscheme => 'x' );
        ok !eval { $bad->get('/'); 1 }, "$level: refused";
        is_deeply [ $log->matching(qr/\Aerror: /) ],
          [
q(error: authentication of scheme 'nosuchscheme' was refused by SERVER: authentication failed (-115))
          ], "$level: errors";
        $seen{$level} = { map { $_->{level} => 1 } $log->messages };
    }
    is_deeply [ sort keys %{ $seen{error} } ],                  [qw(error)], 'error alone';
    is_deeply [ grep { /debug|trace/ } keys %{ $seen{info} } ], [],          'no more than is wanted';
    ok $seen{trace}{trace} && $seen{trace}{debug} && $seen{trace}{info}, 'trace is all there is';
    ok !$seen{debug}{trace} && $seen{debug}{debug}, 'debug is without each request';
};

subtest 'expiry' => sub {
    my $log = LogLines->new( level => 'error' );
    my $zk  = handle();
    $zk->wait_connected(30);
    $server->expire_session($zk);
    soon_ok {
        !eval { $zk->get('/'); 1 } && $@ == ZSESSIONEXPIRED
    }
    30, 'expired';
    is_deeply [ $log->plain ], ['error: session expired: SERVER does not know it any more'];
};

subtest 'rubbish from a server' => sub {
    my $log  = LogLines->new( level => 'error' );
    my $fake = fake( sub { $_[0]->send_frame('rub') } );
    my $zk   = handle( hosts => $fake->hosts );
    ok !eval { $zk->get('/'); 1 }, 'no answer';
    like + ( $log->plain )[0], qr/\Aerror: rubbish from SERVER: .*; connection dropped\z/;
};

subtest 'order: what has led to an event or an answer is told before it' => sub {
    my @order;
    my $log = LogLines->new( level => 'info', told => sub { push @order, $_[0]{text} =~ s/ .*//r } );
    my $zk  = handle( watcher => sub { push @order, "event $_[0]{state}" } );
    $zk->wait(10);
    is_deeply \@order, [ qw(opened connecting connected session), 'event 3' ], 'of a connection';
    for ( 1 .. 5 ) {
        @order = ();
        $server->lose_connection($zk);
        $zk->wait(10) for 1 .. 2;
        my %at = map { $order[$_] => $_ } 0 .. $#order;
        ok $at{connection} < $at{'event 1'} && $at{session} < $at{'event 3'}, 'of a loss'
          or diag explain \@order;
    }
    @order = ();
    $zk->close;
    1 while $zk->dispatcher->dispatch_event;
    is_deeply [ grep { /closed|session/ } @order ], [qw(session)], 'nothing twice';
};

subtest 'a message is no event' => sub {
    my $log        = LogLines->new( level => 'trace' );
    my $zk         = handle();
    my $dispatcher = $zk->dispatcher;
    my $fds        = '';
    vec( $fds, $dispatcher->fd, 1 ) = 1;
    ok select( my $readable = $fds, undef, undef, 30 ), 'the descriptor says that there is something';
    is $dispatcher->dispatch_event, undef, 'but dispatch_event has none';
    ok + ( $log->plain ), 'it has told the log';
    is $dispatcher->recv_event,    undef, 'nor has recv_event';
    is $dispatcher->channel->size, 0,     'nor are they counted';
    is $zk->wait(0.3),             undef, 'wait goes on waiting';
    ok $log->matching(qr/granted/), 'while the log is told';
    is select( $readable = $fds, undef, undef, 0 ), 0, 'the descriptor has nothing more to say';
    my $event;
    $zk->exists( fresh_path(), watcher => sub { } );
    $dispatcher->trigger_event( type => 'exists' );
    is ref( $dispatcher->dispatch_event ), 'HASH', 'an event behind messages is found at once';
};

for my $name ( dispatchers() ) {
    subtest "dispatcher $name" => sub {
        my $log = LogLines->new( level => 'info' );
        my $zk  = handle( dispatcher => $name );
        soon_ok { $zk->wait(0.02); $log->matching(qr/granted/) } 30,
          'its loop brings messages where there is no event';
    };
}

subtest 'nobody takes them: there is a bound' => sub {
    my $log  = LogLines->new( level => 'trace' );
    my $fake = fake( \&no_node );
    my $zk   = handle( hosts => $fake->hosts );
    $zk->wait_connected(30);
    $log->clear;
    my $answers = 0;
    $zk->delete( "/n$_", cb => sub { $answers++ } ) for 1 .. 1_500;
    wait_for { $zk->last_zxid >= 1_500 } 30, 'the answers';
    is scalar( $log->messages ), 0, 'not told yet';
    wait_for { $zk->wait(0.01); $answers == 1_500 } 30, 'the callbacks';
    my @lines = $log->plain;
    my ($lost) = map { /\Awarning: messages that were lost because nobody took them: ([0-9]+)\z/ } @lines;
    cmp_ok scalar(@lines), '<=', 1_010, 'so many are kept';
    is $lost + @lines - 1, 3_000, 'the others counted';
    like $lines[0], qr/request/, 'the first ones';
    $log->clear;
    eval { $zk->get('/more') };
    is scalar( $log->matching(qr/'\/more'/) ), 2, 'then it goes on';
};

subtest 'a log that dies' => sub {
    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, @_; die "a warning that dies\n" };
    local $SIG{__DIE__}  = sub { push @warnings, "not for the program: $_[0]" if $_[0] =~ /disk/ };
    my $count = 0;
    my $log   = LogLines->new( level => 'info', told => sub { $count++; die "the disk is full\n" } );
    my $zk    = handle();
    local $@ = 'as it was';
    is ref $zk->exists('/'), 'HASH', 'the call goes on';
    my $done;
    $zk->exists( '/', cb => sub { $done = ref $_[1] } );
    wait_for { $zk->wait(0.01); $done } 30, 'the answer';
    is $done, 'HASH',      'and a callback is called';
    is $@,    'as it was', '$@';
    $zk->close;
    cmp_ok $count, '>=', 6, 'each is tried';
    is_deeply \@warnings, ["ZooKeeper: can't log: the disk is full\n"], 'with one warning';
};

subtest 'a log that uses the handle' => sub {
    my ( $zk, $count ) = ( undef, 0 );
    my $log = LogLines->new(
        level => 'trace',
        told  => sub {
            $count++;
            $zk->exists('/')                if $zk;
            $zk->dispatcher->dispatch_event if $zk;
        }
    );
    $zk = handle();
    my ( $fired, $answered ) = ( 0, 0 );
    deadline 60, sub {
        $zk->exists( '/', watcher => sub { $fired++ } );
        $zk->exists( '/', cb      => sub { $answered++ } );
        $zk->dispatcher->trigger_event( type => 'exists' );
        wait_for { $zk->wait(0.01); $fired && $answered } 30, 'event and answer';
    };
    is_deeply [ $fired, $answered ], [ 1, 1 ], 'events and answers come through, once';
    cmp_ok $count, '>', 10, 'the log was told';
    undef $log;
    undef $zk;
};

subtest 'a log that lets go of the channel' => sub {
    my %own = ( channel => ZooKeeper::Channel->new );
    $own{channel}->send( ['item'] );
    my $log = LogLines->new( level => 'info', asked => sub { delete $own{channel} } );
    is_deeply $own{channel}->recv, ['item'], 'it still gives what is in it';
    is $own{channel}, undef, 'for the last time';
};

subtest 'a log that ends the program' => sub {
    my ( $pid, $output ) = child_program( <<'PROGRAM', $server->hosts );
use Log::Any::Adapter;
use LogLines;
use ZooKeeper;
my $log = LogLines->new( level => 'trace', told => sub { exit 3 } );
my $zk  = ZooKeeper->new( hosts => shift, dispatcher => 'Pipe' );
$zk->exists('/');
print "still there\n";
PROGRAM
    my $said = join '', <$output>;
    close $output;
    is $? >> 8, 3,  'with its own status';
    is $said,   '', 'at once';
};

subtest 'an adapter that is set when the handle is there' => sub {
    my $zk = handle();
    $zk->exists('/');
    my $log = LogLines->new( level => 'trace' );
    soon_ok { $zk->exists('/soon'); $log->matching(qr/soon/) } 30, 'a program that makes calls';
    undef $log;
    $log = LogLines->new( level => 'trace' );
    soon_ok {
        1 while $zk->dispatcher->dispatch_event;
        $zk->exists( '/polls', cb => sub { } );
        $log->matching(qr/polls/)
    }
    30, 'one that polls';
};

subtest 'a forked child' => sub {
    my $log = LogLines->new( level => 'info' );
    my $zk  = handle();
    $zk->exists('/');
    my $pending = () = $log->messages;
    my @lines   = in_child {
        $log->clear;
        $zk->reopen;
        $zk->exists('/');
        $zk->close;
        $log->plain;
    };
    is_deeply [ map { /\A(\S+ \S+)/ } @lines ],
      [
        'info: opened',
        'info: connecting',
        'info: connected',
        'info: session',
        'info: closing',
        'info: session'
      ],
      'has a log of its own';
    $zk->exists('/');
    is scalar( $log->messages ), $pending, 'nothing of it in that of the parent';
};

subtest 'secrets' => sub {
    my $log  = LogLines->new( level => 'trace' );
    my $path = fresh_path('secret');
    my $zk   = handle( authentication => [ digest => 'alice:s3cret-password' ] );
    $zk->create( $path, value => 'v', acl => ZOO_CREATOR_ALL_ACL );
    my $id     = $zk->client_id;
    my ($acl)  = $zk->get_acl($path);
    my ($hash) = $acl->[0]{id} =~ /:(.*)/;
    $server->lose_connection($zk);
    soon_ok {
        eval { $zk->set_acl( $path, $acl ); 1 }
    }
    30, 'it comes back';
    $zk->close;
    my $said = join "\n", map { $_->{text}, %{ $_->{about} } } $log->messages;
    like $said, qr/digest/, 'the scheme is told';
    my ($hex) = unpack 'H*', $id->{passwd};
    my %secret =
      ( password => 's3cret', hash => substr( $hash, 0, 8 ), passwd => $id->{passwd}, 'hex of it' => $hex );
    is index( $said, $secret{$_} ), -1, "no $_" for sort keys %secret;
};

my $USE = <<'CODE';
my $zk = ZooKeeper->new( hosts => $ARGV[0], dispatcher => 'Pipe' );
$zk->exists('/');
CODE

sub said_by {
    my ($code) = @_;
    my ( undef, $output ) = child_program( "use strict; use warnings; $code", $server->hosts );
    my @lines = deadline 60, sub { readline $output };
    close $output;
    is $?, 0, 'it ends well';
    return join '', @lines;
}

subtest 'without Log::Any' => sub {
    my $code = q(BEGIN { unshift @INC, sub { die "hidden\n" if $_[1] =~ /\ALog/ } } use ZooKeeper; ) . $USE;
    is said_by( $code . 'print map { "$_\n" } grep { /Log.Any/ } keys %INC;' ), '', 'nothing is missing';
};

subtest 'not loaded if the program has not' => sub {
    is said_by( "use ZooKeeper; $USE" . 'print map { "$_\n" } grep { /Log.Any/ } keys %INC;' ), '';
};

subtest 'loaded after ZooKeeper' => sub {
    my $code =
      'use ZooKeeper; require Log::Any::Adapter; Log::Any::Adapter->set(q(Stdout), log_level => q(info));';
    my $said = said_by("$code $USE undef \$zk;");
    like $said, qr/^session 0x[0-9a-f]+ granted by .*^session closed/ms,
      'the goodbye of a handle that goes is told, too';
    like said_by("$code $USE our \$kept = \$zk;"), qr/granted/, 'one that lives until the end does no harm';
};

subtest 'an adapter that is set while nothing happens' => sub {
    plan skip_all => 'needs AnyEvent (package libanyevent-perl)' if !eval { require AnyEvent };
    my $zk = handle( dispatcher => 'AnyEvent' );
    $zk->wait_connected(30);
    my $idle  = AE::cv();
    my $later = AE::timer( 0.3, 0, sub { $idle->send } );
    $idle->recv;
    my $log = LogLines->new;
    $server->lose_connection($zk);
    my $heard = AE::cv();
    my $look  = AE::timer(
        0.05, 0.05,
        sub {
            $heard->send(1) if grep { /lost/ } $log->plain;
        }
    );
    my $late = AE::timer( 30, 0, sub { $heard->send(0) } );
    ok $heard->recv, 'hears of the next thing that does' or diag explain [ $log->plain ];
};

done_testing;

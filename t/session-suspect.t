# A session that is cut off: when it is suspect, and when it ends without a server's word.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Child;
use FaultProxy;
use TestZK;

use Time::HiRes qw(time);
use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my $base   = fresh_path('suspect');
my $setup  = ZooKeeper->new( hosts => $server->hosts, timeout => 30_000, dispatcher => 'Pipe' );
$setup->create($base);

# A handle behind a proxy of its own, which is then cut off: nothing gets through any more.
sub cut_off {
    my (@more) = @_;
    my $proxy  = FaultProxy->new( $server->hosts );
    my $zk     = ZooKeeper->new(
        hosts           => $proxy->hosts,
        timeout         => 2_000,
        request_timeout => 60,
        dispatcher      => 'Pipe',
        @more
    );
    $zk->wait_connected(60);
    $proxy->harm( "swallow_$_" => 0 ) for qw(requests answers);
    return ( $proxy, $zk );
}

subtest 'a session that is cut off is suspect after its timeout, and not over' => sub {
    my ( $proxy, $zk, $start, $is_suspect );
    do {
        $start = time;
        ( $proxy, $zk ) = cut_off();
        $is_suspect = $zk->is_session_suspect;
    } while time - $start > 1.5;    # else whoever stood still has come too late
    ok !$is_suspect, 'not at once';
    wait_for { !$zk->is_connected } 60,      'the loss to be noticed';
    wait_for { $zk->is_session_suspect } 60, 'suspicion';
    ok !$zk->is_unrecoverable, 'only a server can say that it is over';
    isnt $zk->state, ZOO_EXPIRED_SESSION_STATE, 'state';
    ok !eval { $zk->exists($base); 1 }, 'a call';
    is 0 + $@, ZCONNECTIONLOSS, 'gets no connection';
    $proxy->harm( heal => 0 );
    my $outcome = wait_for {
        eval { $zk->exists($base); 'alive' } // ( $@ == ZSESSIONEXPIRED ? 'expired' : undef )
    }
    60, 'a server to say';
    is $outcome, 'expired', 'and it does';
    ok !$zk->is_session_suspect, 'what is over is not suspect';
    ok $zk->is_unrecoverable,    'it is unrecoverable';
    $zk->reopen;
    ok $zk->exists($base),       'reopen starts a new one';
    ok !$zk->is_session_suspect, 'which nobody suspects';
};

# The server begins to count when it gets a request, and not when the client gets the answer.
subtest 'answers that are long under way do not hide that the session has expired' => sub {
    my $proxy = FaultProxy->new( $server->hosts );
    my $zk    = ZooKeeper->new( hosts => $proxy->hosts, timeout => 4_500, dispatcher => 'Pipe' );
    my $path  = "$base/delayed";
    $zk->create( $path, ephemeral => 1 );
    $proxy->harm( delay_answers => 0, 2.5 );
    my $answers = 0;
    wait_for {
        $zk->exists( $path, cb => sub { $answers++ } );
        $zk->wait(0.1);
        $answers >= 5 || !$zk->is_connected
    }
    60, 'answers that are late';
    $proxy->harm( hold_requests => 0 );
    wait_for { $setup->sync('/'); !$setup->exists($path) } 60, 'the expiry';
    ok $zk->is_session_suspect || $zk->is_unrecoverable, 'whoever has it does not trust in it any more';
};

subtest 'a session that finds back in time lives on' => sub {
    my $proxy = FaultProxy->new( $server->hosts );
    my $zk    = ZooKeeper->new( hosts => $proxy->hosts, timeout => 20_000, dispatcher => 'Pipe' );
    $zk->create( "$base/mine", ephemeral => 1 );
    $proxy->harm( reset => 0 );
    wait_for {
        eval { $zk->exists("$base/mine") }
    }
    60, 'a call';
    ok !$zk->is_session_suspect, 'nothing to suspect';
};

subtest 'expire_by_clock: the session ends when its timeout has passed' => sub {
    my ( @seen, $proxy, $zk, $start, $answer );
    do {
        @seen  = ();
        $start = time;
        ( $proxy, $zk ) = cut_off( expire_by_clock => 1, watcher => sub { push @seen, $_[0]{state} } );
        $zk->exists( $base, cb => sub { $answer = $_[0] } );
    } while time - $start > 1;    # else it was not under way at the loss
    ok $zk->expire_by_clock, 'the option';
    wait_for { $zk->wait(0.1); $zk->is_unrecoverable } 60, 'the end';
    is $zk->state, ZOO_EXPIRED_SESSION_STATE, 'state';
    wait_for { $zk->wait(0.1); @seen == 3 } 60, 'the events';
    is_deeply \@seen, [ ZOO_CONNECTED_STATE, ZOO_CONNECTING_STATE, ZOO_EXPIRED_SESSION_STATE ],
      'the default watcher hears of it';
    is 0 + $answer, ZCONNECTIONLOSS, 'what was under way was answered at the loss';
    ok !eval { $zk->exists($base); 1 }, 'a call';
    is 0 + $@, ZSESSIONEXPIRED, 'finds it expired';
    ok $@->is_session_lost, 'is_session_lost';
    $proxy->harm( heal => 0 );
    ok !eval { $zk->exists($base); 1 } && $@ == ZSESSIONEXPIRED, 'for good';
    $zk->reopen;
    ok $zk->exists($base),   'until reopen';
    ok $zk->expire_by_clock, 'which keeps the option';
};

subtest 'expire_by_clock: what waits for a connection is told that the session has expired' => sub {
    my ( $proxy, $zk ) = cut_off( expire_by_clock => 1 );
    wait_for { !$zk->is_connected } 60, 'the loss';
    ok !eval { $zk->exists($base); 1 }, 'a call that waits';
    is 0 + $@, ZSESSIONEXPIRED, 'ends with the session';
};

subtest 'expire_by_clock: there has to be a session' => sub {
    my $zk = ZooKeeper->new(
        hosts           => '127.0.0.1:1',
        timeout         => 500,
        request_timeout => 60,
        dispatcher      => 'Pipe',
        expire_by_clock => 1
    );
    ok !eval { $zk->exists('/'); 1 }, 'a call';
    is 0 + $@, ZCONNECTIONLOSS, 'gets no connection';
    ok !$zk->is_unrecoverable,   'which is not the end';
    ok !$zk->is_session_suspect, 'nor suspect';
};

subtest 'without a session' => sub {
    my ( $proxy, $zk ) = cut_off();
    wait_for { $zk->is_session_suspect } 60, 'suspicion';
    is in_child( sub { $zk->is_session_suspect ? 'suspect' : 'no' } ), 'no', 'in a forked child';
    $zk->close;
    ok !$zk->is_session_suspect, 'after close';
};

done_testing;

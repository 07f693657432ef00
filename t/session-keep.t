# Sessions that are handed from one process to another.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Child;
use FakeZK;
use TestZK;

use Time::HiRes qw(clock time);    # clock: processor time of all threads
use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my @args   = ( hosts => $server->hosts, timeout => 10_000, dispatcher => 'Pipe' );
my $setup  = ZooKeeper->new(@args);
my $base   = fresh_path('keep');
$setup->create($base);

# Resumes a session in a program of its own; what it says.
sub in_another_program {
    my ( $id, $code ) = @_;
    my ( $pid, $output ) =
      child_program( <<'PROGRAM' . $code, $server->hosts, $id->{client_id}, unpack 'H*', $id->{passwd} );
use strict;
use warnings;
use ZooKeeper;
alarm 60;
my ( $hosts, $number, $passwd ) = @ARGV;
my $zk = ZooKeeper->new(
    hosts      => $hosts,
    dispatcher => 'Pipe',
    client_id  => { client_id => $number, passwd => pack 'H*', $passwd },
);
PROGRAM
    my @lines = deadline 90, sub { <$output> };
    waitpid $pid, 0;
    chomp @lines;
    return "@lines";
}

subtest 'close(keep => 1) leaves the session to another process' => sub {
    my $zk = ZooKeeper->new(@args);
    $zk->create( "$base/kept", ephemeral => 1 );
    my ( @errors, @events );
    $zk->get( "$base/kept", watcher => sub { push @events, @_ } );
    $zk->set( "$base/kept", $_, cb => sub { push @errors, $_[0] } ) for 1 .. 3;
    is_deeply [ $zk->close( keep => 1 ) ], [], 'returns nothing';
    1 while $zk->dispatcher->dispatch_event;
    my @answers = map { defined $_ ? $_->code : ZOK } @errors;
    is scalar @answers, 3, 'what was under way is answered';
    is_deeply [ grep { $_ != ZOK && $_ != ZCLOSING } @answers ], [], 'as by any close' or diag "@answers";
    is $zk->state, ZOO_NOTCONNECTED_STATE, 'state';
    is_deeply [ $zk->get_watchers ], [], 'no watcher is kept';
    ok !eval { $zk->exists('/'); 1 }, 'a call';
    is $@->code,                                        ZINVALIDSTATE, 'finds no session';
    is eval { $zk->close; $zk->close( keep => 1 ); 1 }, 1,             'closing again does no harm';
    my $id = $zk->client_id;
    ok $id, 'client_id is still there';
    undef $zk;    # which would close a session
    is $setup->exists("$base/kept")->{ephemeralOwner}, $id->{client_id}, 'the ephemeral node is there';

    is in_another_program( $id, <<'PROGRAM'), "$id->{client_id} $id->{client_id}", 'another process has it';
my $path = '/' . ( $zk->get_children('/') )[0];
my ($kept) = map { my $p = "/$_"; grep { /kept\z/ } map { "$p/$_" } $zk->get_children($p) } $zk->get_children('/');
print $zk->client_id->{client_id}, ' ', $zk->exists($kept)->{ephemeralOwner}, "\n";
$zk->close( keep => 1 );
PROGRAM
    ok $setup->exists("$base/kept"), 'and leaves it again';
    is in_another_program( $id, 'print $zk->wait_connected(30); $zk->close' ), 1,     'a third one';
    is $setup->exists("$base/kept"),                                           undef, 'ends it';
    is in_another_program( $id, 'print eval { $zk->exists("/"); 1 } // 0 + $@' ), ZSESSIONEXPIRED,
      'after that it has expired';
};

subtest 'close(keep => 0), and what close does not know' => sub {
    my $zk = ZooKeeper->new(@args);
    $zk->create( "$base/ended", ephemeral => 1 );
    $zk->close( keep => 0 );
    is $setup->exists("$base/ended"), undef, 'the session ends as ever';
    $zk = ZooKeeper->new(@args);
    my $words = '';
    local $SIG{__WARN__} = sub { $words .= "@_" };
    $zk->close( kept => 1 );
    like $words, qr/\Aclose: unknown argument 'kept' has no effect at \Q${\ __FILE__}\E line \d+\.\n\z/,
      'a typo is seen';
};

subtest 'close(keep => 1) without a connection, and in a forked child' => sub {
    my $zk = ZooKeeper->new( hosts => '127.0.0.1:1', dispatcher => 'Pipe' );
    deadline 30, sub { $zk->close( keep => 1 ) };
    ok !$zk->client_id, 'there is nothing to be kept';

    $zk = ZooKeeper->new(@args);
    $zk->create( "$base/parents", ephemeral => 1 );
    is in_child( sub { $zk->close( keep => 1 ); $zk->close; 'closed' } ), 'closed', 'a child';
    is $zk->exists("$base/parents")->{ephemeralOwner}, $zk->client_id->{client_id},
      'does not disturb its parent';
};

subtest 'reopen after close(keep => 1)' => sub {
    my $zk = ZooKeeper->new(@args);
    $zk->create( "$base/again", ephemeral => 1 );
    my $id = $zk->client_id;
    $zk->close( keep => 1 );
    $zk->reopen( client_id => $id );
    is $zk->exists("$base/again")->{ephemeralOwner}, $zk->client_id->{client_id}, 'takes it up';
    is $zk->client_id->{client_id},                  $id->{client_id},            'as the same session';
    $zk->close( keep => 1 );
    $zk->reopen;
    isnt + ( $zk->wait_connected && $zk->client_id->{client_id} ), $id->{client_id}, 'or starts a new one';
    ok $zk->exists("$base/again"), 'beside it';
};

subtest 'a session that never was' => sub {
    for my $id ( { client_id => 4711, passwd => 'p' x 16 }, { client_id => -1, passwd => "\0" x 16 } ) {
        my @seen;
        my $zk = ZooKeeper->new( @args, client_id => $id, watcher => sub { push @seen, $_[0]{state} } );
        ok !eval {
            deadline 60,
              sub { $zk->wait_connected }
        }, "session $id->{client_id}";
        is $@->code, ZSESSIONEXPIRED, 'has expired';
        wait_for { $zk->wait(1); @seen } 60, 'the event';
        is_deeply \@seen, [ZOO_EXPIRED_SESSION_STATE], 'which is told';
    }
};

# Servers that are none of Apache's do that.
subtest 'a server that hands out another session instead of refusing this one' => sub {
    my $fake = FakeZK->new(
        sub {
            my ($connection) = @_;
            $connection->frame // return;
            $connection->send_frame( pack 'N N q> N/a* C', 0, 10_000, 0x7777, 'q' x 16, 0 );
            $connection->serve(ZNONODE);
        }
    );
    my $zk = ZooKeeper->new(
        hosts      => $fake->hosts,
        dispatcher => 'Pipe',
        client_id  => { client_id => 0x1234, passwd => 'p' x 16 }
    );
    ok !eval {
        deadline 60, sub { $zk->exists('/') };
        1;
    }, 'a call';
    is $@->code,                    ZSESSIONEXPIRED,           'finds the session expired';
    is $zk->state,                  ZOO_EXPIRED_SESSION_STATE, 'state';
    is $zk->client_id->{client_id}, 0x1234, 'client_id is not the one that was not asked for';
    is_deeply [ $fake->notes ], [], 'nothing was asked in the other session';
    $zk->reopen;
    is $zk->exists('/x'),           undef,  'reopen';
    is $zk->client_id->{client_id}, 0x7777, 'takes one that is offered';
};

subtest 'two that hold one session kick each other out, at a slow pace' => sub {
    my ( $one, $cpu, $start ) = ( ZooKeeper->new(@args), clock, time );
    $one->create( "$base/shared", ephemeral => 1 );
    my $other      = ZooKeeper->new( @args, client_id => $one->client_id );
    my $reconnects = sub { $one->metrics->{reconnects} + $other->metrics->{reconnects} };

    # Sometimes a server loses track of such a session, and both keep their connections.
    wait_for { $reconnects->() >= 6 || time - $start > 10 } 120, 'some rounds';
    my $took = time - $start;
    cmp_ok $reconnects->(), '<=', 12 + 10 * $took,   'there are so many a second and no more';
    cmp_ok clock() - $cpu,  '<',  0.5 * $took + 0.5, 'and it costs little';

    ok wait_for {
        grep {
            eval { $_->exists("$base/shared") }
        } $one,
          $other
    } 120, 'now and then a call gets through';
    is $one->client_id->{client_id}, $other->client_id->{client_id}, 'it is one session';
    $other->close( keep => 1 );
    ok wait_for {
        my $count = $one->metrics->{reconnects};
        eval { $one->exists("$base/shared") } && $one->metrics->{reconnects} == $count;
    }
    120, 'when one of them leaves it the other has it for itself';
};

done_testing;

# Names of servers that move, go, come back, and are slow to be found. Each subtest is named after the symptom.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Names;

my $names;
BEGIN { $names = Names->take_over }

use Child;
use FakeZK;
use FaultProxy;
use TestZK;

use Time::HiRes qw(clock sleep time);    # clock: processor time of all threads
use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my $base   = fresh_path('names');
my $port   = $server->port;
my @args   = ( timeout => 30_000, dispatcher => 'Pipe' );
my $setup  = ZooKeeper->new( @args, hosts => $server->hosts );
$setup->create($base);

# A handle with an ephemeral node, and its session's number.
sub session {
    my ( $hosts, $node, @more ) = @_;
    my $zk = ZooKeeper->new( @args, @more, hosts => $hosts );
    $zk->create( "$base/$node", ephemeral => 1 );
    return ( $zk, $zk->client_id->{client_id} );
}

# Waits until the session is there again.
sub is_back {
    my ( $zk, $id, $node ) = @_;
    my $stat = wait_for {
        eval { $zk->exists("$base/$node") } || ( $@ && $@ != ZCONNECTIONLOSS ? die $@ : 0 )
    }
    30, 'the session';
    return is $stat->{ephemeralOwner}, $id, 'the session goes on, with its ephemeral node';
}

subtest 'a server that has moved to another address is found there' => sub {
    my $old  = FaultProxy->new( $server->hosts );
    my ($at) = $old->hosts =~ /:(\d+)\z/;
    my $new  = FaultProxy->new( { to => $server->hosts, listen => "127.0.0.2:$at" } );
    $names->are( 'moves.test' => '127.0.0.1' );
    my ( $zk, $id ) = session( "moves.test:$at", 'moves' );
    is scalar( my @before = $new->connects(0) ), 0, 'it is where the name says';
    $names->are( 'moves.test' => '127.0.0.2' );
    undef $old;
    is_back( $zk, $id, 'moves' );
    cmp_ok scalar( my @after = $new->connects(0) ), '>=', 1, 'it has moved with its name';
    is $zk->server, "moves.test:$at", 'server says the name';
};

subtest 'one of three names is unknown' => sub {
    $names->are( 'known.test' => '127.0.0.1' );
    $names->are('unknown.test');
    my $proxy = FaultProxy->new( $server->hosts );
    my ($other) = $proxy->hosts =~ /:(\d+)\z/;
    my ( $zk, $id ) = session( "unknown.test:1,known.test:$port,known.test:$other", 'three' );
    for my $round ( 1 .. 3 ) {
        my $reconnects = $zk->metrics->{reconnects};
        $server->lose_connection($zk);
        wait_for { $zk->metrics->{reconnects} > $reconnects } 30, 'another connection';
        is_back( $zk, $id, 'three' );
    }
};

subtest 'all names are unknown for a while' => sub {
    my $proxy = FaultProxy->new( $server->hosts );
    my ($at)  = $proxy->hosts =~ /:(\d+)\z/;
    my @hosts = map { "goes-$_.test" } 1 .. 3;
    $names->are( $_ => '127.0.0.1' ) for @hosts;
    my ( $zk, $id ) = session( join( ',', map { "$_:$at" } @hosts ), 'goes' );
    $names->are($_) for @hosts;
    $proxy->harm( reset => 0 );
    wait_for { !$zk->is_connected } 30, 'the loss';
    my ( $answer, $cpu, $start ) = ( undef, clock, time );
    $zk->exists( "$base/goes", cb => sub { $answer = [@_] } );
    sleep at_length( 10, 2 );
    my $took = time - $start;
    cmp_ok clock() - $cpu, '<', 0.05 * $took + 0.1, 'it does not spin';
    1 while $zk->dispatcher->dispatch_event;
    is $answer, undef, 'who has asked waits';
    ok !$zk->is_unrecoverable, 'the session is not over';
    $names->are( $hosts[1] => '127.0.0.1' );
    wait_for { $zk->wait(0.1); $answer } 30, 'an answer';
    is $answer->[0], undef, 'when one is known again he has his answer';
    is_back( $zk, $id, 'goes' );
    is $zk->server, "$hosts[1]:$at", 'at that one';
};

# What happens while a name is looked up for so many seconds, and another one without end.
sub meanwhile {
    my ($slow) = @_;
    my ( $name, $stuck ) = ( "slow-$slow.test", "stuck-$slow.test" );
    $names->are( $name  => '127.0.0.1', seconds => $slow );
    $names->are( $stuck => '127.0.0.1', seconds => 60 );
    my $start     = time;
    my $zk        = ZooKeeper->new( @args, hosts => "$name:$port" );
    my $stuck_one = ZooKeeper->new( @args, hosts => "$stuck:$port", timeout => 1_000, request_timeout => 60 );
    my ( %answer,  $child );
    my ( $longest, $calls ) = ( 0, 0 );
    $zk->exists( $base, cb => sub { $answer{slow} = [@_] } );
    $stuck_one->exists( $base, cb => sub { $answer{stuck} = [@_] } );
    my $last = time;

    while ( time < $start + $slow - 0.5 ) {
        $setup->exists($base);
        $_->wait(0.01) for $setup, $zk, $stuck_one;
        $_->state for $zk, $stuck_one;
        $calls++;
        $child = in_child {
            return eval { $setup->exists('/'); 1 } // 0 + $@
        }
        within => 30 if $calls == 3;
        my $now = time;
        $longest = $now - $last if $now - $last > $longest;
        $last    = $now;
    }
    my $early = $answer{slow};
    wait_for { $zk->wait(0.1); $answer{slow} } 60, 'the answer';
    return {
        early   => $early,
        calls   => $calls,
        longest => $longest,
        child   => $child,
        stuck   => $answer{stuck}[0],
        slow    => $answer{slow}[0],
        took    => time - $start,
        zk      => $stuck_one,
    };
}

subtest 'a resolver that takes its time blocks nobody' => sub {
    my ( $slow, $was );

    # Whatever stands still for that long, for another reason, holds them up as well: then once more.
    for ( at_length( 10, 4 ), 12, 30 ) {
        $slow = $_;
        $was  = meanwhile($slow);
        last if !$was->{early} && $was->{stuck} && $was->{calls} > 3 && $was->{longest} < $slow - 1;
        note "once more, for more than $slow s";
    }
    is $was->{early}, undef, 'it has not been found yet';
    cmp_ok $was->{calls},   '>', 3,         "others go on ($was->{calls} rounds)";
    cmp_ok $was->{longest}, '<', $slow - 1, 'none of them is held up' or diag "$was->{longest} s";
    is $was->{child},              ZINVALIDSTATE,   'a child is forked meanwhile';
    is 0 + ( $was->{stuck} // 0 ), ZCONNECTIONLOSS, 'who has asked one that is never found is told in time';
    is $was->{slow},               undef,           'the slow one is found in the end';
    cmp_ok $was->{took}, '>=', $slow - 0.1, 'when the resolver has said so';
    deadline 20, sub { $was->{zk}->close };
    delete $was->{zk};
    pass 'close waits for no resolver';
};

# An attempt ends after a third of the session timeout. What comes just then is for the next one.
subtest 'a resolver that takes as long as an attempt' => sub {
    my @hosts = map { "third-$_.test" } 1 .. 5;
    $names->are( $_ => '127.0.0.1', seconds => 2 ) for @hosts;
    my @zk      = map { ZooKeeper->new( @args, timeout => 6_000, hosts => "$_:$port" ) } @hosts;
    my @futures = map { $_->exists_f($base) } @zk;
    for my $future (@futures) {
        my $found = eval {
            deadline( 60, sub { $future->get } );
            1;
        };
        ok $found, 'is waited for' or diag $@;
    }
};

# While the session is at a server that is read-only: a question to another one, name and all, may take as long.
subtest 'a resolver that takes as long as the question whether a server can write' => sub {
    my $only_reads = sub {
        my ($connection) = @_;
        $connection->frame // return;
        $connection->send_frame( pack 'N N q> N/a* C', 0, 6_000, 0x5555, 'p' x 16, 1 );
        $connection->serve(ZNONODE);
    };
    my @writers = map { "writer-$_.test" } 1 .. 5;
    my @readers = map { FakeZK->new($only_reads) } @writers;
    $names->are( $_ => undef ) for @writers;
    my @zk;
    for my $n ( 0 .. $#writers ) {
        my $hosts = join ',', "$writers[$n]:$port", $readers[$n]->hosts;
        push @zk, ZooKeeper->new( @args, timeout => 6_000, read_only => 1, hosts => $hosts );
    }
    for my $zk (@zk) {
        wait_for { $zk->state == ZOO_READONLY_STATE } 60, 'the read-only server';
    }
    $names->are( $_ => '127.0.0.1', seconds => 2 ) for @writers;
    for my $zk (@zk) {
        soon_ok { $zk->state == ZOO_CONNECTED_STATE } 60, 'the other one is found';
    }
};

subtest 'a program that ends while a name is looked up ends' => sub {
    $names->are( 'stuck.test' => '127.0.0.1', seconds => 60 );
    local $ENV{LD_PRELOAD} = $ENV{ZOOKEEPER_TEST_NAMES} =~ s{[^/]*\z}{names.so}r;
    my ( $pid, $output ) = child_program( <<'PROGRAM', "stuck.test:$port" );
use strict;
use warnings;
use ZooKeeper;
my $zk = ZooKeeper->new( hosts => $ARGV[0], dispatcher => 'Pipe', timeout => 1_000 );
$zk->exists( '/', cb => sub { } );
eval { $zk->exists('/'); 1 } and die 'it was found';
print "ends\n";
PROGRAM
    is deadline( 40, sub { <$output> } ), "ends\n", 'it has waited for the name in vain';
    is deadline( 40, sub { <$output> } ), undef,    'and has ended';
    waitpid $pid, 0;
    is $?, 0, 'well';
};

done_testing;

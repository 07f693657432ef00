# A client without a server: the CPAN module tried hundreds of times a second. Each subtest is named after the symptom.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use FakeZK;
use Faults;
use TestZK;

use Time::HiRes qw(clock sleep time);    # clock: processor time of all threads
use ZooKeeper;
use ZooKeeper::Constants;

# Seconds that are watched.
my $SPAN = 7;

# Servers that note when a connection came, and drop it, all watched at the same time: three clients for each kind.
my %drops = (
    'drops connections'          => sub { },
    'drops sessions'             => sub { $_[0]->handshake },
    'drops after half an answer' => sub { $_[0]->frame; $_[0]->send( pack 'N N', 37, 0 ) },
);
my ( @zk, %servers );
for my $name ( sort keys %drops ) {
    my $serve = sub { my ($connection) = @_; $connection->note( 'at', time ); $drops{$name}->($connection) };
    $servers{$name} = [ map { FakeZK->new($serve) } 1 .. 3 ];
}
my @all = map { @$_ } values %servers;
my $cpu = clock;
push @zk, map { ZooKeeper->new( hosts => $_->hosts, timeout => 30_000, dispatcher => 'Pipe' ) } @all;
sleep $SPAN;
$cpu = clock() - $cpu;
my %times;
for my $name ( sort keys %servers ) {
    $times{$name} = [
        map {
            [ map { /\Aat (.*)/ ? $1 : () } $_->notes ]
        } @{ $servers{$name} }
    ];
}
@zk = @all = %servers = ();

for my $name ( sort keys %times ) {
    subtest "a server that $name is not called hundreds of times a second" => sub {
        my %pauses;
        for my $times ( @{ $times{$name} } ) {
            my $first = $times->[0] // 0;
            cmp_ok + ( $times->[1] // 'inf' ) - $first,        '<',  1, 'the first retry comes at once';
            cmp_ok scalar( grep { $_ < $first + 1 } @$times ), '<=', 6, 'then at most five a second';
            cmp_ok scalar @$times,                             '>=', 5, 'it goes on trying';
            cmp_ok scalar @$times, '<=', 5 + $SPAN,                     'once a second, or less often';
            my @late = map { $times->[$_] - $times->[ $_ - 1 ] } 5 .. $#$times;
            is scalar( grep { $_ < 0.5 } @late ), 0, 'and no more often' or diag "@late";
            $pauses{ sprintf '%.2f', $_ } = 1 for @late;
        }
        cmp_ok scalar keys %pauses, '>', 1, 'pauses differ, lest all clients come at the same moment';
    };
}

subtest 'a client whose servers drop it does not spin' => sub {
    cmp_ok $cpu, '<', 0.05 * $SPAN, "$cpu seconds of processor time in $SPAN";
};

subtest 'a client whose servers are all down does not spin' => sub {
    my @hosts =
      ( '127.0.0.1:1', '127.0.0.1:1,127.0.0.1:2,127.0.0.1:3', 'localhost:1', 'no-such-host.invalid' );
    my $before  = clock;
    my @handles = map { ZooKeeper->new( hosts => $_, timeout => 30_000, dispatcher => 'Pipe' ) } @hosts;
    sleep $SPAN;
    my $used = clock() - $before;
    cmp_ok $used, '<', 0.05 * $SPAN, "$used seconds of processor time in $SPAN";
    is $_->state, ZOO_CONNECTING_STATE, $_->hosts . ': it goes on' for @handles;
};

subtest 'a call that waits for a server that is down does not spin' => sub {
    my $zk  = ZooKeeper->new( hosts => '127.0.0.1:1,127.0.0.1:2', timeout => 4_000, dispatcher => 'Pipe' );
    my $cpu = clock;
    is eval { $zk->exists('/'); 1 } // 0 + $@, ZCONNECTIONLOSS, 'it ends';
    cmp_ok clock() - $cpu, '<', 0.05 * 4, 'and was idle until then';
};

subtest 'the first retry goes to another server at once' => sub {
    my $good =
      FakeZK->new( sub { my ($connection) = @_; $connection->handshake and $connection->serve(ZNONODE) } );
    my $late = 0;
    for ( 1 .. 10 ) {

        # In either order; with the pauses of later retries it would be seconds.
        my $start = time;
        my $zk    = ZooKeeper->new( hosts => $good->hosts . ',127.0.0.1:1', dispatcher => 'Pipe' );
        is $zk->exists('/x'), undef, 'connected';
        $late++ if time - $start > 2;
    }
    is $late, 0, 'without a pause';
};

done_testing;

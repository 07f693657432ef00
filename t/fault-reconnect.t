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

# Connects three clients to servers of each kind, and returns when these had connections, and the processor time.
sub watched {
    my %servers;
    for my $name ( sort keys %drops ) {
        my $serve =
          sub { my ($connection) = @_; $connection->note( 'at', time ); $drops{$name}->($connection) };
        $servers{$name} = [ map { FakeZK->new($serve) } 1 .. 3 ];
    }
    my $cpu = clock;
    my @zk  = map { ZooKeeper->new( hosts => $_->hosts, timeout => 30_000, dispatcher => 'Pipe' ) }
      map { @$_ } values %servers;
    sleep $SPAN;
    $cpu = clock() - $cpu;
    my %times;
    for my $name ( keys %servers ) {
        $times{$name} = [
            map {
                [ map { /\Aat (.*)/ ? $1 : () } $_->notes ]
            } @{ $servers{$name} }
        ];
    }
    return ( \%times, $cpu );
}

# What has to be true of the times of one client.
my @RULES = (
    'the first retry comes at once' => sub { @_ > 1 && $_[1] - $_[0] < 1 },
    'then at most five a second'    => sub {
        my ($first) = @_;
        6 >= grep { $_ < $first + 1 } @_;
    },
    'it goes on trying'            => sub { @_ >= 5 },
    'once a second, or less often' => sub { @_ <= 5 + $SPAN },
    'and no more often'            => sub {
        !grep { $_ < 0.5 } late(@_);
    },
);

# The pauses between the later ones.
sub late {
    my (@times) = @_;
    return map { $times[$_] - $times[ $_ - 1 ] } 5 .. $#times;
}

# A process that stands still, here or there, is late, and then the next one is early: in that case once more.
my ( $times, $cpu );
for ( 1 .. 4 ) {
    ( $times, $cpu ) = watched();
    my @all = map { @$_ } values %$times;
    last if !grep {
        my $rule = $_;
        grep { !$rule->(@$_) } @all
    } grep { ref } @RULES;
}

for my $name ( sort keys %$times ) {
    subtest "a server that $name is not called hundreds of times a second" => sub {
        my %pauses;
        for my $client ( @{ $times->{$name} } ) {
            my @rules = @RULES;
            while ( my ( $what, $rule ) = splice @rules, 0, 2 ) {
                ok $rule->(@$client), $what or diag "@$client";
            }
            $pauses{ sprintf '%.2f', $_ } = 1 for late(@$client);
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
    for ( 1 .. 30 ) {

        # In either order; with the pauses of later retries it would be seconds, half of the time.
        my $start = time;
        my $zk    = ZooKeeper->new( hosts => $good->hosts . ',127.0.0.1:1', dispatcher => 'Pipe' );
        is $zk->exists('/x'), undef, 'connected';
        $late++ if time - $start > 2;
    }
    cmp_ok $late, '<=', 3, 'without a pause';    # who stands still is late all the same
};

done_testing;

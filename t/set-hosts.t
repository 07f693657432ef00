# Another list of servers for a session that goes on.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Child;
use FakeZK;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server( servers => 3, tick_time => 2_000 );    # who stands still for four ticks is dropped
my @host   = map { $server->hosts($_) } 0 .. 2;
my @args   = ( timeout => 30_000, dispatcher => 'Pipe' );
my $setup  = ZooKeeper->new( @args, hosts => $server->hosts );
my $base   = fresh_path('set-hosts');
$setup->create($base);
for my $host (@host) {    # a server may lag behind
    my $zk = ZooKeeper->new( @args, hosts => $host );
    wait_for { $zk->exists($base) } 60, 'the node to be everywhere';
}

# A handle that is connected to this server.
sub connected_to {
    my ( $i, @more ) = @_;
    my $zk = ZooKeeper->new( @args, hosts => $host[$i], @more );
    $zk->wait_connected;
    return $zk;
}

subtest 'a server that stays in the list is not left' => sub {
    my @seen;
    my $zk = connected_to( 0, watcher => sub { push @seen, $_[0]{state} } );
    wait_for { $zk->wait(1); @seen } 60, 'the first event';
    is_deeply [ $zk->set_hosts( $host[0] ) ], [], 'the same list, which returns nothing';
    is $zk->server, $host[0], 'stays';
    is_deeply \@seen, [ZOO_CONNECTED_STATE], 'no event';
    is $zk->metrics->{reconnects}, 0, 'no other connection';
    my $long = connected_to(1);
    $long->set_hosts( $server->hosts );    # two of three go to the others: from there it stays
    $long->wait_connected;
    my ( $at, $reconnects ) = ( $long->server, $long->metrics->{reconnects} );
    $long->set_hosts( join ',', ( grep { $_ ne $at } @host ), $at ) for 1 .. 20;
    $long->set_hosts($at);
    ok $long->exists($base), 'lists that are as long, or shorter';
    is $long->server,                $at,         'move nobody whose server is there';
    is $long->metrics->{reconnects}, $reconnects, 'not even for a moment';
};

subtest 'a server that is not in the list any more is left, and nothing is lost' => sub {
    my ( @session, @seen, @answers );
    my $zk = connected_to( 0, watcher => sub { push @session, $_[0]{state} } );
    wait_for { $zk->wait(1); @session } 60, 'the first event';
    $zk->create( "$base/mine", ephemeral => 1 );
    $zk->get( "$base/mine", watcher => sub { push @seen, @_ } );
    my $id = $zk->client_id->{client_id};
    @session = ();
    my @more = 1 .. 200;
    $zk->create( "$base/mine-$_", value => 'v', cb => sub { push @answers, [@_] } ) for @more;
    $zk->set_hosts( $host[1] );
    $zk->set( "$base/mine-$_", 'w', cb => sub { push @answers, [@_] } ) for @more;
    wait_for { $zk->wait(0.01); @answers == 2 * @more } 120, 'the answers';
    is_deeply [ map { $_->[0] ? "$_->[0]" : () } @answers ], [],
      'what was under way, and what was asked then, succeeds';
    wait_for { $zk->wait(0.1); @session == 2 } 60, 'the events';
    is_deeply \@session, [ ZOO_CONNECTING_STATE, ZOO_CONNECTED_STATE ],
      'the default watcher hears of the move';
    is $zk->server,                                 $host[1], 'it is where it has to be';
    is $zk->hosts,                                  $host[1], 'hosts says so';
    is $zk->client_id->{client_id},                 $id,      'in the same session';
    is $zk->exists("$base/mine")->{ephemeralOwner}, $id,      'with its ephemeral nodes';
    is_deeply \@seen, [], 'no watcher was called';
    $zk->set( "$base/mine", 'changed' );
    wait_for { $zk->wait(1); @seen } 60, 'the event';
    is_deeply \@seen, [ { type => ZOO_CHANGED_EVENT, state => ZOO_CONNECTED_STATE, path => "$base/mine" } ],
      'watches have come along';
    is $zk->metrics->{reconnects}, 1, 'one other connection';
};

subtest 'a blocking call right behind it' => sub {
    my $zk = connected_to(0);
    for my $i ( 1, 2, 0, 1 ) {
        $zk->set_hosts( $host[$i] );
        ok $zk->exists($base), 'succeeds';
        is $zk->server, $host[$i], 'at the new server';
    }
};

subtest 'before the connection is up' => sub {
    my $zk = ZooKeeper->new( @args, hosts => '127.0.0.1:1' );
    $zk->set_hosts( $host[2] );
    ok $zk->exists($base), 'the new list is used';
    is $zk->server, $host[2], 'server';

    my $stuck = FakeZK->new( sub { $_[0]->frame; $_[0]->note('asked'); $_[0]->frame } );
    $zk = ZooKeeper->new( @args, hosts => $stuck->hosts );
    wait_for { $stuck->notes } 60, 'a handshake that gets no answer';
    $zk->set_hosts( $host[2] );
    ok $zk->exists($base), 'also amid a handshake with a server that is stuck';
};

subtest 'a list that is none' => sub {
    my $zk  = connected_to(0);
    my $was = $zk->hosts;
    for my $hosts ( '', ' , ', 'a b', '127.0.0.1:0', '127.0.0.1:99999', "$host[0]/other" ) {
        my $line = __LINE__ + 1;
        ok !eval { $zk->set_hosts($hosts); 1 }, "'$hosts'";
        is 0 + $@, ZBADARGUMENTS, 'is refused';
        like $@,
          qr/\AError setting hosts to '\Q$hosts\E': bad arguments: .* at \Q${\ __FILE__}\E line $line\.\n\z/,
          'with what is wrong';
        is $@->op,   'set_hosts', 'op';
        is $@->path, undef,       'it is about no node';
    }
    for my $hosts ( undef, [ $host[1] ] ) {
        ok !eval { $zk->set_hosts($hosts); 1 }, 'what is no string';
        like $@, qr/\Aset_hosts: hosts must be a string at \Q${\ __FILE__}\E line \d+\.\n\z/, 'is refused';
    }
    is $zk->hosts,  $was,     'hosts stay';
    is $zk->server, $host[0], 'and so does the session';
};

subtest 'below a chroot' => sub {
    my $zk = ZooKeeper->new( @args, hosts => "$host[0]$base" );
    $zk->create('/below');
    ok !eval { $zk->set_hosts( $host[1] ); 1 }, 'a list without it';
    is 0 + $@, ZBADARGUMENTS, 'is refused';
    like $@, qr/chroot of the new hosts is none, that of the session '\Q$base\E'/, 'and says why';
    $zk->set_hosts("$host[1]$base");
    ok $zk->exists('/below'), 'one with it is taken';
    is $zk->server, $host[1], 'server';
};

subtest 'reopen uses the new list' => sub {
    my $zk = connected_to(0);
    $zk->set_hosts( $host[1] );
    $zk->reopen;
    ok $zk->exists($base), 'a new session';
    is $zk->server, $host[1], 'at the new server';
};

subtest 'without a session' => sub {
    my $zk = connected_to(0);
    my ( $code, $said ) = in_child {
        eval { $zk->set_hosts( $host[1] ); 1 } ? 'worked' : ( 0 + $@, "$@" );
    };
    is $code, ZINVALIDSTATE, 'in a forked child';
    like $said, qr/\AError setting hosts to '\Q$host[1]\E': invalid zhandle state: this handle belongs/,
      'which says what is refused, and why';
    $zk->close;
    ok !eval { $zk->set_hosts( $host[1] ); 1 }, 'after close';
    is 0 + $@,     ZINVALIDSTATE, 'it is refused';
    is $zk->hosts, $host[0],      'hosts stay';
};

subtest 'sixty clients spread over the servers of a list that grows and shrinks' => sub {
    my @zk = map { ZooKeeper->new( @args, hosts => $host[0] ) } 1 .. 60;
    $_->wait_connected for @zk;
    my $spread = sub {
        my ($hosts) = @_;
        $_->set_hosts($hosts) for @zk;
        my %at;
        for my $zk (@zk) {
            $zk->exists($base) // die 'a node is gone';
            $at{ $server->server_of($zk) }++;
        }
        return map { $at{$_} // 0 } 0 .. 2;
    };

 # Of sixty, each third is 20, with a standard deviation of 3.7; each half 30, with 3.9. Beyond six of them it
 # is a mistake and no chance.
    my @three = $spread->( $server->hosts );
    is scalar( grep { abs( $_ - 20 ) > 22 } @three ), 0, 'over three' or diag "@three";
    ok !( grep { !$_ } @three ), 'nobody is left out' or diag "@three";
    my @two = $spread->("$host[1],$host[2]");
    is $two[0],                                             0, 'over two: none where they must not be';
    is scalar( grep { abs( $_ - 30 ) > 23 } @two[ 1, 2 ] ), 0, 'as many here as there' or diag "@two";
    my @one = $spread->( $host[0] );
    is_deeply \@one, [ 60, 0, 0 ], 'over one';
    note "three: @three; two: @two";
};

done_testing;

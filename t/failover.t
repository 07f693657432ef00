use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server( servers => 3 );
my $base   = fresh_path('failover');

# Generous: the session must outlive an election on a busy machine.
my @args  = ( hosts => $server->hosts, timeout => 30_000, dispatcher => 'Pipe' );
my $setup = ZooKeeper->new(@args);
$setup->create($base);

# A call that is repeated while there is no connection.
sub persist {
    my ($code) = @_;
    my @result;
    wait_for {
        eval { @result = $code->(); 1 } || ( $@->is_retryable || $@->is_connection_loss ? 0 : die $@ )
    }
    120, 'a call';
    return wantarray ? @result : $result[0];
}

# The states that a default watcher has heard of: in turn, from this one on, and no more often than there was another
# connection. Mostly that is once, but whoever elects a leader may have to do so again.
sub are_in_turn {
    my ( $states, $first, $zk, $name ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @both = ( ZOO_CONNECTING_STATE, ZOO_CONNECTED_STATE );
    @both = reverse @both if $first == ZOO_CONNECTED_STATE;
    my $losses = grep { $_ == ZOO_CONNECTING_STATE } @$states;
    is_deeply $states, [ map { $both[ $_ % 2 ] } 0 .. $#$states ], $name;
    return cmp_ok $losses, '<=', $zk->metrics->{reconnects} + !$zk->is_connected, 'each time once';
}

subtest 'kill -9 of the connected server' => sub {
    my ( @session, @seen );
    my $zk = ZooKeeper->new( @args, watcher => sub { push @session, $_[0]{state} } );
    $zk->create( "$base/mine", ephemeral => 1, value => 'v' );
    my %call = ( get => "$base/mine", exists => "$base/later", get_children => $base );
    $zk->$_( $call{$_}, watcher => sub { push @seen, @_ } ) for sort keys %call;
    wait_for { $zk->wait(1); @session } 60, 'the first event';
    my $id = $zk->client_id->{client_id};
    @session = ();

    my $at = $server->server_of($zk);
    ok defined $at, 'it is known where the handle is connected';
    $server->kill($at);
    is scalar persist( sub { $zk->get("$base/mine") } ),               'v', 'the call goes to another server';
    isnt $server->server_of($zk),                                      $at, 'server says which';
    is $zk->client_id->{client_id},                                    $id, 'the session is the same';
    is persist( sub { $zk->exists("$base/mine") } )->{ephemeralOwner}, $id, 'its ephemeral node is there';
    wait_for {
        $zk->wait(1);
        grep { $_ == ZOO_CONNECTED_STATE } @session
    }
    60, 'the events';
    are_in_turn( \@session, ZOO_CONNECTING_STATE, $zk, 'the default watcher hears of both' );
    is_deeply \@seen, [], 'the others do not';
    is_deeply [ sort map { $_->type } $zk->get_watchers ], [qw(default exists get get_children)],
      'they are kept';

    persist( sub { $setup->set( "$base/mine", 'w' ) } );
    persist( sub { $setup->exists("$base/later") || $setup->create("$base/later") } );
    wait_for { $zk->wait(1); @seen == 3 } 60, 'three events';
    is_deeply {
        map { $_->{path} => $_->{type} } @seen
    },
      { "$base/mine" => ZOO_CHANGED_EVENT, "$base/later" => ZOO_CREATED_EVENT, $base => ZOO_CHILD_EVENT },
      'and called for what changes now';
    $server->start($at);
};

subtest 'changes while there was no connection' => sub {
    my ( @session, @seen );
    my $zk = ZooKeeper->new( @args, watcher => sub { push @session, $_[0]{state} } );
    persist( sub { $zk->create("$base/$_") } ) for qw(changed deleted parent flat deep);
    $zk->get( "$base/changed", watcher => sub { push @seen, 'changed' } );
    $zk->get( "$base/deleted", watcher => sub { push @seen, 'deleted' } );
    $zk->exists( "$base/created", watcher => sub { push @seen, 'created' } );
    $zk->get_children( "$base/parent", watcher => sub { push @seen, 'parent' } );
    my %persistent = ( flat => [], deep => [] );

    for my $kind ( sort keys %persistent ) {
        $zk->add_watch(
            "$base/$kind",
            watcher   => sub { push @{ $persistent{$kind} }, "$_[0]{type} $_[0]{path}" },
            recursive => $kind eq 'deep'
        );
    }
    wait_for { $zk->wait(1); @session } 60, 'the first event';
    my $id = $zk->client_id->{client_id};
    persist( sub { $zk->exists("$base/kept") || $zk->create( "$base/kept", ephemeral => 1 ) } );

    # The other handle is somewhere else: the one that is watched stands still while things change.
    my $at    = $server->server_of($zk);
    my ($far) = grep { $_ != $at } 0 .. 2;
    my $other = ZooKeeper->new( @args, hosts => $server->hosts($far) );
    persist( sub { $other->exists($base) } );
    $server->pause($at);
    persist( sub { $other->set( "$base/changed", 'v' ) } );
    persist( sub { $other->exists("$base/deleted") && $other->delete("$base/deleted"); 1 } );
    persist( sub { $other->exists("$base/created") || $other->create("$base/created") } );

    for my $node ( map { "$base/$_/x" } qw(parent flat deep) ) {
        persist( sub { $other->exists($node) || $other->create($node) } );
    }
    is_deeply [ @seen, map { @$_ } values %persistent ], [], 'nobody has heard of anything';
    $server->kill($at);
    wait_for {
        $zk->wait(1);
        @seen == 4 && 2 == grep { @$_ } values %persistent
    }
    120, 'six events';
    cmp_ok scalar @session, '>=', 3, 'the default watcher hears of the loss and the new connection';
    are_in_turn( \@session, ZOO_CONNECTED_STATE, $zk, 'in this order' );
    is_deeply [ sort @seen ], [qw(changed created deleted parent)],
      'each watcher hears of its own after the reconnect';
    persist( sub { $zk->exists('/') } );
    1 while $zk->dispatcher->dispatch_event;
    is scalar @seen, 4, 'once';
    is_deeply {
        map { $_ => $persistent{$_}[0] } keys %persistent
    },
      { map { $_ => ZOO_RESYNC_EVENT . " $base/$_" } keys %persistent },
      'persistent ones hear that they may have missed something';

    # That server may have been behind itself.
    my %late = ( flat => ZOO_CHILD_EVENT . " $base/flat", deep => ZOO_CREATED_EVENT . " $base/deep/x" );
    wait_for {
        $zk->wait(0.1);
        persist( sub { $zk->exists("$base/$_/x") } ) || return for keys %late;
        1
    }
    60, 'the nodes';
    1 while $zk->dispatcher->dispatch_event;
    for my $kind ( sort keys %late ) {
        my @resync = grep { $_ ne $late{$kind} } @{ $persistent{$kind} };
        is_deeply \@resync, [ ( $persistent{$kind}[0] ) x @resync ], "$kind: and of nothing else";
        cmp_ok scalar @resync, '<=', $zk->metrics->{reconnects}, 'once for each connection';
    }
    @$_ = () for values %persistent;
    for my $node ( map { "$base/$_" } qw(flat deep) ) {
        persist( sub { $other->set( "$node/x", 'v' ) } );
        persist( sub { $other->exists("$node/y") || $other->create("$node/y") } );
    }
    wait_for { $zk->wait(1); @{ $persistent{flat} } >= 1 && @{ $persistent{deep} } >= 2 } 60, 'their events';
    is_deeply \%persistent,
      {
        flat => [ ZOO_CHILD_EVENT . " $base/flat" ],
        deep => [ ZOO_CHANGED_EVENT . " $base/deep/x", ZOO_CREATED_EVENT . " $base/deep/y" ],
      },
      'and are armed again, for what changes now';
    is $zk->client_id->{client_id},                                    $id, 'the session is the same';
    is persist( sub { $zk->exists("$base/kept") } )->{ephemeralOwner}, $id, 'with its ephemeral node';
    $server->start($at);
};

subtest 'a server that stands still is left, and what it says when it wakes up reaches nobody' => sub {
    my $T     = 6;
    my $zk    = ZooKeeper->new( @args, timeout => 1000 * $T );
    my @nodes = map { "$base/still-$_" } 0 .. 99;
    persist( sub { $setup->exists($_) || $setup->create( $_, value => "at first $_" ) } ) for @nodes;
    persist(
        sub { $zk->sync($base); $zk->exists("$base/still") || $zk->create( "$base/still", ephemeral => 1 ) }
    );
    my ( $id, $at, %told ) = ( $zk->client_id->{client_id}, $server->server_of($zk) );
    $server->pause($at);
    my @futures = map { $zk->get_f($_) } @nodes;
    $zk->set( $_, 'by the lost one', cb => sub { push @{ $told{set} }, $_[0] } ) for @nodes;
    $zk->get( $_, cb => sub { push @{ $told{get} }, $_[0] } ) for @nodes;
    my $error = eval { $zk->get( $nodes[0] ); 1 } ? 'none' : $@;
    is 0 + $error, ZCONNECTIONLOSS, 'a call that waits loses its connection';
    wait_for { $zk->wait(0.01); @{ $told{$_} // [] } == @nodes || return for qw(set get); 1 } 60,
      'the others';
    $_->await for @futures;
    is_deeply [ grep { $_ != ZCONNECTIONLOSS } map { @$_ } values %told ], [], 'so do all that are under way';
    is_deeply [ grep { ( $_->failure )[0] != ZCONNECTIONLOSS } @futures ], [], 'in every form';
    is scalar( grep { !$_->maybe_applied } @{ $told{set} } ), 0, 'writes may have been done';
    is scalar( grep { $_->maybe_applied } @{ $told{get} } ),  0, 'reads are none';

    is persist( sub { $zk->exists("$base/still") } )->{ephemeralOwner}, $id,
      'the session goes on, at another server';
    isnt $server->server_of($zk), $at, 'which is another one';
    my @new  = map { "$base/new-$_" } 0 .. 99;
    my @late = map { my $n = $_; $zk->create_f( $n, value => $n ) } @new;
    $server->resume($at);
    wait_for {
        join( ' ', sort map { $server->mode($_) // '' } 0 .. 2 ) eq 'follower follower leader'
    }
    60, 'the server to be one of three again';
    $_->await for @late;
    push @late, my @read = map { $zk->get_f($_) } @new;
    $_->await for @late;

    # If it led, there is another leader now: connections may be lost once more.
    my @failed = map { 0 + ( $_->failure )[0] } grep { $_->is_failed } @late;
    my %may    = ( ZCONNECTIONLOSS, 1, ZNONODE, scalar grep { $_ == ZCONNECTIONLOSS } @failed );
    is_deeply [ grep { !$may{$_} } @failed ], [], 'later requests are done';
    is_deeply [ map { $read[$_]->is_failed ? () : ( $read[$_]->get )[0] eq $new[$_] ? () : $_ } 0 .. 99 ], [],
      'and get their own answers';
    is scalar @{ $told{$_} },       scalar @nodes, "nobody is told twice ($_)" for sort keys %told;
    is $zk->client_id->{client_id}, $id,           'the session is the same';
};

subtest 'all servers gone for a while' => sub {
    my $zk = ZooKeeper->new(@args);
    persist( sub { $zk->create( "$base/survivor", ephemeral => 1 ) } );
    my $id = $zk->client_id->{client_id};
    $server->stop;
    wait_for { $zk->wait(0.1); $zk->state == ZOO_CONNECTING_STATE } 60, 'the loss';
    is $zk->server, undef, 'no server';
    $server->start;
    is persist( sub { $zk->exists("$base/survivor") } )->{ephemeralOwner}, $id, 'the session is there again';
};

done_testing;

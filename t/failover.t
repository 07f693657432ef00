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
    is scalar persist( sub { $zk->get("$base/mine") } ), 'v', 'the call goes to another server';
    isnt $server->server_of($zk),                        $at, 'server says which';
    is $zk->client_id->{client_id},                      $id, 'the session is the same';
    is $zk->exists("$base/mine")->{ephemeralOwner},      $id, 'its ephemeral node is there';
    wait_for {
        $zk->wait(1);
        grep { $_ == ZOO_CONNECTED_STATE } @session
    }
    60, 'the events';
    is_deeply \@session, [ ZOO_CONNECTING_STATE, ZOO_CONNECTED_STATE ], 'the default watcher hears of both';
    is_deeply \@seen,    [],                                            'the others do not';
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
    persist( sub { $zk->create("$base/$_") } ) for qw(changed deleted parent);
    $zk->get( "$base/changed", watcher => sub { push @seen, 'changed' } );
    $zk->get( "$base/deleted", watcher => sub { push @seen, 'deleted' } );
    $zk->exists( "$base/created", watcher => sub { push @seen, 'created' } );
    $zk->get_children( "$base/parent", watcher => sub { push @seen, 'parent' } );

    # The other handle is somewhere else: the one that is watched stands still while things change.
    my $at    = $server->server_of($zk);
    my ($far) = grep { $_ != $at } 0 .. 2;
    my $other = ZooKeeper->new( @args, hosts => $server->hosts($far) );
    persist( sub { $other->exists($base) } );
    $server->pause($at);
    persist( sub { $other->set( "$base/changed", 'v' ) } );
    persist( sub { $other->exists("$base/deleted") && $other->delete("$base/deleted"); 1 } );
    persist( sub { $other->exists("$base/created")  || $other->create("$base/created") } );
    persist( sub { $other->exists("$base/parent/x") || $other->create("$base/parent/x") } );
    is_deeply \@seen, [], 'nobody has heard of anything';
    $server->kill($at);
    wait_for { $zk->wait(1); @seen == 4 } 120, 'four events';
    is_deeply [ sort @seen ], [qw(changed created deleted parent)],
      'each watcher hears of its own after the reconnect';
    persist( sub { $zk->exists('/') } );
    1 while $zk->dispatcher->dispatch_event;
    is scalar @seen, 4, 'once';
    $server->start($at);
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

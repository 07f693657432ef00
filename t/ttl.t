use strict;
use warnings;
use Test::More;
use lib 't/lib';

use TestZK;
use ZooKeeper;
use ZooKeeper::Constants;

sub handle {
    my ($server) = @_;
    return ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
}

sub code_of {
    my ($code) = @_;
    return eval { $code->(); 1 } ? ZOK : ref $@ ? $@->code : $@;
}

subtest 'containers and nodes with a time to live go by themselves' => sub {
    my $server = test_server( java_opts => ['-Dznode.container.checkIntervalMs=100'] );
    my $zk     = handle($server);
    $zk->create( '/container', container => 1 );
    $zk->create('/plain');
    $zk->create("$_/x") for '/container', '/plain';
    my ( $path, $stat ) = $zk->create2( '/ttl', ttl => 300 );
    is $stat->{ephemeralOwner}, 0, 'a stat does not tell them from others';
    my $sequential = $zk->create( '/ttl-', ttl => 300, sequential => 1 );
    $zk->create( '/long', ttl => 10_000_000 );
    my ($in_transaction) = map { $_->{path} } $zk->transaction->create2( '/transaction', ttl => 300 )->commit;
    soon_ok { !$zk->exists($_) } 30, "$_ expires" for '/ttl', $sequential, $in_transaction;
    ok $zk->exists($_), "$_ stays" for '/container', '/long';
    $zk->delete("$_/x") for '/container', '/plain';
    soon_ok { !$zk->exists('/container') } 30, 'a container goes with its last child';
    ok $zk->exists('/plain'), 'a plain node stays';
    $zk->create( '/kept', ttl => 300 );
    $zk->create('/kept/child');
    $zk->create( '/witness', ttl => 300 );
    soon_ok { !$zk->exists('/witness') } 30, 'another one expires';
    ok $zk->exists('/kept'), 'one with a child does not';
    $zk->delete('/kept/child');
    soon_ok { !$zk->exists('/kept') } 30, 'but when the child is gone';
};

subtest 'a server where they are not enabled says so, and nothing else is lost' => sub {
    my $server = test_server( java_opts => ['-Dzookeeper.extendedTypesEnabled=false'] );
    my $zk     = handle($server);
    my $other  = handle($server);
    $zk->wait_connected(30);
    my $id = $zk->client_id;
    $zk->create( '/mine', ephemeral => 1 );
    $zk->create('/watched');
    my ( @once, @always );
    $zk->get( '/watched', watcher => sub { push @once, $_[0] } );
    scalar $zk->get_children( '/watched', watcher => sub { push @once, $_[0] } );
    $zk->add_watch( '/', watcher => sub { push @always, $_[0] }, recursive => 1 );
    my $line = __LINE__ + 1;
    ok !eval { $zk->create( '/ttl', ttl => 1_000 ); 1 },
      'a node with a time to live, where they are not enabled';
    is $@->code, ZUNIMPLEMENTED,                                                             'code';
    is "$@",     "Error creating node '/ttl': unimplemented at ${\ __FILE__} line $line.\n", 'words';
    ok !$@->is_retryable, 'there is no use in trying again';
    is_deeply [ map { $_->{code} } $zk->transaction->create('/a')->create( '/ttl', ttl => 1_000 )->commit ],
      [ ZOK, ZUNIMPLEMENTED ], 'the same in a transaction';
    is code_of( sub { $zk->exists('/a') } ), ZOK, 'the next request is answered';
    my @futures = map { ( $zk->set_f( '/watched', $_ ), $zk->create_f( "/ttl$_", ttl => 1_000 ) ) } 1 .. 5;
    deadline 60, sub { Future->wait_all(@futures)->get };
    my %codes = map { ( $_->is_done ? ZOK : ( $_->failure )[0]->code ) => 1 }
      @futures[ grep { $_ % 2 } 0 .. $#futures ];
    is_deeply [ keys %codes ], [ZUNIMPLEMENTED], 'each is refused';
    deadline 60, sub { $zk->wait_connected(30) };
    is $zk->client_id->{client_id},               $id->{client_id}, 'the session is the same';
    is $other->exists('/mine')->{ephemeralOwner}, $id->{client_id}, 'ephemerals are there';
    wait_for {
        eval { $other->create('/watched/child') } // $other->exists('/watched/child')
    }
    30, 'a child';
    soon_ok {
        eval { $zk->exists('/') };
        1 while $zk->dispatcher->dispatch_event;
        @once == 2
    }
    30, 'one-shot watches have fired, once each';
    soon_ok {
        eval { $zk->exists('/') };
        1 while $zk->dispatcher->dispatch_event;
        grep { $_->{path} eq '/watched/child' } @always
    }
    30, 'a persistent watch lives on';
    is scalar( grep { $_->{type} == ZOO_RESYNC_EVENT } @always ), 0, 'the connection was not lost';
};

done_testing;

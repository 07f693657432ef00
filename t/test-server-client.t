# ZooKeeper::Test::Server with a live handle.
use strict;
use warnings;

use Test::More;
use lib 't/lib';
use TestZK;
use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server( servers => 3, tick_time => 2_000 );    # who stands still for four ticks is dropped

my @states;
my $zk = ZooKeeper->new(
    hosts   => $server->hosts,
    timeout => 8_000,
    watcher => sub { push @states, $_[0]{state} },
);
my $path = fresh_path('ephemeral');
$zk->create( $path, ephemeral => 1 );

# Runs the loop until a session event with that state has come.
sub wait_for_state {
    my ($state) = @_;
    @states = ();
    return sub {
        wait_for {
            $zk->wait(0.1);
            grep { $_ == $state } @states
        }
        30, zstate($state);
    };
}

subtest 'server_of a handle' => sub {
    is $server->hosts( $server->server_of($zk) ), $zk->server, 'is the server that it is connected to';
};

subtest 'lose_connection' => sub {
    my $id           = $zk->client_id->{client_id};
    my $reconnecting = wait_for_state(ZOO_CONNECTING_STATE);
    my $connected    = wait_for_state(ZOO_CONNECTED_STATE);
    $server->lose_connection($zk);
    $reconnecting->();
    $connected->();
    is $zk->client_id->{client_id}, $id, 'the session is the same';
    ok $zk->exists($path), 'its ephemeral node is still there';
};

subtest 'expire_session' => sub {
    my $other   = ZooKeeper->new( hosts => $server->hosts );
    my $expired = wait_for_state(ZOO_EXPIRED_SESSION_STATE);
    $server->expire_session($zk);
    soon_ok { !defined $other->exists($path) } 20, 'its ephemeral node is gone, at every server';
    $expired->();
    ok $zk->is_unrecoverable, 'the handle knows';
    ok !eval { $server->expire_session( ZooKeeper->new( hosts => '127.0.0.1:1' ) ); 1 },
      'a handle without a session';
    like $@, qr/the handle has no session yet/, '... is told so';
};

subtest 'fresh_chroot' => sub {
    my @hosts = map { $server->fresh_chroot($_) } undef, 'a.b-c_1';
    my @zk    = map { ZooKeeper->new( hosts => $_ ) } @hosts;
    isnt $hosts[0], $hosts[1], 'each is another one';
    like $hosts[1], qr{a\.b-c_1}, 'with its name in it';
    is_deeply [ map { $_->get_children('/') } @zk ], [], 'both are there, and empty';
    $zk[0]->create('/x');
    ok !$zk[1]->exists('/x'), 'what one test makes, the other does not meet';
    for my $i ( 0 .. $server->count - 1 ) {
        my ($chroot) = $server->fresh_chroot =~ m{(/.*)}s;
        my $here = ZooKeeper->new( hosts => $server->hosts($i) . $chroot );
        is_deeply [ eval { $here->get_children('/') } ], [], "server $i knows it at once" or diag $@;
    }
    ok !eval { $server->fresh_chroot('a/b'); 1 }, 'a name that is no name';
    like $@, qr/a name is made of letters.*\Q$0\E line/, '... is refused, where it was given';
};

done_testing;

use strict;
use warnings;
use Test::More;
use lib 't/lib';

use FakeZK;
use IO::Socket::INET;
use TestZK;
use ZooKeeper;
use ZooKeeper::Constants;

# A real server, but what it hears is searched for these operations: it says that it does not know them and closes the
# connection, as servers do that are older than an operation.
my $server  = test_server();
my %UNKNOWN = ( 103 => 'get_ephemerals', 106 => 'add_watch', 107 => 'whoami', 22 => 'multi_read' );

sub relay {
    my ($client) = @_;
    my $socket   = IO::Socket::INET->new( $server->hosts ) or return;
    my $real     = FakeZK::Connection->new($socket);
    my $frames   = 0;
    while (1) {
        my $ready = '';
        vec( $ready, fileno $_->{socket}, 1 ) = 1 for $client, $real;
        select $ready, undef, undef, undef;
        for my $from ( $client, $real ) {
            next if !vec $ready, fileno $from->{socket}, 1;
            my $frame = $from->frame // return;
            my ( $xid, $op ) = unpack 'l> l>', $frame;
            if ( $from == $client && $frames++ && $UNKNOWN{$op} ) {
                $client->note( 'refused', $UNKNOWN{$op} );
                $client->send_frame( pack 'l> q> l>', $xid, 0, ZUNIMPLEMENTED );
                shutdown $client->{socket}, 1;
                1 while defined $client->frame; # unread bytes would make the end a reset, and the answer lost
                return;
            }
            ( $from == $client ? $real : $client )->send_frame($frame);
        }
    }
}

sub code_of {
    my ($code) = @_;
    return eval { $code->(); 1 } ? ZOK : ref $@ ? $@->code : $@;
}

my $fake  = FakeZK->new( \&relay );
my $other = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
my $zk    = ZooKeeper->new( hosts => $fake->hosts,   dispatcher => 'Pipe', timeout => 30_000 );
my $base  = fresh_path('unknown');
$other->create($base);
$zk->create( "$base/mine", ephemeral => 1 );
my $id = $zk->client_id->{client_id};
my @once;
$zk->get( $base, watcher => sub { push @once, $_[0]{type} } );
scalar $zk->get_children( $base, watcher => sub { push @once, $_[0]{type} } );

my %call = (
    whoami         => sub { $zk->whoami },
    get_ephemerals => sub { $zk->get_ephemerals($base) },
    add_watch      => sub {
        $zk->add_watch( $base, watcher => sub { } );
    },
    multi_read => sub { $zk->multi_read->get($base)->commit },
);
for my $name ( sort keys %call ) {
    is code_of( $call{$name} ), ZUNIMPLEMENTED, "$name: unimplemented";
    like "$@", qr/: unimplemented at \Q${\ __FILE__}\E line/, "$name: in words";

    # The first one may still have its end before it.
    soon_ok {
        eval { $zk->exists("$base/mine") }
    }
    60, "$name: the connection comes back, and the next request works";
    is $zk->client_id->{client_id}, $id, "$name: with the same session";
    is scalar $zk->get_watchers,    2,   "$name: with its watchers";
}
is_deeply [ sort map { s/refused //r } $fake->notes ], [ sort keys %call ],
  'each was refused by the server once';
is $other->exists("$base/mine")->{ephemeralOwner}, $id, 'the ephemeral node is there';

subtest 'others that were asked meanwhile' => sub {
    my @futures = map { ( $zk->exists_f($base), $_ == 3 ? $zk->whoami_f : () ) } 1 .. 5;
    deadline 60, sub { Future->wait_all(@futures)->get };
    my @codes = map { $_->is_done ? ZOK : ( $_->failure )[0]->code } @futures;
    is $codes[3], ZUNIMPLEMENTED, 'it is answered';
    is_deeply [ grep { $_ != ZOK && $_ != ZCONNECTIONLOSS } @codes ], [ZUNIMPLEMENTED],
      'the others, too, or lost with the connection';
    soon_ok {
        eval { $zk->exists($base) }
    }
    60, 'later ones are answered';
};

$zk->create( "$base/other", ephemeral => 1 );
$zk->set( $base, 'x' );
soon_ok {
    eval { $zk->exists('/') };
    1 while $zk->dispatcher->dispatch_event;
    @once >= 2
}
30, 'watches live on';
is join( ' ', sort @once ), '3 4', 'and fire once';

subtest 'deleting recursively with a server that has no multi_read' => sub {
    $other->create( "$base/tree/$_/x", parents => 1 ) for 1 .. 20;
    deadline 60, sub {
        my $code = ZCONNECTIONLOSS;
        while ( $code == ZCONNECTIONLOSS ) {
            $code = code_of( sub { $zk->wait_connected(60); $zk->delete( "$base/tree", recursive => 1 ) } );
        }
        is $code, ZOK, 'works';
    };
    $other->sync($base);
    is $other->exists("$base/tree"), undef, 'all is gone';
};

done_testing;

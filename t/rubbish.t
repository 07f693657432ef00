use strict;
use warnings;
use Test::More;
use lib 't/lib';
use FakeZK;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

# A connection that brings rubbish is dropped, the next one is tried, and the caller gets an error: nothing crashes or
# hangs. Even numbers of connections are those of a good server, which knows no node.
my %handshake = (
    'text'                   => "HTTP/1.1 400 Bad Request\r\n\r\n",
    'a negative length'      => pack( 'N',    0xffffffff ),
    'a length of 2 GB'       => pack( 'N',    0x7fffffff ) . 'x' x 1000,
    'an empty frame'         => pack( 'N',    0 ),
    'a frame of three bytes' => pack( 'N/a*', 'abc' ),
    'half an answer'         => pack( 'N',    37 ) . "\0" x 20,
    'a password of 2 GB'     => pack( 'N/a*', pack 'N N q> N', 0, 10_000, 7, 0x7fffffff ),
    'a password of -2 bytes' => pack( 'N/a*', pack 'N N q> N', 0, 10_000, 7, 0xfffffffe ),
    'nothing'                => '',
);
for my $name ( sort keys %handshake ) {
    my $server = FakeZK->new(
        sub {
            my ($connection) = @_;
            if ( $connection->number % 2 ) {
                $connection->frame;
                $connection->send( $handshake{$name} );
                shutdown $connection->{socket}, 1 if $name =~ /\A(?:half|nothing)/;
                $connection->note('dropped') if !defined $connection->frame;
                return;
            }
            $connection->handshake and $connection->serve(ZNONODE);
        }
    );
    my $zk = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
    ok eval {
        deadline 60,
          sub { $zk->wait_connected }
    }, "handshake, $name: the next connection is tried" or diag $@;
    is $zk->exists('/x'), undef, "handshake, $name: which works";
    is wait_for(
        sub {
            ( grep { $_ eq 'dropped' } $server->notes )[0];
        },
        30,
        'a note'
      ),
      'dropped',
      "handshake, $name: the first one was dropped";
}

my %reply = (
    'a negative length'          => sub { pack 'N', 0x80000000 },
    'a length of 2 GB'           => sub { pack( 'N', 0x7fffffff ) . 'x' x 1000 },
    'an empty frame'             => sub { pack 'N',    0 },
    'a header cut short'         => sub { pack 'N/a*', pack 'l> q>',         $_[0],        1 },
    'no body'                    => sub { pack 'N/a*', pack 'l> q> l>',      $_[0],        1, 0 },
    'another xid'                => sub { pack 'N/a*', pack 'l> q> l>',      $_[0] + 1000, 1, -101 },
    'data of 2 GB'               => sub { pack 'N/a*', pack 'l> q> l> N',    $_[0],        1, 0, 0x7fffffff },
    'data longer than the frame' => sub { pack 'N/a*', pack 'l> q> l> N a*', $_[0], 1, 0, 100, 'short' },
    'data of -2 bytes' => sub { pack 'N/a*', pack 'l> q> l> N a*',    $_[0], 1, 0, 0xfffffffe, 'short' },
    'a stat cut short' => sub { pack 'N/a*', pack 'l> q> l> N/a* a*', $_[0], 1, 0, 'data',     'x' x 67 },
    'an event of two bytes'        => sub { pack 'N/a*', pack 'l> q> l> a2', -1, -1, 0, 'xx' },
    'an event with a path of 2 GB' =>
      sub { pack 'N/a*', pack 'l> q> l> l> l> N', -1, -1, 0, 3, 3, 0x7fffffff },
);
for my $name ( sort keys %reply ) {
    my $server = FakeZK->new(
        sub {
            my ($connection) = @_;
            $connection->handshake or return;
            return $connection->serve(ZNONODE) if $connection->number % 2 == 0;
            while ( defined( my $frame = $connection->frame ) ) {
                my ( $xid, $op ) = unpack 'l> l>', $frame;
                $op == 11
                  ? $connection->send_frame( pack 'l> q> l>', $xid, 1, 0 )
                  : $connection->send( $reply{$name}->($xid) );
            }
            $connection->note('dropped');
        }
    );
    my $zk = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
    my $ok = eval {
        deadline 60, sub { $zk->get('/x') };
        1;
    };
    my $error = $@;
    ok !$ok && ref $error, "reply, $name: an error" or diag $error;
    like 0 + $error, qr/\A(?:-4|-5|-2)\z/, "reply, $name: of the connection" or diag $error;
    is deadline( 60, sub { $zk->exists('/x') } ), undef,
      "reply, $name: the next call goes to the next connection";
    is wait_for(
        sub {
            ( grep { $_ eq 'dropped' } $server->notes )[0];
        },
        30,
        'a note'
      ),
      'dropped',
      "reply, $name: the first one was dropped";
}

subtest 'what is strange but harmless' => sub {
    my @seen;
    my $server = FakeZK->new(
        sub {
            my ($connection) = @_;
            $connection->handshake or return;
            $connection->send_frame( pack 'l> q> l> l> l> N/a*', -1, -1, 0, 1,  3,  '/nobody/watches' );
            $connection->send_frame( pack 'l> q> l> l> l> N/a*', -1, -1, 0, 99, 3,  '/x' );
            $connection->send_frame( pack 'l> q> l> l> l> N/a*', -1, -1, 0, 3,  99, '/x' );
            $connection->send_frame( pack 'l> q> l>',            -2, 1,  0 );
            while ( defined( my $frame = $connection->frame ) ) {
                my ( $xid, $op ) = unpack 'l> l>', $frame;
                $connection->send_frame( pack 'l> q> l>', $xid, 1, $op == 11 || $op == -11 ? 0 : -999 );
            }
        }
    );
    my $zk =
      ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe', watcher => sub { push @seen, @_ } );
    ok !eval {
        deadline 60, sub { $zk->get('/x') };
        1;
    }, 'an error code that nobody knows';
    is $@->code, -999, 'is the code of the error';
    like $@, qr/: unknown error at /, 'with these words';
    1 while $zk->dispatcher->dispatch_event;
    is_deeply [ grep { $_->{type} != ZOO_SESSION_EVENT } @seen ], [],
      'events that nobody asked for reach nobody';
    is $zk->state, ZOO_CONNECTED_STATE, 'and the connection lives';
};

done_testing;

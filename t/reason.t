# Who waits for a connection in vain is told why there is none.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use FakeZK;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

# What a call says that ends without a connection, as soon as it says that.
sub said {
    my ( $hosts, $wanted, $timeout ) = @_;
    my $zk    = ZooKeeper->new( hosts => $hosts, timeout => $timeout // 30_000, dispatcher => 'Pipe' );
    my $error = wait_for {
        die "it is connected\n" if eval { $zk->wait_connected(0.02) };
        $@ =~ $wanted && $@;
    }
    60, $wanted;
    note $error;
    return "$error";
}

my $failed = qr/\AError waiting for the connection: connection loss/;

subtest 'a call that waited as long as it may' => sub {
    my $zk =
      ZooKeeper->new( hosts => '127.0.0.1:1', timeout => 600, request_timeout => 60, dispatcher => 'Pipe' );
    ok !eval {
        deadline 60, sub { $zk->get('/x') };
        1;
    }, 'ends';
    my $error = $@;
    is $error->code,  ZCONNECTIONLOSS,   'with connection loss';
    is $error->error, 'connection loss', 'which is its text, too';
    like $error,
qr/\AError getting data for node '\/x': connection loss: 127\.0\.0\.1:1: Connection refused.* at \Q$0\E line \d+\.\n\z/,
      'and it says why';
    my @told;
    $zk->get( '/x', cb => sub { push @told, $_[0] } );
    wait_for { $zk->wait(0.05); @told } 60, 'the answer';
    like $told[0], qr/connection loss: 127\.0\.0\.1:1: Connection refused/, 'so does what a callback gets';
};

subtest 'a name without an address' => sub {
    like said( 'no-such-host.invalid:2181', qr/loss: / ),
      qr/$failed: no-such-host\.invalid:2181: cannot resolve it: /, 'is said to be one';
};

subtest 'several servers' => sub {
    my $closes  = FakeZK->new( sub { $_[0]->frame } );
    my $closing = $closes->hosts;
    my $message = said( "127.0.0.1:1,$closing", qr/;/ );
    like $message, qr/$failed: .*127\.0\.0\.1:1: Connection refused/,                         'the one';
    like $message, qr/$failed: .*$closing: closed by the server before it granted a session/, 'and the other';
    like $message, qr/\A[^;]*;[^;]*\z/,                                                       'each once';
};

subtest 'more servers than anybody wants to read' => sub {
    my $message = said( join( ',', map { "127.0.0.1:$_" } 1 .. 5 ), qr/refused.*refused.*refused/ );
    is scalar( () = $message =~ /Connection refused/g ), 3, 'three of them';
};

subtest 'a server that does not answer' => sub {
    my $silent = FakeZK->new( sub { 1 while defined $_[0]->frame } );
    my $hosts  = $silent->hosts;
    like said( $hosts, qr/loss: /, 600 ), qr/$failed: $hosts: connected, but no answer from the server at /,
      'is said not to';
};

subtest 'a server that makes no sense' => sub {
    my $noise =
      FakeZK->new( sub { $_[0]->send("HTTP/1.1 400 Bad Request\r\n"); 1 while defined $_[0]->frame } );
    my $hosts = $noise->hosts;
    like said( $hosts, qr/loss: / ),
      qr/$failed: $hosts: sent rubbish: frame of \d+ bytes is longer than the limit/, 'is said to make none';
};

subtest 'a connection that was there' => sub {
    my $once = FakeZK->new(
        sub {
            my ($connection) = @_;
            return if $connection->number == 1;
            $connection->handshake;
            $connection->frame;
        }
    );
    my $zk = ZooKeeper->new( hosts => $once->hosts, timeout => 30_000, dispatcher => 'Pipe' );
    $zk->wait_connected(60);
    ok !eval { $zk->get('/x'); 1 }, 'its loss';
    like $@, qr/\AError getting data for node '\/x': connection loss at /, 'is no matter of earlier attempts';
};

done_testing;

# Faults of the C client under the CPAN module, which real servers seldom bring to light. Each subtest is named after
# the symptom.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use FakeZK;
use Faults;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my @args   = ( hosts => $server->hosts, timeout => 60_000, dispatcher => 'Pipe' );
my $base   = fresh_path('fault-protocol');
ZooKeeper->new(@args)->create($base);

sub fake { my ($code) = @_; return FakeZK->new($code) }

sub handle {
    my ( $fake, @more ) = @_;
    return ZooKeeper->new( hosts => $fake->hosts, timeout => 60_000, dispatcher => 'Pipe', @more );
}

subtest 'two authentications are answered each for itself' => sub {
    my %answer;
    my $zk = ZooKeeper->new(@args);
    $zk->add_auth( 'digest',    'alice:secret', watcher => sub { $answer{first}  = $_[0]{state} } );
    $zk->add_auth( 'no-scheme', 'x',            watcher => sub { $answer{second} = $_[0]{state} } );
    wait_for { $zk->wait(1); keys %answer == 2 } 60, 'both answers';
    is_deeply \%answer, { first => ZOK, second => ZAUTHFAILED }, 'one is good, the other is refused';
    is eval { $zk->exists('/'); 1 } // 0 + $@, ZAUTHFAILED, 'and so is every call from then on';
};

subtest 'add_auth before the connection is up is not an invalid state' => sub {
    my $zk = ZooKeeper->new(@args);
    ok eval { $zk->add_auth( 'digest', 'bob:secret' ); 1 }, 'it is taken' or diag $@;
    is eval { $zk->create( "$base/bob", acl => ZOO_CREATOR_ALL_ACL ) } // $@, "$base/bob", 'and sent first';
};

subtest 'authentications are sent again in their order, before watches and requests' => sub {
    my $fake = fake(
        sub {
            my ($connection) = @_;
            $connection->handshake(60_000) or return;
            while ( defined( my $frame = $connection->frame ) ) {
                my ( $xid, $op, $rest ) = unpack 'l> l> a*', $frame;
                next if $op == 11;
                my ( undef, undef, $credentials ) = unpack 'N N/a* N/a*', $rest if $op == 100;
                $connection->note( $connection->number, $op == 100 ? $credentials : $op );
                my $data = ( $op == 4 ? pack 'N/a*', 'v' : '' ) . ( $op < 5 ? "\0" x 68 : '' );
                $connection->send_frame( pack( 'l> q> l>', $xid, 1, 0 ) . $data );
                last if $connection->number == 1 && $op == 3;    # the first connection ends here
            }
        }
    );
    my $zk = handle($fake);
    $zk->add_auth( 'digest', "user$_:x" ) for 1 .. 3;
    $zk->get( '/x', watcher => sub { } );
    eval { $zk->exists('/x') };
    wait_for {
        eval { $zk->get('/x') }
    }
    60, 'a connection';
    my @notes;
    wait_for {
        push @notes, map { /\A2 (.*)/ ? $1 : () } $fake->notes;
        @notes >= 5
    }
    30, 'the second connection';
    is_deeply \@notes, [ ( map { "user$_:x" } 1 .. 3 ), 101, 4 ], 'on the second connection';
};

subtest 'a request that the server is long about does not keep the pings away' => sub {
    my $fake = fake(
        sub {
            my ($connection) = @_;
            $connection->handshake(3_000) or return;
            my ( $pings, $asked ) = (0);
            while ( defined( my $frame = $connection->frame ) ) {
                my ( $xid, $op ) = unpack 'l> l>', $frame;
                $asked = $xid if $op == 3;
                $connection->send_frame( pack 'l> q> l>', $xid, 1, 0 ) if $op == 11 || $op == -11;
                next if $op != 11 || !defined $asked || ++$pings < 4;
                $connection->send_frame( pack 'l> q> l>', $asked, 1, ZNONODE );
                undef $asked;
            }
        }
    );

    # A process that stands still for two thirds of the timeout loses its connection: then once more.
    my $answer;
    for ( 1 .. 5 ) {
        my $zk = handle( $fake, timeout => 3_000, request_timeout => 60 );
        $answer = eval { $zk->exists('/x') // 'none' } // $@;
        last if !ref $answer || !$answer->is_connection_loss;
    }
    is $answer, 'none', 'four pings were sent while it waited, over a session timeout';
};

subtest 'a server that sends no read-only byte is understood' => sub {
    my $fake = fake(
        sub {
            my ($connection) = @_;
            $connection->frame // return;
            $connection->send_frame( pack 'N N q> N/a*', 0, 10_000, 0x77, 'p' x 16 );
            $connection->serve(ZNONODE);
        }
    );
    my $zk = handle($fake);
    is $zk->exists('/x'),           undef, 'a call';
    is $zk->client_id->{client_id}, 0x77,  'the session';
};

subtest 'a read-only byte that comes by itself does not confuse' => sub {
    my $fake = fake(
        sub {
            my ($connection) = @_;
            $connection->frame // return;
            my $answer = pack 'N/a*', pack 'N N q> N/a* C', 0, 10_000, 0x77, 'p' x 16, 0;
            $connection->send( substr $answer, 0, -1 );
            select undef, undef, undef, 0.3;
            $connection->send( substr $answer, -1 );
            $connection->serve(ZNONODE);
        }
    );
    my $zk = handle($fake);
    is $zk->exists('/x'), undef, 'a call';
    is $zk->exists('/y'), undef, 'and another';
};

subtest 'a length that a frame can not have takes no memory, and does not crash' => sub {
    for my $length ( 0xffffffff, 0x80000000, 0x7fffffff ) {
        my $fake = fake(
            sub {
                my ($connection) = @_;
                $connection->handshake(60_000) or return;
                return $connection->serve(ZNONODE) if $connection->number > 1;
                $connection->frame;
                $connection->send( pack( 'N', $length ) . 'x' x 100 );
                $connection->frame;
            }
        );
        my $code = q{
            use ZooKeeper; use ZooKeeper::Constants;
            my $zk = ZooKeeper->new( hosts => shift, timeout => 60_000, dispatcher => 'Pipe' );
            print eval { $zk->get('/x'); 1 } ? 'worked' : $@->is_connection_loss ? 'lost' : "$@";
            print defined $zk->exists('/x') ? ' wrong' : ' works';
            open my $status, '<', '/proc/self/status' or die;
            my ($peak) = map { /^VmPeak:\s+([0-9]+)/ ? $1 : () } <$status>;
            print $peak < 1_500_000 ? '' : " $peak KB";
        };
        is_deeply [ program( $code, $fake->hosts ) ], [ 'lost works', 0 ], sprintf 'length 0x%x', $length;
    }
};

subtest 'a chroot /foo does not take the events of /foobar for its own' => sub {
    my $fake = fake(
        sub {
            my ($connection) = @_;
            $connection->handshake(60_000) or return;
            while ( defined( my $frame = $connection->frame ) ) {
                my ( $xid, $op ) = unpack 'l> l>', $frame;
                $connection->send_frame( pack 'l> q> l>', $xid, 1, $op == 3 ? ZNONODE : 0 );
                next if $op != 3;
                $connection->send_frame( pack 'l> q> l> l> l> N/a*', -1, -1, 0, ZOO_CREATED_EVENT, 3, $_ )
                  for qw(/foobar /foobar/x /foo/bar /x);
            }
        }
    );
    my @seen;
    my $zk = handle( $fake, hosts => $fake->hosts . '/foo' );
    $zk->exists( $_, watcher => sub { push @seen, $_[0]{path} } ) for qw(/bar /x);
    wait_for { $zk->wait(1); @seen } 60, 'an event';
    $zk->wait(0.1);
    is_deeply \@seen, ['/bar'], 'only of /foo/bar, which is its /bar';
};

done_testing;

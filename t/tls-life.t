# The life of a connection by TLS beside its data: handshakes that stall, forks, and nothing that is left behind.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Certificates;
use Child;
use CountingProxy;
use FakeZK;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

plan skip_all => 'this build has no TLS (PERL_ZOOKEEPER_TLS=0)' if !ZooKeeper::XS::_has_tls();
my $reason = Certificates->unavailable;
plan skip_all => $reason if $reason;

my $pki = Certificates->new;
$pki->authority('ca');
$pki->issue( 'server', by => 'ca', names => 'DNS:localhost,IP:127.0.0.1' );
my $server = test_server( tls => $pki->server_side( 'server', 'ca', client_auth => 'none' ) );

sub handle {
    my (%arg) = @_;
    return ZooKeeper->new(
        hosts      => $server->secure_hosts,
        timeout    => 30_000,
        dispatcher => 'Pipe',
        tls        => { ca_file => $pki->file('ca.pem') },
        %arg
    );
}

# Takes what comes, and says nothing.
sub stalled {
    return FakeZK->new( sub { 1 while defined $_[0]->_bytes(1) } );
}

subtest 'a handshake that stalls' => sub {
    my $stalled = stalled();
    my $zk      = handle( hosts => $stalled->hosts, timeout => 1_500, request_timeout => 60 );
    wait_for { $zk->state == ZOO_SSL_CONNECTING_STATE } 60, 'the handshake';
    ok !$zk->is_connected, 'it is not connected meanwhile';
    ok !eval {
        deadline 60, sub { $zk->get('/x') };
        1;
    }, 'a call ends';
    is $@->code, ZCONNECTIONLOSS, 'with connection loss';
    my $hosts = $stalled->hosts;
    like $@, qr/connection loss: $hosts: TLS: no answer in the handshake at /, 'and the reason';

    my $either = handle( hosts => join( ',', $stalled->hosts, $server->secure_hosts ), timeout => 3_000 );
    ok $either->wait_connected(60), 'the next server is tried';
    is $either->server, $server->secure_hosts, 'and taken';
};

subtest 'a handle that goes while it shakes hands' => sub {
    my $stalled = stalled();
    my $zk      = handle( hosts => $stalled->hosts );
    wait_for { $zk->state == ZOO_SSL_CONNECTING_STATE } 60, 'the handshake';
    is deadline( 60, sub { $zk->close; 'closed' } ), 'closed',               'is closed';
    is $zk->state,                                   ZOO_NOTCONNECTED_STATE, 'its state';
    $zk->reopen;
    wait_for { $zk->state == ZOO_SSL_CONNECTING_STATE } 60, 'the handshake';
    is deadline( 60, sub { undef $zk; 'gone' } ), 'gone', 'or just goes';
};

subtest 'a server that stops reading' => sub {

# The server is given up after two thirds of that; it has the last one to come back, else the session expires.
    my $zk   = handle( timeout => 9_000 );
    my $path = $zk->create( fresh_path('paused'), value => 'v' );
    $server->pause;
    my $data    = 'x' x 900_000;
    my @futures = map { $zk->set_f( $path, $data ) } 1 .. 20;
    wait_for {
        $zk->wait(0.05);
        !grep { !$_->is_ready } @futures
    }
    60, 'the answers';
    is scalar( grep { $_->failure == ZCONNECTIONLOSS } @futures ), 20,
      'it is given up, and what was on its way with it';
    $server->resume;
    ok $zk->wait_connected(60), 'it comes back';
    my $found = length wait_for {
        eval { $zk->get($path) }
    }
    60, 'a call';
    ok $found == 1 || $found == length $data, 'and nothing is there in part';
};

subtest 'forked children' => sub {
    my $proxy = CountingProxy->new( $server->secure_hosts );
    my $zk    = handle( hosts => $proxy->hosts, timeout => 600_000 );              # no ping meanwhile
    my $path  = $zk->create( fresh_path('fork'), ephemeral => 1, value => 'v' );
    my $id    = $zk->client_id->{client_id};
    my $sent  = sub { length( ( $proxy->connections )[0]{sent} ) };
    my $seen  = $sent->();
    my %deeds = (
        'leaves'            => sub { 'left' },
        'closes it'         => sub { $zk->close; 'closed' },
        'destroys it'       => sub { undef $zk;  'gone' },
        'calls its methods' => sub {
            eval { $zk->get($path) };
            $@ == ZINVALIDSTATE ? 'refused' : "$@";
        },
        'has its own session' => sub {
            $zk->reopen;
            $zk->get($path);
            $zk->client_id->{client_id} == $id ? "the parent's" : 'its own';
        },
    );
    for my $what ( sort keys %deeds ) {
        for my $exit ( 0, 1 ) {
            my $came = in_child { $deeds{$what}->() } exit => $exit;
            ok $came !~ /Error|parent/, "a child that $what" or diag $came;
        }
    }
    is $sent->(), $seen, "on the parent's connection not a byte was sent";
    is( ( $proxy->connections )[0]{ended}, undef, '... nor was it ended' );
    is scalar $zk->get($path), 'v', 'it still works';
    cmp_ok $sent->(), '>', $seen, '... and that is seen';
    is scalar( () = $proxy->connections ), 3, 'children that reopen have connections of their own';
    $zk->close;
    wait_for { ( $proxy->connections )[0]{ended} } 60, 'the end';
    pass 'which ends when the parent closes it';
};

subtest 'many attempts that fail' => sub {
    my $closes = FakeZK->new( sub { $_[0]->_bytes(5) } );
    my $rubbish =
      FakeZK->new( sub { $_[0]->_bytes(5); $_[0]->send( "rubbish\n" x 10 ); 1 while defined $_[0]->_bytes(1) }
      );
    my $wrong   = { ca_file => $pki->file('ca.pem'), server_name => 'zk.example' };
    my @fail    = ( { hosts => $closes->hosts }, { hosts => $rubbish->hosts }, { tls => $wrong } );
    my $failed  = 0;
    my $attempt = sub {
        my ($arg) = @_;
        my $zk = handle(%$arg);
        wait_for {
            !eval { $zk->wait_connected(0.02); 1 } && $@ =~ /loss: \S+: TLS: /
        }
        60, 'the failure';
        $failed++;
    };
    my $open = sub { scalar( () = glob '/proc/self/fd/*' ) };
    $attempt->($_) for @fail;
    my $before = $open->();
    $attempt->( $fail[ $_ % @fail ] ) for 1 .. 200;
    is $failed, 200 + @fail, 'fail as they should';
    soon_ok { $open->() <= $before } 60, 'and leave no descriptor';
};

done_testing;

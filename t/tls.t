# All that a session does, on connections by TLS.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Certificates;
use FaultProxy;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

plan skip_all => 'this build has no TLS (PERL_ZOOKEEPER_TLS=0)' if !ZooKeeper::XS::_has_tls();
my $reason = Certificates->unavailable;
plan skip_all => $reason if $reason;

my $pki = Certificates->new;
$pki->authority('ca');
$pki->issue( 'server', by => 'ca', names => 'DNS:localhost,IP:127.0.0.1' );
$pki->issue( 'client', by => 'ca' );
my %tls = (
    ca_file   => $pki->file('ca.pem'),
    cert_file => $pki->file('client.pem'),
    key_file  => $pki->file('client.key'),
);
my $MEGABYTES = 8 << 20;
my $server    = test_server(
    tls       => $pki->server_side( 'server', 'ca', client_auth => 'need' ),
    java_opts => ["-Djute.maxbuffer=$MEGABYTES"],
);

sub handle {
    my (%arg) = @_;
    return ZooKeeper->new(
        hosts          => $server->secure_hosts,
        timeout        => 30_000,
        jute_maxbuffer => $MEGABYTES,
        dispatcher     => 'Pipe',
        tls            => \%tls,
        %arg
    );
}

my $base = fresh_path('tls');

# The same on TLS 1.2 and on what server and client like best.
sub at_work {
    my ($zk) = @_;
    ok $zk->wait_connected(60), 'connected';
    is $zk->state,  ZOO_CONNECTED_STATE,   'the state';
    is $zk->server, $server->secure_hosts, 'to the port for TLS';
    $zk->ensure_path($base);
    is $zk->create( "$base/x", value => 'one' ), "$base/x", 'create';
    is $zk->set( "$base/x", 'two' )->{version},  1,         'set';
    is scalar $zk->get("$base/x"),               'two',     'get';
    is_deeply [ $zk->get_children($base) ], ['x'], 'get_children';
    ok !eval { $zk->get("$base/none"); 1 }, 'an error';
    is $@->code, ZNONODE, 'is what it is';
    my @results = $zk->transaction->create("$base/y")->delete("$base/y")->commit;
    is_deeply [ map { $_->{type} } @results ], [qw(create delete)], 'a transaction';

    my @events;
    $zk->get( "$base/x", watcher => sub { push @events, $_[0]{type} } );
    $zk->set( "$base/x", 'three' );
    wait_for { $zk->wait(0.05); @events } 60, 'the event';
    is_deeply \@events, [ZOO_CHANGED_EVENT], 'a watch';

    for my $size ( 0, 1, 16_383, 16_384, 16_385, 65_536, 900_000, 5 << 20 ) {
        my $data = pack 'N*', map { $_ * 2_654_435_761 % 2**32 } 1 .. $size / 4 + 1;
        substr $data, $size, length $data, '';
        $zk->set( "$base/x", $data );
        ok $zk->get("$base/x") eq $data, "$size bytes there and back";
    }
    $zk->set( "$base/x", 'small' );
    for my $size ( 1, 900_000 ) {
        my $count = $size == 1 ? 1_000 : 20;
        my $data  = 'x' x $size;
        $zk->set( "$base/x", $data );
        my ( $right, $answers ) = ( 0, 0 );
        for ( 1 .. $count ) {
            $zk->get( "$base/x", cb => sub { $answers++; $right++ if !defined $_[0] && $_[1] eq $data } );
        }
        wait_for { $zk->wait(0.05); $answers == $count } 120, 'the answers';
        is $right, $count, "$count requests of $size bytes in flight";
    }
    my $data    = 'y' x 500_000;
    my @futures = map { $zk->set_f( "$base/x", $data ) } 1 .. 40;
    is scalar( grep { $_->get->{version} } @futures ), 40,    'long requests that follow each other';
    is scalar $zk->get("$base/x"),                     $data, 'a blocking call behind them';

    my @order;
    $zk->set( "$base/x", $_, cb => sub { push @order, 'cb' } ) for 1 .. 50;
    is scalar $zk->get("$base/x"), 50, 'a blocking call behind callbacks';
    wait_for { $zk->wait(0.05); @order == 50 } 60, 'the callbacks';
    $zk->delete("$base/x");
    return;
}

subtest 'at work' => sub { at_work( handle() ) };

subtest 'many calls, one after the other' => sub {
    my $zk = handle();
    $zk->create( "$base/x", value => 'v' );
    my $right = grep {
        deadline( 60, sub { scalar $zk->get("$base/x") } ) eq 'v'
    } 1 .. 2_000;
    is $right, 2_000, 'none of them waits in vain';
    $zk->delete("$base/x");
};

subtest 'two on the same engine, one of them plain' => sub {
    my $secure = handle();
    my $plain  = handle( hosts => $server->hosts, tls => 0 );
    my @events;
    $secure->exists( "$base/z", watcher => sub { push @events, $_[0]{type} } );
    $plain->create( "$base/z", ephemeral => 1 );
    wait_for { $secure->wait(0.05); @events } 60, 'the event';
    is_deeply \@events, [ZOO_CREATED_EVENT], 'see each other';
    is $plain->server,  $server->hosts,        'each on its port';
    is $secure->server, $server->secure_hosts, 'each on its port';
};

subtest 'who a client is by its certificate' => sub {
    my $secure = handle();
    my $node   = $secure->create( "$base/private", acl => ZOO_CREATOR_ALL_ACL, value => 'v' );
    my ($acl)  = $secure->get_acl($node);
    is $acl->[0]{scheme}, 'x509', 'the scheme';
    like $acl->[0]{id}, qr/\bCN=client\b/, 'the subject';
    is scalar $secure->get($node), 'v', 'may read what is its own';
    my $plain = handle( hosts => $server->hosts, tls => 0 );
    ok !eval { $plain->get($node); 1 }, 'another';
    is $@->code, ZNOAUTH, 'may not';
    $secure->delete($node);
};

subtest 'connections that are lost and resumed' => sub {
    my $proxy = FaultProxy->new( $server->secure_hosts );
    my @states;
    my $zk   = handle( hosts => $proxy->hosts, watcher => sub { push @states, $_[0]{state} } );
    my $node = $zk->create( "$base/private", acl => ZOO_CREATOR_ALL_ACL, value => 'v' );
    my $id   = $zk->client_id->{client_id};
    my $next = sub {
        wait_for { $zk->wait(0.05); @states && $states[-1] == ZOO_CONNECTED_STATE } 60, 'the connection';
        @states = ();
    };
    $next->();
    for my $time ( 1 .. 5 ) {
        $proxy->harm( reset => 0 );
        $next->();
        is scalar $zk->get($node), 'v', "the client is who it was, the ${time}. time";
    }
    is $zk->client_id->{client_id}, $id, 'in the same session';
    $zk->delete($node);
};

subtest 'the session moves from one connection to the next' => sub {
    my @states;
    my $zk = handle( timeout => 20_000, watcher => sub { push @states, $_[0]{state} } );
    $zk->create( "$base/mine", ephemeral => 1 );
    my @events;
    $zk->exists( "$base/mine", watcher => sub { push @events, $_[0]{type} } );
    my $id = $zk->client_id->{client_id};
    $server->restart;
    wait_for {
        $zk->wait(0.05);
        grep( { $_ == ZOO_CONNECTING_STATE } @states ) && $zk->is_connected;
    }
    60, 'the new connection';
    is $zk->client_id->{client_id},                 $id, 'the same session';
    is $zk->exists("$base/mine")->{ephemeralOwner}, $id, 'with its ephemeral node';
    is_deeply \@events, [], 'whose watch is still there';
    $zk->delete("$base/mine");
    wait_for { $zk->wait(0.05); @events } 60, 'the event';
    is_deeply \@events, [ZOO_DELETED_EVENT], '... and fires';

    $zk->close( keep => 1 );
    my $other = handle( client_id => $zk->client_id );
    ok $other->wait_connected(60), 'another handle';
    is $other->client_id->{client_id}, $id, 'takes it over';
};

subtest 'an end in good order' => sub {
    my $zk = handle();
    $zk->create( "$base/gone", ephemeral => 1 );
    $zk->close;
    my $next = handle();
    is $next->exists("$base/gone"), undef, 'the server closes the session at once';
    $zk->reopen;
    $zk->create( "$base/gone", ephemeral => 1 );
    is $zk->exists("$base/gone")->{ephemeralOwner}, $zk->client_id->{client_id}, 'and it can be reopened';
};

subtest 'TLS 1.2' => sub {
    $server = undef;
    $server = test_server(
        tls       => $pki->server_side( 'server', 'ca', client_auth => 'need', protocols => 'TLSv1.2' ),
        java_opts => ["-Djute.maxbuffer=$MEGABYTES"],
    );
    at_work( handle() );
};

subtest 'TLS 1.3' => sub {
    $server = undef;
    my $suites = 'TLS_AES_256_GCM_SHA384,TLS_AES_128_GCM_SHA256';    # 3.8 has none by itself
    $server = test_server(
        tls       => $pki->server_side( 'server', 'ca', client_auth => 'need', protocols => 'TLSv1.3' ),
        java_opts => ["-Djute.maxbuffer=$MEGABYTES"],
        config    => { 'ssl.ciphersuites' => $suites },
    );
    at_work( handle( tls => { %tls, min_version => '1.3' } ) );
};

subtest 'a name, looked up and verified' => sub {
    my $zk = handle( hosts => 'localhost:' . $server->secure_port );
    ok $zk->wait_connected(60), 'is as good as an address';
};

subtest 'the first server of three that can be had' => sub {
    my $zk = handle( hosts => join ',', '127.0.0.1:1', $server->hosts, $server->secure_hosts );
    ok $zk->wait_connected(60), 'is found';
    is $zk->server, $server->secure_hosts, 'where TLS is spoken';
};

done_testing;

# Connections that must not come about: each ends by itself, and who waited for it is told why.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Certificates;
use FakeZK;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

plan skip_all => 'this build has no TLS (PERL_ZOOKEEPER_TLS=0)' if !ZooKeeper::XS::_has_tls();
my $reason = Certificates->unavailable;
plan skip_all => $reason if $reason;

# An attempt may take a third of it: more than the first handshake of a Java server needs on a busy machine.
my $TIMEOUT_MS = 30_000;

my $pki = Certificates->new;
my $own = 'DNS:localhost,IP:127.0.0.1';
$pki->authority($_) for qw(ca other);
$pki->issue( 'good', by => 'ca', names => $own );
my @ca     = ( ca_file   => $pki->file('ca.pem') );
my @client = ( cert_file => $pki->file('client.pem'), key_file => $pki->file('client.key') );

sub server {
    my ( $certificate, %more ) = @_;
    my $config = delete $more{config} || {};
    my $tls    = $pki->server_side( $certificate, 'ca', client_auth => 'none', %more );
    return test_server( tls => $tls, config => $config );
}

sub handle {
    my ( $hosts, %tls ) = @_;
    return ZooKeeper->new(
        hosts      => $hosts,
        timeout    => $TIMEOUT_MS,
        dispatcher => 'Pipe',
        tls        => %tls ? \%tls : 0,
    );
}

# It is refused, for that reason. That needs only one attempt, however long it takes.
sub refused {
    my ( $name, $reason, $hosts, %tls ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $zk    = handle( $hosts, %tls );
    my $error = wait_for {
        die "it is connected\n" if eval { $zk->wait_connected(0.02) };
        $@ =~ /loss: / && $@;
    }
    60, 'a reason';
    note $error;
    is $error->code, ZCONNECTIONLOSS, "$name: connection loss";
    like $error, qr/\AError waiting for the connection: connection loss: \Q$hosts\E: $reason at \Q$0\E line/,
      '... with the reason';
    ok !$zk->is_unrecoverable, '... and the handle goes on trying';
    return;
}

sub accepted {
    my ( $name, $hosts, %tls ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $zk = handle( $hosts, %tls );
    ok eval { $zk->wait_connected(60) }, $name or diag $@;
    return;
}

subtest 'a server whose certificate is good' => sub {
    my $server = server('good');
    my $hosts  = $server->secure_hosts;
    accepted( 'is accepted', $hosts, @ca );
    refused(
        'an authority that is not trusted',
        qr/TLS: the server's certificate is from an authority that is not trusted here \(ca_file\)/,
        $hosts, ca_file => $pki->file('other.pem')
    );
    refused(
        "nor is it one of the system's",
        qr/TLS: the server's certificate is from an authority that is not trusted here \(ca_file\)/,
        $hosts, verify_hostname => 0
    ) if eval { handle( '127.0.0.1:1', verify_hostname => 1 ) };
    refused(
        'another name is wanted',
        qr/TLS: the server's certificate is not for zk\.example, but for localhost, 127\.0\.0\.1/,
        $hosts, @ca, server_name => 'zk.example'
    );
    refused( 'the client speaks no TLS',
        qr/closed by the server before it granted a session \(.*TLS.*\)/, $hosts );
    refused(
        'the server speaks none on this port',
        qr/TLS: the server closed the connection in the handshake \(is this its port for TLS\?\)/,
        $server->hosts, @ca
    );
};

subtest 'a certificate that has expired' => sub {
    $pki->issue( 'expired', by => 'ca', names => $own, until => '20210203040506Z' );
    my $server = server('expired');
    my $why    = qr/TLS: the server's certificate has expired at 2021-02-03T04:05:06Z/;
    refused( 'is refused', $why, $server->secure_hosts, @ca );
    refused( 'also without a look at names', $why, $server->secure_hosts, @ca, verify_hostname => 0 );
};

subtest 'a certificate that is not valid yet' => sub {
    $pki->issue( 'early', by => 'ca', names => $own, from => '20980203040506Z' );
    my $server = server('early');
    refused( 'is refused', qr/TLS: the server's certificate is not valid before 2098-02-03T04:05:06Z/,
        $server->secure_hosts, @ca );
};

subtest "a certificate for another server" => sub {
    $pki->issue( 'elsewhere', by => 'ca', names => 'DNS:zk.example,IP:192.0.2.1' );
    my $server = server('elsewhere');
    my $hosts  = $server->secure_hosts;
    refused( 'is refused',
        qr/TLS: the server's certificate is not for 127\.0\.0\.1, but for zk\.example, 192\.0\.2\.1/,
        $hosts, @ca );
    accepted( 'unless its name is asked for', $hosts, @ca, server_name     => 'zk.example' );
    accepted( 'or address',                   $hosts, @ca, server_name     => '192.0.2.1' );
    accepted( 'or names do not matter',       $hosts, @ca, verify_hostname => 0 );
    refused(
        'which is all that they do',
        qr/TLS: the server's certificate is from an authority that is not trusted here \(ca_file\)/,
        $hosts,
        ca_file         => $pki->file('other.pem'),
        verify_hostname => 0
    );
};

subtest 'a certificate without names' => sub {
    $pki->issue( 'nameless', by => 'ca' );
    my $server = server('nameless');
    refused(
        'is for no server',
        qr/TLS: the server's certificate is not for 127\.0\.0\.1, but for no name at all/,
        $server->secure_hosts, @ca
    );
    accepted( 'unless names do not matter', $server->secure_hosts, @ca, verify_hostname => 0 );
};

subtest 'a certificate that was revoked' => sub {
    $pki->issue( 'revoked', by => 'ca', names => $own );
    my $list   = $pki->revoke( 'ca', 'revoked' );
    my $server = server('revoked');
    my $hosts  = $server->secure_hosts;
    my $why    = qr/TLS: the server's certificate has been revoked/;
    refused( 'is refused', $why, $hosts, @ca, crl_file => $list );
    refused( 'also without a look at names', $why, $hosts, @ca, crl_file => $list, verify_hostname => 0 );
    accepted( 'unless nobody asks', $hosts, @ca );
    accepted( 'or asks another authority', $hosts, @ca, crl_file => $pki->revoke('other') );
};

subtest 'an authority between that was revoked' => sub {
    $pki->authority( 'middle', by => 'ca' );
    $pki->issue( 'below', by => 'middle', names => $own, chain => 1 );
    my $none   = $pki->revoke('ca');
    my $server = server('below');
    my $hosts  = $server->secure_hosts;
    accepted( 'a chain is accepted', $hosts, @ca, crl_file => $none );
    refused(
        'and refused as a whole',
        qr/TLS: the server's certificate has been revoked/,
        $hosts, @ca, crl_file => $pki->revoke( 'ca', 'middle' )
    );
};

subtest 'certificates that no server should have' => sub {
    $pki->authority( 'both', names => $own );
    refused(
        'an authority itself',
        qr/TLS: the server's certificate is one of an authority, .* \(CA:TRUE\)/,
        server('both')->secure_hosts,
        ca_file => $pki->file('both.pem')
    );
    $pki->issue( 'user', by => 'ca', names => $own, extensions => 'extendedKeyUsage = clientAuth' );
    refused(
        'one for clients',
        qr/TLS: the server's certificate is not for servers \(its extended key usage\)/,
        server('user')->secure_hosts, @ca
    );
    $pki->issue( 'one', by => 'ca' );
    $pki->openssl(
        qw(x509 -req -in one.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30000 -out one.pem));
    refused(
        'of version 1',
        qr/TLS: the server's certificate is of version 1, without extensions/,
        server('one')->secure_hosts, @ca
    );
};

subtest 'a server that wants a certificate of its clients' => sub {
    $pki->issue( 'client',   by => 'ca' );
    $pki->issue( 'stranger', by => 'other' );
    my $server = server( 'good', client_auth => 'need' );
    my $hosts  = $server->secure_hosts;
    accepted( 'gets it', $hosts, @ca, @client );
    refused( 'gets none', qr/TLS: the server [^:]*wants a client certificate \(cert_file\) \[alert \w+\]/,
        $hosts, @ca );
    refused(
        "gets a stranger's",
        qr/TLS: the server does not accept the client certificate \[alert \w+\]/,
        $hosts, @ca,
        cert_file => $pki->file('stranger.pem'),
        key_file  => $pki->file('stranger.key')
    );
};

subtest 'versions of TLS' => sub {
    my $old = server( 'good', protocols => 'TLSv1.2' );
    accepted( '1.2 is accepted', $old->secure_hosts, @ca );
    refused(
        'unless 1.3 is the least',
        qr/TLS: the server (?:offers|has) no version of TLS that is wanted here \(min_version\).*/,
        $old->secure_hosts, @ca, min_version => '1.3'
    );
    my $suites = 'TLS_AES_256_GCM_SHA384,TLS_AES_128_GCM_SHA256';    # 3.8 has none by itself
    my $new    = server( 'good', protocols => 'TLSv1.3', config => { 'ssl.ciphersuites' => $suites } );
    accepted( '1.3 is accepted', $new->secure_hosts, @ca, min_version => '1.3' );
    accepted( 'also where 1.2 would do', $new->secure_hosts, @ca );
};

subtest 'a server that has only versions which nobody should use' => sub {
    my $server = FakeZK->new(
        sub {
            my ($connection) = @_;
            $connection->_bytes(5) // return;
            $connection->send( pack 'C n n C C', 21, 0x0301, 2, 2, 70 );    # alert: protocol_version
            1 while defined $connection->_bytes(1);
        }
    );
    refused(
        'is refused',
qr/TLS: the server has no version of TLS that is wanted here \(min_version\) \[alert ProtocolVersion\]/,
        $server->hosts,
        @ca
    );
};

subtest 'servers that are none of TLS' => sub {
    my $talks = FakeZK->new( sub { $_[0]->send("SSH-2.0-example\r\n"); 1 while defined $_[0]->_bytes(1) } );
    refused(
        'one that greets',
        qr/TLS: what the server sent is not TLS \(is this its port for TLS\?\)/,
        $talks->hosts, @ca
    );
    my $closes = FakeZK->new( sub { $_[0]->_bytes(5) } );
    refused(
        'one that closes',
        qr/TLS: the server closed the connection in the handshake \(is this its port for TLS\?\)/,
        $closes->hosts, @ca
    );
    my $resets = FakeZK->new( sub { $_[0]->_bytes(5); $_[0]->reset } );
    refused(
        'one that resets',
        qr/TLS: the server closed the connection in the handshake \(is this its port for TLS\?\)/,
        $resets->hosts, @ca
    );
    my $alerts = FakeZK->new(
        sub {
            $_[0]->_bytes(5);
            $_[0]->send( pack 'C n n C C', 21, 0x0303, 2, 2, 80 );
            1 while defined $_[0]->_bytes(1);
        }
    );
    refused(
        'TLS where none is expected',
        qr/sent rubbish: a TLS alert: it speaks TLS on this port, and the client does not/,
        $alerts->hosts
    );
};

subtest 'calls in all their forms' => sub {
    my $closes = FakeZK->new( sub { $_[0]->_bytes(5) } );
    my $zk     = ZooKeeper->new(
        hosts           => $closes->hosts,
        timeout         => 600,
        request_timeout => 60,
        tls             => {@ca},
        dispatcher      => 'Pipe'
    );
    my $why = qr/connection loss: \S+: TLS: the server closed the connection in the handshake/;
    ok !eval {
        deadline 60, sub { $zk->create('/x') };
        1;
    }, 'a blocking call ends';
    like $@, qr/\AError creating node '\/x': $why/, 'and says why';
    ok $@->is_connection_loss && $@->is_retryable && !$@->maybe_applied, 'nothing was done';
    my @told;
    $zk->get( '/x', cb => sub { push @told, $_[0] } );
    my $future = $zk->exists_f('/x');
    wait_for { $zk->wait(0.05); @told && $future->is_ready } 60, 'the answers';
    like $told[0],         qr/\AError getting data for node '\/x': $why/,      'a callback';
    like $future->failure, qr/\AError checking existence of node '\/x': $why/, 'a future';
};

done_testing;

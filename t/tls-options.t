# What is wrong with the option tls is said at once, by "new" and by "reopen", with the option's name and the file's.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Certificates;
use FakeZK;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

my $HOSTS = '127.0.0.1:1';

if ( !ZooKeeper::XS::_has_tls() ) {
    for my $tls ( 1, {}, { ca_file => '/no/such/file' } ) {
        ok !eval { ZooKeeper->new( hosts => $HOSTS, dispatcher => 'Pipe', tls => $tls ); 1 },
          'a build without TLS refuses it at once';
        is $@->code, ZBADARGUMENTS, '... with this code';
        like $@,
qr/: bad arguments: tls: this build of ZooKeeper has no TLS \(PERL_ZOOKEEPER_TLS was 0 .*\) at \Q$0\E /,
          '... and says so';
    }
    ok eval { ZooKeeper->new( hosts => $HOSTS, dispatcher => 'Pipe', tls => 0 ) }, 'false asks for none';
    done_testing;
    exit;
}
my $reason = Certificates->unavailable;
plan skip_all => $reason if $reason;

my $pki = Certificates->new;
$pki->authority($_) for qw(ca other);
$pki->issue( $_, by => 'ca' ) for qw(client stranger);
$pki->write( 'text.pem',   "no certificate\n" );
$pki->write( 'broken.pem', "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n" );
$pki->write( 'noise.pem',  "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" );
$pki->write( 'noise.crl',  "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n" );
$pki->openssl(qw(pkcs8 -topk8 -passout pass:secret -in client.key -out locked.key));
$pki->openssl(qw(genrsa -traditional -out rsa.key 2048));
mkdir $pki->file('directory');

sub opened {
    my (%tls) = @_;
    return ZooKeeper->new( hosts => $HOSTS, dispatcher => 'Pipe', tls => \%tls );
}

my @ca    = ( ca_file => $pki->file('ca.pem') );
my %wrong = (
    'no such ca_file' =>
      [ { ca_file => $pki->file('absent.pem') }, qr/ca_file '\S*absent\.pem': No such file/ ],
    'a ca_file without one' =>
      [ { ca_file => $pki->file('text.pem') }, qr/ca_file '\S*text\.pem': there is no certificate/ ],
    'a ca_file with a key' =>
      [ { ca_file => $pki->file('client.key') }, qr/ca_file '\S*client\.key': there is no certificate/ ],
    'a ca_file that is no PEM' => [ { ca_file => $pki->file('broken.pem') }, qr/ca_file '\S*broken\.pem': / ],
    'a ca_file with noise'     => [
        { ca_file => $pki->file('noise.pem') },
        qr/ca_file '\S*noise\.pem': a certificate in it can't be used/
    ],
    'a directory as ca_file' =>
      [ { ca_file => $pki->file('directory') }, qr/ca_file '\S*directory': Is a directory/ ],
    'an empty ca_file'            => [ { ca_file => '' }, qr/ca_file '': No such file/ ],
    'a key without a certificate' =>
      [ { @ca, key_file => $pki->file('client.key') }, qr/key_file '\S*client\.key' without a cert_file/ ],
    'a certificate without a key' => [
        { @ca, cert_file => $pki->file('client.pem') },
        qr/cert_file '\S*client\.pem': there is no private key in it, and no key_file/
    ],
    'no such cert_file' =>
      [ { @ca, cert_file => $pki->file('absent.pem') }, qr/cert_file '\S*absent\.pem': No such file/ ],
    'no such key_file' => [
        { @ca, cert_file => $pki->file('client.pem'), key_file => $pki->file('absent.key') },
        qr/key_file '\S*absent\.key': No such file/
    ],
    'a key_file without one' => [
        { @ca, cert_file => $pki->file('client.pem'), key_file => $pki->file('ca.pem') },
        qr/key_file '\S*ca\.pem': there is no private key in it/
    ],
    'a key that is encrypted' => [
        { @ca, cert_file => $pki->file('client.pem'), key_file => $pki->file('locked.key') },
        qr/key_file '\S*locked\.key': the key is encrypted/
    ],
    "another's key" => [
        { @ca, cert_file => $pki->file('client.pem'), key_file => $pki->file('stranger.key') },
        qr/key_file '\S*stranger\.key': the key does not belong to the first certificate of '\S*client\.pem'/
    ],
    'a key of another kind' => [
        { @ca, cert_file => $pki->file('client.pem'), key_file => $pki->file('rsa.key') },
        qr/key_file '\S*rsa\.key': the key does not belong/
    ],
    'no such crl_file' =>
      [ { @ca, crl_file => $pki->file('absent.crl') }, qr/crl_file '\S*absent\.crl': No such file/ ],
    'a crl_file without one' =>
      [ { @ca, crl_file => $pki->file('ca.pem') }, qr/crl_file '\S*ca\.pem': there is no revocation list/ ],
    'a crl_file with noise' =>
      [ { @ca, crl_file => $pki->file('noise.crl') }, qr/crl_file '\S*noise\.crl': / ],
    'a version that is too old' =>
      [ { @ca, min_version => '1.1' }, qr/min_version '1\.1' is not 1\.2 or 1\.3/ ],
    'no version'          => [ { @ca, min_version => 'TLSv1.2' }, qr/min_version 'TLSv1\.2' is not/ ],
    'a name that is none' => [ { @ca, server_name => 'a b' },     qr/server_name 'a b' is not a host name/ ],
);
for my $what ( sort keys %wrong ) {
    my ( $tls, $expected ) = @{ $wrong{$what} };
    ok !eval { opened(%$tls); 1 }, $what;
    my $error = $@;
    is ref $error, 'ZooKeeper::Error', '... is an error';
    like $error, qr/\AError initializing ZooKeeper handle for '\Q$HOSTS\E': bad arguments: tls: /,
      '... of "new"';
    like $error, $expected, '... with names';
    is $error->code, ZBADARGUMENTS, '... and its code';
}

subtest 'what is no hash ref' => sub {
    for my $value ( [], sub { }, \'x', 'ca.pem', '2' ) {
        ok !eval { ZooKeeper->new( hosts => $HOSTS, dispatcher => 'Pipe', tls => $value ); 1 },
          'it is ' . ( ref $value || $value );
        like $@, qr/\Anew: tls must be a hash ref, or 1 .* at \Q$0\E line/, 'is said to be none';
    }
    ok !eval { opened( ca_file => [] ); 1 }, 'nor is a reference a file';
    like $@, qr/\Anew: tls: ca_file must be a string at \Q$0\E line/, 'which is said';
};

subtest 'unknown keys' => sub {
    my @warned;
    local $SIG{__WARN__} = sub { push @warned, @_ };
    opened( @ca, ca_flie => 'x', Verify => 0 );
    is scalar @warned, 2, 'are warned of';
    like $warned[1], qr/\Anew: unknown argument 'ca_flie' of tls has no effect at \Q$0\E line/, 'by name';
    no warnings 'ZooKeeper';
    ZooKeeper->new( hosts => $HOSTS, dispatcher => 'Pipe', tls => { @ca, ca_flie => 'x' } );
    is scalar @warned, 2, 'unless that is switched off';
};

subtest 'what is right' => sub {
    $pki->write( 'both.pem', $pki->read('client.pem') . $pki->read('client.key') );
    $pki->openssl(qw(req -new -x509 -subj /CN=rsa -key rsa.key -out rsa.pem));
    my $crl   = $pki->revoke('ca');
    my %right = (
        'an authority' => {@ca},
        'PKCS#8' => { @ca, cert_file => $pki->file('client.pem'), key_file => $pki->file('client.key') },
        'SEC1'   => { @ca, cert_file => $pki->file('client.pem'), key_file => $pki->file('client.key.sec1') },
        'PKCS#1' => { @ca, cert_file => $pki->file('rsa.pem'),    key_file => $pki->file('rsa.key') },
        'certificate and key in one file' => { @ca, cert_file   => $pki->file('both.pem') },
        'a revocation list'               => { @ca, crl_file    => $crl },
        '1.2, as a number'                => { @ca, min_version => 1.2 },
        '1.3'                             => { @ca, min_version => '1.3' },
        'a name'                          => { @ca, server_name => 'zk.example' },
        'an address'                      => { @ca, server_name => '::1' },
        'undef is as good as nothing'     => {
            @ca, map { $_ => undef } qw(cert_file key_file crl_file server_name min_version verify_hostname)
        },
    );
    for my $what ( sort keys %right ) {
        ok eval { opened( %{ $right{$what} } ) }, $what or diag $@;
    }
    my $zk = opened(@ca);
    is_deeply $zk->tls, { @ca, verify_hostname => 1 }, 'the accessor says what is in effect';
    is( ZooKeeper->new( hosts => $HOSTS, tls => $_, dispatcher => 'Pipe' )->tls,
        0, 'no TLS: ' . ( $_ || "'$_'" ) )
      for 0, '';
};

subtest 'a hash whose keys are locked' => sub {
    require Hash::Util;
    my %tls = @ca;
    Hash::Util::lock_hashref( \%tls );
    ok( ZooKeeper->new( hosts => $HOSTS, dispatcher => 'Pipe', tls => \%tls ), 'is as good as another' );
};

subtest 'reopen finds what is wrong before anything is lost' => sub {
    my $server = FakeZK->new( sub { $_[0]->handshake; $_[0]->serve(ZNONODE) } );
    my $zk     = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
    $zk->wait_connected(60);
    ok !eval { $zk->reopen( tls => { ca_file => $pki->file('absent.pem') } ); 1 }, 'no such file';
    is $@->code,          ZBADARGUMENTS, 'is a bad argument';
    is $zk->exists('/x'), undef,         'the session lives on';
    is $zk->tls,          undef,         'as it was';
};

done_testing;

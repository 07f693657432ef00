package SaslServer;
use strict;
use warnings;

use Digest::MD5 qw(md5 md5_hex);
use Exporter    qw(import);
use File::Temp  ();
use TestZK      qw(test_server);

our @EXPORT = qw(sasl_server jaas_server login acl_of);

# Users and passwords; characters, as the users write them.
our %PASSWORD = (
    super      => 'adminsecret',
    bob        => 'bobsecret',
    alice      => 'al, ice="secret"\\',
    latin      => "p\xe4ssw\xf6rd",
    wide       => "\x{20ac}uro-\x{1d11e}",
    "j\xf6rg"  => 'joergs-secret',
    "\x{17e}." => "mixed-\xe4-\x{20ac}",
);

my ( @dirs, %dir_of );

# A server that knows these users, and more system properties of Java.
sub sasl_server {
    my (@properties) = @_;
    push @dirs, my $dir = File::Temp->newdir;
    _write_jaas("$dir/jaas.conf");
    my $server = jaas_server( "$dir/jaas.conf", @properties );
    $dir_of{$server} = "$dir";
    return $server;
}

# The users as they are now, for the next start of the server.
sub rewrite {
    my ($server) = @_;
    _write_jaas("$dir_of{$server}/jaas.conf");
    return;
}

# What SASL takes is done by one thread for all connections: they share the name of the user who logs in (userName of
# SaslServerCallbackHandler), and two who log in at the same moment could be asked for each other's password.
my @ONE_THREAD = qw(zookeeper.nio.numSelectorThreads=1 zookeeper.nio.numWorkerThreads=0);

# The same with this file, if any.
sub jaas_server {
    my ( $file, @properties ) = @_;
    push @properties, "java.security.auth.login.config=$file" if defined $file;
    return test_server(
        config    => { 'authProvider.1' => 'org.apache.zookeeper.server.auth.SASLAuthenticationProvider' },
        java_opts => [ map { "-D$_" } @ONE_THREAD, @properties ],
    );
}

# Constructor arguments.
sub login {
    my ( $username, $password ) = @_;
    $password //= $PASSWORD{$username};
    return ( sasl => { mechanism => 'DIGEST-MD5', username => $username, password => $password } );
}

sub acl_of {
    my ($user) = @_;
    return [ { scheme => 'sasl', id => $user, perms => 31 } ];
}

# What a server without a realm of its own sends first.
sub challenge {
    my ($nonce) = @_;
    return qq(realm="zk-sasl-md5",nonce="$nonce",charset=utf-8,algorithm=md5-sess);
}

# The proof for a response of bob's.
sub proof {
    my ($response) = @_;
    my ( $nonce, $cnonce ) = map { $response =~ /\b$_="([^"]*)"/ } qw(nonce cnonce);
    my $secret = md5("bob:zk-sasl-md5:$PASSWORD{bob}");
    my $uri    = 'zookeeper/zk-sasl-md5';
    return 'rspauth='
      . md5_hex( join ':', md5_hex("$secret:$nonce:$cnonce"),
        $nonce, '00000001', $cnonce, 'auth', md5_hex(":$uri") );
}

# Java reads it as UTF-8, whatever the locale.
sub _write_jaas {
    my ($name) = @_;
    my %quoted = map { $_ => $PASSWORD{$_} =~ s/(["\\])/\\$1/gr } keys %PASSWORD;
    open my $file, '>:encoding(UTF-8)', $name or die "$name: $!\n";
    print {$file} "Server {\n    org.apache.zookeeper.server.auth.DigestLoginModule required\n",
      join( "\n", map { qq(    "user_$_"="$quoted{$_}") } sort keys %quoted ), ";\n};\n";
    close $file or die "$name: $!\n";
    return;
}

1;

package Certificates;
use strict;
use warnings;

use File::Temp ();

# Certificates of every kind, made with openssl, and the key stores that Java wants, in a directory of its own:
#
#     my $pki = Certificates->new;
#     $pki->authority('ca');
#     $pki->issue( 'server', by => 'ca', names => 'DNS:localhost,IP:127.0.0.1' );
#     $pki->file('ca.pem'), $pki->file('server.pem'), $pki->file('server.key')
#     $pki->key_store('server'), $pki->trust_store('ca')

# Of every key store.
my $PASSWORD = 'not-secret';

# Why there can be none, or undef.
sub unavailable {
    for my $program (qw(openssl keytool)) {
        next if grep { -x "$_/$program" } split /:/, $ENV{PATH} // '';
        my $package = $program eq 'openssl' ? 'openssl' : 'default-jre-headless';
        return "no $program in PATH (Debian: package $package)";
    }
    return;
}

sub new {
    my ($class) = @_;
    return bless { dir => File::Temp->newdir( 'zookeeper-pki-XXXXXXXX', TMPDIR => 1 ) }, $class;
}

sub password { return $PASSWORD }

sub file {
    my ( $self, $name ) = @_;
    return "$self->{dir}/$name";
}

# NAME.pem and NAME.key of an authority; by => NAME of the one that it is below.
sub authority {
    my ( $self, $name, %arg ) = @_;
    return $self->issue( $name, %arg, extensions => 'basicConstraints = critical, CA:TRUE' );
}

# NAME.pem and NAME.key. The arguments: by (an authority; without it, it is its own), names (its subjectAltName),
# extensions (further ones), from and until (YYYYMMDDHHMMSSZ), chain (true: NAME.pem has its authority's as well).
sub issue {
    my ( $self, $name, %arg ) = @_;
    my $by = $arg{by} // $name;
    $self->_database($by);
    my @extensions = grep { defined } $arg{extensions}, $arg{names} && "subjectAltName = $arg{names}";
    $self->write( "$name.ext", join "\n", @extensions, 'subjectKeyIdentifier = hash', '' );
    $self->openssl( qw(ecparam -genkey -name prime256v1 -noout -out), "$name.key.sec1" );
    $self->openssl( qw(pkcs8 -topk8 -nocrypt -in), "$name.key.sec1", '-out', "$name.key" );
    $self->openssl( qw(req -new -subj), "/O=Test/CN=$name", '-key', "$name.key", '-out', "$name.csr" );
    $self->openssl(
        qw(ca -batch -notext -md sha256 -config),                  "$by.conf",
        ( $by eq $name ? qw(-selfsign) : ( '-cert', "$by.pem" ) ), '-keyfile',
        "$by.key",                                                 '-startdate',
        $arg{from}  // '20200101000000Z', '-enddate',
        $arg{until} // '20991231235959Z', '-extfile',
        "$name.ext", '-in',
        "$name.csr", '-out',
        "$name.pem",
    );
    $self->write( "$name.pem", $self->read("$name.pem") . $self->read("$by.pem") ) if $arg{chain};
    return $self;
}

# NAME.crl of an authority, with the certificates of these names on it.
sub revoke {
    my ( $self, $by, @names ) = @_;
    my @as = ( '-config', "$by.conf", '-cert', "$by.pem", '-keyfile', "$by.key" );
    $self->openssl( 'ca', @as, '-revoke',        "$_.pem" ) for @names;
    $self->openssl( 'ca', @as, qw(-gencrl -out), "$by.crl" );
    return $self->file("$by.crl");
}

# A PKCS12 file with certificate and key.
sub key_store {
    my ( $self, $name ) = @_;
    $self->openssl( qw(pkcs12 -export -name),
        $name, '-in', "$name.pem", '-inkey', "$name.key", '-passout', "pass:$PASSWORD", '-out', "$name.p12" );
    return $self->file("$name.p12");
}

# One with an authority that Java trusts. (openssl does not write the attribute that says so.)
sub trust_store {
    my ( $self, $name ) = @_;
    my $file = $self->file("$name-trust.p12");
    $self->_run( qw(keytool -importcert -noprompt -storetype PKCS12 -alias),
        $name, '-storepass', $PASSWORD, '-keystore', $file, '-file', $self->file("$name.pem") );
    return $file;
}

# For ZooKeeper::Test::Server: a server with a certificate that trusts what an authority has issued.
sub server_side {
    my ( $self, $name, $authority, %more ) = @_;
    return {
        key_store   => $self->key_store($name),
        trust_store => $self->{trust_store}{$authority} //= $self->trust_store($authority),
        password    => $PASSWORD,
        %more,
    };
}

# Runs it in the directory.
sub openssl {
    my ( $self, @arguments ) = @_;
    return $self->_run( 'openssl', @arguments );
}

sub write {
    my ( $self, $name, $text ) = @_;
    my $file = $self->file($name);
    open my $handle, '>', $file or die "$file: $!\n";
    print {$handle} $text;
    close $handle or die "$file: $!\n";
    return $file;
}

sub read {
    my ( $self, $name ) = @_;
    my $file = $self->file($name);
    open my $handle, '<', $file or die "$file: $!\n";
    local $/;
    return scalar <$handle>;
}

# What "openssl ca" keeps of an authority.
sub _database {
    my ( $self, $name ) = @_;
    return if -e $self->file("$name.conf");
    mkdir $self->file("$name.new");
    $self->write( "$name.index",     '' );
    $self->write( "$name.crlnumber", "01\n" );
    $self->write( "$name.serial",    sprintf "%04X\n", 4096 + 256 * ++$self->{authorities} );
    $self->write( "$name.conf",      <<"CONF");
[ca]
default_ca = this
[this]
database = $name.index
serial = $name.serial
new_certs_dir = $name.new
default_md = sha256
default_crl_days = 30
crlnumber = $name.crlnumber
crl_extensions = crl
unique_subject = no
policy = any
[crl]
authorityKeyIdentifier = keyid
[any]
organizationName = optional
commonName = supplied
CONF
    return;
}

sub _run {
    my ( $self, @command ) = @_;
    my $pid = fork // die "fork: $!\n";
    if ( !$pid ) {
        chdir $self->{dir} or die "$self->{dir}: $!\n";
        open STDIN,  '<',  '/dev/null' or die "/dev/null: $!\n";
        open STDOUT, '>',  'said'      or die "said: $!\n";
        open STDERR, '>&', \*STDOUT    or die "standard error: $!\n";
        exec @command or CORE::exit(127);
    }
    waitpid $pid, 0;
    die "@command: status $?\n" . $self->read('said') if $?;
    return;
}

1;

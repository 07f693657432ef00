package ZooKeeper::Test::Server::Config;
use strict;
use warnings;

use Carp       ();
use File::Path ();

our $VERSION  = '0.2.0';
our @CARP_NOT = ('ZooKeeper::Test::Server');

# Lays out the directory of server $n (from 0): zoo.cfg, data/, tmp/. $wanted has
# the settings of ZooKeeper::Test::Server, and the ports of all servers.
sub write_home {
    my ( $home, $n, $wanted ) = @_;
    File::Path::make_path( "$home/data", "$home/tmp" );

    # The distribution's own tests put something between the servers once it is known which ports they have.
    $wanted->{seen} = $wanted->{_between}->( $wanted->{ports} ) if $wanted->{_between} && !$n;
    _write( "$home/zoo.cfg",   _zoo_cfg( $home, $n, $wanted ) );
    _write( "$home/data/myid", $n + 1 . "\n" ) if @{ $wanted->{ports} } > 1;
    return;
}

# Java's system properties: what zoo.cfg can't say in every version.
sub properties {
    my ( $home, $wanted ) = @_;
    return {
        'java.io.tmpdir'                 => "$home/tmp",
        'zookeeper.extendedTypesEnabled' => 'true',
        'zookeeper.preAllocSize'         => 1024,          # KiB, instead of 64 MiB a log file
        'zookeeper.forceSync'            => 'no',          # killed processes lose nothing by it
        'zookeeper.cnxTimeout'           => 1000,
        'org.apache.logging.log4j.level' => 'INFO',
        $wanted->{read_only} ? ( 'readonlymode.enabled' => 'true' ) : (),
    };
}

# Server $n as a configuration names it: that of server $viewer may know it by other ports.
sub member {
    my ( $wanted, $n, $role, $viewer ) = @_;
    my $seen = defined $viewer && $wanted->{seen} && $wanted->{seen}[$viewer][$n];
    my ( $client, $quorum, $election ) =
      @{ { %{ $wanted->{ports}[$n] }, %{ $seen || {} } } }{qw(client quorum election)};
    $role //= 'participant';
    return 'server.' . ( $n + 1 ) . "=127.0.0.1:$quorum:$election:$role;127.0.0.1:$client";
}

sub _zoo_cfg {
    my ( $home, $n, $wanted ) = @_;
    my @ports  = @{ $wanted->{ports} };
    my %config = (
        tickTime                 => $wanted->{tick_time},
        initLimit                => 20,
        syncLimit                => 4,
        minSessionTimeout        => $wanted->{tick_time},
        maxSessionTimeout        => 600_000,
        maxClientCnxns           => 0,
        dataDir                  => "$home/data",
        'admin.enableServer'     => 'false',
        '4lw.commands.whitelist' => '*',
        reconfigEnabled          => 'true',
    );
    if ( @ports == 1 ) {
        @config{qw(clientPort clientPortAddress)} = ( $ports[0]{client}, '127.0.0.1' );
    }
    else {

        # A spare starts with a configuration of its own that it is part of.
        for my $m ( grep { $_ == $n || $_ < @ports - $wanted->{spares} } 0 .. $#ports ) {
            my ( $name, $value ) = split /=/, member( $wanted, $m, undef, $n ), 2;
            $config{$name} = $value;
        }
    }
    %config = ( %config, _tls( $ports[$n]{secure}, $wanted->{tls} ), %{ $wanted->{config} } );
    return join '', map { "$_=$config{$_}\n" } grep { defined $config{$_} } sort keys %config;
}

# Dies of arguments that no server could be started with.
sub check {
    my ($test) = @_;
    my %type = ( config => 'HASH', java_opts => 'ARRAY', tls => 'HASH' );
    for my $name ( grep { $test->{$_} } sort keys %type ) {
        my $words = $type{$name} eq 'HASH' ? 'a hash' : 'an array';
        Carp::croak "$name must be $words ref" if ref $test->{$name} ne $type{$name};
    }
    my $tls   = $test->{tls} or return;
    my %known = map { $_ => 1 } qw(client_auth key_store password protocols trust_store);
    for my $name ( grep { !$known{$_} } sort keys %$tls ) {
        Carp::croak "unknown argument of tls: $name";
    }
    for my $name (qw(key_store trust_store)) {
        Carp::croak "tls: $name is required" if !defined $tls->{$name};
        Carp::croak "tls: there is no file $tls->{$name} that can be read ($name): $!" if !-r $tls->{$name};
    }
    Carp::croak 'tls: password is required' if !defined $tls->{password};
    return;
}

# TLS is a matter of the other one of the server's two ways to listen.
sub _tls {
    my ( $port, $tls ) = @_;
    return if !$tls;

    # The newest of them: else 3.8 has none that is newer than 1.2.
    my ($newest) = reverse sort split /,/, $tls->{protocols} // '';
    return (
        'ssl.protocol'            => $newest,
        serverCnxnFactory         => 'org.apache.zookeeper.server.NettyServerCnxnFactory',
        secureClientPort          => $port,
        secureClientPortAddress   => '127.0.0.1',
        'ssl.keyStore.location'   => $tls->{key_store},
        'ssl.keyStore.type'       => 'PKCS12',
        'ssl.keyStore.password'   => $tls->{password},
        'ssl.trustStore.location' => $tls->{trust_store},
        'ssl.trustStore.type'     => 'PKCS12',
        'ssl.trustStore.password' => $tls->{password},
        'ssl.clientAuth'          => $tls->{client_auth},
        'ssl.enabledProtocols'    => $tls->{protocols},
    );
}

sub _write {
    my ( $name, $text ) = @_;
    open my $file, '>', $name or Carp::croak("$name: $!");
    print {$file} $text;
    close $file or Carp::croak("$name: $!");
    return;
}

1;

__END__

=head1 NAME

ZooKeeper::Test::Server::Config - what a test server is told

=head1 DESCRIPTION

Internal to L<ZooKeeper::Test::Server>.

=cut

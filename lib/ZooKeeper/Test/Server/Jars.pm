package ZooKeeper::Test::Server::Jars;
use strict;
use warnings;

our $VERSION = '0.2.0';

my $DEBIAN = '/usr/share/java';

# What a server of Debian's package needs. Its netty-all.jar is an empty
# shell, so TLS needs the parts.
my @NEEDED = qw(zookeeper zookeeper-jute slf4j-api metrics-core snappy-java);
my @USEFUL = (
    'slf4j-simple',
    map { "netty-$_" }
      qw(buffer codec common handler resolver transport transport-native-epoll transport-native-unix-common),
);

# undef, or a sentence that says what to do.
sub unavailable {
    my ($jars) = @_;
    return "ZooKeeper::Test::Server runs on Linux only, this is $^O" if $^O ne 'linux';
    my $from = defined $jars ? 'the argument jars' : 'ZOOKEEPER_TEST_JARS';
    $jars //= $ENV{ZOOKEEPER_TEST_JARS};
    if ( defined $jars && length $jars ) {
        return "$from is '$jars', where there is no zookeeper-*.jar; it names a directory with"
          . ' the jars of a ZooKeeper server'
          if !glob_in( $jars, qr/\Azookeeper-\d.*\.jar\z/ );
    }
    else {
        my @missing = grep { !-r "$DEBIAN/$_.jar" } @NEEDED;
        return
            "no ZooKeeper server here ($DEBIAN lacks "
          . join( ', ', map { "$_.jar" } @missing )
          . '): install the package zookeeper (apt-get install zookeeper), or set'
          . ' ZOOKEEPER_TEST_JARS to a directory with the jars of a ZooKeeper server'
          if @missing;
    }
    return 'there is no java: install a Java run time (apt-get install default-jre-headless),'
      . ' or set JAVA_HOME or PATH to one'
      if !defined _java();
    return;
}

# The command that runs one server on "$home/zoo.cfg".
sub command {
    my ( $jars, $home, $properties, $more ) = @_;
    return [
        _java(),

        # A test server is small and short-lived: the first compiler only, no
        # threads for collecting garbage, no shared statistics file.
        qw(-Xms32m -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData),
        ( map { "-D$_=$properties->{$_}" } sort keys %{$properties} ),
        @{$more},
        '-cp', _class_path( $jars // $ENV{ZOOKEEPER_TEST_JARS} ),
        'org.apache.zookeeper.server.quorum.QuorumPeerMain', "$home/zoo.cfg",
    ];
}

sub glob_in {
    my ( $dir, $pattern ) = @_;
    opendir my $handle, $dir or return;
    return grep { $_ =~ $pattern } readdir $handle;
}

sub _class_path {
    my ($jars) = @_;
    return "$jars/*" if defined $jars && length $jars;
    return join ':', grep { -r } map { "$DEBIAN/$_.jar" } @NEEDED, @USEFUL;
}

sub _java {
    my @homes  = grep { defined && length } $ENV{JAVA_HOME};
    my ($java) = grep { -x && !-d } ( map { "$_/bin/java" } @homes ), map { "$_/java" } split /:/,
      $ENV{PATH} // '/usr/bin';
    return $java;
}

1;

__END__

=head1 NAME

ZooKeeper::Test::Server::Jars - finds a ZooKeeper server to run

=head1 DESCRIPTION

Internal to L<ZooKeeper::Test::Server>.

=cut

package TestZK;
use strict;
use warnings;

use Exporter    qw(import);
use Test::More  ();
use Time::HiRes ();
use ZooKeeper::Test::Server;

our @EXPORT = qw(test_hosts test_server leader_of fresh_path wait_for soon_ok deadline at_length);

# Seconds between two looks of wait_for.
my $LOOK_EVERY = 0.01;

my ( $shared, $paths );

# A connect string, for tests that only need some server: ZOOKEEPER_TEST_HOSTS,
# else a server that lives as long as the test.
sub test_hosts {
    my $hosts = $ENV{ZOOKEEPER_TEST_HOSTS};
    return $hosts if defined $hosts && length $hosts;
    $shared //= test_server();
    return $shared->hosts;
}

# A ZooKeeper::Test::Server of the caller's own, for tests that stop, pause or
# configure it. Call it before the first test: without a server all are skipped.
sub test_server {
    my (%args) = @_;
    my $reason = ZooKeeper::Test::Server->unavailable(%args);
    return ZooKeeper::Test::Server->new(%args)                  if !defined $reason;
    die "ZOOKEEPER_TEST_REQUIRE is set, but there is $reason\n" if $ENV{ZOOKEEPER_TEST_REQUIRE};
    Test::More::plan( skip_all => $reason );
    return;
}

# A path below / that nobody else uses, also on a server that other tests share.
sub fresh_path {
    my ($name) = @_;
    return join '-', '/test', $name // 'node', $$, Time::HiRes::time() * 1000 % 1_000_000, ++$paths;
}

# wait_for { CONDITION } SECONDS, WHAT: the condition's first true value; dies when
# there is none in time.
sub wait_for (&;$$) {
    my ( $condition, $seconds, $what ) = @_;
    $seconds //= 10;
    my $end = Time::HiRes::time() + $seconds;
    while (1) {
        my $value = $condition->();
        return $value if $value;
        last          if Time::HiRes::time() > $end;
        Time::HiRes::sleep($LOOK_EVERY);
    }
    die 'waited ' . $seconds . ' s in vain for ' . ( $what // 'a condition' ) . "\n";
}

# The number of the server of an ensemble that leads. One that stands still does not say so.
sub leader_of {
    my ($server) = @_;
    my @leader;
    &wait_for(
        sub {
            @leader = grep { defined } $server->leader;
        },
        60,
        'a leader'
    );
    return $leader[0];
}

# soon_ok { CONDITION } SECONDS, NAME: a test that passes once the condition is true.
sub soon_ok (&$$) {
    my ( $condition, $seconds, $name ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return Test::More::ok( eval { &wait_for( $condition, $seconds, $name ) }, $name ) || Test::More::diag($@);
}

# Runs the code and dies when it takes longer. A guard against hanging, not a
# measurement: be generous.
sub deadline {
    my ( $seconds, $code ) = @_;
    local $SIG{ALRM} = sub { die "not done within $seconds s\n" };
    my $list = wantarray;    # in an eval it would be the eval's
    my @result;
    my $ok = eval {
        alarm $seconds;
        @result = $list ? $code->() : scalar $code->();
        alarm 0;
        1;
    };
    my $error = $@;
    alarm 0;
    die $error if !$ok;
    return $list ? @result : $result[0];
}

# at_length( $long, $short ): how long, or how much, of something that a test does is enough for every day, and how much
# there is of it when script/chaos --tests runs the test.
sub at_length {
    my ( $long, $short ) = @_;
    return $ENV{ZOOKEEPER_TEST_LONG} ? $long : $short;
}

1;

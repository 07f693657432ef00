# A program that calls every sub of the compiled part, under valgrind. Without further ado it runs as it is, which says
# whether it does call them all.
#
#   ZOOKEEPER_TEST_VALGRIND=1           under valgrind too: a quarter of a minute
#   ZOOKEEPER_TEST_VALGRIND=full        with every perl, and the tests of t/ as well
#   ZOOKEEPER_TEST_VALGRIND='t/x.t …'   only these tests
use strict;
use warnings;

use IO::Socket::INET;
use Test::More;
use lib qw(t/lib xt/lib);
use FakeZK;
use Memcheck qw(limited memcheck memcheck_unavailable);
use TestZK;

my $wanted = $ENV{ZOOKEEPER_TEST_VALGRIND};

# What drives a build, or a server and no handle, and what measures memory says nothing here.
my %left_out = map { ( "t/$_.t" => 1 ) } qw(makefile-pl memory rebuild test-server test-server-guard);

# Memcheck does not follow all instructions of the ciphers' assembly: it takes what they have written for undefined.
$left_out{"t/$_.t"} = 1 for qw(tls tls-life tls-refused);

# Servers that are asked once for each connection, and one that never answers.
my $hosts = test_hosts();
my $mute  = IO::Socket::INET->new( Listen => 100, LocalAddr => '127.0.0.1' ) or die "listen: $!\n";
my $lossy = FakeZK->new(
    sub {
        my ($connection) = @_;
        $connection->handshake       or return;
        $connection->number % 2 == 0 or return drop_at_first_request($connection);
        $connection->serve(-101);
    }
);
my @touch =
  ( 'xt/valgrind/touch.pl', "hosts=$hosts", 'lossy=' . $lossy->hosts, 'mute=127.0.0.1:' . $mute->sockport );

subtest 'every sub of the compiled part is called' => sub {
    my $said = `@{[ limited( $^X, @touch ) ]} 2>&1`;
    is $?, 0, 'by a program that ends well';
    like $said, qr/\A\d+ subs, \d+ calls\n\z/, 'and has nothing else to say';
};

SKIP: {
    skip 'set ZOOKEEPER_TEST_VALGRIND=1 to run it under valgrind, or =full for much more', 1 if !$wanted;
    my $reason = memcheck_unavailable();
    skip $reason, 1 if $reason;

    my @tests = $wanted eq 'full' ? grep { !$left_out{$_} } glob 't/*.t' : grep { /\.t\z/ } split ' ',
      $wanted;

    # One with debugging code frees all that it has at the end, and tells of scalars that leaked.
    my ($debugperl) = grep { -x } map { "$_/debugperl" } split /:/, $ENV{PATH};
    my @perls =
        $wanted eq 'full' && $debugperl ? ( $debugperl, $^X )
      : @tests                          ? ()
      :                                   $debugperl // $^X;
    for my $perl (@perls) {
        my $result = clean( "$perl: every sub", $perl, @touch );
        like $result->{output}, qr/\A\d+ subs, \d+ calls\n\z/, '... which it has called';
    }
    local $ENV{ZOOKEEPER_TEST_HOSTS} = $hosts;
    clean( "$^X: $_", $^X, $_ ) for @tests;
}

done_testing;

sub clean {
    my ( $name, @command ) = @_;
    my $start  = time;
    my $result = memcheck(@command);
    is $result->{status}, 0, "$name ends well" or diag $result->{output};
    is_deeply $result->{findings}, [], '... without a finding' or diag join "\n", @{ $result->{findings} };
    note sprintf '%d s; programs and children: %d, leaks of others: %d, known of perl: %d', time - $start,
      @$result{qw(programs others known)};
    return $result;
}

# Grants the session, answers pings and logins, and goes at the first thing else.
sub drop_at_first_request {
    my ($connection) = @_;
    while ( defined( my $frame = $connection->frame ) ) {
        my ( $xid, $op ) = unpack 'l> l>', $frame;
        return if $op != 11 && $op != 100;
        $connection->send_frame( pack 'l> q> l>', $xid, 1, 0 );
    }
    return;
}

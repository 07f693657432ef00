# Memory that the CPAN module lost with each call. Each subtest is named after the symptom; "perl bench/leaks.pl" makes
# the same measurement at length.
use strict;
use warnings;
use Test::More;
use lib 't/lib';

use TestZK qw(at_length);
use ZooKeeper::Test::Server;

my $reason = ZooKeeper::Test::Server->unavailable;
plan skip_all => $reason if defined $reason && !$ENV{ZOOKEEPER_TEST_REQUIRE};

# No allocation that each call leaves is that small, nor are those that every fourth leaves. The calls are made in three
# parts.
my $calls = at_length( 20_000, 2_500 );
my $limit = 0.5 + 4_000 / int( $calls / 3 );
open my $program, '-|', "$^X bench/leaks.pl --calls $calls 2>&1" or die "bench/leaks.pl: $!\n";
my @lines = <$program>;
my $ended = close $program;

my @kinds;
for my $line (@lines) {
    my ( $name, $malloc, $resident, $descriptors ) =
      $line =~ /\A(\w.*?)\s{2,}(-|-?[0-9.]+)\s+(-?[0-9.]+)\s+(-?[0-9]+)(?:  <-)?\n/
      or next;
    push @kinds, $name;
    subtest "memory does not grow with each $name" => sub {
        plan skip_all => "malloc can't be asked, and memory says little in so few calls" if $malloc eq '-';
        cmp_ok $malloc,      '<',  $limit, 'bytes per call by the account of malloc';
        cmp_ok $resident,    '<',  $limit, 'bytes per call by that of the kernel';
        cmp_ok $descriptors, '<=', 0,      'descriptors';
    };
}
for my $kind ( 'get', 'failed get', 'create and delete', 'failed create', 'set_acl', 'transaction' ) {
    ok scalar( grep { $_ eq $kind } @kinds ), "$kind was measured";
}
ok $ended, 'the program says that nothing leaks' or diag @lines;

done_testing;

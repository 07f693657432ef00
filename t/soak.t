# A short run of script/soak: everything at once in one process, and what it takes meanwhile.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;
use ZooKeeper::Test::Server;

BEGIN {
    my $reason = ZooKeeper::Test::Server->unavailable;
    plan skip_all => $reason                if defined $reason && !$ENV{ZOOKEEPER_TEST_REQUIRE};
    plan skip_all => 'needs Linux\'s /proc' if !-e '/proc/self/smaps_rollup';
}
use Soak;

# In so short a time memory says nothing of small leaks: it is still finding its size. But nothing stays open, and nobody is
# forgotten.
my $soak = Soak->new(
    seconds    => at_length( 600,   10 ),
    timeout_ms => at_length( 4_000, 1_500 ),
    wide       => at_length( 1,     32 ),
    in_child   => sub { Test::More->builder->no_ending(1) },
    say        => sub { note @_ },
);
note 'seed ' . $soak->seed;
$soak->run;
my $report = $soak->report;
note $report;
is_deeply [ $soak->problems ], [], 'descriptors, threads, memory and sessions are what they were'
  or diag $report;
like $report, qr/\bok [1-9]/,       'there were answers';
like $report, qr/\bchildren [1-9]/, 'and children';
cmp_ok $soak->moments_of_rest, '>', 1, 'all came to rest in between';

done_testing;

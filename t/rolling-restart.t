# All servers are restarted, one after the other, while a hundred sessions write.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;
use lib 't/lib';
use History::Run;
use TestZK;

my $run = History::Run->new( workload => 'writers', dir => tempdir( CLEANUP => 1 ) );
note 'seed ', $run->seed;
$run->run( at_length( 60, 1 ) );
my $report = $run->report;
note $report;
is_deeply [ $run->problems ], [], 'what was acknowledged is there, what is unknown at most once'
  or diag $report;
ok $run->judged, 'the servers themselves have not lost any';
like $report, qr/^faults: rolling restart [1-9]/m, 'all servers were restarted';
my ($sessions) = $report =~ /\bsessions ([0-9]+)/;
cmp_ok $sessions, '>=', 100, "under $sessions sessions";
my ($writes) = $report =~ /\bwrites ok ([0-9]+)/;
cmp_ok $writes, '>', 0, "with $writes writes";

done_testing;

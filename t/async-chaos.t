# A short run of script/chaos: servers are killed, stopped, cut off and reset under a thousand requests.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Chaos;
use TestZK;

my $SECONDS = 25;

my $chaos = Chaos->new( server => test_server( servers => 3 ) );
note 'seed ' . $chaos->seed;
$chaos->run($SECONDS);
my $report = $chaos->report;
note $report;
is_deeply [ $chaos->problems ], [], 'every request is answered once, and rightly' or diag $report;
like $report, qr/^answers: .*\bok [1-9]/m, 'there were some';

done_testing;

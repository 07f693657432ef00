# Short runs of script/histories: clients write and read while their servers are killed, stopped and cut off, from them
# and from each other. What they were told has to agree with what is there.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;
use lib 't/lib';
use History::Run;
use TestZK;

# Every day only some; at length, all of them.
my %FAULTS = (
    register => [ 'leader alone', 'short pause', 'kill of a client' ],
    list     => [ 'kill of the leader', 'cut' ],
);
my $SECONDS = at_length( 300, 1 );

for my $workload ( sort keys %FAULTS ) {
    my $run = History::Run->new(
        workload => $workload,
        dir      => tempdir( CLEANUP => 1 ),
        at_length( 1, 0 ) ? () : ( faults => $FAULTS{$workload}, each_once => 1 )
    );
    note "$workload, seed ", $run->seed;
    $run->run($SECONDS);
    my $report = $run->report;
    note $report;
    is_deeply [ $run->problems ], [],
      "$workload: what was acknowledged is there, and no session goes back in time"
      or diag $report;
    ok $run->judged, "$workload: the servers themselves have not lost any";
    like $report, qr/\bwrites ok [1-9]/, "$workload: there were some writes";
    like $report, qr/\breads ok [1-9]/,  "$workload: and reads";
}

done_testing;

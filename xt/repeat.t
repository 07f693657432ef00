# script/repeat finds what fails now and then, and says so.
use strict;
use warnings;

use Test::More;
use lib 'xt/lib';
use SmallTests qw(said_by test_dir test_file);

sub repeat { return said_by( 'script/repeat', @_ ) }

my $dir   = test_dir();
my $good  = test_file( 'good.t', 'pass;' );
my $third = test_file( 'third.t',
    "open my \$log, '>>', '$dir/log'; syswrite \$log, 'x'; isnt -s \$log, 3, 'the third time';" );

my ( $status, @lines ) = repeat( 4, $good, $third );
is $status, 1, 'one that fails once';
is_deeply [ map { s/ [0-9.]+ s$//r } grep { m{\A[0-9]+/4 } } @lines ],
  [ map { ( "$_/4 $good ok\n", "$_/4 $third " . ( $_ == 3 ? 'FAILED' : 'ok' ) . "\n" ) } 1 .. 4 ],
  'has a line for each run';
is scalar( grep { /the third time/ } @lines ), 1, 'with what the run has said that failed';
like $lines[-2], qr{\A\Q$good\E: no failure in 4 runs}, 'and a summary';
like $lines[-1], qr{\A\Q$third\E: 1 failed in 4 runs},  'for each file';

( $status, @lines ) = repeat($good);
is $status,                                   0,  'none that fails';
is scalar( grep { m{\A[0-9]+/25 } } @lines ), 25, '25 runs if nothing else is said';

{
    local $ENV{ZOOKEEPER_TEST_LIMIT} = 1;
    ( $status, @lines ) = repeat( 1, test_file( 'hangs.t', 'sleep 60; pass;' ) );
    is $status, 1, 'one that hangs is ended, and has failed';
}
is + ( repeat() )[0],                 2, 'no file';
is + ( repeat('no-such-file.t') )[0], 2, 'one that is not there';

done_testing;

use strict;
use warnings;
use Test::More;
use lib 't/lib';

use OperationsSuite;
use TestZK;

# A server that stands still for four ticks is dropped.
operations( test_server( servers => 3, tick_time => 2_000 ) );

done_testing;

use strict;
use warnings;
use Test::More;
use lib 't/lib';

use OperationsSuite;
use TestZK;

operations( test_server( servers => 3 ) );

done_testing;

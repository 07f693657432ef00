use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Dispatchers;
use ForkLoopSuite;
use TestZK;

my $server = test_server();
fork_loop_suite( $server, $_ ) for dispatchers();

done_testing;

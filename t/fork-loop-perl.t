use strict;
use warnings;
use Test::More;
use lib 't/lib';

# With the loop that AnyEvent brings along: it selects on the number of a descriptor.
BEGIN { $ENV{PERL_ANYEVENT_MODEL} = 'Perl' }
use ForkLoopSuite;
use TestZK;

my $server = test_server();
fork_loop_suite( $server, 'AnyEvent' );

done_testing;

use strict;
use warnings;
use Test::More;
use lib 't/lib';

BEGIN { $ENV{PERL_ANYEVENT_MODEL} = 'Perl' }
use AnyEventSuite;

anyevent_suite(1);

done_testing;

use strict;
use warnings;
use Test::More;
use lib 't/lib';

BEGIN {
    $ENV{PERL_ANYEVENT_MODEL} = 'EV';
    plan skip_all => 'EV is not installed' if !eval { require EV };
}
use AnyEventSuite;

# EV reports what a callback dies of by a warning, and goes on.
anyevent_suite(0);

done_testing;

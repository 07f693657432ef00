use strict;
use warnings;
use Test::More;
use lib 't/lib';

BEGIN {
    plan skip_all => 'needs POE (package libpoe-perl)' if !eval { require POE };
}
use AsyncSuite;
use DispatcherSuite;
use ZooKeeper::Dispatcher::POE;

async_suite( poe_driver() );

done_testing;

use strict;
use warnings;
use Test::More;
use lib 't/lib';

BEGIN {
    $ENV{IO_ASYNC_LOOP} = 'Poll';
    plan skip_all => 'needs IO::Async (package libio-async-perl)' if !eval { require IO::Async::Loop };
}
use AsyncSuite;
use DispatcherSuite;
use ZooKeeper::Dispatcher::IOAsync;

async_suite( ioasync_driver() );
isa_ok( IO::Async::Loop->new, 'IO::Async::Loop::Poll' );

done_testing;

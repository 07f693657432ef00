use strict;
use warnings;
use Test::More;
use lib 't/lib';

BEGIN {
    $ENV{IO_ASYNC_LOOP} = 'Epoll';
    plan skip_all => 'needs IO::Async::Loop::Epoll (package libio-async-loop-epoll-perl)'
      if !eval { require IO::Async::Loop::Epoll };
}
use AsyncSuite;
use DispatcherSuite;
use ZooKeeper::Dispatcher::IOAsync;

# In a forked child this loop never hears again of what it had watched before, until the dispatcher is told.
async_suite( ioasync_driver(), deaf => 1 );
isa_ok( IO::Async::Loop->new, 'IO::Async::Loop::Epoll' );

done_testing;

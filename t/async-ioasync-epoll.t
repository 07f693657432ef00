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

async_suite( ioasync_driver() );
isa_ok( IO::Async::Loop->new, 'IO::Async::Loop::Epoll' );

done_testing;

use strict;
use warnings;
use Test::More;
use lib 't/lib';

BEGIN {
    $ENV{IO_ASYNC_LOOP} = 'Poll';
    plan skip_all => 'needs IO::Async (package libio-async-perl)' if !eval { require IO::Async::Loop };
}
use DispatcherSuite;
use ZooKeeper::Dispatcher::IOAsync;

dispatcher_suite( ioasync_driver() );
isa_ok( IO::Async::Loop->new, 'IO::Async::Loop::Poll' );

my $own = IO::Async::Loop->really_new;
is( ZooKeeper::Dispatcher::IOAsync->new( loop => $own )->loop, $own, 'a loop of the program' );

done_testing;

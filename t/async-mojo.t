use strict;
use warnings;
use Test::More;
use lib 't/lib';

BEGIN {
    $ENV{MOJO_REACTOR} = 'Mojo::Reactor::Poll';
    plan skip_all => 'needs Mojolicious (package libmojolicious-perl)' if !eval { require Mojo::IOLoop };
}
use AsyncSuite;
use DispatcherSuite;
use ZooKeeper::Dispatcher::Mojo;

async_suite( mojo_driver() );
isa_ok( Mojo::IOLoop->singleton->reactor, 'Mojo::Reactor::Poll' );

done_testing;

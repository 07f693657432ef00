use strict;
use warnings;
use Test::More;
use lib 't/lib';

BEGIN {
    $ENV{MOJO_REACTOR} = 'Mojo::Reactor::EV';
    plan skip_all => 'needs Mojolicious and EV (packages libmojolicious-perl, libev-perl)'
      if !eval { require EV; require Mojo::IOLoop };
}
use AsyncSuite;
use DispatcherSuite;
use ZooKeeper::Dispatcher::Mojo;

async_suite( mojo_driver() );
isa_ok( Mojo::IOLoop->singleton->reactor, 'Mojo::Reactor::EV' );

done_testing;

use strict;
use warnings;
use Test::More;
use lib 't/lib';

BEGIN {
    $ENV{MOJO_REACTOR} = 'Mojo::Reactor::Poll';
    plan skip_all => 'needs Mojolicious (package libmojolicious-perl)' if !eval { require Mojo::IOLoop };
}
use DispatcherSuite;
use ZooKeeper::Dispatcher::Mojo;

dispatcher_suite( mojo_driver() );
isa_ok( Mojo::IOLoop->singleton->reactor, 'Mojo::Reactor::Poll' );

my $own = Mojo::IOLoop->new;
is( ZooKeeper::Dispatcher::Mojo->new( loop => $own )->loop, $own, 'a loop of the program' );

done_testing;

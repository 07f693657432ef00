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

subtest 'a loop that was reset' => sub {
    my $dispatcher = ZooKeeper::Dispatcher::Mojo->new;
    Mojo::IOLoop->reset;
    local $SIG{ALRM} = sub { $dispatcher->send_event( { type => 0, path => '/x' } ) };
    alarm 1;
    my $cpu = times;
    is_deeply $dispatcher->wait(60), { type => 0, path => '/x' }, 'wait works all the same';
    cmp_ok times() - $cpu, '<', 0.5, 'and waits, instead of turning';
};

done_testing;

use strict;
use warnings;
use Test::More;
use lib 't/lib';

BEGIN {
    $ENV{PERL_ANYEVENT_MODEL} = 'EV';
    plan skip_all => 'needs EV (package libev-perl)' if !eval { require EV };
}
use DispatcherSuite;
use TestZK;
use ZooKeeper::Dispatcher::AnyEvent;

dispatcher_suite( anyevent_driver(), exceptions => 'warn' );
is AnyEvent::detect(), 'AnyEvent::Impl::EV', 'all of this with EV';

subtest 'a signal handler that dies while the end of a wait is being told' => sub {
    my $dispatcher = ZooKeeper::Dispatcher::AnyEvent->new;
    my $lost       = 0;
    local $EV::DIED = sub { $lost++ };
    my $send = \&AnyEvent::CondVar::Base::send;
    no warnings 'redefine';
    local *AnyEvent::CondVar::Base::send = sub { die "as from a handler\n" if !$lost; goto &$send };
    is deadline( 60, sub { $dispatcher->wait(0.1) } ), undef, 'does not make it wait for ever';
    is $lost,                                          1,     'though EV has kept the exception';
};

done_testing;

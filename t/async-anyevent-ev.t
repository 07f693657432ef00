use strict;
use warnings;
use Test::More;
use lib 't/lib';

BEGIN {
    $ENV{PERL_ANYEVENT_MODEL} = 'EV';
    plan skip_all => 'needs EV (package libev-perl)' if !eval { require EV };
}
use AsyncSuite;
use DispatcherSuite;
use ZooKeeper::Dispatcher::AnyEvent;

async_suite( anyevent_driver(), exceptions => 'warn' );
is AnyEvent::detect(), 'AnyEvent::Impl::EV', 'all of this with EV';

done_testing;

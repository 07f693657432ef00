use strict;
use warnings;
use Test::More;
use lib 't/lib';

BEGIN { $ENV{PERL_ANYEVENT_MODEL} = 'Perl' }
use DispatcherSuite;
use ZooKeeper::Dispatcher::AnyEvent;

dispatcher_suite( anyevent_driver(), exceptions => 'propagate' );
is AnyEvent::detect(), 'AnyEvent::Impl::Perl', 'all of this with the loop of AnyEvent itself';

done_testing;

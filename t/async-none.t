use strict;
use warnings;
use Test::More;
use lib 't/lib';

use AsyncSuite;
use ZooKeeper::Dispatcher::Pipe;

# A program without a loop, that looks from time to time.
async_suite(
    class => 'ZooKeeper::Dispatcher::Pipe',
    turn  => sub {
        my ($dispatchers) = @_;
        select undef, undef, undef, 0.01;
        for my $dispatcher (@$dispatchers) {
            1 while $dispatcher && $dispatcher->dispatch_event;
        }
    },
    exceptions => 'propagate',
    polls      => 1,
);

done_testing;

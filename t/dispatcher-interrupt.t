use strict;
use warnings;
use Test::More;
use lib 't/lib';

BEGIN {
    plan skip_all => 'needs Async::Interrupt (package libasync-interrupt-perl)'
      if !eval { require Async::Interrupt };
}
use DispatcherSuite;
use ZooKeeper::Dispatcher::Interrupt;

# There is no loop: whatever the program does has to do.
dispatcher_suite(
    class      => 'ZooKeeper::Dispatcher::Interrupt',
    turn       => sub { select undef, undef, undef, 0.01 },
    exceptions => 'warn',
    nested     => 1,
    at_once    => 1,
);

done_testing;

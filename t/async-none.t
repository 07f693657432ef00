use strict;
use warnings;
use Test::More;
use lib 't/lib';

use AsyncSuite;
use TestZK;
use ZooKeeper;
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

subtest 'a future that is made of those of several handles, each with its dispatcher' => sub {
    my $server  = test_server();
    my @handles = map { ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' ) } 1 .. 3;
    my @stats   = deadline 60, sub {
        Future->needs_all( map { $_->exists_f('/') } @handles )->get;
    };
    is scalar @stats, 3, 'all at once';
    my $stat = deadline 60, sub {
        $handles[0]->exists_f('/')->then( sub { $handles[1]->exists_f('/') } )
          ->then( sub { $handles[2]->exists_f('/') } )->get;
    };
    is ref $stat, 'HASH', 'one after the other';
    my $seen = 0;
    $handles[1]->exists( '/', watcher => sub { $seen++ } );
    $handles[2]->set( '/', '' );
    undef $handles[0];
    $handles[2]->exists_f('/')->get;
    $seen || $handles[1]->wait(60);
    is $seen, 1, 'a watcher of another one is called meanwhile, or later, and only once';
};

done_testing;

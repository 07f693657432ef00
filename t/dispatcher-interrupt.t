use strict;
use warnings;
use Test::More;
use lib 't/lib';

BEGIN {
    plan skip_all => 'needs Async::Interrupt (package libasync-interrupt-perl)'
      if !eval { require Async::Interrupt };
}
use DispatcherSuite;
use POSIX       ();
use Time::HiRes qw(time);
use TestZK;
use ZooKeeper;
use ZooKeeper::Constants;
use ZooKeeper::Dispatcher::Interrupt;

# There is no loop: whatever the program does has to do.
dispatcher_suite(
    class      => 'ZooKeeper::Dispatcher::Interrupt',
    turn       => sub { select undef, undef, undef, 0.01 },
    exceptions => 'warn',
    nested     => 1,
    at_once    => 1,
);

subtest 'one callback after the other' => sub {
    my $dispatcher = ZooKeeper::Dispatcher::Interrupt->new;
    my @order;
    my $inner = $dispatcher->create_watcher( '/x', sub { push @order, 'inner' }, type => 'get' );
    my $outer = $dispatcher->create_watcher(
        '/x',
        sub {
            push @order, 'outer';
            $dispatcher->send_event( {}, $inner );
            push @order, 'end';
        },
        type => 'get'
    );
    $dispatcher->send_event( { type => 0 }, $outer );
    is_deeply \@order, [qw(outer end inner)], 'an event that a callback sends comes when it has ended';
};

subtest 'a handler of the program for exceptions' => sub {
    my $dispatcher = ZooKeeper::Dispatcher::Interrupt->new;
    my ( @died, $calls );
    no warnings 'once';
    local $Async::Interrupt::DIED = sub { push @died, $@ };
    $dispatcher->create_watcher( '/x', sub { die { an => 'object' } }, type => 'get' );
    $dispatcher->create_watcher( '/x', sub { $calls++ },               type => 'get' );
    local $@ = 'mine';
    $dispatcher->trigger_event( path => '/x' );
    is_deeply \@died, [ { an => 'object' } ], 'gets them';
    is $calls, 1,      'and what comes after is not concerned';
    is $@,     'mine', 'nor what the program was doing';

    my $words = '';
    local $SIG{__WARN__} = sub { $words .= $_[0] };
    $Async::Interrupt::DIED = sub { die "dies itself: $@" };
    $dispatcher->create_watcher( '/x', sub { die "oops\n" }, type => 'get' );
    $dispatcher->create_watcher( '/x', sub { $calls++ },     type => 'get' );
    $dispatcher->trigger_event( path => '/x' );
    is $words, "dies itself: oops\n", 'one that dies is warned of';
    is $calls, 2,                     'and what comes after is not concerned';
    $dispatcher->wait(0.01);
    is $@, 'mine', 'nor is $@ by a wait';
};

subtest 'a dispatch_cb that takes nothing' => sub {
    my $dispatcher = ZooKeeper::Dispatcher::Interrupt->new;
    my $calls      = 0;
    $dispatcher->dispatch_cb( sub { $calls++ } );
    deadline 30, sub { $dispatcher->send_event( {} ) };
    cmp_ok $calls, '>', 0, 'is called, and lets the program go on';
};

subtest 'while the program does something else' => sub {
    my $server = test_server();
    my $setup  = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
    my $zk     = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Interrupt' );
    my $path   = $setup->create( fresh_path('interrupt') );
    my $seen   = 0;
    my $end    = time + 60;

    $zk->get( $path, watcher => sub { $seen++ } );
    $setup->set( $path, 'v' );
    1 while !$seen && time < $end;
    is $seen, 1, 'a loop that knows of nothing';

    $zk->get( $path, watcher => sub { $seen++ } );
    my $changed = fork // die "fork: $!\n";
    if ( !$changed ) {
        my $other = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
        $other->set( $path, 'w' );
        POSIX::_exit(0);
    }
    $zk->exists($path) while $seen < 2 && time < $end;
    waitpid $changed, 0;
    is $seen, 2, 'calls of the same handle';
};

done_testing;

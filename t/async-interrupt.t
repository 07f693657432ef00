use strict;
use warnings;
use Test::More;
use lib 't/lib';

BEGIN {
    plan skip_all => 'needs Async::Interrupt (package libasync-interrupt-perl)'
      if !eval { require Async::Interrupt };
}
use AsyncSuite;
use TestZK;
use ZooKeeper;
use ZooKeeper::Dispatcher::Interrupt;

async_suite(
    class      => 'ZooKeeper::Dispatcher::Interrupt',
    turn       => sub { select undef, undef, undef, 0.01 },
    exceptions => 'warn',
    at_once    => 1,
);

subtest 'an answer that comes when get is about to wait' => sub {
    my $server = test_server();
    my $zk     = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Interrupt' );
    my $look   = ZooKeeper::Channel->can('size');
    $zk->exists('/');
    $server->pause;
    my $future = $zk->get_f('/');
    my $looks  = 0;
    no warnings 'redefine';
    local *ZooKeeper::Channel::size = sub {
        my $size = $look->(@_);
        return $size if $looks++;
        $server->resume;
        vec( my $fds = '', $_[0]->_fd, 1 ) = 1;
        1 while !$future->is_ready && !select my $readable = $fds, undef, undef, 0.01;
        return $size;
    };
    my $stat = ( deadline 60, sub { $future->get } )[1];
    is $stat->{version}, 0, 'is not missed';
    cmp_ok $looks, '>', 0, 'it was about to wait';
};

done_testing;

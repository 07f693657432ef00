# Names of servers: looked up for every attempt, and no reason to stand still.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

use Time::HiRes qw(time);
use ZooKeeper;
use ZooKeeper::Constants;

my $server  = test_server();
my $port    = $server->port(0);
my $unknown = 'no-such-host.invalid';
my @args    = ( timeout => 20_000, dispatcher => 'Pipe' );

subtest 'names that nobody knows among others' => sub {
    for my $hosts ( "$unknown:2181,127.0.0.1:$port", "127.0.0.1:$port,$unknown,other.$unknown:1" ) {
        for ( 1 .. 5 ) {    # in any order
            my $zk = ZooKeeper->new( @args, hosts => $hosts );
            ok $zk->exists('/'), $hosts;
            is $zk->server, "127.0.0.1:$port", 'the one that is known';
        }
    }
};

subtest 'names that nobody knows and nothing else' => sub {
    my $zk =
      ZooKeeper->new( @args, hosts => "$unknown,other.$unknown", timeout => 1_000, request_timeout => 60 );
    ok !eval { $zk->exists('/'); 1 }, 'a call';
    is 0 + $@, ZCONNECTIONLOSS, 'gets no connection';
    ok !$zk->is_unrecoverable, 'which is not the end';
    my $called;
    $zk->exists( '/', cb => sub { $called = $_[0] } );
    wait_for { $zk->wait(0.05); $called } 60, 'the answer of one that nobody waits for';
    is 0 + $called, ZCONNECTIONLOSS, 'is the same';
    $zk->set_hosts("localhost:$port");
    ok wait_for {
        eval { $zk->exists('/') }
    }
    60, 'with a name that is known it goes on';
    is $zk->server, "localhost:$port", 'server gives the name';
    deadline 30, sub { $zk->close };
    pass 'close does not wait for a resolver';
};

subtest 'whoever waits for nothing is not held up by names' => sub {
    my @took;
    my $timed = sub {
        my ($code) = @_;
        my $start = time;
        $code->();
        push @took, time - $start;
    };
    my @zk;
    $timed->( sub { push @zk, ZooKeeper->new( @args, hosts => "x$_.$unknown" ) } ) for 1 .. 20;
    my $zk = ZooKeeper->new( @args, hosts => "127.0.0.1:$port" );
    $timed->( sub { $zk->exists('/') } ) for 1 .. 20;
    $timed->(
        sub {
            $_->exists( '/', cb => sub { } );
            $_->state;
            $_->set_hosts("y.$unknown");
        }
    ) for @zk;
    $timed->( sub { $_->close } ) for @zk;

    # One resolver that gives up takes seconds, twenty of them a minute or more.
    my $long = grep { $_ > 5 } @took;
    is $long, 0, 'no call takes as long as a resolver may' or diag "@took";
};

done_testing;

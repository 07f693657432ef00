package ForkLoopSuite;
use strict;
use warnings;

use Exporter qw(import);
use POSIX    ();
use Test::More;
use Time::HiRes qw(time);
use Child;
use TestZK;
use ZooKeeper;
use ZooKeeper::Constants;

our @EXPORT = qw(fork_loop_suite);

# What a fork does to the event loops of parent and child, with this dispatcher.
sub fork_loop_suite {
    my ( $server, $dispatcher ) = @_;
    my $base  = fresh_path('loop');
    my $setup = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
    $setup->create($base);

  # A handle with three watches on the node, whose events have come and are not dispatched yet, but by the one
  # dispatcher that waits for nobody.
    my @seen;
    my $unread = sub {
        my ($path) = @_;
        @seen = ();
        my $zk = ZooKeeper->new( hosts => $server->hosts, dispatcher => $dispatcher );
        $setup->create($path);
        $zk->get( $path, watcher => sub { push @seen, $_[0]{path} } ) for 1 .. 3;
        $setup->set( $path, 'v' );
        $zk->exists('/');    # its answer comes after the events
        return $zk;
    };
    my $still_there = sub {
        my ( $zk, $path ) = @_;
        local $Test::Builder::Level = $Test::Builder::Level + 1;
        is_deeply \@seen, [], 'the parent has not been told of anything meanwhile'
          if $dispatcher ne 'Interrupt';
        wait_for { $zk->wait(1) if @seen < 3; @seen == 3 } 60, 'the events';
        is_deeply \@seen, [ ($path) x 3 ], 'and now gets its events';
    };

    subtest "$dispatcher: a child that runs the loop" => sub {
        my $path = "$base/idle";
        my $zk   = $unread->($path);
        my ( $events, $share ) = in_child {
            my ( $start, @cpu ) = ( time, times );
            my $count = 0;
            @seen = ();
            while ( time - $start < 1.5 ) { $count++ if $zk->wait(0.5) }
            my @now = times;
            return ( $count + @seen, ( $now[0] + $now[1] - $cpu[0] - $cpu[1] ) / ( time - $start ) );
        };
        is $events, 0, 'gets none of the events of its parent';
        cmp_ok $share, '<', 0.5, 'and waits, instead of turning';
        $still_there->( $zk, $path );
    };

    subtest "$dispatcher: a child that reopens" => sub {
        my $path = "$base/busy";
        my $zk   = $unread->($path);
        my @own  = in_child {
            @seen = ();
            $zk->wait(0.05);
            $zk->reopen;
            $zk->create( "$base/own", ephemeral => 1 );
            for my $round ( 1 .. 3 ) {
                my $event;
                $zk->get( "$base/own", watcher => sub { $event = $_[0] } );
                $setup->reopen if $round == 1;
                $setup->set( "$base/own", $round );
                wait_for { $zk->wait(1); $event } 60, 'the event';
                push @seen, $event->{path};
            }
            return @seen;
        }
        exit => 1;
        is_deeply \@own, [ ("$base/own") x 3 ], 'gets events of its own, and no others';
        $still_there->( $zk, $path );
    };

    subtest "$dispatcher: a fork in a watcher's callback" => sub {
        my $path = "$base/callback";
        my $zk   = ZooKeeper->new( hosts => $server->hosts, dispatcher => $dispatcher );
        $setup->create($path);
        my ( $pid, @answers, $later );
        for my $child ( 'leaves', 'reopens' ) {
            my $done;
            $zk->get(
                $path,
                watcher => sub {
                    ( $done, $answers[@answers] ) = (
                        1,
                        $child eq 'leaves'
                        ? in_child { 'left' } exit                              => 1
                        : in_child { $zk->reopen; scalar $zk->get($path) } exit => 1
                    );
                }
            );
            $zk->get( $path, watcher => sub { $later++ } );
            $setup->set( $path, $child );
            wait_for { $zk->wait(1); $done && $later } 60, 'both events';
            is $later, 1, "$child: the next event comes";
            $later = 0;
        }
        is_deeply \@answers, [ 'left', 'reopens' ], 'the children have done their work';
        is scalar $zk->get($path), 'reopens', 'and the parent goes on';
    };
    return;
}

1;

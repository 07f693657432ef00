use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Dispatchers;
use TestZK;

use POSIX       ();
use Time::HiRes qw(setitimer time ITIMER_REAL);
use ZooKeeper;
use ZooKeeper::Constants;

# Signals while a program waits for events, with every dispatcher. The handlers come long before the wait is over.
my $LONG = 60;
my $SOON = 20;

my $server = test_server();
my $base   = fresh_path('signals-wait');
my $setup  = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
$setup->create( $base, value => 'v' );

for my $dispatcher ( dispatchers() ) {
    my $zk = ZooKeeper->new( hosts => $server->hosts, dispatcher => $dispatcher );
    my @seen;
    my $watch = sub {
        @seen = ();
        $zk->get( $base, watcher => sub { push @seen, $_[0]{path} } );
    };
    $watch->();

    subtest "$dispatcher: a handler that dies" => sub {
        for my $try ( 1 .. 3 ) {
            local $SIG{ALRM} = sub { die { try => $try } };
            my $start = time;
            setitimer( ITIMER_REAL, 0.1 );
            ok !eval { $zk->wait($LONG); 1 }, 'ends the wait';
            is_deeply $@, { try => $try }, 'with its exception';
            cmp_ok time - $start, '<', $SOON, 'when the signal comes';
        }
        is $zk->wait(0.05), undef, 'the next wait is as ever';
        $setup->set( $base, 'v' );
        wait_for { $zk->wait(1); @seen } 60, 'the event';
        is_deeply \@seen, [$base], 'and events come';
    };

    subtest "$dispatcher: a handler that returns" => sub {
        $watch->();
        my $runs = 0;
        local $SIG{ALRM} = sub { $setup->set( $base, 'v' ) if ++$runs == 3 };
        my $start = time;
        setitimer( ITIMER_REAL, 0.1, 0.1 );
        my $event = $zk->wait($LONG);
        setitimer( ITIMER_REAL, 0 );
        cmp_ok time - $start, '<', $SOON, 'runs while it waits';
        is $event && $event->{path}, $base, 'which goes on, until the event';
    };

    subtest "$dispatcher: a handler that makes calls of its own" => sub {
        $watch->();
        my @answers;
        local $SIG{ALRM} = sub {
            push @answers, scalar $zk->get($base);
            $zk->set( $base, 'in the handler' );
            push @answers, scalar $zk->get($base);
        };
        $setup->set( $base, 'before' );
        $zk->wait(0.2) until @seen;
        $watch->();
        setitimer( ITIMER_REAL, 0.1 );
        wait_for { $zk->wait(1); @seen } 60, 'the event';
        is_deeply \@answers, [ 'before', 'in the handler' ], 'on the same handle has its answers';
        is_deeply \@seen,    [$base],                        'and the event of it comes as others do';
    };

    subtest "$dispatcher: a storm of children that end" => sub {
        $watch->();
        my $ended = 0;
        local $SIG{CHLD} = sub { $ended++ while waitpid( -1, POSIX::WNOHANG() ) > 0 };
        my $children = 30;
        for ( 1 .. $children ) {
            my $pid = fork // die "fork: $!";
            POSIX::_exit(0) if !$pid;
            $zk->wait(0.001);
        }
        wait_for { $zk->wait(0.1); $ended == $children } 60, 'all children';
        is_deeply \@seen, [], 'calls nobody';
        $setup->set( $base, 'v' );
        wait_for { $zk->wait(1); @seen } 60, 'the event';
        is_deeply \@seen, [$base], 'and hides no event';
    };

    subtest "$dispatcher: the default action" => sub {
        pipe my $read, my $write or die "pipe: $!";
        my $pid = fork // die "fork: $!";
        if ( !$pid ) {
            $SIG{INT} = 'DEFAULT';
            $zk->reopen;
            $zk->exists($base);
            syswrite $write, "ready\n";
            $zk->wait($LONG);
            POSIX::_exit(0);
        }
        is deadline( 60, sub { scalar <$read> } ), "ready\n", 'a program that waits';
        my $start = time;
        kill INT => $pid;
        deadline 60, sub { waitpid $pid, 0 };
        is $? & 127, POSIX::SIGINT(), 'is ended by the signal';
        cmp_ok time - $start, '<', $SOON, 'at once';
    };
}

# With handlers that run at once, wherever the program is: those of loops in C are the loops' own affair.
for my $dispatcher (qw(^ZooKeeper::Dispatcher Pipe)) {
    subtest "$dispatcher: an unsafe handler that dies" => sub {
        my $zk = ZooKeeper->new( hosts => $server->hosts, dispatcher => $dispatcher );
        $zk->exists($base);
        POSIX::sigaction( POSIX::SIGALRM(),
            POSIX::SigAction->new( sub { die "unsafe\n" }, POSIX::SigSet->new ) );
        for ( 1 .. 20 ) {
            setitimer( ITIMER_REAL, 0.02 );
            eval { $zk->wait($LONG); 1 } and last;
            $@ eq "unsafe\n" or last;
        }
        is $@, "unsafe\n", 'ends the wait, again and again';
        POSIX::sigaction( POSIX::SIGALRM(), POSIX::SigAction->new('DEFAULT') );
        my @seen;
        $zk->get( $base, watcher => sub { push @seen, @_ } );
        $setup->set( $base, 'v' );
        wait_for { $zk->wait(1); @seen } 60, 'the event';
        is $seen[0]{path}, $base, 'the handle goes on';
    };
}

done_testing;

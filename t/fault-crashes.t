# What crashed the CPAN module, or hung it. Each runs in a perl of its own, which has to come to its end.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Faults;
use TestZK;

use Config;
use ZooKeeper;

my $server = test_server();
my $setup  = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );

my $PROLOGUE = q{
    use ZooKeeper; use ZooKeeper::Constants; use Time::HiRes qw(setitimer ITIMER_REAL);
    our ( $hosts, $base, $server ) = @ARGV;
    our @args = ( hosts => $hosts, dispatcher => 'Pipe' );
    our $calls = 0;
    sub handle { return ZooKeeper->new( @args, @_ ) }

    # How a call ended: its error code, or "worked".
    sub ends { my ($code) = @_; return eval { $code->(); 1 } ? 'worked' : ref $@ ? $@->code : "died: $@" }
    sub drain { my ($zk) = @_; $zk->exists('/'); 1 while $zk->dispatcher->dispatch_event }

    # All kinds of calls.
    our $cb = sub { $calls++ };
    our @calls = (
        [ create => "$base/x" ], [ delete => "$base/x" ], [ exists => $base ], [ exists => $base, watcher => $cb ],
        [ get => $base ], [ get => $base, watcher => $cb ], [ set => $base, 'v' ], [ get_children => $base ],
        [ get_children => $base, watcher => $cb ], [ get_acl => $base ], [ set_acl => $base, ZOO_OPEN_ACL_UNSAFE ],
        [ ensure_path => $base ], [ add_auth => 'digest', 'a:b' ], ['wait_connected'],
    );
    sub all_end {
        my ($zk) = @_;
        my %end;
        for my $call (@calls) { my ( $method, @rest ) = @$call; $end{ ends( sub { $zk->$method(@rest) } ) }++ }
        $end{ ends( sub { $zk->transaction->create("$base/t")->commit } ) }++;
        return join ' ', sort keys %end;
    }
};

# Name, program, what it prints.
my @PROGRAMS = (
    [
        'use of a handle after close does not crash',
        q{
            for my $watched ( 0, 1 ) {
                my $zk = handle( watcher => $cb );
                $zk->get( $base, watcher => $cb ) if $watched;
                $zk->close;
                print all_end($zk), ' ';
                $zk->state; $zk->client_id; $zk->is_unrecoverable; $zk->server; $zk->session_timeout; $zk->last_zxid;
                $zk->watcher( sub { } ); $zk->get_watchers; $zk->wait(0.01); $zk->close; $zk->is_connected;
                $zk->dispatcher->dispatch_event;
            }
        },
        '-9 -9 '
    ],
    [
        'use of what belonged to a handle that is gone does not crash',
        q{
            my $zk = handle();
            $zk->get( $base, watcher => $cb );
            my ( $transaction, $dispatcher ) = ( $zk->transaction->delete("$base/x"), $zk->dispatcher );
            my ($watcher) = $zk->get_watchers;
            $zk->set( $base, 'v' );
            undef $zk;
            print ends( sub { $transaction->commit } ), ' ';
            $dispatcher->dispatch_event; $dispatcher->wait(0.01); $dispatcher->remove_watcher($watcher);
            $watcher->trigger( '/x', 3, 3 ); $watcher->process( { type => 3, state => 3, path => '/x' } );
            $dispatcher->dispatch_event;
        },
        '-9 '
    ],
    [
        'a close in the middle of everything does not crash',
        q{
            for my $n ( 1 .. 50 ) {
                my $zk = handle( watcher => sub { } );
                $zk->exists('/') if $n % 2;
                $zk->get( $base, watcher => sub { $zk->close; $calls++ } ) if $n % 4 == 1;
                $zk->set( $base, $n ) if $n % 4 == 1;
                $zk->dispatcher->dispatch_event for 1 .. 3;
                $n % 3 ? $zk->close : undef $zk;
            }
            print $calls > 0 ? 'closed in a callback' : 'no callback';
        },
        'closed in a callback'
    ],
    [
        'a made-up client_id does not crash',
        q{
            srand 7;
            my @passwd = ( "\0" x 16, "\xff" x 16, join '', map { chr rand 256 } 1 .. 16 );
            my @ids = ( 1, 42, -1, -9223372036854775808, 9223372036854775807, map { int rand 2**53 } 1 .. 3 );
            my %end;
            for my $id (@ids) {
                for my $passwd (@passwd) {
                    my $zk = handle( client_id => { client_id => $id, passwd => $passwd } );
                    $end{ all_end($zk) }++;
                    $zk->reopen;
                    $end{ $zk->exists('/') ? 'reopened' : 'not reopened' }++;
                }
            }
            print join ' ', map { "$_: $end{$_}" } sort keys %end;
        },
        '-112: 24 reopened: 24'
    ],
    [
        'a client_id that is none does not crash',
        q{
            my @ids = ( { client_id => 5, passwd => '' }, { client_id => 5, passwd => 'p' x 15 },
                { client_id => 5, passwd => 'p' x 17 }, { client_id => 5, passwd => 'p' x 100_000 },
                { client_id => 5, passwd => undef }, { client_id => 5 }, { passwd => 'p' x 16 }, {},
                { client_id => 1e30, passwd => 'p' x 16 }, { client_id => 'x', passwd => 'p' x 16 },
                { client_id => [], passwd => 'p' x 16 }, { client_id => 5, passwd => {} },
                { client_id => 5, passwd => "\x{263a}" x 16 }, [], \1, sub { }, "\0" x 24, 'p' x 24, 42 );
            my @ends = map { my $id = $_; ends( sub { handle( client_id => $id ) } ) } @ids;
            print join ' ', map { /worked/ ? 'taken' : /\A-8\z|client_id|passwd/ ? 'refused' : $_ } @ends;
        },
        join ' ', ('refused') x 19
    ],
    [
        'a joined thread does not crash',
        q{
            my $zk = handle( watcher => $cb );
            $zk->get( $base, watcher => $cb );
            threads->create( sub { 1 } )->join for 1 .. 3;
            my @threads = map { threads->create( sub { all_end($zk) } ) } 1 .. 3;
            print join( ' ', map { $_->join } @threads ), ' ';
            my $own = threads->create( sub { eval { $zk->reopen }; handle()->exists('/') ? 'own' : 'none' } );
            print $own->join, ' ';
            $zk->set( $base, 'v' );
            drain($zk);
            print "called $calls ", all_end($zk) =~ /worked/ ? 'works' : 'does not';
        },
        '-9 -9 -9 own called 2 works'
    ],
    [
        'the event of a watcher that was removed does not crash',
        q{
            my $zk = handle();
            for my $n ( 1 .. 100 ) {
                $zk->$_( $base, watcher => $cb ) for qw(get exists get_children);
                my @watchers = $zk->get_watchers;
                $n % 2 ? $zk->remove_watcher($_) : undef $_ for @watchers;
                $zk->remove_watcher( path => $base ) if $n % 2 == 0;
                @watchers = ();
                $zk->set( $base, $n );
                $zk->remove_watcher($_) for $zk->get_watchers;
                drain($zk);
            }
            $zk->get( $base, watcher => $cb ) for 1 .. 100;
            $zk->set( $base, 'v' );
            $zk->exists('/');
            $zk->remove_watcher($_) for $zk->get_watchers;    # their events are queued
            drain($zk);
            $zk->get( $base, watcher => sub { $zk->remove_watcher($_) for $zk->get_watchers } ) for 1 .. 3;
            $zk->set( $base, 'v' );
            drain($zk);
            print "called $calls, ", scalar $zk->get_watchers, ' left';
        },
        'called 0, 0 left'
    ],
    [
        'signals do not crash',
        q{
            my $signals = 0;
            $SIG{USR1} = sub { $signals++ };
            $SIG{ALRM} = sub { $signals++; die "alarm\n" };

            # Where a destructor runs Perl only warns of what a handler dies of.
            $SIG{__WARN__} = sub { warn @_ if "@_" !~ /\A\t\(in cleanup\) alarm$/ };
            my $parent = $$;
            my $pid = fork // die;
            if ( !$pid ) { kill USR1 => $parent and select undef, undef, undef, 0.0005 for 1 .. 1_000; exec 'true' }
            my $zk = handle();
            my $wrong = 0;
            for my $n ( 1 .. 300 ) {
                eval {    # the outer one is for a signal between the inner one's end and the timer's
                    eval { setitimer( ITIMER_REAL, 0.001 ); $zk->set( $base, $n ); $zk->get( $base, watcher => $cb ) };
                    setitimer( ITIMER_REAL, 0 );
                    1 for 1 .. 3;
                };
                eval { handle()->exists('/') } if $n % 50 == 0;
                drain($zk);
            }
            waitpid $pid, 0;
            $zk->set( $base, 'end' );
            print scalar $zk->get($base), ' ', $signals > 100 ? 'with signals' : "$signals signals";
        },
        'end with signals'
    ],
    [
        'a handler that was set by POSIX::sigaction does not crash',
        q{
            use POSIX ();
            my $zk = handle( timeout => 60_000 );
            $zk->exists('/');
            my $signals = 0;
            POSIX::sigaction( POSIX::SIGALRM(),
                POSIX::SigAction->new( sub { $signals++; die "alarm\n" }, POSIX::SigSet->new ) );
            for ( 1 .. 200 ) {    # a busy machine may stop the server too late
                last if $signals == 20;
                kill STOP => $server;
                eval { setitimer( ITIMER_REAL, 0.01 ); $zk->get($base); setitimer( ITIMER_REAL, 0 ) };
                kill CONT => $server;
            }
            print $zk->exists('/') ? "$signals signals" : 'lost';
        },
        '20 signals'
    ],
    [
        'a connection that the server resets does not end the program by SIGPIPE',
        q{
            use Socket qw(SOL_SOCKET SO_LINGER);
            use FakeZK;
            $SIG{PIPE} = 'DEFAULT';
            my $fake = FakeZK->new( sub {
                my ($connection) = @_;
                setsockopt $connection->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
                $connection->handshake;
                $connection->frame if $connection->number % 2;
            } );
            my %end;
            for ( 1 .. 30 ) {
                my $zk = ZooKeeper->new( hosts => $fake->hosts, timeout => 400, request_timeout => 60, dispatcher => 'Pipe' );
                $end{ ends( sub { $zk->set( '/x', 'v' x 100_000 ) } ) }++;
            }
            print join ' ', keys %end;
        },
        '-4'
    ],
);

for my $program (@PROGRAMS) {
    my ( $name, $code, $expected ) = @$program;
    subtest $name => sub {
        my $threads = $code =~ /\bthreads->/;
        plan skip_all => 'this perl has no threads' if $threads && !$Config{useithreads};
        my $base = fresh_path('fault-crashes');
        $setup->create( $base, value => 'v' );
        my ( $output, $status ) =
          program( ( $threads ? 'use threads;' : '' )
            . q{use lib 't/lib';}
              . $PROLOGUE
              . $code
              . q{; print "\nend\n"},
            $server->hosts, $base, $server->pid );
        is $output, "$expected\nend\n", 'it runs to its end';
        is $status, 0,                  'and ends normally';
    };
}

done_testing;

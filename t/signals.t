use strict;
use warnings;
use Test::More;
use lib 't/lib';
use FakeZK;
use TestZK;

use POSIX       ();
use Time::HiRes qw(setitimer ITIMER_REAL);
use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my $zk     = ZooKeeper->new( hosts => $server->hosts, timeout => 60_000, dispatcher => 'Pipe' );
my $base   = fresh_path('signals');
$zk->create( $base, value => 'v' );

# What the code dies of while the server stands still. The last resort is the session timeout, a minute.
sub while_paused {
    my ($code) = @_;
    $server->pause;
    my $ok    = eval { $code->(); 1 };
    my $error = $@;
    setitimer( ITIMER_REAL, 0 );
    $server->resume;
    return $ok ? 'it returned' : $error;
}

subtest 'a handler that dies ends a blocking call' => sub {
    my %call = (
        get     => sub { $zk->get($base) },
        watcher => sub {
            $zk->get( $base, watcher => sub { } );
        },
        create       => sub { $zk->create("$base/x") },
        get_children => sub { $zk->get_children($base) },
        commit       => sub { $zk->transaction->set( $base, 'w' )->commit },
        ensure_path  => sub { $zk->ensure_path("$base/a/b") },
    );
    for my $name ( sort keys %call ) {
        local $SIG{ALRM} = sub { die "time is up\n" };
        my $error = while_paused( sub { setitimer( ITIMER_REAL, 0.3 ); $call{$name}->() } );
        is $error, "time is up\n", "$name: with the handler's own words";
        is_deeply [ $zk->get_watchers ], [], "$name: no watcher is kept";
        ok eval { $zk->exists($base) }, "$name: the handle can be used" or diag $@;
    }
    for ( 1 .. 3 ) {
        local $SIG{ALRM} = sub { die { an => 'object' } };
        is_deeply while_paused( sub { setitimer( ITIMER_REAL, 0.3 ); $zk->get($base) } ), { an => 'object' },
          'again and again';
    }
    $zk->set( $base, 'now' );
    is scalar $zk->get($base), 'now', 'answers are not mixed up';
};

subtest 'a handler that dies ends a close, and the handle is closed all the same' => sub {
    for my $end (qw(close reopen)) {
        my $deaf = FakeZK->new(
            sub {
                my ($connection) = @_;
                $connection->handshake or return;
                while ( defined( my $frame = $connection->frame ) ) {
                    my ( $xid, $op ) = unpack 'l> l>', $frame;
                    $connection->note($op);
                    $connection->send_frame( pack 'l> q> l>', $xid, 1, ZNONODE ) if $op == 3;
                }
            }
        );
        my $own = ZooKeeper->new( hosts => $deaf->hosts, timeout => 60_000, dispatcher => 'Pipe' );
        $own->exists($base);
        my @told;
        $own->get( $base, cb => sub { push @told, 0 + $_[0] } );
        local $SIG{ALRM} = sub { die "time is up\n" };
        setitimer( ITIMER_REAL, 0.3 );
        is eval { $own->$end; 1 } // $@, "time is up\n", "$end: the handler's exception comes through";
        is $own->state,                  ZOO_NOTCONNECTED_STATE, 'the state is that of a closed handle';
        is $own->server,                 undef,                  'there is no server';
        ok !$own->is_connected,    'it is not connected';
        ok $own->is_unrecoverable, 'nor will it be';
        is eval { $own->exists($base); 1 } // 0 + $@, ZINVALIDSTATE, 'a call says the same';
        $own->reopen;
        is $own->exists($base), undef, 'reopen gives another session';
        1 while $own->dispatcher->dispatch_event;
        is_deeply \@told, [ZCLOSING], 'a call that was under way was told, once';
        is_deeply [ map { /\A-?[0-9]+\z/ ? $_ : () } $deaf->notes ], [ 3, 4, -11, 3 ], 'and the server, once';
    }
};

subtest 'a handler that returns does not' => sub {
    my $calls = 0;
    local $SIG{ALRM} = sub { $server->resume if ++$calls == 3 };
    $server->pause;
    setitimer( ITIMER_REAL, 0.2, 0.2 );
    my $value = eval { $zk->get($base) };
    my $error = $@;
    setitimer( ITIMER_REAL, 0 );
    $server->resume;
    is $error, '',    'no error';
    is $value, 'now', 'the call goes on, and gets its answer';
    cmp_ok $calls, '>=', 3, 'handlers run while it waits';
};

subtest 'a handler that dies while a module is loaded does not break it' => sub {
    my %first = (
        'a future'     => q($zk->get_f('/x')),
        'a promise'    => q($zk->get_p('/x')->catch( sub { } )),
        'a dispatcher' => q(ZooKeeper->new( hosts => '127.0.0.1:1', dispatcher => 'Mojo' )),
    );
    for my $what ( sort keys %first ) {

        # The alarm goes off in the middle: whoever loads a file reads it by way of @INC.
        my $program = <<"PROGRAM";
use ZooKeeper;
my \$zk = ZooKeeper->new( hosts => '127.0.0.1:1', dispatcher => 'Pipe' );
local \$SIG{ALRM} = sub { die "alarm\\n" };
my \$files = 0;
unshift \@INC, sub { kill ALRM => \$\$ if \$_[1] =~ m{Future|Promise|Mojo}; return };
my \$died = eval { $first{$what}; 1 } ? 'no' : \$\@;
shift \@INC;
print "first: \$died";
print eval { $first{$what}; 1 } ? "then it works\\n" : \$\@;
PROGRAM
        my $said = `$^X @{[ map { "'-I$_'" } grep { !ref } @INC ]} -e '@{[ $program =~ s/'/'\\''/gr ]}' 2>&1`;
        if ( $said =~ /needs Mojolicious|can't load/ ) { pass 'needs Mojolicious'; next }
        is $said, "first: alarm\nthen it works\n", $what;
    }
};

subtest 'a child that a module forks while it is loaded can be ended by a signal' => sub {
    my $module = <<'MODULE';
package Starter;
use POSIX ();
use parent 'ZooKeeper::Dispatcher::Pipe';
if ( !( open( my $child, '-|' ) // die "fork: $!" ) ) {
    kill TERM => $$;
    syswrite STDOUT, 'deaf';
    POSIX::_exit(0);
}
else { our $said = readline $child }
1;
MODULE
    local @INC = ( sub { return $_[1] eq 'Starter.pm' ? \$module : () }, @INC );
    ZooKeeper->new( hosts => '127.0.0.1:1', dispatcher => '^Starter' );
    no warnings 'once';
    is $Starter::said, undef, 'it says nothing any more';
};

subtest 'many signals' => sub {
    my $calls = 0;
    local $SIG{ALRM} = sub { $calls++ };
    setitimer( ITIMER_REAL, 0.001, 0.001 );
    my $wrong = 0;
    for my $number ( 1 .. 300 ) {
        $zk->set( $base, $number );
        $wrong++ if $zk->get($base) ne $number;
    }
    setitimer( ITIMER_REAL, 0 );
    is $wrong, 0, 'no answer is wrong';
    cmp_ok $calls, '>', 0, 'though there were some';
};

subtest 'a call inside a handler' => sub {
    my ( $inner, $resume );
    local $SIG{ALRM} = sub {
        $resume = fork // die "fork: $!";
        if ( !$resume ) {
            select undef, undef, undef, 1;
            kill CONT => $server->pid;
            POSIX::_exit(0);
        }
        $inner = eval { ZooKeeper->new( hosts => $server->hosts )->exists($base) } ? 'other' : $@;
    };
    $server->pause;
    alarm 1;
    my $outer = eval { $zk->get($base) } // $@;
    waitpid $resume, 0;
    $server->resume;
    is $outer, 300,     'the outer call gets its answer';
    is $inner, 'other', 'and the inner one, of another handle, its own';
};

subtest 'calls on the same handle inside a handler' => sub {
    my ( @inner, @seen );
    $zk->set( $base, 'before' );
    local $SIG{ALRM} = sub {
        $server->resume;
        push @inner, scalar $zk->get( $base, watcher => sub { push @seen, $_[0]{path} } );
        $zk->set( $base, 'inside' );
        push @inner, scalar $zk->get($base);
    };
    for my $unsafe ( 0, 1 ) {
        my $action = POSIX::SigAction->new( $SIG{ALRM}, POSIX::SigSet->new );
        $action->safe( !$unsafe );
        POSIX::sigaction( POSIX::SIGALRM(), $action );
        ( @inner, @seen ) = ();
        $server->pause;
        setitimer( ITIMER_REAL, 0.2 );
        is eval { $zk->set( $base, 'outside' )->{dataLength} }, length 'outside',
          'the outer call gets its own answer'
          or diag $@;
        is_deeply \@inner, [ 'outside', 'inside' ], 'the inner ones, in order, theirs';
        wait_for { $zk->wait(1); @seen } 60, 'the event';
        is_deeply \@seen, [$base], 'a watch that was set inside is one';
    }
};

subtest 'children that end' => sub {
    my $ended = 0;
    local $SIG{CHLD} = sub { $ended++ while waitpid( -1, 1 ) > 0 };
    my $children = 20;
    for ( 1 .. $children ) {
        my $pid = fork // die "fork: $!";
        POSIX::_exit(0) if !$pid;
    }
    $zk->get($base) for 1 .. 100;
    wait_for { $zk->get($base); $ended == $children } 60, 'all children';
    is $ended, $children, 'are noticed';
};

subtest 'writing on a connection that the server has dropped' => sub {
    local $SIG{PIPE} = 'DEFAULT';
    my $short = ZooKeeper->new( hosts => $server->hosts, timeout => 3_000, dispatcher => 'Pipe' );
    for ( 1 .. 2 ) {
        $short->exists($base);
        $server->kill;
        ok !eval { $short->exists($base); 1 }, 'a call without a server';
        is $@->code, ZCONNECTIONLOSS, 'fails';
        $server->start;
        ok wait_for(
            sub {
                eval { $short->exists($base) } || do { $short->reopen if $short->is_unrecoverable; 0 }
            },
            60
          ),
          'and works when there is one again';
    }
    pass 'SIGPIPE did not end us';
};

subtest 'a connection that is reset while calls follow each other' => sub {
    local $SIG{PIPE} = 'DEFAULT';
    my $answers = 20;
    my $rude    = FakeZK->new(
        sub {
            my ($connection) = @_;
            $connection->handshake or return;
            for ( 1 .. $answers ) {
                my ($xid) = unpack 'l>', $connection->frame // return;
                $connection->send_frame( pack 'l> q> l>', $xid, 1, ZNONODE );
            }
            $connection->reset;
        }
    );
    my $victim = ZooKeeper->new( hosts => $rude->hosts, dispatcher => 'Pipe' );
    my %code;
    for ( 1 .. 5 * $answers ) {
        $code{ eval { $victim->exists('/x'); 1 } ? ZNONODE : $@->code }++;
    }
    is_deeply [ sort keys %code ], [ ZNONODE, ZCONNECTIONLOSS ], 'each call is answered, or told of the loss';
    cmp_ok $code{ +ZCONNECTIONLOSS }, '<', 10, 'which are few';
};

done_testing;

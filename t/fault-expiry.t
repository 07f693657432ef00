# Sessions that end behind the back of their client: idle, amid a thousand requests, cut off, or standing still. Each
# subtest is named after the symptom.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Child;
use FaultProxy;
use TestZK;

use Time::HiRes qw(clock time);    # clock: processor time of all threads
use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server( servers => 3 );
my $proxy  = FaultProxy->new( map { $server->hosts($_) } 0 .. 2 );
my $base   = fresh_path('expiry');
my @args   = ( hosts => $proxy->hosts, timeout => 30_000, dispatcher => 'Pipe' );
my $setup  = ZooKeeper->new( @args, hosts => $server->hosts );
$setup->create($base);

# What this handle says when it has caught up: it is asked again when its connection is lost meanwhile, for on a busy
# machine servers may elect another leader at any time.
sub asked_of ($&) {
    my ( $zk, $code ) = @_;
    my @answer;
    wait_for {
        eval { $zk->sync('/'); @answer = $code->(); 1 } || ( ref $@ && $@->is_connection_loss ? 0 : die $@ )
    }
    60, 'an answer';
    return wantarray ? @answer : $answer[0];
}

# A handle that knows all there is, with an ephemeral node, and what its default watcher was told.
sub session {
    my ( $name, @more ) = @_;
    my @states;
    my $zk   = ZooKeeper->new( @args, @more, watcher => sub { push @states, $_[0]{state} } );
    my $node = "$base/$name";
    asked_of $zk, sub { $zk->exists($node) || $zk->create( $node, ephemeral => 1 ) };
    return ( $zk, \@states );
}

# A thousand creates, every other one ephemeral; each one's answers: codes.
sub ask_a_thousand {
    my ( $zk, $name ) = @_;
    my @told = map { [] } 1 .. 1000;
    for my $number ( 0 .. 999 ) {
        $zk->create(
            "$base/$name-$number",
            ephemeral => $number % 2,
            cb        => sub { push @{ $told[$number] }, $_[0] // ZOK }
        );
    }
    return \@told;
}

sub wait_for_all {
    my ( $zk, $told ) = @_;
    wait_for {
        $zk->wait(0.01);
        !grep { !@$_ } @$told
    }
    60, 'the answers';
    return;
}

# The numbers of those that are there.
sub there {
    my ($name) = @_;
    my @names  = asked_of $setup, sub { $setup->get_children($base) };
    return { map { /\A\Q$name\E-(\d+)\z/ ? ( $1 => 1 ) : () } @names };
}

my %END = (
    'closed by another connection' => sub { $server->expire_session( $_[0] ) },
    'closed by another handle'     => sub {
        my ($zk) = @_;
        my $id = $zk->client_id;
        wait_for {
            my $thief = ZooKeeper->new( @args, hosts => $server->hosts, client_id => $id );
            eval { $thief->wait_connected; $thief->close };
            $zk->is_unrecoverable;
        }
        60, 'the end';
    },
);

for my $end ( sort keys %END ) {
    my $name = $end =~ s/\W+/-/gr;
    subtest "a session that is $end while it is idle" => sub {
        my ( $zk, $states ) = session($name);
        $END{$end}->($zk);
        wait_for { $zk->wait(0.1); $zk->is_unrecoverable } 60, 'the expiry, without a call';
        wait_for { $zk->wait(0.1); $states->[-1] == ZOO_EXPIRED_SESSION_STATE } 60, 'the event';
        is scalar( grep { $_ == ZOO_EXPIRED_SESSION_STATE } @$states ), 1,
          'the default watcher hears of it once';
        is eval { $zk->exists($base); 1 } // 0 + $@, ZSESSIONEXPIRED, 'a call does, too';
        is scalar( asked_of $setup, sub { $setup->exists("$base/$name") } ), undef,
          'its ephemeral node is gone';
    };

    subtest "a session that is $end amid a thousand requests" => sub {
        my ( $zk, $states ) = session("$name-busy");
        my $told = ask_a_thousand( $zk, $name );
        $zk->dispatcher->dispatch_event;    # sends what is held back
        $END{$end}->($zk);
        wait_for_all( $zk, $told );
        wait_for { $zk->wait(0.1); $zk->is_unrecoverable } 60, 'the expiry';
        1 while $zk->dispatcher->dispatch_event;
        is scalar( grep { @$_ != 1 } @$told ), 0, 'each is answered once';
        my @code  = map { 0 + $_->[0] } @$told;
        my $kinds = join ' ',
          grep { defined } map { !$_ || $code[$_] != $code[ $_ - 1 ] ? $code[$_] : undef } 0 .. 999;
        like $kinds, qr/\A(?:0 ?)?(?:-4 ?)?(?:-112)?\z/,
          'done, then lost with the connection, then with the session';
        note $kinds;
        my $there = there($name);
        is_deeply [ grep { $_ % 2 } keys %$there ], [], 'nothing that is ephemeral is there';
        is_deeply [ grep { $_ % 2 == 0 && $code[$_] == ZOK && !$there->{$_} } 0 .. 999 ], [],
          'all else that was said to be done is';
        is_deeply [ grep { $there->{$_} && $code[$_] != ZOK && !$told->[$_][0]->maybe_applied } 0 .. 999 ],
          [],
          'and nothing that was surely not';
        is scalar( grep { $_ == ZOO_EXPIRED_SESSION_STATE } @$states ), 1,
          'the default watcher hears of it once';
    };
}

subtest 'a thousand requests that wait for a connection when the session expires' => sub {
    my ( $zk, $states ) = session('queued');
    $proxy->harm( hang_up => $_, 0 ) for 0 .. 2;
    $proxy->harm( reset   => $_ )    for 0 .. 2;
    wait_for { !$zk->is_connected } 60, 'the loss';
    my $told = ask_a_thousand( $zk, 'queued' );
    $server->expire_session($zk);
    is_deeply [ map { @$_ } @$told ], [], 'nobody is told anything yet';
    $proxy->harm( heal => $_ ) for 0 .. 2;
    wait_for_all( $zk, $told );
    is_deeply [
        map {
            map { 0 + $_ }
              @$_
        } @$told
      ],
      [ (ZSESSIONEXPIRED) x 1000 ], 'each is told once of the expiry';
    is scalar( grep { $_->[0]->maybe_applied } @$told ), 0, 'and that it was surely not done';
    is_deeply there('queued'), {}, 'nor was it';
};

# A write whose answer is lost, and the session with it.
subtest 'the answer is lost, and the session expires before there is another connection' => sub {
    for my $ephemeral ( 0, 1 ) {
        my ( $zk, $states ) = session("lost-$ephemeral");
        my $at = $proxy->index_of( $zk->server );
        $proxy->harm( hang_up => $_, 0 ) for 0 .. 2;
        $proxy->harm( cut     => $at );
        my $error =
          eval { $zk->create( "$base/lost-$ephemeral-", ephemeral => $ephemeral, sequential => 1 ); 1 }
          ? 'none'
          : $@;
        is 0 + $error, ZCONNECTIONLOSS, "ephemeral $ephemeral: the connection is lost";
        ok $error->maybe_applied && !$error->is_retryable, 'the write may have been done';
        $server->expire_session($zk);
        $proxy->harm( heal => $_ ) for 0 .. 2;
        is eval { $zk->create("$base/lost-more"); 1 } // 0 + $@, ZSESSIONEXPIRED,
          'the next call hears of the expiry';
        my @names = asked_of $setup, sub { $setup->get_children($base) };
        my @made  = grep { /\Alost-$ephemeral-\d/ } @names;
        is scalar @made, 1 - $ephemeral, $ephemeral ? 'what it had made is gone' : 'it was done once';
    }
};

subtest 'a wrong password, and a session that never was, are refused by every server' => sub {
    my ( $zk, $states ) = session('owner');
    my %wrong = (
        'a wrong password'         => { %{ $zk->client_id }, passwd => 'x' x 16 },
        'a session that never was' => { client_id => 0x4711_0000, passwd => 'p' x 16 },
    );
    for my $i ( 0 .. 2 ) {
        for my $what ( sort keys %wrong ) {
            my $other = ZooKeeper->new( @args, hosts => $server->hosts($i), client_id => $wrong{$what} );
            is eval { $other->exists('/'); 1 } // 0 + $@, ZSESSIONEXPIRED,           "$what, server $i";
            is $other->state,                             ZOO_EXPIRED_SESSION_STATE, 'state';
        }
    }

    # A server closes the connection that the session has with it, and looks at the password then.
    my $stat = wait_for {
        eval { $zk->exists("$base/owner") } || ( $@ && $@ != ZCONNECTIONLOSS ? die $@ : 0 )
    }
    60, 'the owner';
    is $stat->{ephemeralOwner}, $zk->client_id->{client_id}, 'the owner has its session';
    is_deeply [ grep { $_ == ZOO_EXPIRED_SESSION_STATE } @$states ], [], 'all the time';
};

# A program that prints what it is told; whoever reads it knows the session.
my $PROGRAM = <<'PROGRAM';
use strict;
use warnings;
use ZooKeeper;
alarm 120;
my ( $hosts, $timeout, $path, $number, $passwd ) = @ARGV;
my $zk = ZooKeeper->new(
    hosts      => $hosts,
    timeout    => $timeout,
    dispatcher => 'Pipe',
    defined $number ? ( client_id => { client_id => $number, passwd => pack 'H*', $passwd } ) : (),
);
sub outcome { my ($code) = @_; return eval { $code->() } // 0 + $@ }

# A moment without a server may cost a connection, and a call: it is made again, in a new session if need be.
sub begin {
    until ( eval { $zk->exists($path) || $zk->create( $path, ephemeral => 1, value => 'mine' ); 1 } ) {
        $zk->reopen if $zk->is_unrecoverable;
    }
}
PROGRAM

subtest 'a program that is killed leaves its session to another one, at another server' => sub {
    my $path = "$base/killed";
    my ( $pid, $output ) = child_program( $PROGRAM . <<'CODE', $server->hosts(0), 60_000, $path );
begin();
print $zk->client_id->{client_id}, ' ', unpack( 'H*', $zk->client_id->{passwd} ), "\n";
sleep 100;
CODE
    my ( $number, $passwd ) = split ' ', deadline 60, sub { <$output> };
    kill KILL => $pid;
    waitpid $pid, 0;
    my ( $next, $said ) =
      child_program( $PROGRAM . <<'CODE', $server->hosts(1), 60_000, $path, $number, $passwd );
my $stat;
until ( eval { $zk->sync('/'); $stat = $zk->exists($path); 1 } ) { last if $zk->is_unrecoverable }
print $zk->client_id->{client_id}, ' ', $stat->{ephemeralOwner}, "\n";
$zk->close;
CODE
    is deadline( 60, sub { <$said> } ), "$number $number\n", 'it has the session and its ephemeral node';
    waitpid $next, 0;
    soon_ok {
        !asked_of $setup,
          sub { $setup->exists($path) }
    } 30, 'until it closes it';    # which does not wait for a server that takes its time
};

subtest 'a program that stood still for longer than its session lasts is told before it goes on' => sub {
    my %said;
    for my $by_clock ( 0, 1 ) {
        my $path = "$base/stopped-$by_clock";
        my ( $pid, $output ) = child_program( $PROGRAM . <<'CODE', $server->hosts, 2_000, $path );
$zk->reopen( expire_by_clock => 1 ) if $path =~ /1\z/;
my @states;
$zk->watcher( sub { push @states, $_[0]{state} } );
begin();
my ( $now, $then ) = (time) x 2;
print "begun\n";
( $then, $now ) = ( $now, time ) while $now - $then < 2;    # until it was stopped
print $zk->is_session_suspect || $zk->is_unrecoverable ? "in doubt\n" : "trusting\n";
my @said;
push @said, outcome( sub { $zk->get($path) } ) while @said < 3 || $said[-1] == -4;    # a server may take its time
print "@said\n";
1 while $zk->dispatcher->dispatch_event;
print "@states\n";
CODE
        my $begun = deadline 60, sub { <$output> };
        is $begun, "begun\n", "expire_by_clock $by_clock: it has its node";
        kill STOP => $pid;    # just after an answer: none is under way
        $said{$path} = { pid => $pid, output => $output };
    }
    for my $path ( sort keys %said ) {
        soon_ok {
            !asked_of $setup,
              sub { $setup->exists($path) }
        } 60, 'its session has expired';
        asked_of $setup,
          sub { $setup->exists($path) || $setup->create( $path, value => q(somebody else's) ) };
    }
    for my $path ( sort keys %said ) {
        my ( $pid, $output ) = @{ $said{$path} }{qw(pid output)};
        kill CONT => $pid;
        chomp( my @said = deadline 60, sub { <$output> } );
        waitpid $pid, 0;
        is $said[0], 'in doubt', 'the first thing that it can ask says so';
        like $said[1], qr/\A(?:-4 )*(?:-112 ?)+\z/, 'no call is answered as if nothing had happened';
        like $said[2], qr/ -112\z/,                 'the default watcher is told';
    }
};

# What lies there was asked for long ago, and the end of the connection behind it says nothing of the session.
subtest 'a program that stood still finds answers in its socket, and trusts in its session' => sub {
    for my $by_clock ( 0, 1 ) {
        my $path = "$base/answered-$by_clock";
        my ( $pid, $output ) = child_program( $PROGRAM . <<'CODE', $proxy->hosts(0), 2_000, $path );
$zk->reopen( expire_by_clock => 1 ) if $path =~ /1\z/;
begin();
my $stood_still;
local $SIG{USR1} = sub { $stood_still = 1 };
print "begun\n";
while ( !$stood_still ) {
    $zk->exists( $path, cb => sub { } );
    $zk->wait(0.01);
}
$zk->wait(0.01) while $zk->is_connected && !$zk->is_unrecoverable;
print $zk->is_session_suspect || $zk->is_unrecoverable ? "in doubt\n" : "trusting\n";
CODE
        my $begun = deadline 60, sub { <$output> };
        is $begun, "begun\n", "expire_by_clock $by_clock: it has its node";
        $proxy->harm( hold_answers => 0 );
        my ($sent) = $proxy->bytes(0);
        wait_for { ( $proxy->bytes(0) )[0] > $sent } 60, 'a request whose answer is held';
        kill STOP => $pid;
        $proxy->harm( heal => 0 );
        soon_ok {
            !asked_of $setup,
              sub { $setup->exists($path) }
        } 60, 'its session has expired';
        $proxy->harm( hang_up => 0, 0 );    # nobody tells it so
        kill $_ => $pid for qw(USR1 CONT);
        is deadline( 60, sub { <$output> } ), "in doubt\n", 'it does not';
        waitpid $pid, 0;
        $proxy->harm( heal => 0 );
    }
};

subtest 'two that hold one session at two servers do not spin' => sub {
    my ( $one, $states ) = session( 'shared', hosts => $server->hosts(0) );
    my $other = ZooKeeper->new( @args, hosts => $server->hosts(1), client_id => $one->client_id );
    my ( %told, $asked );
    my ( $cpu, $start ) = ( clock, time );
    my $reconnects = sub { $one->metrics->{reconnects} + $other->metrics->{reconnects} };

    # A server may go on with reads for a session that has moved away; a write shows it.
    while ( time < $start + 30 && $reconnects->() < 4 ) {
        for my $zk ( $one, $other ) {
            $told{ eval { $zk->set( "$base/shared", 'v' ); ZOK } // 0 + $@ }++;
            $asked++;
        }
    }
    my $took = time - $start;
    cmp_ok $reconnects->(), '<=', 6 + 10 * $took,
      'they take it from each other so many times a second and no more';
    cmp_ok clock() - $cpu, '<', 0.3 * $took + 0.3, 'and it costs little';
    is_deeply [ grep { $_ != ZOK && $_ != ZCONNECTIONLOSS && $_ != ZSESSIONMOVED } keys %told ], [],
      'nothing else happens';
    note join ', ', "$asked asked in $took s, reconnects: " . $reconnects->(),
      map { "$_: $told{$_}" } sort keys %told;
    $other->close( keep => 1 );
    soon_ok {
        eval { $one->set( "$base/shared", 'mine' ) }
    }
    60, 'when one leaves it the other has it for itself';
};

done_testing;

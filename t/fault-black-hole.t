# Networks that lose everything and tell nobody, and servers that take a connection and are no use. Each subtest is named
# after the symptom.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use FaultProxy;
use TestZK;

use Time::HiRes qw(clock sleep time);    # clock: processor time of all threads
use ZooKeeper;
use ZooKeeper::Constants;

# T, the session timeout. A connection is given up after two thirds of it without a word.
my $T = at_length( 9, 2.5 );

my $server = test_server();
my $base   = fresh_path('black-hole');
my @args   = ( dispatcher => 'Pipe' );
my $setup  = ZooKeeper->new( hosts => $server->hosts, timeout => 60_000, dispatcher => 'Pipe' );
$setup->create($base);

# A handle behind a proxy of its own, with an ephemeral node, that asks for something twice a second, and an account of
# what it is told.
sub client {
    my ( $name, %case ) = @_;
    my $proxy = FaultProxy->new( ( $server->hosts ) x ( $case{ports} // 1 ) );
    my ( $node, @states ) = "$base/$T-" . $name =~ s/\W+/-/gr;
    my $zk = ZooKeeper->new(
        @args, @{ $case{args} // [] },
        hosts   => $proxy->hosts,
        watcher => sub { push @states, $_[0]{state} }
    );
    $zk->create( $node, ephemeral => 1 );
    return {
        %case,
        name   => $name,
        proxy  => $proxy,
        zk     => $zk,
        node   => $node,
        id     => $zk->client_id->{client_id},
        states => \@states,
        asked  => 0,
        told   => [],
    };
}

sub ask {
    my ($client) = @_;
    my $number = $client->{asked}++;
    $client->{zk}
      ->set( $client->{node}, $number, cb => sub { push @{ $client->{told}[$number] }, 0 + ( $_[0] // 0 ) } );
    return;
}

# Goes on, with all of them, until this time or until all is as it should be. How long the server, or this process, has
# stood still meanwhile is seen by a call of somebody else.
my $longest = 0;

sub go_on {
    my ( $clients, $until, $done ) = @_;
    my $last = time;
    while ( time < $until && !( $done && $done->() ) ) {
        for my $zk ( map { $_->{zk} } @$clients ) {
            1 while $zk->dispatcher->dispatch_event;
        }
        sleep 0.02;
        $setup->exists('/');
        my $now = time;
        $longest = $now - $last if $now - $last > $longest;
        $last    = $now;
    }
    return;
}

# What a client finds when it can reach a server again.
sub outcome {
    my ($client) = @_;
    my $asked;
    my $told = sub {
        my ($error) = @_;
        $asked = 0;
        $client->{outcome} = !$error ? 'alive' : $error == ZSESSIONEXPIRED ? 'expired' : undef;
    };
    go_on(
        [$client],
        time + 60,
        sub {
            $client->{zk}->exists( '/', cb => $told ) if !$asked++ && !$client->{outcome};
            return $client->{outcome};
        }
    );
    die "no server says what has become of the session of $client->{name}\n" if !$client->{outcome};
    return;
}

my @BOTH = qw(requests answers);
my %SIDE = ( 'both ways' => \@BOTH, 'from the client' => ['requests'], 'to the client' => ['answers'] );

# All at once, for each takes its time.
my ( @holes, $old, $new, $cpu, $span );

sub black_holes {
    @args = ( timeout => 1000 * $T, dispatcher => 'Pipe' );
    my %seconds = ( 'half of T' => $T / 2, 'T' => $T, 'three times T' => 3 * $T );
    for my $side ( sort keys %SIDE ) {
        push @holes, map { client( "$_, $side", seconds => $seconds{$_}, sides => $SIDE{$side}, span => $_ ) }
          sort keys %seconds;
    }
    my @all = ( seconds => $T, sides => \@BOTH, span => 'T' );
    push @holes, $old = client( 'the connections there are', @all, which => 'old' ),
      $new = client( 'the connections to come', @all, which => 'new' );

    # When a hole begins the client has just heard of its server.
    for my $hole (@holes) {
        $hole->{zk}->exists('/');
        $hole->{proxy}->harm( "hold_$_" => 0, $hole->{which} ) for @{ $hole->{sides} };
        $hole->{until} = time + $hole->{seconds};
        ask($hole) for 1 .. 5;
    }
    ( $cpu, my $start ) = ( clock, time );
    my @open = sort { $a->{until} <=> $b->{until} } @holes;
    while (@open) {
        go_on( \@holes, time + 0.3 );
        ask($_) for @holes;
        while ( @open && $open[0]{until} < time ) {
            my $hole = shift @open;
            @{$hole}{qw(connected suspect)} = map { $hole->{zk}->$_ } qw(is_connected is_session_suspect);
            $hole->{proxy}->harm( heal => 0 );
            outcome($hole);
        }
    }
    $span = time - $start;
    $cpu  = clock() - $cpu;
    for my $hole (@holes) {
        go_on(
            [$hole],
            time + 60,
            sub {
                !grep { !$_ } @{ $hole->{told} }[ 0 .. $hole->{asked} - 1 ];
            }
        );
        1 while $hole->{zk}->dispatcher->dispatch_event;
        $hole->{stat}   = $setup->exists( $hole->{node} );
        $hole->{beyond} = !$hole->{zk}->is_session_suspect;
    }
    return;
}

# A server or a process that stands still is a hole of its own: then the others say nothing. Twice more with more time.
for my $last ( 0, 0, 1 ) {
    $longest = 0;
    my $is_done = eval { black_holes(); 1 };
    my $error   = $@;
    last       if $is_done && ( $last || $longest < $T / 5 );
    die $error if $last;
    note sprintf 'once more: something stood still for %.1f s', $longest;
    @holes = ();
    undef $_ for $old, $new;
    $T *= 2.4;
}

for my $hole (@holes) {
    my ( $zk, $name, $outcome ) = @{$hole}{qw(zk name outcome)};
    subtest "a black hole: $name" => sub {
        my %code;
        my @told = map { $_ // [] } @{ $hole->{told} }[ 0 .. $hole->{asked} - 1 ];
        is scalar( grep { @$_ != 1 } @told ), 0, 'each request is answered once';
        $code{ $_->[0] }++ for @told;
        my $may = $outcome eq 'expired' ? qr/\A(?:0|-4|-112)\z/ : qr/\A(?:0|-4)\z/;
        is_deeply [ grep { $_ !~ $may } keys %code ], [],
          'done, lost with the connection, or with the session';
        note join ', ', "$outcome, reconnects: " . $zk->metrics->{reconnects},
          map { "$_: $code{$_}" } sort keys %code;

        # Nobody hears of a client whose requests do not arrive; one whose requests do keeps its session.
        my $reaches = $hole->{which} || $hole->{span} eq 'half of T' || "@{ $hole->{sides} }" eq 'answers';
        is $outcome, $reaches ? 'alive' : 'expired', 'the session has lived' if $reaches;
        is $outcome, 'expired', 'the session has expired' if !$reaches && $hole->{span} eq 'three times T';
        if ( $hole->{span} ne 'half of T' && $hole != $new ) {
            ok !$hole->{connected}, 'the client has left by itself' if $hole != $old;
            ok scalar( grep { $_ == ZCONNECTIONLOSS } map { $_->[0] } @told[ 0 .. 4 ] ) == 5,
              'what was under way is lost';
        }
        ok $hole->{suspect}, 'the session was suspect' if $hole->{span} eq 'three times T';
        my $stat = $hole->{stat};
        if ( $outcome eq 'alive' ) {
            is $zk->client_id->{client_id},      $hole->{id}, 'the same session';
            is $stat && $stat->{ephemeralOwner}, $hole->{id}, 'with its ephemeral node';
            ok $hole->{beyond}, 'which is beyond suspicion';

            # What was lost with the connection may have been done, or not.
            my $done = $code{0} // 0;
            my $most = $done + ( $code{ 0 + ZCONNECTIONLOSS } // 0 );
            cmp_ok $stat->{version}, '>=', $done, 'what was said to be done is done';
            cmp_ok $stat->{version}, '<=', $most, 'and nothing twice';
        }
        else {
            is $stat,               undef,                     'its ephemeral node is gone';
            is $hole->{states}[-1], ZOO_EXPIRED_SESSION_STATE, 'and the default watcher has heard';
        }
    };
}

subtest 'one for new connections only is not noticed' => sub {
    is $new->{zk}->metrics->{reconnects}, 0, 'the connection is still there';
    is_deeply [ grep { $_ } map { @$_ } @{ $new->{told} } ], [], 'all is done';
};

subtest 'one for old connections only is left by a new connection' => sub {
    is $old->{zk}->metrics->{reconnects}, 1, 'one new connection';
    ok $old->{connected}, 'before the hole is closed';
};

subtest 'black holes do not make a client spin' => sub {
    cmp_ok $cpu, '<', 0.05 * $span + 0.2, "$cpu seconds of processor time in $span";
    for my $hole ( grep { $_->{span} eq 'three times T' } @holes ) {
        cmp_ok scalar $hole->{proxy}->connects(0), '<=', 5 + $hole->{seconds},
          "$hole->{name}: connections are few";
    }
};

@holes = ();
undef $_ for $old, $new;

# Servers that are no use, as they look from outside.
my %USELESS = (
    'accepts and never answers'         => [ hold_answers  => 1 ],
    'answers the handshake too late'    => [ delay_answers => 15 ],
    'closes right after accept'         => [ hang_up       => 0 ],
    'closes after a byte of the answer' => [ hang_up       => 1 ],
    'closes after a length'             => [ hang_up       => 4 ],
    'closes after half of the answer'   => [ hang_up       => 20 ],
    'closes one byte before its end'    => [ hang_up       => 40 ],
);

# One among two ports, and one alone. An attempt is given up after a third of the timeout: three seconds.
my ( @two, @alone );
@args = ( timeout => 9_000, dispatcher => 'Pipe' );
for my $name ( sort keys %USELESS ) {
    push @two,   my $two   = client( "two, $name", ports => 2 );
    push @alone, my $alone = client("alone, $name");
    my ( $what, $value ) = @{ $USELESS{$name} };
    my $at = $two->{proxy}->index_of( $two->{zk}->server );
    $two->{proxy}->harm( $what => $two->{bad} = 1 - $at, $value );
    $alone->{proxy}->harm( $what => 0, $value );
    ( $two->{connects} ) = scalar( my @before = $two->{proxy}->connects( $two->{bad} ) );
    $two->{proxy}->harm( reset => $at );
    $alone->{proxy}->harm( reset => 0 );
    ask($_) for $two, $alone;
}
( $cpu, my $start ) = ( clock, time );
go_on( [ @two, @alone ], time + 3.5 );
$cpu  = clock() - $cpu;
$span = time - $start;
for my $client (@alone) {
    $client->{tried}         = [ $client->{proxy}->connects(0) ];
    $client->{was_connected} = $client->{zk}->is_connected;
    $client->{proxy}->harm( heal => 0 );
}

for my $client (@two) {
    subtest "a server that is no use is left for another one: $client->{name}" => sub {
        outcome($client);
        is $client->{outcome},                    'alive',       'the session is alive';
        is $client->{zk}->client_id->{client_id}, $client->{id}, 'and the same';
        my $bad = $client->{bad};
        isnt $client->{proxy}->index_of( $client->{zk}->server ), $bad, 'at the other server';
        cmp_ok scalar( my @tried = $client->{proxy}->connects($bad) ), '>', $client->{connects},
          'after this one was tried';
    };
}

for my $client (@alone) {
    subtest "a server that is no use is tried again and again, but not at once: $client->{name}" => sub {
        my ( $before, @tried ) = @{ $client->{tried} };
        cmp_ok scalar @tried,                                '>=', 1, 'it was';
        cmp_ok scalar( grep { $_ < $tried[0] + 1 } @tried ), '<=', 6, 'five times in the first second';
        cmp_ok scalar @tried,                                '<=', 6 + $span, 'and once in each of the next';
        ok !$client->{was_connected}, 'in vain';
        outcome($client);
        is $client->{outcome},                    'alive', 'when it is of use again the session goes on';
        is $client->{zk}->client_id->{client_id}, $client->{id}, 'the same one';
    };
}

subtest 'servers that are no use do not make a client spin' => sub {
    cmp_ok $cpu, '<', 0.05 * $span + 0.2, "$cpu seconds of processor time in $span";
};

subtest 'a call that finds only a server that is no use ends in time' => sub {
    my @waiting;
    for my $name ( sort keys %USELESS ) {
        my ( $what, $value ) = @{ $USELESS{$name} };
        my $proxy = FaultProxy->new( $server->hosts );
        $proxy->harm( $what => 0, $value );
        my $zk = ZooKeeper->new(
            hosts           => $proxy->hosts,
            timeout         => 1_500,
            request_timeout => 60,
            dispatcher      => 'Pipe'
        );
        push @waiting, my $one = { name => $name, proxy => $proxy, zk => $zk, told => [] };
        $zk->exists( '/', cb => sub { push @{ $one->{told} }, $_[0] } );
    }
    go_on(
        \@waiting,
        time + 60,
        sub {
            !grep { !@{ $_->{told} } } @waiting;
        }
    );
    is 0 + ( $_->{told}[0] // 0 ), ZCONNECTIONLOSS, "$_->{name}: it has no connection" for @waiting;
};

done_testing;

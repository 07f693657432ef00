# Answers to a handshake that are odd, and what the program sees of the session then. (What is no answer at all is in
# rubbish.t.)
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Answers;
use FakeZK;
use GoodReplies;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

# Answers the n-th handshake with the n-th of these: fields that are otherwise, or a reference to the bytes of a frame;
# the last one is for all that come. Notes what is asked for.
sub server {
    my (@answers) = @_;
    return FakeZK->new(
        sub {
            my ($connection) = @_;
            my $answer = $answers[ $connection->number - 1 ] // $answers[-1];
            if ( ref $answer eq 'SCALAR' ) {
                $connection->frame;
                $connection->send_frame($$answer);
                $connection->frame;
                return;
            }
            my $asked = $connection->grant(%$answer) // return;
            $connection->note( "session $asked->{id} timeout $asked->{timeout} ",
                unpack 'H*', $asked->{passwd} );
            while ( defined( my $frame = $connection->frame ) ) {
                my ( $xid, $op, $path ) = unpack 'l> l> a*', $frame;
                $connection->note("request $op") if $op != 11;
                $connection->send_frame( good_reply( $xid, $op ) );
                last if $op == -11 || $path =~ m{/drop\z};
            }
        }
    );
}

# A handle, and the states that it has told of.
sub handle {
    my ( $fake, @more ) = @_;
    my @states;
    my $zk = ZooKeeper->new(
        hosts      => $fake->hosts,
        dispatcher => 'Pipe',
        watcher    => sub { push @states, $_[0]{state} },
        @more
    );
    $zk->{server_of_test} = $fake;    # lives as long
    return ( $zk, \@states );
}

sub dispatch_all {
    my ($zk) = @_;
    1 while $zk->dispatcher->dispatch_event;
    return;
}

subtest 'a server that grants no session, where there was none, is no end of one' => sub {
    for my $refusal (
        { timeout => 0 },
        { timeout => -1 },
        { id      => 0 },
        { timeout => 0, id => 0, passwd => undef }
      )
    {
        my $name = join ', ', map { "$_ " . ( $refusal->{$_} // 'null' ) } sort keys %$refusal;
        my $fake = server( $refusal, {} );
        my ( $zk, $states ) = handle($fake);
        is eval { $zk->exists('/x')->{czxid} } // $@, STAT->{czxid}, "$name: the next one is asked";
        dispatch_all($zk);
        is_deeply $states, [ZOO_CONNECTED_STATE],
          'the program hears that it is connected, and of nothing else';
        is $zk->client_id->{client_id}, 0x1234, 'it has a session';
    }
};

subtest 'an answer that is cut short is none' => sub {
    my $whole = pack 'N N q> N/a* C', 0, 10_000, 7, 'p' x 16, 0;
    for my $length ( 0 .. length($whole) - 2 ) {
        my $part = substr $whole, 0, $length;
        my ($zk) = handle( server( \$part, {} ) );
        my $told = eval {
            deadline 60,
              sub { $zk->exists('/x')->{czxid} }
        };
        is $told // $@,                 STAT->{czxid}, "$length bytes: the next server is asked";
        is $zk->client_id->{client_id}, 0x1234,        'and the session is from there' if $length < 36;
    }
};

subtest 'a password of another length is no password' => sub {
    for my $length ( 1, 15, 17, 1_000 ) {
        my ($zk) = handle( server( { passwd => 'q' x $length, id => 7 }, {} ) );
        is eval { $zk->exists('/x')->{czxid} } // $@, STAT->{czxid},
          "$length bytes: the next server is asked";
        is $zk->client_id->{passwd}, 'p' x 16, 'and the password is from there';
    }
    for my $passwd ( undef, '' ) {
        my ($zk) = handle( server( { passwd => $passwd } ) );
        is eval { $zk->exists('/x')->{czxid} } // $@, STAT->{czxid}, 'none is taken for zeros';
        is $zk->client_id->{passwd},                  "\0" x 16,     'of which there are sixteen';
    }
};

subtest 'a timeout that is far from the one asked for' => sub {
    for my $granted ( 1, 40, 2_000, 3_600_000, 2_147_483_647 ) {
        my $fake = server( { timeout => $granted } );
        my ( $zk, $states ) = handle( $fake, timeout => 10_000 );
        my $works = eval {
            wait_for {
                eval { $zk->exists('/x') }
            }
            30, 'a call';
        };
        ok $works, "$granted ms: a call works" or diag $@;
        is $zk->session_timeout, $granted, 'it is the timeout of the session';
        is $zk->timeout,         10_000,   'the accessor says what was asked for';
        next if $granted < 100;

# Who stands still for two seconds has reason to suspect, until the next answer, and may need a connection more.
        soon_ok {
            eval { $zk->exists('/x') } && !$zk->is_session_suspect
        }
        30, 'nothing is suspect';
        eval { $zk->sync('/drop') };
        ok wait_for {
            eval { $zk->exists('/x') }
        }
        30, 'a call on the next connection works, too';
        my @asked = grep { /\Asession/ } $fake->notes;
        cmp_ok scalar @asked, '>=', 2, 'a session was asked for again';
        is_deeply [ map { /timeout ([0-9]+)/ } @asked ], [ (10_000) x @asked ], 'with what the program wants';
    }
};

subtest 'a timeout of a millisecond does not make the client spin' => sub {
    my ($zk) = handle( server( { timeout => 1 } ) );
    wait_for {
        eval { $zk->exists('/x') }
    }
    30, 'a call';
    $zk->wait(2);
    cmp_ok $zk->metrics->{sent},       '<', 1_000, 'in two seconds it has sent not too many pings';
    cmp_ok $zk->metrics->{reconnects}, '<', 20,    'over not too many connections';
};

subtest 'numbers of sessions are kept to the last bit' => sub {
    for my $id ( -1, -9_223_372_036_854_775_807 - 1, 9_223_372_036_854_775_807, 1 ) {
        my $fake = server( { id => $id } );
        my ( $zk, $states ) = handle($fake);
        $zk->exists('/x');
        is $zk->client_id->{client_id}, $id, "number $id";
        eval { $zk->sync('/drop') };
        wait_for {
            eval { $zk->exists('/x') }
        }
        30, 'the next connection';
        my @asked = map { /\Asession (\S+)/ } $fake->notes;
        is_deeply \@asked, [ 0, $id ], 'it is asked for again';
        dispatch_all($zk);
        is_deeply [ grep { $_ == ZOO_EXPIRED_SESSION_STATE } @$states ], [], 'and goes on';
    }
};

my %end = (
    'a timeout of 0'                => { timeout => 0, id => 0, passwd => "\0" x 16 },
    'a timeout of -1'               => { timeout => -1 },
    'a session 0'                   => { id      => 0 },
    'another session, a new one'    => { id      => 0x5678, passwd  => 'q' x 16 },
    'another session, without end'  => { id      => 0x5678, timeout => 2_147_483_647 },
    'a session 0 of a newer server' => { id      => 0,      version => 1 },
);
for my $name ( sort keys %end ) {
    subtest "a session that is answered with $name has expired" => sub {
        my $fake = server( {}, $end{$name}, {} );
        my ( $zk, $states ) = handle($fake);
        $zk->exists('/x');
        my @watched;
        $zk->get( '/x', watcher => sub { push @watched, @_ } );
        my $id = $zk->client_id;

        # What is asked now is lost with the connection, or waits for the next one.
        my $answers = Answers->new;
        eval { $zk->sync('/drop') };
        $answers->ask( $zk, exists => '/queued' ) for 1 .. 3;
        my $told = eval { $zk->exists('/queued'); 1 } ? 'it worked' : 0 + $@;
        like $told, qr/\A(?:${\ ZSESSIONEXPIRED }|${\ ZCONNECTIONLOSS })\z/, 'a call fails';
        $answers->wait_for_all( $zk->dispatcher );
        is_deeply [ grep { !/ (?:-112|-4)\z/ } $answers->told ], [], 'so do others, in all forms';
        wait_for { $zk->is_unrecoverable } 30, 'the end of the session';

        for ( 1 .. 2 ) {
            is eval { $zk->exists('/x'); 1 } // 0 + $@, ZSESSIONEXPIRED, 'every call is told so';
            ok $@->is_session_lost, 'for good';
        }
        is $zk->state, ZOO_EXPIRED_SESSION_STATE, 'state';
        dispatch_all($zk);
        is scalar( grep { $_ == ZOO_EXPIRED_SESSION_STATE } @$states ), 1,
          'the watcher of the handle is told once';
        is scalar( grep { $_->{type} != ZOO_SESSION_EVENT } @watched ), 0, 'other watchers hear of no change';

        $zk->reopen;
        is $zk->exists('/x')->{czxid}, STAT->{czxid}, 'reopen gives a session that works';
        my @notes = $fake->notes;
        my ($other) = grep { $notes[$_] =~ /\Asession $id->{client_id} / } 0 .. $#notes;
        ok defined $other, 'the old one was asked for';
        like $notes[ $other + 1 ] // '', qr/\Asession 0 /, 'nothing was asked in the other one';
    };
}

subtest 'a session of another process that is not there any more' => sub {
    my $id   = { client_id => 0x77, passwd => 's' x 16 };
    my $fake = server( { timeout => 0, id => 0 }, {} );
    my ( $zk, $states ) = handle( $fake, client_id => $id );
    is eval { $zk->exists('/x'); 1 } // 0 + $@, ZSESSIONEXPIRED, 'the first call is told so';
    dispatch_all($zk);
    is_deeply $states,                             [ZOO_EXPIRED_SESSION_STATE], 'and the watcher';
    is_deeply [ grep { /request/ } $fake->notes ], [],                          'nothing was asked';
    $zk->reopen;
    ok $zk->exists('/x'), 'reopen asks for a new one';
    like join( ' ', $fake->notes ), qr/session 0 /, 'namely that';
};

subtest 'a server that is read-only' => sub {
    my $fake = server( { read_only => 1, id => 0x9999 }, {} );
    my ( $zk, $states ) = handle($fake);
    is $zk->exists('/x')->{czxid},  STAT->{czxid},       'is left by a handle that did not ask for it';
    is $zk->state,                  ZOO_CONNECTED_STATE, 'which is connected to the next one';
    is $zk->client_id->{client_id}, 0x1234,              'in a session from there';
    dispatch_all($zk);
    is_deeply $states, [ZOO_CONNECTED_STATE], 'and has heard of nothing else';

    $fake = server( { read_only => 1, id => 0x9999 } );
    ( $zk, $states ) = handle( $fake, read_only => 1 );
    is $zk->exists('/x')->{czxid}, STAT->{czxid},      'is good for a handle that did';
    is $zk->state,                 ZOO_READONLY_STATE, 'which says so';
    dispatch_all($zk);
    is_deeply $states, [ZOO_READONLY_STATE], 'to its watcher, too';
};

subtest 'a newer version of the protocol is taken, and bytes behind the end are passed over' => sub {
    my $longer = pack( 'N N q> N/a* C', 0, 10_000, 7, 'p' x 16, 0 ) . "\xff" x 20;
    my ($more) = handle( server( { bytes => $longer } ) );
    is eval { $more->exists('/x')->{czxid} } // $@, STAT->{czxid}, 'a longer answer';
    is $more->client_id->{client_id},               7,             'and the session is the one in it';
    for my $version ( 1, 2_147_483_647 ) {
        my ($zk) = handle( server( { version => $version } ) );
        is eval { $zk->exists('/x')->{czxid} } // $@, STAT->{czxid}, "version $version";
    }
};

done_testing;

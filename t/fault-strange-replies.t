# Frames that are well-formed, but answer what nobody has asked, or tell of what nobody knows. What can't be made sense
# of costs the connection, and each call under way its answer, once; what is harmless is passed over.
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

my @FORMS = qw(cb f blocking);

sub reply {
    my ( $xid, $code ) = @_;
    return pack 'N/a*', pack( 'l> q> l>', $xid, 1, $code // ZNONODE );
}

sub event {
    my ( $type, $state, $path, $zxid ) = @_;
    return pack 'N/a*', pack 'l> q> l> l> l> N/a*', -1, $zxid // -1, 0, $type, $state, $path;
}

# What is sent when three calls are under way, as a function of their xids; and what they come to: in the order in
# which they were asked, the last one by a blocking call. 0 stands for the answer that there is no such node.
my $LOST    = ZCONNECTIONLOSS;
my %replies = (
    'an unknown xid first' => [
        sub {
            reply( $_[2] + 1 ), map { reply($_) } @_;
        },
        ($LOST) x 3
    ],
    'an unknown xid between' => [ sub { reply( $_[0] ), reply(77), reply( $_[1] ) }, 0, $LOST, $LOST ],
    'a negative xid that means nothing' => [
        sub {
            map { reply($_) } -3, @_;
        },
        ($LOST) x 3
    ],
    'the greatest xid' => [ sub { reply(2_147_483_647) }, ($LOST) x 3 ],
    'the smallest xid' => [ sub { reply(-2_147_483_648) }, ($LOST) x 3 ],
    'an answer twice'  => [
        sub {
            map { reply($_) } @_[ 0, 0, 1, 2 ];
        },
        0,
        $LOST,
        $LOST
    ],
    'answers in another order' => [
        sub {
            map { reply($_) } @_[ 0, 2, 1 ];
        },
        0,
        $LOST,
        $LOST
    ],
    'the last answer first' => [
        sub {
            map { reply($_) } @_[ 2, 0, 1 ];
        },
        ($LOST) x 3
    ],
    'only the last answer'                               => [ sub { reply( $_[2] ) }, ($LOST) x 3 ],
    'an authentication that nobody asked for is granted' => [
        sub {
            map { reply($_) } -4, @_;
        },
        ($LOST) x 3
    ],
    'an authentication that nobody asked for is refused' => [
        sub {
            reply( -4, ZAUTHFAILED ), map { reply($_) } @_;
        },
        ($LOST) x 3
    ],
    'watches that nobody has set are refused' => [
        sub {
            reply( -8, ZSYSTEMERROR ), map { reply($_) } @_;
        },
        ($LOST) x 3
    ],
);
my %harmless = (
    'watches that nobody has set are set'    => sub { reply( -8, ZOK ) },
    'the answer to a ping that was not sent' => sub { reply( -2, ZOK ) },
    'a hundred of them'                      => sub { ( reply( -2, ZOK ) ) x 100 },
    'such an answer with an error'           => sub { reply( -2, -999 ) },
    'an event of a path that nobody watches' => sub { event( ZOO_CHANGED_EVENT, 3, '/nobody' ) },
    'an event of type 99'                    => sub { event( 99,                3, '/x' ) },
    'an event of the smallest type'          => sub { event( -2_147_483_648,    3, '/x' ) },
    'an event without a path'                => sub { event( ZOO_CHANGED_EVENT, 3, '' ) },
    'an event whose path is none'            => sub { event( ZOO_CHANGED_EVENT, 3, "x\0\xff" ) },
    'a session event: expired'          => sub { event( ZOO_SESSION_EVENT, ZOO_EXPIRED_SESSION_STATE, '' ) },
    'a session event: disconnected'     => sub { event( ZOO_SESSION_EVENT, 0,                         '' ) },
    'an event that a watch was removed' => sub { event( 5,                 3, '/x' ) },
    'an event with a zxid of the far future'      => sub { event( ZOO_CHANGED_EVENT, 3, '/nobody', 2**62 ) },
    'ten thousand events of paths nobody watches' =>
      sub { ( event( ZOO_CHANGED_EVENT, 3, '/nobody' ) ) x 10_000 },
);
$replies{$_} = [ harmless( $harmless{$_} ), 0, 0, 0 ] for keys %harmless;

sub harmless {
    my ($code) = @_;
    return sub {
        reply( $_[0] ), $code->(), map { reply($_) } @_[ 1, 2 ];
    };
}

my $fake = FakeZK->new(
    sub {
        my ($connection) = @_;
        my ($name)       = map { tr/_/ /r } $connection->order;
        my $asked        = $connection->grant // return;
        $connection->note("session $asked->{id} zxid $asked->{zxid}");
        my @xids;
        while ( defined( my $frame = $connection->frame ) ) {
            my ( $xid, $op ) = unpack 'l> l>', $frame;
            if ( !defined $name || $op == -11 ) {
                $connection->send( reply( $xid, $op == -11 ? ZOK : ZNONODE ) );
                last if $op == -11;
                next;
            }
            push @xids, $xid;
            next if @xids < @FORMS;
            $connection->send( join '', $replies{$name}[0]->(@xids) );
            undef $name;
        }
    }
);

for my $name ( sort keys %replies ) {
    subtest $name => sub {
        my ( undef, @expected ) = @{ $replies{$name} };
        my @seen;
        $fake->order( $name =~ tr/ /_/r );
        my $zk = ZooKeeper->new(
            hosts      => $fake->hosts,
            dispatcher => 'Pipe',
            watcher    => sub { push @seen, $_[0]{state} }
        );
        my $answers = Answers->new;
        my $said    = sub { $_[0] =~ /(\S+)\z/ && $1 == ZNONODE ? 0 : $_[0] =~ /(\S+)\z/ };
        my @told    = deadline 60, sub {
            $answers->ask_in( $_, $zk, get => '/x' ) for qw(cb f);
            my $last = eval { $zk->get('/x'); 1 } // 0 + $@;
            $answers->wait_for_all( $zk->dispatcher );
            return map { $said->($_) } $answers->told, $last;
        };
        is_deeply \@told, \@expected, 'the calls under way';
        is eval { $zk->exists('/x') } // $@ || 'no node', 'no node', 'a call after that works';
        1 while $zk->dispatcher->dispatch_event;
        $answers->promises;
        is_deeply [ grep { /twice/ } $answers->told ], [], 'none is answered twice';
        my @sessions = grep { /\Asession/ } $fake->notes;
        my $lost     = grep { $_ } @expected;
        is scalar @sessions, $lost ? 2 : 1, $lost ? 'on the next connection' : 'on the same connection';
        is_deeply [ map { /zxid (\S+)/ } @sessions ], [ 0, ( $expected[0] ? 0 : 1 ) x ( @sessions - 1 ) ],
          'which knows what was seen, in answers that made sense';
        is_deeply [ grep { $_ < 0 } @seen ], [], 'the session has not ended';
        is $zk->state, ZOO_CONNECTED_STATE, 'and is connected';
    };
}

# Events of what nobody knows, while somebody watches. Each is followed by a good one.
sub watched {
    my ( $chroot, @events ) = @_;
    my $fake = FakeZK->answering(
        9 => sub {
            my ( $connection, $xid ) = @_;
            $connection->send( join '', @events );
            return good_reply( $xid, 9 );
        }
    );
    my %seen;
    my $zk      = ZooKeeper->new( hosts => $fake->hosts . $chroot, dispatcher => 'Pipe' );
    my $watcher = sub {
        my ($name) = @_;
        return watcher => sub { push @{ $seen{$name} }, { %{ $_[0] } } };
    };
    $zk->get( '/x', $watcher->('get') );
    $zk->get_children( '/x', $watcher->('get_children') );
    $zk->add_watch( '/x', $watcher->('persistent') );
    $zk->add_watch( '/', $watcher->('recursive'), recursive => 1 );
    $zk->sync('/x');
    1 while $zk->dispatcher->dispatch_event;
    is $zk->metrics->{reconnects}, 0, 'the connection lives';
    return \%seen;
}

subtest 'an event of an unknown type calls nobody, and takes no watch off' => sub {
    my $good = { type => ZOO_CHANGED_EVENT, state => ZOO_CONNECTED_STATE, path => '/x' };
    for my $type ( 99, 0, -2, 2_147_483_647, -2_147_483_648 ) {
        my $seen = watched( '', event( $type, 3, '/x' ), event( ZOO_CHANGED_EVENT, 3, '/x' ) );
        is_deeply $seen, { map { $_ => [$good] } qw(get persistent recursive) }, "type $type";
    }
    is zevent(99), 'unknown event', 'it has no name';
};

subtest 'an event in an unknown state has its number' => sub {
    for my $state ( 99, 0, -1, 2_147_483_647, -2_147_483_648 ) {
        my $event = { type => ZOO_CHANGED_EVENT, state => $state, path => '/x' };
        my $seen  = watched( '', event( ZOO_CHANGED_EVENT, $state, '/x' ) );
        is_deeply $seen, { map { $_ => [$event] } qw(get persistent recursive) }, "state $state";
    }
    is zstate(99), 'unknown state', 'it has no name';
};

subtest 'an event outside the chroot calls nobody' => sub {
    my $good    = { type => ZOO_CHANGED_EVENT, state => ZOO_CONNECTED_STATE, path => '/x' };
    my @outside = qw(/x / /ap /apple /apple/x /other/app/x app/x);
    my $seen    = watched(
        '/app',
        ( map { event( ZOO_CHANGED_EVENT, 3, $_ ) } @outside, '' ),
        event( ZOO_CHANGED_EVENT, 3, '/app/x' )
    );
    is_deeply $seen, { map { $_ => [$good] } qw(get persistent recursive) }, 'only the one inside does';
};

done_testing;

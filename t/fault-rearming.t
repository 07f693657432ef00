# What goes over the wire when a session with watches finds another connection, and servers that will not arm them again.
# (What real servers do with them is in fault-replay.t and the tests of watches.)
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Answers;
use FakeZK;
use File::Temp ();
use GoodReplies;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

my $WATCHES = at_length( 100_000, 10_000 );

# No packet is longer: a server may take no more than a megabyte, and 128 KB is what others do with.
my $PACKET = 128 * 1_024;

my $ZXID = ( 1 << 32 ) + 0x77;

# Handles each connection by code of its number (the last one is for all that come), which is called for each request
# and says how it is answered: bytes of frames, and undef if that ends the connection. What it does not answer is answered
# well, or by ZNONODE if the path ends with "none".
sub server {
    my (@codes) = @_;
    my $log     = File::Temp->new;
    my $fake    = FakeZK->new(
        sub {
            my ($connection) = @_;
            my $code         = $codes[ $connection->number - 1 ] // $codes[-1];
            $connection->grant( timeout => 60_000 ) // return;
            $connection->note( 'connection ' . $connection->number );
            while ( defined( my $frame = $connection->frame ) ) {
                my ( $xid, $op, $rest ) = unpack 'l> l> a*', $frame;
                syswrite $log, pack 'N N/a*', $connection->number, $frame if $op != 11;
                my @answer = $code->( $xid, $op, $rest );
                $connection->send( join '', @answer ? grep { defined } @answer : good( $xid, $op, $rest ) );
                last if grep { !defined } @answer;
                last if $op == -11 || $op == 9 && $rest =~ m{/drop\z};
            }
        }
    );
    return ( $fake, $log );
}

sub good {
    my ( $xid, $op, $rest ) = @_;
    my $is_missing = $op == 3 && unpack( 'N/a*', $rest ) =~ /none\z/;
    return reply( $xid, $is_missing ? ZNONODE : ZOK, $is_missing ? '' : substr good_reply( $xid, $op ), 16 );
}

sub reply {
    my ( $xid, $code, $body ) = @_;
    return pack 'N/a*', pack( 'l> q> l>', $xid, $ZXID, $code ) . ( $body // '' );
}

sub event {
    my ( $type, $path ) = @_;
    return pack 'N/a*', pack 'l> q> l> l> l> N/a*', -1, -1, 0, $type, ZOO_CONNECTED_STATE, $path;
}

# What a connection was asked, in order.
sub asked {
    my ( $log, $number ) = @_;
    open my $file, '<:raw', $log->filename or die "the log: $!\n";
    my @all = unpack '(N N/a*)*', do { local $/; readline $file };
    my @asked;
    while ( my ( $of, $frame ) = splice @all, 0, 2 ) {
        push @asked, $frame if $of == $number;
    }
    return @asked;
}

sub handle {
    my ( $fake, @more ) = @_;
    my $zk = ZooKeeper->new(
        hosts      => $fake->hosts,
        dispatcher => 'Pipe',
        timeout    => 60_000,
        watcher    => sub { },
        @more
    );
    $zk->{server_of_test} = $fake;    # lives as long
    return $zk;
}

# A call on the next connection that there is.
sub works_again {
    my ($zk) = @_;
    return wait_for {
        eval { $zk->exists('/x') }
    }
    60, 'a call that works';
}

sub dispatch_all {
    my ($zk) = @_;
    1 while $zk->dispatcher->dispatch_event;
    return;
}

# A packet of watches, as a hash ref of kind => paths; dies when it is anything else, to the last byte.
sub watches_of {
    my ($frame) = @_;
    my ( $xid, $op, $zxid, $rest ) = unpack 'l> l> q> a*', $frame;
    my @kinds = qw(data exist child persistent recursive) [ 0 .. ( $op == 101 ? 2 : 4 ) ];
    my ( %of, $count );
    for my $kind (@kinds) {
        ( $count, $rest ) = unpack 'N a*', $rest;
        for ( 1 .. $count ) {
            ( my $path, $rest ) = unpack 'N/a* a*', $rest;
            push @{ $of{$kind} }, $path;
        }
    }
    die "$op with xid $xid, zxid $zxid and bytes behind the end\n"
      if $xid != -8 || $zxid != $ZXID || length $rest || $op != 101 && $op != 105;
    die "setWatches2 though there are none that stay\n" if $op == 105 && !$of{persistent} && !$of{recursive};
    return \%of;
}

subtest "$WATCHES watches of all kinds are armed again, each once, in packets of at most 128 KB" => sub {
    my ( $fake, $log ) = server( sub { } );
    my $zk = handle( $fake, hosts => $fake->hosts . '/app', authentication => [ digest => 'me:secret' ] );
    my ( %expected, $failed );
    my $answered = 0;
    my @ways     = ( [ get => 'data' ], [ exists => 'exist' ], [ get_children => 'child' ] );
    for my $number ( 1 .. $WATCHES ) {
        my ( $method, $kind ) = @{ $ways[ $number % @ways ] };
        my $path = sprintf '/%d/%s%s', $number, 'p' x ( 1 + $number % 90 ), $kind eq 'exist' ? 'none' : '';
        push @{ $expected{$kind} }, "/app$path";
        $zk->$method(
            $path,
            watcher => sub { },
            cb      => sub { $answered++; $failed //= $_[0] if $_[0] && $_[0] != ZNONODE }
        );
        wait_for { dispatch_all($zk); $answered == $number } 60, 'answers' if $number % 1_000 == 0;
    }
    is $failed, undef, 'they are set';
    $zk->add_watch( '/stays', watcher => sub { } );
    $zk->add_watch( '/stays2', watcher => sub { }, recursive => 1 );
    @expected{qw(persistent recursive)} = ( ['/app/stays'], ['/app/stays2'] );
    eval { $zk->sync('/drop') };
    works_again($zk);

    my @asked   = asked( $log, 2 );
    my @packets = grep { my ($xid) = unpack 'l>', $_; $xid == -8 } @asked;
    is join( ' ', map { ( unpack 'l> l>', $_ )[1] } @asked ), join( ' ', 100, (101) x $#packets, 105, 3 ),
      'the authentication, the watches, and what the program asks, in this order';
    is_deeply [ grep { length > $PACKET } @packets ], [], 'no packet is longer';
    cmp_ok scalar @packets, '>', 4, 'there are several';
    my %got;
    for my $packet (@packets) {
        my $of = watches_of($packet);
        push @{ $got{$_} }, @{ $of->{$_} } for keys %$of;
    }
    for my $kind ( sort keys %expected ) {
        my $same = join( ' ', sort @{ $got{$kind} } ) eq join ' ', sort @{ $expected{$kind} };
        ok $same, "$kind: all of them, each once, below the chroot";
    }
    is_deeply [ sort keys %got ], [ sort keys %expected ], 'and nothing else';
};

# The watches that the next tests have, on a handle of their own; and what became of them.
sub watched {
    my ($fake) = @_;
    my $zk = handle($fake);
    my @seen;
    $zk->get( '/x', watcher => sub { push @seen, "data $_[0]{path}" } );
    $zk->exists( '/none', watcher => sub { push @seen, "exist $_[0]{path}" } );
    $zk->get_children( '/x', watcher => sub { push @seen, "child $_[0]{path}" } );
    return ( $zk, \@seen );
}
my $all_events = join '', event( ZOO_CHANGED_EVENT, '/x' ), event( ZOO_CREATED_EVENT, '/none' ),
  event( ZOO_CHILD_EVENT, '/x' );

for my $code ( ZSYSTEMERROR, ZNOAUTH, ZSESSIONMOVED, -999 ) {
    subtest "a server that refuses to arm watches with $code is left, and no watch is lost" => sub {
        my $refuses = sub { my ( $xid, $op ) = @_; return $op == 101 ? reply( $xid, $code ) : () };
        my $fires   = sub {
            my ( $xid, $op, $rest ) = @_;
            return $op == 9 ? ( $all_events, good( $xid, $op, $rest ) ) : ();
        };
        my ( $fake, $log )  = server( sub { }, $refuses, $refuses, $fires );
        my ( $zk,   $seen ) = watched($fake);
        my $id = $zk->client_id->{client_id};
        eval { $zk->sync('/drop') };
        my $answers = Answers->new;
        $answers->ask( $zk, get => '/x' ) for 1 .. 6;
        works_again($zk);
        $answers->wait_for_all( $zk->dispatcher );
        is_deeply [ grep { !/ (?:0|-4)\z/ } $answers->told ], [],
          'calls under way are lost, or answered later';
        is $zk->client_id->{client_id}, $id, 'the session is the same';
        is_deeply $seen, [], 'nobody was called';
        my @packets =
          map { watches_of($_) } grep { my ($xid) = unpack 'l>', $_; $xid == -8 } asked( $log, 4 );
        is_deeply \@packets, [ { data => ['/x'], exist => ['/none'], child => ['/x'] } ],
          'the next server gets all of them';
        $zk->sync('/x');
        dispatch_all($zk);
        is_deeply [ sort @$seen ], [ 'child /x', 'data /x', 'exist /none' ], 'which fire there, once';
    };
}

subtest 'a server that always refuses to arm watches is not called in a frenzy' => sub {
    my ($fake) = server( sub { }, sub { my ( $xid, $op ) = @_; return $op == 101 ? reply( $xid, -1 ) : () } );
    my ($zk)   = watched($fake);
    eval { $zk->sync('/drop') };
    my @connections;
    wait_for {
        push @connections, grep { /\Aconnection/ } $fake->notes;
        @connections > 3
    }
    60, 'attempts';
    $zk->wait(3);
    my $more = grep { /\Aconnection/ } $fake->notes;
    cmp_ok $more, '<=', 20, 'at most five times a second, and some more at the beginning';
    my $error = eval { $zk->exists( '/x', request_timeout => 2 ); 1 } ? 'it worked' : $@;
    ok ref $error && ( $error->is_connection_loss || $error == ZOPERATIONTIMEOUT ), 'a call fails in time'
      or diag $error;
};

# A server that does not know what is newer than 3.4 says so and ends the connection.
my $old = sub {
    my ( $xid, $op ) = @_;
    return if $op < 15 || $op == 100 || $op == 101;
    return ( reply( $xid, ZUNIMPLEMENTED ), undef );
};

subtest 'a server that knows no watches which stay' => sub {
    my @dead;
    my ( $fake, $log ) = server($old);
    my ( $zk, $seen )  = watched($fake);
    my $id      = $zk->client_id->{client_id};
    my $before  = () = $zk->get_watchers;
    my $answers = Answers->new;
    my @add     = ( add_watch => '/x', watcher => sub { push @dead, @_ } );
    for my $form ( 'blocking', $answers->forms ) {
        works_again($zk);
        if ( $form eq 'blocking' ) {
            my ( $method, @args ) = @add;
            is eval { $zk->$method(@args); 1 } // 0 + $@, ZUNIMPLEMENTED, 'a call says so';
        }
        else { $answers->ask_in( $form, $zk, @add ) }
        $answers->wait_for_all( $zk->dispatcher );
    }
    is_deeply [ map { /(\S+)\z/ } $answers->told ], [ (ZUNIMPLEMENTED) x $answers->forms ],
      'in all forms of it';
    works_again($zk);
    my $after = () = $zk->get_watchers;
    is $after,                      $before, 'no watcher is kept';
    is $zk->client_id->{client_id}, $id,     'the session is the same';
    my $connections = $zk->metrics->{reconnects} + 1;
    cmp_ok $connections, '>=', 4, 'each of them has cost the connection';

    for my $number ( 2 .. $connections ) {
        my ($first) = asked( $log, $number );
        is_deeply eval { watches_of($first) }, { data => ['/x'], exist => ['/none'], child => ['/x'] },
          "connection $number: the old kinds are armed, by the old request"
          or diag $@;
    }
};

subtest 'watches that stay wait for a server that knows them' => sub {
    my $new = sub {
        my ( $xid, $op, $rest ) = @_;
        return $op == 9 ? ( $all_events, good( $xid, $op, $rest ) ) : ();
    };
    my ( $fake, $log )  = server( sub { }, $old, $old, $new );
    my ( $zk,   $seen ) = watched($fake);
    $zk->add_watch( '/x', watcher => sub { push @$seen, "persistent $_[0]{type}" } );
    eval { $zk->sync('/drop') };
    works_again($zk);
    $zk->sync('/x');
    dispatch_all($zk);
    my @packets = map { watches_of($_) } grep { my ($xid) = unpack 'l>', $_; $xid == -8 } asked( $log, 4 );
    my %all;
    for my $packet (@packets) { push @{ $all{$_} }, @{ $packet->{$_} } for keys %$packet }
    is_deeply \%all, { data => ['/x'], exist => ['/none'], child => ['/x'], persistent => ['/x'] },
      'it gets all watches';
    my @resync = grep { $_ eq 'persistent ' . ZOO_RESYNC_EVENT } @$seen;
    cmp_ok scalar @resync, '>=', 1, 'whoever watches is told that he may have missed something';
    is_deeply [ sort grep { !/persistent -3/ } @$seen ],
      [ 'child /x', 'data /x', 'exist /none', map { "persistent $_" } ZOO_CHANGED_EVENT, ZOO_CHILD_EVENT ],
      'and of all that changes then';
};

done_testing;

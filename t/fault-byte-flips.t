# A session in which all is well but for one byte that the server sends, each byte in turn: every call is answered once,
# whatever it is told, and the handle works again. FLIPS_SEED does a run again.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Answers;
use FakeZK;
use GoodReplies;
use TestZK;

use POSIX ();
use ZooKeeper;
use ZooKeeper::Constants;

# How often each byte is changed, to something else each time.
my $TIMES = at_length( 20, 1 );

# More than all of it may take of memory, in KB: a length that lies would take more.
my $MEMORY = 200_000;

# Seconds after which the server closes a connection, once a byte was wrong: a length may have become greater, so that
# the client waits for bytes that do not come. It would give up by itself after two thirds of the session timeout.
my $PATIENCE = 0.02;

# So many processes share the work.
my $WORKERS = 4;

# Bytes of the answer to a handshake.
my $HANDSHAKE = 41;

# How many bytes the stream has by the end of its first connection, and of its second.
my @connection;

my $seed = $ENV{FLIPS_SEED} // time ^ $$;
srand $seed;

# The bytes of all connections of a handle are one stream; one of them is changed.
sub spoiling_server {
    return FakeZK->new(
        sub {
            my ($connection) = @_;
            our ( $sent, $at, $mask );
            if ( my @order = $connection->order ) {
                ( $at, $mask ) = @order;
                $sent = 0;
            }
            my $session = unpack 'x[16] q>', $connection->frame // return;
            my $send    = sub {
                my ($payload) = @_;
                my $bytes     = pack 'N/a*', $payload;
                my $here      = $at - $sent;
                substr( $bytes, $here, 1 ) ^= chr $mask if $here >= 0 && $here < length $bytes;
                $sent += length $bytes;
                $connection->send($bytes);
            };
            $send->( pack 'N N q> N/a* C', 0, 10_000, $session || 0x1234, 'p' x 16, 0 );
            while ( defined( my $frame = $connection->frame( $sent > $at ? $PATIENCE : () ) ) ) {
                my ( $xid, $op, $path ) = unpack 'l> l> a*', $frame;
                if ( $op == 11 ) {    # of one that stands still: no part of the stream
                    $connection->send_frame( good_reply( $xid, $op ) );
                    next;
                }
                $send->( pack 'l> q> l> l> l> N/a*', -1, -1, 0, ZOO_CHANGED_EVENT, ZOO_CONNECTED_STATE, '/x' )
                  if $op == 5;
                $send->( good_reply( $xid, $op ) );
                last if $op == -11 || $op == 9 && $path =~ m{/over\z};
            }
            $connection->note($sent);
        }
    );
}

# A session in which a byte is wrong; returns what is wrong with that, and with the session's last words.
sub session {
    my ( $fake, $at, $mask ) = @_;
    $fake->order( $at, $mask );
    my ( @events, @wrong );
    my $zk = ZooKeeper->new(
        hosts          => $fake->hosts,
        dispatcher     => 'Pipe',
        authentication => [ digest => 'me:secret' ],
        utf8           => ( $at + $mask ) % 2,
        watcher        => sub { }
    );
    my $answers = Answers->new;
    $answers->ask( $zk, get          => '/x', watcher => sub { push @events, "data $_[0]{path}" } );
    $answers->ask( $zk, get_children => '/x', watcher => sub { push @events, "children $_[0]{path}" } );
    $answers->ask( $_->{on}->($zk), $_->{name}, @{ $_->{args} } ) for good_replies();
    push @wrong, blocking( $zk, sync => '/over' );    # the server ends the connection with this
    $answers->wait_for_all( $zk->dispatcher );
    my @told = $answers->told;
    push @wrong, grep { !/ -?[0-9]+\??\z/ } @told;
    push @wrong, map { "no string: $told[$_]" }
      grep { $told[$_] =~ / 0\z/ && !is_sound( $answers->results($_) ) } 0 .. $#told;

    # Now there may be none, or one for a time. Or none for good, if it was the word about the authentication.
    my $works = wait_for {
        push @wrong, blocking( $zk, exists => '/fine' );
        return 1 if !$@ || @wrong;
        return 0 if !$@->is_session_lost;
        push @wrong, "the session has ended by $@" if $@ != may_end($at);
        $zk->reopen;
        return 0;
    }
    30, 'a call that works';
    1 while $zk->dispatcher->dispatch_event;
    my %called;
    $called{$_}++ || m{\A(?:data|children) /x\z} || push @wrong, "an event: $_" for @events;
    push @wrong, grep { $called{$_} > 1 } keys %called;
    return @wrong;
}

# Whether all strings in there are what perl takes for strings.
sub is_sound {
    for my $value (@_) {
        my $kind = ref $value;
        my @inner =
            $kind eq 'ARRAY' ? @$value
          : $kind eq 'HASH'  ? %$value
          :                    ();
        return 0 if !$kind && defined $value && !utf8::valid($value);
        return 0 if !is_sound(@inner);
    }
    return 1;
}

# What the session may end by, if this byte is wrong: the second handshake may say that it is not granted any more, or
# that it is another one. Elsewhere it is the word about the authentication.
sub may_end {
    my ($at) = @_;
    my $into = $at - $connection[0];
    return $into >= 0 && $into < $HANDSHAKE ? ZSESSIONEXPIRED : ZAUTHFAILED;
}

# Makes a call, and returns what was wrong with that. Its error, of which there may be any, is left in $@.
sub blocking {
    my ( $zk, $method, @args ) = @_;
    return if eval { $zk->$method(@args); 1 };
    return ref $@ && $@->isa('ZooKeeper::Error') ? () : "$method died: $@";
}

# One session in which all is well says how long the stream is.
# (A server that stands still is given up amid the handshake, and asked again: such a one says nothing.)
my ( @wrong, @notes );
for ( 1 .. 5 ) {
    my $fake = spoiling_server();
    @wrong = session( $fake, 1e9, 0 );
    @notes = ();
    wait_for { push @notes, $fake->notes; @notes >= 2 } 30, 'the end of both connections';
    last if @notes == 2 && $notes[0] > $HANDSHAKE + 4;
}
is_deeply \@wrong, [], 'without a wrong byte';
@connection = @notes;
my ( $first, $both ) = @connection;
cmp_ok $first, '>', 1_000,               'it has so many bytes';
cmp_ok $both,  '>', $first + $HANDSHAKE, 'and goes on in another connection';

my @mask    = map { 1 + int rand 255 } 1 .. $TIMES * $both;
my @workers = map { worker($_) } 0 .. $WORKERS - 1;
is_deeply [ map { chomp; $_ } map { readline $_ } @workers ], [],
  "each of $both bytes, $TIMES times: nothing is wrong"
  or diag "FLIPS_SEED=$seed";
is_deeply [ map { close $_ ? 0 : $? } @workers ], [ (0) x $WORKERS ], 'and nothing has crashed';

# A process that does its part of the sessions, and says what was wrong: most of the time they wait.
sub worker {
    my ($part) = @_;
    my $pid    = open my $pipe, '-|' // die "fork: $!\n";
    return $pipe if $pid;
    my $fake = spoiling_server();

    # Another handle of the same process, with a server that does all well.
    my $well = FakeZK->new( sub { $_[0]->handshake(60_000) and $_[0]->serve(ZNONODE) } );
    my $calm = ZooKeeper->new( hosts => $well->hosts, dispatcher => 'Pipe', timeout => 60_000 );
    $calm->exists('/x');
    my $memory = memory();
    my @died;
    for my $number ( grep { $_ % $WORKERS == $part } 0 .. $#mask ) {
        my ( $at, $mask ) = ( $number % $both, $mask[$number] );
        my @wrong = eval {
            deadline 120,
              sub { session( $fake, $at, $mask ) }
        };
        push @wrong, "died: $@"               if $@ && !@wrong;
        push @wrong, 'another handle felt it' if defined $calm->exists('/x') || $calm->metrics->{reconnects};
        print "byte $at changed by $mask: ", s/\n/ /gr, "\n" for @wrong;
        push @died, grep { /died/ } map { $_->notes } $fake, $well;    # they wait when nobody reads them
    }
    print "the server: $_\n" for @died;
    my $took = memory() - $memory;
    print "$took KB of memory were taken\n" if $took > $MEMORY;
    close STDOUT;
    undef $_ for $calm, $well, $fake;
    POSIX::_exit(0);
}

sub memory {
    open my $status, '<', '/proc/self/status' or die "/proc/self/status: $!\n";
    my ($kilobytes) = map { /\AVmPeak:\s+([0-9]+)/ ? $1 : () } <$status>;
    return $kilobytes;
}

done_testing;

# Whatever a server sends in place of a reply: the calls under way get an error, the connection is replaced, and nothing
# crashes, hangs or takes memory for a length that lies. Each reply is answered so in each form of a call, while others
# are under way. (Handshakes that are none, and what is wrong before a body begins, are in rubbish.t.)
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Answers;
use FakeZK;
use GoodReplies;
use SaslServer;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

# More than any of this may take of memory, in KB; and less than any length that lies.
my $MEMORY = 200_000;

# Replies are read up to this, or jute_maxbuffer.
my $LIMIT = 64 * 1_024 * 1_024;

my @FORMS = qw(cb f blocking);

# A case: the reply that is asked for, and what comes instead as a function of the xid.
my ( @cases, %of );
for my $row ( good_replies() ) {
    my $body = $row->{body};
    my $name = $row->{of} // $row->{name};
    $of{$name} = [ scalar @cases ];
    add( $row, "length -1 of a frame",       sub { pack 'N', 0xffffffff } );
    add( $row, "a frame longer than may be", sub { pack 'N', $LIMIT + 1 } );
    add( $row, "a header of $_ bytes",       framed( substr reply_frame( 0, '' ), 0, $_ ) ) for 0, 3, 15;
    add( $row, "a body of $_ bytes", framed( substr( $body, 0, $_ ), 'body' ) ) for 0 .. length($body) - 1;
    for my $at ( @{ $row->{lengths} // [] }, @{ $row->{counts} // [] } ) {
        my $left  = length($body) - $at - 4;
        my $items = grep { $_ == $at } @{ $row->{counts} // [] };
        for my $lie ( -2, -2_147_483_648, 2_147_483_647, $left + 1, $items ? int( $left / 4 ) + 1 : () ) {
            my $bad = $body;
            substr $bad, $at, 4, pack 'l>', $lie;
            add( $row, "length $lie at $at", framed( $bad, 'body' ) );
        }
    }
    push @{ $of{$name} }, $#cases;
}

# Events, while a reply is waited for.
my $event = pack 'l> q> l> l> l> N/a*', -1, -1, 0, ZOO_CHANGED_EVENT, ZOO_CONNECTED_STATE, '/x';
$of{event} = [ scalar @cases ];
for my $length ( 16 .. length($event) - 1 ) {
    add( ( good_replies() )[0], "an event of $length bytes", framed( substr $event, 0, $length ) );
}
for my $lie ( -2, -2_147_483_648, 2_147_483_647, 3 ) {
    my $bad = $event;
    substr $bad, 24, 4, pack 'l>', $lie;
    add( ( good_replies() )[0], "an event with a path of $lie bytes", framed($bad) );
}
push @{ $of{event} }, $#cases;

sub add {
    my ( $row, $name, $code ) = @_;
    return if $row->{ignored} && $name =~ /body/;
    push @cases, { row => $row, name => $name, bytes => $code };
    return;
}

# What comes in a frame: all of it, or only the body.
sub framed {
    my ( $bytes, $is_body ) = @_;
    return sub { pack 'N/a*', $is_body ? reply_frame( $_[0], $bytes ) : $bytes };
}

# One that stands still for a third of its timeout asks for a pong as well.
sub is_ping { return $_[0][1] == 11 }

# The connection that a case was ordered for gives the bad answer to one request, and good ones to all others.
my $fake = FakeZK->new(
    sub {
        my ($connection) = @_;
        my ( $case, $bad ) = $connection->order;
        $connection->handshake or return;
        my @asked;
        while ( defined( my $frame = $connection->frame ) ) {
            my ( $xid, $op ) = unpack 'l> l>', $frame;
            push @asked, [ $xid, $op ];
            next if defined $case && $op != -11 && @FORMS > grep { !is_ping($_) } @asked;  # all are under way
            for my $request (@asked) {
                defined $case
                  && !is_ping($request)
                  && !$bad--
                  ? $connection->send( $cases[$case]{bytes}->( $request->[0] ) )
                  : $connection->send_frame( good_reply(@$request) );
            }
            @asked = ();
            last if $op == -11;
        }
    }
);

# What became of the call in each form, when a request was answered badly; and of a call after that. A request goes out
# in each form: what came before the bad answer was good.
sub told {
    my ( $number, $bad ) = @_;
    my $row = $cases[$number]{row};
    $fake->order( $number, $bad );
    my $zk      = ZooKeeper->new( hosts => $fake->hosts, dispatcher => 'Pipe' );
    my $answers = Answers->new;
    my @args    = @{ $row->{args} };
    my $command = $row->{name};
    return deadline 60, sub {
        $answers->ask_in( $_, $row->{on}->($zk), $command, @args ) for qw(cb f);
        my $blocking =
            eval { $row->{on}->($zk)->$command(@args); 1 } ? 0
          : ref $@                                         ? $@->code . ( $@->maybe_applied ? '?' : '' )
          :                                                  $@;
        $answers->wait_for_all( $zk->dispatcher );
        my @next = eval { $zk->exists('/fine')->{czxid} } // "$@";
        return join ' ', ( map { /(\S+)\z/ } $answers->told ), $blocking, 'then', @next;
    };
}

my $peak;
for my $name ( sort keys %of ) {
    my ( $first, $last ) = @{ $of{$name} };
    my @wrong;
    for my $number ( $first .. $last ) {
        my $lost = ZCONNECTIONLOSS . ( $cases[$number]{row}{write} ? '?' : '' );
        for my $bad ( @{ at_length( [ 0 .. $#FORMS ], [ $number % @FORMS ] ) } ) {
            my $expected = join ' ', (0) x $bad, ($lost) x ( @FORMS - $bad ), 'then', STAT->{czxid};
            my $told     = eval { told( $number, $bad ) } // "died: $@";
            push @wrong, "$cases[$number]{name}, $FORMS[$bad]: $told, not $expected" if $told ne $expected;
        }
    }
    is_deeply \@wrong, [],
      "$name: bad answers, " . ( $last - $first + 1 ) . ' of them, each in a form of the call';
    $peak //= memory();    # from here on, what perl and the engine need is there
}
cmp_ok memory() - $peak, '<', $MEMORY, 'no length that lies has taken memory';

subtest 'null for what has a length' => sub {
    for my $row ( grep { $_->{null} } good_replies() ) {
        my $zk      = whole_answer( $row, $row->{null}{body} );
        my $command = $row->{name};
        is_deeply [ $row->{on}->($zk)->$command( @{ $row->{args} } ) ], $row->{null}{result},
          $row->{of} // $command;
    }
};

subtest 'bytes behind the end of a reply are those of a newer server, and passed over' => sub {
    for my $row ( good_replies() ) {
        my $zk      = whole_answer( $row, $row->{body} . "\xff" x 9 );
        my $command = $row->{name};
        my @result  = $row->{on}->($zk)->$command( @{ $row->{args} } );
        is_deeply \@result, $row->{result}, $row->{of} // $command if $row->{result};
        is $zk->metrics->{reconnects}, 0, 'the connection lives';
    }
};

subtest 'a reply of exactly the longest that is read' => sub {
    my $data = 'x' x ( $LIMIT - 16 - 4 - 68 );
    my $zk   = whole_answer( ( good_replies() )[0],
        pack( 'N/a*', $data ) . substr( ( good_replies() )[0]{body}, -68 ) );
    ok $zk->get('/x') eq $data, 'is whole';
    is $zk->metrics->{reconnects}, 0, 'the connection lives';
};

subtest 'an answer amid a login by SASL that is cut short or lies about its length' => sub {
    my $challenge = SaslServer::challenge('n');
    my $fake      = FakeZK->new(
        sub {
            my ($connection) = @_;
            my ( $bad, $length, $lie ) = $connection->order;
            $connection->handshake or return;
            my $steps = 0;
            while ( defined( my $frame = $connection->frame ) ) {
                my ( $xid, $op, $rest ) = unpack 'l> l> a*', $frame;
                last if $op == -11;
                my $reply = good_reply( $xid, $op );
                if ( $op == 102 ) {
                    my $token = !$steps++ ? $challenge : SaslServer::proof($rest);
                    $reply = reply_frame( $xid, pack 'N/a*', $token );
                }
                if ( defined $bad && $steps - 1 == $bad ) {
                    substr( $reply, 16, 4 ) = pack 'l>', $lie if defined $lie;
                    $reply = substr $reply, 0, $length;
                }
                $connection->send_frame($reply);
            }
        }
    );
    my @wrong;
    for my $bad ( 0, 1 ) {
        for my $how ( ( map { [$_] } 0 .. 50 ), map { [ 50, $_ ] } -2, -2_147_483_648, 2_147_483_647, 1_000 )
        {
            $fake->order( $bad, @$how );
            my $zk   = ZooKeeper->new( hosts => $fake->hosts, dispatcher => 'Pipe', login('bob') );
            my $told = eval {
                deadline 60,
                  sub { $zk->exists('/x')->{czxid} }
            } // $@;
            push @wrong, "answer $bad, @$how: $told" if $told ne STAT->{czxid};
        }
    }
    is_deeply \@wrong, [], 'the next connection is asked, which lets us in';
};

# A handle whose requests of a kind are answered so.
sub whole_answer {
    my ( $row, $body ) = @_;
    my $fake = FakeZK->answering( $row->{op} => sub { return reply_frame( $_[1], $body ) } );
    my $zk   = ZooKeeper->new( hosts => $fake->hosts, dispatcher => 'Pipe' );
    $zk->{fake} = $fake;    # lives as long
    return $zk;
}

sub memory {
    open my $status, '<', '/proc/self/status' or die "/proc/self/status: $!\n";
    my ($kilobytes) = map { /\AVmPeak:\s+([0-9]+)/ ? $1 : () } <$status>;
    return $kilobytes;
}

done_testing;

# Authentication on connections that are lost, refused or slow: nothing overtakes it on the wire, everybody is told once,
# and a refusal is the end of the session, whenever it comes.
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

# Notes what each connection is asked: "auth NAME", or a path, or else the operation. The code of the connection's
# number (the last one is for all that come) gets what is noted, and says how that is answered: a code, undef for no
# answer yet, or "end".
sub server {
    my (@codes) = @_;
    return FakeZK->new(
        sub {
            my ($connection) = @_;
            my $number       = $connection->number;
            my $code         = $codes[ $number - 1 ] // $codes[-1];
            $connection->grant( timeout => 60_000 ) // return;
            while ( defined( my $frame = $connection->frame ) ) {
                my ( $xid, $op, $rest ) = unpack 'l> l> a*', $frame;
                my $what =
                    $op == 100                          ? 'auth ' . ( unpack 'N N/a* N/a*', $rest )[2]
                  : $op > 0 && $op < 10 && length $rest ? unpack 'N/a*', $rest
                  :                                       $op;
                $connection->note("$number: $what") if $op != 11;
                my $answer = $op == 11 || $op == -11 ? ZOK : $code->($what);
                last if ( $answer // '' ) eq 'end';
                next if !defined $answer;
                my $good = $op == 100 ? reply_frame( $xid, '' ) : good_reply( $xid, $op );
                $connection->send_frame( $answer == ZOK ? $good : pack 'l> q> l>', $xid, 1, $answer );
                last if $op == -11;
            }
        }
    );
}

my @notes;

# What a connection of a server has been asked so far; what came on others is kept.
sub asked {
    my ( $fake, $number ) = @_;
    push @notes, $fake->notes;
    return map { /\A$number: (.*)/ ? $1 : () } @notes;
}

# A handle, what its watcher has been told, and what those of authentications have.
sub handle {
    my ( $fake, @more ) = @_;
    @notes = ();
    my ( @states, @auth );
    my $zk = ZooKeeper->new(
        hosts      => $fake->hosts,
        dispatcher => 'Pipe',
        timeout    => 60_000,
        watcher    => sub { push @states, $_[0]{state} },
        @more
    );
    my $add = sub {
        my ($name) = @_;
        return $zk->add_auth( digest => $name, watcher => sub { push @auth, "$name $_[0]{state}" } );
    };
    return ( $zk, $add, \@states, \@auth );
}

sub dispatch_all {
    my ($zk) = @_;
    1 while $zk->dispatcher->dispatch_event;
    return;
}

# All that a handle is told when its session has ended by a refusal.
sub is_refused {
    my ( $zk, $states ) = @_;
    for ( 1 .. 2 ) {
        my $error = eval { $zk->get('/x'); 1 } ? 'it worked' : $@;
        is ref $error && $error->code, ZAUTHFAILED, 'every call is refused';
        ok ref $error && $error->is_session_lost, 'for good';
    }
    my $answers = Answers->new;
    $answers->ask_in( $_, $zk, get => '/x' ) for $answers->forms;
    $answers->wait_for_all( $zk->dispatcher );
    is_deeply [ grep { !/ -115\z/ } $answers->told ], [], 'in all forms';
    dispatch_all($zk);
    is scalar( grep { $_ == ZOO_AUTH_FAILED_STATE } @$states ), 1, 'the watcher of the handle is told once';
    is $zk->state,                                              ZOO_AUTH_FAILED_STATE, 'state';
    ok $zk->is_unrecoverable, 'it is unrecoverable';
    return;
}

my $well = sub { return ZOK };

subtest 'what was asked before the connection is up does not overtake authentication' => sub {
    my $fake = server($well);
    my ( $zk, $add, undef, $auth ) =
      handle( $fake, hosts => $fake->hosts, authentication => [ digest => 'first' ] );
    my $answers = Answers->new;
    $add->('second');
    $answers->ask( $zk, get => "/$_" ) for 1 .. 3;
    $add->('third');
    $answers->ask( $zk, get => "/$_" ) for 4 .. 6;
    $zk->get('/7');
    $answers->wait_for_all( $zk->dispatcher );
    is_deeply [ grep { !/ 0\z/ } $answers->told ], [], 'all are answered';
    my @asked = asked( $fake, 1 );
    is_deeply [ grep { !/auth/ } @asked ], [ map { "/$_" } 1 .. 7 ], 'the requests went out in their order';
    is_deeply [ grep { /auth/ } @asked ], [ map { "auth $_" } qw(first second third) ],
      'so did authentications';
    my %at = map { $asked[$_] => $_ } 0 .. $#asked;
    ok $at{'auth first'} < $at{'/1'} && $at{'auth second'} < $at{'/1'} && $at{'auth third'} < $at{'/4'},
      'each of them before what was asked later'
      or diag "@asked";
    dispatch_all($zk);
    is_deeply $auth, [ 'second ' . ZOK, 'third ' . ZOK ], 'their watchers are told, in order';
};

subtest 'what is asked in a row on a connection keeps its place around authentication' => sub {
    my $fake = server($well);
    my ( $zk, $add ) = handle($fake);
    $zk->exists('/up');
    my $answers = Answers->new;
    for my $number ( 1 .. 30 ) {
        $answers->ask( $zk, get => "/$number" );
        $add->("a$number") if $number % 3 == 0;
    }
    $answers->wait_for_all( $zk->dispatcher );
    my @expected = map { ( "/$_", $_ % 3 ? () : "auth a$_" ) } 1 .. 30;
    is_deeply [ asked( $fake, 1 ) ], [ '/up', @expected ], 'to the last byte';
};

subtest 'a second authentication that is wrong ends the session of the first one' => sub {
    my $fake = server( sub { my ($what) = @_; return $what eq 'auth wrong' ? ZAUTHFAILED : ZOK } );
    my ( $zk, $add, $states, $auth ) = handle($fake);
    $zk->exists('/up');
    my $answers = Answers->new;
    $add->('right');
    $answers->ask( $zk, get => '/x' );
    $add->('wrong');
    $answers->ask_in( $_, $zk, create => '/x' ) for $answers->forms;
    $answers->wait_for_all( $zk->dispatcher );
    my ( $first, @rest ) = $answers->told;
    is $first, 'get 0', 'what stood before the wrong one is answered';
    is_deeply [ grep { !/\Acreate (?:0|-115\??)\z/ } @rest ], [],
      'what stood behind it is, or is told of the end';
    wait_for { $zk->is_unrecoverable } 60, 'the end of the session';
    dispatch_all($zk);
    is_deeply $auth, [ 'right ' . ZOK, 'wrong ' . ZAUTHFAILED ], 'each is told for itself';
    is_refused( $zk, $states );
};

subtest 'an answer that is lost with the connection is asked for again, and told once' => sub {
    my $fake = server( ( sub { my ($what) = @_; return $what =~ /auth/ ? 'end' : ZOK } ) x 2, $well );
    my ( $zk, $add, $states, $auth ) = handle($fake);
    deadline 60, sub { $zk->wait_connected };
    my $form = Answers->new;
    $form->ask_in( $_, $zk, add_auth => digest => "by $_" ) for $form->forms;
    $add->('me');
    my $answers = Answers->new;
    $answers->ask( $zk, get => '/x' ) for 1 .. 3;
    $_->wait_for_all( $zk->dispatcher ) for $form, $answers;
    is_deeply [ grep { !/ 0\z/ } $form->told ],           [], 'in all forms';
    is_deeply [ grep { !/ (?:0|-4)\z/ } $answers->told ], [], 'requests are lost, or answered there';
    ok $zk->exists('/later'), 'a call after that works';
    dispatch_all($zk);
    is_deeply $auth, [ 'me ' . ZOK ], 'the watcher is told once';
    my @asked = asked( $fake, 3 );
    is_deeply [ @asked[ 0 .. $form->forms ] ], [ ( map { "auth by $_" } $form->forms ), 'auth me' ],
      'they stand first, and in their order';
};

subtest 'what was good once may be refused on the next connection' => sub {
    my $first   = sub { my ($what) = @_; return $what eq '/drop' ? 'end'       : ZOK };
    my $refuses = sub { my ($what) = @_; return $what =~ /auth/  ? ZAUTHFAILED : undef };
    my $fake    = server( $first, $refuses );
    my ( $zk, $add, $states, $auth ) = handle($fake);
    $add->('me');
    my $watched = 0;
    $zk->get( '/x', watcher => sub { $watched++ } );
    eval { $zk->sync('/drop') };
    my $answers = Answers->new;
    $answers->ask_in( $_, $zk, get => '/x' ) for $answers->forms;
    $answers->wait_for_all( $zk->dispatcher );
    is_deeply [ grep { !/ -(?:115|4)\z/ } $answers->told ], [], 'what waits for an answer is told so';
    wait_for { $zk->is_unrecoverable } 60, 'the end of the session';
    is_refused( $zk, $states );
    is_deeply $auth, [ 'me ' . ZOK ], 'the watcher has had its answer long ago';
    is( ( asked( $fake, 2 ) )[0], 'auth me', 'and nothing had overtaken it' );
};

subtest 'a server that demands another kind of authentication ends the session' => sub {
    my $demand = ZSESSIONCLOSEDREQUIRESASLAUTH;
    my %answer = ( '/before' => ZOK, '/x' => $demand );
    my $fake   = server( sub { return $answer{ $_[0] } } );
    my ( $zk, undef, $states ) = handle($fake);
    deadline 60, sub { $zk->wait_connected };
    my $answers = Answers->new;
    $answers->ask_in( f => $zk, get => $_ ) for '/before', '/x';
    $answers->ask_in( $_, $zk, create => '/y' ) for $answers->forms;
    my $last = eval { $zk->get('/y'); 1 } // 0 + $@;
    $answers->wait_for_all( $zk->dispatcher );
    my @told = map { /(\S+)\z/ } $answers->told;
    is_deeply [ @told[ 0, 1 ] ], [ ZOK, $demand ], 'what the server has answered is told as it was';
    is_deeply [ grep { !/\A-115\??\z/ } @told[ 2 .. $#told ] ], [], 'all others are told of the end'
      or diag "@told";
    is $last, ZAUTHFAILED, 'a call that waits, too';
    is_refused( $zk, $states );
    is_deeply [ asked( $fake, 2 ) ], [], 'there is no other connection';
};

done_testing;

# What servers may answer to a transaction, and what "commit" makes of it in each of its forms.
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

my $STAT  = pack 'q>4 l>3 q> l>2 q>', 11 .. 18, 4, 2, 19;
my $END   = pack 'l> C l>', -1, 1, -1;
my $STATS = STAT;

# The operations: name, arguments, the type of a good result and what comes behind it, and what commit returns of it.
my @OPS = (
    [ create => [ '/c', value => 'v' ], 1,  pack( 'N/a*', '/c' ), { type => 'create', path => '/c' } ],
    [ delete => ['/d'],                 2,  '',                   { type => 'delete' } ],
    [ set    => [ '/s', 'v' ],          5,  $STAT,                { type => 'set', stat => $STATS } ],
    [ check  => [ '/k', 1 ],            13, '',                   { type => 'check' } ],
    [
        create => [ '/box', container => 1 ],
        15, pack( 'N/a*', '/box' ) . $STAT, { type => 'create', path => '/box' }
    ],
    [
        create => [ '/ttl', ttl => 1_000 ],
        15, pack( 'N/a*', '/ttl' ) . $STAT, { type => 'create', path => '/ttl' }
    ],
    [
        create2 => ['/c2'],
        15,
        pack( 'N/a*', '/c2' ) . $STAT,
        { type => 'create2', path => '/c2', stat => $STATS }
    ],
);

sub result { my ( $type, $body ) = @_; return pack( 'l> C l>', $type, 0, 0 ) . $body }

sub error {
    my ( $code, $other ) = @_;
    return pack 'l> C l> l>', -1, 0, $other // $code, $code;
}

sub good { my ($index) = @_; return result( @{ $OPS[$index] }[ 2, 3 ] ) }

# An error as commit returns it.
sub failed { my ($code) = @_; return { type => 'error', code => $code, message => zerror($code) } }

my $LAST = $#OPS;
my @good = map { good($_) } 0 .. $LAST;
my @fine = map { $_->[4] } @OPS;

# What comes behind the header, whose code is 0, and what commit returns then: a list, or the code of an error.
my @cases = ( [ 'all is well', join( '', @good, $END ), \@fine ] );
for my $culprit ( 0 .. $LAST ) {
    for my $code ( ZNONODE, ZBADVERSION, ZNOTEMPTY, -999 ) {
        my @codes = ( (ZOK) x $culprit, $code, (ZRUNTIMEINCONSISTENCY) x ( $LAST - $culprit ) );
        push @cases,
          [
            "operation $culprit fails with $code",
            join( '', ( map { error($_) } @codes ), $END ),
            [ map { failed($_) } @codes ]
          ];
    }
    push @cases,
      [
        "only operation $culprit says that it failed",
        join( '', ( map { $_ == $culprit ? error(ZNONODE) : $good[$_] } 0 .. $LAST ), $END ),
        [ map { $_ == $culprit ? failed(ZNONODE) : $fine[$_] } 0 .. $LAST ]
      ],
      [
        "operation $culprit has two codes, of which the second counts",
        join( '', ( map { $_ == $culprit ? error( ZNONODE, ZBADVERSION ) : error(ZOK) } 0 .. $LAST ), $END ),
        [ map { failed( $_ == $culprit ? ZNONODE : ZOK ) } 0 .. $LAST ]
      ],
      [
        "operation $culprit has the type of another one",
        join( '',
            ( map { $_ == $culprit ? result( $OPS[$_][2] == 13 ? 2 : 13, '' ) : $good[$_] } 0 .. $LAST ),
            $END ),
        ZCONNECTIONLOSS
      ],
      [
        "operation $culprit has a type that nobody knows",
        join( '', ( map { $_ == $culprit ? result( 99, '' ) : $good[$_] } 0 .. $LAST ), $END ),
        ZCONNECTIONLOSS
      ],
      [ "$culprit results are too few", join( '', @good[ 0 .. $culprit - 1 ], $END ), ZCONNECTIONLOSS ],
      [
        "$culprit errors are too few",
        join( '', ( map { error(ZNONODE) } 1 .. $culprit ), $END ),
        ZCONNECTIONLOSS
      ];
}
push @cases,
  [ 'one result too many', join( '', @good, $good[1], $END ), ZCONNECTIONLOSS ],
  [ 'twice the results',   join( '', @good, @good, $END ), ZCONNECTIONLOSS ],
  [ 'a thousand errors',   join( '', ( map { error(ZNONODE) } 1 .. 1_000 ), $END ), ZCONNECTIONLOSS ],
  [ 'no end',              join( '', @good ), ZCONNECTIONLOSS ],
  [ 'only the end',        $END, ZCONNECTIONLOSS ], [ 'nothing', '', ZCONNECTIONLOSS ],
  [
    'create2 by the name of create, as 3.8 has it',
    join( '', @good[ 0 .. 5 ], result( 1, pack 'N/a*', '/c2' ), $END ),
    [ @fine[ 0 .. 5 ], { type => 'create2', path => '/c2' } ]
  ],
  [ 'bytes behind the end', join( '', @good, $END, "\0" x 20 ), \@fine ];

# What the header says, with a body that is not read then.
my @headers = map { ( [ $_, '' ], [ $_, $cases[0][1] ] ) } ZNONODE, ZNOAUTH, ZMARSHALLINGERROR,
  ZUNIMPLEMENTED,
  ZNOTREADONLY, -999;

my $fake = FakeZK->new(
    sub {
        my ($connection) = @_;
        $connection->grant // return;
        my @order = $connection->order;
        while ( defined( my $frame = $connection->frame ) ) {
            my ( $xid, $op ) = unpack 'l> l>', $frame;
            if ( $op != 14 || !@order ) {
                $connection->send_frame( good_reply( $xid, $op ) );
                last if $op == -11;
                next;
            }
            my ( $code, $body ) =
              $order[0] eq 'header' ? @{ $headers[ $order[1] ] } : ( 0, $cases[ $order[1] ][1] );
            $connection->send_frame( pack( 'l> q> l>', $xid, 1, $code ) . $body );
        }
    }
);

# What commit returns in each form when it is answered so: the results, or code and question mark of an error.
sub committed {
    my (@order) = @_;
    my ( $zk, %told );
    for my $form ( 'blocking', Answers->new->forms ) {
        if ( !$zk || $told{lost} ) {
            undef $zk;
            $fake->order(@order);
            $zk = ZooKeeper->new( hosts => $fake->hosts, dispatcher => 'Pipe' );
        }
        my $transaction = $zk->transaction;
        for my $op (@OPS) {
            my ( $method, $args ) = @$op;
            $transaction = $transaction->$method(@$args);
        }
        if ( $form eq 'blocking' ) {
            my @results;
            $told{$form} =
              eval { @results = $transaction->commit; 1 }
              ? \@results
              : $@->code . ( $@->maybe_applied ? '?' : '' );
        }
        else {
            my $answers = Answers->new;
            $answers->ask_in( $form, $transaction, 'commit' );
            $answers->wait_for_all( $zk->dispatcher );
            my ($said) = map { /(\S+)\z/ } $answers->told;
            $told{$form} = $said eq '0' ? [ $answers->results(0) ] : $said;
        }
        is $zk->exists('/fine')->{czxid}, STAT->{czxid}, "$form: the next call works";
        $told{lost} = $zk->metrics->{reconnects};
    }
    return \%told;
}

sub is_told {
    my ( $told, $expected, $name, $lost ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is_deeply $told, { lost => $lost, map { $_ => $expected } 'blocking', Answers->new->forms }, $name;
}

for my $number ( 0 .. $#cases ) {
    my ( $name, undef, $expected ) = @{ $cases[$number] };
    my $is_rubbish = !ref $expected;
    subtest $name => sub {
        is_told(
            committed( body => $number ),
            $is_rubbish ? "$expected?" : $expected,
            $name, $is_rubbish ? 1 : 0
        );
    };
}
for my $number ( 0 .. $#headers ) {
    my ( $code, $body ) = @{ $headers[$number] };
    my $name = "a header that says $code, " . ( length $body ? 'before results' : 'without results' );
    subtest $name => sub { is_told( committed( header => $number ), $code, $name, 0 ) };
}

done_testing;

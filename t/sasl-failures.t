# Logins by SASL that fail, and servers that demand one. In every case the session is over, all have their answers, and
# nothing hangs or is tried again. How a login works is in sasl.t.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Answers;
use FakeZK;
use SaslServer;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

my $server  = sasl_server();
my @timeout = ( timeout => 30_000, dispatcher => 'Pipe' );
my @args    = ( hosts   => $server->hosts, @timeout );

sub handle {
    my ( $on, @more ) = @_;
    return ZooKeeper->new( hosts => $on->hosts, @timeout, @more );
}

# What a blocking call fails with: code and reason.
sub refusal {
    my ($code) = @_;
    eval {
        deadline 60, $code;
        1;
    } and return 'worked';
    my $error = $@;
    return "$error" if !ref $error;
    my ($reason) = $error->message =~ /: (.*) at .* line \d+\.$/m;
    return $error->code . " $reason";
}

# The handle is of no use any more, in all forms of a call, and says so at once.
sub is_over {
    my ( $zk, $reason, $states ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $zk->state, ZOO_AUTH_FAILED_STATE, 'state';
    ok $zk->is_unrecoverable, 'is_unrecoverable';
    ok !$zk->is_connected,    'is_connected';
    my $text = ZAUTHFAILED . " authentication failed: $reason";
    is refusal( sub { $zk->exists('/') } ),    $text, 'a later call' for 1 .. 2;
    is refusal( sub { $zk->wait_connected } ), $text, 'wait_connected';
    is refusal( sub { $zk->add_auth( digest => 'u:p' ) } ) =~ /\A(-\d+)/ && $1, ZAUTHFAILED, 'add_auth';
    my $answers = Answers->new->ask_all($zk);
    $answers->wait_for_all( $zk->dispatcher );
    is_deeply [ grep { !/ \Q${\ ZAUTHFAILED}\E\z/ } $answers->told ], [], 'callbacks, futures and promises';
    1 while $zk->dispatcher->dispatch_event;
    is_deeply [ grep { $_ == ZOO_AUTH_FAILED_STATE } @$states ], [ZOO_AUTH_FAILED_STATE], 'one session event';
    is_deeply [ grep { $_->type ne 'default' } $zk->get_watchers ], [], 'no watcher is left';
    return;
}

my $REFUSED = 'the server refused the SASL login';

for my $case (
    [ 'a wrong password'  => bob => 'wrong' ],
    [ 'an empty password' => bob => '' ],

    # With bob's password a server 3.8.0 lets him in, if bob was the last to log in.
    [ 'an unknown user' => nobody => 'of nobody' ],
    [ 'a name of signs' => qq(b"o\\b,=\t\xfc\x{20ac}), 'x' ],
  )
{
    my ( $name, @login ) = @$case;
    subtest $name => sub {
        my @states;
        my $zk      = handle( $server, login(@login), watcher => sub { push @states, $_[0]{state} } );
        my $answers = Answers->new->ask_all($zk);
        my $auth    = Answers->new;
        $auth->ask( $zk, add_auth => digest => 'u:p' ) for 1 .. 3;
        is refusal( sub { $zk->get('/') } ), ZAUTHFAILED . " authentication failed: $REFUSED (-115)",
          'a call that waited for it';
        $_->wait_for_all( $zk->dispatcher ) for $answers, $auth;
        ok $answers->is_in_order, 'those before it are answered in order';
        is_deeply [ grep { !/ \Q${\ ZAUTHFAILED}\E\z/ } $answers->told, $auth->told ], [],
          'and with the same';
        is_over( $zk, "$REFUSED (-115)", \@states );
        is_deeply \@states, [ZOO_AUTH_FAILED_STATE], 'and no event but that one';
        $zk->reopen( login('bob') );
        ok deadline( 60, sub { $zk->exists('/') } ), 'reopen with the right one gives a session that works';
    };
}

subtest 'the right password becomes a wrong one' => sub {
    my @states;
    my $zk   = handle( $server, login('bob'), watcher => sub { push @states, $_[0]{state} } );
    my $base = deadline 60, sub { $zk->create( fresh_path('sasl'), acl => acl_of('bob') ) };
    my @events;
    $zk->get( $base, watcher => sub { push @events, $_[0] } );
    $server->stop;
    my $pending = Answers->new;
    $pending->ask( $zk, get => $base );
    $pending->wait_for_all( $zk->dispatcher ) if $zk->is_connected;    # it may have been sent in vain
    local $SaslServer::PASSWORD{bob} = 'changed';
    SaslServer::rewrite($server);
    $server->start;
    wait_for { $zk->wait(0.1); $zk->is_unrecoverable } 60, 'the end of the session';
    $pending->wait_for_all( $zk->dispatcher );
    is refusal( sub { $zk->get($base) } ), ZAUTHFAILED . " authentication failed: $REFUSED (-115)",
      'the next connection ends the session';
    is_deeply [ grep { $_ == ZOO_AUTH_FAILED_STATE } @states ], [ZOO_AUTH_FAILED_STATE], 'one session event';
    is_deeply \@events, [], 'watchers of nodes hear of no event of theirs';
};

# The system properties of Java that make a server demand SASL.
my %DEMANDING = (
    'sessionRequireClientSASLAuth' => ['zookeeper.sessionRequireClientSASLAuth=true'],
    'enforce.auth' => [ 'zookeeper.enforce.auth.enabled=true', 'zookeeper.enforce.auth.schemes=sasl' ],
);
for my $how ( sort keys %DEMANDING ) {
    my $demanding = sasl_server( @{ $DEMANDING{$how} } );
    my $demands   = 'the server demands another authentication, as by SASL';
    subtest "a server that demands SASL by $how" => sub {
        my $bob = handle( $demanding, login('bob') );
        is refusal( sub { $bob->exists('/') } ), 'worked', 'with the right password';
        $demanding->lose_connection($bob);
        soon_ok {
            eval { $bob->exists('/') }
        }
        60, 'also on the next connection';

        my @states;
        my $wrong = handle( $demanding, login( bob => 'x' ), watcher => sub { push @states, $_[0]{state} } );
        is refusal( sub { $wrong->exists('/') } ), ZAUTHFAILED . " authentication failed: $REFUSED (-124)",
          'with a wrong one';
        is_over( $wrong, "$REFUSED (-124)", \@states );
    };
    subtest "$how, and a client without SASL" => sub {
        my @states;
        my $none = handle( $demanding, watcher => sub { push @states, $_[0]{state} } );
        is refusal( sub { $none->exists('/') } ),
          ZSESSIONCLOSEDREQUIRESASLAUTH . ' session closed, sasl authentication required',
          'the first call is told what is wanted';
        is_over( $none, $demands, \@states );
        is_deeply \@states, [ ZOO_CONNECTED_STATE, ZOO_AUTH_FAILED_STATE ], 'all session events';

        my $many    = handle($demanding);
        my $answers = Answers->new->ask_all($many);
        $answers->wait_for_all( $many->dispatcher );
        ok $answers->is_in_order, 'many at once: in order';
        my ( $first, @rest ) = map { / (-?\d+)/ } $answers->told;
        is_deeply [ $first, grep { $_ != ZAUTHFAILED } @rest ], [ZSESSIONCLOSEDREQUIRESASLAUTH],
          'the first is told what is wanted, the others of the end';

        my $auth = handle( $demanding, authentication => [ digest => 'u:p' ] );
        is refusal( sub { $auth->exists('/') } ) =~ /\A(-\d+)/ && $1, ZSESSIONCLOSEDREQUIRESASLAUTH,
          'another authentication does not help';

        my $idle = handle( $demanding, timeout => 3_000 );
        deadline 60, sub { $idle->wait_connected };
        soon_ok { $idle->is_unrecoverable } 60, 'one that asks nothing hears of it when it pings';
    };
}

subtest 'a server without a JAAS configuration' => sub {
    my $plain = jaas_server(undef);
    my @states;
    my $zk     = handle( $plain, login('bob'), watcher => sub { push @states, $_[0]{state} } );
    my $reason = 'the server has no SASL configuration';
    is refusal( sub { $zk->get('/') } ), ZAUTHFAILED . " authentication failed: $reason", 'is named as such';
    is_over( $zk, $reason, \@states );
};

subtest 'a server that lets in whom it has refused' => sub {
    my $lenient = sasl_server('zookeeper.allowSaslFailedClients=true');
    my @states;
    my $zk     = handle( $lenient, login( bob => 'wrong' ), watcher => sub { push @states, $_[0]{state} } );
    my $reason = 'the server did not prove that it knows the password';
    is refusal( sub { $zk->get('/') } ), ZAUTHFAILED . " authentication failed: $reason",
      'is no server for whom wants to be somebody';
    is_over( $zk, $reason, \@states );
    my $right = handle( $lenient, login('bob') );
    is refusal( sub { $right->exists('/') } ), 'worked', 'the right password is right';
};

my $CHALLENGE = SaslServer::challenge('n');
my $granted   = 30_000;                       # the session timeout

# Grants a session and answers what it is asked with these tokens, the last one for ever; undef is no answer. Code
# makes the token out of the client's.
sub fake {
    my (@tokens) = @_;
    return FakeZK->new(
        sub {
            my ($connection) = @_;
            $connection->handshake($granted) or return;
            my @left = @tokens;
            while ( defined( my $frame = $connection->frame ) ) {
                my ( $xid, $op, $rest ) = unpack 'l> l> a*', $frame;
                $connection->note( $connection->number, $op );
                my $token = @left > 1 ? shift @left : $left[0];
                $token = $token->($rest) if ref $token;
                next if !defined $token;
                $connection->send_frame( pack 'l> q> l> N/a*', $xid, 0, 0, $token );
            }
        }
    );
}

subtest 'a server that only seems to know the password' => sub {
    my $reason = 'the server did not prove that it knows the password';
    for my $proof ( '', 'rspauth=00000000000000000000000000000000', 'rspauth', "\0\xff" ) {
        my $fake = fake( $CHALLENGE, $proof );
        my $zk   = handle( $fake, login('bob') );
        is refusal( sub { $zk->get('/') } ), ZAUTHFAILED . " authentication failed: $reason",
          'is not trusted';
        is_deeply [ $fake->notes ], [ ( '1 102', '1 102' ) ], 'and gets no request';
    }
};

subtest 'a server whose challenge is none' => sub {
    for my $challenge ( 'x', "\0", 'nonce="', 'nonce=a,nonce=b,algorithm=md5-sess', 'x' x 100_000 ) {
        my $fake = fake($challenge);
        my $zk   = handle( $fake, login('bob') );
        like refusal( sub { $zk->get('/') } ),
          qr/\A-115 authentication failed: the server's SASL challenge makes no sense: /, substr $challenge,
          0,                                                                              20;
    }
};

subtest 'a server that stalls amid the login is left for another' => sub {
    my $good = fake( $CHALLENGE, \&SaslServer::proof, "\0" x 68 );
    for my $tokens ( [undef], [ $CHALLENGE, undef ] ) {
        my $fake = fake(@$tokens);
        my $zk;
        my @seen;
        wait_for {
            $zk = handle(
                $server, login('bob'),
                hosts   => join( ',', $fake->hosts, $good->hosts ),
                timeout => 6_000
            );
            is eval {
                deadline 60,
                  sub { $zk->exists('/') && 'found' }
            } // $@, 'found', 'the node is found';
            push @seen, $fake->notes;
            scalar @seen;
        }
        60, 'a handle that has begun with the one that stalls';
        is_deeply [ grep { !/ 102\z/ } @seen ], [], 'which got nothing but the login, no ping either';
    }
};

subtest 'what waits for a login that never ends is given up in time' => sub {
    $granted = 2_000;
    my $fake = fake(undef);
    my $zk   = handle( $fake, login('bob'), timeout => 2_000 );
    is refusal( sub { $zk->get('/') } ) =~ /\A(-\d+)/ && $1, ZCONNECTIONLOSS, 'a call';
    ok !$zk->is_unrecoverable, 'the session is not over';
    deadline 60, sub { $zk->close };
    is $zk->state, ZOO_NOTCONNECTED_STATE, 'and can be closed';
};

subtest 'a login longer than any server takes' => sub {
    my $zk = handle( $server, login( 'b' x 5_000, 'x' ) );
    like refusal( sub { $zk->get('/') } ),
      qr/\A-115 authentication failed: the SASL response of \d+ bytes is too long\z/, 'is not sent';
    my $short = handle( $server, login('bob'), jute_maxbuffer => 100 );
    like refusal( sub { $short->get('/') } ), qr/ is too long\z/, 'nor one over jute_maxbuffer';
};

sub resident_kb {
    open my $status, '<', '/proc/self/status' or die "/proc/self/status: $!\n";
    my ($kb) = map { /^VmRSS:\s+([0-9]+)/ ? $1 : () } <$status>;
    return $kb;
}

subtest 'logins that fail leave nothing behind' => sub {
    my $try = sub {
        my $zk = handle( $server, login( bob => 'wrong' ), watcher => sub { } );
        $zk->get( '/', cb => sub { } ) for 1 .. 3;
        eval {
            deadline 60,
              sub { $zk->get('/') }
        };
        1 while $zk->dispatcher->dispatch_event;
        $@->code;
    };
    $try->() for 1 .. 50;
    my $before = resident_kb();
    my @other  = grep { $_ != ZAUTHFAILED } map { $try->() } 1 .. 400;
    is_deeply \@other, [], '400 of them fail';
    my $grown = resident_kb() - $before;
    cmp_ok $grown, '<', 1_000, 'memory is flat' or diag "grew by $grown KB";
};

done_testing;

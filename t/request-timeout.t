# request_timeout: a request that takes too long is given up, and nothing else is.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Answers;
use FakeZK;
use TestZK;

use Scalar::Util qw(blessed);
use ZooKeeper;
use ZooKeeper::Constants;

my $STAT = pack 'q>4 N3 q> N2 q>', (0) x 11;

# Answers each get with the path for data, and everything else that there is no such node; nothing that begins with
# "/slow", nor authentication, before it is told to. Notes what it is asked.
sub slow_server {
    pipe my $read, my $write or die "pipe: $!\n";
    my $server = FakeZK->new(
        sub {
            my ($connection) = @_;
            $connection->note('connection');
            $connection->handshake(60_000) or return;
            while ( defined( my $frame = $connection->frame ) ) {
                my ( $xid, $op, $rest ) = unpack 'l> l> a*', $frame;
                my $path = $op > 0 && $op < 11 ? unpack 'N/a*', $rest : '';
                $connection->note( $op, $path ) if $op != 11;
                sysread $read, my $byte, 1 if $op == 100 || $path =~ m{\A/slow};
                my $body = $op == 4 ? pack( 'l> N/a*', 0, $path ) . $STAT : pack 'l>',
                  $op == 11 || $op == 100 ? 0 : ZNONODE;
                $connection->send_frame( pack( 'l> q>', $xid, 1 ) . $body );
            }
        }
    );
    return ( $server, sub { syswrite $write, '.' x ( $_[0] // 1 ) } );
}

# Nothing but pongs.
sub silent_server {
    return FakeZK->new(
        sub {
            my ($connection) = @_;
            $connection->note('connection');
            $connection->handshake(60_000) or return;
            while ( defined( my $frame = $connection->frame ) ) {
                my ( $xid, $op ) = unpack 'l> l>', $frame;
                $connection->send_frame( pack 'l> q> l>', $xid, 1, 0 ) if $op == 11 || $op == -11;
            }
        }
    );
}

sub connect_to {
    my ( $server, @args ) = @_;
    my $zk = ZooKeeper->new( hosts => $server->hosts, timeout => 60_000, dispatcher => 'Pipe', @args );
    deadline 60, sub { $zk->wait_connected };
    return $zk;
}

sub error_of {
    my ($code) = @_;
    my $error  = deadline 60, sub {
        eval { $code->(); 1 } ? 'none' : $@;
    };
    return blessed $error && $error->isa('ZooKeeper::Error') ? $error->code : $error;
}

my %BLOCKING = (
    create       => [ '/x', value => 'v' ],
    delete       => ['/x'],
    exists       => ['/x'],
    get          => ['/x'],
    set          => [ '/x', 'v' ],
    get_children => ['/x'],
    get_acl      => ['/x'],
    set_acl      => [ '/x', ZOO_OPEN_ACL_UNSAFE ],
    ensure_path  => ['/x'],
);

subtest 'of the constructor' => sub {
    my $server  = silent_server();
    my $zk      = connect_to( $server, request_timeout => 0.8 );    # all are sent by then
    my $answers = Answers->new->ask_all($zk);
    $answers->wait_for_all( $zk->dispatcher );
    is_deeply $answers->counts, Answers->all_told( ZOPERATIONTIMEOUT, 1 ), 'all are told so, in all forms';
    ok $answers->is_in_order, 'in order';
    is_deeply [ $zk->get_watchers ], [], 'no watcher is left';
    for my $command ( sort keys %BLOCKING ) {
        is error_of( sub { $zk->$command( @{ $BLOCKING{$command} } ) } ), ZOPERATIONTIMEOUT,
          "$command, waiting for it";
    }
    is error_of( sub { $zk->transaction->delete('/x')->commit } ), ZOPERATIONTIMEOUT,
      'likewise a transaction';
    is_deeply [ $server->notes ], ['connection'], 'the connection has stayed';
    ok $zk->is_connected, 'to this moment';
};

subtest 'of a call' => sub {
    my $server  = silent_server();
    my $zk      = connect_to($server);
    my $answers = Answers->new->ask_all( $zk, request_timeout => 2 );
    my $rest    = Answers->new->ask_all($zk);
    $answers->wait_for_all( $zk->dispatcher );
    is_deeply $answers->counts, Answers->all_told( ZOPERATIONTIMEOUT, 1 ), 'all are told so, in all forms';
    is $rest->answered, 0, 'and no other';
    for my $command ( sort keys %BLOCKING ) {
        is error_of( sub { $zk->$command( @{ $BLOCKING{$command} }, request_timeout => 0.05 ) } ),
          ZOPERATIONTIMEOUT,
          "$command, waiting for it";
    }
    is error_of( sub { $zk->transaction->delete('/x')->commit( request_timeout => 0.05 ) } ),
      ZOPERATIONTIMEOUT,
      'likewise a transaction';
    is $rest->answered, 0, 'others wait on';
    is_deeply [ $server->notes ], ['connection'], 'the connection has stayed';
};

subtest 'of a call, longer than that of the constructor' => sub {
    my ( $server, $go ) = slow_server();
    my $zk      = connect_to( $server, request_timeout => 0.25 );
    my $answers = Answers->new;
    $answers->ask( $zk, get => '/slow', request_timeout => 60 ) for 1 .. 3;
    my $short = Answers->new;
    $short->ask( $zk, get => '/x' ) for 1 .. 3;
    $short->wait_for_all( $zk->dispatcher );
    is_deeply $short->counts, { 'get ' . ZOPERATIONTIMEOUT, 3 }, 'those without are given up';
    is $answers->answered, 0, 'those with a time of their own are not';
    $go->(3);
    $answers->wait_for_all( $zk->dispatcher );
    is_deeply $answers->counts, { 'get 0' => 3 }, 'they get their answers';
};

subtest 'the answer that comes too late is nobody else\'s' => sub {
    my ( $server, $go ) = slow_server();
    my $zk   = connect_to($server);
    my $id   = $zk->client_id;
    my $late = Answers->new;
    my $own  = Answers->new;
    for my $n ( 1 .. 6 ) {
        $late->ask( $zk, get => "/slow$n", request_timeout => 0.1 );
        $own->ask( $zk, get => "/other$n" );
    }
    $late->wait_for_all( $zk->dispatcher );
    is_deeply $late->counts, { 'get ' . ZOPERATIONTIMEOUT, 6 }, 'given up';
    is $own->answered, 0, 'the others, which stand behind them, are not';
    $go->(6);
    $own->wait_for_all( $zk->dispatcher );
    is_deeply [ map { ( $own->results($_) )[0] } 0 .. 5 ], [ map { "/other$_" } 1 .. 6 ],
      'each gets its own answer';
    is_deeply $late->counts, { 'get ' . ZOPERATIONTIMEOUT, 6 }, 'and nobody two';

    is error_of( sub { $zk->get( '/slow', request_timeout => 0.1 ) } ), ZOPERATIONTIMEOUT,
      'a call that waits, too';
    $go->();
    is scalar deadline( 60, sub { $zk->get('/next') } ), '/next', 'the next one gets its own answer';
    is_deeply $zk->client_id,                           $id,            'the session is the same';
    is_deeply [ grep { /connection/ } $server->notes ], ['connection'], 'and so is the connection';
};

subtest 'a watch whose request was given up' => sub {
    my ( $server, $go ) = slow_server();
    my $zk      = connect_to($server);
    my $answers = Answers->new;
    $answers->ask( $zk, get => '/slow', watcher => sub { fail 'called' }, request_timeout => 0.1 ) for 1 .. 3;
    $answers->wait_for_all( $zk->dispatcher );
    is_deeply [ $zk->get_watchers ], [], 'has no watcher any more';
    $go->(3);
    is scalar deadline( 60, sub { $zk->get('/next') } ), '/next', 'also when the answer comes';
    is_deeply [ $zk->get_watchers ], [], 'after all';
};

subtest 'add_auth' => sub {
    my ( $server, $go ) = slow_server();
    my $zk   = connect_to($server);
    my $auth = Answers->new;
    $auth->ask( $zk, add_auth => 'digest', "u$_:p", request_timeout => 0.1 ) for 1 .. 3;
    my $patient = Answers->new;
    $patient->ask( $zk, add_auth => 'digest', "v$_:p" ) for 1 .. 3;
    $auth->wait_for_all( $zk->dispatcher );
    is_deeply $auth->counts, { 'add_auth ' . ZOPERATIONTIMEOUT, 3 }, 'is given up in all forms';
    is $patient->answered, 0, 'others are not';
    $go->(6);
    $patient->wait_for_all( $zk->dispatcher );
    is_deeply $patient->counts, { 'add_auth 0' => 3 },                  'and hear of the outcome';
    is_deeply $auth->counts,    { 'add_auth ' . ZOPERATIONTIMEOUT, 3 }, 'nobody hears twice';

    my $own = connect_to( $server = silent_server(), request_timeout => 0.1 );
    $auth = Answers->new;
    $auth->ask( $own, add_auth => 'digest', 'u:p' ) for 1 .. 3;
    $auth->wait_for_all( $own->dispatcher );
    is_deeply $auth->counts, { 'add_auth ' . ZOPERATIONTIMEOUT, 3 }, 'likewise with that of the constructor';
};

subtest 'without a connection' => sub {
    my $listen  = IO::Socket::INET->new( LocalAddr => '127.0.0.1', Listen => 1 ) or die $!;
    my @args    = ( hosts => '127.0.0.1:' . $listen->sockport, dispatcher => 'Pipe' );
    my $zk      = ZooKeeper->new( @args, timeout => 60_000 );
    my $answers = Answers->new->ask_all( $zk, request_timeout => 0.1 );
    $answers->ask( $zk, add_auth => 'digest', 'u:p', request_timeout => 0.1 );
    $answers->wait_for_all( $zk->dispatcher );
    is_deeply $answers->counts,
      { %{ Answers->all_told( ZOPERATIONTIMEOUT, 0 ) }, 'add_auth ' . ZOPERATIONTIMEOUT, 1 },
      'the time is over all the same, and nothing can have been done';
    $zk      = ZooKeeper->new( @args, timeout => 600 );
    $answers = Answers->new->ask_all( $zk, request_timeout => 60 );
    $answers->wait_for_all( $zk->dispatcher, 30 );
    is_deeply $answers->counts, Answers->all_told( ZCONNECTIONLOSS, 0 ),
      'it does not lengthen the wait for a connection';
};

subtest 'values that make no sense' => sub {
    my $server = FakeZK->new( sub { $_[0]->handshake and $_[0]->serve(ZNONODE) } );
    my $zk     = connect_to($server);
    $server->notes;
    my %call = map {
        my ( $command, @args ) = ( $_, @{ $BLOCKING{$_} } );
        ( $command => [ $zk, $command, @args ] )
    } keys %BLOCKING;
    $call{add_auth}     = [ $zk, 'add_auth', 'digest', 'u:p' ];
    $call{transaction}  = [ $zk->transaction->delete('/x'), 'commit' ];
    $call{multi_read}   = [ $zk->multi_read->get('/x'),     'commit' ];
    $call{'with watch'} = [ $zk, get => '/x', watcher => sub { } ];
    my @forms = Answers->new->forms;
    for my $value ( 0, -1, 'soon', '', '1s', 'nan' ) {
        my %told;
        for my $name ( sort keys %call ) {
            my ( $object, $command, @args ) = @{ $call{$name} };
            push @args, request_timeout => $value;
            $told{ error_of( sub { $object->$command(@args) } ) }++;
            $told{
                error_of(
                    sub {
                        $object->$command( @args, cb => sub { fail 'called' } );
                    }
                )
            }++;
            for my $form ( grep { $_ ne 'cb' } @forms ) {
                my $method = "${command}_$form";
                $told{ error_of( sub { $object->$method(@args) } ) }++;
            }
        }
        is_deeply \%told, { ZBADARGUMENTS, keys(%call) * ( 1 + @forms ) },
          "'$value' is refused at the call, in all forms";
        is error_of( sub { ZooKeeper->new( hosts => $server->hosts, request_timeout => $value ) } ),
          ZBADARGUMENTS,
          'and by the constructor';
    }
    ok !eval { $zk->get( '/a', request_timeout => -1 ); 1 }, 'of a path';
    is $@->path, '/a', 'which the error names';
    $zk->dispatcher->run_loop_once(0);
    is_deeply [ $server->notes ],    [], 'nothing was sent';
    is_deeply [ $zk->get_watchers ], [], 'no watcher is left';
    is $zk->dispatcher->channel->size, 0, 'nobody is told';
};

done_testing;

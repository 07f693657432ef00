use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Child;
use CountingProxy;
use EveryCall;
use TestZK;

use Time::HiRes qw(time);
use ZooKeeper;
use ZooKeeper::Constants;

# What a child does is nothing that the server sees on the parent's connection: not a byte, and no end of it. The
# parent only pings meanwhile, for two session timeouts. (Whoever stands still for most of one loses his connection.)
my $TIMEOUT_MS = 9_000;

my $server = test_server();
my $proxy  = CountingProxy->new( $server->hosts );
my $base   = fresh_path('wire');
my $setup  = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
$setup->create($base);

my ( @events, @session );
my $zk = ZooKeeper->new(
    hosts      => $proxy->hosts,
    timeout    => $TIMEOUT_MS,
    dispatcher => 'AnyEvent',
    watcher    => sub { push @session, $_[0]{state} },
);
$zk->create( "$base/mine", ephemeral => 1, value => 'mine' );
$zk->get( "$base/mine", watcher => sub { push @events, @_ } );
my $id = $zk->client_id->{client_id};
wait_for { $zk->wait(0.1); @session } 60, 'the session event';

my ( $opened, $closed ) = ( 0, 0 );   # connections of children, and those among them whose session was closed
my $own = sub {
    my ($name) = @_;
    $zk->reopen;
    $zk->create( "$base/$name-$$", ephemeral => 1 );
    $zk->get( "$base/mine", watcher => sub { } );
    die "it is the parent's session\n" if $zk->client_id->{client_id} == $id;
    return 'reopened';
};

# What children do: [ name, how many sessions they open, how many of these they close before they leave, code ].
my @deeds = (
    [ 'leaves',               0, 0, sub { 'left' } ],
    [ 'closes it',            0, 0, sub { $zk->close; 'closed' } ],
    [ 'destroys it',          0, 0, sub { undef $zk;  'gone' } ],
    [ 'runs another program', 0, 0, sub { exec $^X, '-e', '1' } ],
    [ 'has others run',       0, 0, sub { system( $^X, '-e', '1' ), `echo x` } ],
    [ 'runs the event loop',  0, 0, sub { $zk->wait(0.3); 'nothing' } ],
    [ 'makes calls',          0, 0, \&all_calls ],
    [
        'has a child that does',
        0, 0,
        sub {
            ( in_child { $zk->close; all_calls() } ), all_calls();
        }
    ],
    [ 'reopens it',       1, 0, sub { $own->('reopen') } ],
    [ 'reopens it twice', 2, 1, sub { $own->('one'); $own->('two') } ],
    [
        'reopens it in a child',
        2, 1,
        sub {
            ( in_child { $own->('inner') } exit => 1 ), $own->('outer');
        }
    ],
    [ 'opens another', 1, 1, sub { ZooKeeper->new( hosts => $proxy->hosts )->exists('/'); 'opened' } ],
);

subtest 'for two session timeouts' => sub {
    my $known = $proxy->requests(1);
    my $end   = time + 2 * $TIMEOUT_MS / 1000;
    my $round = 0;
    while ( time < $end || $round < 2 ) {
        for my $deed (@deeds) {
            my ( $name, $opens, $closes, $code ) = @$deed;
            my $exit = $round % 2;
            $opened += $opens;
            $closed += $exit ? $opens : $closes;
            my $lived = eval {
                in_child { $code->() } exit => $exit;
                1;
            };
            ok $lived, "a child that $name" or diag $@;
        }
        $round++;
    }
    my @since = ( $proxy->requests(1) )[ $known .. $proxy->requests(1) - 1 ];
    is_deeply [ grep { $_ ne 'ping' } @since ], [], 'the parent has sent pings';
    cmp_ok scalar @since, '>', 3, 'several of them';
};

subtest 'the parent after that' => sub {
    my $known = $proxy->requests(1);
    is scalar $zk->get("$base/mine"), 'mine', 'gets an answer';
    my @since = grep { $_ ne 'ping' } ( $proxy->requests(1) )[ $known .. $proxy->requests(1) - 1 ];
    is_deeply \@since, ["4 $base/mine"], 'to what it has sent, and nobody else has sent anything';
    is $zk->exists("$base/mine")->{ephemeralOwner}, $id, 'has its session';
    is_deeply \@session, [ZOO_CONNECTED_STATE], 'without an interruption';
    is_deeply \@events,  [],                    'has not had its event yet';
    $setup->set( "$base/mine", 'v' );
    wait_for { $zk->wait(1); @events } 60, 'the event';
    is $events[0]{path}, "$base/mine", 'and now has it';
};

subtest 'the connections' => sub {
    soon_ok {
        !grep { !$_->{ended} } ( $proxy->connections )[ 1 .. $opened ]
    }
    60, 'those of the children have ended';
    my ( $parent, @others ) = $proxy->connections;
    is $parent->{ended}, undef,   q(the parent's has not);
    is scalar @others,   $opened, 'each session of a child has had one';
    my @last = map { ( $proxy->requests( $_ + 1 ) )[-1] } 1 .. @others;
    is scalar( grep { $_ eq 'close' } @last ), $closed,
      'those that were closed, by exit or by hand, were closed properly';
    soon_ok { "@{[ $setup->get_children($base) ]}" eq 'mine' } 60, 'no session of a child is left';
};

subtest 'a parent that is killed' => sub {
    my ( $pid, $output ) = child_program( <<'PERL', $proxy->hosts );
use ZooKeeper;
my $zk = ZooKeeper->new( hosts => shift, timeout => 60_000 );
$zk->exists('/');
my $child = fork // die;
if ( !$child ) { sleep 600; exit }
print "$child\n";
sleep 600;
PERL
    chomp( my $child = <$output> );
    my $number = $proxy->connections;
    kill KILL => $pid;
    soon_ok { ( $proxy->connections )[ $number - 1 ]{ended} } 60,
      'loses its connection though its child lives';
    ok kill( 0 => $child ), 'which it does';
    kill KILL => $child;
};

sub all_calls {
    my @wrong = not_refused( $zk, "$base/mine", 'reopen it' );
    die join( ', ', @wrong ), "\n" if @wrong;
    return 'all refused';
}

done_testing;

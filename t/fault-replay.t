# Watches of a session that comes back: the C client puts all of them into one packet, which servers answer by closing
# the connection when it is too long, again and again. Each subtest is named after the symptom.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Faults;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

# Paths of 200 bytes; all together they are the limit several times over.
my @CASES = (
    {
        name    => 'watches of 2 MB are set again on a new connection',
        watches => 10_000,
    },
    {
        name    => 'a server that is limited to 64 KB gets its watches again',
        watches => 2_000,
        server  => 65_536,
        handle  => { jute_maxbuffer => 65_536 },
    },
    {
        name    => 'a server with a limit that the client does not know gets its watches again',
        watches => 1_000,
        server  => 20_000,
        handle  => {},
    },
);

for my $case (@CASES) {
    my $server = test_server( $case->{server} ? ( java_opts => ["-Djute.maxbuffer=$case->{server}"] ) : () );
    subtest $case->{name} => sub {
        my @args  = ( hosts => $server->hosts, timeout => 60_000, dispatcher => 'Pipe' );
        my $other = ZooKeeper->new(@args);
        my $base  = fresh_path('fault-replay');
        $other->create($base);

        my %called;
        my $zk    = ZooKeeper->new( @args, %{ $case->{handle} // {} } );
        my @paths = map { sprintf '%s/%0*d', $base, 199 - length $base, $_ } 1 .. $case->{watches};
        $zk->exists( $_, watcher => sub { $called{ $_[0]{path} }++ } ) for @paths;
        my $id = $zk->client_id->{client_id};

        for my $round ( 1 .. 2 ) {
            $server->lose_connection($zk);
            my $back = eval {
                wait_for {
                    eval { $zk->exists('/') }
                }
                60, 'the connection';
            };
            ok $back, "round $round: the session comes back" or return;

            is scalar(
                grep {
                    !eval { $zk->exists('/') }
                } 1 .. 50
              ),
              0, "round $round: to stay";
            is $zk->client_id->{client_id}, $id, "round $round: it is the same";
            is_deeply [ grep { $_ } values %called ], [], "round $round: nobody was called";
        }
        my @changed = @paths[ 0, 1, @paths / 2, -1 ];
        $other->create($_) for @changed;
        soon_ok {
            eval { $zk->exists('/') };
            1 while $zk->dispatcher->dispatch_event;
            keys %called == @changed
        }
        30, 'what changes now is heard of';
        is_deeply \%called, { map { $_ => 1 } @changed }, 'once each';
        is scalar $zk->get_watchers, @paths - @changed, 'the other watchers are kept';
    };
}

done_testing;

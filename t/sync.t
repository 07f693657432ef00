use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

# What is read comes from one server, which may lag behind the others. These handles stay where they are put.
my $servers = test_server( servers => 3, tick_time => 2_000 );
my $leader  = leader_of($servers);
my ($slow)  = grep { $_ != $leader } 0 .. 2;
my $writer  = ZooKeeper->new( hosts => $servers->hosts($leader), timeout => 30_000, dispatcher => 'Pipe' );
my $reader  = ZooKeeper->new( hosts => $servers->hosts($slow),   timeout => 30_000, dispatcher => 'Pipe' );
my $node    = fresh_path('sync');
$writer->create( $node, value => 0, parents => 1 );

my $ROUNDS = 200;

subtest 'what is read after sync is no older than what was written before it' => sub {
    my $fresh = 0;
    for my $n ( 1 .. $ROUNDS ) {
        $writer->set( $node, $n );
        is $reader->sync($node), $node, 'sync returns its path' if $n == 1;
        $reader->sync($node);
        $fresh++ if $reader->get($node) == $n;
    }
    is $fresh, $ROUNDS, 'in every round';
};

subtest 'also where the server has stood still' => sub {
    my ( $fresh, $stale, $lost ) = ( 0, 0, 0 );
    for my $n ( 1 .. $ROUNDS ) {
        $servers->pause($slow);
        $writer->set( $node, -$n );
        my ( $before, undef, $after ) =
          map { $reader->$_($node) } qw(get_f sync_f get_f);    # all on their way before it goes on
        $servers->resume($slow);
        my $answered = eval { $stale++ if $before->get != -$n; $fresh++ if $after->get == -$n; 1 };
        next if $answered;

        # On a busy machine it may have stood still for so long that the leader has dropped it: once more.
        my $error = $@;
        die $error if !$error->is_connection_loss || $lost++ == 5;
        wait_for {
            eval { $reader->sync($node) }
        }
        120, 'the server';
        redo;
    }
    is $fresh, $ROUNDS, 'in every round';
    note "without sync it was older in $stale of $ROUNDS";
};

subtest 'every form' => sub {
    is $reader->sync_f($node)->get, $node, 'a future';
    my @told;
    $reader->sync( $node, cb => sub { @told = @_ } );
    wait_for { $reader->wait(0.1); scalar @told } 60, 'the callback';
    is_deeply \@told, [ undef, $node ], 'a callback';
    my $below = ZooKeeper->new( hosts => $servers->hosts($slow) . $node, dispatcher => 'Pipe' );
    is $below->sync('/'),       '/',       'below a chroot the path is as it was given';
    is $below->sync('/absent'), '/absent', 'a node need not be there';
};

done_testing;

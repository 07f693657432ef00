use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Child;
use Dispatchers;
use EveryCall;
use TestZK;

use Time::HiRes qw(time);
use ZooKeeper;
use ZooKeeper::Constants;

# How handles end: by hand, with their program, with a server that stands still.
my $TIMEOUT_MS = 60_000;

my $server = test_server();
my $base   = fresh_path('lifetime');
my $setup  = ZooKeeper->new( hosts => $server->hosts, timeout => 300_000, dispatcher => 'Pipe' );
$setup->create($base);

for my $dispatcher ( dispatchers() ) {
    subtest "$dispatcher: use after close" => sub {
        my $zk = ZooKeeper->new( hosts => $server->hosts, dispatcher => $dispatcher, watcher => sub { } );
        my $transaction = $zk->transaction->delete($base);
        my $watcher     = $zk->create_watcher( '/x', sub { }, type => 'get' );
        $zk->get( $base, watcher => sub { } );
        $setup->set( $base, 'v' );
        $zk->exists($base);
        for ( 1 .. 2 ) {
            $zk->close;
            is_deeply [ not_refused( $zk, $base, 'invalid zhandle state' ) ], [],
              'every call throws ZINVALIDSTATE';
            ok !eval { $transaction->commit; 1 }, 'so does a transaction of before';
            is $@->code, ZINVALIDSTATE, 'with the same code';
        }
        is $zk->state,              ZOO_NOTCONNECTED_STATE, 'state';
        is !!$zk->is_unrecoverable, !!1,                    'is_unrecoverable';
        is !!$zk->is_connected,     !!0,                    'is_connected';
        is $zk->server,             undef,                  'server';
        is $zk->wait(0.05),         undef,                  'wait';
        ok eval { $zk->remove_watcher($watcher); $watcher->trigger( '/x', 3, 1 ); 1 }, 'watchers' or diag $@;
        1 while $zk->dispatcher->dispatch_event;
        $zk->watcher( sub { } );
        $zk->reopen;
        is $zk->exists($base)->{version}, $setup->exists($base)->{version}, 'reopen';
    };
}

# Handles of a program that ends while its server stands still. Each of them could take a second, for it waits so long
# for the server's word.
my $HANDLES = 25;
my %program = (
    'globals'                      => 'our @zk = handles(); ready();',
    'lexicals of the file'         => 'my @zk = handles(); ready();',
    'lexicals of a sub that exits' => 'sub main { my @zk = handles(); ready(); exit 0 } main();',
    'lexicals of a sub that dies'  =>
      'sub main { my @zk = handles(); ready(); die "oops\n" } eval { main() };',
    'lexicals of a sub that returns' => 'sub main { my @zk = handles(); ready(); return } main();',
    'handles in their own watchers'  =>
      'sub main { for my $zk (handles()) { $zk->get("/", watcher => sub { $zk }) } ready(); exit 0 } main();',
    'handles that are destroyed in END' => 'our @zk = handles(); ready(); END { @zk = () }',
    'a call that waits'                 =>
      'our @zk = handles(); ready(); $SIG{ALRM} = sub { exit 0 }; alarm 1; $zk[0]->get("/");',
);
my $PROLOGUE = <<'PERL';
use strict;
use warnings;
use ZooKeeper;
our ( $hosts, $base, $handles, $timeout ) = @ARGV;
sub handles {
    my @all = map { ZooKeeper->new( hosts => $hosts, timeout => $timeout, dispatcher => 'Pipe' ) } 1 .. $handles;
    $all[$_]->create( "$base/$_", ephemeral => 1 ) for 0 .. $#all;
    return @all;
}
sub ready {
    my $go = 0;
    $SIG{USR1} = sub { $go = 1 };
    print "ready\n";
    select undef, undef, undef, 0.05 until $go;
}
PERL

for my $name ( sort keys %program ) {
    subtest $name => sub {
        for my $stalled ( 0, 1 ) {
            my ( $pid, $output ) =
              child_program( $PROLOGUE . $program{$name}, $server->hosts, $base, $HANDLES, $TIMEOUT_MS );
            is deadline( 60, sub { scalar <$output> } ), "ready\n", 'it is ready';
            is scalar $setup->get_children($base),       $HANDLES,  'with its sessions';
            $server->pause if $stalled;
            my $start = time;
            kill USR1 => $pid;
            my @words = deadline 120, sub { <$output> };
            my $took  = time - $start;
            close $output;
            $server->resume if $stalled;
            is_deeply \@words, [], 'it ends without a word';
            cmp_ok $took, '<', 20, $stalled ? 'in a second or so, though the server stands still' : 'at once';
            soon_ok { !$setup->get_children($base) } 30, 'and its sessions with it';
        }
    };
}

done_testing;

use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

# Handles that come and go. What single calls leave behind is measured by bench/leaks.pl, which fault-leaks.t runs.
# At length it is a hundred thousand of them, and a server that writes less to its disk.
my $own  = at_length( 1, 0 ) && test_server( java_opts => ['-Dzookeeper.forceSync=no'] );
my $zk   = ZooKeeper->new( hosts => $own ? $own->hosts : test_hosts(), dispatcher => 'Pipe' );
my $base = fresh_path('memory');
$zk->create($base);

sub resident_kb {
    open my $status, '<', '/proc/self/status' or die "/proc/self/status: $!\n";
    my ($kb) = map { /^VmRSS:\s+([0-9]+)/ ? $1 : () } <$status>;
    return $kb;
}

sub open_files {
    opendir my $dir, '/proc/self/fd' or die "/proc/self/fd: $!\n";
    return scalar grep { !/\A\./ } readdir $dir;
}

plan skip_all => 'needs Linux\'s /proc' if !eval { resident_kb() && open_files() };

# The first tenth fills caches and free lists. A leak of one scalar a call would show: 24 bytes, and its arena.
sub flat {
    my ( $name, $times, $kb, $code ) = @_;
    $code->() for 1 .. $times / 10;
    my ( $before, $files ) = ( resident_kb(), open_files() );
    $code->() for 1 .. $times;
    my $grown = resident_kb() - $before;
    cmp_ok $grown, '<', $kb, "$times times $name: memory is flat" or diag "grew by $grown KB";

    # The last one may still be under way: another thread closes them.
    soon_ok { open_files() <= $files } 30, "$times times $name: no descriptor is kept";
    return;
}

flat
  'a handle' => at_length( 100_000, 300 ),
  1_000, sub {
    my $other = ZooKeeper->new( hosts => $zk->hosts, dispatcher => 'Pipe', watcher => sub { } );
    $other->exists($base);
  };
flat
  'a handle that never connects' => at_length( 20_000, 500 ),
  1_000, sub {
    ZooKeeper->new( hosts => '127.0.0.1:1', dispatcher => 'Pipe', watcher => sub { } );
  };
flat 'get'    => at_length( 1_000_000, 10_000 ), 1_000, sub { $zk->get($base) };
flat 'reopen' => at_length( 20_000,    300 ),    1_000, sub { $zk->reopen; $zk->exists($base) };

done_testing;

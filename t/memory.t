use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

my $zk   = ZooKeeper->new( hosts => test_hosts(), dispatcher => 'Pipe' );
my $base = fresh_path('memory');
$zk->create( $base, value => 'v' x 100 );
$zk->create("$base/$_") for 1 .. 10;

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

flat 'get'           => 100_000, 1_000, sub { $zk->get($base) };
flat 'get with stat' => 20_000,  500,   sub { my @both = $zk->get($base) };
flat 'set'           => 5_000,   500,   sub { $zk->set( $base, 'v' x 100 ) };
flat 'get_children'  => 10_000,  500,   sub { my @names = $zk->get_children($base) };
flat 'get_acl'       => 10_000,  500,   sub { my @both  = $zk->get_acl($base) };
flat
  'an error' => 10_000,
  500, sub {
    eval { $zk->get("$base/none") }
  };
flat
  'an argument refused' => 50_000,
  500, sub {
    eval { $zk->get('none') }
  };
flat
  'a wrong type' => 50_000,
  500, sub {
    eval { $zk->set( $base, [] ) }
  };
flat 'a transaction' => 3_000, 500, sub { $zk->transaction->set( $base, 'v' )->check( $base, -1 )->commit };
flat
  'a failed watcher' => 10_000,
  500, sub {
    eval {
        $zk->get( "$base/none", watcher => sub { } );
    }
  };
flat
  'a watcher taken off' => 10_000,
  500, sub {
    $zk->get( $base, watcher => sub { } );
    $zk->remove_watcher( $zk->get_watchers );
  };
flat
  'a watcher called' => 3_000,
  500, sub {
    my $called;
    $zk->get( $base, watcher => sub { $called = 1 } );
    $zk->set( $base, 'v' );
    1 while $zk->dispatcher->dispatch_event;
    $called or die 'the event was not there when set returned';
  };
flat
  'a handle' => 300,
  1_000, sub {
    my $other = ZooKeeper->new( hosts => $zk->hosts, dispatcher => 'Pipe', watcher => sub { } );
    $other->exists($base);
  };
flat
  'a handle that never connects' => 500,
  1_000, sub {
    ZooKeeper->new( hosts => '127.0.0.1:1', dispatcher => 'Pipe', watcher => sub { } );
  };
flat 'reopen' => 300, 1_000, sub { $zk->reopen; $zk->exists($base) };

done_testing;

#!/usr/bin/perl
# Bytes that each kind of call leaves behind, after 100,000 of each on a real server, whether it waits or not. See
# bench/README.md.
#
#     make && perl bench/leaks.pl [--calls N] [--only REGEX]
use strict;
use warnings;

use FindBin;
use Getopt::Long;
use List::Util  qw(min);
use Time::HiRes qw(sleep time);
my $top;

BEGIN {
    $top = "$FindBin::Bin/..";
    unshift @INC, "$top/blib/lib", "$top/blib/arch";
}
use lib "$FindBin::Bin/lib";
use Bench qw(build start_stub);
use Bench::Asynchronous;
use Bench::Memory;
use Bench::Told;
use ZooKeeper;
use ZooKeeper::Constants;
use ZooKeeper::Test::Server;

# What a call may leave behind: less than rounds to one byte. No allocation is that small. And what all calls of a part
# together may: a table that has just grown, or a block of a queue that is not full yet.
my ( $LIMIT, $ONCE ) = ( 0.5, 4_000 );

# The calls are made in so many parts, and the one that leaves the least counts: a leak is in all of them, a table that
# grows or a page that is touched for the first time is not.
my $PARTS = 3;

# Whoever seems to leak is measured again, and so many seconds are waited each time before memory is looked at: on a busy
# machine the engine's thread may still have something to free.
my @AGAIN = ( 0.1, 0.5 );

# Where files are in memory, and how many bytes the server may write for a call of each kind: far more than it does.
my ( $MEMORY, $WRITTEN ) = ( '/dev/shm', 100_000 );

my ( $calls, $only ) = ( 100_000, '' );
my $usage = "usage: leaks.pl [--calls N] [--only REGEX]\n";
GetOptions(
    'calls=i' => \$calls,
    'only=s'  => \$only,
    help      => sub { print $usage; exit }
  )
  && !@ARGV
  && $calls >= 100
  or die $usage;

# Fewer writes to the disk make writing many times as fast, and none where there is room for them in memory.
my $server = do {
    local $ENV{TMPDIR} = $MEMORY if !defined $ENV{TMPDIR} && free($MEMORY) > $calls * $WRITTEN;
    ZooKeeper::Test::Server->new( java_opts => ['-Dzookeeper.forceSync=no'] );
};
my $zk   = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
my $base = '/leaks';
my $acl  = ZOO_OPEN_ACL_UNSAFE;
my $cb   = sub { };
my @kept;
$zk->create( $base, value => 'v' x 100 );
$zk->create("$base/child-$_") for 1 .. 10;
$zk->create( "$base/ephemeral", ephemeral => 1 );

# Name and code. Whatever is called for its failure has to fail.
my @KINDS = (
    [ 'get'           => sub { my $data = $zk->get($base) } ],
    [ 'get with stat' => sub { my ( $data, $stat ) = $zk->get($base) } ],
    [ 'failed get'    => sub { fails( get => "$base/none" ) } ],
    [
        'failed get with watcher' => sub { fails( get => "$base/none", watcher => $cb ) }
    ],
    [
        'create and delete' => sub { $zk->create("$base/x"); $zk->delete("$base/x") }
    ],
    [ 'create with arguments' => \&create_with_arguments ],
    [ 'failed create'         => sub { fails( create => $base,      value => 'v' ) } ],
    [ 'refused create'        => sub { fails( create => 'no-slash', value => 'v' ) } ],
    [ 'failed delete'         => sub { fails( delete => "$base/none" ) } ],
    [ 'exists'                => sub { my $stat = $zk->exists($base) } ],
    [
        'exists of a missing node' => sub { my $stat = $zk->exists("$base/none") }
    ],
    [ 'set' => sub { my $stat = $zk->set( $base, 'v' x 100 ) } ],
    [
        'failed set' => sub { fails( set => $base, 'v', version => 99_999_999 ) }
    ],
    [ 'set of a wrong type' => sub { fails( set => $base, [] ) } ],
    [ 'get_children'        => sub { my @names = $zk->get_children($base) } ],
    [ 'get_acl'            => sub { my ( $got,  $stat ) = $zk->get_acl($base) } ],
    [ 'create2 and delete' => sub { my ( $path, $stat ) = $zk->create2("$base/x"); $zk->delete("$base/x") } ],
    [ 'get_children2'      => sub { my ( $names, $stat ) = $zk->get_children2($base) } ],
    [ 'sync'               => sub { $zk->sync($base) } ],
    [ 'whoami'             => sub { my @who   = $zk->whoami } ],
    [ 'get_ephemerals'     => sub { my @paths = $zk->get_ephemerals('/') } ],
    [ 'get_config'         => sub { my ( $config, $stat ) = $zk->get_config } ],
    [ 'get_all_children_number'      => sub { my $count = $zk->get_all_children_number($base) } ],
    [ 'add_watch and remove_watches' => \&watch_added_and_removed ],
    [ 'failed remove_watches'        => sub { fails( remove_watches => $base ) } ],
    [
        'parents and recursive' =>
          sub { $zk->create( "$base/p/q", parents => 1 ); $zk->delete( "$base/p", recursive => 1 ) }
    ],
    [
        'failed ensure_path' => sub { fails( ensure_path => "$base/ephemeral/x/y" ) }
    ],
    [ 'failed get_children' => sub { fails( get_children => "$base/none" ) } ],
    [ 'failed get_acl'      => sub { fails( get_acl      => "$base/none" ) } ],
    [ 'failed reconfig'     => sub { fails( reconfig     => leaving             => '77' ) } ],
    [ 'refused add_watch'   => sub { fails( add_watch    => 'no-slash', watcher => $cb ) } ],
    [
        'add_auth' => sub { $zk->add_auth( 'digest', 'a:b', watcher => $cb ); $zk->sync('/'); poll() }
    ],
    [ 'set_acl'             => sub { $zk->set_acl( $base, $acl ) } ],
    [ 'failed set_acl'      => sub { fails( set_acl => "$base/none", $acl ) } ],
    [ 'transaction'         => \&transaction ],
    [ 'failed transaction'  => \&failed_transaction ],
    [ 'refused transaction' => \&refused_transaction ],
    [ 'watcher called'      => \&watcher_called ],
    [ 'watcher removed'     => \&watcher_removed ],
);

build('stub');
my $stub = start_stub();
push @KINDS, Bench::Asynchronous::kinds( $server->hosts, $base, $stub->{hosts} );
push @KINDS, Bench::Told::kinds( $server->hosts, $base );

my ($in_use) = Bench::Memory::counters();
$| = 1;
print
"$calls calls each, server ${\ $server->version }; bytes per call, and descriptors that were not closed\n\n";
printf "%-30s%10s%10s%14s\n", 'call', 'malloc', 'resident', 'descriptors';
my @leaks = grep { !is_clean(@$_) } grep { $_->[0] =~ /$only/ } @KINDS;

# That a leak would be seen.
my $seen = measure( sub { push @kept, 'x' x 1_000 } );
printf "\nto compare: keeping a string of a thousand bytes: %.1f\n", $seen->{resident};
die "but that is more: this measures nothing\n"
  if grep { $_ < 100 } grep { defined } @{$seen}{qw(malloc resident)};
print @leaks
  ? "\nLEAKS: " . join( ', ', map { $_->[0] } @leaks ) . "\n"
  : "\nnothing leaks\n";
exit !!@leaks;

# Measures one kind, prints the result, and says whether nothing is left behind.
sub is_clean {
    my ( $name, $code ) = @_;
    $code->() for 1 .. $calls / 10;    # fills caches and free lists
    my $most = $LIMIT + $ONCE / int( $calls / $PARTS );
    my ( $left, $clean );
    for my $pause ( 0, @AGAIN ) {
        $left  = measure( $code, $pause );
        $clean = $left->{descriptors} <= 0 && !grep { defined && $_ >= $most } @{$left}{qw(malloc resident)};
        last if $clean;
    }
    my @bytes =
      map { defined ? sprintf( '%.2f', $_ ) =~ s/\A-(?=0.00)//r : '-' } @{$left}{qw(malloc resident)};
    printf "%-30s%10s%10s%14d%s\n", $name, @bytes, $left->{descriptors}, $clean ? '' : '  <-';
    return $clean;
}

# Bytes per call by malloc's account and by the kernel's, and descriptors of all. What is noted meanwhile has its place
# before, lest it be taken for a leak itself.
sub measure {
    my ( $code, $pause ) = @_;
    my $each   = int $calls / $PARTS;
    my $files  = at_rest();
    my @malloc = my @resident = (0) x ( 1 + $PARTS );
    for my $part ( 0 .. $PARTS ) {
        if ($part) {
            $code->() for 1 .. $each;
            left_open($files);    # what the engine's thread still holds of handles that are gone is no leak
        }
        sleep $pause if $pause;
        $resident[$part] = Bench::Memory::resident();
        $malloc[$part]   = $in_use->() if $in_use;
    }
    return {
        malloc      => $in_use ? min( grown(@malloc) ) / $each : undef,
        resident    => min( grown(@resident) ) / $each,
        descriptors => left_open($files),
    };
}

sub grown {
    return map { $_[$_] - $_[ $_ - 1 ] } 1 .. $#_;
}

sub fails {
    my ( $method, @args ) = @_;
    die "$method should have failed\n" if eval { $zk->$method(@args); 1 };
    return;
}

sub poll {
    1 while $zk->dispatcher->dispatch_event;
    return;
}

sub create_with_arguments {
    my $path = $zk->create(
        "$base/x-",
        value      => 'v' x 100,
        acl        => $acl,
        ephemeral  => 1,
        sequential => 1
    );
    return $zk->delete( $path, version => 0 );
}

sub transaction {
    my @results =
      $zk->transaction->create( "$base/t", value => 'v' )->set( "$base/t" => 'w' )->check( $base, -1 )
      ->delete("$base/t")->commit;
    return $results[3]{type} eq 'delete' || die "the transaction failed\n";
}

sub failed_transaction {
    my @results = $zk->transaction->set( $base => 'v' )->create($base)->commit;
    return $results[1]{code} == ZNODEEXISTS
      || die "the transaction should have failed\n";
}

sub refused_transaction {
    die "the transaction should have been refused\n"
      if eval {
        $zk->transaction->set( $base => 'v' )->create('no-slash')->commit;
        1;
      };
    return;
}

sub watcher_called {
    my $called;
    $zk->get( $base, watcher => sub { $called = 1 } );
    $zk->set( $base, 'v' );
    poll();
    return $called || die "the watcher was not called\n";
}

sub watch_added_and_removed {
    my $heard;
    my $watcher = $zk->add_watch( $base, watcher => sub { $heard++ }, recursive => 1 );
    $zk->set( $base, 'v' x 100 );
    $zk->remove_watches( $base, watcher => $watcher );
    poll();
    return $heard == 2 || die "heard $heard events\n";
}

sub watcher_removed {
    $zk->$_( $base, watcher => sub { } ) for qw(get exists get_children);
    return $zk->remove_watcher( path => $base );
}

# How many descriptors are open when no more are being closed.
sub at_rest {
    my ( $now, $before ) = descriptors();
    do { $before = $now; sleep 0.05; $now = descriptors() } while $now < $before;
    return $now;
}

# How many descriptors more than so many are open. Those of handles that are gone are closed by the engine's thread, at
# a time of its own.
sub left_open {
    my ($files) = @_;
    my $deadline = time + 5;
    sleep 0.01 while descriptors() > $files && time < $deadline;
    return descriptors() - $files;
}

# Bytes that files may have there, 0 if there is no such place.
sub free {
    my ($place) = @_;
    return 0 if !-w $place;
    my ($kilobytes) = map { /\s([0-9]+)\s+[0-9]+%/ ? $1 : () } `df -Pk $place 2>&1`;
    return 1_024 * ( $kilobytes // 0 );
}

sub descriptors {
    opendir my $dir, '/proc/self/fd' or die "/proc/self/fd: $!\n";
    return scalar( () = readdir $dir );
}

# What a program has loaded as the manual says it can use when it can read no more files.
use strict;
use warnings;
use Test::More;
use lib 't/lib';

use TestZK;
use ZooKeeper;

plan skip_all => 'needs AnyEvent' if !eval { require AnyEvent };
my $server = test_server();
my $hosts  = $server->hosts;
ZooKeeper->new( hosts => $hosts, dispatcher => 'Pipe' )->ensure_path( my $base = fresh_path('before') );

open my $in, '<:encoding(UTF-8)', 'lib/ZooKeeper/Processes.pod' or die "Processes.pod: $!\n";
my ($listed) = join( '', <$in> ) =~ /^(    use ZooKeeper;\n(?:    use .*\n)+\n    ZooKeeper->new.*\n)/m;
close $in;
ok $listed, 'the manual lists what to load';

my @DOES = (
    [ 'a new handle'       => 'ZooKeeper->new( %new )->wait_connected(20)' ],
    [ 'a call that fails'  => 'eval { $zk->get("$base/none") }; $@->code == -101' ],
    [ 'ensure_path'        => '$zk->ensure_path("$base/a/b")' ],
    [ 'a recursive delete' => '$zk->delete( "$base/a", recursive => 1 ); !$zk->exists("$base/a")' ],
    [ 'a transaction'      => '$zk->transaction->create("$base/t")->commit' ],
    [ 'a multi_read'       => '$zk->multi_read->get("$base/t")->commit' ],
    [ 'a future'           => '$zk->exists_f($base)->get' ],
    [ 'a watch'            => '$zk->get( $base, watcher => sub { } ); $zk->set( $base, 1 ); $zk->wait(20)' ],
    [ 'a tracer' => '$zk->reopen( tracer => { end => sub { $traced++ } } ); $zk->exists($base) && $traced' ],
    [ 'TLS'      => '$zk->reopen( tls => 1 ); 1' ],
);
my $does = join '',
  map { qq{print "$_->[0]: ", eval { $_->[1] } ? 'works' : "does not: \$\@", "\\n";\n} } @DOES;
my $program = <<"TEXT" . $does;
use strict;
use warnings;
$listed
\@INC = ();
my \$base   = '$base';
my \%new    = ( hosts => '$hosts', dispatcher => 'AnyEvent' );
my \$zk     = ZooKeeper->new(%new);
my \$traced = 0;
TEXT

open my $pipe, '-|', $^X, ( map { "-I$_" } @INC ), '-e', $program or die "perl: $!\n";
chomp( my @said = <$pipe> );
close $pipe;
is_deeply \@said, [ map { "$_->[0]: works" } @DOES ], 'all of it works without a file';
done_testing;

# The version is the same everywhere.
use strict;
use warnings;

use Test::More;
use lib 'xt/lib';
use Files qw(all_files slurp);

my ($version) = slurp('lib/ZooKeeper.pm') =~ /^our \$VERSION = '(\d+\.\d+\.\d+)';$/m;
ok $version, 'lib/ZooKeeper.pm has a version';

for my $file ( grep { m{\Alib/.*\.pm\z} } all_files() ) {
    my ($its) = slurp($file) =~ /^our \$VERSION\s*= '([^']+)';$/m;
    is $its, $version, $file;
}

my ($workspace) = slurp('Cargo.toml') =~ /^\[workspace\.package\]\nversion = "([^"]+)"/m;
is $workspace, $version, 'Cargo.toml';
for my $file ( grep { m{\Arust/(?!fuzz/)[^/]+/Cargo\.toml\z} } all_files() ) {
    ok slurp($file) =~ /^version\.workspace = true$/m, $file;
}
my %locked = slurp('Cargo.lock') =~ /^name = "(zk-[^"]+)"\nversion = "([^"]+)"/mg;
is_deeply \%locked, { map { $_ => $version } keys %locked }, 'Cargo.lock';
ok exists $locked{'zk-xs'}, '... has the crates of this repository';

# In META.json: xt/meta.t.

my ($latest) = slurp('Changes') =~ /^(\d\S*)/m;
is $latest, $version, 'Changes';

# What it takes is said in README.md as well.
my ($perl)   = slurp('cpanfile')   =~ /^requires 'perl' => '5\.0*(\d+)';$/m;
my ($rust)   = slurp('Cargo.toml') =~ /^rust-version = "([\d.]+)"$/m;
my ($readme) = slurp('README.md')  =~ /(perl \S+ or newer, Rust \S+ or newer)/;
is $readme, "perl 5.$perl or newer, Rust $rust or newer", 'README.md: the oldest perl and Rust';

done_testing;

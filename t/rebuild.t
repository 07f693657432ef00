# What `make` asks of cargo, and that a perl that runs survives a rebuild: the library
# is replaced, never written into.
use strict;
use warnings;

use Config;
use Cwd qw(getcwd);
use Test::More;
use lib 't/lib';
use SourceCopy;

my ($built) = grep { -e } map { "$_/auto/ZooKeeper/ZooKeeper.so" } getcwd() . '/blib/arch', @INC;
plan skip_all => 'needs blib/arch/auto/ZooKeeper/ZooKeeper.so (run make)' if !$built;

my $make = $Config{make};
my ($rust) = read_file('Cargo.toml') =~ /^rust-version\s*=\s*"(\d+\.\d+)"/m;

# Instead of compiling it takes a library that is there, and makes it differ from the
# last one: what follows an ELF file's sections is not looked at.
my $tools = tool_dir(
    rustc => "echo rustc $rust.0",
    cargo => <<"SHELL" );
if [ "\$1" = --version ]; then echo cargo $rust.0; exit; fi
echo "arguments: \$*" >>"\$ASKED"
echo "CARGO_HOME: \${CARGO_HOME-unset}" >>"\$ASKED"
while [ \$# -gt 1 ]; do
    if [ "\$1" = --target-dir ]; then target=\$2; fi
    shift
done
mkdir -p "\$target/release"
cp "$built" "\$target/release/libzookeeper_xs.so"
echo "\$\$" >>"\$target/release/libzookeeper_xs.so"
SHELL

my $copy  = source_copy();
my $asked = "$copy/asked";

# Runs a command and returns what it asked of cargo.
sub run {
    my ( $variables, @command ) = @_;
    unlink $asked;
    my ( $status, $said ) =
      in_copy( $copy, { PATH => "$tools:$ENV{PATH}", ASKED => $asked, %$variables }, @command );
    is $status, 0, "@command" or diag $said;
    return -e $asked ? read_file($asked) : '';
}

sub inode { return ( stat $_[0] )[1] }

my $target = "target/perl-$Config{archname}-$Config{version}";

subtest 'from a repository' => sub {
    run( {}, $^X, 'Makefile.PL' );
    my $request = run( {}, $make, 'pure_all' );
    is $request, "arguments: build --release --locked -p zk-xs --target-dir $target\nCARGO_HOME: unset\n",
      'cargo may fetch, and keeps what it fetches where it likes';
    is run( {}, $make, 'pure_all' ), '', 'nothing has changed: cargo is not asked';
};

subtest 'without TLS' => sub {
    run( { PERL_ZOOKEEPER_TLS => 0 }, $^X, 'Makefile.PL' );
    like run( {}, $make, 'pure_all' ), qr/^arguments: build .*--no-default-features/, 'cargo is told so';
    is run( {}, $make, 'pure_all' ), '', 'once';
    run( {}, $^X, 'Makefile.PL' );
    my $request = run( {}, $make, 'pure_all' );
    like $request,   qr/^arguments: build /,    'with it again: cargo is asked again';
    unlike $request, qr/--no-default-features/, '... for all';
};

my $library = "$copy/blib/arch/auto/ZooKeeper/ZooKeeper.so";

subtest 'a perl that runs survives a rebuild' => sub {
    my $before = inode($library);
    open my $old, '<:raw', $library or die $!;
    my $content = read_file($library);

    pipe my $theirs, my $ours or die $!;
    my $pid = open( my $child, '-|' ) // die $!;
    if ( !$pid ) {
        close $ours;
        open STDIN, '<&', $theirs or die $!;
        exec $^X, "-I$copy/blib/lib", "-I$copy/blib/arch", '-MZooKeeper::XS', '-e', <<'PERL' or die $!;
$| = 1;
print "up\n";
<STDIN>;
open my $maps, '<', '/proc/self/maps' or die $!;
print "mapped: ", ( grep { m{/ZooKeeper\.so \(deleted\)} } <$maps> ) ? "the old one\n" : "another\n";
my $channel = ZooKeeper::Channel->new;
$channel->send("item $_") for 1 .. 1000;
my $last;
while ( $channel->size ) { $last = $channel->recv }
print "$last\n";
PERL
    }
    close $theirs;
    is scalar <$child>, "up\n", 'a perl has loaded the library';

    my $later = time + 5;
    utime $later, $later, "$copy/rust/xs/src/lib.rs" or die $!;
    like run( {}, $make, 'pure_all' ), qr/^arguments: build /, 'a source has changed: cargo is asked';
    isnt inode($library),       $before,  'the library is another file';
    isnt read_file($library),   $content, '... of other content';
    is do { local $/; <$old> }, $content, 'the old file is as it was';

    print {$ours} "go on\n";
    close $ours;
    is join( '', <$child> ), "mapped: the old one\nitem 1000\n", 'the perl works on';
    ok close $child, '... and ends well';
    is_deeply [ glob "$copy/blib/arch/auto/ZooKeeper/*.new" ], [], 'nothing is left over';
};

subtest 'a library that is installed is replaced as well' => sub {
    my @install = ( $make, "pure_install", "DESTDIR=$copy/dest" );
    run( {}, @install );
    chomp( my ($installed) = `find "$copy/dest" -name ZooKeeper.so` );
    my $before = inode($installed);
    open my $held, '<:raw', $installed or die "$installed: $!"; # or its number could be given to the new file
    my $later = time + 60;
    utime $later, $later, "$copy/rust/xs/src/lib.rs" or die $!;
    run( {}, @install );
    isnt inode($installed),   $before,             'installed anew: another file';
    is read_file($installed), read_file($library), '... with the new content';
};

subtest 'from a release' => sub {
    write_file( "$copy/.cargo/config.toml", "# the crates are here\n" );
    run( {}, $^X, 'Makefile.PL' );
    unlink $library;
    is run( {}, $make, 'pure_all' ),
"arguments: build --release --locked --offline -p zk-xs --target-dir $target\nCARGO_HOME: $target/cargo-home\n",
      'cargo fetches nothing, and writes into the build directory only';
    unlink $library;
    like run( { CARGO_HOME => "$copy/own" }, $make, 'pure_all' ), qr{^CARGO_HOME: \Q$copy\E/own$}m,
      'a CARGO_HOME that is set is used';
    unlink $library;
    like run( { CARGO_HOME => undef, HOME => undef }, $make, 'pure_all' ),
      qr{^CARGO_HOME: \Q$target\E/cargo-home$}m,
      'it takes no HOME';
};

done_testing;

# A release builds, passes its tests and installs where there is no network, no place to
# write to but its own directory and where it installs to, and no sources to look at.
use strict;
use warnings;

use Cwd                qw(getcwd);
use ExtUtils::Manifest qw(filecheck manicheck);
use File::Temp         ();
use JSON::PP           qw(decode_json);
use Test::More;
use lib   qw(xt/lib t/lib);
use Files qw(slurp);
use SourceCopy;

plan skip_all => 'takes minutes and a network: set ZOOKEEPER_TEST_DIST=1' if !$ENV{ZOOKEEPER_TEST_DIST};

my ($version) = slurp('lib/ZooKeeper.pm') =~ /^our \$VERSION = '(\d+\.\d+\.\d+)';$/m;
my $top       = getcwd();
my $work      = File::Temp->newdir;
my $tarball   = "$work/ZooKeeper-$version.tar.gz";
my $tree      = "$work/ZooKeeper-$version";

my %tools = map { $_ => $ENV{$_} } grep { defined $ENV{$_} } qw(CARGO RUSTC);

# A rustup keeps its toolchains in HOME, which is another one here.
$tools{RUSTUP_HOME} = $ENV{RUSTUP_HOME} // ( -d "$ENV{HOME}/.rustup" ? "$ENV{HOME}/.rustup" : undef );

# Runs a command somewhere; shows what it said if it failed, and else the end of it.
sub runs {
    my ( $where, $variables, $name, @command ) = @_;
    my ( $status, $said ) = in_copy( $where, $variables, @command );
    my @end = ( split /^/, $said )[ -3 .. -1 ];
    is( $status, 0, $name ) ? note join '', grep { defined } @end : diag $said;
    return $said;
}

subtest 'script/dist' => sub {
    local $ENV{SOURCE_DATE_EPOCH} = 1_700_000_000;
    my $said = runs( $top, \%tools, 'runs', 'script/dist', '--output', "$work" );
    my $size = -s $tarball;
    like $said, qr/^\Q$tarball\E: $size bytes$/m, 'tells the name and the size';
    my $first = slurp($tarball);
    runs( $top, \%tools, 'runs again', 'script/dist', '--output', "$work" );
    ok $first eq slurp($tarball), 'the same sources make the same tarball';
    runs( $work, {}, 'it unpacks', qw(tar -xzf), $tarball );
};
BAIL_OUT("no $tree") if !-d $tree;

subtest 'what is in it' => sub {
    chdir $tree or die $!;
    local $ExtUtils::Manifest::Quiet = 1;
    is_deeply [ manicheck() ], [], 'all that MANIFEST lists';
    is_deeply [ filecheck() ], [], 'and nothing else';
    is decode_json( slurp('META.json') )->{version}, "v$version", 'META.json';

    my @foreign = glob 'vendor/*windows* vendor/wasi-* vendor/core-foundation-* vendor/android_*';
    ok scalar @foreign, 'there are crates for other systems';
    for my $crate (@foreign) {
        chomp( my @files = sort `find $crate -type f` );
        is_deeply \@files, [ map { "$crate/$_" } qw(.cargo-checksum.json Cargo.toml src/lib.rs) ],
          "$crate is empty";
        unlike slurp("$crate/src/lib.rs"), qr{^(?!//).}m, '... but for a comment';
    }
    cmp_ok -s ( glob 'vendor/libc-0*/src/lib.rs' )[0], '>', 1000, 'those for Linux are not';
    chdir $top or die $!;
};

my $home   = File::Temp->newdir;
my @apart  = ( 'unshare', ( $> ? '-r' : () ), '-nm' );
my $inside = <<'SHELL';
mount --bind "$HOME" "$HOME" && mount -o remount,bind,ro "$HOME" && ip link set lo up || exit 1
! touch "$HOME/file" 2>/dev/null || exit 1
exec "$@"
SHELL

# Without a network, with a HOME that can't be written to.
sub apart {
    my ( $where, $variables, $name, @command ) = @_;
    return runs( $where, { %tools, HOME => "$home", %$variables },
        $name, @apart, 'sh', '-c', $inside, 'sh', @command );
}

SKIP: {
    my ( $status, $said ) = in_copy( $work, { HOME => "$home" }, @apart, 'sh', '-c', $inside, 'sh', 'true' );
    skip "needs unshare, mount and ip, and the right to use them: $said", 1 if $status;

    my $installed = "$work/installed";
    my %library   = ( PERL5LIB => "$installed/lib/perl5" );
    subtest 'without a network' => sub {
        my @strict  = ( PERL_ZOOKEEPER_BUILD_STRICT => 1 );
        my $devices = apart( $work, {}, 'look', 'cat', '/proc/net/dev' );
        is_deeply [ $devices =~ /^\s*(\S+):/mg ], ['lo'], 'there is none';
        apart( $tree, {@strict}, 'perl Makefile.PL', $^X, 'Makefile.PL', "INSTALL_BASE=$installed" );
        apart( $tree, {}, 'make', 'make' );
        my @alone = ( ZOOKEEPER_TEST_KAZOO => 'optional' );    # another client, from a registry
        apart( $tree, {@alone}, 'make test',    'make', 'test' );
        apart( $tree, {},       'make install', 'make', 'install' );
    };

    subtest 'what is installed' => sub {
        my $elsewhere = File::Temp->newdir;
        rename $tree, "$tree.hidden" or die $!;
        write_file( "$elsewhere/program.pl", <<'PERL' );
use strict;
use warnings;
use ZooKeeper;
use ZooKeeper::Test::Server;

my $reason = ZooKeeper::Test::Server->unavailable;
if ( defined $reason ) { print "no server: $reason\n"; exit }
my $server = ZooKeeper::Test::Server->new;
my $zk     = ZooKeeper->new( hosts => $server->hosts );
$zk->create( '/node', value => 'data' );
print $INC{'ZooKeeper.pm'}, ' ', $zk->VERSION, ' got ', scalar $zk->get('/node'), "\n";
PERL
        my $printed = apart( $elsewhere, {%library}, 'a program elsewhere', $^X, 'program.pl' );
        if ( $printed =~ /^no server: (.*)/m ) {
          SKIP: { skip $1, 1 }
        }
        else {
            like $printed, qr{^\Q$installed\E/lib/perl5/(?:\S+/)?ZooKeeper\.pm \Q$version\E got data$}m,
              'is answered by a server';
        }
        rename "$tree.hidden", $tree or die $!;
    };

    subtest 'cpanm' => sub {
        plan skip_all => 'needs cpanm (package cpanminus)' if !grep { -x "$_/cpanm" } split /:/, $ENV{PATH};
        my %own = ( PERL_CPANM_HOME => "$work/cpanm" );
        apart( $tree, \%own, 'cpanm .', 'cpanm', '--notest', '-l', "$work/local", '.' );
        my $file = apart(
            $work,
            { PERL5LIB => "$work/local/lib/perl5" },
            'what it installed',
            $^X, '-e', 'use ZooKeeper; print $INC{"ZooKeeper.pm"}'
        );
        like $file, qr{\A\Q$work\E/local/}, 'is what perl finds';
    };
}

done_testing;

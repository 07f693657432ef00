package Bench::Memory;
use strict;
use warnings;

use Config;
use DynaLoader;
use File::Basename qw(dirname);
use File::Temp;

my $SOURCE = dirname(__FILE__) . '/../../leaks.c';

# Bytes of memory that are this process's alone, as the kernel counts them: smaps_rollup is exact, VmRSS is not.
sub resident {
    open my $maps, '<', '/proc/self/smaps_rollup'
      or die "/proc/self/smaps_rollup: $!\n";
    my ($kb) = map { /^Anonymous:\s+([0-9]+)/ ? $1 : () } readline $maps;
    return 1_024 * $kb;
}

# Three functions: one asks malloc how many bytes are in use, one perl how many scalars there are, and one has malloc give
# back what nobody uses. None where they can't be compiled: resident memory has to do then.
sub counters {
    my $dir     = File::Temp->newdir;
    my $library = "$dir/leaks.so";
    my $command = join ' ', $Config{cc}, $Config{ccflags}, $Config{optimize},
      $Config{cccdlflags}, '-shared',
      "-I$Config{archlibexp}/CORE", '-o', $library, $SOURCE;
    my $output = `$command 2>&1`;
    my $handle = $? ? undef : DynaLoader::dl_load_file( $library, 0 );
    my @found =
      map { $handle ? DynaLoader::dl_find_symbol( $handle, "leaks_$_" ) : undef } qw(in_use scalars trim);
    if ( 3 != grep { $_ } @found ) {
        print "malloc can't be asked (leaks.c does not compile: $output)\n";
        return;
    }
    return map { DynaLoader::dl_install_xsub( "Bench::Memory::counter_$_", $found[$_] ) } 0 .. 2;
}

1;

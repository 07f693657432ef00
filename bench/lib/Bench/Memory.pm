package Bench::Memory;
use strict;
use warnings;

# Bytes of memory that are this process's alone, as the kernel counts them: smaps_rollup is exact, VmRSS is not.
sub resident {
    open my $maps, '<', '/proc/self/smaps_rollup'
      or die "/proc/self/smaps_rollup: $!\n";
    my ($kb) = map { /^Anonymous:\s+([0-9]+)/ ? $1 : () } readline $maps;
    return 1_024 * $kb;
}

1;

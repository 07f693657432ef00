# The compiled part takes perl's functions from the perl that loads it, brings no
# libperl of its own, and shows the world nothing but its boot function.
use strict;
use warnings;

use Test::More;

my $library = 'blib/arch/auto/ZooKeeper/ZooKeeper.so';
plan skip_all => "needs $library (run make)" if !-e $library;
plan skip_all => 'needs readelf (package binutils)' if !grep { -x "$_/readelf" } split /:/, $ENV{PATH};

my @needed = `readelf --dynamic --wide $library` =~ /\(NEEDED\).*\[(.*)\]/g;
ok scalar @needed, 'readelf lists what it needs';
is join( ' ', grep { !/\A(?:libc|libgcc_s|libm|ld-linux-[\w-]+)\.so\.\d+\z/ } @needed ), '',
  'it needs the C library and nothing else';

my @symbols = map { [ split ' ' ] } `readelf --dyn-syms --wide $library`;
my @shown   = map { $_->[7] }
  grep { @$_ >= 8 && $_->[4] =~ /\A(?:GLOBAL|WEAK)\z/ && $_->[6] =~ /\A\d+\z/ } @symbols;
is "@shown", 'boot_ZooKeeper', 'it shows its boot function and nothing else';

done_testing;

# MANIFEST names every file of the repository that MANIFEST.SKIP does not leave out,
# and nothing else.
use strict;
use warnings;

use Test::More;
use ExtUtils::Manifest qw(maniread maniskip);
use lib 'xt/lib';
use Files qw(all_files slurp);

plan skip_all => 'needs a git checkout: a release is what its MANIFEST says' if !-e '.git';

my $skip     = maniskip('MANIFEST.SKIP');
my %expected = map { $_ => 1 } grep { !$skip->($_) } all_files();
my $listed   = maniread('MANIFEST');

is join( "\n", sort grep { !exists $listed->{$_} } keys %expected ), '', 'no file is missing in MANIFEST';
is join( "\n", sort grep { !$expected{$_} } keys %{$listed} ), '', 'MANIFEST names no file that is not there';

# Matched after maniskip: that one takes what earlier matches captured for patterns.
my ($command) = slurp('MANIFEST.SKIP') =~ /^#\s+(git ls-files .*\S) >MANIFEST$/m;
is scalar `$command`, slurp('MANIFEST'), 'it is what the command in MANIFEST.SKIP makes'
  or diag "To make it anew:\n$command >MANIFEST";

done_testing;

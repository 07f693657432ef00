# Every Perl file is as perltidy, with .perltidyrc, would write it.
use strict;
use warnings;

use Test::More;
use lib 'xt/lib';
use Files qw(perl_files slurp);

plan skip_all => 'needs Perl::Tidy (package perltidy)' if !eval { require Perl::Tidy };

for my $file ( sort( perl_files() ) ) {
    my $source = slurp($file);
    my $failed = Perl::Tidy::perltidy(
        argv        => [],
        source      => \$source,
        destination => \my $tidy,
        perltidyrc  => '.perltidyrc',
        stderr      => \my $errors,
    );
    ok !$failed && $tidy eq $source, $file or diag $errors || "run: perltidy -b -bext=/ $file";
}

done_testing;

# perlcritic, gentle (severity 5), with .perlcriticrc. Tests are left out: what it
# warns of, such as a package in the wrong file, is what some of them try.
use strict;
use warnings;

use Test::More;
use lib 'xt/lib';
use Files qw(perl_files);

plan skip_all => 'needs Perl::Critic (package libperl-critic-perl)' if !eval { require Perl::Critic };

my $critic = Perl::Critic->new( -profile => '.perlcriticrc' );
Perl::Critic::Violation::set_format("%m at line %l, %p\n");
for my $file ( sort grep { !m{\Ax?t/} } perl_files() ) {
    my @violations = $critic->critique($file);
    ok !@violations, $file or diag join '', @violations;
}

done_testing;

# POD is well formed, and every module that a program may use has some.
use strict;
use warnings;

use Test::More;
use Pod::Checker;
use lib 'xt/lib';
use Files qw(all_files);

# Modules that only this distribution's own modules use.
my %internal = map { ( "lib/ZooKeeper/$_.pm" => 1 ) } qw(Arguments Commands Guard Methods Settings XS);

for my $file ( sort grep { /\.(?:pm|pod)\z/ && m{\Alib/} } all_files() ) {
    open my $output, '>', \my $said or die $!;
    my $checker = Pod::Checker->new( -warnings => 1 );
    $checker->parse_from_file( $file, $output );
    if ( $checker->num_errors < 0 ) {
        ok $internal{$file}, "$file needs no POD";
        next;
    }
    is $checker->num_errors + $checker->num_warnings, 0, $file or diag $said;
}

done_testing;

# POD is well formed, every module that a program may use has some, and links lead somewhere.
use strict;
use warnings;

use Test::More;
use Pod::Checker;
use lib 'xt/lib';
use Files qw(all_files slurp);

# Modules that only this distribution's own modules use.
my %internal =
  map { ( "lib/ZooKeeper/$_.pm" => 1 ) }
  qw(Arguments Commands Guard Log Methods Modules Operations Settings Settings/TLS Steps Steps/Delete Tracer XS);

# Page => a hash of the headings on it, and [ file, link ] for each link to another page.
my ( %headings, @links );

my @files = sort grep { /\.(?:pm|pod)\z/ && m{\Alib/} } all_files();
for my $file (@files) {
    if ( $file =~ /\.pm\z/ && -e $file =~ s/\.pm\z/.pod/r ) {
        unlike slurp($file), qr/^=\w/m, "$file leaves the POD to the file beside it";
        next;
    }
    open my $output, '>', \my $said or die $!;
    my $checker = Pod::Checker->new( -warnings => 1 );
    $checker->parse_from_file( $file, $output );
    if ( $checker->num_errors < 0 ) {
        ok $internal{$file}, "$file needs no POD";
        next;
    }
    is $checker->num_errors + $checker->num_warnings, 0, $file or diag $said;
    my ($page) = $file =~ m{\Alib/(.*)\.\w+\z};
    is $checker->name, $page =~ s{/}{::}gr, '... is named what it is';
    $headings{ $checker->name } = { map { $_ => 1 } $checker->node };
    push @links, map { [ $file, $_ ] } grep { $_->type eq 'pod' } $checker->hyperlinks;
}

# Within a page Pod::Checker has seen to it.
subtest 'links' => sub {
    for my $link ( map { [ $_->[0], $_->[1]->page, $_->[1]->node, $_->[1]->line ] } @links ) {
        my ( $file, $page, $heading, $line ) = @$link;
        my $there = $headings{$page};
        next if !$there && $page !~ /\AZooKeeper\b/ || $there && ( !length $heading || $there->{$heading} );
        fail "$file line $line: " . ( $there ? "$page has no '$heading'" : "there is no page $page" );
    }
    ok scalar @links, 'all others lead to a page of ours, or of somebody else';
};

done_testing;

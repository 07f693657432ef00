# Rules of the house that no other tool checks.
use strict;
use warnings;

use Test::More;
use lib 'xt/lib';
use Files qw(all_files slurp);

my @files = all_files();

subtest 'one screen per idea' => sub {
    my $limit = 600;
    for my $file ( grep { m{\A(?:rust|lib|t|xt|script|bench|examples)/} && !m{/Cargo\.lock\z} && -T } @files )
    {
        my $lines = () = slurp($file) =~ /\n/g;
        cmp_ok $lines, '<=', $limit, $file if $lines > $limit;
    }
    pass "no other file has more than $limit lines";
};

subtest 'nothing of the machine that a file was written on' => sub {
    my %never = (
        'a path of this machine' => qr{(?<![\w.~-])/(?:root|work)/(?=[\w.])},
        'the host of a registry' =>
          qr{\b(?:crates\.io|pypi\.org|npmjs\.(?:org|com)|deb\.debian\.org|cpan\.org)\b},
    );
    for my $file ( grep { !m{(?:\A|/)Cargo\.lock\z} && $_ ne 'xt/hygiene.t' && -T } @files ) {
        my $text = slurp($file);
        for my $what ( sort keys %never ) {
            my ($line) = $text =~ /^(.*$never{$what}.*)$/m;
            is $line, undef, "$file: $what" if defined $line;
        }
    }
    pass 'no other file names any';
};

subtest 'unsafe code is explained' => sub {

    # An allocator that counts can't be had without; it is no part of the product.
    my %allowed = map  { $_ => 1 } 'rust/fuzz/src/meter.rs';
    my @rust    = grep { /\.rs\z/ } @files;
    for my $file (@rust) {
        my @lines = split /\n/, slurp($file);
        for my $n ( 0 .. $#lines ) {
            my $code = $lines[$n] =~ s{//.*}{}r;
            next if $code !~ /\bunsafe\b\s*(?:\{|impl\b|fn\s+\w|extern\s+"C"\s+fn\s+\w)/;
            my $first = $n > 12 ? $n - 12 : 0;
            my $where = sprintf '%s line %d', $file, $n + 1;
            my $near  = grep { /SAFETY:|# Safety/ } @lines[ $first .. $n ];
            ok $near, "$where: SAFETY" if !$near;
            ok $file =~ m{\Arust/xs/}, "$where: unsafe only in rust/xs"
              if $file !~ m{\Arust/xs/} && !$allowed{$file};
        }
    }
    ok scalar @rust, 'there are Rust files, and all others are fine';
};

subtest 'crates without unsafe code say so' => sub {
    for my $crate (qw(proto client)) {
        ok slurp("rust/$crate/src/lib.rs") =~ /^#!\[forbid\(unsafe_code\)\]$/m, $crate;
    }
};

done_testing;

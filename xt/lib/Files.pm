package Files;
use strict;
use warnings;

use Exporter qw(import);

our @EXPORT_OK = qw(all_files perl_files slurp);

# What is in version control, or would be.
sub all_files {
    my @files = `git ls-files --cached --others --exclude-standard`;
    die "xt/ needs a git checkout\n" if !@files;
    chomp @files;
    return grep { -e } @files;
}

sub perl_files {
    return grep { /\.(?:pm|pl|PL|t)\z/ || slurp($_) =~ /\A#!.*\bperl\b/ } all_files();
}

sub slurp {
    my ($name) = @_;
    open my $file, '<:raw', $name or die "$name: $!\n";
    local $/;
    return scalar <$file> // '';
}

1;

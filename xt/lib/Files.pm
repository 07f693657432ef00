package Files;
use strict;
use warnings;

use Exporter           qw(import);
use ExtUtils::Manifest qw(maniread);

our @EXPORT_OK = qw(all_files perl_files slurp);

# What is in version control, or would be; in an unpacked release, what it consists of
# but for the crates of others.
sub all_files {
    my @files =
      -e '.git'
      ? split /\n/, `git ls-files --cached --others --exclude-standard`
      : grep { !m{\A(?:vendor/|\.cargo/|META\.)} } sort keys %{ maniread() };
    die "neither git nor MANIFEST names any files\n" if !@files;
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

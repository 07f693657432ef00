package SmallTests;
use strict;
use warnings;

use Exporter   qw(import);
use File::Temp qw(tempdir);

our @EXPORT_OK = qw(test_dir test_file said_by);

# Test files of a few lines, for the scripts that run test files.

my $dir = tempdir( CLEANUP => 1 );

sub test_dir { return $dir }

sub test_file {
    my ( $name, $code ) = @_;
    open my $out, '>', "$dir/$name" or die "$name: $!";
    print {$out} "use Test::More;\n$code\ndone_testing;\n";
    close $out or die "$name: $!";
    return "$dir/$name";
}

# Runs a script of Perl; returns its exit status, and the lines of all that it said.
sub said_by {
    my @command = @_;
    my $pid     = open my $pipe, '-|' // die "fork: $!";
    if ( !$pid ) {
        open STDERR, '>&', \*STDOUT or die "standard error: $!";
        exec $^X, @command or die "exec: $!";
    }
    my @lines = <$pipe>;
    close $pipe;
    return ( $? >> 8, @lines );
}

1;

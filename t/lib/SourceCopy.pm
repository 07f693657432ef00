package SourceCopy;
use strict;
use warnings;

# A copy of what Makefile.PL looks at, in a temporary directory, and programs that take
# the places of the real tools: a repository and an unpacked release look the same.

use Cwd            qw(getcwd);
use Exporter       qw(import);
use File::Basename qw(dirname);
use File::Copy     qw(copy);
use File::Find     ();
use File::Path     qw(make_path);
use File::Temp     ();

our @EXPORT = qw(source_copy in_copy tool_dir write_file read_file);

# The directory, which lives as long as the object. MANIFEST lists nothing but what is
# there, so that MakeMaker has nothing to remark.
sub source_copy {
    my $top  = getcwd();
    my $copy = File::Temp->newdir;
    my @files;
    File::Find::find(
        {
            no_chdir => 1,
            wanted   => sub {
                if ( -d && m{/(?:target|tests|testdata|corpus|fuzz)\z} ) {
                    $File::Find::prune = 1;
                    return;
                }
                push @files, s{\A\./}{}r if -f && !/[.](?:bak|orig|swp)\z/;
            },
        },
        qw(Makefile.PL cpanfile Cargo.toml Cargo.lock inc lib rust)
    );
    for my $file (@files) {
        make_path( dirname("$copy/$file") );
        copy( $file, "$copy/$file" ) or die "$top/$file: $!";
    }
    write_file( "$copy/MANIFEST", join '', map { "$_\n" } 'MANIFEST', @files );
    return $copy;
}

# Runs a command in the directory with some variables set or, when undefined, unset.
# Returns its exit status and what it said on either stream.
sub in_copy {
    my ( $copy, $variables, @command ) = @_;
    local %ENV = %ENV;

    # This may be a test of `make test`.
    delete @ENV{
        qw(MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES CARGO CARGO_HOME CARGO_TARGET_DIR RUSTC PERL_MM_OPT PERL_MB_OPT)
    };
    delete @ENV{
        qw(LIBCLANG_PATH LLVM_CONFIG_PATH PERL_ZOOKEEPER_BUILD_STRICT PERL5OPT PERL_MM_USE_DEFAULT PERL_LOCAL_LIB_ROOT)
    };
    for my $name ( keys %$variables ) {
        defined $variables->{$name} ? ( $ENV{$name} = $variables->{$name} ) : delete $ENV{$name};
    }
    my $pid = open( my $pipe, '-|' ) // die "fork: $!";
    if ( !$pid ) {
        open STDERR, '>&', \*STDOUT or die $!;
        chdir $copy or die "$copy: $!";
        { no warnings 'exec'; exec { $command[0] } @command }
        print "$command[0]: $!\n";
        exit 127;
    }
    my $said = do { local $/; <$pipe> };
    close $pipe;
    return ( $? >> 8 || $? & 127, $said );
}

# A new directory of programs: each name with a shell script's text.
sub tool_dir {
    my (%scripts) = @_;
    my $dir = File::Temp->newdir;
    for my $name ( keys %scripts ) {
        write_file( "$dir/$name", "#!/bin/sh\n$scripts{$name}\n" );
        chmod 0755, "$dir/$name" or die $!;
    }
    return $dir;
}

sub write_file {
    my ( $name, $text ) = @_;
    make_path( dirname($name) );
    open my $file, '>:raw', $name or die "$name: $!";
    print {$file} $text;
    close $file or die "$name: $!";
    return;
}

sub read_file {
    my ($name) = @_;
    open my $file, '<:raw', $name or die "$name: $!";
    local $/;
    return scalar <$file>;
}

1;

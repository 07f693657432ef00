package Requirements;
use strict;
use warnings;

# What a build needs that no CPAN client installs. Where something is missing nothing
# has failed: by the convention of the CPAN testers there is then no Makefile and an
# exit status of 0. PERL_ZOOKEEPER_BUILD_STRICT=1 asks for a failure instead.

use Config;
use File::Basename qw(dirname);
use File::Glob     qw(bsd_glob);
use POSIX          ();
use version;

# The paths of the tools (cargo, rustc) that are to be used. With anything missing it
# does not return: three lines say what, how to get it and what was looked for.
sub check {
    my (%wanted) = @_;
    stop( <<"TEXT") if $^O ne 'linux';
OS unsupported: the compiled part of ZooKeeper is written for Linux.
There is no port to other systems yet.
Looked for: linux in perl's \$^O, which is $^O.
TEXT
    stop( <<"TEXT") if $Config{ivsize} < 8;
Perl unsupported: ZooKeeper needs integers of 64 bits, which this perl does not have.
The perls of Debian and Fedora have them; others are configured with -Duse64bitint.
Looked for: an ivsize of 8 in perl's \%Config, where it is $Config{ivsize}.
TEXT

    my %tool;
    my @missing = ( rust( $wanted{rust}, \%tool ), c_compiler(), perl_headers(), libclang() );
    return \%tool if !@missing;

    my $what   = join '; ', map { $_->{what} } @missing;
    my $debian = join ' ',  map { $_->{debian} } reverse @missing;
    my $fedora = join ' ',  map { $_->{fedora} } reverse @missing;
    my $looked = join '; ', map { $_->{looked} } @missing;
    stop( <<"TEXT");
ZooKeeper can't be built here: $what.
To get it: Fedora: dnf install $fedora. Debian: apt-get install $debian.
Looked for: $looked.
TEXT
}

sub stop {
    my ($message) = @_;

    # One of an earlier run would be taken for the result of this one.
    unlink 'Makefile';
    die $message if $ENV{PERL_ZOOKEEPER_BUILD_STRICT};
    print STDERR $message;
    exit 0;
}

# The first cargo that is new enough and has a rustc that is: a distribution's old one
# may stand before it in PATH.
sub rust {
    my ( $wanted, $tool ) = @_;
    my $home    = defined $ENV{HOME} ? "$ENV{HOME}/.cargo" : ();
    my @further = map { "$_/bin" } grep { defined && length } $ENV{CARGO_HOME}, $home;
    my @cargos  = candidates( 'cargo', $ENV{CARGO}, @further );
    my $first;
    for my $cargo (@cargos) {
        my $problem = too_old( $cargo, $wanted );
        if ( !$problem ) {

            # cargo takes RUSTC or the one in PATH; Makefile.PL puts this one there.
            my ($rustc) = candidates( 'rustc', $ENV{RUSTC} || dirname($cargo) . '/rustc' );
            ($rustc) = candidates('rustc') if !$rustc && !$ENV{RUSTC};
            $problem = $rustc ? too_old( $rustc, $wanted ) : "$cargo has no rustc";
            if ( !$problem ) {
                @$tool{qw(cargo rustc)} = ( $cargo, $rustc );
                return;
            }
        }
        $first ||= $problem;
    }
    return {
        what   => $first || "there is no cargo, and the compiled part is written in Rust",
        debian => 'cargo rustc (Debian 12: cargo-web rustc-web)',
        fedora => 'cargo rust',
        looked => "cargo and rustc $wanted or newer in "
          . join( ', ', given ('CARGO'), given ('RUSTC'), given ('PATH'), @further ),
    };
}

# Why this tool won't do, or nothing.
sub too_old {
    my ( $program, $wanted ) = @_;
    my ($version) = ( output_of( $program, '--version' ) // '' ) =~ /(\d+\.\d+\.\d+)/;
    return "$program does not tell its version" if !defined $version;
    return                                      if version->parse("v$version") >= version->parse("v$wanted");
    return "$program is version $version, older than $wanted";
}

# rustc links with the program of this name, whatever compiler made perl.
sub c_compiler {
    return if candidates('cc');
    return {
        what   => 'there is no C compiler',
        debian => 'gcc libc6-dev',
        fedora => 'gcc',
        looked => 'cc in ' . given ('PATH'),
    };
}

sub perl_headers {
    my $header = "$Config{archlibexp}/CORE/perl.h";
    return if -e $header;
    return {
        what   => "perl's headers are missing",
        debian => 'libperl-dev',
        fedora => 'perl-devel',
        looked => $header,
    };
}

# libperl-sys makes its bindings with libclang when it is built. These are the places
# where it looks; LIBCLANG_PATH, a file or a directory, rules out all others.
sub libclang {
    my @names  = qw(libclang.so libclang-*.so libclang.so.* libclang-*.so.*);
    my @places = qw(/usr/local/llvm*/lib* /usr/local/lib*/*/* /usr/local/lib*/* /usr/local/lib*
      /usr/lib*/*/* /usr/lib*/* /usr/lib*);
    my $own = $ENV{LIBCLANG_PATH};
    if ( defined $own ) {
        return if -f $own;
        @places = $own;
    }
    else {
        my ($config) = candidates( 'llvm-config', $ENV{LLVM_CONFIG_PATH} );
        my $llvm = $config && output_of( $config, '--prefix' );
        unshift @places, split /:/, join ':',
          grep { defined && length } @ENV{qw(LD_LIBRARY_PATH LIBRARY_PATH)};
        unshift @places, map { "$1/$_" } qw(lib lib64) if defined $llvm && $llvm =~ /\A(\S.*)$/m;
    }
    for my $place (@places) {
        my $pattern = $place =~ s/([\\{}\[\]~ ])/\\$1/gr;
        return if grep { -e && !/-cpp\./ } map { bsd_glob("$pattern/$_") } @names;
    }
    return {
        what   => 'libclang is missing',
        debian => 'libclang-dev',
        fedora => 'clang-devel',
        looked => 'libclang.so in ' . ( defined $own ? given ('LIBCLANG_PATH') : join ' ', @places ),
    };
}

# The programs of that name in PATH and further directories; $given replaces both, and
# may be a name in PATH as well as a path.
sub candidates {
    my ( $name, $given, @further ) = @_;
    if ( defined $given && length $given ) {
        return runnable($given) if $given =~ m{/};
        ( $name, @further ) = $given;
    }
    my @path = split /:/, $ENV{PATH} // '';
    return runnable( map { ( length $_ ? $_ : '.' ) . "/$name" } @path, @further );
}

sub runnable {
    return grep { -f && -x } @_;
}

# What a program says to standard output; undefined if it fails.
sub output_of {
    my ( $program, @arguments ) = @_;
    my $pid = open( my $pipe, '-|' ) // return;
    if ( !$pid ) {
        open STDERR, '>', '/dev/null';
        exec {$program} $program, @arguments or POSIX::_exit(127);
    }
    my $output = do { local $/; <$pipe> };
    return close $pipe ? $output : undef;
}

sub given {
    my ($name) = @_;
    my $value = $ENV{$name};
    return defined $value && length $value ? "$name ($value)" : "$name (not set)";
}

1;

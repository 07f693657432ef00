# Makefile.PL where something is missing that no CPAN client installs.
use strict;
use warnings;

use Test::More;
use lib 't/lib';
use SourceCopy;

my ($oldest) = read_file('Cargo.toml') =~ /^rust-version\s*=\s*"(\d+\.\d+)"/m;
my $copy     = source_copy();
my $nowhere  = tool_dir();

# A machine that has everything, in one directory of programs and one of libraries.
my %tools   = map { $_ => "echo $_ $oldest.0" } qw(cargo rustc cc);
my $clang   = tool_dir( 'libclang.so.1' => '' );
my $headers = tool_dir( 'CORE/perl.h'   => '' );

# %Config as it is on other perls: PERL5OPT=-MOtherConfig=KEY,VALUE,...
my $modules = tool_dir();
write_file( "$modules/OtherConfig.pm", <<'PERL' );
package OtherConfig;
use Config;
sub import {
    my ( $class, %changed ) = @_;
    my %copy = ( %Config, %changed );
    untie %Config;
    %Config = %copy;
}
1;
PERL
write_file( "$modules/OtherSystem.pm", "package OtherSystem; sub import { \$^O = \$_[1] } 1;\n" );

# Runs Makefile.PL beside an old Makefile.
sub configure {
    my ( $tools, %variables ) = @_;
    my %config = ( archlibexp => "$headers", ivsize => 8, %{ delete $variables{config} || {} } );
    my @opt    = ( "-I$modules", '-MOtherConfig=' . join( ',', %config ) );
    push @opt, "-MOtherSystem=$variables{system}" if $variables{system};
    delete $variables{system};
    write_file( "$copy/Makefile", "old\n" );
    my ( $status, $said ) = in_copy(
        $copy,
        {
            PATH          => "$tools",
            HOME          => "$nowhere",
            LIBCLANG_PATH => "$clang",
            PERL5OPT      => join( ' ', @opt ),
            %variables
        },
        $^X,
        'Makefile.PL'
    );
    my $makefile = -e "$copy/Makefile" ? read_file("$copy/Makefile") : undef;
    return { status => $status, said => $said, makefile => $makefile };
}

# What is missing ends the run without a Makefile: quietly, or when strict by an error.
sub refused {
    my ( $tools, $variables, @patterns ) = @_;
    my $quiet = configure( $tools, %$variables );
    is $quiet->{status},   0,     'exit status';
    is $quiet->{makefile}, undef, 'there is no Makefile, not even the old one';
    my @lines = split /\n/, $quiet->{said};
    is scalar @lines, 3, 'three lines' or diag $quiet->{said};
    for my $n ( 0 .. 2 ) {
        like $lines[$n], $patterns[$n], qw(what how where) [$n];
    }

    my $strict = configure( $tools, %$variables, PERL_ZOOKEEPER_BUILD_STRICT => 1 );
    isnt $strict->{status}, 0,              'strict: exit status';
    is $strict->{makefile}, undef,          'strict: no Makefile';
    is $strict->{said},     $quiet->{said}, 'strict: the same words';
    return;
}

sub with {
    my (%changed) = @_;
    my %all = ( %tools, %changed );
    return tool_dir( map { $_ => $all{$_} } grep { defined $all{$_} } keys %all );
}

subtest 'nothing is missing' => sub {
    my $result = configure( with() );
    is $result->{status}, 0, 'exit status' or diag $result->{said};
    like $result->{makefile} // '', qr/^CARGO = /m, 'a Makefile, and a new one';
};

subtest 'no cargo' => sub {
    my $tools = with( cargo => undef );
    refused(
        $tools,
        {},
        qr/there is no cargo, and the compiled part is written in Rust/,
qr/Fedora: dnf install cargo rust\. Debian: apt-get install cargo rustc \(Debian 12: cargo-web rustc-web\)/,
qr/cargo and rustc \Q$oldest\E or newer in CARGO \(not set\).*PATH \(\Q$tools\E\), \Q$nowhere\E\/\.cargo\/bin/
    );
};

subtest 'CARGO names none' => sub {
    refused(
        with(),
        { CARGO => "$nowhere/cargo" },
        qr/there is no cargo/,
        qr/cargo/, qr/CARGO \(\Q$nowhere\E\/cargo\)/
    );
};

subtest 'cargo is too old' => sub {
    my $tools = with( cargo => 'echo cargo 1.63.0' );
    refused( $tools, {}, qr/\Q$tools\E\/cargo is version 1\.63\.0, older than \Q$oldest\E/,
        qr/cargo-web/, qr/$oldest/ );
};

subtest 'rustc is too old' => sub {
    my $tools = with( rustc => 'echo rustc 1.63.0' );
    refused( $tools, {}, qr/\Q$tools\E\/rustc is version 1\.63\.0, older than \Q$oldest\E/,
        qr/rustc-web/, qr/$oldest/ );
};

subtest 'there is a cargo without a rustc' => sub {
    my $tools = with( rustc => undef );
    refused( $tools, {}, qr/\Q$tools\E\/cargo has no rustc/, qr/rustc/, qr/rustc \Q$oldest\E/ );
};

subtest 'cargo does not work' => sub {
    my $tools = with( cargo => 'echo no toolchain is installed >&2; exit 1' );
    refused( $tools, {}, qr/\Q$tools\E\/cargo does not tell its version/, qr/cargo/, qr/$oldest/ );
};

subtest 'a new cargo stands behind an old one' => sub {
    my $old    = with( map { $_ => "echo $_ 1.63.0" } qw(cargo rustc) );
    my $new    = with();
    my $result = configure( $old, PATH => "$old:$new" );
    like $result->{makefile} // '', qr{^CARGO = \Q$new\E/cargo$}m, 'the new one is taken';
    like $result->{makefile} // '', qr{ PATH="\Q$new\E:\$\$PATH"}, '... with its rustc';

    my $home = tool_dir();
    write_file( "$home/.cargo/bin/$_", "#!/bin/sh\n$tools{$_}\n" ) for qw(cargo rustc);
    chmod 0755, glob "$home/.cargo/bin/*";
    $result = configure( $old, HOME => "$home" );
    like $result->{makefile} // '', qr{^CARGO = \Q$home\E/\.cargo/bin/cargo$}m,
      "... also where rustup puts it";
};

subtest 'no C compiler' => sub {
    my $tools = with( cc => undef );
    refused(
        $tools, {},
        qr/there is no C compiler/,
        qr/dnf install gcc\..*apt-get install gcc/,
        qr/cc in PATH \(\Q$tools\E\)/
    );
};

subtest "no perl headers" => sub {
    refused(
        with(),
        { config => { archlibexp => "$nowhere" } },
        qr/perl's headers are missing/,
        qr/dnf install perl-devel\..*apt-get install libperl-dev/,
        qr{\Q$nowhere\E/CORE/perl\.h}
    );
};

subtest 'no libclang' => sub {
    my $other = tool_dir( 'libclang-cpp.so.14' => '' );
    refused(
        with(),
        { LIBCLANG_PATH => "$other" },
        qr/libclang is missing/,
        qr/dnf install clang-devel\..*apt-get install libclang-dev/,
        qr/libclang\.so in LIBCLANG_PATH \(\Q$other\E\)/
    );
    my $file = configure( with(), LIBCLANG_PATH => "$clang/libclang.so.1" );
    like $file->{makefile} // '', qr/^CARGO = /m, 'LIBCLANG_PATH may be a file';
};

subtest 'everything is missing' => sub {
    refused(
        $nowhere,
        { LIBCLANG_PATH => "$nowhere", config => { archlibexp => "$nowhere" } },
        qr/no cargo.*no C compiler.*headers.*libclang/,
        qr/apt-get install libclang-dev libperl-dev gcc libc6-dev cargo rustc \(Debian 12/,
        qr/cargo.*; cc .*; .*perl\.h; libclang/
    );
};

subtest 'not Linux' => sub {
    refused( with(), { system => 'freebsd' }, qr/\AOS unsupported/, qr/no port/, qr/freebsd/ );
};

subtest 'no integers of 64 bits' => sub {
    refused(
        with(),
        { config => { ivsize => 4 } },
        qr/integers of 64 bits, which this perl does not have/,
        qr/-Duse64bitint/, qr/ivsize of 8 .* it is 4/
    );
};

done_testing;

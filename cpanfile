# The one list of prerequisites: Makefile.PL reads it too.

# Perl_xs_handshake, by which the compiled part checks that it fits its perl, is
# that old.
requires 'perl' => '5.022';

requires 'AnyEvent';    # the default dispatcher
requires 'Module::Runtime';
requires 'Moo' => '2';
requires 'Throwable';

# core modules
requires 'Carp';
requires 'Errno';
requires 'Exporter';
requires 'Fcntl';
requires 'File::Path';
requires 'File::Spec';
requires 'File::Temp';
requires 'POSIX';
requires 'Scalar::Util';
requires 'Socket';
requires 'Sub::Util';
requires 'Time::HiRes';
requires 'XSLoader';

recommends 'EV';

on configure => sub {
    requires 'ExtUtils::MakeMaker' => '6.64';
};

# Beside these: cargo and rustc, a C compiler, perl's headers (Debian:
# libperl-dev) and libclang (libclang-dev).
on build => sub {
    requires 'ExtUtils::MakeMaker' => '6.64';
};

on test => sub {
    requires 'Test::More' => '0.98';
    requires 'Cwd';
    requires 'IO::Socket::INET';
    recommends 'Test::LeakTrace';
};

on develop => sub {
    requires 'Perl::Critic';
    requires 'Perl::Tidy';
    requires 'Pod::Checker';
};

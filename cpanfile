# The one list of prerequisites: Makefile.PL reads it too.

# Perl_xs_handshake, by which the compiled part checks that it fits its perl, is
# that old.
requires 'perl' => '5.022';

requires 'AnyEvent';    # the default dispatcher
requires 'Future' => '0.45';     # loaded by the first method that returns one
requires 'Moo' => '2';
requires 'Throwable';

# core modules
requires 'Carp';
requires 'Cwd';
requires 'Errno';
requires 'Exporter';
requires 'Fcntl';
requires 'File::Path';
requires 'File::Spec';
requires 'File::Temp';
requires 'List::Util';
requires 'POSIX';
requires 'Scalar::Util';
requires 'Socket';
requires 'Sub::Util';
requires 'Time::HiRes';
requires 'XSLoader';
requires 'mro';
requires 'parent';

recommends 'EV';
recommends 'Log::Any';    # what handles say

# One row for each dispatcher: the modules that its event loop takes. xt/meta.t asks for
# a row for every ZooKeeper::Dispatcher::NAME.
feature anyevent  => 'Events in AnyEvent programs: the default' => sub { requires 'AnyEvent' };
feature interrupt => 'Events that interrupt any program'        => sub { requires 'Async::Interrupt' };
feature ioasync   => 'Events in IO::Async programs'             => sub { requires 'IO::Async::Loop' };
feature mojo      => 'Events in Mojolicious programs'           => sub { requires 'Mojo::IOLoop' };
feature poe       => 'Events in POE programs'                   => sub { requires 'POE' };

on configure => sub {
    requires 'ExtUtils::MakeMaker' => '6.64';
    requires 'File::Basename';
    requires 'File::Find';
    requires 'File::Glob';
    requires 'POSIX';
    requires 'version';
};

# Beside these: cargo and rustc, a C compiler, perl's headers (Debian:
# libperl-dev) and libclang (libclang-dev).
on build => sub {
    requires 'ExtUtils::MakeMaker' => '6.64';
};

on test => sub {
    requires 'Test::More' => '0.98';
    requires 'B';
    requires 'Digest::MD5';
    requires 'Digest::SHA';
    requires 'Encode';
    requires 'ExtUtils::MakeMaker' => '6.64';
    requires 'File::Basename';
    requires 'File::Copy';
    requires 'File::Find';
    requires 'FindBin';
    requires 'Getopt::Long';
    requires 'Hash::Util';
    requires 'IO::Handle';
    requires 'IO::Select';
    requires 'IO::Socket::INET';
    requires 'IPC::Open2';
    requires 'JSON::PP';
    requires 'MIME::Base64';
    requires 'Module::Runtime';
    requires 'Sys::Hostname';
    requires 'Tie::Array';
    requires 'Tie::Hash';
    recommends 'Async::Interrupt';    # the dispatchers are tested with what is there
    recommends 'EV';
    recommends 'Future::AsyncAwait';
    recommends 'IO::Async';
    recommends 'IO::Async::Loop::Epoll';
    recommends 'Mojolicious';         # and with it promises
    recommends 'POE';
    recommends 'Test::LeakTrace';
};

on develop => sub {
    requires 'CPAN::Meta' => '2.120900';
    requires 'ExtUtils::Manifest';
    requires 'JSON::PP';
    requires 'Perl::Critic';
    requires 'Perl::Tidy';
    requires 'Pod::Checker';
    requires 'Pod::Coverage';
};

package Bench;
use strict;
use warnings;

use Cwd        qw(abs_path);
use Exporter   qw(import);
use File::Path ();
use FindBin;
use IO::Socket::INET;
use JSON::PP    ();
use Time::HiRes qw(sleep);

our @EXPORT_OK =
  qw(all_cpus allow build build_all kazoo_command one_cpu perl_command program run_rounds start_stub top version_of);

# What bench/run needs of the system: compiled programs, a stub, CPUs, and rounds.

my $top        = abs_path("$FindBin::Bin/..");
my $dir        = ( $ENV{CARGO_TARGET_DIR} || "$top/target" ) . '/bench';
my ($all_cpus) = `taskset -pc $$` =~ /: (\S+)$/
  or die "taskset is missing (package util-linux)\n";
my $kazoo;

sub top      { return $top }
sub all_cpus { return $all_cpus }

sub one_cpu {
    return $all_cpus =~ /\A(\d+)/ ? $1 : die "which CPUs? $all_cpus\n";
}

# The path of a compiled program; nothing if it was left out.
sub program {
    my ($name) = @_;
    return -x "$dir/$name" ? "$dir/$name" : ();
}

sub kazoo_command { return $kazoo ? ( $kazoo, "$FindBin::Bin/kazoo_client.py" ) : () }

sub perl_command {
    my ($script) = @_;
    return ( $^X, ( map { "-I$_" } "$top/blib/lib", "$top/blib/arch" ), "$FindBin::Bin/$script" );
}

# Compiles and finds all that there is to compare with. Returns a note for each that is left out.
sub build_all { return ( build(qw(floor stub cclient)), _build_rust(), _find_kazoo() ) }

# Compiles these programs in C. Returns what there is to say of it.
sub build {
    return map { _build_c($_) } @_;
}

sub _build_c {
    my ($name) = @_;
    File::Path::make_path($dir);
    my @libs = $name eq 'cclient' ? qw(-DTHREADED -lzookeeper_mt -lpthread) : ();
    if ( @libs && !-e '/usr/include/zookeeper/zookeeper.h' ) {
        unlink "$dir/$name";
        return 'cclient is left out: it takes the package libzookeeper-mt-dev.';
    }
    my $own     = "$dir/$name.$$";    # somebody else may be running the one that is there
    my @command = ( qw(gcc -O2 -Wall -o), $own, "$FindBin::Bin/$name.c", @libs, '-lm' );
    system(@command) == 0 or die "@command failed\n";
    rename $own, "$dir/$name" or die "$dir/$name: $!\n";
    return;
}

sub _build_rust {
    my $name = 'rustclient';
    unlink "$dir/$name";
    local $ENV{CARGO_TARGET_DIR} = "$dir/rust-client";
    print "building the Rust client, which takes minutes the first time\n" if !-d $ENV{CARGO_TARGET_DIR};
    my @command =
      ( qw(cargo build --quiet --locked --release --manifest-path), "$FindBin::Bin/rust-client/Cargo.toml" );
    return "$name is left out: @command failed." if system @command;
    link "$ENV{CARGO_TARGET_DIR}/release/bench-rust-client", "$dir/$name" or die "$dir/$name: $!\n";
    return;
}

sub _find_kazoo {
    require lib;
    lib->import("$top/t/lib");
    require Kazoo;
    ( $kazoo, my $reason ) = Kazoo::python();
    return $kazoo ? () : "kazoo is left out: $reason.";
}

# Which version of a contestant there is.
sub version_of {
    my ($name) = @_;
    my %how = (
        cclient    => sub { `dpkg-query -W -f '\${Version}' libzookeeper-mt-dev 2>/dev/null` },
        rustclient => sub {
            my ($version) =
              _slurp("$FindBin::Bin/rust-client/Cargo.lock") =~ /"zookeeper-client"\nversion = "([^"]+)"/;
            $version;
        },
        kazoo => sub { Kazoo::version() },
    );
    return $how{$name} ? $how{$name}->() || undef : undef;
}

sub _slurp {
    my ($name) = @_;
    open my $file, '<', $name or die "$name: $!\n";
    local $/;
    return scalar <$file>;
}

# Ends with this program: its standard input is a pipe from here.
sub start_stub {
    my $free = IO::Socket::INET->new( Listen => 1, LocalAddr => '127.0.0.1' )
      or die "no port: $!\n";
    my $port = $free->sockport;
    close $free;
    my $pid = open my $input, '|-', "$dir/stub", $port or die "stub: $!\n";
    for ( 1 .. 500 ) {
        return { pid => $pid, port => $port, hosts => "127.0.0.1:$port", input => $input }
          if IO::Socket::INET->new( PeerAddr => "127.0.0.1:$port" );
        sleep 0.01;
    }
    die "the stub does not listen\n";
}

# Which CPUs a process may use from now on; what it starts inherits that.
sub allow {
    my ( $cpus, $pid ) = @_;
    system("taskset -pc $cpus $pid >/dev/null") == 0
      or die "taskset failed (package util-linux)\n";
    return;
}

# Runs commands ([ name => @words ]) so often; returns name => [ what each run has printed ]. Round by round, so that a
# slow moment of the machine meets all of them; and each round begins with another one, so that none has always the same
# one before it.
sub run_rounds {
    my ( $rounds, @commands ) = @_;
    my %lines;
    for my $round ( 1 .. $rounds ) {
        for my $command (@commands) {
            my ( $name, @words ) = @$command;
            open my $out, '-|', @words or die "$words[0]: $!\n";
            my $line = join '', <$out>;
            close $out or die "@words failed\n";
            push @{ $lines{$name} }, JSON::PP::decode_json($line);
        }
        push @commands, shift @commands;
    }
    return %lines;
}

1;

package Bench;
use strict;
use warnings;

use Exporter 'import';
use File::Temp;
use FindBin;
use IO::Socket::INET;
use Time::HiRes qw(sleep);

our @EXPORT_OK = qw(all_cpus allow build median one_cpu program rounds start_stub);

# What bench/run needs of the system: compiled programs, a stub, CPUs, and rounds.

my $dir = File::Temp->newdir;
my ($all_cpus) = `taskset -pc $$` =~ /: (\S+)$/
  or die "taskset is missing (package util-linux)\n";

sub all_cpus { return $all_cpus }

sub one_cpu {
    return $all_cpus =~ /\A(\d+)/ ? $1 : die "which CPUs? $all_cpus\n";
}

# The path of a compiled program; nothing if it was left out.
sub program {
    my ($name) = @_;
    return -x "$dir/$name" ? "$dir/$name" : ();
}

# Compiles these. Returns what there is to say of it.
sub build {
    my @names = @_;
    my @notes;
    for my $name (@names) {
        my @libs    = $name eq 'cclient' ? qw(-DTHREADED -lzookeeper_mt -lpthread) : ();
        my @command = ( qw(gcc -O2 -Wall -o), "$dir/$name", "$FindBin::Bin/$name.c", @libs );
        if ( $name eq 'cclient' && !-e '/usr/include/zookeeper/zookeeper.h' ) {
            push @notes, 'The C client is left out: install libzookeeper-mt-dev.';
            next;
        }
        system(@command) == 0 or die "@command failed\n";
    }
    return @notes;
}

# Ends with this program: its standard input is a pipe from here.
sub start_stub {
    my $free = IO::Socket::INET->new( Listen => 1, LocalAddr => '127.0.0.1' )
      or die "no port: $!\n";
    my $port = $free->sockport;
    close $free;
    my $pid = open my $input, '|-', "$dir/stub", $port or die "stub: $!\n";
    for ( 1 .. 500 ) {
        return {
            pid   => $pid,
            port  => $port,
            hosts => "127.0.0.1:$port",
            input => $input
          }
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

# Runs commands (name => array ref) so often, and returns name => [ wall, CPU ], the medians, in microseconds. Round by
# round, so that a slow moment of the machine meets all of them.
sub rounds {
    my ( $rounds, %commands ) = @_;
    my %figures;
    for my $round ( 1 .. $rounds ) {
        for my $name ( sort keys %commands ) {
            my @command = @{ $commands{$name} };
            open my $out, '-|', @command or die "$command[0]: $!\n";
            my $line = join '', <$out>;
            close $out or die "@command failed\n";
            $line =~ m{([\d.]+) us/op .* cpu ([\d.]+) us/op}
              or die "unexpected: $line";
            push @{ $figures{$name} }, [ $1, $2 ];
        }
    }
    return map { $_ => medians( $figures{$_} ) } keys %figures;
}

sub medians {
    my ($figures) = @_;
    return [ map { median( $figures, $_ ) } 0, 1 ];
}

sub median {
    my ( $figures, $column ) = @_;
    my @sorted = sort { $a <=> $b } map { $_->[$column] } @$figures;
    return $sorted[ @sorted / 2 ];
}

1;

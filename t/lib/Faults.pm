package Faults;
use strict;
use warnings;

use Exporter qw(import);
use POSIX    ();

our @EXPORT = qw(program started finished in_child open_files dispatchers create_children);

# Seconds after which a program or child that hangs is ended by SIGALRM.
my $LIMIT = 240;

# The loops that a dispatcher needs.
my %LOOP = (
    AnyEvent  => 'AnyEvent',
    Interrupt => 'Async::Interrupt',
    IOAsync   => 'IO::Async::Loop',
    Mojo      => 'Mojo::IOLoop',
    POE       => 'POE'
);

# Runs the code in a perl of its own; returns what it wrote, to standard error too, and its status.
sub program { return finished( started(@_) ) }

# The two halves, for several at once.
sub started {
    my ( $code, @args ) = @_;
    my $pid = open my $pipe, '-|' // die "fork: $!\n";
    if ( !$pid ) {
        open STDERR, '>&', \*STDOUT or die $!;
        alarm $LIMIT;    # outlives the exec
        exec $^X, ( map { "-I$_" } grep { !ref } @INC ), '-e', "use strict; use warnings; $code", @args
          or POSIX::_exit(127);
    }
    return $pipe;
}

sub finished {
    my ($pipe) = @_;
    my $output = do { local $/; readline $pipe };
    close $pipe;
    return ( $output // '', $? );
}

# Runs the code in a child, which ends without any clean-up; returns its lines, and its status.
sub in_child {
    my ($code) = @_;
    my $pid    = open my $pipe, '-|' // die "fork: $!\n";
    if ( !$pid ) {
        alarm $LIMIT;
        my @lines = eval { $code->() };
        @lines = "died: $@" if $@;
        s/\n/ /g for @lines;
        syswrite STDOUT, join "\n", @lines, '';
        POSIX::_exit(0);
    }
    chomp( my @lines = readline $pipe );
    close $pipe;
    return ( \@lines, $? );
}

# How many descriptors this process has open.
sub open_files {
    opendir my $dir, '/proc/self/fd' or die "/proc/self/fd: $!\n";
    return scalar grep { !/\A\./ } readdir $dir;
}

# The dispatchers that there are, each with the reason, if any, why it can't be had here.
sub dispatchers {
    my %dispatcher = ( '^ZooKeeper::Dispatcher' => undef );
    for my $file ( map { glob "$_/ZooKeeper/Dispatcher/*.pm" } grep { !ref } @INC ) {
        my ($name) = $file =~ m{(\w+)\.pm\z};
        my $loop   = $LOOP{$name};
        my $found  = !$loop || grep { -e $_ . '/' . ( $loop =~ s{::}{/}gr ) . '.pm' } grep { !ref } @INC;
        $dispatcher{$name} = $found ? undef : "$loop is not installed";
    }
    return %dispatcher;
}

# Children of a node, many at a time.
sub create_children {
    my ( $zk, $path, @names ) = @_;
    while ( my @some = splice @names, 0, 1_000 ) {
        my $transaction = $zk->transaction;
        $transaction = $transaction->create("$path/$_") for @some;
        my @failed = grep { $_->{type} eq 'error' } $transaction->commit;
        die "children of $path: $failed[0]{message}\n" if @failed;
    }
    return;
}

1;

package Child;
use strict;
use warnings;

use Exporter qw(import);
use POSIX    ();
use Test::More;
use TestZK;

our @EXPORT = qw(in_child child_program);

# in_child { CODE } exit => 1, within => SECONDS: runs the code in a forked child and returns what it returned (in
# list context, as strings without line ends). The child leaves by POSIX::_exit, or with exit => 1 as programs do, all
# objects being destroyed. Dies when it dies, hangs or ends badly.
sub in_child (&;%) {
    my ( $code, %arg ) = @_;
    pipe my $read, my $write or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if ( !$pid ) {
        close $read;
        Test::More->builder->no_ending(1);
        my @lines;
        eval { @lines = $code->(); 1 } or @lines = "died: $@";
        s/\n/ /g for @lines;
        syswrite $write, join '', map { "$_\n" } @lines;
        close $write;
        $arg{exit} ? exit 0 : POSIX::_exit(0);
    }
    close $write;
    my @lines;
    my $ended = eval {
        deadline $arg{within} // 60, sub { @lines = <$read>; waitpid $pid, 0 };
        1;
    };
    if ( !$ended ) {
        kill KILL => $pid;
        waitpid $pid, 0;
        die "the child hangs\n";
    }
    die "the child ended with status $?\n" if $?;
    chomp @lines;
    die "the child $lines[0]\n" if @lines && $lines[0] =~ /\Adied: /;
    return wantarray ? @lines : $lines[0];
}

# Starts a Perl program of its own; returns its process id and a handle to read its output and errors from.
sub child_program {
    my ( $code, @args ) = @_;
    my @include = map { "-I$_" } grep { !ref } @INC;
    my $pid = open my $output, '-|', $^X, @include, '-e', "\$| = 1; open STDERR, '>&STDOUT';\n$code", @args
      or die "$^X: $!\n";
    return ( $pid, $output );
}

1;

package ExampleProgram;
use strict;
use warnings;

use Cwd            ();
use File::Basename ();
use File::Temp     ();
use POSIX          qw(WNOHANG);
use Test::More     ();
use TestZK         qw(wait_for);

# Seconds for what a program does at once. It may have to wait for a processor.
my $SOON = 60;

# What one says when its session is expired: it hears first of that; or of its node,
# if it was back for a moment before; or, from a server that does not answer, of nothing.
our $LOST = qr/(?:the session has expired|it was deleted|no connection, and the session may expire)/;

# The same, from one that joins again: the error that a call has died of.
our $GONE = qr/(?:session expired|was deleted|no node)/;

# A program of examples/ in a process of its own. What it prints is collected, with its messages.
sub start {
    my ( $class, $name, @arguments ) = @_;
    my $output = File::Temp->new;
    my $pid    = fork // die "fork: $!\n";
    if ( !$pid ) {
        setpgrp 0, 0;    # so that a test can end all that it has started
        open STDIN,  '<',  '/dev/null' or POSIX::_exit(99);
        open STDOUT, '>>', "$output"   or POSIX::_exit(99);
        open STDERR, '>&', \*STDOUT    or POSIX::_exit(99);
        my @include = map { '-I' . Cwd::abs_path($_) } grep { !ref && -d } @INC;
        exec $^X, @include, "examples/$name.pl", @arguments or POSIX::_exit(99);
    }
    return bless { name => $name, pid => $pid, output => $output, owner => $$ }, $class;
}

sub pid { return $_[0]{pid} }

# All lines so far, or those that match.
sub lines {
    my ( $self, $pattern ) = @_;
    open my $file, '<', "$self->{output}" or die "$self->{output}: $!\n";
    my @lines = grep { /\n\z/ } <$file>;
    chomp @lines;
    return defined $pattern ? grep { $_ =~ $pattern } @lines : @lines;
}

# Waits until it has printed a line that matches, or so many of them; returns the last of these.
sub wait_line {
    my ( $self, $pattern, $count ) = @_;
    my @found;
    my $found = eval {
        wait_for { ( @found = $self->lines($pattern) ) >= ( $count // 1 ) } $SOON, "a line $pattern";
    };
    return $found[-1] if $found;
    my @lines = $self->lines;
    splice @lines, 0, -20, '...' if @lines > 20;
    Test::More::diag( "$self->{name}: $@", map { "    $_\n" } @lines );
    die "$self->{name} did not print $pattern\n";
}

sub signal {
    my ( $self, $signal ) = @_;
    kill $signal => $self->{pid};
    return;
}

sub is_running {
    my ($self) = @_;
    return   if defined $self->{status};
    return 1 if waitpid( $self->{pid}, WNOHANG ) != $self->{pid};
    $self->{status} = $?;
    return;
}

# Waits for its end: its exit code, 128 + N if it was signal N.
sub exit_code {
    my ($self) = @_;
    wait_for { !$self->is_running } $SOON, "$self->{name}'s end";
    my $status = $self->{status};
    return $status & 127 ? 128 + ( $status & 127 ) : $status >> 8;
}

# Whether a process has ended, though nobody may have asked for its status yet.
sub is_gone {
    my ( $class, $pid ) = @_;
    return 1 if !kill 0, $pid;
    open my $file, '<', "/proc/$pid/stat" or return 1;
    return ( <$file> // '' ) =~ /\) Z /;
}

# Tests that a command line is refused, or what it prints.
sub usage_is {
    my ( $class, $code, $pattern, $name, @arguments ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $program = $class->start( $name, @arguments );
    Test::More::is( $program->exit_code, $code, "$name @arguments: exit code" );
    return Test::More::like( join( "\n", $program->lines ), $pattern, "$name @arguments: message" );
}

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{owner};
    local ( $?, $!, $@ );
    return if !$self->is_running;
    kill KILL => -$self->{pid};
    waitpid $self->{pid}, 0;
    return;
}

1;

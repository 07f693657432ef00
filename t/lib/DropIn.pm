package DropIn;
use strict;
use warnings;

use Exporter qw(import);
use JSON::PP ();
use Test::More;
use TestZK qw(deadline wait_for);

our @EXPORT = qw(thrown is_error dies_plainly json next_events run_perl dispatcher_names);

# What the drop-in tests have in common. Each of their subtests begins with the word of the CPAN module's
# interface that it shows.

# thrown { CODE }: what the code dies of; undef when it does not.
sub thrown (&) {
    my ($code) = @_;
    local $@;
    return eval { $code->(); 1 } ? undef : $@;
}

# The error has this code, and as its message these words, the caller's file and the line.
sub is_error {
    my ( $error, $code, $words, $line, $name ) = @_;
    my $file = ( caller 0 )[1];
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return fail("$name: nothing was thrown") if !defined $error;
    isa_ok $error, 'ZooKeeper::Error', $name or return diag $error;
    is $error->code, $code,                           "$name: code";
    is "$error",     "$words at $file line $line.\n", "$name: message";
    return;
}

# The error is a string: these words, which may be a pattern, the caller's file and the line.
sub dies_plainly {
    my ( $error, $words, $line, $name ) = @_;
    my $file = ( caller 0 )[1];
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return fail("$name: nothing was thrown") if !defined $error;
    is ref $error, '', "$name: no object";
    my $pattern = ref $words ? $words : qr/\Q$words\E/;
    like $error, qr/\A$pattern at \Q$file\E line $line\.\n\z/, "$name: message";
    return;
}

# Data as JSON, which tells a number from a string.
sub json {
    my ($data) = @_;
    return JSON::PP->new->canonical->allow_nonref->encode($data);
}

# Dispatches until as many events as asked for are in the array; the last resort is a minute.
sub next_events {
    my ( $dispatches, $seen, $count ) = @_;
    wait_for { $dispatches->wait(1); @$seen >= $count } 60, "$count events";
    return @$seen;
}

# Runs a program with the perl and the paths of this one: what it printed, and its status.
sub run_perl {
    my ( $program, @args ) = @_;
    my @include = map { "-I$_" } grep { !ref } @INC;
    return deadline 120, sub {
        open my $pipe, '-|', $^X, @include, '-e', "open STDERR, '>&STDOUT';\n$program", @args
          or die "$^X: $!";
        my $output = join '', <$pipe>;
        close $pipe;
        return ( $output, $? );
    };
}

# Those of the original's dispatchers that can be loaded here. A program of its own tries each, for a loop may
# keep others from working.
sub dispatcher_names {
    my @names = qw(AnyEvent Interrupt IOAsync Mojo POE);
    return grep { !( run_perl("require ZooKeeper::Dispatcher::$_") )[1] } @names;
}

1;

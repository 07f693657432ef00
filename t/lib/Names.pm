package Names;
use strict;
use warnings;

use Config;
use File::Path ();
use File::Temp ();
use Test::More ();

# A resolver that says what a test tells it to, at the pace it is told: the C library's, as far as this process knows,
# for names of which the test has said something.
#
#     my $names = Names->take_over;                          # runs the test anew, with the resolver
#     $names->are( 'one.test' => '127.0.0.1' );
#     $names->are( 'one.test' => undef, seconds => 10 );     # unknown, which takes ten seconds to find out
my $SOURCE = <<'C';
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **)
        = dlsym(RTLD_NEXT, "getaddrinfo");
    const char *path = getenv("ZOOKEEPER_TEST_NAMES");
    FILE *file = node && path ? fopen(path, "r") : NULL;
    char name[256], address[64];
    double seconds;
    while (file && fscanf(file, "%255s %63s %lf", name, address, &seconds) == 3) {
        if (strcmp(name, node))
            continue;
        struct timespec pause = { (time_t) seconds, (long) ((seconds - (time_t) seconds) * 1e9) };
        fclose(file);
        nanosleep(&pause, NULL);
        return strcmp(address, "-") ? real(address, service, hints, found) : EAI_NONAME;
    }
    if (file)
        fclose(file);
    return real(node, service, hints, found);
}
C

sub take_over {
    my ($class) = @_;
    if ( my $file = $ENV{ZOOKEEPER_TEST_NAMES} ) {
        delete $ENV{LD_PRELOAD};    # servers have no use for it
        return bless { file => $file, owner => $$, names => {} }, $class;
    }
    my $dir = File::Temp::tempdir( 'zookeeper-names-XXXXXXXX', TMPDIR => 1 );
    open my $source, '>', "$dir/names.c" or die "$dir: $!\n";
    print {$source} $SOURCE;
    close $source or die "$dir: $!\n";
    my ($cc) = split ' ', $Config{cc};
    if ( system "$cc -shared -fPIC -o $dir/names.so $dir/names.c -ldl 2>$dir/errors" ) {
        File::Path::remove_tree($dir);
        Test::More::plan( skip_all => "$cc makes no library: install a C compiler" );
    }
    @ENV{qw(LD_PRELOAD ZOOKEEPER_TEST_NAMES)} = ( "$dir/names.so", "$dir/names" );
    exec $^X, ( map { "-I$_" } grep { !ref } @INC ), $0 or die "exec: $!\n";
}

sub are {
    my ( $self, $name, $address, %arg ) = @_;
    $self->{names}{$name} = join ' ', $name, $address // '-', $arg{seconds} // 0;
    open my $file, '>', "$self->{file}.new" or die "$self->{file}: $!\n";
    print {$file} map { "$_\n" } values %{ $self->{names} };
    close $file or die "$self->{file}: $!\n";
    rename "$self->{file}.new", $self->{file} or die "$self->{file}: $!\n";
    return;
}

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{owner};
    File::Path::remove_tree( $self->{file} =~ s{/[^/]*\z}{}r, { error => \my $ignored } );
    return;
}

1;

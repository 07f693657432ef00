use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

use DispatcherSuite;
use IPC::Open2 qw(open2);
use ZooKeeper;
use ZooKeeper::Constants;

# The dispatcher of examples/select-loop.pl, in that program, and with the suite that all dispatchers pass.
my $server = test_server();
my $setup  = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
my $path   = fresh_path('select');
my @perl   = ( $^X, map { "-I$_" } grep { !ref } @INC );

my $pid  = open2( my $out, my $in, @perl, 'examples/select-loop.pl', $server->hosts, $path );
my $line = sub {
    return deadline 60, sub { scalar readline $out }
};
is $line->(), "session: connected\n", 'it hears of the session';
is $line->(), "no node\n",            'and looks at the node';
$setup->create( $path, value => 'a' );
is $line->(), "version 0: a\n", 'somebody creates it';
print {$in} "set b\nset c";
is $line->(), "version 1: b\n", 'a command of its own';
print {$in} " d\n";
is $line->(), "version 2: c d\n", 'the loop has room for both';
$setup->set( $path, 'e' );
is $line->(), "version 3: e\n", 'again and again';
print {$in} "create f\nfly\n";
like $line->(), qr/\Aerror: Error creating node '\Q$path\E': node exists/, 'an error ends nothing';
is $line->(), "no such command: fly\n", 'nor does nonsense';
print {$in} "delete\n";
is $line->(), "no node\n", 'it is gone';
close $in;
is $line->(), undef, 'it ends with its input';
deadline 60, sub { waitpid $pid, 0 };
is $?, 0, 'well';

like qx{$^X examples/select-loop.pl 2>&1}, qr{\Ausage: .* HOST:PORT /path\n\z},
  'without arguments it says how to use it';

# Its loop and its dispatcher alone.
my ($packages) = do {
    open my $file, '<', 'examples/select-loop.pl' or die "examples/select-loop.pl: $!\n";
    local $/;
    <$file> =~ /\A(.*)^package main;/ms;
};
eval "$packages; 1" or die $@;    ## no critic
dispatcher_suite(
    class      => 'SelectDispatcher',
    turn       => sub { Loop::once(0.01) },
    exceptions => 'propagate',
    nested     => 1,
);

done_testing;

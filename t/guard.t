use strict;
use warnings;
use Test::More;

use ZooKeeper::Guard;

my $runs = 0;
{
    my $guard = ZooKeeper::Guard->new( sub { $runs++ } );
    is $runs, 0, 'nothing happens while it is there';
}
is $runs, 1, 'the code is run when it goes';

{
    my $guard = ZooKeeper::Guard->new( sub { $runs++ } );
    $guard->dismiss;
}
is $runs, 1, 'but not when it was dismissed';

subtest 'an exception passes by' => sub {
    my $object = { an => 'object' };
    my $ok     = eval {
        my $guard = ZooKeeper::Guard->new(
            sub {
                $runs++;
                eval { die "inside\n" };
            }
        );
        die $object;
    };
    is $ok,   undef,   'it goes on';
    is $@,    $object, 'as it was, although there was another one in the code';
    is $runs, 2,       'which was run';
};

subtest 'what a program looks at stays as it was' => sub {
    local ( $@, $!, $? ) = ( 'mine', 13, 256 );
    {
        my $guard = ZooKeeper::Guard->new(
            sub {
                eval { die "inside\n" };
                $! = 2;
                $? = 1;
            }
        );
    }
    is $@,     'mine', '$@';
    is $! + 0, 13,     '$!';
    is $?,     256,    '$?';
};

my @perl = ( $^X, map { "-I$_" } grep { !ref } @INC );
open my $pipe, '-|', @perl, '-MZooKeeper::Guard', '-e',
  'our $guard = ZooKeeper::Guard->new( sub { print "run" } ); print "end"'
  or die "$^X: $!\n";
is scalar readline $pipe, 'end', 'nothing is run at the end of the program';

done_testing;

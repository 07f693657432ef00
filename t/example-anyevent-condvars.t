# examples/anyevent-condvars.pl, in a process of its own, also when its connection is lost.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

use ExampleProgram;
use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my $hosts  = $server->hosts;
my $zk     = ZooKeeper->new( hosts => $hosts, dispatcher => 'Pipe' );
my $top    = $zk->create( fresh_path('condvars') );

subtest 'wrong usage is told' => sub {
    ExampleProgram->usage_is( 64, qr{\Ausage: .* HOSTS /PATH \[COUNT\]\z}, 'anyevent-condvars', @$_ )
      for [], [$hosts], [ $hosts, 'x' ], [ $hosts, $top, 0 ], [ $hosts, $top, 1, 2 ];
};

# It ends well, and has done everything with so many nodes.
sub does_all {
    my ( $program, $path, $count ) = @_;
    is $program->exit_code, 0, "$count nodes: it ends well";
    my @lines = $program->lines;
    is scalar @lines, 4,                'all is said' or diag explain \@lines;
    is $lines[0],     "created $count", 'created';
    like $lines[1], qr/\Aread $count, \d+ bytes\z/, 'read';
    is $lines[2], "told of $count changes", 'told of';
    is $lines[3], "deleted $count",         'deleted';
    is_deeply [ $zk->get_children($path) ], [], 'nothing stays behind';
    return;
}

subtest 'a thousand at once, and more than are asked for at a time' => sub {
    for my $count ( undef, 1, 3_000 ) {
        my $path = "$top/some/" . ( $count // 'default' );
        does_all( ExampleProgram->start( 'anyevent-condvars', $hosts, $path, $count // () ),
            $path, $count // 1000 );
    }
};

subtest 'both of AnyEvent\'s loops' => sub {
    for my $loop (qw(Perl EV)) {
      SKIP: {
            skip 'needs EV (package libev-perl)', 1 if $loop eq 'EV' && !eval { require EV };
            local $ENV{PERL_ANYEVENT_MODEL} = $loop;
            my $path = "$top/\L$loop";
            does_all( ExampleProgram->start( 'anyevent-condvars', $hosts, $path, 200 ), $path, 200 );
        }
    }
};

subtest 'a server that goes in the middle' => sub {
    my $path    = "$top/lost";
    my $count   = 5_000;
    my $program = ExampleProgram->start( 'anyevent-condvars', $hosts, $path, $count );
    for my $line ( undef, qr/^created/, qr/^read/ ) {
        $program->wait_line($line) if defined $line;
        $server->restart;
    }
    does_all( $program, $path, $count );
};

subtest 'what it must not do' => sub {
    my $path    = $zk->create( "$top/closed", acl => ZOO_READ_ACL_UNSAFE );
    my $program = ExampleProgram->start( 'anyevent-condvars', $hosts, $path, 10 );
    isnt $program->exit_code, 0, 'ends it';
    like + ( $program->lines )[0], qr{\AError creating node '\Q$path\E/\d+-000001': not authenticated},
      'with the first error';
};

done_testing;

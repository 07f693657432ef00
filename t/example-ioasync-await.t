# examples/ioasync-await.pl, in a process of its own.
use strict;
use warnings;
use Test::More;
use lib 't/lib';

BEGIN {
    plan skip_all => 'needs IO::Async (package libio-async-perl)' if !eval { require IO::Async::Loop };
    plan skip_all => 'needs Future::AsyncAwait (package libfuture-asyncawait-perl)'
      if !eval { require Future::AsyncAwait };
}
use TestZK;

use ExampleProgram;
use FakeZK;
use IO::Socket::INET;
use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my $hosts  = $server->hosts;
my $zk     = ZooKeeper->new( hosts => $hosts, dispatcher => 'Pipe', timeout => 30_000 );
my $top    = $zk->create( fresh_path('await') );

sub sizes {
    my ( $program, @arguments ) = @_;
    my $running = ref $program ? $program : ExampleProgram->start( 'ioasync-await', $program, @arguments );
    is $running->exit_code, 0, 'it ends well';
    return map { s/\A +//r } $running->lines;
}

subtest 'wrong usage is told' => sub {
    ExampleProgram->usage_is( 64, qr{\Ausage: .* HOSTS /PATH \[SECONDS\]\z}, 'ioasync-await', @$_ )
      for [], [$hosts], [ $hosts, 'x' ], [ $hosts, $top, 'soon' ], [ $hosts, $top, 1, 2 ];
};

subtest 'a tree' => sub {
    my $path = "$top/tree";
    $zk->create($path);
    is_deeply [ map { [ split ' ' ] } sizes( $hosts, $path ) ], [ [ 1, 0, 0, $path ] ], 'one node';
    $zk->create( "$path/a",       value => 'x' x 10 );
    $zk->create( "$path/a/deep",  value => 'x' x 100 );
    $zk->create( "$path/a/deep/", value => 'x', sequential => 1 ) for 1 .. 120;
    $zk->create( "$path/b",       value => 'x', ephemeral  => 1 );
    $zk->create("$path/empty");
    is_deeply [ map { [ split ' ' ] } sizes( $hosts, $path ) ],
      [ [ 122, 0, 230, 'a' ], [ 1, 1, 1, 'b' ], [ 1, 0, 0, 'empty' ], [ 125, 1, 231, $path ] ],
      'its parts, and all of it';
    my ($all) = grep { m{ /\z} } sizes( $hosts, '/' );
    cmp_ok + ( split ' ', $all )[0], '>', 125, 'the root';
};

subtest 'what is not there' => sub {
    my $program = ExampleProgram->start( 'ioasync-await', $hosts, "$top/none" );
    isnt $program->exit_code, 0, 'ends it';
    like + ( $program->lines )[-1], qr{there is no \Q$top\E/none\z}, 'and is said';
};

subtest 'a tree that changes meanwhile' => sub {
    my $path = "$top/changing";
    $zk->create($path);
    $zk->create("$path/stays");
    for my $round ( 1 .. 5 ) {
        my $program = ExampleProgram->start( 'ioasync-await', $hosts, $path );
        while ( $program->is_running ) {
            for my $n ( 1 .. 20 ) {
                $zk->create("$path/$n");
                $zk->create("$path/$n/below");
            }
            $zk->transaction->delete("$path/$_/below")->delete("$path/$_")->commit for 1 .. 20;
        }
        like + ( sizes($program) )[-1], qr{ \Q$path\E\z}, "round $round";
    }
};

# Passes on so many frames of the server, and no more, on each of the first connections.
sub cutting_proxy {
    my ( $connections, $frames ) = @_;
    my $relay = sub {
        my ($client) = @_;
        my $served   = FakeZK::Connection->new( IO::Socket::INET->new($hosts) // return );
        my $left     = $client->number <= $connections ? $frames : 1e9;
        my %other    = ( $client => $served, $served => $client );
        while (1) {
            my $wanted = '';
            vec( $wanted, fileno $_->{socket}, 1 ) = 1 for $client, $served;
            select my $readable = $wanted, undef, undef, undef;
            for my $from ( grep { vec $readable, fileno $_->{socket}, 1 } $client, $served ) {
                my $frame = $from->frame // return;
                return $client->note('cut') if $from == $served && !$left--;
                $other{$from}->send_frame($frame);
            }
        }
    };
    return FakeZK->new($relay);
}

subtest 'a connection that is lost' => sub {
    my $path = "$top/lost";
    $zk->ensure_path("$path/$_/$_") for 1 .. 300;
    my $proxy = cutting_proxy( 3, 110 );
    my @lines = sizes( $proxy->hosts, $path );
    is $lines[-1] =~ s/ +/ /gr, "601 0 0 $path", 'nothing is missing';
    is_deeply [ $proxy->notes ], [ ('cut') x 3 ], 'though it was, three times';
};

subtest 'no answer in time' => sub {
    $server->pause;
    my $program = ExampleProgram->start( 'ioasync-await', $hosts, $top, 0.2 );
    my $code    = eval { $program->exit_code };
    $server->resume;
    is $code, 1, 'ends it';
    like + ( $program->lines )[-1], qr/Timeout/, 'and is said';
};

done_testing;

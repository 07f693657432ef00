# examples/election.pl, in several processes, with all that can happen to them.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

use CutProxy;
use ExampleProgram;
use ZooKeeper;
use ZooKeeper::Constants;

# Milliseconds. Whoever is to die in a test has the short one; whoever is to live must not be lost on a busy machine.
my ( $SHORT, $LONG ) = ( 4_000, 30_000 );

# For sessions that are closed behind a program's back, and for servers that are started again: if it is asked at the
# wrong moment a server may not answer at all, which is noticed after a third, or two, of this.
my $MIDDLING = 12_000;

my $server = test_server();
my $zk     = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe', timeout => 15_000 );
my $top    = fresh_path('election');
$zk->create($top);

# A candidate, once it has said what it is.
sub candidate {
    my ( $timeout, $path, $name, $proxy ) = @_;
    my $hosts = ( $proxy // $server )->hosts;
    my $program =
      ExampleProgram->start( 'election', '--every', 0.05, '--timeout', $timeout, $hosts, $path, $name );
    $program->wait_line(qr/^(?:leading|following)/);
    return $program;
}

sub term_of { return $_[0]->wait_line(qr/^leading/) =~ s/\D//gr }

# Lines after the one that matches.
sub after {
    my ( $program, $pattern ) = @_;
    my @lines = $program->lines;
    shift @lines while @lines && $lines[0] !~ $pattern;
    return @lines[ 1 .. $#lines ];
}

sub stops {
    my ( $program, $name ) = @_;
    $program->signal('TERM');
    return is $program->exit_code, 0, "$name ends";
}

subtest 'wrong usage is told' => sub {
    my $hosts = $server->hosts;
    my @cases = (
        [ 0,  qr{\AElects a leader.*^ +perl .*examples/election\.pl}ms, '--help' ],
        [ 64, qr/too few arguments/,                                    $hosts ],
        [ 64, qr/too many arguments/,          $hosts,          $top, qw(anna bert) ],
        [ 64, qr/--every must be more than 0/, '--every',       -1,   $hosts, $top ],
        [ 64, qr/PATH must look like/,         $hosts,          '/' ],
        [ 1,  qr/chroot/,                      "${hosts}/none", $top ],
        [ 69, qr/no connection to/,            '--timeout',     500, '127.0.0.1:1', $top ],
    );
    for my $case (@cases) {
        my ( $code, $message, @arguments ) = @$case;
        ExampleProgram->usage_is( $code, $message, 'election', @arguments );
    }
};

subtest 'one leads, and only the next is woken when it goes' => sub {
    my $path      = "$top/clean";
    my %is        = map { $_ => candidate( $LONG, $path, $_ ) } qw(anna bert cleo dora);
    my ($watches) = $server->four_letter( 0, 'mntr', 30 ) =~ /^zk_watch_count\s+(\d+)/m;
    is $watches, 3, 'each of the others has one watch';
    my $term = 0;
    for my $name (qw(anna bert cleo)) {
        my $new = term_of( $is{$name} );
        cmp_ok $new, '>', $term, "$name leads, in a new term";
        $term = $new;
        $is{$name}->wait_line(qr/^work 3 in term $term$/);
        stops( $is{$name}, $name );
        is + ( $is{$name}->lines )[-1], 'stepped down', 'it says that it leads no more';
    }
    $is{dora}->wait_line(qr/^leading/);
    is_deeply [ map { $is{$_}->lines(qr/^following/) } qw(anna bert cleo dora) ],
      [ map { "following, behind $_" } qw(anna bert cleo) ], 'nobody was woken before';
    stops( $is{dora}, 'the last' );
    is_deeply [ $zk->get_children($path) ], [], 'nothing stays behind';
};

subtest 'kill -9' => sub {
    my $path = "$top/kill";
    my %is   = map { $_ => candidate( /anna|bert/ ? $SHORT : $LONG, $path, $_ ) } qw(anna bert cleo);
    $is{bert}->signal('KILL');
    $is{cleo}->wait_line(qr/^following, behind anna/);
    pass 'one behind a follower that is gone follows another';
    my $term = term_of( $is{anna} );
    $is{anna}->signal('KILL');
    cmp_ok term_of( $is{cleo} ), '>', $term, 'one behind a leader that is gone leads';
    stops( $is{cleo}, 'it' );
};

subtest 'a lost connection is not a lost session' => sub {
    my $path  = "$top/connection";
    my $proxy = CutProxy->new( $server->hosts );
    my $anna  = candidate( $MIDDLING, $path, 'anna', $proxy );
    my $bert  = candidate( $MIDDLING, $path, 'bert' );
    my $term  = term_of($anna);
    $proxy->lose_connection;
    $anna->wait_line(qr/^cut off/);
    $anna->wait_line(qr/^connected/);
    $server->restart;
    $anna->wait_line( qr/^cut off/,   2 );
    $anna->wait_line( qr/^connected/, 2 );
    my $worked = $anna->lines(qr/^work/);
    my $last   = $anna->wait_line( qr/^work/, $worked + 3 );
    like $last, qr/in term $term$/, 'the leader works on in the same term';
    is_deeply [ $anna->lines(qr/lost/) ],    [], 'it has not lost anything';
    is_deeply [ $bert->lines(qr/leading/) ], [], 'nobody else leads';
    stops( $anna, 'it' );
    $bert->wait_line(qr/^leading/);
    pass 'the watch has survived as well';
    stops( $bert, 'the other' );
};

subtest 'the answer to the create is lost' => sub {
    my %losses = CutProxy::lost_creates();
    for my $case ( sort keys %losses ) {
        my $path  = "$top/answer-" . $case =~ tr/ /-/r;
        my $proxy = CutProxy->new( $server->hosts, @{ $losses{$case} } );
        my $anna  = candidate( $LONG, $path, 'anna', $proxy );
        $anna->wait_line(qr/^leading/);
        is scalar( ()        = $proxy->losses ),           scalar @{ $losses{$case} }, "$case: it was";
        is scalar( my @nodes = $zk->get_children($path) ), 1, "$case: one node is there";
        stops( $anna, "$case: it" );
    }
};

subtest 'the session of the leader expires' => sub {
    my $path  = "$top/expire";
    my $proxy = CutProxy->new( $server->hosts );
    my $anna  = candidate( $MIDDLING, $path, 'anna', $proxy );
    my $bert  = candidate( $LONG,     $path, 'bert' );
    my $term  = term_of($anna);
    $anna->wait_line(qr/^work/);
    $server->expire_session( $proxy->client_id );
    cmp_ok term_of($bert), '>', $term, 'the next one leads';
    $anna->wait_line(qr/^lost: .*$ExampleProgram::GONE/);
    $anna->wait_line(qr/^following, behind bert/);
    pass 'the former leader has lost it, and stands again';
    is_deeply [ grep { /^work/ } after( $anna, qr/^lost/ ) ], [], 'it does not work on';
    stops( $bert, 'the new leader' );
    my $last = $anna->wait_line( qr/^leading/, 2 );
    cmp_ok $last =~ s/\D//gr, '>', $term, 'and the former one leads anew';
    stops( $anna, 'it' );
};

subtest 'stopped for longer than the session lasts' => sub {
    my $path = "$top/stopped";
    my $anna = candidate( $SHORT, $path, 'anna' );
    my $bert = candidate( $LONG,  $path, 'bert' );
    $anna->wait_line(qr/^work/);
    my $former = term_of($anna);
    $anna->signal('STOP');
    term_of($bert);
    my $worked = $anna->lines(qr/^work/);
    $anna->signal('CONT');
    $anna->wait_line(qr/^lost/);
    is scalar( $anna->lines(qr/^work/) ), $worked, 'it finds out before it works on';
    $anna->wait_line(qr/^following, behind bert/);
    stops( $bert, 'the new leader' );
    stops( $anna, 'the former leader' );
};

subtest 'the node of the leader is deleted' => sub {
    my $path = "$top/deleted";
    my $anna = candidate( $LONG, $path, 'anna' );
    $anna->wait_line(qr/^work/);
    $zk->delete( "$path/" . ( $zk->get_children($path) )[0] );
    $anna->wait_line(qr/^lost: .* was deleted/);
    $anna->wait_line( qr/^leading/, 2 );
    pass 'it stands again';
    stops( $anna, 'it' );
};

subtest 'cut off for long, and ended' => sub {
    my $path = "$top/cut-off";
    my $anna = candidate( $SHORT, $path, 'anna' );
    $anna->wait_line(qr/^work/);
    $server->pause;
    my $ok = eval {
        $anna->wait_line(qr/^cut off/);
        stops( $anna, 'a leader without a connection' );
        1;
    };
    my $error = $@;
    $server->resume;
    die $error if !$ok;
    is_deeply [ grep { /^work/ } after( $anna, qr/^cut off/ ) ], [], 'it did not work in the dark';
};

done_testing;

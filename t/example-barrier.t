# examples/barrier.pl, in several processes, with all that can happen to them.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

use CutProxy;
use ExampleProgram;
use File::Temp ();
use ZooKeeper;
use ZooKeeper::Constants;

# Milliseconds. Whoever is to die in a test has the short one; whoever is to live must not be lost on a busy machine.
my ( $SHORT, $LONG ) = ( 4_000, 30_000 );

# For sessions that are closed behind a program's back, and for servers that are started again: if it is asked at the
# wrong moment a server may not answer at all, which is noticed after a third, or two, of this.
my $MIDDLING = 12_000;

my $server = test_server();
my $zk     = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe', timeout => 15_000 );
my $top    = fresh_path('barrier');
$zk->create($top);

# Commands: one that ends at once, one that waits for a file.
my @BRIEF = qw(echo begin);
my $dir   = File::Temp->newdir;
my $gates = 0;

sub gated { return ( qw(sh -c), 'echo "begin $$"; until [ -e "$0" ]; do sleep 0.1; done; exit 3', $_[0] ) }
sub gate  { return "$dir/" . ++$gates }
sub open_gate { open my $file, '>', $_[0] or die "$_[0]: $!\n"; return }

# One that comes to a barrier for $count.
sub party {
    my ( $timeout, $path, $count, $proxy, @command ) = @_;
    my $hosts = ( $proxy // $server )->hosts;
    return ExampleProgram->start( 'barrier', '--verbose', '--timeout', $timeout, $hosts, $path, $count,
        @command );
}

# The same, once it has been counted: waiting.
sub waiting {
    my ( $seen, @party ) = @_;
    my $program = party(@party);
    $program->wait_line(qr/^$seen of \d+ are here$/);
    return $program;
}

sub nodes {
    my ($path) = @_;
    return scalar( my @nodes = $zk->get_children($path) );
}

subtest 'wrong usage is told' => sub {
    my $hosts = $server->hosts;
    my @cases = (
        [ 0,  qr{\AA double barrier.*^ +perl .*examples/barrier\.pl}ms, '--help' ],
        [ 64, qr/too few arguments/,     $hosts,          $top ],
        [ 64, qr/COUNT must be a whole/, $hosts,          $top,  'all' ],
        [ 64, qr/COUNT must be a whole/, $hosts,          $top,  0 ],
        [ 64, qr/PATH must look like/,   $hosts,          '/a/', 2 ],
        [ 1,  qr/chroot/,                "${hosts}/none", $top,  2 ],
        [ 69, qr/no connection to/,      '--timeout',     500,   '127.0.0.1:1', $top, 2 ],
    );
    for my $case (@cases) {
        my ( $code, $message, @arguments ) = @$case;
        ExampleProgram->usage_is( $code, $message, 'barrier', @arguments );
    }
    $zk->create( "$top/taken", value => 'settings' );
    ExampleProgram->usage_is( 1, qr/data that is not a barrier's/, 'barrier', $hosts, "$top/taken", 2 );
    is scalar $zk->get("$top/taken"), 'settings', 'and left alone';
};

subtest 'all start together and end together' => sub {
    my $path      = "$top/together";
    my $gate      = gate();
    my @all       = map { waiting( $_, $LONG, $path, 3, undef, @BRIEF ) } 1 .. 2;
    my ($watches) = $server->four_letter( 0, 'mntr', 30 ) =~ /^zk_watch_count\s+(\d+)/m;
    is $watches, 2, 'each waits for itself to be told';
    is_deeply [ map { $_->lines(qr/^begin/) } @all ], [], 'nobody starts before all are there';
    push @all, party( $LONG, $path, 3, undef, gated($gate) );
    $_->wait_line(qr/^begin/) for @all;
    pass 'then all do';
    $_->wait_line(qr/^waiting for .* to leave/) for @all[ 0, 1 ];
    ok $_->is_running, 'one that is done waits for the others' for @all[ 0, 1 ];
    open_gate($gate);
    is_deeply [ map { $_->exit_code } @all ], [ 0, 0, 3 ], 'all end, with the exit codes of their commands';
    is nodes($path), 0, 'nothing stays behind';
};

subtest 'without a command, and again and again' => sub {
    my $path = "$top/again";
    for my $round ( 1 .. 3 ) {
        my $first = waiting( 1, $LONG, $path, 2 );
        ok $first->is_running, "round $round: one waits";
        my $second = party( $LONG, $path, 2 );
        is_deeply [ map { $_->exit_code } $first, $second ], [ 0, 0 ], "round $round: two are done";
    }

    # The first round is still on when the second begins.
    my $gate = gate();
    my @slow = map { party( $LONG, $path, 2, undef, gated($gate) ) } 1 .. 2;
    $_->wait_line(qr/^begin/) for @slow;
    my $next = waiting( 1, $LONG, $path, 2, undef, @BRIEF );
    is_deeply [ $next->lines(qr/^begin/) ], [], 'who comes later is not let in';
    my $last = party( $LONG, $path, 2, undef, @BRIEF );
    is_deeply [ map { $_->exit_code } $next, $last ], [ 0, 0 ],
      'but waits for a round, and does not mind the other';
    open_gate($gate);
    is_deeply [ map { $_->exit_code } @slow ], [ 3, 3 ], 'which ends, too';
    is nodes($path), 0, 'nothing stays behind';
};

subtest 'kill -9' => sub {
    my $path = "$top/kill";
    my $gate = gate();
    my $dies = waiting( 1, $SHORT, $path, 3 );
    my @all  = waiting( 2, $LONG,  $path, 3, undef, @BRIEF );
    $dies->signal('KILL');
    soon_ok { nodes($path) == 1 } 60, 'one that is gone is not counted any more';
    push @all, waiting( 2, $SHORT, $path, 3, undef, gated($gate) );
    is_deeply [ map { $_->lines(qr/^begin/) } @all ], [], 'two and one that is gone are not three';
    push @all, party( $LONG, $path, 3, undef, @BRIEF );
    my ($pid) = $all[1]->wait_line(qr/^begin/) =~ /(\d+)/;
    $_->wait_line(qr/^waiting for .* to leave/) for @all[ 0, 2 ];
    $all[1]->signal('KILL');
    soon_ok { ExampleProgram->is_gone($pid) } 30, 'the command ends with its program';
    is_deeply [ map { $_->exit_code } @all[ 0, 2 ] ], [ 0, 0 ],
      'the others go on when its session has expired';
};

subtest 'a lost connection is not a lost session' => sub {
    my $path  = "$top/connection";
    my $proxy = CutProxy->new( $server->hosts );
    my $first = waiting( 1, $MIDDLING, $path, 2, $proxy );
    $proxy->lose_connection;
    $server->restart;
    is party( $MIDDLING, $path, 2 )->exit_code, 0, 'the second';
    is $first->exit_code,                       0, 'and the first that has waited';
    is_deeply [ $first->lines(qr/again/) ], [], 'in the same session';

    my $other = CutProxy->new( $server->hosts );
    my $gate  = gate();
    my @all   = map { party( $LONG, $path, 2, $_, gated($gate) ) } $other, undef;
    $_->wait_line(qr/^begin/) for @all;
    $other->lose_connection;
    open_gate($gate);
    is_deeply [ map { $_->exit_code } @all ], [ 3, 3 ], 'no command is killed for that';
};

subtest 'answers are lost' => sub {
    my %losses = (
        'to the create'              => [ [ create => 'answer' ] ],
        'twice'                      => [ [ create => 'answer' ], [ multi => 'answer' ] ],
        'after the request was lost' => [ [ create => 'request' ], [ create => 'answer' ] ],
        'to the opening'             => [ [ multi => 'answer' ] ],
    );
    for my $case ( sort keys %losses ) {
        my $path  = "$top/answer-" . $case =~ tr/ /-/r;
        my $proxy = CutProxy->new( $server->hosts, @{ $losses{$case} } );
        my @all   = waiting( 1, $LONG, $path, 3 );
        push @all, waiting( 2, $LONG, $path, 3 );
        my $gate = gate();
        push @all, party( $LONG, $path, 3, $proxy, gated($gate) );
        $all[2]->wait_line(qr/^begin/);
        is scalar( () = $proxy->losses ), scalar @{ $losses{$case} }, "$case: it was";
        is_deeply [ map { $_->exit_code } @all[ 0, 1 ] ], [ 0, 0 ], "$case: the others are let in";
        is nodes($path), 1, "$case: one node is there";
        open_gate($gate);
        is $all[2]->exit_code, 3, "$case: it ends";
    }

    my $path  = "$top/counted-once";
    my $proxy = CutProxy->new( $server->hosts, [ create => 'answer' ] );
    my $first = waiting( 1, $LONG, $path, 2, $proxy );
    is nodes($path),                        1, 'one that is counted once waits';
    is party( $LONG, $path, 2 )->exit_code, 0, 'for another';
    is $first->exit_code,                   0, 'to come';
};

subtest 'the session expires' => sub {
    my $path  = "$top/expire";
    my $proxy = CutProxy->new( $server->hosts );
    my $gate  = gate();
    my $first = waiting( 1, $MIDDLING, $path, 2, $proxy, gated($gate) );
    $server->expire_session( $proxy->client_id );
    $first->wait_line(qr/$ExampleProgram::GONE.*: enters again/);
    $first->wait_line( qr/^1 of 2 are here/, 2 );
    pass 'one that waits enters again';
    my $second = party( $LONG, $path, 2, undef, @BRIEF );
    $_->wait_line(qr/^begin/) for $first, $second;
    my ($pid) = $first->wait_line(qr/^begin/) =~ /(\d+)/;
    $second->wait_line(qr/^waiting for .* to leave/);
    $server->expire_session( $proxy->client_id );
    is $second->exit_code, 0,  'who has started does not wait for one that is lost';
    is $first->exit_code,  76, 'which does not go on itself';
    like + ( $first->lines )[-1], qr/the others have gone on without this one: $ExampleProgram::LOST/,
      'and says why';
    ok( ExampleProgram->is_gone($pid), 'its command is gone' );
};

subtest 'the end of a wait' => sub {
    my $path = "$top/wait";
    my $dies = waiting( 1, $LONG, $path, 2 );
    $dies->signal('INT');
    is $dies->exit_code, 130, 'INT';
    is nodes($path),     0,   'its node is gone';

    my $gate = gate();
    my @all  = map { party( $LONG, $path, 2, undef, @$_ ) } [ gated($gate) ], \@BRIEF;
    $_->wait_line(qr/^begin/) for @all;
    $all[0]->signal('TERM');
    is_deeply [ map { $_->exit_code } @all ], [ 143, 0 ], 'one that is ended by a signal has left';
    is nodes($path), 0, 'nothing stays behind';
};

done_testing;

# examples/lock.pl, in several processes, with all that can happen to them.
use strict;
use warnings;
use Test::More;
use lib 't/lib', 'examples/lib';
use TestZK;

use CutProxy;
use ExampleProgram;
use File::Temp ();
use Recipe     ();
use ZooKeeper;
use ZooKeeper::Constants;

# Milliseconds. Whoever is to die in a test has the short one; whoever is to live must not be lost on a busy machine.
my ( $SHORT, $LONG ) = ( 4_000, 30_000 );

# For sessions that are closed behind a program's back: if it is asked at that very moment a server may not answer at
# all, which is noticed after two thirds of this.
my $MIDDLING = 12_000;

my $server = test_server();
my $hosts  = $server->hosts;
my $zk     = ZooKeeper->new( hosts => $hosts, dispatcher => 'Pipe', timeout => 15_000 );
my $top    = fresh_path('lock');
$zk->create($top);

# A holder keeps the lock until it is ended; a short command ends by itself.
my @HOLD  = ( qw(sh -c), 'echo begin; exec sleep 300' );
my @BRIEF = qw(echo done);

sub lock_with {
    my ( $timeout, $path, @command ) = @_;
    return lock_by( $hosts, $timeout, $path, @command );
}

sub lock_by {
    my ( $by, $timeout, $path, @command ) = @_;
    my $address = ref $by ? $by->hosts : $by;
    return ExampleProgram->start( 'lock', '--verbose', '--timeout', $timeout, $address, $path, @command );
}

subtest 'wrong usage is told' => sub {
    my @cases = (
        [ 0,  qr{\ARuns a command under a lock.*^ +perl .*examples/lock\.pl}ms, '--help' ],
        [ 64, qr/too few arguments/,              $hosts,          $top ],
        [ 64, qr/Unknown option: waiting/,        '--waiting',     1,         $hosts, $top, 'true' ],
        [ 64, qr{"long" invalid for option wait}, '--wait',        'long',    $hosts, $top, 'true' ],
        [ 64, qr/--timeout must be more than 0/,  '--timeout',     0,         $hosts, $top, 'true' ],
        [ 64, qr/PATH must look like/,            $hosts,          'locks/x', 'true' ],
        [ 64, qr/port 0/,                         '127.0.0.1:0',   $top,      'true' ],
        [ 1,  qr/chroot/,                         "${hosts}/none", $top,      'true' ],
        [
            69, qr/no connection to 127\.0\.0\.1:1 within 0\.5 s/,
            '--timeout', 500, '127.0.0.1:1', $top, 'true'
        ],
    );
    for my $case (@cases) {
        my ( $code, $message, @arguments ) = @$case;
        ExampleProgram->usage_is( $code, $message, 'lock', @arguments );
    }
};

subtest 'a command runs' => sub {
    my $path  = "$top/run/deep";
    my $first = lock_with( $LONG, $path, qw(sh -c), 'echo "$ZK_LOCK $ZK_FENCE"; exit 7' );
    is $first->exit_code, 7, 'its exit code is passed on';
    my ($fence) = $first->wait_line(qr{^\Q$path\E/lock}) =~ / (\d+)\z/;
    my $next = lock_with( $LONG, $path, qw(sh -c), 'echo "fence $ZK_FENCE"; kill -9 $$' );
    is $next->exit_code, 128 + 9, 'that it was killed, too';
    cmp_ok + ( $next->lines(qr/^fence/) )[0] =~ s/\D//gr, '>', $fence, 'the number grows with every holder';
    is lock_with( $LONG, $path, '/nowhere/command' )->exit_code, 127, 'none';
    is lock_with( $LONG, $path, '/' )->exit_code,                126, 'one that is no program';
    is_deeply [ $zk->get_children($path) ], [], 'nothing stays behind';
};

subtest 'who comes first has it first, and nobody is woken for nothing' => sub {
    my $path  = "$top/fair";
    my @queue = lock_with( $LONG, $path, @HOLD );
    $queue[0]->wait_line(qr/^begin/);
    for my $n ( 1 .. 4 ) {
        push @queue, lock_with( $LONG, $path, @HOLD );
        $queue[$n]->wait_line(qr/^waiting for/);
    }
    my @nodes = Recipe::in_order( $zk->get_children($path) );
    is_deeply [ map { $_->wait_line(qr/^waiting for/) } @queue[ 1 .. 4 ] ],
      [ map { "waiting for $path/$_" } @nodes[ 0 .. 3 ] ], 'each waits for the one before it';

    # The holder looks after its own node.
    my ($watches) = $server->four_letter( 0, 'mntr', 30 ) =~ /^zk_watch_count\s+(\d+)/m;
    is $watches, 5, 'and has but one watch';

    for my $n ( 0 .. 4 ) {
        $queue[$n]->wait_line(qr/^begin/);
        $queue[$n]->signal('TERM');
        is $queue[$n]->exit_code, 128 + 15, "number $n ends by its signal";
    }
    is_deeply [ map { scalar $_->lines(qr/^woken/) } @queue ], [ 0, 1, 1, 1, 1 ],
      'each was woken once, when it was its turn';
    is_deeply [ $zk->get_children($path) ], [], 'nothing stays behind';
};

subtest 'kill -9' => sub {
    my $path = "$top/kill";

    # Not the short one: there is a look at what the holder leaves before its session expires.
    my $holder = lock_with( $MIDDLING, $path, qw(sh -c), 'echo "begin $$"; sleep 300' );
    my ($pid) = $holder->wait_line(qr/^begin/) =~ /(\d+)/;
    my @waiting;
    for my $n ( 0 .. 2 ) {
        push @waiting, lock_with( $n == 1 ? $SHORT : $LONG, $path, @HOLD );
        $waiting[$n]->wait_line(qr/^waiting for/);
    }
    $waiting[1]->signal('KILL');
    $holder->signal('KILL');
    soon_ok { ExampleProgram->is_gone($pid) } 30, 'the command ends with its holder';
    ok $zk->exists( $holder->wait_line(qr/has the lock/) =~ s/ .*//r ), 'before its session does';
    $waiting[0]->wait_line(qr/^begin/);
    pass 'the next one has the lock when the session has expired';
    $waiting[2]->wait_line( qr/^waiting for/, 2 );
    is_deeply [ $waiting[2]->lines(qr/^begin/) ], [], 'one behind a waiter that is gone waits on';
    $waiting[0]->signal('TERM');
    $waiting[2]->wait_line(qr/^begin/);
    pass 'until the holder is done';
};

subtest 'a counter' => sub {
    my $path   = "$top/counter";
    my $dir    = File::Temp->newdir;
    my $script = <<'PERL';
my ( $dir, $pause ) = @ARGV;
sub note { open my $log, '>>', "$dir/log" or die; syswrite $log, "$_[0] $ENV{ZK_FENCE}\n" }
note('begin');
my $counter = do { open my $file, '<', "$dir/counter" or die; <$file> };
select undef, undef, undef, $pause;
open my $file, '>', "$dir/counter" or die;
print {$file} $counter + 1;
close $file;
note('end');
PERL
    open my $file, '>', "$dir/counter" or die $!;
    print {$file} 0;
    close $file;
    my $log = sub { open my $lines, '<', "$dir/log" or return; <$lines> };

    my $victim = lock_with( $SHORT, $path, $^X, '-e', $script, "$dir", 300 );
    wait_for { scalar $log->() } 60, 'the first holder';
    my @workers = map { lock_with( $LONG, $path, $^X, '-e', $script, "$dir", 0.02 ) } 1 .. 10;
    my $also    = lock_with( $SHORT, $path, $^X, '-e', $script, "$dir", 300 );
    $also->wait_line(qr/^waiting for/);
    $_->signal('KILL') for $victim, $also;
    is $_->exit_code, 0, 'a worker is done' for @workers;

    my @log  = map  { [split] } $log->();
    my @ends = grep { $_->[0] eq 'end' } @log;
    is scalar @ends, 10, 'all but those that were killed have counted';
    open my $counted, '<', "$dir/counter" or die $!;
    is <$counted>, 10, 'and no count is lost';
    my @begins = map { $_->[1] } grep { $_->[0] eq 'begin' } @log;
    is_deeply \@begins, [ sort { $a <=> $b } @begins ], 'the fence grew with every holder';
    is_deeply [ map { "@$_" } @log ],
      [ "begin $begins[0]", map { ( "begin $_", "end $_" ) } @begins[ 1 .. 10 ] ],
      'never were there two at once';
};

subtest 'a lost connection is not a lost lock' => sub {
    my $path = "$top/connection";
    my ( $proxy, $other ) = map { CutProxy->new($hosts) } 1 .. 2;
    my $holder = lock_by( $proxy, $LONG, $path, @HOLD );
    $holder->wait_line(qr/^begin/);
    my $waiting = lock_by( $other, $LONG, $path, @BRIEF );
    $waiting->wait_line(qr/^waiting for/);
    $_->lose_connection for ( $proxy, $other ) x 3;
    is_deeply [ $waiting->lines(qr/woken/) ], [], 'the waiter waits on';
    ok $holder->is_running, 'the holder holds on';
    $holder->signal('INT');
    is $holder->exit_code,  128 + 2, 'its command was not killed, but ended by the signal';
    is $waiting->exit_code, 0,       'the watch of the waiter has survived as well';
};

subtest 'the answer to the create is lost' => sub {
    my %losses = CutProxy::lost_creates();
    for my $case ( sort keys %losses ) {
        my $path   = "$top/answer-" . $case =~ tr/ /-/r;
        my $proxy  = CutProxy->new( $hosts, @{ $losses{$case} } );
        my $holder = lock_by( $proxy, $LONG, $path, @HOLD );
        $holder->wait_line(qr/^begin/);
        is scalar( ()        = $proxy->losses ),           scalar @{ $losses{$case} }, "$case: it was";
        is scalar( my @nodes = $zk->get_children($path) ), 1, "$case: one node is there";
        $holder->signal('TERM');
        $holder->exit_code;
        is scalar( @nodes = $zk->get_children($path) ), 0, "$case: and none in the end";
    }
};

subtest 'the session expires' => sub {
    my $path    = "$top/expire";
    my $proxy   = CutProxy->new($hosts);
    my $holder  = lock_by( $proxy, $MIDDLING, $path, qw(sh -c), 'echo "begin $$"; sleep 300; echo over' );
    my ($pid)   = $holder->wait_line(qr/^begin/) =~ /(\d+)/;
    my $other   = CutProxy->new($hosts);
    my $waiting = lock_by( $other, $MIDDLING, $path, @BRIEF );
    $waiting->wait_line(qr/^waiting for/);

    $server->expire_session( $other->client_id );
    $waiting->wait_line(qr/again, from the end of the queue/);
    $waiting->wait_line( qr/^waiting for/, 2 );
    pass 'a waiter queues again';

    $server->expire_session( $proxy->client_id );
    is $holder->exit_code, 76, 'a holder does not go on';
    like join( "\n", $holder->lines ), qr/the lock is lost: $ExampleProgram::LOST; the command was killed\z/,
      'and says why';
    ok( ExampleProgram->is_gone($pid), 'its command is gone' );
    is $waiting->exit_code, 0, 'the next one has the lock';
};

subtest 'the node is deleted by somebody' => sub {
    my $path   = "$top/deleted";
    my $holder = lock_with( $LONG, $path, @HOLD );
    my $node   = $holder->wait_line(qr/has the lock/) =~ s/ .*//r;
    $holder->wait_line(qr/^begin/);
    $zk->set( $node, 'something else' );
    $zk->delete($node);
    is $holder->exit_code, 76, 'the lock is lost';
    like + ( $holder->lines )[-1], qr/the lock is lost: it was deleted/, 'and it says why';
};

subtest 'no connection for long' => sub {
    my $path   = "$top/cut-off";
    my $holder = lock_with( $SHORT, $path, @HOLD );
    $holder->wait_line(qr/^begin/);
    $server->pause;
    my $code = eval { $holder->exit_code };
    $server->resume;
    is $code, 76, 'a holder gives up before the server can let another in';
    like + ( $holder->lines )[-1], qr/the lock is lost: no connection/, 'and says why';
};

subtest 'stopped for longer than the session lasts' => sub {
    my $path    = "$top/stopped";
    my $holder  = lock_with( $SHORT, $path, qw(sh -c), 'echo "begin $$"; sleep 300' );
    my ($pid)   = $holder->wait_line(qr/^begin/) =~ /(\d+)/;
    my $waiting = lock_with( $LONG, $path, @BRIEF );
    $waiting->wait_line(qr/^waiting for/);
    $holder->signal('STOP');
    is $waiting->exit_code, 0, 'another one has had the lock meanwhile';
    ok $holder->is_running, 'and the former holder does not know';
    $holder->signal('CONT');
    is $holder->exit_code, 76, 'until it goes on';
    ok( ExampleProgram->is_gone($pid), 'its command is gone' );
};

subtest 'the end of a wait' => sub {
    my $path   = "$top/wait";
    my $holder = lock_with( $LONG, $path, @HOLD );
    $holder->wait_line(qr/^begin/);
    my $late = ExampleProgram->start( 'lock', '--wait', 0.2, $hosts, $path, @BRIEF );
    is $late->exit_code, 75, '--wait';
    like + ( $late->lines )[-1], qr/no lock within 0\.2 s/, 'says so';
    for my $signal (qw(INT TERM)) {
        my $waiting = lock_with( $LONG, $path, @BRIEF );
        $waiting->wait_line(qr/^waiting for/);
        $waiting->signal($signal);
        is $waiting->exit_code, $signal eq 'INT' ? 130 : 143, $signal;
        is_deeply [ $waiting->lines(qr/^done/) ], [], 'nothing is run';
    }
    is scalar( my @nodes = $zk->get_children($path) ), 1, 'their nodes are gone';
    $server->pause;
    $holder->signal('TERM');
    my $code = eval { $holder->exit_code };
    $server->resume;
    is $code, 143, 'a holder whose server stands still ends, too';
};

subtest 'numbers wrap' => sub {
    my @names = map { "lock.1-1.$_" } qw(2147483646 2147483647 -2147483648 -2147483647 -000000001 0000000000);
    is_deeply [ Recipe::in_order( @names[ 2, 0, 3, 1 ] ) ], [ @names[ 0 .. 3 ] ], 'after 2147483647';
    is_deeply [ Recipe::in_order( @names[ 5, 4 ] ) ], [ @names[ 4, 5 ] ], 'after -1';
    ok Recipe::comes_after( -2_147_483_648, 2_147_483_647 ),  'comes_after';
    ok !Recipe::comes_after( 2_147_483_647, -2_147_483_648 ), 'and not before';
    ok !Recipe::comes_after( 5,             5 ),              'nor after itself';
    is Recipe::number('lock.1-1.0000000012'), 12,    'a dash is no minus';
    is Recipe::number('lock.1-1.x'),          undef, 'not every name has a number';
};

done_testing;

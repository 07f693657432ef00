use strict;
use warnings;
use Test::More;
use lib 't/lib';
use DropIn;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

# Whole programs, as users of the CPAN module write them, in t/programs. Here is what the world does to them.
my $server = test_server();
my $zk     = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
my $base   = fresh_path('programs');
$zk->create($base);

my @include = map { "-I$_" } grep { !ref } @INC;
my %running;
END { kill KILL => keys %running if %running }

# Starts a program and returns it: pid, and a handle for what it prints on either output.
sub start {
    my ( $name, @args ) = @_;
    pipe my $read, my $write or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if ( !$pid ) {
        open STDOUT, '>&', $write or die "stdout: $!";
        open STDERR, '>&', $write or die "stderr: $!";
        exec $^X, @include, "t/programs/$name.pl", $server->hosts, @args or die "$^X: $!";
    }
    close $write;
    $running{$pid} = 1;
    return { pid => $pid, out => $read, name => $name };
}

# The program's next line.
sub line {
    my ($program) = @_;
    my $line      = deadline 120, sub { readline $program->{out} };
    return defined $line ? $line =~ s/\n\z//r : 'it has ended';
}

# All that it still prints, and its status.
sub ends {
    my ($program) = @_;
    my $lines     = deadline 120, sub { [ readline $program->{out} ] };
    waitpid $program->{pid}, 0;
    delete $running{ $program->{pid} };
    chomp @$lines;
    return ( $?, @$lines );
}

subtest 'group.pl: AnyEvent, a watcher that asks again' => sub {
    my $group   = "$base/group";
    my $program = start( 'group', $group );
    is line($program), 'members: ', 'nobody';
    for my $name (qw(ann bob)) {
        $zk->create("$group/$name");
        is line($program), 'child',                                              "$name comes";
        is line($program), $name eq 'ann' ? 'members: ann' : 'members: ann bob', 'members';
    }
    $zk->delete("$group/ann");
    is line($program), 'child',        'ann goes';
    is line($program), 'members: bob', 'members';
    $zk->create("$group/stop");
    is_deeply [ ends($program) ], [ 0, 'child', 'members: bob stop', 'at last: 2' ], 'the end';
};

subtest 'config.pl: a Moo class that holds a handle' => sub {
    my $path    = "$base/config";
    my $program = start( 'config', $path );
    is line($program), 'gone:', 'no node yet';
    $zk->create( $path, value => "a=1\nb=" . 'long' x 10 );
    is line($program), 'version 0: a=1 b=' . 'long' x 10, 'created, longer than buffer_length';
    $zk->set( $path => 'a=2' );
    is line($program), 'version 1: a=2', 'changed';
    $zk->delete($path);
    is line($program), 'gone:', 'deleted';
    $zk->create( $path, value => 'quit=1' );
    is_deeply [ ends($program) ], [ 0, 'version 0: quit=1' ], 'the end';
};

subtest 'queue.pl: sequential nodes, each for one of many consumers' => sub {
    my $queue = $zk->create("$base/queue");
    my @all   = map { start( 'queue', $queue ) } 1 .. 3;
    is line($_), 'ready', 'a consumer' for @all;
    $zk->create( "$queue/job-", value => $_, sequential => 1 ) for 1 .. 60;
    $zk->create( "$queue/job-", value => 'quit', sequential => 1 );
    my @done;
    for my $program (@all) {
        my ( $status, @lines ) = ends($program);
        is $status, 0, 'a consumer ends';
        push @done, map { s/job //r } @lines;
    }
    is_deeply [ sort { $a <=> $b } @done ], [ 1 .. 60 ], 'every job was done once';
};

subtest 'lock.pl: ephemeral sequential nodes, and wait loops' => sub {
    my $lock    = $zk->create("$base/lock");
    my $counter = $zk->create( "$base/counter", value => 0 );
    my @all     = map { start( 'lock', $lock, $counter, 10 ) } 1 .. 3;
    is_deeply [ ends($_) ], [ 0, 'counted' ], 'a process' for @all;
    is scalar $zk->get($counter), 30, 'no step was lost';
    is_deeply [ $zk->get_children($lock) ], [], 'no lock is left';
};

subtest 'presence.pl: a session watcher that reopens on expiry' => sub {
    my $path    = "$base/presence";
    my $program = start( 'presence', $path );
    is line($program), 'registered', 'it is there';
    my $first = $zk->exists($path)->{ephemeralOwner};
    kill STOP => $program->{pid};
    soon_ok { !$zk->exists($path) } 120, 'it stands still, and its session expires';
    kill CONT => $program->{pid};
    is line($program),                         'expired session', 'it hears of it';
    is line($program),                         'registered',      'and is there again';
    isnt $zk->exists($path)->{ephemeralOwner}, $first,            'with a new session';
    is $zk->get_acl($path)->[0]{scheme},       'digest',          'that is authenticated';
    $zk->create("$path-stop");
    is_deeply [ ends($program) ], [ 0, 'ends: created' ], 'the end, by a watcher of the new session';
};

subtest 'poll.pl: 1 while $zk->dispatcher->dispatch_event, with a dispatcher of its own' => sub {
    my $path    = "$base/poll";
    my $program = start( 'poll', $path );
    is line($program), 'not there', 'it begins';
    $zk->create($path);
    is line($program), 'created', 'created';
    $zk->set( $path => 'v' );
    is line($program), 'changed', 'changed';
    $zk->delete($path);
    is_deeply [ ends($program) ], [ 0, 'deleted', 'dispatched: 3' ], 'the end';
};

subtest 'transfer.pl: transactions whose results are checked' => sub {
    my @accounts = map { $zk->create( "$base/$_", value => 100 ) } qw(hers his);
    my @all      = map { start( 'transfer', @$_, 5, 4 ) } ( [@accounts] ) x 2, [ reverse @accounts ];
    for my $program (@all) {
        my ( $status, @lines ) = ends($program);
        is $status,                                                     0, 'a process ends';
        is scalar( grep { m{\Areceipt \S+/receipt-\d{10}\z} } @lines ), 4, 'each transfer has its receipt';
    }
    is_deeply [ map { scalar $zk->get($_) } @accounts ],          [ 80, 120 ],         'nothing was lost';
    is_deeply [ ends( start( 'transfer', @accounts, 500, 1 ) ) ], [ 0, 'not enough' ], 'too much is too much';
};

subtest 'secret.pl: digest ACLs, ZOO_AUTH_IDS as part of a hash' => sub {
    is_deeply [ ends( start( 'secret', "$base/secret" ) ) ],
      [
        0,
        'digest owner all',
        'digest reader read',
        'anybody reads: not authenticated',
        'reader reads: treasure',
        'reader writes: not authenticated',
        'reader writes: 1',
        'owner reads: public',
      ],
      'who may what';
};

subtest 'prefork.pl: workers that reopen the handle of their parent' => sub {
    is_deeply [ ends( start( 'prefork', "$base/prefork", 3 ) ) ],
      [ 0, 'worker-1 worker-2 worker-3', 'before reopen: invalid zhandle state', 'sessions: 4', 'left: ', ],
      'each has a session of its own, which ends with it';
};

subtest 'errors.pl: the ways to tell one error from another' => sub {
    my ( $status, @lines ) = ends( start( 'errors', "$base/errors" ) );
    my $at   = sub { qr{ at \Qt/programs/errors.pl\E line \d+\.} };
    my @want = (
        "created $base/errors",
        'there already',
        'code -103, bad version',
        'something in it',
        'nothing there',
        qr/\AError getting data for node '\Q$base\E\/errors\/none': no node${\ $at->()}\z/,
qr/\Ais it one of ours\? yes, Error getting data for node 'relative': bad arguments: .*${\ $at->()}\z/,
        'default',
        qr/\AError getting data for node '\Q$base\E\/errors\/none': no node${\ $at->()}\z/,
    );
    ok $status != 0, 'what it does not catch ends it';
    is scalar @lines, scalar @want, 'so many lines' or diag join "\n", @lines;
    for my $want (@want) {
        like shift @lines, ref $want ? $want : qr/\A\Q$want\E\z/, 'line';
    }
};

subtest 'patient.pl: a subclass that tries again, while the server goes and comes' => sub {
    my $path = $zk->create( "$base/patient", value => 'go' );
    $zk->create( "$path/beat", value => 0 );
    my $program = start( 'patient', $path );
    is line($program), 'begun', 'it begins';
    my $beats = sub {
        my ($than) = @_;
        return wait_for {
            my $beat = eval { $zk->get("$path/beat") } // 0;
            $beat > $than && $beat
        }
        120, 'a beat';
    };
    my $beat = $beats->(0);
    $server->kill;
    $server->start;
    $beat = $beats->($beat);
    ok $beats->($beat), 'it goes on';
    $zk->set( $path => 'stop' );
    my ( $status, @lines ) = ends($program);
    is $status,    0,         'the end';
    is $lines[-1], 'stopped', 'as it was told';
};

done_testing;

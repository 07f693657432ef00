# What ZooKeeper::Test::Server does to the program that uses it, and what it
# leaves behind: nothing, in both cases.
use strict;
use warnings;

use Test::More;
use Cwd    ();
use POSIX  ();
use Socket ();
use lib 't/lib';
use TestZK;
use ZooKeeper::Test::Server;

sub fork_and (&) {
    my ($code) = @_;
    my $pid = fork // die "fork: $!";
    $code->() if !$pid;
    return $pid;
}

my $class  = 'ZooKeeper::Test::Server';
my $server = test_server();

subtest 'the program keeps its children and its signals to itself' => sub {
    my $chld = 0;
    local $SIG{CHLD} = sub { $chld++ };
    my $handler = $SIG{CHLD};
    my $child   = fork_and { POSIX::_exit(7) };
    wait_for { $chld } 10, 'the SIGCHLD of our own child';
    $server->restart;
    $server->kill;
    $server->start;
    is $SIG{CHLD},           $handler, 'the SIGCHLD handler is the same';
    is waitpid( $child, 0 ), $child,   'our child is still ours to wait for';
    is $? >> 8,              7,        '... with its status';
    is wait(),               -1,       'there is no other child: wait does not wait for servers';
};

subtest 'a handler that reaps every child does no harm' => sub {
    my @reaped;
    local $SIG{CHLD} = sub {
        while ( ( my $pid = waitpid -1, POSIX::WNOHANG() ) > 0 ) { push @reaped, $pid }
    };
    $server->restart;
    is "@reaped", '', 'it never gets one of ours';
    local $SIG{CHLD} = 'IGNORE';
    $server->restart;
    ok $server->is_running, 'ignoring them does no harm either';
};

subtest 'destruction changes no variable of the program' => sub {
    my $other = $class->new;
    my $pid   = $other->pid;
    my $root  = $other->{root};
    ( $?, $!, $@ ) = ( 11, 2, 'untouched' );
    undef $other;
    my @after = ( $?, $! + 0, $@ );
    is_deeply \@after, [ 11, 2, 'untouched' ], '$?, $! and $@';
    ok !kill( 0, $pid ), 'the server is gone at once';
    ok !-e $root,        '... and its files';
};

subtest 'random numbers are the program\'s own' => sub {
    srand 42;
    my @expected = map { rand } 1 .. 3;
    srand 42;
    my $first = rand;
    my @ports = ZooKeeper::Test::Server::Wire::free_ports(20);
    is_deeply [ $first, rand, rand ], \@expected, 'choosing ports takes none';
    my %seen;
    is_deeply [ grep { $seen{$_}++ } @ports ], [], 'ports differ';
};

subtest 'a forked child ends nothing' => sub {
    my $pid = $server->pid;
    pipe my $read, my $write or die $!;
    my $child = fork_and {
        close $read;
        my $hosts = $server->hosts;
        my $error = eval { $server->kill; 1 } ? 'none' : $@;
        my $seen  = $server->pid;
        undef $server;
        syswrite $write, "$hosts $seen $error";
        POSIX::_exit(0);
    };
    close $write;
    my $said = do { local $/; <$read> };
    waitpid $child, 0;
    is $?, 0, 'the child ended well';
    like $said, qr/\A\Q${\ $server->hosts }\E $pid kill: only the process that started the servers/,
      'it can ask for the hosts and the pid, but control nothing';
    is $server->pid,                      $pid,   'the server is still there';
    is $server->four_letter( 0, 'ruok' ), 'imok', '... and serves';

    $child = fork_and { exit 0 };    # END blocks and destructors run
    waitpid $child, 0;
    is $server->four_letter( 0, 'ruok' ), 'imok', 'nor does the exit of a child end it';
};

subtest 'a thread\'s copy is inert' => sub {
    plan skip_all => 'this perl has no threads' if !eval { require threads };
    my $copy = threads->create( sub { ref $server } )->join;
    isnt $copy,                           $class, 'it is not a server';
    is $server->four_letter( 0, 'ruok' ), 'imok', 'the server is still there when the thread is gone';
};

subtest 'the program may change its directory' => sub {
    my $before = Cwd::getcwd();
    chdir '/' or die $!;
    my $ok = eval { $server->restart; 1 };
    chdir $before or die $!;
    ok $ok, 'a server can be started' or diag $@;
};

# The owner, in a process of its own: starts a server, says what there is, then
# runs its code.
my %ways = (
    'kill -9'                                      => 'sleep 100',
    'a normal end'                                 => '<STDIN>',
    'an exception'                                 => '<STDIN>; die "of old age\n"',
    'exec'                                         => '<STDIN>; exec "true"',
    'exit without END'                             => '<STDIN>; require POSIX; POSIX::_exit(0)',
    'kill -9 of the owner of a paused server'      => '$s->pause; print "paused\n"; sleep 100',
    'kill -9 while a child that it forked goes on' => 'if (!fork) { close STDOUT; <STDIN>; exit } sleep 100',
);

for my $way ( sort keys %ways ) {
    subtest "nothing is left after: $way" => sub {
        my $owner = owner( $ways{$way}, $way =~ /paused/ );
        ok kill( 0, $owner->{java} ) && -e $owner->{root}, 'there is a server';
        if ( $way =~ /kill -9/ ) { kill KILL => $owner->{pid} }
        else                     { close $owner->{stdin} }
        waitpid $owner->{pid}, 0;
        soon_ok { !kill 0, $owner->{java} } 20,   'the server is gone';
        soon_ok { !kill 0, $owner->{keeper} } 20, 'its keeper is gone';
        soon_ok { !-e $owner->{root} } 20, 'its files are gone';
        close $owner->{stdin};
    };
}

subtest 'no answer to KILL, though it had come in one piece with the end' => sub {
    socketpair my $ours, my $keeper, Socket::AF_UNIX(), Socket::SOCK_STREAM(), Socket::PF_UNSPEC() or die $!;
    my $process = bless { owner => $$, socket => $ours, buffer => '', pid => 1 },
      'ZooKeeper::Test::Server::Process';
    syswrite $keeper, "done KILL\nexit 9\n";
    is $process->_answer(qr/^exit /), 'exit 9', 'the answer is found';
    close $keeper;
    ok !$process->is_alive, '... and the end is known';
};

subtest 'a server whose keeper was killed' => sub {
    my ($setpriv) = grep { -x "$_/setpriv" } split /:/, $ENV{PATH};
    plan skip_all => 'needs setpriv (package util-linux)' if !$setpriv;
    my $other = $class->new;
    my $pid   = $other->pid;
    kill KILL => parent_of($pid);
    soon_ok { !kill 0, $pid } 20, 'is gone too';
    soon_ok { !$other->is_running } 20, 'is known to be gone';
    $other->start;
    ok $other->is_running, 'can be started again';
};

done_testing;

sub owner {
    my ( $then, $says_more ) = @_;
    pipe my $read_in, my $stdin   or die $!;
    pipe my $stdout,  my $say_out or die $!;
    my $program = 'my $s = ZooKeeper::Test::Server->new; $| = 1; print $s->pid, " $s->{root}\n"; ' . $then;
    my $pid     = fork_and {
        open STDIN,  '<&', $read_in or die $!;
        open STDOUT, '>&', $say_out or die $!;
        open STDERR, '>',  '/dev/null';
        no warnings 'exec';
        exec $^X, ( map { "-I$_" } @INC ), '-MZooKeeper::Test::Server', '-e', $program;
        POSIX::_exit(127);
    };
    close $_ for $read_in, $say_out;
    my ( $java, $root ) = split ' ', scalar <$stdout> // die 'the owner did not start';
    <$stdout> if $says_more;
    return { pid => $pid, java => $java, root => $root, stdin => $stdin, keeper => parent_of($java) };
}

sub parent_of {
    my ($pid) = @_;
    open my $file, '<', "/proc/$pid/stat" or die "no process $pid";
    return ( <$file> =~ /.*\) \S (\d+)/ )[0];
}

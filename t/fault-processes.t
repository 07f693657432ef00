# What the CPAN module did to other processes, and left behind in its own. Each subtest is named after the symptom.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Faults;
use TestZK;

use IO::Socket::INET;
use POSIX ();
use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my @args   = ( hosts => $server->hosts, timeout => 60_000 );
my $setup  = ZooKeeper->new( @args, dispatcher => 'Pipe' );
my $base   = fresh_path('fault-processes');
$setup->create($base);

my %dispatcher = dispatchers();

for my $dispatcher (qw(AnyEvent Pipe)) {
    subtest "a forked child does not take the events of its parent ($dispatcher)" => sub {
        my @seen;
        my $path = "$base/events-$dispatcher";
        my $zk   = ZooKeeper->new( @args, dispatcher => $dispatcher );
        $zk->create($_) for map { "$path-$_" } 1 .. 20;
        $zk->get( "$path-$_", watcher => sub { push @seen, $_[0]{path} } ) for 1 .. 20;

        # One half is queued before the fork, the other comes after it.
        $setup->set( "$path-$_", 'v' ) for 1 .. 10;
        $zk->exists('/');
        my ( $lines, $status ) = in_child(
            sub {
                my @got;
                for my $n ( 11 .. 20 ) {
                    push @got, $_ for grep { defined } $zk->dispatcher->recv_event, $zk->wait(0.05);
                }
                return scalar @got, scalar @seen;
            }
        );
        is_deeply [ @$lines, $status ], [ 0, 0, 0 ], 'the child gets none';
        $setup->set( "$path-$_", 'v' ) for 11 .. 20;
        eval {
            wait_for { $zk->wait(1); @seen == 20 }
            60;
        };
        is_deeply [ sort @seen ], [ sort map { "$path-$_" } 1 .. 20 ], 'the parent gets all';
    };
}

subtest 'name resolution in a forked child does not hang' => sub {
    my $hosts = 'localhost:' . $server->port;
    my @keep  = map { ZooKeeper->new( hosts => $hosts, dispatcher => 'Pipe' ) } 1 .. 3;
    my @children;
    for ( 1 .. 20 ) {

        # A name is being looked up while the process forks.
        my @fresh = map { ZooKeeper->new( hosts => $hosts, dispatcher => 'Pipe' ) } 1 .. 3;
        my $pid   = fork // die "fork: $!\n";
        if ( !$pid ) {
            alarm 120;
            my $ok = eval { ZooKeeper->new( hosts => $hosts, dispatcher => 'Pipe' )->exists('/') };
            POSIX::_exit( $ok ? 0 : 1 );
        }
        push @children, $pid;
    }
    my %ends;
    for my $pid (@children) {
        waitpid $pid, 0;
        $ends{$?}++;
    }
    is_deeply \%ends, { 0 => 20 }, '20 children have connected by name';
    ok $keep[0]->exists('/'), 'and so has the parent';
};

subtest 'sockets and pipes do not leak into programs that are executed' => sub {
    my $list =
      q{opendir my $dir, '/proc/self/fd' or die; print map { "$_ " } sort grep { /[0-9]/ } readdir $dir};
    my $executed = sub {
        open my $pipe, '-|', $^X, '-e', $list or die "$^X: $!\n";
        return scalar readline $pipe;
    };
    my $before = $executed->();
    my $mute   = IO::Socket::INET->new( Listen => 5, LocalAddr => '127.0.0.1' ) or die "listen: $!\n";
    my @zk     = map { ZooKeeper->new( @args, dispatcher => $_ ) } qw(AnyEvent Pipe ^ZooKeeper::Dispatcher);
    push @zk, ZooKeeper->new( hosts => '127.0.0.1:' . $mute->sockport, dispatcher => 'Pipe' );
    $_->exists('/') for @zk[ 0 .. 2 ];
    my $peer = $mute->accept;    # the last one is in the middle of its handshake
    is $executed->(), $before, 'while connected and connecting';
    my ($lines) = in_child( sub { $zk[0]->reopen; $zk[0]->exists('/'); $executed->() } );
    is "@$lines", $before, 'out of a forked child that has reopened its handle';
    $zk[1]->close;
    $server->lose_connection( $zk[0] );
    wait_for {
        eval { $zk[0]->exists('/') }
    }
    60, 'a new connection';
    is $executed->(), $before, 'after a new connection';
};

# The child's session ends with the child, and not with its timeout of a minute.
my %end = (
    'exit'               => 'exit 0',
    'the end of program' => '',
    'die'                => 'close STDERR; die "here\n"',
    'undef'              => 'undef $zk; POSIX::_exit(0)',
    'close'              => '$zk->close; POSIX::_exit(0)',
);
for my $name ( sort keys %end ) {
    subtest "the session that a child has reopened is closed when the child ends ($name)" => sub {
        my $code = q{
            use POSIX (); use ZooKeeper;
            my ( $hosts, $path ) = @ARGV;
            our $zk = ZooKeeper->new( hosts => $hosts, timeout => 60_000 );
            $zk->create( "$path-parent", ephemeral => 1 );
            my $pid = fork // die;
            if ( !$pid ) {
                $zk->reopen;
                $zk->create( "$path-child", ephemeral => 1 );
                $zk->create( "$path-was-there" );
                END_OF_CHILD; exit 0;
            }
            waitpid $pid, 0;

            # The child does not wait for a server that takes more than a second.
            my $end = time + 30;
            1 while $zk->exists("$path-child") && time < $end;
            print join ' ', map { $zk->exists("$path-$_") ? 'there' : 'gone' } qw(was-there child parent);
        } =~ s/END_OF_CHILD/$end{$name}/r;
        my ( $output, $status ) = program( $code, $server->hosts, "$base/" . $name =~ tr/ /-/r );
        is $output, 'there gone there', 'its ephemeral node goes at once, that of the parent stays';
        is $status, 0,                  'and all ends well';
    };
}

for my $name ( sort keys %dispatcher ) {
    subtest "no descriptor is lost with a dispatcher ($name)" => sub {
        plan skip_all => $dispatcher{$name} if defined $dispatcher{$name};
        my $code = q{
            use lib 't/lib'; use Faults; use TestZK qw(wait_for); use ZooKeeper;
            my ( $hosts, $name ) = @ARGV;
            my $connected = sub { ZooKeeper->new( hosts => $hosts, dispatcher => $name )->exists('/') };
            my $alone = sub { ZooKeeper->new( hosts => '127.0.0.1:1', dispatcher => $name ) };
            $connected->(), $alone->() for 1 .. 5;
            my $before = open_files();
            $connected->() for 1 .. 100;
            $alone->()     for 1 .. 100;

            # The last sockets may still be under way: another thread closes them.
            eval { wait_for { open_files() <= $before } 30 };
            my $more = open_files() - $before;
            print "$more more after 200 handles\n" if $more > 0;
        };
        is_deeply [ program( $code, $server->hosts, $name ) ], [ '', 0 ], '200 handles, each with its own';
    };
}

done_testing;

use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Child;
use TestZK;

use IO::Select;
use IO::Socket::INET;
use POSIX ();
use ZooKeeper;
use ZooKeeper::Constants;

# Children in a row, forked at any moment of what the threads behind a handle do: a lock that one of them holds would
# stay taken in the child for ever.
my $server = test_server();
my $base   = fresh_path('many');
my $zk     = ZooKeeper->new( hosts => $server->hosts, timeout => 120_000, dispatcher => 'AnyEvent' );
$zk->create( $base, value => 'v' );
my $id = $zk->client_id->{client_id};

# Another process that keeps the parent's threads busy with events.
sub busy {
    my $pid = fork // die "fork: $!";
    return $pid if $pid;
    my $parent = getppid;
    $zk->reopen;
    while ( getppid == $parent ) { $zk->set( $base, 'v' ) }
    POSIX::_exit(0);
}

subtest '200 children that exit at once' => sub {
    my $pid    = busy();
    my $events = 0;
    my $again;
    $again = sub { $events++; $zk->get( $base, watcher => $again ) };
    $zk->get( $base, watcher => $again );
    my $hung = 0;
    for my $child ( 1 .. 200 ) {
        $zk->wait(0.001);
        eval { in_child {} exit => $child % 2; 1 } or diag $@ or $hung++;
        last if $hung;
    }
    kill KILL => $pid;
    waitpid $pid, 0;
    is $hung, 0, 'none of them hangs';
    cmp_ok $events, '>', 50, 'the parent was told of many events meanwhile';
    $zk->remove_watcher( path => $base );
};

subtest '50 children that reopen, with a name, while the parent looks names up' => sub {
    my ($port) = $server->hosts =~ /:(\d+)/;
    my $names  = join ',', map { "$_:$port" } ('localhost') x 3;
    my @others = map { ZooKeeper->new( hosts => 'localhost:1', dispatcher => 'Pipe' ) } 1 .. 4;
    my $named  = ZooKeeper->new( hosts => $names, dispatcher => 'Pipe' );
    $named->exists('/');
    my ( $hung, $wrong ) = ( 0, 0 );
    for my $child ( 1 .. 50 ) {
        $_->reopen for @others;    # each is looked up anew
        my $value = eval {
            in_child { $named->reopen; $named->get($base) } exit => $child % 2;
        };
        if ( !defined $value ) {
            diag $@;
            $hung++;
            last;
        }
        $wrong++       if $value ne 'v';
        $named->reopen if $child % 10 == 0;
    }
    is $hung,                     0,   'none of them hangs';
    is $wrong,                    0,   'each has its answer';
    is scalar $named->get($base), 'v', 'and the parent, too';
};

subtest 'many at a time' => sub {
    my @children = map {
        my $pid = fork // die "fork: $!";
        if ( !$pid ) {
            alarm 60;
            my $ok = eval { $zk->reopen; $zk->create( "$base/$_", ephemeral => 1 ); $zk->exists("$base/$_") };
            POSIX::_exit(1) if !$ok;
            Test::More->builder->no_ending(1);
            exit 0;
        }
        $pid;
    } 1 .. 30;
    my $failed = grep { waitpid( $_, 0 ) != $_ || $? } @children;
    is $failed, 0, 'each does its work';
    soon_ok { !$zk->get_children($base) } 30, 'and its session ends when it does';
};

subtest 'children do not all begin with the same server' => sub {
    my @mute =
      map { IO::Socket::INET->new( Listen => 5, LocalAddr => '127.0.0.1' ) or die "listen: $!" } 1 .. 8;
    my $hosts   = join ',', map { '127.0.0.1:' . $_->sockport } @mute;
    my $others  = ZooKeeper->new( hosts => $hosts, dispatcher => 'Pipe' );
    my $servers = IO::Select->new(@mute);
    my $first   = sub {
        my ($server) = $servers->can_read(60) or die 'nobody connects';
        $server->accept;
        $server->sockport;
    };
    $first->();
    undef $others;
    my %begins;
    for ( 1 .. 12 ) {
        my $pid = fork // die "fork: $!";
        if ( !$pid ) {
            $zk->reopen( hosts => $hosts );
            sleep 60;
            POSIX::_exit(0);
        }
        $begins{ $first->() }++;
        kill KILL => $pid;
        waitpid $pid, 0;
        for my $next ( $servers->can_read(0) ) { $next->accept }    # whom it asked after that
    }
    cmp_ok scalar keys %begins, '>', 2, 'but with several of them' or diag explain \%begins;
};

is $zk->client_id->{client_id}, $id, 'the session of the parent lives on';

done_testing;

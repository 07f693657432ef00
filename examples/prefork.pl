#!/usr/bin/perl
# A server whose workers share a port and a configuration in ZooKeeper: the parent
# has one session and starts workers, each worker has a session of its own.
#
#     perl -Mblib examples/prefork.pl HOSTS PATH [WORKERS]
#
# prints the port, and a line whenever a worker comes or goes. Each connection gets
# one line: the worker's process id and what PATH/config holds. A lost connection ends
# nothing in the parent, and a session that has expired is followed by another one; a
# worker is replaced instead. Workers end with their parent, however that ends.
use strict;
use warnings;

use IO::Socket::INET;
use ZooKeeper;

my ( $hosts, $path, $wanted ) = @ARGV;
if ( @ARGV < 2 || @ARGV > 3 || $path !~ m{\A(?:/[^/]+)+\z} || ( $wanted //= 3 ) !~ /\A[1-9]\d*\z/ ) {
    print STDERR "usage: $0 HOSTS /PATH [WORKERS]\n";
    exit 64;
}
$| = 1;

my $zk = ZooKeeper->new( hosts => $hosts, dispatcher => 'Pipe', timeout => 4_000 );
$zk->ensure_path("$path/$_") for qw(config workers);

my $listen = IO::Socket::INET->new( LocalAddr => '127.0.0.1', Listen => 64 ) or die "no port: $!\n";
$listen->blocking(0);    # another worker may be quicker
print 'port ', $listen->sockport, "\n";

my $ends = 0;
$SIG{$_} = sub { $ends = 1 }
  for qw(INT TERM);

my ( %worker, $is_here, $is_watching );
my $parent = $$;
END { kill TERM => keys %worker if $$ == ( $parent // 0 ) }

until ($ends) {
    while ( ( my $gone = waitpid -1, 1 ) > 0 ) { delete $worker{$gone} }
    start_worker() while keys %worker < $wanted;
    take_part();
    $zk->wait(0.2);
}
kill TERM => keys %worker;
1 while waitpid( -1, 0 ) > 0;
%worker = ();
print "end\n";

# In the parent: does what is not done yet in this session. What fails is tried again at the next turn.
sub take_part {
    if ( $zk->is_unrecoverable ) {
        $is_here = $is_watching = 0;
        $zk->reopen;
    }
    eval {
        $is_here ||= be_here();
        show_workers() if !$is_watching;
        1;
    } or print STDERR "not yet: $@";
    return;
}

# The node of an earlier session may still be there, and so may one whose creation was not answered.
sub be_here {
    my $stat = $zk->exists("$path/parent");
    return 1 if $stat && $stat->{ephemeralOwner} == $zk->client_id->{client_id};
    $zk->create( "$path/parent", value => $$, ephemeral => 1 );
    return 1;
}

# Says who is there. A change rings for another look: here, at the next turn.
sub show_workers {
    my @nodes = sort $zk->get_children( "$path/workers", watcher => sub { $is_watching = 0 } );
    $is_watching = 1;
    print "workers @nodes\n";
    return;
}

sub start_worker {
    my $pid = fork // die "fork: $!\n";
    if ($pid) {
        $worker{$pid} = 1;
        return;
    }
    %worker = ();
    $zk->reopen;    # a session of its own; the parent's is not touched
    $zk->create( "$path/workers/$$", ephemeral => 1 );
    work();
    exit;           # which ends the session
}

# In a worker: answers, until it is told to end. What it can't do it dies of, and the parent starts another one.
sub work {
    my $changed = 1;
    my $config;
    my $events = $zk->dispatcher->fd;
    until ( $ends || getppid != $parent ) {
        if ($changed) {
            $changed = 0;
            $config  = $zk->get( "$path/config", watcher => sub { $changed = 1 } );
        }
        my $fds = '';
        vec( $fds, $_, 1 ) = 1 for $events, fileno $listen;
        select $fds, undef, undef, 0.2;
        1 while $zk->dispatcher->dispatch_event;
        my $client = $listen->accept or next;
        print {$client} "$$ ", $config // '', "\n";
    }
    return;
}

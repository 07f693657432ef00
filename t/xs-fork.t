use strict;
use warnings;

use IO::Socket::INET;
use POSIX ();
use Test::More;
use Time::HiRes qw(alarm time);
use lib 't/lib';
use TestZK;
use ZooKeeper::Error;
use ZooKeeper::XS;

my $hosts = test_hosts();
my @acl   = { id => 'anyone', scheme => 'world', perms => 31 };
my $path  = fresh_path('fork');
my ( $zk, $channel ) = handle();
$zk->_create( $path, 'data', \@acl, 0 );

subtest 'a child that uses the handle is told to reopen it' => sub {
    is in_child(
        sub {
            error_of( sub { $zk->_get($path) } );
        }
      ),
"-9 Error getting data for node '$path': invalid zhandle state: this handle belongs to the parent process: reopen it",
      'a command';
    is in_child(
        sub {
            error_of( sub { $zk->_add_auth( 'digest', 'a:b' ) } );
        }
      ),
'-9 Error trying to authenticate: invalid zhandle state: this handle belongs to the parent process: reopen it',
      'add_auth';
    is in_child(
        sub {
            error_of( sub { $zk->_wait_connected(1) } );
        }
      ) =~ /^(-?\d+)/
      && $1, -9, 'wait_connected';
    is in_child(
        sub { join ' ', $zk->_state, $zk->_client_id // 'none', $zk->_is_unrecoverable, $zk->_last_zxid } ),
      '999 none 1 0', 'what it can ask is answered as by a closed one';
    is scalar $zk->_get($path), 'data', 'the parent goes on';
};

subtest 'a child disturbs nothing' => sub {
    my $id = $zk->_client_id->{client_id};
    is in_child( sub { $zk->_close; $zk->_close(0.1); 'closed' } ), 'closed', 'by closing the handle';
    is in_child( sub { undef $zk; undef $channel; 'gone' } ),       'gone',   'by destroying it';
    is in_child( sub { exit 0 } ),                                  '',       'by a plain exit';
    is in_child( sub { exec $^X, '-e', 'print "exec"' } ),          'exec',   'by exec';
    is scalar $zk->_get($path),                                     'data',   'the parent goes on';
    is $zk->_client_id->{client_id},                                $id,      'in the same session';
};

subtest 'a child can open handles of its own' => sub {
    is in_child( sub { my ($own) = handle(); scalar $own->_get($path) } ), 'data', 'a new one';
    is in_child( sub { connected($zk); scalar $zk->_get($path) } ), 'data', 'the inherited one, reopened';
    is in_child(
        sub {
            connected($zk);
            my $inner = in_child(
                sub {
                    error_of( sub { $zk->_get($path) } ) =~ /^(-?\d+)/ && $1;
                }
            );
            my $again = in_child( sub { connected($zk); scalar $zk->_get($path) } );
            return join ' ', $inner, $again, scalar $zk->_get($path);
        }
      ),
      '-9 data data', 'and so can its child';
    is scalar $zk->_get($path), 'data', 'the parent goes on';
};

subtest 'the channel of a child is its own' => sub {
    $channel->recv while $channel->size;
    $channel->send('of the parent');
    my $fd = $channel->_fd;
    is in_child( sub { join ' ', $channel->size, $channel->recv // 'undef', readable() } ), '0 undef 0',
      'empty at first';
    is in_child(
        sub {
            $channel->send('own');
            join ' ', $channel->_fd, $channel->size, readable(), $channel->recv, readable();
        }
      ),
      "$fd 1 1 own 0", 'on the same descriptor';
    is in_child( sub { connected( $zk, default_watcher => 5 ); $zk->_get($path); $channel->recv->{watcher} }
    ), 5, 'works with a handle';
    is in_child(
        sub {
            in_child( sub { $channel->send(1); $channel->recv } ) . $channel->size;
        }
      ),
      '10', 'in a grandchild too';
    ok readable(), 'the parent has what it had';
    is $channel->recv, 'of the parent', 'itself';
    ok !readable(), 'and nothing more';
};

subtest 'a grandchild that uses the handle was never told of the calls that its child had been told of' =>
  sub {
    my $listener = IO::Socket::INET->new( Listen => 1, LocalAddr => '127.0.0.1' ) or die "listen: $!\n";
    my ( $posting, $answers ) = handle( hosts => '127.0.0.1:' . $listener->sockport );
    my @told;
    $posting->_get( '/', undef, undef, sub { push @told, $_[0]->code } ) for 1 .. 2;
    my $use = sub {
        error_of( sub { $posting->_get('/') } );
        $answers->_complete(10);
        return "@told";
    };
    is in_child(
        sub {
            error_of( sub { $posting->_get('/') } );    # the answers are in the channel and stay there
            return join ', ', in_child($use), $use->();
        }
      ),
      '-9 -9, -9 -9', 'each process is told once';
    is $answers->_complete(10), 0, 'the parent has no answers yet';
  };

subtest 'a fork while the engine is at work does not hang' => sub {
    my $worker = fork // die "fork: $!\n";
    if ( !$worker ) {
        my ($busy) = handle();
        while ( getppid != 1 ) { $busy->_set( $path, 'data' ) }
        POSIX::_exit(0);
    }
    my $hung = 0;
    for ( 1 .. 60 ) {
        $zk->_exists( $path, $_ );    # the answers keep the IO thread busy
        my $answer = in_child(
            sub {
                error_of( sub { $zk->_get($path) } ) =~ /^-9/ ? 'fine' : 'wrong';
            }
        );
        $hung++ if $answer ne 'fine';
    }
    kill KILL => $worker;
    waitpid $worker, 0;
    is $hung, 0, '60 times';
};

subtest 'a fork while all descriptors are taken' => sub {
    my $code = q{
        my $channel = ZooKeeper::Channel->new;
        my $fd      = $channel->_fd;
        my $parents = readlink "/proc/self/fd/$fd";
        my @all;
        while ( open my $file, '<', '/dev/null' ) { push @all, $file }
        my $pid = fork // die "fork: $!";
        if ( !$pid ) {
            @all = ();
            $channel->send('own');
            POSIX::_exit( readlink( '/proc/self/fd/' . $channel->_fd ) eq $parents );
        }
        waitpid $pid, 0;
        my $is_shared = $?;
        vec( my $bits = '', $fd, 1 ) = 1;
        print join ' ', $is_shared, 0 + select( $bits, undef, undef, 0 ), $channel->size;
    };
    my @perl = ( $^X, ( map { "-I$_" } @INC ), qw(-MPOSIX -MZooKeeper::Error -MZooKeeper::XS -e), $code );
    open my $pipe, '-|', 'sh', '-c', 'ulimit -n 64; exec "$@"', 'sh', @perl or die "sh: $!\n";
    is scalar readline $pipe, '0 0 0', 'the child has a wake-up descriptor of its own, and wakes nobody else';
};

subtest 'a signal handler that forks during a call' => sub {
    my $mute = IO::Socket::INET->new( Listen => 5, LocalAddr => '127.0.0.1' ) or die "listen: $!\n";
    my ($waiting) = handle( hosts => '127.0.0.1:' . $mute->sockport );
    my $pid;
    pipe my $read, my $write or die $!;
    local $SIG{ALRM} = sub { $pid = fork // die "fork: $!\n"; die "parent\n" if $pid };
    alarm 0.05;
    my $ok = eval { $waiting->_get('/x'); 1 };
    if ( !$pid ) {
        syswrite $write, ref $@ ? $@->code : "no error $@";
        POSIX::_exit(0);
    }
    is $@, "parent\n", 'the parent goes its way';
    close $write;
    is readline $read, -9, 'in the child the call ends';
    waitpid $pid, 0;
    is $?, 0, 'and the child well';
};

done_testing;

sub handle {
    my (%options) = @_;
    my $self      = bless {}, 'ZooKeeper';
    my $events    = ZooKeeper::Channel->new;
    $self->_connect( { hosts => $hosts, timeout => 10_000, channel => $events, %options } );
    return ( $self, $events );
}

sub connected {
    my ( $self, %options ) = @_;
    return $self->_connect( { hosts => $hosts, timeout => 10_000, channel => $channel, %options } );
}

# What the code returns in a child; dies when the child does not end.
sub in_child {
    my ($code) = @_;
    pipe my $read, my $write or die $!;
    my $pid = fork // die "fork: $!\n";
    if ( !$pid ) {
        close $read;
        Test::More->builder->no_ending(1);
        open STDOUT, '>&', $write or POSIX::_exit(9);
        my $result = eval { $code->() } // "died: $@";
        syswrite $write, $result;
        exit 0;
    }
    close $write;
    local $SIG{ALRM} = sub { kill KILL => $pid; die "the child hangs\n" };
    alarm 20;
    my $result = do { local $/; readline $read };
    waitpid $pid, 0;
    alarm 0;
    return $? ? "status $?" : $result // '';
}

sub error_of {
    my ($code) = @_;
    return 'no error' if eval { $code->(); 1 };
    my ($line) = "$@" =~ /\A(.*?) at \S+ line \d+\.$/;
    return ref $@ ? $@->code . " $line" : $@;
}

sub readable {
    vec( my $bits = '', $channel->_fd, 1 ) = 1;
    return 0 + select $bits, undef, undef, 0;
}

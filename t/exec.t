use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX ();
use ZooKeeper;
use ZooKeeper::Dispatcher::AnyEvent;
use ZooKeeper::Dispatcher::Pipe;

# A program that is started by one with handles inherits no descriptor of theirs, whatever they are doing.
my $dir  = tempdir( CLEANUP => 1 );
my $LIST = <<'PERL';
opendir my $dir, '/proc/self/fd';
my @numbers = grep { /\A\d+\z/ && $_ > 2 } readdir $dir;
print join ' ', sort grep { defined && !m{/fd\z} } map { readlink "/proc/self/fd/$_" } @numbers;
PERL
my %inherited = (
    exec => sub {
        printed_by( sub { exec $^X, '-e', $LIST } );
    },
    system => sub {
        printed_by( sub { system $^X, '-e', $LIST; POSIX::_exit( $? ? 1 : 0 ) } );
    },
    backticks => sub {
        local $ENV{LIST} = $LIST;
        return scalar `$^X -e 'eval \$ENV{LIST}'`;
    },
    'a pipe' => sub {
        open my $pipe, '-|', $^X, '-e', $LIST or die "open: $!";
        return scalar <$pipe> // '';
    },
);

# What a program gets from this one without any handle: prove may have left something open.
my %before = map { $_ => $inherited{$_}->() } keys %inherited;

my $server = test_server();
my $open   = () = glob '/proc/self/fd/*';

sub inherits_nothing {
    my ($name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $inherited{$_}->(), $before{$_}, "$name: $_" for sort keys %inherited;
    return;
}

ZooKeeper->trace( 4, "$dir/trace" );
my $zk = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'AnyEvent', watcher => sub { } );
$zk->exists('/');
my @dispatchers = map { "ZooKeeper::Dispatcher$_"->new } '', '::Pipe', '::AnyEvent';
my @handles     = map { ZooKeeper->new( hosts => $server->hosts, dispatcher => $_ ) } @dispatchers;
$_->exists('/') for @handles;
cmp_ok scalar( () = glob '/proc/self/fd/*' ), '>', $open + 8, 'there is much that could be inherited';
inherits_nothing('connected, with dispatchers and a trace');

# A caller that does not lead waits on a descriptor of its own, which is made when the first one does.
my $mute    = IO::Socket::INET->new( Listen => 5, LocalAddr => '127.0.0.1' ) or die "listen: $!";
my $waiting = ZooKeeper->new( hosts => '127.0.0.1:' . $mute->sockport, dispatcher => 'Pipe' );
ok !eval { $waiting->wait_connected(0.01); 1 }, 'a server that says nothing';
inherits_nothing('waiting for its first word');

subtest 'while names are looked up and connections are opened' => sub {
    my $port  = POSIX::strtol( $server->hosts =~ s/.*://r, 10 );
    my $names = join ',', ("localhost:$port") x 3, 'localhost:1';
    my $name  = ZooKeeper->new( hosts => $names, dispatcher => 'Pipe' );
    $name->exists('/');
    my @wrong;
    for my $round ( 1 .. 25 ) {
        my @busy = map { ZooKeeper->new( hosts => $names, dispatcher => 'Pipe' ) } 1 .. 4;
        for my $way (qw(exec backticks)) {
            my $got = $inherited{$way}->();
            push @wrong, "$way: $got" if $got ne $before{$way};
        }
        $name->reopen;
        $_->exists('/') for @busy;
    }
    is_deeply \@wrong, [], 'never';
};

subtest 'in a forked child' => sub {
    my $got = printed_by( sub { $zk->reopen; $zk->exists('/'); exec $^X, '-e', $LIST } );
    is $got, $before{exec}, 'that has reopened it';
    $got = printed_by( sub { $zk->wait(0.01); exec $^X, '-e', $LIST } );
    is $got, $before{exec}, 'that has not';
};

is exists $zk->exists('/')->{czxid}, 1, 'the handle works';

# What a child that runs the code prints.
sub printed_by {
    my ($code) = @_;
    my $pid = fork // die "fork: $!";
    if ( !$pid ) {
        open STDOUT, '>', "$dir/list" or POSIX::_exit(2);
        eval { $code->() };
        POSIX::_exit(3);
    }
    deadline 60, sub { waitpid $pid, 0 };
    die "the child ends with status $?" if $?;
    open my $list, '<', "$dir/list" or die "list: $!";
    return scalar <$list> // '';
}

done_testing;

use strict;
use warnings;
use Test::More;
use lib 't/lib';

# Loops that are made of Perl: those in C have descriptors that a daemon closes, too.
BEGIN {
    @ENV{qw(IO_ASYNC_LOOP MOJO_REACTOR PERL_ANYEVENT_MODEL)} = qw(Select Mojo::Reactor::Poll Perl);
}
use Child;
use Dispatchers;
use TestZK;

# IO::Async's loop with epoll has a descriptor itself, which it closes in a child, whatever it is by then.
BEGIN { $ENV{IO_ASYNC_LOOP} = 'Select' }
use File::Temp qw(tempdir);
use POSIX      ();
use ZooKeeper;

# A daemon closes every descriptor that it does not know, and opens files of its own under the numbers: what had them
# before must not touch these.
my $server = test_server();
my $dir    = tempdir( CLEANUP => 1 );
my $base   = fresh_path('daemon');
my $setup  = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
$setup->create( $base, value => 'v' );

# In a child: closes all but standard handles and the pipe to its parent, and opens logs until each number is taken:
# Perl's handles, or with an argument bare descriptors. Returns a sub that says what has become of them.
sub become_daemon {
    my ($bare) = @_;
    my %keep   = map  { $_ => 1 } 0 .. 2, grep { ( readlink("/proc/self/fd/$_") // '' ) =~ /^pipe/ } 3 .. 255;
    my @ours   = grep { !$keep{$_} && defined readlink "/proc/self/fd/$_" } 3 .. 255;
    POSIX::close($_) for @ours;
    my ( %log, @handles );
    my $last = 0;
    while ( $last <= $ours[-1] ) {
        my $file = "$dir/$$-" . keys %log;
        if ($bare) {
            $last = POSIX::open( $file, POSIX::O_CREAT() | POSIX::O_RDWR() ) // die "$file: $!";
        }
        else {
            open my $handle, '+>', $file or die "$file: $!";
            push @handles, $handle;
            $last = fileno $handle;
        }
        $log{$file} = $last;
    }
    return sub {
        my @wrong;
        for my $file ( sort keys %log ) {
            my $now = readlink("/proc/self/fd/$log{$file}") // 'closed';
            push @wrong, "$file: $now"       if $now ne $file;
            push @wrong, "$file: written to" if -s $file;
        }
        @handles = ();
        return @wrong ? @wrong : 'untouched';
    };
}

for my $dispatcher ( dispatchers() ) {
    my $zk = ZooKeeper->new( hosts => $server->hosts, dispatcher => $dispatcher, watcher => sub { } );
    $zk->get( $base, watcher => sub { } );
    $setup->set( $base, 'v' );
    $zk->exists($base);

    for my $bare ( 0, 1 ) {
        is_deeply [ in_child { my $logs = become_daemon($bare); undef $zk; $logs->() } ], ['untouched'],
          "$dispatcher: a daemon that lets go of the handle";
    }
    is_deeply [
        in_child {
            my $logs = become_daemon();
            $zk->close;
            eval { $zk->get($base) };
            $logs->()
        }
      ],
      ['untouched'],
      "$dispatcher: a daemon that closes it";
    is_deeply [
        in_child {
            my $logs = become_daemon();
            $zk->reopen;
            my $event;
            $zk->get( $base, watcher => sub { $event = $_[0] } );
            $zk->set( $base, 'w' );

            wait_for { $zk->wait(1); $event } 60, 'the event';
            return ( $event->{path}, $logs->() );
        }
      ],
      [ $base, 'untouched' ], "$dispatcher: a daemon that reopens it";
    is_deeply [
        in_child {
            my $logs = become_daemon();
            $zk->reopen;
            $zk->exists($base);
            my @inner = in_child {
                $zk->reopen;
                my @all = ( $zk->exists($base) ? 'works' : 'fails' );
                undef $zk;
                ( @all, $logs->() )
            };
            return ( @inner, $logs->() );
        }
      ],
      [ 'works', 'untouched', 'untouched' ], "$dispatcher: and its children reopen it again";
}

done_testing;

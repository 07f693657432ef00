# Children that IO::Async's loop forks itself: it closes all of their descriptors, and gives them a loop of their own.
use strict;
use warnings;
use Test::More;
use lib 't/lib';

BEGIN {
    plan skip_all => 'needs IO::Async (package libio-async-perl)' if !eval { require IO::Async::Function };
    plan skip_all => 'needs Future (package libfuture-perl)'      if !eval { require Future };
}
use Child;
use TestZK;
use ZooKeeper;

my $server = test_server();
my $setup  = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );

# The handle is the parent's; a worker reopens it, which gives it a session of its own.
my $PROGRAM = <<'CODE';
my ( $hosts, $path, $given ) = @ARGV;
require IO::Async::Loop;
require IO::Async::Function;
require ZooKeeper;
alarm 100;
my $loop       = IO::Async::Loop->new;
my $dispatcher = 'IOAsync';
if ($given) {
    require ZooKeeper::Dispatcher::IOAsync;
    $dispatcher = ZooKeeper::Dispatcher::IOAsync->new( loop => $loop );
}
my $zk = ZooKeeper->new( hosts => $hosts, dispatcher => $dispatcher );
$zk->wait_connected;
my $session  = $zk->client_id->{client_id};
my $function = IO::Async::Function->new(
    max_workers => 2,
    code        => sub {
        my ($name) = @_;
        alarm 60;
        $zk->reopen if $zk->state != ZooKeeper::Constants::ZOO_CONNECTED_STATE();
        my $own  = IO::Async::Loop->new;
        my $node = $zk->create_f( "$path/$name", value => 'v' )->get;
        my $told = $own->new_future;
        $zk->get( $node, watcher => sub { $told->done( $_[0]{path} ) } );
        $zk->set( $node, 'w' );
        $own->await($told);
        return join ' ', $told->result eq $node ? 'told' : 'not told',
          $zk->client_id->{client_id} == $session ? 'session of the parent' : 'session of its own';
    },
);
$loop->add($function);
my @said = eval { Future->needs_all( map { $function->call( args => [$_] ) } 1 .. 4 )->get };
print "$_\n" for ref $loop, @said, $@ || ();
print 'the parent: ', scalar $zk->get_f($path)->get, "\n";
$loop->await( $function->stop ) if $function->workers;
CODE

for my $kind (qw(Poll Select Epoll)) {
    for my $given ( 0, 1 ) {
        my $name = "$kind, " . ( $given ? 'a loop that is given' : 'the loop that there is' );
      SKIP: {
            skip "$kind: needs IO::Async::Loop::Epoll (package libio-async-loop-epoll-perl)", 1
              if !eval "require IO::Async::Loop::$kind; 1";
            my $path = $setup->create( fresh_path("\L$kind"), value => 'p' );
            local $ENV{IO_ASYNC_LOOP} = $kind;
            my ( $pid, $output ) = child_program( $PROGRAM, $server->hosts, $path, $given );
            my @lines = deadline 120, sub { readline $output };
            close $output;
            chomp @lines;
            is_deeply \@lines,
              [ "IO::Async::Loop::$kind", ('told session of its own') x 4, 'the parent: p' ],
              "$name: workers reopen the handle";
        }
    }
}

done_testing;

# A plain and a recursive persistent watch on one node, in all orders, with watches that fire once: servers before 3.9
# keep one of the two only, but what fires once is not lost by that, nor is the one that is left when the other is taken
# off.
use strict;
use warnings;
use Test::More;
use lib 't/lib';

use TestZK;
use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my $other  = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );

# Steps: plain, rec (set a persistent watch), kids, data (one that fires once), -plain, -rec (take it off), lose (the
# connection).
sub outcome {
    my (@steps) = @_;
    my $zk      = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
    my $path    = fresh_path('both');
    $zk->create($path);
    my ( %heard, %persistent );
    my $tell = sub {
        my ($name) = @_;
        sub { $heard{$name}{ $_[0]{type} }++ }
    };
    my %step = (
        plain => sub { $persistent{plain} = $zk->add_watch( $path, watcher => $tell->('plain') ) },
        rec  => sub { $persistent{rec} = $zk->add_watch( $path, watcher => $tell->('rec'), recursive => 1 ) },
        kids => sub { my @names        = $zk->get_children( $path, watcher => $tell->('kids') ) },
        data => sub { my $data         = $zk->get( $path, watcher => $tell->('data') ) },
        '-plain' => sub { $zk->remove_watches( $path, watcher => delete $persistent{plain} ) },
        '-rec'   => sub { $zk->remove_watches( $path, watcher => delete $persistent{rec} ) },
        lose     => sub {
            $server->lose_connection($zk);
            wait_for { !$zk->is_connected || $zk->metrics->{reconnects} } 30, 'the loss';
            $zk->wait_connected(30);
        },
    );
    $step{$_}->() for @steps;
    $zk->sync('/');    # behind what the steps have led to
    1 while $zk->dispatcher->dispatch_event;
    %heard = ();
    $other->create("$path/c");
    $other->set( $path, 'v' );
    $zk->sync('/');
    my $last = $zk->get($path);
    1 while $zk->dispatcher->dispatch_event;
    return ( \%heard, \%persistent );
}

for my $steps (
    'plain rec kids',
    'rec plain kids',
    'plain rec -rec kids',
    'plain rec -plain kids',
    'plain rec kids -rec',
    'plain rec kids -plain',
    'rec plain kids -rec',
    'rec plain kids -plain',
    'kids plain rec',
    'plain kids rec',
    'plain rec lose kids',
    'plain rec kids lose',
    'plain rec -rec rec kids',
    'rec kids',
    'plain kids',
    'plain rec data',
    'rec plain data',
    'plain rec data -rec',
    'plain rec data -plain',
    'plain rec data lose',
  )
{
    my ( $heard, $persistent ) = outcome( split ' ', $steps );
    my ( $once,  $type ) = $steps =~ /kids/ ? ( 'kids', ZOO_CHILD_EVENT ) : ( 'data', ZOO_CHANGED_EVENT );
    is_deeply $heard->{$once}, { $type => 1 }, "$steps: what fires once does, once";
    ok $heard->{plain}{ +ZOO_CHANGED_EVENT }, "$steps: the plain one hears of data" if $persistent->{plain};
    ok $heard->{rec}{ +ZOO_CHANGED_EVENT },   "$steps: the recursive one hears of data" if $persistent->{rec};
    next if keys %$persistent != 1;
    ok $heard->{plain}{ +ZOO_CHILD_EVENT }, "$steps: the plain one that is left hears of children"
      if $persistent->{plain};
    ok $heard->{rec}{ +ZOO_CREATED_EVENT }, "$steps: the recursive one that is left hears of what is created"
      if $persistent->{rec};
}

# A child watch that is armed again between the two would take the place of the plain one.
for my $kinds ( [ 0, 1 ], [ 1, 0 ], [ 1, 1, 0 ] ) {
    my $zk   = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
    my $path = fresh_path('both');
    $zk->create($path);
    my @names = $zk->get_children( $path, watcher => sub { } );
    my @heard;
    my @asked = map {
        $zk->add_watch_f( $path, recursive => $_, watcher => sub { push @heard, $_[0]{type} } )
    } @$kinds;
    $_->get for @asked;
    $zk->sync('/');
    my $title = join ' ', map { $_ ? 'rec' : 'plain' } @$kinds;

    for my $name (qw(a b c)) {
        @heard = ();
        $other->create("$path/$name");
        $zk->sync('/');
        1 while $zk->dispatcher->dispatch_event;
        my $type = $kinds->[-1] ? ZOO_CREATED_EVENT : ZOO_CHILD_EVENT;
        ok scalar( grep { $_ == $type } @heard ), "kids, and $title at once: the last one hears of $name";
    }
}

done_testing;

package EveryCall;
use strict;
use warnings;

use Exporter    qw(import);
use Time::HiRes qw(time);
use ZooKeeper::Commands;
use ZooKeeper::Constants;

our @EXPORT = qw(every_call not_refused);

my %ARGS = (
    ( map { $_ => [] } qw(create create2 delete exists get get_children get_children2 get_acl) ),
    ( map { $_ => [] } qw(sync remove_watches get_ephemerals get_all_children_number) ),
    set     => ['value'],
    set_acl => [ZOO_READ_ACL_UNSAFE],
);

# And those that are about no node in particular.
my %WITHOUT_PATH = (
    add_auth   => [ 'digest', 'a:b' ],
    get_config => [],
    reconfig   => [ leaving => '77' ],
    whoami     => [],
);

# Every way to ask the server something, as pairs [ name, code ]. None of them must succeed: they would harm the node.
sub every_call {
    my ( $zk, $path ) = @_;
    my @calls;
    for my $command ( ZooKeeper::Commands::methods() ) {
        my $name = $command->{name};
        my @args =
          $WITHOUT_PATH{$name}
          ? @{ $WITHOUT_PATH{$name} }
          : ( $path, @{ $ARGS{$name} // die "$name is new" } );
        push @calls, [ $name => sub { $zk->$name(@args) } ];
        push @calls, [
            "$name with a watcher" => sub {
                $zk->$name( @args, watcher => sub { } );
            }
          ]
          if $command->{watch};
        for my $steps ( sort keys %{ $command->{steps} // {} } ) {
            push @calls, [ "$name, $steps" => sub { $zk->$name( @args, $steps => 1 ) } ];
        }
    }
    return @calls, [ ensure_path => sub { $zk->ensure_path("$path/a/b") } ], [
        add_watch => sub {
            $zk->add_watch( $path, watcher => sub { } );
        }
      ],
      [ commit         => sub { $zk->transaction->delete($path)->commit } ],
      [ wait_connected => sub { $zk->wait_connected(60) } ];
}

# Makes every call; returns the names of those that were not refused at once as a handle without a session does it,
# each with what it did instead.
sub not_refused {
    my ( $zk, $path, $words ) = @_;
    my @other;
    my $before = watchers($zk);
    for my $call ( every_call( $zk, $path ) ) {
        my ( $name, $code ) = @$call;
        my $start = time;
        my $did   = eval { $code->(); 1 } ? 'worked' : ref $@ ? $@->code : $@;
        my $took  = time - $start;
        push @other, "$name: $did"          if $did ne ZINVALIDSTATE || index( "$@", $words ) < 0;
        push @other, "$name: after $took s" if $took > 5;
    }
    push @other, 'watchers are left' if watchers($zk) != $before;
    return @other;
}

# In another thread nobody can be asked.
sub watchers {
    my ($zk) = @_;
    my $count = () = eval { $zk->get_watchers };
    return $count;
}

1;

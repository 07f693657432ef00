package Bench::Told;
use strict;
use warnings;

use ZooKeeper;

# What bench/leaks.pl calls on handles that have a tracer, or whose program has a log. They are made when they are
# called first: from then on no handle takes the shortest way.

# Name and code, as in leaks.pl.
sub kinds {
    my ( $hosts, $base ) = @_;
    my ( %handle, $count );
    my $traced = sub {
        my $tell = sub { $_[0]{kept} = [ $count++ ] };
        return $handle{traced} //=
          ZooKeeper->new( hosts => $hosts, dispatcher => 'Pipe', tracer => { start => $tell, end => $tell } );
    };
    my @kinds = (
        [ 'traced get'         => sub { $traced->()->get($base) } ],
        [ 'traced failed get'  => sub { fails( $traced->(), "$base/none" ) } ],
        [ 'traced refused get' => sub { fails( $traced->(), 'no-slash' ) } ],
        [ 'traced wrong type'  => sub { fails( $traced->(), $base, request_timeout => [] ) } ],
        [ 'traced cb: get'     => sub { answer( $traced->(), $base ) } ],
        [ 'traced f: get'      => sub { $traced->()->get_f($base)->get } ],
    );
    if ( eval { require Log::Any::Adapter } ) {
        my $logged = sub {
            return $handle{logged} //= do {
                Log::Any::Adapter->set( '+Bench::Told::Log', told => sub { $count++ } );
                ZooKeeper->new( hosts => $hosts, dispatcher => 'Pipe' );
            };
        };
        push @kinds, [ 'logged get' => sub { $logged->()->get($base) } ],
          [ 'logged cb: get' => sub { answer( $logged->(), $base ) } ];
    }
    else {
        warn "without a log: Log::Any is not installed\n";
    }
    return @kinds;
}

sub fails {
    my ( $zk, @args ) = @_;
    die "get should have failed\n" if eval { $zk->get(@args); 1 };
    return;
}

sub answer {
    my ( $zk, $path ) = @_;
    my $done;
    $zk->get( $path, cb => sub { $done = 1 } );
    $zk->dispatcher->run_loop_once(5) until $done;
    return;
}

# A log that wants everything, and keeps nothing.
package Bench::Told::Log;
our @ISA = ('Log::Any::Adapter::Base');    ## no critic (ProhibitExplicitISA)

sub structured {
    my ( $self, @message ) = @_;
    $self->{told}->(@message);
    return;
}

{
    no strict 'refs';
    *{"is_$_"} = sub { 1 }
      for qw(trace debug info notice warning error critical alert emergency);
}

1;

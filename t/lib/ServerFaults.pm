package ServerFaults;
use strict;
use warnings;

use List::Util qw(shuffle);
use TestZK     qw(wait_for);

# What can come over servers, and how it is healed again.
#
#     my $faults = ServerFaults->new( server => $server, proxy => $proxy, between => $between, timeout_ms => 4_000 );
#     my $fault  = $faults->begin( kill => 1 );    # of server 1; without a number it is chosen here
#     sleep $fault->{seconds};                     # so long it should last
#     $fault->{heal}->();
#     $faults->settle;                             # if all servers have to be there before the next one
#
# The proxy, a FaultProxy, stands between clients and servers; "between", a ServerPartitions, between the servers.

# Seconds until the servers are an ensemble again.
my $SETTLED_WITHIN = 90;

# What one server can be told: how long it lasts (a server has been silent for too long after two thirds of the session
# timeout; undef is more than that), and the methods.
my %OF_ONE = (
    kill             => [ 1,     'kill',  'start' ],
    pause            => [ undef, 'pause', 'resume' ],
    'short pause'    => [ 0.5,   'pause', 'resume' ],
    swallow_requests => [undef],
    swallow_answers  => [undef],
    'black hole'     => [undef],
    reset            => [0.3],
    cut              => [0.3],
);

# Some servers, or all.
my %OF_SOME = (
    'kill of the leader'  => [ kill             => sub { ( $_[0]->_leader_first )[0] } ],
    'kill of two'         => [ kill             => sub { $_[0]->_any(2) } ],
    'pause of the leader' => [ pause            => sub { ( $_[0]->_leader_first )[0] } ],
    'no requests'         => [ swallow_requests => sub { $_[0]->_any } ],
    'no answers'          => [ swallow_answers  => sub { $_[0]->_any } ],
);

# Which part of the ensemble does not hear the other one any more.
my %BETWEEN = (
    'random halves'        => [ sub { $_[0]->_any } ],
    'leader alone'         => [ sub { $_[0]->_leader_first } ],
    'leader is not heard'  => [ sub { $_[0]->_leader_first }, one_way => 1 ],
    'leader does not hear' => [ sub { $_[0]->_leader_first }, one_way => 1, to_it => 1 ],
);

sub new {
    my ( $class, %arg ) = @_;
    return bless { %arg, silence => $arg{timeout_ms} / 1000 * 2 / 3 + 0.7 }, $class;
}

# Those that can come over any one server.
sub of_one {
    my @names = sort keys %OF_ONE;
    return @names;
}

# All of them.
sub names {
    my ($self) = @_;
    my @names  = sort keys %OF_ONE, keys %OF_SOME, 'rolling restart', $self->{between} ? keys %BETWEEN : ();
    return @names;
}

# Harms, and returns what has to be known of it.
sub begin {
    my ( $self, $name, @which ) = @_;
    return $self->_part( $name, @{ $BETWEEN{$name} } ) if $BETWEEN{$name};
    return $self->_rolling_restart($name)              if $name eq 'rolling restart';
    if ( my $some = $OF_SOME{$name} ) {
        my ( $what, $choose ) = @$some;
        return { %{ $self->begin( $what, $choose->($self) ) }, name => $name };
    }
    my ( $seconds, $harm, $undo ) = @{ $OF_ONE{$name} // die "no such fault: $name\n" };
    @which = $self->_any(1) if !@which;
    my @harms = $name eq 'black hole' ? qw(swallow_requests swallow_answers) : $name;
    for my $i (@which) {
        if   ($harm) { $self->{server}->$harm($i) }
        else         { $self->{proxy}->harm( $_, $i ) for @harms }
    }
    my $heal = sub {
        for my $i (@which) {
            if   ($undo) { $self->{server}->$undo($i) }
            else         { $self->{proxy}->harm( heal => $i ) }
        }
    };
    return { name => $name, which => \@which, seconds => $seconds // $self->{silence}, heal => $heal };
}

# Waits until there is one leader, whom all others follow.
sub settle {
    my ($self) = @_;
    my $server = $self->{server};
    wait_for {
        my @modes = sort map { $server->mode($_) // '' } 0 .. $server->count - 1;
        "@modes" =~ /\A(?:standalone|(?:follower )*leader)\z/;
    }
    $SETTLED_WITHIN, 'an ensemble';
    return;
}

sub _part {
    my ( $self, $name, $order, %arg ) = @_;
    my ( $one, @others ) = $order->($self);
    my @parts = ( [$one], \@others );
    @parts = reverse @parts if delete $arg{to_it};
    $self->{between}->cut( @parts, %arg );
    return {
        name    => $name,
        which   => [$one],
        seconds => $self->{silence} + rand 2,
        heal    => sub { $self->{between}->heal },
    };
}

# One after the other, each of them when the one before it is back in its place.
sub _rolling_restart {
    my ( $self, $name ) = @_;
    my @which = $self->_any;
    for my $i (@which) {
        $self->{server}->restart($i);
        $self->settle;
    }
    return { name => $name, which => \@which, seconds => 0, heal => sub { } };
}

sub _any {
    my ( $self, $count ) = @_;
    my @all = shuffle 0 .. $self->{server}->count - 1;
    return $count ? @all[ 0 .. $count - 1 ] : @all;
}

sub _leader_first {
    my ($self) = @_;
    my $leader = $self->{server}->leader // 0;
    return $leader, grep { $_ != $leader } $self->_any;
}

1;

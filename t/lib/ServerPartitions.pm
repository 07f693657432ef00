package ServerPartitions;
use strict;
use warnings;

use FaultProxy;

# Partitions between the members of an ensemble: everything that one says to another goes through a relay.
#
#     my $between = ServerPartitions->new;
#     my $server  = ZooKeeper::Test::Server->new( servers => 3, $between->arguments );
#     $between->cut( [0], [ 1, 2 ] );    # none of these hears from one of those, nor the other way round
#     $between->heal;
#
# Every member's own zoo.cfg names the others by the relays that belong to this member, and itself by its real ports,
# for it listens there. With reconfiguration switched off they never exchange these views. But in elections there is
# one more address: who connects tells where he can be reached, and one with a lower number is called back there. So
# the relay changes that address to the one by which the other one knows him.
sub new {
    my ($class) = @_;
    return bless {}, $class;
}

# For ZooKeeper::Test::Server. initLimit: so many ticks a server waits for one that it can't hear before it elects
# again.
sub arguments {
    my ($self) = @_;
    return (
        _between => sub { return $self->_set_up(@_) },
        config   => { reconfigEnabled => 'false', initLimit => 6 }
    );
}

# Nothing comes through from the members of one list to those of the other, in neither direction; or, one_way, only from
# the first ones to the others not. As on a network nobody is told of it.
sub cut {
    my ( $self, $some, $others, %arg ) = @_;
    for my $from (@$some) {
        for my $to (@$others) {
            $self->_harm( $from, $to,   'swallow_requests', $arg{one_way} ? () : 'swallow_answers' );
            $self->_harm( $to,   $from, 'swallow_answers',  $arg{one_way} ? () : 'swallow_requests' );
        }
    }
    return;
}

# What was swallowed is missing in those connections: they go.
sub heal {
    my ($self) = @_;
    $self->_harm( @$_, qw(heal reset) ) for @{ $self->{pairs} };
    return;
}

sub _harm {
    my ( $self, $from, $to, @what ) = @_;
    for my $index ( @{ $self->{indexes}{"$from $to"} } ) {
        $self->{relays}->harm( $_ => $index ) for @what;
    }
    return;
}

# Given the ports of all, returns those by which each member knows each other one.
sub _set_up {
    my ( $self, $ports ) = @_;
    my ( @address, @election, %index );
    my @pairs = map {
        my $from = $_;
        map { [ $from, $_ ] } grep { $_ != $from } 0 .. $#$ports
    } 0 .. $#$ports;
    for my $pair (@pairs) {
        for my $kind (qw(quorum election)) {
            push @{ $index{"@$pair"} }, scalar @address;
            $election[@address] = $pair if $kind eq 'election';
            push @address, "127.0.0.1:$ports->[ $pair->[1] ]{$kind}";
        }
    }
    my $edit = sub {
        my ( $at, $bytes, $relays ) = @_;
        my ( $from, $to ) = @{ $election[$at] // return $bytes };
        return _called_back( $bytes, $ports->[$from]{election}, $relays->[ $index{"$to $from"}[1] ] );
    };
    delete $self->{relays};    # if those ports were not free
    $self->{relays} = FaultProxy->new( @address, $edit );
    my @relay = $self->{relays}->ports;
    @{$self}{qw(pairs indexes)} = ( \@pairs, \%index );
    my @seen;
    for my $pair (@pairs) {
        my ( $from,   $to )       = @$pair;
        my ( $quorum, $election ) = @relay[ @{ $index{"@$pair"} } ];
        $seen[$from][$to] = { quorum => $quorum, election => $election };
    }
    return \@seen;
}

# The first message of a connection between two who elect: version of the protocol, number of the server, and where it
# can be reached.
sub _called_back {
    my ( $bytes, $port, $relay ) = @_;
    return $bytes if length $bytes < 20 || unpack( 'q>', $bytes ) >= 0;
    my ( $head, $address, $rest ) = unpack 'a16 N/a a*', $bytes;
    $address =~ s/:\Q$port\E\b/:$relay/;
    return pack 'a16 N/a* a*', $head, $address, $rest;
}

1;

package CutProxy;
use strict;
use warnings;

use FakeZK;
use IO::Socket::INET;
use TestZK qw(wait_for);

# What stands between a client and a server, and loses what it is told to: a connection breaks off before a request has
# got through, or before its answer has.
#
#     CutProxy->new( $hosts, [ create => 'answer' ], [ create => 'request' ] )
#
# loses the answer to the first sequential create, and the second one itself; "multi" are transactions.
sub new {
    my ( $class, $server, @losses ) = @_;
    my $relay = sub { _relay( $_[0], $server, \@losses ) };
    return bless { fake => FakeZK->new($relay), notes => [] }, $class;
}

sub hosts { return $_[0]{fake}->hosts }

# What was lost: "lost the answer to create".
sub losses {
    return grep { /\Alost/ } $_[0]->_notes;
}

# What the client's session is known by, once it has one: as ZooKeeper's client_id.
sub client_id {
    my ($self) = @_;
    my ($last) = reverse grep { /\Asession/ } $self->_notes or return;
    my ( undef, $id, $passwd ) = split / /, $last;
    return { client_id => $id, passwd => pack 'H*', $passwd };
}

# Has the server (a ZooKeeper::Test::Server) close the client's connection, and waits until there is a new one.
sub lose_connection {
    my ( $self, $server ) = @_;
    my $connections = grep { /\Asession/ } $self->_notes;
    $server->lose_connection( $self->client_id );
    wait_for {
        $connections < grep { /\Asession/ } $self->_notes
    }
    60, 'a new connection';
    return;
}

sub _notes {
    my ($self) = @_;
    push @{ $self->{notes} }, $self->{fake}->notes;
    return @{ $self->{notes} };
}

# One connection, to the end of it. The first frame of each side opens the session; it may be that a server never
# answers it, and that the client comes again.
sub _relay {
    my ( $client, $address, $losses ) = @_;
    my $socket = IO::Socket::INET->new($address) or return;
    my $server = FakeZK::Connection->new($socket);
    my ( %frames, $unanswered );
    while (1) {
        for my $from ( _readable( $client, $server ) ) {
            my $frame    = $from->frame // return;
            my $is_first = !$frames{$from}++;
            my ($xid)    = unpack 'l>', $frame;
            if ($is_first) {
                _note_session( $client, $frame ) if $from == $server;
            }
            elsif ( $from == $server ) {
                return if defined $unanswered && $xid == $unanswered;
            }
            elsif ( @$losses && _kind($frame) eq $losses->[0][0] ) {
                my ( $kind, $what ) = @{ shift @$losses };
                $client->note( "lost the $what", $what eq 'answer' ? 'to' : 'to do a', $kind );
                return if $what eq 'request';
                $unanswered = $xid;
            }
            ( $from == $client ? $server : $client )->send_frame($frame);
        }
    }
}

sub _note_session {
    my ( $client, $granted ) = @_;
    my ( undef, $timeout, $id, $passwd ) = unpack 'N N q> N/a*', $granted;
    $client->note( 'session', $id, unpack 'H*', $passwd ) if $timeout;
    return;
}

sub _kind {
    my ($frame) = @_;
    my ( undef, $op ) = unpack 'l> l>', $frame;
    my $is_sequential = 2 & unpack 'N', substr $frame, -4;
    return $op == 14 ? 'multi' : $op == 1 && $is_sequential ? 'create' : '';
}

sub _readable {
    my @connections = @_;
    my $wanted      = '';
    vec( $wanted, fileno $_->{socket}, 1 ) = 1 for @connections;
    select my $readable = $wanted, undef, undef, undef;
    return grep { vec $readable, fileno $_->{socket}, 1 } @connections;
}

1;

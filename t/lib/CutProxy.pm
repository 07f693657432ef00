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
    pipe my $told, my $tell or die "pipe: $!\n";
    my $relay = sub { _relay( $_[0], $server, \@losses, $told ) };
    return bless { fake => FakeZK->new($relay), tell => $tell, notes => [] }, $class;
}

# What may be lost on the way of a create that is done in the end, and its name.
sub lost_creates {
    return (
        'once'                       => [ [ create => 'answer' ] ],
        'twice'                      => [ [ create => 'answer' ],  [ multi  => 'answer' ] ],
        'after the request was lost' => [ [ create => 'request' ], [ create => 'answer' ] ],
    );
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

# Closes the client's connection, and waits until there is a new one. (A server that is asked to may lose track of a
# client that comes back at once.)
sub lose_connection {
    my ($self) = @_;
    my $connections = grep { /\Asession/ } $self->_notes;
    syswrite $self->{tell}, '.';
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
    my ( $client, $address, $losses, $told ) = @_;
    my $socket = IO::Socket::INET->new($address) or return;
    my $server = FakeZK::Connection->new($socket);
    my ( %frames, $unanswered );
    while (1) {
        my ( $is_told, @from ) = _readable( $told, $client, $server );
        return sysread $told, my $byte, 1 if $is_told;
        for my $from (@from) {
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

# Whether the program has said something, and which connections have.
sub _readable {
    my ( $told, @connections ) = @_;
    my $wanted = '';
    vec( $wanted, $_, 1 ) = 1 for fileno $told, map { fileno $_->{socket} } @connections;
    select my $readable = $wanted, undef, undef, undef;
    return ( vec( $readable, fileno $told, 1 ), grep { vec $readable, fileno $_->{socket}, 1 } @connections );
}

1;

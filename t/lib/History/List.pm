package History::List;
use strict;
use warnings;

use History;

# Whether a list, to which nodes were added under names that nobody asks for twice, has what it should at the end; and
# its ephemeral neighbours are gone. Returns what is not so, as lines that begin with the name of what was violated.
#
#     lost               an acknowledged node is not there, or was said not to exist to those who wanted to delete it
#     added twice        a request has made two nodes
#     refused, but done  a node that surely was not made is there
#     never asked for    a node that nobody has asked for
#     wrong name         an acknowledged path does not begin with what was asked for
#     not deleted        an acknowledged delete, but the node is there
#     against time       a node whose create was over before another one began has the higher sequence number
#     shared number      two nodes have the same one
#     unordered          a lower sequence number has a later transaction
#     ghost              an ephemeral node is there after all sessions are over
#
# A node of unknown outcome may be there, once; and one whose delete is unknown may be gone.
sub check {
    my ( $class, $history ) = @_;
    my $self    = bless { violations => [] }, $class;
    my @creates = grep { $_->{op} eq 'create' } $history->ops;
    my %deleted = map  { $_->{path} => $_ } grep { $_->{op} eq 'delete' } $history->ops;
    my %there;
    for my $final ( grep { defined $_->{name} } $history->final ) {
        my ($asked) = $final->{name} =~ /\A(.*-)/;
        push @{ $there{ $asked // $final->{name} } }, $final->{name};
    }
    $self->_check_there( $_, delete $there{ $_->{prefix} } // [], \%deleted )
      for grep { !$_->{ephemeral} } @creates;
    $self->_violation( 'never asked for', join ' ', @{ $there{$_} } ) for sort keys %there;
    for my $op ( grep { $_->{code} eq '-101' } values %deleted ) {
        $self->_violation( 'lost', 'there was nothing to delete', $op );
    }
    for my $list ( 0, 1 ) {
        $self->_check_numbers( grep { $_->{out} eq 'ok' && ( $_->{ephemeral} // 0 ) == $list } @creates );
    }
    $self->_violation( 'ghost', $_->{left} ) for grep { defined $_->{left} } $history->final;
    return @{ $self->{violations} };
}

sub _violation {
    my ( $self, $name, $text, @ops ) = @_;
    push @{ $self->{violations} }, join '; ', "$name: $text", map { History->describe($_) } @ops;
    return;
}

sub _check_there {
    my ( $self, $op, $there, $deleted ) = @_;
    $self->_violation( 'added twice', "@$there", $op ) if @$there > 1;
    if ( $op->{out} eq 'no' ) {
        $self->_violation( 'refused, but done', "@$there", $op ) if @$there;
    }
    elsif ( $op->{out} eq 'ok' ) {
        $self->_violation( 'wrong name', $op->{path}, $op ) if index $op->{path}, $op->{prefix};
        my $delete = $deleted->{ $op->{path} };
        my $fate = !$delete || $delete->{out} eq 'no' ? 'there' : $delete->{out} eq 'ok' ? 'gone' : 'unknown';
        my $is   = grep { $_ eq $op->{path} } @$there;
        $self->_violation( 'lost',        $op->{path}, $op )     if !$is    && $fate eq 'there';
        $self->_violation( 'not deleted', $op->{path}, $delete ) if @$there && $fate eq 'gone';
    }
    return;
}

sub _check_numbers {
    my ( $self, @creates ) = @_;
    my %of;
    for my $op (@creates) {
        my ($number) = $op->{path} =~ /-([0-9]+)\z/ or next;
        my $other = $of{ $number + 0 };
        $self->_violation( 'shared number', $number, $other, $op ) if $other;
        $of{ $number + 0 } = $op;
    }
    my @by_number = sort { $a <=> $b } keys %of;
    my $last;
    for my $op ( grep { defined $_->{czxid} } map { $of{$_} } @by_number ) {
        $self->_violation( 'unordered', $op->{path}, $last, $op ) if $last && $last->{czxid} >= $op->{czxid};
        $last = $op;
    }

    # From the highest number down: none of a higher number was over before this one began.
    my $first;
    for my $op ( map { $of{$_} } reverse @by_number ) {
        $self->_violation( 'against time', $op->{path}, $first, $op )
          if $first && $first->{end} < $op->{start};
        $first = $op if !$first || $op->{end} < $first->{end};
    }
    return;
}

1;

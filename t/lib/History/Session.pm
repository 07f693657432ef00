package History::Session;
use strict;
use warnings;

use History;
use ZooKeeper::Constants;

# Whether every session was served in order, over all reconnects. Returns what was not so, as lines that begin with the
# name of what was violated.
#
#     never answered     a client that came to its end in good order has a request that was not answered
#     answered twice
#     out of order       of requests that nobody waited for, a later one was answered first
#     back in time       a read is older than an earlier one of this session, or than its own earlier write
#     a hole             a read does not see a write that is older than another one which this session knew of
#     zxid falls         a write, or the handle's last transaction, is not later than what was known before
#     two numbers        one session has two session ids
#     unexpected         an answer that no fault explains
#
# Of a session's requests each one counts with what was known from those that were made before it: also of those that
# are under way at the same time, the server does one after the other.
sub check {
    my ( $class, $history ) = @_;
    my $self = bless { violations => [] }, $class;
    $self->_collect($history);
    my %ended = map { $_->{client} => 1 } grep { $_->{word} eq 'end' } $history->notes;
    for my $op ( $history->ops ) {
        $self->_violation( 'never answered', 'the client has ended', $op )
          if !defined $op->{end} && $ended{ $op->{client} };
        $self->_violation( 'answered twice', '',                    $op ) if $op->{again};
        $self->_violation( 'unexpected',     zerror( $op->{code} ), $op )
          if defined $op->{end} && !_is_expected($op);
    }
    my $sessions = $history->sessions;
    for my $s ( sort keys %$sessions ) {
        my @ops = @{ $sessions->{$s} };
        $self->_check_reads(@ops);
        $self->_check_order(@ops);
    }
    return @{ $self->{violations} };
}

# What faults lead to; and what a request may find for reasons of its own: a compare-and-set another version, a read on
# a server that is behind no node, as long as its session has not seen it.
my %EXPECTED = map { $_ => 1 } ZOK, ZCONNECTIONLOSS, ZOPERATIONTIMEOUT, ZSESSIONEXPIRED, ZSESSIONMOVED,
  ZCLOSING;

sub _is_expected {
    my ($op) = @_;
    my $code = $op->{code};
    return 1                                           if $EXPECTED{$code};
    return $op->{op} eq 'set' && defined $op->{expect} if $code == ZBADVERSION;
    return $op->{op} =~ /\A(?:get|stat|delete)\z/      if $code == ZNONODE;       # deletes: see History::List
    return;
}

sub _violation {
    my ( $self, $name, $text, @ops ) = @_;
    push @{ $self->{violations} }, join '; ', "$name: $text", map { History->describe($_) } @ops;
    return;
}

# Of each node the transactions that are known to have written it, in order.
sub _collect {
    my ( $self, $history ) = @_;
    my %zxid;
    for my $op ( grep { $_->{out} eq 'ok' && $_->{op} =~ /\A(?:set|multi)\z/ } $history->ops ) {
        $zxid{$_}{ $op->{mzxid} } = 1 for grep { defined } @{$op}{qw(node node2)};
    }
    $self->{zxids} = {
        map {
            $_ => [ sort { $a <=> $b } keys %{ $zxid{$_} } ]
        } keys %zxid
    };
    return;
}

sub _check_reads {
    my ( $self, @ops ) = @_;
    my ( $known, $known_from, %floor, %own ) = (0);
    my $learn = sub {
        my ( $zxid, $op ) = @_;
        ( $known, $known_from ) = ( $zxid, $op ) if defined $zxid && $zxid > $known;
    };
    for my $op (@ops) {
        my $kind = $op->{op};
        if ( $kind eq 'delete' ) {
            $own{ $op->{path} } =
              { fate => { ok => 'gone', no => 'there' }->{ $op->{out} } // 'unknown', op => $op };
        }
        if ( $kind eq 'get' && $op->{code} eq ZNONODE && $floor{ $op->{node} } ) {
            $self->_violation( 'back in time', 'there was one', $floor{ $op->{node} }, $op );
        }
        next if $op->{out} ne 'ok';
        if ( $kind =~ /\A(?:set|multi|create)\z/ ) {
            my $zxid = $op->{mzxid} // $op->{czxid};
            $self->_violation( 'zxid falls', "$zxid after $known", $known_from, $op )
              if defined $zxid && $zxid <= $known;
            $learn->( $zxid, $op );
            $own{ $op->{path} } = { fate => 'there', op => $op } if defined $op->{path};
        }
        if ( $kind eq 'exists' ) {
            my $own = $own{ $op->{path} } // next;
            my $is  = $op->{there} ? 'there' : 'gone';
            $self->_violation( 'back in time', "$op->{path} is $is", $own->{op}, $op )
              if $own->{fate} ne 'unknown' && $own->{fate} ne $is;
        }
        my @versions = _versions($op);
        for my $of (@versions) {
            my ( $node, $version, $zxid ) = @$of;
            my $floor  = $floor{$node};
            my $before = $floor && ( grep { $_->[0] eq $node } _versions($floor) )[0];
            if ( $before && ( $version < $before->[1] || $zxid < $before->[2] ) ) {
                $self->_violation( 'back in time', "$version ($zxid) after $before->[1] ($before->[2])",
                    $floor, $op );
            }
            elsif ( $kind eq 'get' && ( my $missing = $self->_missing( $node, $zxid, $known ) ) ) {
                $self->_violation( 'a hole', "$node was written in transaction $missing", $known_from, $op );
            }
            $floor{$node} = $op;
        }
        $learn->( $_->[2], $op ) for @versions;
    }
    return;
}

# Node, version and transaction, as this request has found or made them.
sub _versions {
    my ($op) = @_;
    my @versions = ();
    push @versions, [ $op->{node},  $op->{version},  $op->{mzxid} ] if $op->{op} =~ /\A(?:get|set|multi)\z/;
    push @versions, [ $op->{node2}, $op->{version2}, $op->{mzxid} ] if $op->{op} eq 'multi';

# Its cversion is the server's own account of creates and deletes. Servers that were leaders, or missed some, have
# been seen to correct it downwards, while pzxid rises.
    push @versions, [ 'the list', 0, $op->{pzxid} ] if $op->{op} eq 'stat';
    return @versions;
}

# A write of the node that a session which knows of one transaction should not have missed.
sub _missing {
    my ( $self, $node, $zxid, $known ) = @_;
    my $all = $self->{zxids}{$node} // return;
    my ( $low, $high ) = ( 0, scalar @$all );
    while ( $low < $high ) {
        my $middle = int( ( $low + $high ) / 2 );
        if   ( $all->[$middle] <= $known ) { $low  = $middle + 1 }
        else                               { $high = $middle }
    }
    my $latest = $low ? $all->[ $low - 1 ] : 0;
    return $latest > $zxid ? $latest : undef;
}

sub _check_order {
    my ( $self, @ops ) = @_;
    my ( %last, %sid );
    for my $op ( sort { $a->{order} <=> $b->{order} } grep { defined $_->{order} } @ops ) {
        if ( $op->{form} ne 'blocking' ) {
            $self->_violation( 'out of order', '', $op, $last{n} ) if $last{n} && $last{n}{n} > $op->{n};
            $last{n} = $op;
        }
        if ( defined $op->{zxid} ) {
            $self->_violation( 'zxid falls', "last_zxid is $op->{zxid}, it was $last{zxid}{zxid}", $op )
              if $last{zxid} && $op->{zxid} < $last{zxid}{zxid};
            my $own = $op->{mzxid} // $op->{czxid} // 0;
            $self->_violation( 'zxid falls', "last_zxid is $op->{zxid}", $op )
              if $op->{out} eq 'ok' && $op->{zxid} < $own;
            $last{zxid} = $op;
        }
        $sid{ $op->{sid} } = 1 if defined $op->{sid};
    }
    $self->_violation( 'two numbers', join( ' ', sort keys %sid ), $ops[0] ) if keys %sid > 1;
    return;
}

1;

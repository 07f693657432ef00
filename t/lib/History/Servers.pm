package History::Servers;
use strict;
use warnings;

# Whether the servers themselves have lost what they told clients: by their own logs. They do, some versions more than
# others, when leaders change in the midst of the synchronisation that follows an election. What clients see then is the
# servers' doing, and a history of that time says nothing about the client.
#
#     a leader without it   an epoch began from an earlier transaction than one of an earlier epoch that was told
#     passed over           after an election a server got the leader's differences, but from a later transaction on
#
# Arguments: the history, and the text of each server's log. Returns lines.
sub lost {
    my ( $class, $history, @logs ) = @_;
    my %told;
    for my $op ( grep { $_->{out} eq 'ok' } $history->ops ) {
        $told{$_} = 1 for grep { $_ } @{$op}{qw(mzxid czxid pzxid)};
    }
    my @told = sort { $a <=> $b } keys %told;
    my @lost;
    for my $i ( 0 .. $#logs ) {
        for my $gap ( _gaps( $logs[$i] ) ) {
            my ( $what, $after, $before ) = @$gap;
            my @between = grep { $_ > $after && $_ < $before } @told;
            push @lost,
              sprintf
'server %d: %s: %d transactions between 0x%x and 0x%x that clients were told of, the first 0x%x',
              $i, $what, scalar @between, $after, $before, $between[0]
              if @between;
        }
    }
    return @lost;
}

# Between which transactions a server knows of none. A leader makes a snapshot of what it has before it leads.
sub _gaps {
    my ($log) = @_;
    my ( @gaps, $snapshot, $own, $differences );
    for my $line ( split /\n/, $log ) {
        if    ( $line =~ /Snapshotting: 0x([0-9a-f]+) / ) { $snapshot = _number($1) }
        elsif ( $line =~ /New election\. .*proposed zxid=0x([0-9a-f]+)/ ) {
            ( $own, $differences ) = _number($1);
        }
        elsif ( $line =~ /Getting a diff from the leader/ ) { $differences = 1 }
        elsif ( $line =~ /Got zxid 0x([0-9a-f]+) expected 0x1\b/ ) {
            push @gaps, [ 'passed over', $own, _number($1) ] if $differences && defined $own;
            $differences = 0;
        }
        elsif ( $line =~ /Have quorum of supporters.*last processed zxid: 0x([0-9a-f]+)/
            && defined $snapshot )
        {
            push @gaps, [ 'a leader without it', $snapshot, _number($1) ];
        }
    }
    return @gaps;
}

sub _number { return unpack 'Q>', pack 'H16', sprintf '%016s', $_[0] }

1;

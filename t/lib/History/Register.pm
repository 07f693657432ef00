package History::Register;
use strict;
use warnings;

use History;

# Whether the nodes behaved as registers: returns what did not, as lines that begin with the name of what was violated.
#
#     lost               an acknowledged write is not what its version has, or that version was never reached
#     shared version     two acknowledged writes have made the same version
#     applied twice      one write has made two versions
#     refused, but done  a write that surely was not done can be read
#     never written      a value that nobody has written
#     read too early     a value was read before its write was asked for
#     torn               of the two writes of a transaction only one was done
#     wrong version      a compare-and-set has made another version than the one after the expected one
#     refused wrongly    a compare-and-set was refused although its version was the current one all the time
#     unordered          an earlier version has a later transaction
#     against time       a write that was over before another one began has a later version
#     unaccounted        there are more versions than writes that can have made them
#
# A write of unknown outcome may have made a version, at most one. Reads may be behind: those of a session are
# looked at by History::Session.
sub check {
    my ( $class, $history ) = @_;
    my $self = bless { violations => [], history => $history, node => {}, writer => {} }, $class;
    $self->_collect($_)       for $history->ops;
    $self->_collect_final($_) for grep { defined $_->{node} } $history->final;
    $self->_check_torn;
    for my $name ( sort keys %{ $self->{node} } ) {
        my $node = $self->{node}{$name};
        $self->_check_versions( $name, $node );
        $self->_check_refusals( $name, $node );
        $self->_check_time( $name, $node );
        $self->_check_account( $name, $node );
    }
    return @{ $self->{violations} };
}

# How many reads after a sync did not see a write that was acknowledged before the sync was asked for. ZooKeeper does
# not exclude that: a leader that others have replaced answers a sync as long as it does not know.
sub stale_after_sync {
    my ( $class, $history ) = @_;
    my ( %acknowledged, $stale, $count );
    for my $op ( grep { $_->{out} eq 'ok' } $history->ops ) {
        push @{ $acknowledged{ $_->{node} } }, $_ for _writes($op);
    }
    my %since =
      map { my $node = $_; $node => _maximum_by_end( @{ $acknowledged{$node} } ) } keys %acknowledged;
    for my $ops ( values %{ $history->sessions } ) {
        my %sync;
        for my $op ( grep { $_->{out} eq 'ok' } @$ops ) {
            $sync{ $op->{n} } = $op if $op->{op} eq 'sync';
            my $sync = $sync{ $op->{sync} // next } // next;
            $count++;
            $stale++
              if $op->{op} eq 'get' && $op->{version} < _before( $since{ $op->{node} }, $sync->{start} );
        }
    }
    return ( $stale // 0, $count // 0 );
}

sub _violation {
    my ( $self, $name, $text, @ops ) = @_;
    push @{ $self->{violations} }, join '; ', "$name: $text", map { History->describe($_) } @ops;
    return;
}

# The writes of a request, each with its node and what the answer said of it.
sub _writes {
    my ($op) = @_;
    return if $op->{op} !~ /\A(?:set|multi)\z/;
    my @writes = { %$op{qw(node version mzxid)}, op => $op };
    push @writes, { node => $op->{node2}, version => $op->{version2}, mzxid => $op->{mzxid}, op => $op }
      if $op->{op} eq 'multi';
    return @writes;
}

sub _collect {
    my ( $self, $op ) = @_;
    for my $write ( _writes($op) ) {
        my $node = $self->{node}{ $write->{node} } //= {};
        $self->{writer}{ $op->{value} } = $op;
        push @{ $node->{writes} }, $write;
    }
    if ( $op->{op} eq 'get' && $op->{out} eq 'ok' ) {
        $self->_seen( $op->{node}, @{$op}{qw(version value mzxid)}, $op );
    }
    return;
}

sub _collect_final {
    my ( $self, $final ) = @_;
    $self->{node}{ $final->{node} }{final} = $final;
    $self->_seen( @{$final}{qw(node version value mzxid)},
        { client => 'final', op => 'get', start => 9e15, end => 9e15, %$final } );
    return;
}

sub _seen {
    my ( $self, $name, $version, $value, $mzxid, $op ) = @_;
    my $seen = $self->{node}{$name}{seen}{$version}{"$value $mzxid"} //=
      { value => $value, mzxid => $mzxid, version => $version, op => $op };

    # The earliest is the one that may be too early.
    $seen->{op} = $op if $op->{end} < $seen->{op}{end};
    return;
}

sub _check_versions {
    my ( $self, $name, $node ) = @_;
    my ( %of_version, %of_value, %zxid );
    for my $write ( grep { $_->{op}{out} eq 'ok' } @{ $node->{writes} } ) {
        my ( $version, $op ) = @{$write}{qw(version op)};
        my $other = $of_version{$version};
        $self->_violation( 'shared version', "$name, version $version", $other->{op}, $op ) if $other;
        $of_version{$version}               = $write;
        $of_value{ $op->{value} }{$version} = 1;
        $zxid{$version}                     = $write->{mzxid};
        $self->_violation( 'wrong version', "$name, expected $op->{expect}, made $version", $op )
          if defined $op->{expect} && $version != $op->{expect} + 1;
        my $final = $node->{final};
        $self->_violation( 'lost', "$name is at version $final->{version} at the end", $op )
          if $final && $version > $final->{version};
    }
    for my $seen ( map { values %$_ } @{ $node->{seen} }{ sort { $a <=> $b } keys %{ $node->{seen} } } ) {
        my ( $value, $version ) = @{$seen}{qw(value version)};
        $of_value{$value}{$version} = 1;
        my $write = $of_version{$version};
        $self->_violation( 'lost', "version $version of $name was read as $value", $write->{op}, $seen->{op} )
          if $write && ( $write->{op}{value} ne $value || $write->{mzxid} != $seen->{mzxid} );
        $self->_violation( 'unordered', "version $version of $name has two transactions", $seen->{op} )
          if !$write && defined $zxid{$version} && $zxid{$version} != $seen->{mzxid};
        $zxid{$version} //= $seen->{mzxid};
        next if !$version;    # what the node was made with
        my $writer = $self->{writer}{$value};
        my $is_its = $writer && grep { defined && $_ eq $name } @{$writer}{qw(node node2)};
        if    ( !$is_its ) { $self->_violation( 'never written', "$value in $name", $seen->{op} ) }
        elsif ( $writer->{out} eq 'no' ) {
            $self->_violation( 'refused, but done', "version $version of $name", $writer, $seen->{op} );
        }
        elsif ( $seen->{op}{end} < $writer->{start} ) {
            $self->_violation( 'read too early', "version $version of $name", $writer, $seen->{op} );
        }
        elsif ( defined $writer->{expect} && $version != $writer->{expect} + 1 ) {
            $self->_violation( 'wrong version', "version $version of $name", $writer, $seen->{op} )
              if $writer->{out} ne 'ok';
        }
    }
    for my $value ( sort keys %of_value ) {
        my @versions = sort { $a <=> $b } keys %{ $of_value{$value} };
        $self->_violation( 'applied twice', "versions @versions of $name", $self->{writer}{$value} // () )
          if @versions > 1;
    }
    my $last;
    for my $version ( sort { $a <=> $b } keys %zxid ) {
        $self->_violation( 'unordered',
            "version $version of $name has transaction $zxid{$version}, an earlier one $zxid{$last}" )
          if defined $last && $zxid{$version} <= $zxid{$last};
        $last = $version;
    }
    $node->{known} = { %of_version, map { $_ => 1 } keys %{ $node->{seen} } };
    $node->{made}  = \%of_value;
    return;
}

# Refused with "bad version" means that at some moment between request and answer it was another one.
sub _check_refusals {
    my ( $self, $name, $node ) = @_;
    my %write = map { $_->{version} => $_->{op} } grep { $_->{op}{out} eq 'ok' } @{ $node->{writes} };
    my $final = $node->{final} // return;
    for my $op ( map { $_->{op} } @{ $node->{writes} } ) {
        next if $op->{code} ne '-103' || !defined $op->{expect};
        my ( $before, $after ) = @write{ $op->{expect}, $op->{expect} + 1 };
        my $was_made     = $before ? $before->{end} < $op->{start} : !$op->{expect};
        my $is_last      = $final->{version} == $op->{expect};
        my $not_replaced = $is_last || ( $after && $after->{start} > $op->{end} );
        $self->_violation( 'refused wrongly', "version $op->{expect} of $name was the current one", $op )
          if $was_made && $not_replaced;
    }
    return;
}

sub _check_time {
    my ( $self, $name, $node ) = @_;
    my @writes = grep { $_->{op}{out} eq 'ok' } @{ $node->{writes} };
    my $before = _maximum_by_end(@writes);
    for my $write (@writes) {
        my $version = _before( $before, $write->{op}{start} );
        $self->_violation( 'against time', "version $version of $name was acknowledged before", $write->{op} )
          if $version >= $write->{version};
    }
    return;
}

# Each version that nobody is known to have made takes one write of unknown outcome; a compare-and-set can only have
# made one.
sub _check_account {
    my ( $self, $name, $node ) = @_;
    my $final = $node->{final} // return;
    my ( %by_expected, @any );
    for my $op ( map { $_->{op} } @{ $node->{writes} } ) {
        next if $op->{out} ne 'unknown' || $node->{made}{ $op->{value} };
        if ( defined $op->{expect} ) { push @{ $by_expected{ $op->{expect} + 1 } }, $op }
        else                         { push @any, $op }
    }
    my @left = grep { !$node->{known}{$_} && !$by_expected{$_} } 1 .. $final->{version};
    $self->_violation( 'unaccounted', "versions @left of $name, for which there are " . @any . ' writes' )
      if @left > @any;
    return;
}

sub _check_torn {
    my ($self) = @_;
    for my $op ( grep { $_->{op} eq 'multi' } $self->{history}->ops ) {
        my %zxid = $op->{out} eq 'ok' ? ( $op->{mzxid} => 1 ) : ();
        for my $name ( @{$op}{qw(node node2)} ) {
            for my $seen ( map { values %$_ } values %{ $self->{node}{$name}{seen} } ) {
                $zxid{ $seen->{mzxid} } = 1 if $seen->{value} eq $op->{value};
            }
            my $final = $self->{node}{$name}{final} // next;
            $op->{final}{$name} = $final->{mzxid};
        }
        if ( keys %zxid > 1 ) {
            $self->_violation( 'torn', 'two transactions', $op );
            next;
        }

        # Who has an older transaction at the end was not written by this one, nor by any later one.
        my ($zxid) = keys %zxid or next;
        my ($old)  = grep { $op->{final}{$_} < $zxid } sort keys %{ $op->{final} // {} };
        $self->_violation( 'torn', "$old was not written", $op ) if defined $old;
    }
    return;
}

# For "the highest version that was acknowledged before this moment".
sub _maximum_by_end {
    my (@writes) = @_;
    my ( @ends, @versions );
    my $highest = -1;
    for my $write ( sort { $a->{op}{end} <=> $b->{op}{end} } @writes ) {
        $highest = $write->{version} if $write->{version} > $highest;
        push @ends,     $write->{op}{end};
        push @versions, $highest;
    }
    return [ \@ends, \@versions ];
}

sub _before {
    my ( $sorted, $moment ) = @_;
    return -1 if !$sorted;
    my ( $ends, $versions ) = @$sorted;
    my ( $low,  $high )     = ( 0, scalar @$ends );
    while ( $low < $high ) {
        my $middle = int( ( $low + $high ) / 2 );
        if   ( $ends->[$middle] < $moment ) { $low  = $middle + 1 }
        else                                { $high = $middle }
    }
    return $low ? $versions->[ $low - 1 ] : -1;
}

1;

package History::Client;
use strict;
use warnings;

use History;
use List::Util  qw(min);
use POSIX       ();
use Time::HiRes qw(time);
use ZooKeeper;

# A process with some sessions, which asks for what its workload consists of and writes a history. It goes on until it
# gets SIGTERM; then it waits for what is under way, looks for its ephemeral nodes, and closes its sessions.
#
#     History::Client->run( number => 3, hosts => ..., base => '/b', log => 'FILE', workload => 'register', ... );
#
# is for a forked child, and does not return. The other arguments: seed, handles (how many), nodes (of registers), rate
# (requests a second, of all its handles), timeouts_ms (the handles take turns), forms (blocking, cb, f).

# Requests of a handle that may be under way.
my $WINDOW = 20;

# Seconds until everything is answered after the end. Servers are well then.
my $ANSWERED_WITHIN = 120;

# How often a request is made of each kind.
my %OFTEN = (
    register => { get => 35, set => 20, compare_and_set => 25, synced_get => 10, multi => 10 },
    list     =>
      { create => 35, create_exact => 10, create_ephemeral => 5, delete => 15, exists => 25, stat => 10 },
    writers => { create => 60, create_ephemeral => 2, delete => 25, exists => 10, stat => 3 },
);

# Ephemeral nodes of a session: each of them is one more to clear away.
my $EPHEMERAL = 50;

sub run {
    my ( $class, %arg ) = @_;
    my $self = bless { %arg, known => {}, pending => 0, parent => getppid }, $class;
    local $SIG{TERM} = sub { $self->{stop} = 1 };
    srand $self->{seed};
    my $often = $OFTEN{ $self->{workload} };
    $self->{kinds} = [ map { ($_) x $often->{$_} } sort keys %$often ];
    $self->{nodes} = [ map { "n$_" } 1 .. $self->{nodes} ];
    my $ok = eval { $self->_live; 1 };
    print {*STDERR} "client $self->{number}: $@" if !$ok;
    POSIX::_exit( $ok ? 0 : 1 );
}

sub _live {
    my ($self) = @_;
    $self->{history}    = History->recorder( $self->{log} );
    $self->{dispatcher} = ZooKeeper::Dispatcher::Pipe->new;
    $self->{handles}    = [ map { $self->_new_handle($_) } 1 .. $self->{handles} ];
    if ( $self->{workload} eq 'writers' ) {
        $self->_ask_create($_) for @{ $self->{handles} };    # so that all do write
    }
    my ( $last, $may ) = ( time, 0 );
    until ( $self->{stop} ) {
        my $now = time;
        $may  = min( $may + $self->{rate} * ( $now - $last ), $self->{rate} / 2 );
        $last = $now;
        for ( ; $may >= 1 && !$self->{stop} ; $may-- ) { $self->_ask_something }
        $self->{dispatcher}->run_loop_once(0.01);
        $self->_reopen_expired;
        die "the parent is gone\n" if getppid != $self->{parent};
        die $self->{failed}        if defined $self->{failed};
    }
    $self->_drain;
    $self->_look_at_own($_) for @{ $self->{handles} };
    $self->_drain;
    $_->{zk}->close for @{ $self->{handles} };
    $self->{history}->note('end');
    return;
}

sub _new_handle {
    my ( $self, $number ) = @_;
    my @timeouts = @{ $self->{timeouts_ms} };
    my $zk       = ZooKeeper->new(
        hosts      => $self->{hosts},
        timeout    => $timeouts[ ( $self->{number} + $number ) % @timeouts ],
        dispatcher => $self->{dispatcher},
    );
    my $handle = { zk => $zk, number => $number, opened => 0, pending => 0 };
    $self->_begin_session($handle);
    return $handle;
}

sub _begin_session {
    my ( $self, $handle ) = @_;
    $handle->{s} = join '.', $self->{number}, $handle->{number}, $handle->{opened}++;
    @{$handle}{qw(made ephemeral)} = ( [], [] );
    return;
}

# An ensemble without a leader for too long lets sessions expire.
sub _reopen_expired {
    my ($self) = @_;
    for my $handle ( grep { $_->{zk}->is_unrecoverable } @{ $self->{handles} } ) {
        $handle->{zk}->reopen;
        $self->_begin_session($handle);
    }
    return;
}

sub _drain {
    my ($self) = @_;
    my $end = time + $ANSWERED_WITHIN;
    $self->{dispatcher}->run_loop_once(0.05) while $self->{pending} && time < $end;
    return;
}

sub _ask_something {
    my ($self) = @_;
    my $handle = $self->{handles}[ $self->{turn}++ % @{ $self->{handles} } ];
    return if $handle->{pending} >= $WINDOW || $handle->{zk}->is_unrecoverable;
    my $method = "_ask_$self->{kinds}[ rand @{ $self->{kinds} } ]";
    return $self->$method($handle);
}

sub _some_node { my ($self) = @_; return $self->{nodes}[ rand @{ $self->{nodes} } ] }

# A value, or a name, that nobody else uses.
sub _unique { my ($self) = @_; return "$self->{number}_" . ++$self->{unique} }

sub _ask_get {
    my ( $self, $handle, %more ) = @_;
    my $node = $self->_some_node;
    return $self->_ask(
        $handle,
        get => ["$self->{base}/$node"],
        { op => 'get', node => $node, %more },
        sub {
            my ( $value, $stat ) = @_;
            $self->_know( $node, $stat );
            return value => $value, version => $stat->{version}, mzxid => $stat->{mzxid};
        }
    );
}

sub _ask_synced_get {
    my ( $self, $handle ) = @_;
    my $sync = $self->_ask( $handle, sync => [ $self->{base} ], { op => 'sync' }, sub { } );
    return $self->_ask_get( $handle, sync => $sync );
}

sub _ask_set {
    my ( $self, $handle, $expect ) = @_;
    my $node  = $self->_some_node;
    my $value = $self->_unique;
    $expect = $self->{known}{$node} // 0 if $expect;
    return $self->_ask(
        $handle,
        set => [ "$self->{base}/$node", $value, version => $expect ],
        { op => 'set', node => $node, value => $value, expect => $expect },
        sub {
            my ($stat) = @_;
            $self->_know( $node, $stat );
            return version => $stat->{version}, mzxid => $stat->{mzxid};
        }
    );
}

sub _ask_compare_and_set { my ( $self, $handle ) = @_; return $self->_ask_set( $handle, 1 ) }

sub _ask_multi {
    my ( $self, $handle ) = @_;
    my ( $node, $node2 )  = ( $self->_some_node, $self->_some_node );
    return if $node eq $node2;
    my $value = $self->_unique;
    my $transaction =
      $handle->{zk}->transaction->set( "$self->{base}/$node", $value )->set( "$self->{base}/$node2", $value );
    return $self->_ask(
        $handle,
        commit => [],
        { op => 'multi', node => $node, node2 => $node2, value => $value },
        sub {
            my ( $one, $two ) = map { $_->{stat} // die "a transaction failed: $_->{message}\n" } @_;
            $self->_know( $node,  $one );
            $self->_know( $node2, $two );
            return version => $one->{version}, version2 => $two->{version}, mzxid => $one->{mzxid};
        },
        $transaction
    );
}

sub _know {
    my ( $self, $node, $stat ) = @_;
    $self->{known}{$node} = $stat->{version} if $stat->{version} > ( $self->{known}{$node} // 0 );
    return;
}

# create2 says in which transaction; create has to do without.
sub _ask_create {
    my ( $self, $handle, %more ) = @_;
    my $prefix  = $self->_unique . '-';
    my $command = rand() < 0.5 ? 'create' : 'create2';
    my $dir     = $self->{base} . ( $more{ephemeral} ? '/ephemeral' : '/list' );
    my $mine    = $handle->{ $more{ephemeral} ? 'ephemeral' : 'made' };
    my %flags   = ( sequential => !$more{exact}, ephemeral => $more{ephemeral} );
    return $self->_ask(
        $handle,
        $command => [ "$dir/$prefix", value => $prefix, %flags ],
        { op => 'create', prefix => $prefix, ephemeral => $more{ephemeral} },
        sub {
            my ( $path, $stat ) = @_;
            $path =~ s{\A\Q$dir/\E}{};
            push @$mine, $path;
            return path => $path, czxid => $stat && $stat->{czxid};
        }
    );
}

sub _ask_create_exact { my ( $self, $handle ) = @_; return $self->_ask_create( $handle, exact => 1 ) }

sub _ask_create_ephemeral {
    my ( $self, $handle ) = @_;
    return if @{ $handle->{ephemeral} } >= $EPHEMERAL;
    return $self->_ask_create( $handle, ephemeral => 1 );
}

sub _ask_delete {
    my ( $self, $handle ) = @_;
    my $made = $handle->{made};
    return if !@$made;
    my ($path) = splice @$made, rand @$made, 1;
    return $self->_ask(
        $handle,
        delete => ["$self->{base}/list/$path"],
        { op => 'delete', path => $path }, sub { }
    );
}

sub _ask_exists {
    my ( $self, $handle, $path, $dir ) = @_;
    $path //= $handle->{made}[ rand @{ $handle->{made} } ] // return;
    $dir  //= 'list';
    return $self->_ask(
        $handle,
        exists => ["$self->{base}/$dir/$path"],
        { op => 'exists', path => $path }, sub { return there => $_[0] ? 1 : 0 }
    );
}

sub _ask_stat {
    my ( $self, $handle ) = @_;
    return $self->_ask(
        $handle,
        exists => ["$self->{base}/list"],
        { op => 'stat' },
        sub {
            my ($stat) = @_;
            return $stat
              ? ( cversion => $stat->{cversion}, pzxid => $stat->{pzxid} )
              : ( out => 'no', code => -101 );
        }
    );
}

# As long as a session lives, so do its ephemeral nodes.
sub _look_at_own {
    my ( $self, $handle ) = @_;
    return if $handle->{zk}->is_unrecoverable;
    $self->_ask_exists( $handle, $_, 'ephemeral' ) for @{ $handle->{ephemeral} };
    return;
}

# Returns the number of the request.
sub _ask {
    my ( $self, $handle, $command, $args, $facts, $told, $object ) = @_;
    my $form = $self->{forms}[ rand @{ $self->{forms} } ];
    my $s    = $handle->{s};
    my $n    = $self->{history}->invoke( %$facts, s => $s, form => $form );
    my $zk   = $handle->{zk};
    $object //= $zk;
    $_->{pending}++ for $self, $handle;
    my $done = sub {
        my ( $error, @result ) = @_;
        $_->{pending}-- for $self, $handle;
        $self->{failed} = $error if defined $error && !( ref $error && $error->isa('ZooKeeper::Error') );
        return                   if defined $self->{failed};
        my %seen =
          $error
          ? ( out => $error->maybe_applied ? 'unknown' : 'no', code => $error->code )
          : ( out => 'ok', code => 0, $told->(@result) );
        if ( $handle->{s} eq $s && $seen{out} eq 'ok' ) {
            $seen{zxid} = $zk->last_zxid;
            $seen{sid}  = sprintf '%x', $zk->client_id->{client_id};
        }
        $self->{history}->complete( $n, %seen );
    };
    if ( $form eq 'blocking' ) {
        my @result;
        my $ok = eval { @result = $object->$command(@$args); 1 };
        $done->( $ok ? undef : $@, @result );
    }
    elsif ( $form eq 'cb' ) { $object->$command( @$args, cb => $done ) }
    else {
        my $method = "${command}_f";
        $object->$method(@$args)->on_done( sub { $done->( undef, @_ ) } )->on_fail($done)->retain;
    }
    return $n;
}

1;

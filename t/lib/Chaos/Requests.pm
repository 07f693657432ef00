package Chaos::Requests;
use strict;
use warnings;

use Scalar::Util qw(blessed);
use Time::HiRes  qw(setitimer ITIMER_REAL);
use ZooKeeper;
use ZooKeeper::Constants;

# What Chaos asks for, and the account of the answers.

# How often a request is made of each kind.
my %OFTEN = (
    get         => 20,
    exists      => 10,
    children    => 5,
    acl         => 3,
    multi_read  => 5,
    set         => 15,
    create      => 15,
    delete      => 7,
    transaction => 10,
    ensure_path => 3,
    watch       => 5,
    cancelled   => 2,
);
my @KINDS = map { ($_) x $OFTEN{$_} } sort keys %OFTEN;

# How many of the callbacks wait themselves.
my $WAITS_WITHIN = 1 / 2_000;

my %ALLOWED = map { $_ => 1 } ZCONNECTIONLOSS, ZSESSIONEXPIRED, ZSESSIONMOVED;
my %WRITES  = map { $_ => 1 } qw(set create delete transaction ensure_path);

sub _ask_something {
    my ($self) = @_;
    my $handle = $self->{handles}[ rand @{ $self->{handles} } ];
    my $kind   = $KINDS[ rand @KINDS ];
    my $node   = $self->{nodes}[ rand @{ $self->{nodes} } ];
    my $method = "_ask_$kind";
    return $self->$method( $handle, $node );
}

sub _ask_get    { my ( $self, $handle, $node ) = @_; return $self->_ask( $handle, get     => [$node] ) }
sub _ask_exists { my ( $self, $handle, $node ) = @_; return $self->_ask( $handle, exists  => [$node] ) }
sub _ask_acl    { my ( $self, $handle, $node ) = @_; return $self->_ask( $handle, get_acl => [$node] ) }

sub _ask_set {
    my ( $self, $handle, $node ) = @_;
    return $self->_ask( $handle, set => [ $node, ++$self->{number} ] );
}

sub _ask_children {
    my ( $self, $handle ) = @_;
    return $self->_ask( $handle, get_children => ["$self->{base}/nodes"] );
}

sub _ask_ensure_path {
    my ( $self, $handle, $node ) = @_;
    return $self->_ask( $handle, ensure_path => [ "$node/a" . int( rand 9 ) . '/b' ] );
}

sub _ask_multi_read {
    my ( $self, $handle, $node ) = @_;
    my $reads = $handle->{zk}->multi_read->get($node)->get_children($node);
    return $self->_ask( $handle, commit => [], object => $reads, kind => 'multi_read' );
}

# Names that are never used twice: what is there more than once was done more than once.
sub _ask_create {
    my ( $self, $handle ) = @_;
    my $name = ++$self->{number};
    return $self->_ask(
        $handle,
        create => [ "$self->{base}/made/$name-", value => $name, sequential => 1 ],
        done   => sub { $self->_made( $name, @_ ) }
    );
}

sub _ask_transaction {
    my ( $self, $handle, $node ) = @_;
    my $name        = ++$self->{number};
    my $transaction = $handle->{zk}->transaction->create( "$self->{base}/made/$name-", sequential => 1 )
      ->set( $node => $name );
    return $self->_ask(
        $handle,
        commit => [],
        object => $transaction,
        kind   => 'transaction',
        done   => sub {
            my ( $error, @results ) = @_;
            my ($bad) = grep { $_->{type} eq 'error' } @results;
            $self->_problem("a transaction: $bad->{message}") if $bad;
            $self->_made( $name, $error, $results[0] && $results[0]{path} );
        }
    );
}

sub _made {
    my ( $self, $name, $error, $path ) = @_;
    my $fate = !defined $error ? 'sure' : $error->maybe_applied ? 'maybe' : 'none';
    $self->{made}{$name} = { fate => $fate, path => $path };
    push @{ $self->{to_delete} }, $name if $fate eq 'sure';
    return;
}

sub _ask_delete {
    my ( $self, $handle ) = @_;
    my $made = $self->{made}{ pop @{ $self->{to_delete} } // return };
    return $self->_ask(
        $handle,
        delete => [ $made->{path} ],
        done   => sub {
            my ($error) = @_;
            $made->{fate} = !defined $error ? 'none' : $error->maybe_applied ? 'maybe' : 'sure';
        }
    );
}

sub _ask_watch {
    my ( $self, $handle, $node ) = @_;
    my $watch =
      { fate => 'asked', fired => 0, handle => $handle, session => $handle->{sessions} // 0, node => $node };
    push @{ $self->{watches} }, $watch;
    $self->{count}{watches}++;
    my $form    = $self->{forms}[ rand 2 ];    # what promises call may be called later than the watcher
    my $watcher = sub {
        $self->{count}{events}++;
        $self->_problem("a watcher was called for a request that was $watch->{fate}")
          if $watch->{fate} ne 'armed';
        $self->_problem('a watcher was called twice') if $watch->{fired}++;
    };
    return $self->_ask(
        $handle,
        get  => [ $node, watcher => $watcher ],
        form => $form,
        done => sub { $watch->{fate} = defined $_[0] ? 'refused' : 'armed' }
    );
}

# Nobody hears of it, and nobody else of its answer.
sub _ask_cancelled {
    my ( $self, $handle, $node ) = @_;
    $handle->{zk}->get_f($node)->on_done( sub { $self->_problem('a future that was cancelled is done') } )
      ->cancel;
    return;
}

# A callback that asks and waits.
sub _waits_within {
    my ( $self, $handle ) = @_;
    $self->{count}{'in callbacks'}++;
    my $error = eval { $handle->{zk}->exists( $self->{nodes}[0] ); 1 } ? undef : $@;
    $self->_check( $handle, 'exists', $error );
    return;
}

sub _ask {
    my ( $self, $handle, $command, $args, %arg ) = @_;
    my $object = $arg{object} // $handle->{zk};
    my $kind   = $arg{kind}   // $command;
    my $form   = $arg{form}   // $self->{forms}[ rand @{ $self->{forms} } ];
    my $number = ++$self->{count}{requests};
    $self->{pending}{$number} = $kind;
    my $sessions = $handle->{sessions} // 0;
    my $told     = sub {
        my ( $error, @result ) = @_;
        $self->{count}{answers}++;
        delete $self->{pending}{$number} or return $self->_problem("a $kind was answered twice");
        my $reopened = $sessions != ( $handle->{sessions} // 0 );
        $self->_check( $handle, $kind, $error, $reopened ) or return;
        $arg{done}->( $error, @result ) if $arg{done};
        $self->_waits_within($handle)   if !$handle->{is_guest} && rand() < $WAITS_WITHIN;
    };
    if ( $form eq 'cb' ) {
        $object->$command( @$args, cb => $told );
        return;
    }
    my $method = "${command}_$form";
    my $later  = $object->$method(@$args);
    if ( $form eq 'p' ) {
        $later->then( sub { $told->( undef, @_ ) }, $told );
    }
    else {
        $later->on_done( sub { $told->( undef, @_ ) } )->on_fail($told);
    }
    return;
}

# Whether a fault may end a request with this error. Handles that come may find a server that is behind the others, and
# when they go what they have asked is told so; as is what takes several steps, when the handle is reopened between two of
# them.
sub is_allowed {
    my ( undef, $error, $handle, $is_between_steps ) = @_;
    return 1                  if $ALLOWED{ $error->code };
    return $error == ZCLOSING if $is_between_steps;
    return $handle && $handle->{is_guest} && ( $error == ZNONODE || $error == ZCLOSING );
}

sub _check {
    my ( $self, $handle, $kind, $error, $reopened ) = @_;
    my $code =
      !defined $error ? ZOK : blessed $error && $error->isa('ZooKeeper::Error') ? $error->code : undef;
    if ( !defined $code ) {
        $self->_problem("a $kind died: $error");
        return;
    }
    $self->{codes}{ zerror($code) }++;
    return 1                                  if $code == ZOK;
    $self->{codes}{'of them maybe applied'}++ if $error->maybe_applied;
    $self->_problem("a $kind: $error")
      if !$self->is_allowed( $error, $handle, $reopened && $kind eq 'ensure_path' );
    $self->_problem("a $kind may have been applied") if $error->maybe_applied && !$WRITES{$kind};
    return 1;
}

sub _blocking_call {
    my ($self) = @_;
    my $handle = $self->{handles}[ rand @{ $self->{handles} } ];
    my $node   = $self->{nodes}[ rand @{ $self->{nodes} } ];
    $self->{count}{blocking}++;

    # While it waits, a handler asks for more, and waits itself.
    my @inner;
    local $SIG{ALRM} = sub {
        $self->{count}{'in handlers'}++;
        $self->_ask_get( $handle, $node );
        push @inner, eval { $handle->{zk}->exists($node); 1 } ? undef : $@;
    };
    setitimer( ITIMER_REAL, 0.001 + rand 0.002 );
    my $error = eval { $handle->{zk}->exists($node); 1 } ? undef : $@;
    setitimer( ITIMER_REAL, 0 );
    $self->_check( $handle, 'exists', $_ ) for $error, @inner;
    return;
}

1;

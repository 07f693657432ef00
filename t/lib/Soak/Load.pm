package Soak::Load;
use strict;
use warnings;

use Carp         ();
use List::Util   qw(shuffle);
use Scalar::Util qw(blessed weaken);
use Time::HiRes  qw(setitimer ITIMER_REAL);
use ZooKeeper::Constants;

# What a soak run asks of its sessions, and the account of the answers. Whether they are right is not asked here (Chaos
# does that), but that there is one for each request, and that it is one that may be.

# How often, of each kind.
my %OFTEN = (
    get         => 20,
    exists      => 8,
    children    => 8,
    several     => 6,
    set         => 15,
    create      => 10,
    ephemeral   => 4,
    delete      => 8,
    transaction => 6,
    multi_read  => 4,
    ensure_path => 4,
    deep        => 2,
    many        => 0.3,
    large       => 1,
    acl         => 4,
    config      => 1,
    auth        => 1,
    watch       => 12,
    persistent  => 3,
    fails       => 10,
    refused     => 6,
    impatient   => 1,
    unheard     => 4,
    interrupted => 4,
    waits       => 2,
);
my @KINDS = map { ($_) x ( 10 * $OFTEN{$_} ) } sort keys %OFTEN;

my $LARGE       = 'x' x 900_000;
my $CHILDREN    = 300;
my $PERSISTENTS = 12;

# How many callbacks and watchers die.
my $DIES = 0.02;

# What may become of a request when servers come and go, and others change the same nodes.
my %ALLOWED = map { $_ => 1 } ZOK, ZCONNECTIONLOSS, ZSESSIONEXPIRED, ZSESSIONMOVED, ZNONODE, ZNODEEXISTS,
  ZNOTEMPTY,
  ZBADVERSION, ZNOWATCHER, ZMARSHALLINGERROR, ZOPERATIONTIMEOUT, ZCLOSING, ZTHROTTLEDOP,
  ZINVALIDSTATE;    # of what is made of several steps when the handle was closed between two of them

# What no server would take, and what is of a wrong type: commands and arguments; the rest of the path comes with them.
my @REFUSED = (
    [ create   => 'no-slash' ],
    [ get      => '/x//y' ],
    [ set      => '/x', [] ],
    [ set      => '/x', "\x{263a}" ],
    [ set      => '/x', 'x' x 1_100_000 ],
    [ set_acl  => '/x', [ {} ] ],
    [ set_acl  => '/x', 'bad' ],
    [ set      => '/x', 'v', version => 'many' ],
    [ get      => '/x', watcher         => 'bad' ],
    [ get      => '/x', request_timeout => [] ],
    [ delete   => '/' . "\0" ],
    [ add_auth => undef, 'a:b' ],
    [ create   => '/x',  ttl => -1 ],
);

sub _ask_something {
    my ( $self, $handle ) = @_;
    $handle //= $self->{handles}[ rand @{ $self->{handles} } ];
    my $kind   = $KINDS[ rand @KINDS ];
    my $method = "_ask_$kind";
    $self->{count}{requests}++;
    return $self->$method( $handle, $self->_a_node );
}

sub _a_node { return "$_[0]{base}/n" . int rand 16 }

sub _ask_get    { my ( $self, $handle, $node ) = @_; return $self->_ask( $handle, get    => [$node] ) }
sub _ask_exists { my ( $self, $handle, $node ) = @_; return $self->_ask( $handle, exists => [$node] ) }

sub _ask_set {
    my ( $self, $handle, $node ) = @_;
    my $value = rand() < 0.1 ? undef : 'v' x rand 500;
    return $self->_ask( $handle, set => [ $node, $value ] );
}

sub _ask_children {
    my ( $self, $handle ) = @_;
    my $command = rand() < 0.5 ? 'get_children' : 'get_children2';
    return $self->_ask( $handle, $command => [ $self->{base} ] );
}

sub _ask_several {
    my ( $self, $handle, $node ) = @_;
    my @all = (
        [ sync                    => [$node] ],
        [ whoami                  => [] ],
        [ get_ephemerals          => ['/'] ],
        [ get_all_children_number => [ $self->{base} ] ],
    );
    return $self->_ask( $handle, @{ $all[ rand @all ] } );
}

sub _ask_create {
    my ( $self, $handle, $node ) = @_;
    my $command = rand() < 0.5 ? 'create' : 'create2';
    return $self->_ask( $handle, $command => [ "$node/c-", value => 'v', sequential => 1 ], \&_has_made );
}

sub _ask_ephemeral {
    my ( $self, $handle, $node ) = @_;
    return $self->_ask( $handle, create => [ "$node/e-", ephemeral => 1, sequential => 1 ], \&_has_made );
}

sub _has_made {
    my ( $self, $error, $path ) = @_;
    push @{ $self->{made} }, $path if !defined $error && @{ $self->{made} } < 500;
    return;
}

sub _ask_delete {
    my ( $self, $handle ) = @_;
    my $path = pop @{ $self->{made} } // return;
    return $self->_ask( $handle, delete => [ $path, version => 0 ] );
}

sub _ask_transaction {
    my ( $self, $handle, $node ) = @_;
    my $transaction =
      $handle->{zk}->transaction->create( "$node/t", value => 'v' )->set( $node, 'v' )->check( $node, -1 )
      ->delete( rand() < 0.2 ? "$node/none" : "$node/t" );
    $transaction = $transaction->delete('no-slash') if rand() < 0.1;
    return $self->_ask( $handle, commit => [], undef, $transaction );
}

sub _ask_multi_read {
    my ( $self, $handle, $node ) = @_;
    my $reads = $handle->{zk}->multi_read->get($node)->get_children($node)->get("$node/none");
    return $self->_ask( $handle, commit => [], undef, $reads );
}

sub _ask_ensure_path {
    my ( $self, $handle, $node ) = @_;
    return $self->_ask( $handle, ensure_path => [ "$node/p" . int( rand 9 ) . '/q' ] );
}

sub _ask_deep {
    my ( $self, $handle, $node ) = @_;
    return $self->_ask( $handle, delete => [ "$node/d", recursive => 1 ] ) if rand() < 0.5;
    return $self->_ask( $handle, create => [ "$node/d/e/f" . int rand 9, parents => 1 ] );
}

# Many children at once, and all of them gone again.
sub _ask_many {
    my ( $self, $handle, $node ) = @_;
    my $transaction = $handle->{zk}->transaction->create("$node/many");
    $transaction = $transaction->create("$node/many/child-$_") for 1 .. $CHILDREN;
    $self->_ask( $handle, commit => [], undef, $transaction );
    $self->_ask( $handle, get_children => ["$node/many"] );
    return $self->_ask( $handle, delete => [ "$node/many", recursive => 1 ] );
}

sub _ask_large {
    my ( $self, $handle ) = @_;
    my $node = "$self->{base}/large";
    return $self->_ask( $handle, get => [$node] ) if rand() < 0.7;
    return $self->_ask( $handle, set => [ $node, substr $LARGE, 0, rand length $LARGE ] );
}

sub _ask_acl {
    my ( $self, $handle, $node ) = @_;
    return $self->_ask( $handle, get_acl => [$node] ) if rand() < 0.7;
    return $self->_ask( $handle, set_acl => [ $node, ZOO_OPEN_ACL_UNSAFE ] );
}

sub _ask_config {
    my ( $self, $handle ) = @_;
    return $self->_ask( $handle, get_config => [ rand() < 0.5 ? ( watcher => $self->_watcher ) : () ] );
}

sub _ask_auth {
    my ( $self, $handle ) = @_;
    return $self->_ask( $handle,
        add_auth => [ 'digest', 'soak:' . int( rand 3 ), rand() < 0.5 ? ( watcher => $self->_watcher ) : () ]
    );
}

# One that fires once. Nodes change all the time, and so it will; or it is taken off.
sub _ask_watch {
    my ( $self, $handle, $node ) = @_;
    my $watched = rand() < 0.2 ? "$node/none" : $node;
    if ( rand() < 0.1 ) {
        $handle->{zk}->remove_watcher( path => $watched );
        return;
    }
    if ( rand() < 0.1 ) {
        my $type = (qw(any data children))[ rand 3 ];
        return $self->_ask( $handle, remove_watches => [ $watched, type => $type, local => rand 2 ] );
    }
    my $command = (qw(exists get get_children get_children2))[ rand 4 ];
    return $self->_ask( $handle, $command => [ $watched, watcher => $self->_watcher ] );
}

sub _ask_persistent {
    my ( $self, $handle, $node ) = @_;
    my $added = $handle->{persistent} //= [];
    if ( @$added < $PERSISTENTS ) {
        return $self->_ask(
            $handle,
            add_watch => [ $node, watcher => $self->_watcher, recursive => rand 2 ],
            sub { push @$added, [ $node, $_[2] ] if !defined $_[1] }
        );
    }
    my ( $path, $watcher ) = @{ shift @$added };
    if ( rand() < 0.3 ) {
        $handle->{zk}->remove_watcher($watcher);
        return;
    }
    return $self->_ask( $handle, remove_watches => [ $path, watcher => $watcher, local => rand 2 ] );
}

sub _watcher {
    my ($self) = @_;
    return sub {
        $self->{count}{events}++;
        $self->_dies;
    };
}

# Now and then, what runs in a callback dies.
sub _dies {
    my ($self) = @_;
    return if rand() > $DIES;
    $self->{count}{died}++;
    die $self->{count}{died} % 2 ? "as it should\n" : { why => 'as it should' };
}

sub _ask_fails {
    my ( $self, $handle, $node ) = @_;
    my @all = (
        [ get            => "$node/none" ],
        [ get            => "$node/none", watcher => $self->_watcher ],
        [ create         => $node,        value   => 'v' ],
        [ create         => "$node/none/x" ],
        [ set            => $node, 'v', version => 99_999_999 ],
        [ set            => "$node/none", 'v' ],
        [ delete         => "$node/none" ],
        [ delete         => $node, version => 99_999_999 ],
        [ get_children   => "$node/none" ],
        [ get_acl        => "$node/none" ],
        [ set_acl        => "$node/none", ZOO_READ_ACL_UNSAFE ],
        [ remove_watches => "$node/none" ],
        [ exists         => "$node/none" ],
    );
    my ( $command, @args ) = @{ $all[ rand @all ] };
    return $self->_ask( $handle, $command => \@args );
}

sub _ask_refused {
    my ( $self,    $handle ) = @_;
    my ( $command, @args )   = @{ $REFUSED[ rand @REFUSED ] };
    my $form   = rand() < 0.5        ? ''                 : $self->_a_form($handle);
    my $method = $form =~ /\A[fp]\z/ ? "${command}_$form" : $command;
    push @args, cb => sub { }
      if $form eq 'cb';
    no warnings 'ZooKeeper';
    my ($later) = eval { $handle->{zk}->$method(@args) };
    my $refused = $@;
    $later->catch( sub { } ) if $form eq 'p' && $later;

    # What is asked of a session that is over is told that before all else.
    my $passed = join ', ', map { substr $_ // 'undef', 0, 30 } @args;
    $self->_problem("$method($passed) was not refused") if !$refused && !$handle->{zk}->is_unrecoverable;
    $self->{count}{refused}++;
    return;
}

sub _ask_impatient {
    my ( $self, $handle, $node ) = @_;
    return $self->_ask( $handle, get => [ $node, request_timeout => 0.0005 ] );
}

# Futures that are cancelled, forgotten, or part of others.
sub _ask_unheard {
    my ( $self, $handle, $node ) = @_;
    my $zk     = $handle->{zk};
    my $future = rand() < 0.7 ? $zk->get_f( $node, watcher => $self->_watcher ) : $zk->get_f("$node/none");
    return                 if rand() < 0.3;
    return $future->cancel if rand() < 0.5;
    weaken( my $weak = $zk );    # or what is retained would retain it
    return Future->needs_all( $future, $zk->exists_f($node) )
      ->then( sub { $weak ? $weak->exists_f($node) : Future->done } )->else( sub { Future->done } )->retain;
}

# A call that a handler of a signal comes into: it asks itself, waits itself, or dies.
sub _ask_interrupted {
    my ( $self, $handle, $node ) = @_;
    my $what = int rand 3;
    local $SIG{ALRM} = sub {
        $self->{count}{signals}++;
        die "interrupted\n" if !$what;
        $self->_ask( $handle, exists => [$node], undef, undef, $what == 1 ? 'cb' : '' );
    };
    my $error;
    eval {    # it may come before the call begins, and when it has returned
        setitimer( ITIMER_REAL, 0.0005 + rand 0.001 );
        $error = eval { $handle->{zk}->set( $node, 'v' ); 1 } ? undef : $@;
        setitimer( ITIMER_REAL, 0 );
        1;
    } or $error = $@;
    setitimer( ITIMER_REAL, 0 );
    $self->_check( 'set', $error ) if !defined $error || ref $error || $error ne "interrupted\n";
    return;
}

sub _ask_waits {
    my ( $self, $handle ) = @_;
    $self->_living( sub { $handle->{zk}->wait(0.003) } );
    return;
}

sub _a_form {
    my ( $self, $handle ) = @_;
    return $handle->{forms}[ rand @{ $handle->{forms} } ];
}

# Asks in one of the forms ('' waits), and sees to it that there is one answer.
sub _ask {
    my ( $self, $handle, $command, $args, $done, $object, $form ) = @_;
    $object //= $handle->{zk};
    $form   //= rand() < 0.3 ? '' : $self->_a_form($handle);
    my $number;
    my $told = sub {
        my ($error) = @_;
        defined $number && delete $self->{pending}{$number}
          or return $self->_problem("a $command was answered twice");
        $self->_check( $command, $error );
        $self->$done(@_) if $done;
        $self->_dies;
    };
    if ( $form eq '' ) {
        my @result;
        my $error = eval { @result = $object->$command(@$args); 1 } ? undef : $@;
        $self->_check( $command, $error );
        $self->$done( $error, @result ) if $done;
        return;
    }
    $number = ++$self->{number};
    $self->{pending}{$number} = join '/', $command, $form, $handle->{loop} // 'guest';
    my $later;
    my $asked = eval {
        my $method = $form eq 'cb' ? $command : "${command}_$form";
        $later = $object->$method( @$args, $form eq 'cb' ? ( cb => $told ) : () );
        1;
    };
    my $error = $@;
    if ($asked) {    # and perhaps answered by now: then it is told at once
        $self->_living(
            sub {
                $later->on_done( sub { $told->( undef, @_ ) } )->on_fail($told);
            }
        ) if $form eq 'f';
        $later->then( sub { $told->( undef, @_ ) }, $told )->catch( sub { $self->_is_meant(@_) } )
          if $form eq 'p';
        return;
    }

    # It was refused at once: a transaction with a bad path, or a session that is over.
    delete $self->{pending}{$number};
    $self->_check( $command, $error );
    return;
}

sub _check {
    my ( $self, $command, $error ) = @_;
    my $code =
      !defined $error ? ZOK : blessed $error && $error->isa('ZooKeeper::Error') ? $error->code : undef;
    return $self->_problem( "a $command died: " . ( ref $error || $error ) . Carp::longmess() )
      if !defined $code;
    my $allowed = $ALLOWED{$code} || $command eq 'commit' && $code == ZBADARGUMENTS;
    $self->{codes}{$code}++;
    return $self->_problem("a $command: $error") if !$allowed;
    return;
}

sub _may_be {
    my ( undef, $error ) = @_;
    return $ALLOWED{ $error->code };
}

# Runs what may die in a callback of ours. Some loops warn instead, see Soak::_warned.
sub _living {
    my ( $self, $code ) = @_;
    eval { $code->(); 1 } or $self->_is_meant($@);
    return;
}

sub _is_meant {
    my ( $self, $error ) = @_;
    my $text = ref $error eq 'HASH' ? $error->{why} : $error;
    $self->_problem("died: $text") if $text !~ /\Aas it should\b|\AHASH\b/;
    return;
}

1;

package Soak::Guests;
use strict;
use warnings;

use Module::Runtime qw(use_module);
use POSIX           qw(WNOHANG);
use ZooKeeper;
use ZooKeeper::Constants;

# Handles that come and go, and children.

my @LOOPS = qw(Pipe Mojo AnyEvent IOAsync POE Interrupt);

# Seconds that a child may take.
my $CHILD_WITHIN = 120;

my @GUESTS =
  qw(closed forgotten closed_while_pending forgotten_while_pending never_connects named kept throttled bad other);

# Those loops that are installed. All are loaded at once: what a module takes is no leak.
sub _load_loops {
    my ($self) = @_;
    $self->{loops} = [
        grep {
            eval { use_module("ZooKeeper::Dispatcher::$_") }
        } @LOOPS
    ];
    return;
}

sub _guest {
    my ($self) = @_;
    my $kind   = $GUESTS[ rand @GUESTS ];
    my $method = "_guest_$kind";
    $self->{count}{guests}++;
    $self->_living( sub { $self->$method } );
    return;
}

# A new handle, with a dispatcher of its own of some kind.
sub _new_guest {
    my ( $self, @args ) = @_;
    my $loop = $self->{loops}[ rand @{ $self->{loops} } ];
    my $zk   = ZooKeeper->new(
        hosts      => $self->{hosts},
        timeout    => $self->{timeout_ms},
        dispatcher => $loop,
        watcher    => sub { $self->{count}{'session events'}++ },
        @args
    );
    return { zk => $zk, forms => [qw(cb f)], is_guest => 1 };
}

# Asks for this and that without waiting, and has something watched.
sub _ask_of_guest {
    my ( $self, $guest, $times ) = @_;
    for my $form ( map { $_ % 2 ? 'cb' : 'f' } 1 .. $times ) {
        my $node = $self->_a_node;
        $self->_ask( $guest, set => [ $node, 'guest' ],                    undef, undef, $form );
        $self->_ask( $guest, get => [ $node, watcher => $self->_watcher ], undef, undef, $form );
        $self->_ask(
            $guest,
            add_watch => [ $node, watcher => $self->_watcher, recursive => 1 ],
            undef, undef, $form
        );
    }
    return;
}

sub _guest_closed {
    my ($self) = @_;
    my $guest = $self->_new_guest;
    $self->_ask_something($guest) for 1 .. 3;
    $self->_ask( $guest, exists => ['/'], undef, undef, '' );
    $guest->{zk}->close;
    return;
}

sub _guest_forgotten {
    my ($self) = @_;
    my $guest = $self->_new_guest;
    $self->_ask( $guest, get => [ $self->_a_node, watcher => $self->_watcher ], undef, undef, '' );
    return;
}

sub _guest_closed_while_pending {
    my ($self) = @_;
    my $guest = $self->_new_guest;
    $guest->{zk}->is_connected if rand() < 0.5;
    $self->_ask_of_guest( $guest, 10 );
    $self->_living( sub { $guest->{zk}->dispatcher->run_loop_once(0.001) } );
    $guest->{zk}->close;
    $self->_let_answer($guest);
    return;
}

# What is owed by a handle that was closed is told by its dispatcher, which goes with it.
sub _let_answer {
    my ( $self, $guest ) = @_;
    my $dispatcher = $guest->{zk}->dispatcher;
    while ( $dispatcher->channel->size ) {
        $self->_living( sub { $dispatcher->run_loop_once(0) } );
    }
    return;
}

sub _guest_forgotten_while_pending {
    my ($self) = @_;
    my $guest = $self->_new_guest;
    $self->_ask( $guest, exists => ['/'], undef, undef, '' ) if rand() < 0.7;
    $self->_ask_of_guest( $guest, 10 );
    $self->_living( sub { $guest->{zk}->dispatcher->run_loop_once(0.001) } ) if rand() < 0.5;
    delete $guest->{zk};    # those whom it owes an answer get one
    return;
}

sub _guest_never_connects {
    my ($self) = @_;
    my $guest = $self->_new_guest( hosts => '127.0.0.1:1' );
    $self->_ask_of_guest( $guest, 3 );
    $self->_let_answer($guest);
    $guest->{zk}->close if rand() < 0.5;
    return;
}

# Names are looked up by threads.
sub _guest_named {
    my ($self) = @_;
    my $guest = $self->_new_guest( hosts => $self->{hosts} =~ s/127\.0\.0\.1/localhost/gr );
    $self->_ask( $guest, exists => ['/'], undef, undef, '' ) if rand() < 0.5;
    return;
}

# Two after each other with one session.
sub _guest_kept {
    my ($self) = @_;
    my $guest = $self->_new_guest;
    $self->_ask( $guest, exists => ['/'], undef, undef, '' );
    my $id = $guest->{zk}->client_id;
    $guest->{zk}->close( keep => 1 );
    return if !$id;
    $guest = $self->_new_guest( client_id => $id );
    $self->_ask( $guest, exists => ['/'], undef, undef, '' );
    return;
}

sub _guest_throttled {
    my ($self) = @_;
    my $guest = $self->_new_guest( max_in_flight => 2 );
    $self->_ask_of_guest( $guest, 10 );
    $self->_ask( $guest, exists => ['/'], undef, undef, '' );
    return;
}

sub _guest_bad {
    my ($self) = @_;
    for my $bad ( [ hosts => ':0' ], [ hosts => '' ], [ tls => { ca_file => '/none' } ], [ sasl => {} ] ) {
        $self->_problem("new(@$bad) was not refused") if eval { $self->_new_guest(@$bad); 1 };
    }
    return;
}

# With what the others don't have.
sub _guest_other {
    my ($self) = @_;
    my $tell   = sub { $self->{count}{traced}++; $_[0]{kept} = [1] };
    my @args   = (
        [ utf8                  => 1 ],
        [ authentication        => [ 'digest', 'a:b' ] ],
        [ read_only             => 1 ],
        [ ignore_session_events => 0 ],
        [ expire_by_clock       => 1 ],
        [ hosts                 => "$self->{hosts}$self->{base}" ],
    );
    push @args, [ tracer => { start => $tell, end => $tell } ] if $self->{is_traced};
    my $guest = $self->_new_guest( @{ $args[ rand @args ] } );
    $self->_ask( $guest, get => [ $self->_a_node, watcher => $self->_watcher ], undef, undef, '' );
    $self->_ask_something($guest) for 1 .. 10;
    $self->_let_answer($guest);
    return;
}

# What children do. Each says "ok" at its end.
my %CHILD = (
    exits      => sub { return },
    ends       => sub { _ok( $_[1] ); POSIX::_exit(0) },
    execs      => \&_child_execs,
    inert      => sub { _is_inert( $_[0] ) },
    reopens    => sub { _works( $_[0] ) },
    'vanishes' => sub { _works( $_[0], 'vanish' ); _ok( $_[1] ); POSIX::_exit(0) },
    guest      => sub { $_[0]->_guest_forgotten },
    grandchild => \&_child_forks,
);
my @CHILDREN = sort keys %CHILD;

sub children_that { return @CHILDREN }

sub _fork {
    my ( $self, $what ) = @_;
    $what //= $CHILDREN[ rand @CHILDREN ];
    pipe my $read, my $write or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if ($pid) {
        close $write;
        $self->{count}{children}++;
        push @{ $self->{children} },
          { pid => $pid, what => $what, read => $read, until => time + $CHILD_WITHIN, said => '' };
        return;
    }
    close $read;
    $self->{in_child}->();
    alarm $CHILD_WITHIN;
    @{$self}{qw(problems children)} = ( [], [] );
    my $fine = eval { $CHILD{$what}->( $self, $write ); 1 };
    print {*STDERR} "child that $what: $@" if !$fine;
    print {*STDERR} map { "child that $what: $_\n" } $self->problems;
    _ok($write) if $fine && !$self->problems;
    exit 0;
}

sub _ok { return syswrite $_[0], 'ok' }

sub _child_execs {
    my ( $self, $write ) = @_;
    open STDOUT, '>&', $write or die "$!\n";
    exec $^X, '-e', 'opendir my $dir, "/proc/self/fd"; print "ok"' or die "exec: $!\n";
}

sub _child_forks {
    my ($self) = @_;
    _works($self);
    my $pid = fork // die "fork: $!\n";
    if ( !$pid ) {
        my $fine = eval { _works($self); 1 } && !$self->problems;
        POSIX::_exit( $fine ? 0 : 1 );
    }

    # EV reaps children by itself, but only when its loop runs.
    waitpid( $pid, 0 ) == $pid && $? == 0 or die "the grandchild: $?\n";
    return;
}

sub _is_inert {
    my ($self) = @_;
    for my $handle ( @{ $self->{handles} } ) {
        my $error = eval { $handle->{zk}->get('/'); 1 } ? undef : $@;
        ref $error && $error == ZINVALIDSTATE or die 'not refused: ' . ( $error // 'it worked' ) . "\n";
    }
    return;
}

sub _works {
    my ( $self, $vanishes ) = @_;
    my $handle = $self->{handles}[ rand @{ $self->{handles} } ];
    my $zk     = $handle->{zk};
    $zk->reopen;
    my $node = $self->_a_node;
    $self->_ask( $handle, @$_, undef, undef, '' )
      for [ get => [ $node, watcher => $self->_watcher ] ],
      [ create => [ "$node/e-", ephemeral => 1, sequential => 1 ] ],
      [ set => [ $node, 'child' ] ];
    my $future = $zk->exists_f($node);
    $self->_living( sub { $future->await } ) while !$future->is_ready;
    $self->_check( exists => scalar $future->failure );   # like the others it may be lost with the connection
    $zk->close if !$vanishes;
    return;
}

# Looks after them.
sub _see_children {
    my ($self) = @_;
    for my $child ( splice @{ $self->{children} } ) {
        vec( my $fds = '', fileno $child->{read}, 1 ) = 1;
        if ( !$child->{ended} && 0 < select $fds, undef, undef, 0 ) {    # -1 if a signal comes between
            $child->{ended} = !sysread $child->{read}, $child->{said}, 10, length $child->{said};
        }
        if ( $child->{ended} && waitpid $child->{pid}, WNOHANG ) {       # by us, or by EV
            $self->_problem("a child that $child->{what} has not come to its end") if $child->{said} ne 'ok';
            next;
        }
        if ( time > $child->{until} ) {
            $self->_problem("a child that $child->{what} hangs");
            kill KILL => $child->{pid};
            waitpid $child->{pid}, 0;
            next;
        }
        push @{ $self->{children} }, $child;
    }
    return;
}

1;

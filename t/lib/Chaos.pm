package Chaos;
use strict;
use warnings;

use FaultProxy;
use ServerFaults;
use Faults          qw(open_files);
use Module::Runtime qw(use_module);
use List::Util      qw(shuffle);
use TestZK          qw(wait_for);
use Time::HiRes     qw(time);
use ZooKeeper;
use parent qw(LongRun Chaos::Requests);

# Two sessions with a thousand requests under way, in all forms, while one fault after the other comes over their
# servers; and an account of every request. The work is done in rounds: faults come, all is healed, every request has
# to be answered, and what is there has to be what the answers said.
#
#     my $chaos = Chaos->new( server => ZooKeeper::Test::Server->new( servers => 3 ), seed => 42 );
#     $chaos->run(600);
#     print $chaos->report;
#     die if $chaos->problems;

my $TIMEOUT_MS     = 4_000;
my $IN_FLIGHT      = 1_000;
my $RATE           = 4_000;    # requests a second: a faster client would only show how slow the servers are
my $NODES          = 16;
my $FAULTS_A_ROUND = 2;

# Seconds that everything may take after the faults are over, and bytes by which the process may grow after its first
# rounds. Generous: a request that is forgotten is never answered, and a leak grows with each.
my $HEALED_WITHIN = 120;
my $MAY_GROW      = 48 << 20;

sub new {
    my ( $class, %arg ) = @_;
    my $self = bless {
        server => $arg{server},
        seed   => $arg{seed} // int rand 2**31,
        say    => $arg{say}  // sub { },
        number => 0,
        count  => { map { $_ => 0 } qw(rounds requests answers blocking watches events reopened) },
        map { $_ => {} } qw(faulted codes pending),
    }, $class;
    $self->{problems} = [];
    my $server = $self->{server};
    $self->{proxy} = FaultProxy->new( map { $server->hosts($_) } 0 .. $server->count - 1 );
    $self->{faults} =
      ServerFaults->new( server => $server, proxy => $self->{proxy}, timeout_ms => $TIMEOUT_MS );
    my $has_mojo = eval { require Mojo::Promise };
    my $name     = $self->{loop} = $arg{dispatcher} // ( $has_mojo ? 'Mojo' : 'Pipe' );
    $self->{forms}      = [ qw(cb f), $name eq 'Mojo' ? 'p' : () ];    # it is that loop which promises need
    $self->{dispatcher} = use_module("ZooKeeper::Dispatcher::$name")->new;
    $self->{handles}    = [ map { { zk => $self->_new_handle, sessions => 1 } } 1 .. 2 ];
    $_->{zk}->wait_connected(60) for @{ $self->{handles} };
    return $self;
}

# Whose loop it is.
sub loop { return $_[0]{loop} }

sub _account {
    my ($self) = @_;
    my %size = map { $_ => sprintf '%.1f MB', ( $self->{$_} // 0 ) / 2**20 } qw(settled_size size);
    return (
        "seed: $self->{seed}\n",
        $self->_counts( $self->{count} ) . "\n",
        'faults: ' . $self->_counts( $self->{faulted} ) . "\n",
        'answers: ' . $self->_counts( $self->{codes} ) . "\n",
        "memory: $size{settled_size} after the first rounds, $size{size} at the end\n"
    );
}

# Rounds, for so many seconds, but at least one.
sub run {
    my ( $self, $seconds ) = @_;
    local $SIG{__WARN__} = sub { $self->_problem("warning: $_[0]") };
    srand $self->{seed};
    my $end = time + $seconds;
    my @faults;
    do {
        push @faults, shuffle $self->{faults}->of_one if @faults < $FAULTS_A_ROUND;
        $self->_round( splice @faults, 0, $FAULTS_A_ROUND );
    } until time > $end || $self->problems;
    $self->_end;
    return;
}

sub _round {
    my ( $self, @faults ) = @_;
    my $round = ++$self->{count}{rounds};
    my $base  = $self->{base} = "/chaos-$$-" . int( 1000 * time );
    $self->_surely( sub { $_[0]->ensure_path("$base/nodes") } );
    $self->_surely( sub { $_[0]->ensure_path("$base/made") } );
    $self->{nodes} = [ map { "$base/nodes/n$_" } 1 .. $NODES ];
    for my $node ( @{ $self->{nodes} } ) {
        $self->_surely( sub { $_[0]->ensure_path( $node, value => 'v' ) } );
    }

# A server may be behind the others, and serve reads of that time, but not to a session that has written since.
    $self->_surely( sub { $_[0]->set( $self->{nodes}[0] => 'v' ) }, $_ ) for @{ $self->{handles} };
    @{$self}{qw(made watches)} = ( {}, [] );

    $self->_work(0.5);
    for my $name (@faults) {
        my ($at) =
          grep { defined } map { $self->{proxy}->index_of( $_->{zk}->server ) } shuffle @{ $self->{handles} };
        $at //= 0;
        $self->{say}->("round $round: $name of server $at");
        $self->{faulted}{$name}++;
        my $fault = $self->{faults}->begin( $name, $at );
        $self->_work( rand 0.5 );
        $self->_guest;
        $self->_work( $fault->{seconds} );
        $fault->{heal}->();
        $self->_work(1);
    }
    $self->_drain;
    $self->_verify if !$self->problems;
    $self->_tidy_up;
    $self->_look_at_the_process($round);
    return;
}

sub _new_handle {
    my ($self) = @_;
    return ZooKeeper->new(
        hosts      => $self->{proxy}->hosts,
        timeout    => $TIMEOUT_MS,
        dispatcher => $self->{dispatcher}
    );
}

# A handle that goes in the midst of it. Those whom it owes an answer get one at that moment.
sub _guest {
    my ($self) = @_;
    my $guest = { zk => $self->_new_handle, is_guest => 1 };
    for ( 1 .. 30 ) {
        my $node = $self->{nodes}[ rand @{ $self->{nodes} } ];
        $self->$_( $guest, $node ) for qw(_ask_get _ask_set _ask_create _ask_watch);
    }
    $self->{dispatcher}->run_loop_once(0.001) for 1 .. rand 3;
    delete $guest->{zk};
    return;
}

# Asks and asks, for so many seconds.
sub _work {
    my ( $self, $seconds ) = @_;
    my $start = time;
    my ( $asked, $blocking ) = ( 0, 0 );
    while ( ( my $passed = time - $start ) < $seconds ) {
        while ( keys %{ $self->{pending} } < $IN_FLIGHT && $asked <= $RATE * $passed ) {
            $self->_ask_something;
            $asked++;
        }
        $self->{dispatcher}->run_loop_once(0.01);
        $self->_reopen_expired;
        next if $blocking > 2 * $passed;
        $blocking++;
        $self->_blocking_call;
    }
    return;
}

# An ensemble without a leader for too long lets sessions expire.
sub _reopen_expired {
    my ($self) = @_;
    for my $handle ( grep { $_->{zk}->is_unrecoverable } @{ $self->{handles} } ) {
        $handle->{zk}->reopen;
        $handle->{sessions}++;
        $self->{count}{reopened}++;
    }
    return;
}

sub _drain {
    my ($self) = @_;
    my $end = time + $HEALED_WITHIN;
    while ( %{ $self->{pending} } && time < $end ) {
        $self->{dispatcher}->run_loop_once(0.05);
        $self->_reopen_expired;
    }
    my @left = sort values %{ $self->{pending} };
    $self->_problem("never answered: @left") if @left;
    return;
}

sub _verify {
    my ($self) = @_;

    # Every watch that is armed hears of this change, if it has not heard of another. And what this session
    # reads after what it has written is not older than what the other one was told.
    for my $node ( @{ $self->{nodes} } ) {
        $self->_surely( sub { $_[0]->set( $node, 'changed' ) } );
    }
    my %there;
    my @names = $self->_surely( sub { $_[0]->get_children("$self->{base}/made") } );
    push @{ $there{ /\A(\d+)-/ ? $1 : $_ } }, $_ for @names;
    for my $name ( sort keys %{ $self->{made} } ) {
        my ( $fate, $path ) = @{ $self->{made}{$name} }{qw(fate path)};
        my @found = @{ delete $there{$name} // [] };
        $self->_problem("$name was made @{[ scalar @found ]} times: @found") if @found > 1;
        $self->_problem("$name is not there, but it was acknowledged")       if $fate eq 'sure' && !@found;
        $self->_problem("$name is there, but it was said not to be")         if $fate eq 'none' && @found;
        $self->_problem("$path was acknowledged, but is @found")
          if $fate eq 'sure' && @found && $path !~ m{/\Q$found[0]\E\z};
    }
    $self->_problem( 'nobody has asked for ' . join ' ', map { @$_ } values %there ) if %there;

    my @silent;
    my $end = time + $HEALED_WITHIN;
    while (
        @silent =
        grep { $_->{fate} eq 'armed' && !$_->{fired} && $_->{session} == ( $_->{handle}{sessions} // -1 ) }
        @{ $self->{watches} }
      )
    {
        if ( time > $end ) {
            $self->_problem( @silent . ' watches were not told of a change: ' . join ' ',
                map { $_->{node} } @silent );
            last;
        }
        $self->{dispatcher}->run_loop_once(0.05);
        $self->_reopen_expired;
    }
    my @watchers = $self->{dispatcher}->get_watchers;
    $self->_problem( @watchers . ' watchers are left' ) if @watchers;
    return;
}

# Asks for what has to be done whatever happened before.
sub _surely {
    my ( $self, $call, $handle ) = @_;
    $handle //= $self->{handles}[0];
    my $end = time + $HEALED_WITHIN;
    my $error;
    while ( time < $end ) {
        my @result;
        return @result if eval { @result = $call->( $handle->{zk} ); 1 };
        $error = $@;
        die $error if !ref $error || !$self->is_allowed($error);
        $self->_reopen_expired;
    }
    die "nothing can be done any more: $error";
}

sub _tidy_up {
    my ($self) = @_;
    my @paths =
      map { "$self->{base}/made/$_" } $self->_surely( sub { $_[0]->get_children("$self->{base}/made") } );
    while ( my @some = splice @paths, 0, 500 ) {
        my $transaction = $self->{handles}[0]{zk}->transaction;
        $transaction = $transaction->delete($_) for @some;
        $self->_surely( sub { $transaction->commit } );
    }
    @{$self}{qw(made watches to_delete)} = ( {}, [], [] );
    return;
}

# Memory and descriptors, once all is quiet.
sub _look_at_the_process {
    my ( $self, $round ) = @_;
    eval {
        wait_for {
            2 == grep { $_->{zk}->is_connected } @{ $self->{handles} }
        }
        $HEALED_WITHIN;
    } or $self->_problem('a session is not connected again');
    open my $statm, '<', '/proc/self/statm' or die "statm: $!\n";
    $self->{size} = 4096 * ( split ' ', <$statm> )[1];
    close $statm;
    $self->{settled_size} = $self->{size} if $round <= 3;
    my $grown = $self->{size} - $self->{settled_size};
    $self->_problem("the process has grown by $grown bytes since its third round") if $grown > $MAY_GROW;

    # A handle has one more from the moment when a call first waits for a connection.
    my $most = ( $self->{files} //= open_files() ) + @{ $self->{handles} };
    eval {
        wait_for { open_files() <= $most } 10;
    }
      or $self->_problem(
        open_files() . " descriptors are open, there were $self->{files} after the first round" );
    return;
}

sub _end {
    my ($self) = @_;
    $_->{zk}->close for @{ $self->{handles} };
    $self->{dispatcher}->run_loop_once(0) for 1 .. 100;
    my $left = $self->{dispatcher}->channel->size;
    $self->_problem("$left items are left in the channel") if $left;
    my @watchers = $self->{dispatcher}->get_watchers;
    $self->_problem( @watchers . ' watchers are left at the end' ) if @watchers;
    return;
}

1;

package Soak;
use strict;
use warnings;

use File::Temp   ();
use List::Util   qw(max min shuffle sum);
use Scalar::Util qw(blessed);
use Soak::Gauges;
use Soak::Servers;
use Time::HiRes qw(time);
use ZooKeeper;
use ZooKeeper::Constants;
use parent qw(LongRun Soak::Load Soak::Guests);

# One process that uses the client for long, in every way at once, and what that process takes meanwhile: memory,
# scalars, descriptors, threads. From time to time all is let come to rest. Then descriptors, threads and children have
# to be those of the first such moment, the servers have to know of exactly the sessions that there are, and memory must
# not have grown.
#
#     my $soak = Soak->new( seconds => 3_600, seed => 42 );
#     $soak->run;
#     print $soak->report;
#     die if $soak->problems;

my $IN_FLIGHT = 300;

# After so many problems it is of no use to go on.
my $ENOUGH = 5;

# The part of one CPU that this process may take. The servers take about as much.
my $CPU = 0.2;

# Seconds that it may take until all is at rest.
my $REST_WITHIN = 120;

# How much may be added in the second half of the run, by what is fitted to it. Runs of all lengths may have as much,
# and so a long one shows the smaller leaks: in an hour it is 2 MB, or 2_000 scalars, an hour. Perl and malloc go on
# finding better places for a while, hence the half. Of memory that malloc holds and nobody uses there is by megabytes
# more or less from one moment to the next: what is left when it was given back counts. The table has the other, too.
# Of scalars some fifty an hour are perl's: a sub that is entered while it is at work, as by a callback of Interrupt's,
# gets a pad for that depth, which it keeps. Without Interrupt that is over when all has happened once.
my %MAY_GROW = ( trimmed => 2**20, malloc => 2**20, scalars => 1_000 );

# What else happens, and after how many seconds again.
my %HAPPENS = (
    guest     => 0.4,
    fork      => 3,
    lose      => 5,
    expire    => 31,
    reopen    => 17,
    set_hosts => 11,
    replace   => 23,
    restart   => 97,
    kill      => 151,
    pause     => 61,
    trace     => 41,
    log       => 53,
    tracer    => 67,
);

sub new {
    my ( $class, %arg ) = @_;
    my $self = bless {
        seconds    => 3_600,
        seed       => int rand 2**31,
        timeout_ms => 4_000,
        wide       => 1,                # by how much more may be added
        say        => sub { },
        in_child   => sub { },          # called in each child first
        %arg,
        number => 0,
        count  => {
            map { $_ => 0 } 'requests', 'events',    'session events', 'refused',
            'signals',                  'died',      'guests',         'children',
            'traced',                   'log lines', 'not done',       keys %HAPPENS
        },
        map { $_ => [] } qw(made children problems),
    }, $class;
    $self->{pending} = {};
    $self->{codes}   = { map { $_ => 0 } ZOK, ZNONODE };
    $self->_load_loops;    # POE does not like to find a child
    $self->{servers} = Soak::Servers->new( servers => 3 );
    $self->{hosts}   = $self->{servers}->hosts;
    $self->{base}    = "/soak-$$";
    $self->{has_log} = eval { require Log::Any::Adapter };
    $self->{dispatcher} //= $self->{loops}[1] // 'Pipe';
    $self->{handles} = [ map { $self->_new_handle($_) } $self->{dispatcher}, $self->{dispatcher}, 'Pipe' ];
    $self->{others}  = [ map { "ZooKeeper::Dispatcher::$_"->new } grep { $_ eq 'POE' } @{ $self->{loops} } ];
    $self->{gauges}  = Soak::Gauges->new;
    $self->{trace_dir} = File::Temp->newdir;
    return $self;
}

sub loop    { return $_[0]{dispatcher} }
sub version { return $_[0]{servers}->version }

sub moments_of_rest { return $_[0]{gauges}->quiet_moments }

sub run {
    my ($self) = @_;
    my $seconds = $self->{seconds};
    local $SIG{__WARN__} = sub { $self->_warned(@_) };
    srand $self->{seed};
    $self->{start} = time;
    my $end   = $self->{start} + $seconds;
    my $part  = min( 60, max( 2, $seconds / 10 ) );
    my $often = min( 1,  $seconds / 300 );
    my %due   = map { $_ => time + $HAPPENS{$_} * $often * ( 0.3 + rand ) } keys %HAPPENS;
    eval {
        $self->_warm_up;
        $self->_rest;
        do {
            $self->_work( min( $end, time + $part ), \%due, $often );
            eval { $self->_rest; 1 } or $self->_problem($@);
            $self->{say}->( $self->_line );
        } until time >= $end || $self->problems > $ENOUGH;
        $self->_judge;
        $self->_judge_failures;
        1;
    } or $self->_problem($@);
    eval { $self->_end; 1 } or $self->_problem($@);
    return;
}

sub _account {
    my ($self) = @_;
    my %answers = map { zerror($_) => $self->{codes}{$_} } keys %{ $self->{codes} };
    return (
        "seed $self->{seed}, @{[ $self->moments_of_rest ]} moments of rest\n",
        $self->_counts( $self->{count} ) . "\n",
        'answers: ' . $self->_counts( \%answers ) . "\n\n",
        $self->{gauges}->table( $self->_since )
    );
}

sub _new_handle {
    my ( $self, $loop ) = @_;
    my $dispatcher = $self->{dispatchers}{$loop} //= "ZooKeeper::Dispatcher::$loop"->new;
    my $zk = ZooKeeper->new(
        hosts      => $self->{hosts},
        timeout    => $self->{timeout_ms},
        dispatcher => $dispatcher,
        watcher    => sub { $self->{count}{'session events'}++; $self->_dies },
    );
    $self->_wait_connected($zk);
    return { zk => $zk, loop => $loop, forms => [ qw(cb f), $loop eq 'Mojo' ? 'p' : () ] };
}

# A handle has a descriptor more from when a call first waits for its connection: so let one do it at once.
sub _wait_connected {
    my ( $self, $zk ) = @_;
    eval { $zk->wait_connected(60); 1 } or $self->_check( 'wait_connected', $@ );
    return;
}

# What opens something when it is used first, and then keeps it: loops, the trace.
sub _warm_up {
    my ($self) = @_;
    for my $loop ( @{ $self->{loops} } ) {
        my $guest = $self->_new_guest( dispatcher => $loop );
        $self->_ask( $guest, get => [ '/', watcher => sub { } ], undef, undef, $_ ) for '', 'cb';
        $self->_living( sub { $guest->{zk}->wait(0.01) } );
    }
    $self->_happens_trace for 1, 2;
    $self->_fork($_) for $self->children_that;
    return;
}

# Asks and asks, until then, and sees to it that other things happen.
sub _work {
    my ( $self, $end, $due, $often ) = @_;
    my ( $start, $used ) = ( time, _cpu() );
    my $sample = $start + 3;
    while ( ( my $now = time ) < $end ) {
        while ( _cpu() - $used < $CPU * ( time - $start ) && keys %{ $self->{pending} } < $IN_FLIGHT ) {
            $self->_ask_something;
        }
        $self->_turn;
        for my $what ( grep { $due->{$_} <= $now } sort keys %$due ) {
            $due->{$what} = time + $HAPPENS{$what} * $often * ( 0.5 + rand );
            my $method = $self->can("_$what") // $self->can("_happens_$what");
            $self->{count}{$what}++ if $method != $self->can('_guest');
            $self->$method;
        }
        if ( $now > $sample ) {
            $sample = $now + 5;
            $self->{gauges}->note( $now - $self->{start}, 0, $self->_now );
        }
    }
    return;
}

# The program's own time. Children are extra.
sub _cpu {
    my ( $user, $system ) = times;
    return $user + $system;
}

# Lets all loops run, and looks after the rest.
sub _turn {
    my ($self) = @_;
    for my $dispatcher ( values %{ $self->{dispatchers} }, @{ $self->{others} } ) {
        $self->_living( sub { $dispatcher->run_loop_once(0.003) } );
    }
    $_->{zk}->is_unrecoverable and $self->_reopened($_) for @{ $self->{handles} };
    $self->_see_children;
    my $answer = $self->{servers}->is_busy && $self->{servers}->answer;
    $self->{count}{'not done'}++ if $answer && !$answer->[0];    # the session is on its way somewhere, say
    return;
}

sub _reopened {
    my ( $self, $handle ) = @_;
    $handle->{zk}->reopen;
    $handle->{persistent} = [];
    $self->_wait_connected( $handle->{zk} );
    return;
}

sub _a_handle { return $_[0]{handles}[ rand @{ $_[0]{handles} } ] }

# One of the servers, or a session, has something done to it, unless that goes on already.
sub _ask_servers {
    my ( $self, @words ) = @_;
    $self->{servers}->ask(@words) if !$self->{servers}->is_busy;
    return;
}

sub _ask_about_session {
    my ( $self, $what ) = @_;
    my $id = $self->_a_handle->{zk}->client_id || return;
    return $self->_ask_servers( $what, $id->{client_id}, unpack 'H*', $id->{passwd} );
}

sub _happens_lose    { return $_[0]->_ask_about_session('lose') }
sub _happens_expire  { return $_[0]->_ask_about_session('expire') }
sub _happens_restart { return $_[0]->_ask_servers( restart => int rand 3 ) }
sub _happens_kill    { return $_[0]->_ask_servers( kill    => int rand 3 ) }
sub _happens_pause   { return $_[0]->_ask_servers( pause   => int rand 3 ) }
sub _happens_reopen  { return $_[0]->_reopened( $_[0]->_a_handle ) }

sub _happens_set_hosts {
    my ($self) = @_;
    my @hosts  = shuffle split /,/, $self->{hosts};
    pop @hosts if rand() < 0.5;
    eval { $self->_a_handle->{zk}->set_hosts( join ',', @hosts ); 1 } or $self->_check( 'set_hosts', $@ );
    return;
}

# Another handle takes the place of one, which is closed, or only forgotten.
sub _happens_replace {
    my ($self) = @_;
    my $handle = $self->_a_handle;
    $handle->{zk}->close if rand() < 0.5;
    delete $handle->{zk};    # those whom it owes an answer get one
    %$handle = %{ $self->_new_handle( $handle->{loop} ) };
    return;
}

sub _happens_trace {
    my ($self) = @_;
    my $file = "$self->{trace_dir}/trace";
    $self->{is_tracing} = !$self->{is_tracing};
    $self->{is_tracing} ? ZooKeeper->trace( 4, $file ) : ZooKeeper->trace(0);
    unlink $file if !$self->{is_tracing};
    return;
}

sub _happens_log {
    my ($self) = @_;
    return if !$self->{has_log};
    if ( my $entry = delete $self->{log} ) {
        Log::Any::Adapter->remove($entry);
        return;
    }
    require Bench::Told;
    $self->{log} = Log::Any::Adapter->set( { category => 'ZooKeeper' },
        '+Bench::Told::Log', told => sub { $self->{count}{'log lines'}++ } );
    return;
}

# From the first handle with a tracer on no call takes the shortest way. Let it be taken again when there is none.
sub _happens_tracer {
    my ($self) = @_;
    $self->{is_traced} = !$self->{is_traced};
    $ZooKeeper::Tracer::is_used = 0 if !$self->{is_traced};
    return;
}

# Nothing is asked any more, and all that was is answered; no watch, no child, no session is left but those that are
# there always. Then it is measured.
sub _rest {
    my ($self) = @_;
    $self->_until( 'answers',
        sub { !%{ $self->{pending} } && !@{ $self->{children} } && !$self->{servers}->is_busy } );
    $self->_happens_trace if $self->{is_tracing};    # its file is open
    $self->_until( 'connections', sub { $self->_are_connected } );

# What nobody waits for any more, a future that was cancelled, say, may still have something watched when it is answered.
    $self->_until(
        'answers that nobody wants',
        sub {
            !grep { $_->{zk}->metrics->{in_flight} } @{ $self->{handles} };
        }
    );
    for my $handle ( @{ $self->{handles} } ) {
        my $zk = $handle->{zk};
        $handle->{persistent} = [];
        my @watchers = grep { $_->type ne 'default' } $zk->get_watchers;
        my %paths    = map  { $_->path => 1 } @watchers;
        for my $path ( grep { rand() < 0.5 } sort keys %paths ) {
            $self->_surely( sub { $zk->remove_watches($path) }, ZNOWATCHER );
        }
    }
    $self->_turn for 1 .. 5;
    for my $handle ( @{ $self->{handles} } ) {
        $handle->{zk}->remove_watcher($_) for grep { $_->type ne 'default' } $handle->{zk}->get_watchers;
    }
    $self->_tidy_up;
    $self->_surely( sub { $_[0]{zk}->exists('/') }, undef, $_ ) for @{ $self->{handles} };

    # The client's thread answers these, and so it has let go of handles that went before.
    $self->_ask( $_, exists => ['/'], undef, undef, 'cb' ) for @{ $self->{handles} };
    $self->_until( 'answers', sub { !%{ $self->{pending} } } );
    my @dispatchers = values %{ $self->{dispatchers} };
    $self->_until(
        'an empty channel',
        sub {
            !grep { $_->channel->size } @dispatchers;
        }
    );
    $self->_until( 'the sessions', sub { $self->_are_sessions_right } );

    my $now;
    my $first       = $self->{first};
    my $is_as_first = sub {
        my $reconnects = $self->_reconnects;
        $now = $self->_now;
        return 0 if !$self->_are_connected || $self->_reconnects != $reconnects;    # a socket less, or more
        return 0 if $now->{watches} || $now->{in_flight} || $now->{zombies};
        return 1 if !$first;
        my $handles = @{ $self->{handles} };
        return !grep { $now->{$_} != $first->{$_} } qw(fds threads children);
    };
    eval { $self->_until( 'rest', $is_as_first, 30 ); 1 } or $self->_problem( _differences( $first, $now ) );
    $self->{first} //= $now;
    $self->_problem("$now->{eventfds} descriptors of kind eventfd, $self->{first}{eventfds} at first")
      if $now->{eventfds} > $self->{first}{eventfds} + @{ $self->{handles} };
    $now->{trimmed} = $self->{gauges}->trimmed;
    $self->{gauges}->note( time - $self->{start}, 1, $now );
    $self->{last} = $now;
    return;
}

sub _are_connected {
    my ($self) = @_;
    return !grep { !$_->{zk}->is_connected } @{ $self->{handles} };
}

sub _reconnects {
    my ($self) = @_;
    return sum( map { $_->{zk}->metrics->{reconnects} } @{ $self->{handles} } );
}

sub _how_it_is {
    my ($self) = @_;
    my %left;
    $left{$_}++ for values %{ $self->{pending} };
    return join ', ', '', $self->{sessions} // (), ( map { "$left{$_} $_" } sort keys %left ), map {
        my ( $zk, $metrics ) = ( $_->{zk}, $_->{zk}->metrics );
        join ' ', $_->{loop}, 'state', $zk->state, 'channel', $zk->dispatcher->channel->size,
          map { "$_ $metrics->{$_}" }
          qw(in_flight sent received events)
    } @{ $self->{handles} };
}

sub _now {
    my ($self) = @_;
    my %own = ( watches => 0, in_flight => 0 );
    for my $metrics ( map { $_->{zk}->metrics } @{ $self->{handles} } ) {
        $own{$_} += $metrics->{$_} for keys %own;
    }
    return $self->{gauges}->now(%own);
}

sub _differences {
    my ( $first, $now ) = @_;
    $first //= {};
    my @what = map { "$_ $now->{$_}, not " . ( $first->{$_} // 0 ) }
      grep { $now->{$_} != ( $first->{$_} // 0 ) } qw(fds threads children zombies watches in_flight);
    my %kinds;
    for my $sign ( 1, -1 ) {
        $kinds{s/[0-9]+/N/gr} += $sign for @{ ( $sign > 0 ? $now : $first )->{open} // [] };
    }
    return join ', ', 'no rest', @what,
      map { sprintf '%+d %s', $kinds{$_}, $_ } grep { $kinds{$_} } sort keys %kinds;
}

# Whether the servers know of those sessions that there are, and no other, and of one connection of each. One that stands
# still does not say.
sub _are_sessions_right {
    my ($self) = @_;
    return 0 if $self->{servers}->is_busy;
    $self->{servers}->ask('sessions');
    my $answer = $self->{servers}->answer(30) // return 0;
    my $mine   = join( ',',
        sort map { sprintf '%x', ( $_->{zk}->client_id || return 0 )->{client_id} } @{ $self->{handles} } )
      || '-';
    my ( $ok, @theirs ) = @$answer;
    $self->{sessions} = "sessions $mine, @theirs by the servers";
    return $ok && 2 == grep { $_ eq $mine } @theirs;
}

sub _tidy_up {
    my ($self) = @_;
    my $base = $self->{base};
    $self->_surely( sub { $_[0]{zk}->delete( $base, recursive => 1 ) }, ZNONODE );
    for my $path ( "$base/large", map { "$base/n$_" } 0 .. 15 ) {
        $self->_surely( sub { $_[0]{zk}->ensure_path( $path, value => 'v' ) } );
    }
    $self->{made} = [];

    # The others may be at servers that are behind.
    $self->_surely( sub { $_[0]{zk}->sync('/') }, undef, $_ ) for @{ $self->{handles} };
    return;
}

# Does what has to be done whatever happened before, and again when one of those things that may be came between.
sub _surely {
    my ( $self, $call, $is_fine, $handle ) = @_;
    $handle //= $self->{handles}[0];
    my $end = time + $REST_WITHIN;
    while (1) {
        return if eval { $call->($handle); 1 };
        my $error = $@;
        die $error if !blessed $error;
        return     if defined $is_fine && $error == $is_fine;
        die $error if time > $end || !$self->_may_be($error);
        $self->_turn;
    }
}

# Lets the loops run until it is so.
sub _until {
    my ( $self, $what, $condition, $seconds ) = @_;
    $seconds //= $REST_WITHIN;
    my $end = time + $seconds;
    until ( $condition->() ) {
        die "waited $seconds s in vain for $what" . $self->_how_it_is . "\n" if time > $end;
        $self->_turn;
    }
    return;
}

# When warming up was over, and where the fit begins. Of a short run there is too little to leave half of it out.
sub _since {
    my ($self) = @_;
    my $seconds = $self->{seconds};
    return $seconds < 120 ? { warm => 0, fit => 0 } : { warm => $seconds / 4, fit => $seconds / 2 };
}

sub _judge {
    my ($self) = @_;
    my $half = $self->{seconds} - $self->_since->{fit};
    for my $name ( sort keys %MAY_GROW ) {
        my $slope = $self->{gauges}->slope( $name, $self->_since->{fit} ) // next;
        my $grown = $slope * $half / 3_600;
        my $most  = $MAY_GROW{$name} * $self->{wide};
        $self->_problem( sprintf '%s: grew by %d, %d an hour; %d may be', $name, $grown, $slope, $most )
          if $grown > $most;
    }
    return;
}

# A server that trips over itself calls that a marshalling error, and what it was is in its log.
sub _judge_failures {
    my ($self) = @_;
    my $told   = $self->{codes}{ +ZMARSHALLINGERROR } || return;
    my $logged = $self->{servers}->asked('failures')->[1];
    $self->_problem("$told marshalling errors, and $logged in the servers' logs") if $told > $logged;
    return;
}

# All handles go, and with them their descriptors and sessions.
sub _end {
    my ($self) = @_;
    my $had = $self->{last} // return;
    Log::Any::Adapter->remove( $self->{log} ) if $self->{log};
    ZooKeeper->trace(0);
    $_->{zk}->close for @{ $self->{handles} };
    my $count = @{ $self->{handles} };
    $self->{handles} = [];
    return if $self->problems;
    $self->_until( 'no session', sub { $self->_are_sessions_right } );
    my $now;
    eval {
        $self->_until( 'descriptors', sub { $now = $self->_now; $now->{fds} == $had->{fds} - $count }, 30 );
        1;
    } or $self->_problem("$now->{fds} descriptors with $count handles less, $had->{fds} before");
    return;
}

sub _line {
    my ($self) = @_;
    my $now = $self->{last};
    return
      sprintf
'%5d s  %6.2f MB, %.2f trimmed  malloc %6.2f MB  scalars %d  fds %d + %d  threads %d  requests %d, guests %d, children %d',
      time - $self->{start}, ( map { $now->{$_} / 2**20 } qw(anonymous trimmed malloc) ),
      @{$now}{qw(scalars fds eventfds threads)}, @{ $self->{count} }{qw(requests guests children)};
}

# What dies in callbacks is a warning of some loops, be it that a signal's handler has come into it.
sub _warned {
    my ( $self, $warning ) = @_;
    return if $warning =~ /as it should|HASH\(0x|can't log: interrupted|\Ainterrupted\n\z/;
    $self->_problem("warning: $warning");
    return;
}

1;

package History::Run;
use strict;
use warnings;

use FaultProxy;
use File::Path qw(make_path remove_tree);
use History;
use History::Client;
use History::List;
use History::Register;
use History::Servers;
use History::Session;
use List::Util   qw(max min shuffle);
use POSIX        qw(WNOHANG);
use Scalar::Util qw(blessed);
use ServerFaults;
use ServerPartitions;
use TestZK      qw(test_server wait_for);
use Time::HiRes qw(sleep time);
use ZooKeeper;
use ZooKeeper::Constants;
use parent 'LongRun';

# Clients write and read, faults come over them and their servers, and what they were told is compared with what is
# there.
#
#     my $run = History::Run->new( workload => 'register', seed => 42, dir => 'DIR' );
#     $run->run(600);
#     print $run->report;
#     die if $run->problems;
#
# It goes in rounds; a round has a directory with its history, which stays if there is a problem. One in which the
# servers have lost writes by their own logs (History::Servers), or disagree at the end, is no problem of ours: it is
# counted, its history stays, too, and it goes on with new servers. Other arguments: faults, names of those that come,
# each_once if a round is not over before each has come; clients, handles, rate; keep, all histories; say, which is
# told what happens.

my $ROUND = 120;    # seconds: a longer history takes longer to check

# Seconds until a client has come to its end, and until what is left of those that were killed is gone.
my $ENDED_WITHIN = 200;
my $GONE_WITHIN  = 60;

my @TIMEOUTS_MS = ( 4_000, 6_000, 10_000 );
my $FAULT_MS    = 4_000;
my @FORMS       = ( ['blocking'], ['cb'], ['f'], [qw(blocking cb f)] );

my %OF_CLIENTS = ( 'kill of a client' => \&_kill_client, 'stop of a client' => \&_stop_client );

# Processes, sessions of each, requests a second of each. A hundred who write are only there to be restarted under.
my %WORKLOAD = (
    register => { clients => 4, handles => 2,  rate => 80 },
    list     => { clients => 4, handles => 2,  rate => 80 },
    writers  => { clients => 5, handles => 20, rate => 80, faults => ['rolling restart'] },
);

sub workloads {
    my @names = sort keys %WORKLOAD;
    return @names;
}

sub new {
    my ( $class, %arg ) = @_;
    my $workload = $WORKLOAD{ $arg{workload} } // die "no such workload: $arg{workload}\n";
    my $self     = bless {
        %$workload,
        seed => int rand 2**31,
        say  => sub { },
        %arg,
        problems => [],
        count    => {},
        faulted  => {},
        number   => 0,
        theirs   => [],
        map { $_ => 0 } qw(rounds unjudged),
    }, $class;
    $self->_set_up;
    $self->{faults} //= [ $self->{over}->names, sort keys %OF_CLIENTS ];
    return $self;
}

sub _set_up {
    my ($self) = @_;
    delete @{$self}{qw(proxy over server between)};
    my $between = $self->{between} = ServerPartitions->new;
    my $server  = $self->{server}  = test_server( servers => 3, $between->arguments );
    my $proxy   = $self->{proxy}   = FaultProxy->new( map { $server->hosts($_) } 0 .. $server->count - 1 );
    $self->{over} =
      ServerFaults->new( server => $server, proxy => $proxy, between => $between, timeout_ms => $FAULT_MS );
    return;
}

sub judged { return $_[0]{rounds} - $_[0]{unjudged} }
sub faults { return @{ $_[0]{faults} } }

sub _account {
    my ($self) = @_;
    return (
        "seed: $self->{seed}, rounds: $self->{rounds}, of them $self->{unjudged} that servers spoiled\n",
        $self->_counts( $self->{count} ) . "\n",
        'faults: ' . $self->_counts( $self->{faulted} ) . "\n",
        map { "servers: $_\n" } @{ $self->{theirs} }
    );
}

# Rounds, for so many seconds, but at least one.
sub run {
    my ( $self, $seconds ) = @_;
    srand $self->{seed};
    my $end = time + $seconds;
    do {
        $self->_round( min( $ROUND, max( $end - time, $seconds / 2 ) ) );
    } until time > $end - 1 && ( $self->judged || $self->{unjudged} > 4 ) || $self->problems;
    return;
}

# What a history violates.
sub check {
    my ( $class, $history ) = @_;
    return map { $_->check($history) } qw(History::Register History::List History::Session);
}

# How many requests came to what.
sub counts {
    my ( $class, $history ) = @_;
    my %count = ( sessions => scalar keys %{ $history->sessions } );
    for my $op ( $history->ops ) {
        my $kind = $op->{op} =~ /\A(?:set|multi|create|delete)\z/ ? 'writes' : 'reads';
        $count{ "$kind " . ( $op->{code} eq ZBADVERSION ? 'at another version' : $op->{out} ) }++;
    }
    @count{ 'reads stale after sync', 'reads after sync' } = History::Register->stale_after_sync($history);
    return \%count;
}

sub _round {
    my ( $self, $seconds ) = @_;
    my $round = ++$self->{rounds};
    $self->{round_dir} = "$self->{dir}/round-$round";
    make_path( $self->{round_dir} );
    $self->{base}  = "/history-$$-$self->{seed}-$round";
    $self->{nodes} = $self->{workload} eq 'register' ? 4 : 0;
    $self->_prepare;
    $self->{living} = {};
    $self->_start_client for 1 .. $self->{clients};
    $self->_faults( time + $seconds );
    $self->{over}->settle;
    $self->_end_clients;
    $self->_find;

    my $history = History->load( $self->{round_dir} );
    my $count   = $self->counts($history);
    $self->{count}{$_} += $count->{$_} for keys %$count;
    my @violations = $self->check($history);
    my @theirs     = ( $self->_differences, @violations ? $self->_lost($history) : () );
    if (@theirs) {
        $self->{unjudged}++ if @violations;
        $self->{say}->("servers: $_") for @theirs;
        push @{ $self->{theirs} }, @theirs;
        $self->_set_up;
    }
    else {
        $self->_problem($_) for @violations;
    }
    remove_tree( $self->{round_dir} ) if !@violations && !$self->problems && !$self->{keep};
    return;
}

# The logs of the servers are kept with the history.
sub _lost {
    my ( $self, $history ) = @_;
    my @logs = map { $self->{server}->log( $_, 1_000_000 ) } 0 .. $self->{server}->count - 1;
    for my $i ( 0 .. $#logs ) {
        open my $file, '>', "$self->{round_dir}/server-$i.txt" or die "$self->{round_dir}: $!\n";
        print {$file} $logs[$i];
        close $file;
    }
    return History::Servers->lost( $history, @logs );
}

# A handle that is gone before the next process is forked.
sub _prepare {
    my ($self) = @_;
    my $zk = $self->_own_handle;
    for my $path ( $self->{base}, map { "$self->{base}/$_" } qw(list ephemeral) ) {
        $self->_surely( sub { $zk->ensure_path($path) } );
    }
    for my $n ( 1 .. $self->{nodes} ) {
        $self->_surely( sub { $zk->ensure_path( "$self->{base}/n$n", value => 'first' ) } );
    }
    $zk->close;
    return;
}

# With one of the servers, or all.
sub _own_handle {
    my ( $self, $i ) = @_;
    return ZooKeeper->new( hosts => $self->{server}->hosts($i), timeout => 20_000, dispatcher => 'Pipe' );
}

# Asks for what has to be done whatever happened before.
sub _surely {
    my ( $self, $call ) = @_;
    my @result;
    wait_for {
        return 1 if eval { @result = $call->(); 1 };
        die $@   if !blessed $@ || !$@->is_connection_loss;
        0;
    }
    $ENDED_WITHIN, 'a request of the parent';
    return @result;
}

sub _start_client {
    my ($self) = @_;
    my $number = ++$self->{number};
    my $pid    = fork // die "fork: $!\n";
    if ( !$pid ) {
        History::Client->run(
            number      => $number,
            hosts       => $self->{proxy}->hosts,
            log         => sprintf( '%s/client-%04d.log', $self->{round_dir}, $number ),
            timeouts_ms => \@TIMEOUTS_MS,
            forms       => $FORMS[ $number % @FORMS ],
            seed        => ( $self->{seed} + $number ) % 2**31,
            map { $_ => $self->{$_} } qw(workload base handles nodes rate),
        );
    }
    $self->{living}{$pid} = $number;
    return;
}

sub _faults {
    my ( $self, $end ) = @_;
    my @deck;
    sleep 0.7;
    do {
        push @deck, shuffle @{ $self->{faults} } if !@deck;
        my $name = shift @deck;
        $self->{faulted}{$name}++;
        if ( my $do = $OF_CLIENTS{$name} ) {
            $self->{say}->($name);
            $self->$do;
        }
        else {
            my $fault = $self->{over}->begin($name);
            $self->{say}->("$name: @{ $fault->{which} }");
            sleep $fault->{seconds};
            $fault->{heal}->();
        }

        # Sometimes the next one comes before the servers have got over this one.
        $self->{over}->settle if rand() < 0.5;
        sleep 0.3 + rand 1.2;
        $self->_look_at_clients;
    } until time > $end && !( $self->{each_once} && @deck ) || $self->problems;
    return;
}

sub _kill_client {
    my ($self) = @_;
    my ($pid)  = shuffle sort keys %{ $self->{living} } or return;
    delete $self->{living}{$pid};
    kill KILL => $pid;
    waitpid $pid, 0;
    $self->_start_client;
    return;
}

# Longer than the sessions of some of them last.
sub _stop_client {
    my ($self) = @_;
    my ($pid)  = shuffle sort keys %{ $self->{living} } or return;
    kill STOP => $pid;
    sleep 7;
    kill CONT => $pid;
    return;
}

# None of them ends by itself.
sub _look_at_clients {
    my ($self) = @_;
    for my $pid ( sort keys %{ $self->{living} } ) {
        next if waitpid( $pid, WNOHANG ) != $pid;
        $self->_problem( 'client ' . delete( $self->{living}{$pid} ) . " has ended, status $?" );
    }
    return;
}

sub _end_clients {
    my ($self) = @_;
    my $living = $self->{living};
    kill TERM => keys %$living;
    my $ended = eval {
        wait_for {
            for my $pid ( sort keys %$living ) {
                next if waitpid( $pid, WNOHANG ) != $pid;
                my $number = delete $living->{$pid};
                $self->_problem("client $number: status $?") if $?;
            }
            !%$living;
        }
        $ENDED_WITHIN;
    };
    return if $ended;
    $self->_problem( 'clients hang: ' . join ' ', sort values %$living );
    $self->_kill_clients;
    return;
}

sub _kill_clients {
    my ($self) = @_;
    for my $pid ( keys %{ $self->{living} } ) {
        kill KILL => $pid;
        waitpid $pid, 0;
    }
    $self->{living} = {};
    return;
}

# What is there. A server may be behind, but not for a session that has written last of all.
sub _find {
    my ($self)  = @_;
    my $base    = $self->{base};
    my $history = History->recorder("$self->{round_dir}/final.log");
    my $zk      = $self->_own_handle;
    $history->note( 'run', seed => $self->{seed}, workload => $self->{workload}, version => $self->version );
    $self->_surely( sub { $zk->set( $base, 'end' ) } );
    for my $node ( map { "n$_" } 1 .. $self->{nodes} ) {
        my ( $value, $stat ) = $self->_surely( sub { $zk->get("$base/$node") } );
        $history->note(
            'final',
            node    => $node,
            value   => $value,
            version => $stat->{version},
            mzxid   => $stat->{mzxid}
        );
    }
    $history->note( 'final', name => $_ ) for $self->_surely( sub { $zk->get_children("$base/list") } );

    # Those of sessions that were closed are gone; a client that was killed leaves sessions to expire.
    my @left;
    eval {
        wait_for {
            !( @left = $self->_surely( sub { $zk->get_children("$base/ephemeral") } ) )
        }
        $GONE_WITHIN;
    };
    $history->note( 'final', left => $_ ) for @left;
    $zk->close;
    return;
}

# Each server's own tree. They are well, and nobody writes any more: what is not the same in all of them they have
# not agreed on.
sub _differences {
    my ($self) = @_;
    my ( %where, @different );
    my $base = $self->{base};
    for my $i ( 0 .. $self->{server}->count - 1 ) {
        my $zk = $self->_own_handle($i);
        $self->_surely( sub { $zk->sync($base) } );
        for my $node ( map { "n$_" } 1 .. $self->{nodes} ) {
            my ( $value, $stat ) = $self->_surely( sub { $zk->get("$base/$node") } );
            $where{"$node, version $stat->{version}, $value"} .= $i;
        }
        $where{$_} .= $i for $self->_surely( sub { $zk->get_children("$base/list") } );
        $zk->close;
    }
    my @some = grep { length $where{$_} < $self->{server}->count } sort keys %where;
    return @some
      ? @some . " things are not the same on all servers, such as $some[0], of server $where{$some[0]}"
      : ();
}

sub DESTROY {
    my ($self) = @_;
    local ( $?, $!, $@ );
    $self->_kill_clients;
    return;
}

1;

#!/usr/bin/perl
# A tour: processes that form a group, transactions, and a session that outlives
# its server. Starts three real ZooKeeper servers on this machine and ends them.
#
#     script/demo                      (installs what is missing, builds, runs this)
#     perl -Mblib examples/demo.pl     (in a built tree)
use strict;
use warnings;

use AnyEvent;
use ZooKeeper;
use ZooKeeper::Constants;

my $GROUP = '/group';

# Seconds for the whole program, which takes about 15.
my $TIME_LIMIT = 90;

# Milliseconds without a sign of life until a member's session expires.
my $MEMBER_TIMEOUT = 3_000;

$| = 1;
if ( @ARGV && $ARGV[0] eq '--member' ) {
    member( @ARGV[ 1, 2 ] );
    exit;
}

my %processes;    # name => {pid, stdin}
my %members;      # node => name
my $owner = $$;

# Only after a failure is anybody left by now.
END {
    if ( defined $owner && $owner == $$ ) {
        local $?;    # the exit code of this program
        kill KILL => $_->{pid} for values %processes;
        stop_members();
    }
}

$SIG{$_} = sub { exit 130 }
  for qw(INT TERM HUP);
$SIG{ALRM} = sub { print STDERR "not done within $TIME_LIMIT s\n"; exit 1 };
alarm $TIME_LIMIT;

# Perl runs those handlers between its own operations only, so a loop that waits in
# the kernel has to come up for air.
my $breath = AE::timer 0.2, 0.2, sub { };

heading('Three servers on this machine');
require ZooKeeper::Test::Server;
my $reason = ZooKeeper::Test::Server->unavailable;
die "$reason\n" if $reason;
my $server = ZooKeeper::Test::Server->new( servers => 3 );
say_line( 'version ', $server->version, ' at ', $server->hosts, ', number ', $server->leader, ' leads' );

heading('A connection');
my $changed = AE::cv;
my $zk      = ZooKeeper->new(
    hosts   => $server->hosts,
    timeout => 10_000,
    watcher => sub {
        my ($event) = @_;
        say_line( 'session event: ', zstate( $event->{state} ) );
        $changed->send;
    },
);
$zk->create( $GROUP, value => 'who is here' );    # waits for the connection
say_line( 'session ', session_id(), ' with server number ', $server->server_of($zk) );

heading('Three processes join a group');
watch_group();
start_member($_) for qw(anna bert cleo);
wait_until( sub { keys %members == 3 } );

heading('One of them is killed');
kill KILL => $processes{bert}{pid};
say_line( "bert's process is gone; his session lasts another ", $MEMBER_TIMEOUT / 1000, ' s or so' );
wait_until( sub { keys %members == 2 } );

heading('A transaction: all or nothing');
show_results(
    $zk->transaction->create( '/settings', value => 'v1' )->create( '/settings/colour', value => 'blue' )
      ->set( '/settings', 'v2', version => 0 )->check( $GROUP, 0 )->commit );

heading('One that fails, and so does nothing');
show_results( $zk->transaction->set( '/settings', 'v3' )->create( '/settings/colour', value => 'red' )
      ->delete('/settings')->commit );
say_line( '/settings is still ', scalar $zk->get('/settings') );

heading('An error');
eval { $zk->get('/nowhere'); 1 } or do {
    say_line( 'code ', $@->code, ': ', "$@" =~ s/\n\z//r );
};

heading('The server in use is killed (kill -9)');
my $session = session_id();
my $before  = $server->server_of($zk);
$server->kill($before);
wait_until(
    sub { defined $zk->server && $zk->server ne $server->hosts($before) && $zk->state == ZOO_CONNECTED_STATE }
);
say_line( 'now with server number ', $server->server_of($zk), ', session ', session_id() );
die "that is another session\n" if session_id() ne $session;

heading('The watch has moved with the session');
start_member('dora');
wait_until(
    sub {
        grep { $_ eq 'dora' } values %members;
    }
);

heading('The end');
stop_members();
wait_until( sub { !keys %members } );
$zk->close;
say_line('everybody has left');
exit;

# Prints who came and who went, and watches on: a watch fires once.
sub watch_group {
    my %now = map { $_ => 1 } $zk->get_children(
        $GROUP,
        watcher => sub {
            my ($event) = @_;
            watch_group() if $event->{type} == ZOO_CHILD_EVENT;
        }
    );
    for my $node ( sort grep { !$members{$_} } keys %now ) {
        my $name = eval { $zk->get("$GROUP/$node") } // next;    # gone again already
        $members{$node} = $name;
        say_line("+ $name has joined ($node)");
    }
    for my $node ( sort grep { !$now{$_} } keys %members ) {
        say_line( '- ', delete $members{$node}, " has left ($node)" );
    }
    $changed->send;
    return;
}

# What a member does: it holds a node that is there as long as its session.
sub member {
    my ( $name, $hosts ) = @_;
    my $zk = ZooKeeper->new( hosts => $hosts, timeout => $MEMBER_TIMEOUT );
    $zk->create( "$GROUP/member-", value => $name, ephemeral => 1, sequential => 1 );

    # It stays until whoever started it closes its standard input, by ending if
    # need be.
    my $over  = AE::cv;
    my $input = AE::io * STDIN, 0, sub { $over->send if !sysread STDIN, my $ignored, 1 };
    $over->recv;
    $zk->close;
    return;
}

# Fork and exec: a session belongs to one process.
sub start_member {
    my ($name)  = @_;
    my @command = ( $^X, ( map { "-I$_" } grep { !ref } @INC ), $0, '--member', $name, $server->hosts );
    my $pid     = open my $stdin, '|-', @command or die "cannot start a member: $!\n";
    $processes{$name} = { pid => $pid, stdin => $stdin };
    return;
}

sub stop_members {
    for my $process ( delete @processes{ sort keys %processes } ) {
        close $process->{stdin};    # waits for its end, too
    }
    return;
}

# Runs the event loop until the condition holds; looks when something has changed.
sub wait_until {
    my ($condition) = @_;
    until ( $condition->() ) {
        $changed = AE::cv;
        $changed->recv;
    }
    return;
}

sub show_results {
    for my $result (@_) {
        my $type = $result->{type};
        say_line(
            "$type: ",
            $type eq 'error'    ? "$result->{code}, $result->{message}"
            : $type eq 'create' ? $result->{path}
            : $type eq 'set'    ? "version $result->{stat}{version}"
            :                     'done'
        );
    }
    return;
}

sub session_id { return sprintf '0x%x', $zk->client_id->{client_id} }

sub heading { print "\n", @_, "\n"; return }

sub say_line { print '    ', @_, "\n"; return }

package Recipe;

# What the recipes beside this directory share: the command line, calls that outlive a
# lost connection, and queues of nodes that number themselves.
#
# All of it belongs in the main program, not into callbacks: it waits by running the
# event loop, and a loop can't be entered twice. A callback only says that there is
# news; whoever waits for it goes on and looks.
use strict;
use warnings;

use Exporter       qw(import);
use File::Basename ();
use Getopt::Long   ();
use POSIX          ();
use Scalar::Util   qw(blessed);
use Time::HiRes    qw(time);
use ZooKeeper;
use ZooKeeper::Constants;

our @EXPORT_OK = qw(command_line fail stop stopped exit_status connect_to in_sessions finish retry if_there
  is_lost gone make_path create_protected children in_order comes_after number ahead_of when_gone confirm);

# Exit codes as in sysexits.h, and beyond them.
use constant { USAGE => 64, UNAVAILABLE => 69, NOT_IN_TIME => 75, LOST => 76 };

# Seconds between two attempts at what a server has refused for the moment. Without a
# connection there is nothing to be paced: a call waits for one.
my $PAUSE = 0.1;

# Seconds to wait for a connection at the end.
my $FINISH_WITHIN = 3;

my ( $stopped, $created );

# --- The command line

# Returns the options, as a hash ref, and the arguments: HOSTS, PATH and $least further
# ones to $most, any number without it. $defaults are { 'name=i' => default }, as
# Getopt::Long spells options; the ones that all have are added. The text of --help is
# the comment at the top of the program.
sub command_line {
    my ( $defaults, $least, $most ) = @_;
    my %known  = ( 'timeout=i' => 10_000, %$defaults );
    my %option = map { /\A(\w+)/ => $known{$_} } keys %known;
    my $parser = Getopt::Long::Parser->new( config => ['require_order'] );    # a command has options, too
    local $SIG{__WARN__} = sub { fail( USAGE, $_[0] =~ s/\n\z//r, ' (try --help)' ) };
    $parser->getoptions( \%option, 'help', keys %known );
    if ( $option{help} ) {
        print _help();
        exit 0;
    }
    for my $name ( map { /\A(\w+)=[if]\z/ ? $1 : () } sort keys %known ) {
        next if !defined $option{$name} || $option{$name} > 0;
        fail( USAGE, "--$name must be more than 0, not $option{$name}" );
    }
    my ( $hosts, $path, @rest ) = @ARGV;
    fail( USAGE, 'too few arguments (try --help)' )                      if @ARGV < 2 + $least;
    fail( USAGE, 'too many arguments (try --help)' )                     if defined $most && @rest > $most;
    fail( USAGE, "PATH must look like /this or /this/one, not '$path'" ) if $path !~ m{\A(?:/[^/]+)+\z};
    return ( \%option, $hosts, $path, @rest );
}

# The end of the program, with a message.
sub fail {
    my ( $status, @message ) = @_;
    print STDERR File::Basename::basename($0), ': ', _without_line( join '', @message ), "\n";
    exit $status;
}

# A message is for whoever runs the program, and need not say where in it.
sub _without_line {
    my ($message) = @_;
    return $message =~ s/(?: at (?:(?! at ).)+ line [0-9]+\.)?\n*\z//sr;
}

sub _help {
    open my $program, '<', $0 or return "see $0\n";
    my @lines;
    while ( my $line = <$program> ) {
        next if $. == 1;    # #!
        last if $line !~ /\A#/;
        push @lines, $line =~ s/\A# ?//r;
    }
    return @lines;
}

# --- The end that somebody asks for

# Says that the program is to end, by the name of a signal, or for another reason: what waits below dies then.
sub stop {
    my ($reason) = @_;
    $stopped //= $reason;
    return;
}

# The reason, undef without.
sub stopped { return $stopped }

# What a shell would say of a process that this signal, or one with this wait status, has ended.
sub exit_status {
    my ($how) = @_;
    return 128 + POSIX->can("SIG$how")->() if $how =~ /\A[A-Z]/;
    return $how & 127 ? 128 + ( $how & 127 ) : $how >> 8;
}

# --- Calls

# A handle, connected unless the program is to end. Arguments as those of ZooKeeper->new.
sub connect_to {
    my (%arg) = @_;

    # With a default watcher there is an event, which ends `wait`, for all that happens to the session.
    my $zk = eval {
        ZooKeeper->new( watcher => sub { }, %arg );
    } or fail( USAGE, $@ );

    # Later a lost connection is waited for as long as it takes. In the beginning it is more likely that the
    # address is wrong.
    my $seconds = $zk->timeout / 1000;
    _wait_for_connection( $zk, $seconds )
      or fail( UNAVAILABLE, "no connection to $arg{hosts} within $seconds s" );
    return $zk;
}

# Runs the code to its end, and returns what it returns: in a new session each time that what it had was lost, which
# $told hears of first. Nothing that was had before goes on: the code begins anew. Returns nothing if the program is
# to end.
sub in_sessions {
    my ( $zk, $code, $told ) = @_;
    while ( !defined $stopped ) {
        my @result;
        return @result if eval { @result = $code->(); 1 };
        my $error = $@;
        last              if defined $stopped;
        fail( 1, $error ) if !is_lost($error);
        $told->( _without_line($error) );
        $zk->reopen;
    }
    return;
}

# Closes the session, and with it go its nodes at once. Without a connection they would stay as long as it lasts: that
# is worth a moment of waiting for one.
sub finish {
    my ($zk) = @_;
    my $end = time + $FINISH_WITHIN;
    while ( $zk->client_id && !$zk->is_connected && !$zk->is_unrecoverable && time < $end ) {
        $zk->wait(1);
    }
    $zk->close;
    return;
}

# Makes calls until they succeed, and returns what the code returns in list context (in scalar context the first of
# it). The code must be such that it may run twice, for a write whose answer is lost may have been done. A lost
# connection is not the end of the session: the handle looks for another one by itself, and all that there is to do
# is to wait and ask again. What does come to an end is the session, and then this dies of it, see is_lost.
sub retry {
    my ( $zk, $code ) = @_;
    while (1) {
        _wait_for_connection($zk);
        die "ended: $stopped\n" if defined $stopped;
        my @result;
        return wantarray ? @result : $result[0] if eval { @result = $code->(); 1 };
        my $error = $@;
        die $error if !_passes($error);
        $zk->wait($PAUSE);
    }
}

# The same, but returns nothing if a node is not there.
sub if_there {
    my ( $zk, $code ) = @_;
    my @result;
    return wantarray ? @result : $result[0] if eval { @result = retry( $zk, $code ); 1 };
    my $error = $@;
    die $error if !_is( $error, ZNONODE );
    return;
}

# True for what ends a session, or the node by which a program takes part: it has to give up what it has, and may
# start anew in a new session.
sub is_lost {
    my ($error) = @_;
    return _is( $error, ZSESSIONEXPIRED ) || _is( $error, ZNONODE );
}

# Dies like a call on a node that is not there.
sub gone {
    my ($node) = @_;
    ZooKeeper::Error->throw( code => ZNONODE, message => "$node was deleted\n" );
}

sub _is {
    my ( $error, $code ) = @_;
    return blessed $error && $error->isa('ZooKeeper::Error') && $error == $code;
}

sub _passes {
    my ($error) = @_;
    return
         blessed $error
      && $error->isa('ZooKeeper::Error')
      && ( $error->is_connection_loss || $error->is_retryable || $error == ZOPERATIONTIMEOUT );
}

# Returns true once there is a connection, or will not be any more (the next call says why), or the program is to end.
# An event ends a wait; otherwise it looks once a second, for a signal that the loop has taken.
sub _wait_for_connection {
    my ( $zk, $seconds ) = @_;
    my $end = defined $seconds ? time + $seconds : undef;
    until ( $zk->is_connected || $zk->is_unrecoverable || defined $stopped ) {
        my $left = defined $end ? $end - time : 1;
        return if $left <= 0;
        $zk->wait( $left < 1 ? $left : 1 );
    }
    return 1;
}

# --- Nodes that number themselves

# The node that the others are below, kept for whoever comes later.
sub make_path {
    my ( $zk, $path ) = @_;
    if_there( $zk, sub { $zk->ensure_path($path) } )
      or fail( 1, "$path can't be made: HOSTS name a chroot that is not there" );
    return;
}

# Creates PARENT/KIND.ID.NUMBER, ephemeral, exactly once. The answer may be lost with the connection, and the
# node be there all the same: without a name to know it by it would be nobody's, and stay at the head of the queue as
# long as the session lasts. So the name has an id in it that no other node has.
sub create_protected {
    my ( $zk, $parent, $kind, $value ) = @_;
    _wait_for_connection($zk);    # before the first one a session has no number
    my $session = $zk->client_id ? $zk->client_id->{client_id} : 0;
    my $prefix  = sprintf '%s.%x-%d.', $kind, $session, ++$created;
    my $unsure;
    return scalar retry(
        $zk,
        sub {
            if ($unsure) {
                confirm( $zk, $parent );    # what was under way is done, and seen by the server that is asked
                my ($found) = grep { index( $_, $prefix ) == 0 } $zk->get_children($parent);
                return "$parent/$found" if defined $found;
            }
            $unsure = 1;
            return $zk->create( "$parent/$prefix", value => $value, ephemeral => 1, sequential => 1 );
        }
    );
}

# The names of a kind below a path, in the order of their creation.
sub children {
    my ( $zk, $path, $kind, @watcher ) = @_;
    my @names = retry( $zk, sub { $zk->get_children( $path, @watcher ) } );
    return in_order( grep { index( $_, "$kind." ) == 0 && defined number($_) } @names );
}

# Sorts names by their numbers.
sub in_order {
    my (@names) = @_;
    my @sorted = sort { _distance( number($b), number($a) ) } @names;
    return @sorted;
}

sub comes_after {
    my ( $number, $other ) = @_;
    return _distance( $other, $number ) > 0;
}

# A server counts in 32 bits, and 2147483647 is followed by -2147483648: only the difference, in 32 bits, has the
# right sign.
sub _distance {
    my ( $from, $to ) = @_;
    return ( $to - $from + 2**31 ) % 2**32 - 2**31;
}

# The number at the end of a name. The dot before it tells a minus from a dash.
sub number {
    my ($name) = @_;
    return $name =~ /\.(-?[0-9]+)\z/ ? 0 + $1 : undef;
}

# The node just before this one, undef for the first. To wait for that one, and no other, is what keeps a queue from
# becoming a herd: each node that goes wakes one waiter. Dies like a call if this one is gone.
sub ahead_of {
    my ( $zk, $node ) = @_;
    my ( $parent, $name, $kind ) = $node =~ m{\A(.+)/(([^/.]+)\.[^/]+)\z};
    my @queue = children( $zk, $parent, $kind );
    my ($at) = grep { $queue[$_] eq $name } 0 .. $#queue;
    gone($node) if !defined $at;
    return $at ? "$parent/$queue[ $at - 1 ]" : undef;
}

# Has the callback called when the node is deleted; false if it is not there. For nodes without children: a watch on
# these is the one that does not fire when the data is set. (And `exists` would leave a watch where nothing is.)
sub when_gone {
    my ( $zk, $node, $callback ) = @_;
    return scalar if_there( $zk, sub { my @none = $zk->get_children( $node, watcher => $callback ); 1 } );
}

# Dies like a call if the node is not there now. What is read comes from one server, which may lag behind; this is
# decided by the majority, as a write is, and the server that was asked knows all that went before.
sub confirm {
    my ( $zk, $node ) = @_;
    my ($result) = retry( $zk, sub { $zk->transaction->check( $node, -1 )->commit } );
    return 1    if $result->{type} ne 'error';
    gone($node) if $result->{code} == ZNONODE;
    ZooKeeper::Error->throw( code => $result->{code}, message => "$node: $result->{message}\n" );
}

1;

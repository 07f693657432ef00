package ZooKeeper::Log;
use strict;
use warnings;

use Scalar::Util qw(blessed);

our $VERSION = '0.2.0';

# Hands what happens to sessions to Log::Any, if the program has loaded that: it is not needed otherwise.

# The methods that ask, from the level that includes all others downwards, and those that tell.
my @LEVELS = qw(error warning info debug trace);
my @IS     = map { "is_$_" } @LEVELS;

# Messages up to this level are rare, and always made: the log may begin to want them while nothing but they would let
# the program look here.
my $RARE = 3;

# The log is at work: what it does in its turn is told when it has come back.
our $is_busy;

my $logger;

# What the log has died of last, as long as it has not worked since.
my $complaint = '';

# Asks the log what it wants to be told, and tells it what a channel has. Rust calls this, now and then and whenever
# there is something, between the program's own lines: nothing gets out of here, and no more is told than was there at
# the beginning, for the log may be the cause of more.
sub _attend {
    my ($channel) = @_;
    return if $is_busy || !blessed $channel || !$channel->can('_log_level');
    local $is_busy = 1;
    my $status = $?;    # a local one would hide what the log exits with
    local ( $@, $!, $SIG{__DIE__} );
    eval { _tell( scalar _logger(), $channel ); 1 } or _complain($@);
    $? = $status;
    return;
}

sub _tell {
    my ( $log,   $channel ) = @_;
    my ( $count, $lost )    = $channel->_log_level( $log ? _wanted($log) : 0 );
    for ( 1 .. $count ) {
        my ( $level, $text, $handle, $session, $server ) = $channel->_record or last;
        my %about = ( handle => $handle, session => $session, server => $server );
        delete @about{ grep { !defined $about{$_} } keys %about };
        _write( $log, $level, $text, \%about );
    }
    _write( $log, 2, "messages that were lost because nobody took them: $lost", {} ) if $lost;
    return;
}

# One that dies must not take the others with it.
sub _write {
    my ( $log, $level, @message ) = @_;
    return if !$log;
    my ( $is, $method ) = ( $IS[ $level - 1 ], $LEVELS[ $level - 1 ] );
    eval {
        if ( $log->$is ) {
            $log->$method(@message);
            $complaint = '';
        }
        1;
    } or _complain($@);
    return;
}

# Once, and not for each message.
sub _complain {
    my ($why) = @_;
    return if $why eq $complaint;
    $complaint = $why;
    eval { warn "ZooKeeper: can't log: $why" };    # warnings may be fatal
    return;
}

# Of adapters that are set later the logger learns by itself.
sub _logger {
    return $logger if $logger;
    return         if !$INC{'Log/Any.pm'} && !$INC{'Log/Any/Adapter.pm'};
    require Log::Any;
    return $logger = Log::Any->get_logger( category => 'ZooKeeper' );
}

sub _wanted {
    my ($log) = @_;
    for my $level ( reverse $RARE + 1 .. @IS ) {
        my $is = $IS[ $level - 1 ];
        return $level if $log->$is;
    }
    return $RARE;
}

1;

package Kazoo;
use strict;
use warnings;

# An independent client of ZooKeeper, kazoo (a Python package), in a process of its own: what it writes and sees. It is
# installed into a virtual environment, once for all tests, below ZOOKEEPER_TEST_CACHE or the
# user's cache: not in the sources, where the links in it confuse what looks for files that MANIFEST lacks.

use Cwd         ();
use Exporter    qw(import);
use Fcntl       qw(LOCK_EX);
use File::Path  ();
use File::Temp  ();
use IO::Select  ();
use JSON::PP    ();
use POSIX       ();
use Socket      qw(AF_UNIX PF_UNSPEC SOCK_STREAM MSG_DONTWAIT MSG_NOSIGNAL);
use Test::More  ();
use Time::HiRes qw(time);

our @EXPORT = qw(kazoo data tell);

my $VERSION = '2.11.0';

# Seconds: for the installation, which may have to download, and for one answer, which may wait for a processor.
my $INSTALL_WITHIN = 240;
my $ANSWER_WITHIN  = 60;

my $JSON = JSON::PP->new->ascii->canonical->allow_nonref;
my ( $python, $names, $temporary );

# A driver, without a client so far; call it before the first test: without kazoo all are skipped.
sub kazoo {
    my $reason = _unavailable();
    return __PACKAGE__->new if !defined $reason;
    my $must_be = $ENV{ZOOKEEPER_TEST_REQUIRE} && ( $ENV{ZOOKEEPER_TEST_KAZOO} // '' ) ne 'optional';
    die "ZOOKEEPER_TEST_REQUIRE is set, but $reason\n" if $must_be;
    Test::More::plan( skip_all => $reason );
    return;
}

# A Python that has kazoo; or undef and the reason why there is none.
sub python {
    my $reason = _unavailable();
    return defined $reason ? ( undef, $reason ) : $python;
}

sub version { return $VERSION }

# Bytes, where a plain string is text.
sub data { return { hex => unpack 'H*', $_[0] } }

# A function that makes an event with this name.
sub tell { return { tell => $_[0] } }

sub new {
    my ($class) = @_;
    socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die "socketpair: $!\n";
    my $driver = Cwd::abs_path('t/lib/kazoo_driver.py');
    my $pid    = fork // die "fork: $!\n";
    if ( !$pid ) {
        open STDIN,  '<&', $theirs or POSIX::_exit(99);
        open STDOUT, '>&', $theirs or POSIX::_exit(99);
        exec {$python} $python, '-u', $driver or POSIX::_exit(99);
    }
    close $theirs;
    return bless {
        owner  => $$,
        pid    => $pid,
        socket => $ours,
        buffer => '',
        asked  => 0,
        answer => {},
        events => {}
      },
      $class;
}

# A KazooClient that is connected; the named arguments are those of its constructor. Returns its name.
sub client {
    my ( $self, $hosts, %named ) = @_;
    my $name = $self->keep( client => 'KazooClient', named => { timeout => 30, %named, hosts => $hosts } );
    $self->call( $name, 'start' );
    return $name;
}

# A method of an object, with arguments by position, and, behind `named =>`, a hash ref. Dies as it does.
sub call {
    my ( $self, @call ) = @_;
    return $self->answer( $self->ask(@call) );
}

# The same, but the result stays there: returns the name that it has got.
sub keep {
    my ( $self, @call ) = @_;
    my $name = 'object-' . ++$names;
    $self->answer( $self->_send( _request(@call), keep => $name ) );
    return $name;
}

# The same, for what takes its time: returns the number by which it is answered.
sub ask       { my ( $self, @call ) = @_; return $self->_send( _request(@call) ) }
sub ask_aside { my ( $self, @call ) = @_; return $self->_send( _request(@call), aside => JSON::PP::true ) }

sub is_answered {
    my ( $self, $number ) = @_;
    1 while $self->_read(0);
    return exists $self->{answer}{$number};
}

sub answer {
    my ( $self, $number ) = @_;
    $self->_until( sub { exists $self->{answer}{$number} }, 'an answer' );
    my $answer = delete $self->{answer}{$number};
    die "kazoo: $answer->{error}: $answer->{text}\n" if defined $answer->{error};
    return _plain( $answer->{result} );
}

# Waits for the next event with this name: its arguments, as an array ref.
sub event {
    my ( $self, $name ) = @_;
    my $events = $self->{events}{$name} //= [];
    $self->_until( sub { scalar @$events }, "the event $name" );
    return shift @$events;
}

# Those that are there, and have not been asked for.
sub events {
    my ( $self, $name ) = @_;
    1 while $self->_read(0);
    return @{ delete $self->{events}{$name} // [] };
}

# Ends it without a chance to close its sessions.
sub kill_hard {
    my ($self) = @_;
    kill KILL => $self->{pid};
    waitpid delete $self->{pid}, 0;
    return;
}

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{owner} || !$self->{pid};
    local ( $?, $!, $@ );
    $self->kill_hard;
    return;
}

sub _request {
    my ( $on, $call, @args ) = @_;
    my ($at) = grep { !ref $args[$_] && ( $args[$_] // '' ) eq 'named' } 0 .. $#args;
    my ( undef, $named ) = defined $at ? splice @args, $at, 2 : ();
    return ( on => $on, call => $call, args => \@args, named => $named );
}

sub _send {
    my ( $self, %request ) = @_;
    $request{id} = ++$self->{asked};
    my $line = $JSON->encode( \%request ) . "\n";
    while ( length $line ) {

        # While this end is not read the other one may not get rid of its answers, and read no further.
        1 while $self->_read(0);
        IO::Select->new( $self->{socket} )->can_write(0.1) or next;
        my $sent = send $self->{socket}, $line, MSG_DONTWAIT | MSG_NOSIGNAL;
        if    ( defined $sent )             { substr $line, 0, $sent, '' }
        elsif ( !$!{EAGAIN} && !$!{EINTR} ) { die "the Python program has ended\n" }
    }
    return $request{id};
}

sub _until {
    my ( $self, $condition, $what ) = @_;
    my $end = time + $ANSWER_WITHIN;
    until ( $condition->() ) {
        my $left = $end - time;
        die "kazoo: waited $ANSWER_WITHIN s in vain for $what\n" if $left <= 0;
        $self->_read($left);
    }
    return;
}

sub _read {
    my ( $self, $seconds ) = @_;
    return if !IO::Select->new( $self->{socket} )->can_read($seconds);
    sysread $self->{socket}, $self->{buffer}, 1 << 16, length $self->{buffer}
      or die "the Python program has ended\n";
    while ( $self->{buffer} =~ s/\A(.*)\n// ) {
        my $line = $JSON->decode($1);
        if ( exists $line->{event} ) { push @{ $self->{events}{ $line->{event} } }, _plain( $line->{args} ) }
        else                         { $self->{answer}{ $line->{id} } = $line }
    }
    return 1;
}

# Data as bytes, truth as 1 and 0.
sub _plain {
    my ($value) = @_;
    return [ map { _plain($_) } @$value ] if ref $value eq 'ARRAY';
    return $value ? 1 : 0                 if JSON::PP::is_bool($value);
    return $value                         if ref $value ne 'HASH';
    return pack 'H*', $value->{hex} if exists $value->{hex};
    return { map { $_ => _plain( $value->{$_} ) } keys %$value };
}

# undef when kazoo is there now; else a sentence that says what to do.
sub _unavailable {
    my $user  = $ENV{XDG_CACHE_HOME}       || ( $ENV{HOME} // '' ) . '/.cache';
    my $cache = $ENV{ZOOKEEPER_TEST_CACHE} || "$user/zookeeper-perl";
    $cache = $temporary = File::Temp->newdir if !eval { File::Path::make_path($cache); 1 } || !-w $cache;
    my $home = Cwd::abs_path($cache) . "/kazoo-$VERSION";
    open my $lock, '>', "$home.lock" or return "$home.lock can't be written: $!";
    flock $lock, LOCK_EX or return "$home.lock can't be locked: $!";

    $python = "$home/bin/python";
    return if _has_kazoo();

    # Whoever only installs a release does not expect its tests to fetch anything.
    return
      'kazoo is not here: set ZOOKEEPER_TEST_CACHE to a directory that it may be installed into, from PyPI'
      if !-e '.git' && !$ENV{ZOOKEEPER_TEST_CACHE} && !$ENV{ZOOKEEPER_TEST_REQUIRE};
    File::Path::remove_tree($home);
    my ( $status, $said ) = _run( 'python3', '-m', 'venv', $home );
    return "python3 can't make a virtual environment (apt-get install python3-venv): $said" if $status;
    ( $status, $said ) =
      _run( $python, qw(-m pip install --quiet --no-cache-dir --no-input --retries 2), "kazoo==$VERSION" );
    return if !$status && _has_kazoo();
    return
      "pip can't install kazoo $VERSION, which takes a network, or a pip that is set up to find it: $said";
}

sub _has_kazoo {
    return if !-x $python;
    my ( $status, $said ) =
      _run( $python, '-c', 'import kazoo.client, kazoo.version as v; print(v.__version__)' );
    return !$status && $said eq $VERSION;
}

# Returns the exit status and the last line that was said.
sub _run {
    my (@command) = @_;
    my $pid = open( my $output, '-|' ) // die "fork: $!\n";
    if ( !$pid ) {
        open STDERR, '>&', \*STDOUT or POSIX::_exit(99);
        no warnings 'exec';
        exec 'timeout', $INSTALL_WITHIN, @command or POSIX::_exit(99);
    }
    my @lines = grep { /\S/ } <$output>;
    close $output;
    my $last = $lines[-1] // 'no message';
    chomp $last;
    return ( $?, $last );
}

1;

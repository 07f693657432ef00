package Soak::Gauges;
use strict;
use warnings;

use File::Temp ();
use IO::Handle;
use Time::HiRes ();
use List::Util  qw(max min sum0);
use lib 'bench/lib';
use Bench::Memory;

# What is watched of a process that runs for long, and the account of it. What was measured is kept in a file: this must
# not take memory itself.

# Names, and what they are divided by for people.
my @GAUGES = (
    [ anonymous => 'MB', 2**20 ],    # what is in memory and of this process alone
    [ trimmed  => 'MB', 2**20 ], # the same when malloc has given back what nobody uses: in quiet moments only
    [ malloc   => 'MB', 2**20 ], # what is in use of it
    [ scalars  => '',   1 ],     # of perl
    [ fds      => '',   1 ],     # all but those of kind eventfd
    [ eventfds => '',   1 ],
    [ threads  => '',   1 ],
    [ children => '',   1 ],
    [ zombies  => '',   1 ],
    [ watches  => '',   1 ],
    [ in_flight => '',  1 ],
    [ cpu       => '%', 1 ],     # since it was measured before
);
my @NAMES = map { $_->[0] } @GAUGES;

sub new {
    my ($class) = @_;
    my $self    = bless { file => File::Temp->new, last => [ 0, 0 ] }, $class;
    @{$self}{qw(in_use scalars trim)} = Bench::Memory::counters();
    $self->now;
    return $self;
}

# What there is now; the client's own numbers come from the caller.
sub now {
    my ( $self, %own ) = @_;
    my %now = ( trimmed => 0, watches => 0, in_flight => 0, %own, fds => 0, eventfds => 0, zombies => 0 );
    $now{open} = [ open_files() ];
    $now{ /eventfd/ ? 'eventfds' : 'fds' }++ for @{ $now{open} };
    my @threads  = _entries('/proc/self/task');
    my @children = map { split ' ', _content("/proc/self/task/$_/children") } @threads;
    $now{threads}   = @threads;
    $now{children}  = @children;
    $now{zombies}   = grep { _content("/proc/$_/stat") =~ /\) Z/ } @children;
    $now{anonymous} = Bench::Memory::resident();
    $now{malloc}    = $self->{in_use}  ? $self->{in_use}->()  : 0;
    $now{scalars}   = $self->{scalars} ? $self->{scalars}->() : 0;
    my ( $cpu, $time )     = ( sum0( ( times() )[ 0, 1 ] ), Time::HiRes::time() );
    my ( $before, $since ) = @{ $self->{last} };
    $now{cpu} = 100 * ( $cpu - $before ) / max( 0.001, $time - $since );
    $self->{last} = [ $cpu, $time ];
    return \%now;
}

# What is open; the descriptor by which this looks is among it each time.
sub open_files {
    return map { readlink("/proc/self/fd/$_") // 'closed meanwhile' } _entries('/proc/self/fd');
}

# Notes what was measured, so many seconds after the start; at a quiet moment or under load.
sub note {
    my ( $self, $seconds, $is_quiet, $now ) = @_;
    my $line = join ' ', sprintf( '%.1f', $seconds ), $is_quiet ? 1 : 0,
      map { sprintf '%.1f', $now->{$_} } @NAMES;
    syswrite $self->{file}, "$line\n" or die "write: $!\n";
    return;
}

# What is in memory when it is trimmed. Without the function for it, what is there in any case.
sub trimmed {
    my ($self) = @_;
    $self->{trim}->() if $self->{trim};
    return Bench::Memory::resident();
}

# By how much something grows in an hour, by the quiet moments since then: the median of the slopes of all pairs, which
# a few strange values don't move. undef if there are too few.
sub slope {
    my ( $self, $name, $since ) = @_;
    return _slope(
        map  { [ $_->{seconds}, $_->{$name} ] }
        grep { $_->{is_quiet} && $_->{seconds} >= $since } $self->_all
    );
}

sub table {
    my ( $self, $since ) = @_;
    my @all   = grep { $_->{seconds} >= $since->{warm} } $self->_all;
    my $table = sprintf "%-13s%-7s%12s%12s%12s%16s\n", '', '', qw(min median max), 'an hour, fitted';
    for my $gauge (@GAUGES) {
        my ( $name, $unit, $per ) = @$gauge;
        for my $quiet ( 0, 1 ) {
            my @values = sort { $a <=> $b } map { $_->{$name} } grep { $_->{is_quiet} == $quiet } @all;
            next if !@values || $name eq 'cpu' && $quiet || $name eq 'trimmed' && !$quiet;
            my $slope = $quiet ? $self->slope( $name, $since->{fit} ) : undef;
            $table .= sprintf "%-13s%-7s%12s%12s%12s%16s\n", "$name $unit", $quiet ? 'quiet' : 'load',
              ( map { _number( $_ / $per, $per ) } @values[ 0, @values / 2, -1 ] ),
              defined $slope ? sprintf( '%+.2f', $slope / $per ) : '';
        }
    }
    return $table;
}

sub quiet_moments {
    my ($self) = @_;
    return scalar grep { $_->{is_quiet} } $self->_all;
}

sub _number {
    my ( $value, $per ) = @_;
    return sprintf $per > 1 ? '%.2f' : '%.0f', $value;
}

sub _all {
    my ($self) = @_;
    open my $in, '<', $self->{file}->filename or die "$!\n";
    return map {
        my %sample;
        @sample{ qw(seconds is_quiet), @NAMES } = split;
        \%sample
    } <$in>;
}

sub _slope {
    my (@points) = @_;
    return if @points < 3;
    my @slopes;
    for my $i ( 0 .. $#points ) {
        for my $j ( grep { $points[$_][0] > $points[$i][0] } $i + 1 .. $#points ) {
            push @slopes, 3_600 * ( $points[$j][1] - $points[$i][1] ) / ( $points[$j][0] - $points[$i][0] );
        }
    }
    return ( sort { $a <=> $b } @slopes )[ @slopes / 2 ];
}

sub _entries {
    my ($name) = @_;
    opendir my $dir, $name or die "$name: $!\n";
    return grep { !/\A\./ } readdir $dir;
}

sub _content {
    my ($name) = @_;
    open my $in, '<', $name or return '';
    local $/;
    return scalar(<$in>) // '';
}

1;

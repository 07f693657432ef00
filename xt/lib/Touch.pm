package Touch;
use strict;
use warnings;

# What xt/valgrind/touch.pl takes: counters, expectations, and values that make trouble.

use B        ();
use Exporter qw(import);
use ZooKeeper::Channel;

our @EXPORT = qw(counted refused rubbish same handle);

# Puts a counter around every sub that is machine code of our library, which its address tells. Returns a hash ref that
# goes on counting: name => calls that came back, with something or nothing, but not with an exception.
sub counted {
    my ($package) = @_;
    no warnings 'portable';    # addresses of 64 bits
    open my $maps, '<', '/proc/self/maps' or die "/proc/self/maps: $!\n";
    my @ours = map { m{\A(\w+)-(\w+) .*/ZooKeeper\.so$} ? [ hex $1, hex $2 ] : () } <$maps>;
    my ( %calls, @stashes ) = ();
    @stashes = $package;
    while ( defined( my $stash = shift @stashes ) ) {
        no strict 'refs';
        my @names = sort keys %{"${stash}::"};
        push @stashes, map { /\A(\w+)::\z/ ? "${stash}::$1" : () } @names;
        for my $name ( map { "${stash}::$_" } grep { /\A\w+\z/ && $_ ne 'bootstrap' } @names ) {
            next if !defined &$name;
            my $address = B::svref_2object( \&$name )->XSUB;
            next if !$address || !grep { $address >= $_->[0] && $address < $_->[1] } @ours;
            count( $name, \$calls{$name} );
        }
    }
    die "ZooKeeper.so has no subs\n" if !%calls;
    return \%calls;
}

sub count {
    my ( $name, $calls ) = @_;
    my $code = \&$name;
    $$calls = 0;
    no strict 'refs';
    no warnings;
    *$name = sub {
        my @result;
        if    (wantarray)           { @result = &$code }
        elsif ( defined wantarray ) { $result[0] = &$code }
        else                        { &$code }
        $$calls++;
        return wantarray ? @result : $result[0];
    };
    return;
}

# The code dies, with a message that the pattern knows.
sub refused {
    my ( $pattern, $code ) = @_;
    my $line = (caller)[2];
    die "line $line: not refused\n"                       if eval { $code->(); 1 };
    die "line $line: expected to be refused, but not: $@" if $@ !~ $pattern;
    return;
}

# Whether it is refused, and how, is for others to say: here it must do no harm.
sub rubbish {
    my ( $code, @values ) = @_;
    for (@values) {
        eval { $code->(); 1 } or ref $@ || length $@ or die "refused without a word\n";
    }
    return;
}

sub same {
    my ( $got, $expected ) = @_;
    $_ //= 'undef' for $got, $expected;
    die "line ${\ (caller)[2] }: expected '$expected', got '$got'\n" if $got ne $expected;
    return;
}

# A handle of the lowest layer, and its channel.
sub handle {
    my ( $hosts, %options ) = @_;
    my $zk     = bless {}, $options{class} // 'ZooKeeper';
    my $events = ZooKeeper::Channel->new;
    delete $options{class};
    $zk->_connect( { hosts => $hosts, timeout => 60_000, channel => $events, %options } );
    return ( $zk, $events );
}

# Values that run code when they are read, which may die.

package Text;
use overload '""' => sub { ref $_[0][0] ? $_[0][0]->() : $_[0][0] }, fallback => 1;

package Mute;
use overload '+' => sub { 1 }, fallback => 0;

package Dies;
sub DESTROY { die "while it is freed\n" }

package Callable;
use overload '&{}' => sub {
    sub { }
  },
  fallback => 1;

package Tied;
sub TIESCALAR { my ( $class, $value ) = @_; return bless [$value], $class }
sub FETCH     { return ref $_[0][0] ? $_[0][0]->() : $_[0][0] }

package TiedArray;
sub TIEARRAY  { return bless [], $_[0] }
sub FETCHSIZE { return 1 }
sub FETCH     { return { id => 'anyone', scheme => 'world', perms => 31 } }

package TiedHash;
sub TIEHASH { my ( $class, $code ) = @_; return bless [$code], $class }
sub FETCH   { return $_[0][0] ? $_[0][0]->() : { id => 'anyone', scheme => 'world', perms => 31 }->{ $_[1] } }
sub EXISTS  { return 1 }

1;

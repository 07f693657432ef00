package ZooKeeper::Arguments;
use strict;
use warnings;

use overload ();

use Exporter 'import';
use Scalar::Util         qw(blessed looks_like_number reftype);
use ZooKeeper::Constants qw(ZOO_CONTAINER ZOO_EPHEMERAL ZOO_SEQUENCE);
use ZooKeeper::Error;

our $VERSION   = '0.2.0';
our @EXPORT_OK = qw(arguments arrange is_callable is_int32 named seconds);

# Arguments that are made of others. The last parameter is the handle, undef where there is none any more.
my %MADE = (
    acl_or_default => sub { $_[0]{acl} // ( $_[1] && $_[1]->default_acl ) },
    flags          => sub {
        my ($arg) = @_;
        return ( $arg->{ephemeral} ? ZOO_EPHEMERAL : 0 ) | ( $arg->{sequential} ? ZOO_SEQUENCE : 0 ) |
          ( $arg->{container}      ? ZOO_CONTAINER : 0 );
    },
    prefix     => sub { $_[0]{path} // '/' },
    watcher_id => sub { _watcher_id( $_[0]{watcher}, $_[1] ) },
    (
        map {
            my $name = $_;
            $name => sub { _joined( $name, $_[0]{$name} ) }
        } qw(joining leaving members)
    ),
);

# A hash ref of what a command was called with: positional arguments first, then pairs.
sub arguments {
    my ( $command, @args ) = @_;
    my @names = @{ $command->{positional} };
    $command->{optional}
      and ( @args - @names ) % 2
      and $command->{known}{ $args[$#names] // '' }    # which no path is
      and splice @args, $#names, 0, undef;
    @args >= @names || !@args
      or ZooKeeper::Error::_croak( "$command->{name}: expected " . join ' and ', @names );
    my %arg;
    @arg{@names} = splice @args, 0, scalar @names;
    return \%arg if !@args;
    return { %{ named( $command->{name}, $command->{known}, @args ) }, %arg };
}

# A hash ref of arguments by name; the known ones are keys of a hash. One that is undef counts as not given, one
# that nobody knows is left out.
sub named {
    my ( $method, $known, @pairs ) = @_;
    if ( @pairs % 2 ) {    # programs in the wild do it, and get away with it
        ZooKeeper::Error::_warn("$method: odd number of named arguments");
        push @pairs, undef;
    }
    no warnings 'uninitialized';
    my %arg = @pairs;
    for my $name ( grep { !defined $arg{$_} || !$known->{$_} } sort keys %arg ) {
        delete $arg{$name};
        ZooKeeper::Error::_warn("$method: unknown argument '$name' has no effect") if !$known->{$name};
    }
    return \%arg;
}

# The list that a command's XSUB takes after the handle.
sub arrange {
    my ( $command, $arg, $handle ) = @_;
    return map { $MADE{$_} ? $MADE{$_}->( $arg, $handle ) : $arg->{$_} } @{ $command->{takes} };
}

# The number by which the engine knows a watcher of this handle's.
sub _watcher_id {
    my ( $watcher, $handle ) = @_;
    return $watcher if !defined $watcher;    # not an empty list: it is one of several arguments
    blessed $watcher && $watcher->isa('ZooKeeper::Watcher')
      or ZooKeeper::Error::_croak('remove_watches: the watcher must be a ZooKeeper::Watcher');
    return $watcher->id;
}

# Servers may be given as a list.
sub _joined {
    my ( $name, $servers ) = @_;
    return $servers if ref $servers ne 'ARRAY';
    my @each = @$servers;
    grep { !defined || ref && !( blessed $_ && overload::Method( $_, '""' ) ) } @each
      and ZooKeeper::Error::_croak("reconfig: $name must be a string or an array ref of strings");
    return join ',', @each;
}

sub is_callable {
    my ($cb) = @_;
    return 1 if ref $cb && reftype $cb eq 'CODE';
    return blessed $cb  && overload::Method( $cb, '&{}' ) ? 1 : 0;
}

# A number as versions are.
sub is_int32 {
    my ($number) = @_;
    return !ref $number && looks_like_number($number) && $number == int $number && abs($number) < 1 << 31;
}

# A number of seconds to wait; undef stands for no limit.
sub seconds {
    my ( $method, $seconds ) = @_;
    return if !defined $seconds;
    ZooKeeper::Error::_croak("$method: '$seconds' is not a number of seconds")
      if ref $seconds || !looks_like_number($seconds) || $seconds != $seconds;
    return if $seconds == 0 || $seconds > 1e9;
    return $seconds < 0 ? 0 : $seconds;
}

1;

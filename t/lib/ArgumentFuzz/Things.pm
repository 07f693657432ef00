package ArgumentFuzz::Things;
use strict;
use warnings;

use B            ();
use Encode       ();
use Exporter     qw(import);
use Hash::Util   ();
use Scalar::Util qw(blessed dualvar reftype weaken);
use Time::HiRes  ();
use ZooKeeper;

our @EXPORT = qw(
  answer call changing circle dualvar elsewhere faded foreign format_ref interrupted judged keep kept locked malformed
  overloaded read_only shared_key stale tied_array tied_hash tied_scalar unchanged upgraded watcher
);

# What the programs of ArgumentFuzz::Programs are made with, and what is seen to while they run.

# Called with each finding.
our $finding = sub { die "@_\n" };

# Of the program that runs: who waits for an answer, and futures. A record is { must, called, expected }.
our ( @answers, @futures );

# Objects that functions of the program hold; what is left of them when it is over has leaked.
our $alive = 0;

# How often a call was interrupted. Where the alarm's exception ends a callback it may not come to the call.
our $alarms = 0;

# Handles that are closed, and of a class of the program's own.
our ( $stale, $foreign );

# Exceptions that the programs are made to throw.
my $OURS = qr/\Afuzz: /;

# Where a call stands, in messages: in the program, or here, where that has made it by way of a function.
our $PLACE =
  qr{ at (?:case \S+|\S*/ArgumentFuzz/\w+\.pm) line [0-9]+(?:\.|, <\S*> (?:line|chunk) [0-9]+\.)\n};

# What perl or a module of others' says, by itself, of things that the programs pass: objects that can't be what they are
# used as, constructors of Moo's. No line of ours has more to say.
my $PERLS = join '|',
  (
    'Operation ".+": no method found',
    'Overloaded dereference did not return a reference',
    'Malformed UTF-8',
    'Attempt to access disallowed key ',
    'Not a HASH reference at \S+/ZooKeeper\.pm',
    q(Can't use .* as a HASH ref .* at \S+/Tracer),
    'Not an? (?:ARRAY|HASH) reference at \\S+/Tracer',
    '.*"_multi(?:_read)?" (?:via|without|on)',
    'Missing required arguments: ',
    q(Can't weaken a nonreference),
    'Undefined subroutine .*::absent called',
    q(Can't "(?:next|last|goto)"),
    q(Can't find label),
    'Not a (?:CODE|HASH) reference at \S+/Dispatcher',
'(?s:(?:Not|Can.t use) .*)(?:reference|ref|ref while "strict refs" in use) at \S+/(?:Operations|MultiRead|Transaction|Watcher)\.pm',
    q(Can't use (?s:.*) as a subroutine ref .* at \S+/Dispatcher),
    'Single parameters to new',
    'The new\(\) method for',
    q(.*_dispatcher_for" (?:via|without|on)),
  );

sub upgraded {
    my ($string) = @_;
    utf8::upgrade($string);
    return $string;
}

# Says that it is UTF-8, and is not.
sub malformed {
    my ($bytes) = @_;
    Encode::_utf8_on($bytes) if $^X !~ /debug/;    # some of whose assertions don't hold for it
    return $bytes;
}

sub shared_key { return ( keys %{ { $_[0] => 1 } } )[0] }
sub stale      { return $stale }
sub foreign    { return $foreign }
sub elsewhere  { return 'elsewhere' }
sub format_ref { no warnings 'once'; return *PAGE{FORMAT} }

sub read_only {
    my ($value) = @_;
    Internals::SvREADONLY( $value, 1 );
    return \$value if !defined wantarray;
    return $value;
}

sub circle {
    my $circle = [];
    push @$circle, $circle, { circle => $circle };
    weaken( $circle->[0] );
    weaken( $circle->[1]{circle} );
    return $circle;
}

# Weak references: to what is gone, and to what is not.
sub faded {
    weaken( my $weak = [] );
    return $weak;
}

my $kept = { id => 'anyone', scheme => 'world', perms => 31 };

sub kept {
    weaken( my $weak = $kept );
    return $weak;
}

sub locked {
    my %hash = ( id => 'anyone', scheme => 'world' );
    Hash::Util::lock_hash(%hash);
    return \%hash;
}

sub overloaded {
    my ( $op, $code ) = @_;
    my $class = 'Overloaded::' . join '', map { ord } split //, $op;
    return bless \$code, $class;
}

for my $op ( '""', '0+', 'bool', 'nomethod', '&{}', '@{}', '%{}', '==', 'eq' ) {
    my $class = 'Overloaded::' . join '', map { ord } split //, $op;
    eval "package $class; use overload \$op => sub { \${ \$_[0] }->(\@_) }; 1" or die $@;
}

sub tied_scalar {
    my ($code) = @_;
    tie my $scalar, 'Tied', $code;
    return \$scalar;
}

# Its value is another one each time.
sub changing {
    my @values = @_;
    return tied_scalar( sub { push @values, shift @values; $values[-1] } );
}

sub tied_array {
    my ($code) = @_;
    tie my @array, 'Tied', $code;
    return \@array;
}

sub tied_hash {
    my ($code) = @_;
    tie my %hash, 'Tied', $code;
    return \%hash;
}

sub watcher {
    my ( $dispatcher, @more ) = @_;
    return $dispatcher->create_watcher( '/fz/a', answer(0), type => 'get', @more );
}

# A function that takes notice of being called. One that must be is in the program as the callback of a call.
sub answer {
    my ( $must, $code, %arg ) = @_;
    my $record = { must => $must, called => 0 };
    push @answers, $record;
    my $thing    = Counted->new;
    my $function = sub {
        $record->{called}++;
        return $code ? &$code : $thing->is_alive;
    };
    return $arg{by} ? bless \$function, 'Callable' : $function;
}

# A call, in this context. What it throws has to be one of three things.
sub call {
    my ( $context, $code ) = @_;
    my $from    = @answers;
    my $earlier = $alarms;
    my @result;
    my $ok = eval {
        if    ( $context eq 'list' )   { @result = $code->() }
        elsif ( $context eq 'scalar' ) { $result[0] = $code->() }
        else                           { $code->() }
        1;
    };
    my $error = $@;
    my $kind  = $ok ? 'none' : $alarms > $earlier && $error =~ /fuzz: alarm/ ? 'ours' : judged($error);
    for my $record ( grep { $_->{must} } @answers[ $from .. $#answers ] ) {
        $record->{expected} = $alarms > $earlier ? undef : $ok ? 1 : $kind eq 'ours' ? undef : 0;
    }
    push @futures, map { _ready($_) }
      grep { blessed $_ && $_->isa('Future') || blessed $_ && $_->isa('Mojo::Promise') } @result;
    return;
}

# A function that says whether this future, or promise, is settled.
sub _ready {
    my ($later) = @_;
    return sub { $later->is_ready }
      if $later->isa('Future');
    my $is_settled = 0;
    $later->then( ( sub { $is_settled = 1 } ) x 2 );
    return sub { $is_settled };
}

# What kind of exception it is.
sub judged {
    my ($error) = @_;
    if ( blessed $error ) {
        return 'ours' if $error->isa('Thrown');
        if ( $error->isa('ZooKeeper::Error') ) {
            my $message = eval { $error->message } // "none: $@";
            $message =~ /$PLACE\z/ || $message !~ /\AError /
              or $finding->("an error without the program's line: $message");
            return $error->code == 0 ? 'ours' : 'zookeeper';
        }
        return 'ours';
    }
    return 'ours' if ref $error || $error =~ $OURS;
    my $is_broken = $error =~ /panick|internal error|\bpanic:|poison|freed|Attempt to (?:free|copy)/;
    $finding->("died: $error")
      if $is_broken || $error !~ $PLACE && $error !~ /\A(?:$PERLS)/;
    return 'plain';
}

# A call that a signal's handler, which dies, may interrupt. Test::LeakTrace has a way of its own to run programs, which
# lets signals in between any two steps: in the middle of an assignment to a new element, too, where perl does not.
sub interrupted {
    my ( $seconds, $code ) = @_;
    return $code->() if $INC{'Test/LeakTrace.pm'};
    local $SIG{ALRM} = sub { $alarms++; die "fuzz: alarm\n" };
    my $list = wantarray;
    my @result;
    my $ok = eval {
        Time::HiRes::setitimer( Time::HiRes::ITIMER_REAL(), $seconds );
        if    ($list)           { @result = $code->() }
        elsif ( defined $list ) { $result[0] = $code->() }
        else                    { $code->() }
        1;
    };
    my $error = $@;
    for (1) {
        eval { Time::HiRes::setitimer( Time::HiRes::ITIMER_REAL(), 0 ); 1 } or redo;
    }
    die $error if !$ok;
    return $list ? @result : $result[0];
}

# How an argument was before.
sub keep {
    my ($argument) = @_;
    return [ $argument, looks($argument) ];
}

sub unchanged {
    my @kept = @_;
    return if $alarms;    # which may have come between a making and a breaking of a circle
    for my $kept (@kept) {
        my ( $argument, $before ) = @$kept;
        my $now = looks($argument);
        $finding->("an argument was changed from $before to $now") if $now ne $before;
    }
    return;
}

my $FLAGS =
  B::SVf_POK() | B::SVf_IOK() | B::SVf_NOK() | B::SVf_ROK() | B::SVf_READONLY() | Encode::FB_QUIET() * 0;

sub looks {
    my ($argument) = @_;
    my $object = B::svref_2object($argument);
    my ( $flags, $count ) = ( $object->FLAGS & $FLAGS, $object->REFCNT );
    my $bytes = '';
    if ( $flags & B::SVf_POK() ) {
        $bytes = $$argument;
        Encode::_utf8_off($bytes);
        $bytes = unpack( '%32C*', $bytes ) . ' of ' . length $bytes;
    }
    my $number = $flags & B::SVf_IOK()     ? $object->int_value : $flags & B::SVf_NOK() ? $object->NV : '';
    my $utf8   = utf8::is_utf8($$argument) ? 1 : 0;
    return sprintf 'flags %x (utf8: %s), %d owners, number %s, bytes %s', $flags, $utf8, $count, $number,
      $bytes;
}

package Counted;
sub new      { $ArgumentFuzz::Things::alive++; return bless [], $_[0] }
sub is_alive { return 1 }
sub DESTROY  { $ArgumentFuzz::Things::alive--; return }

package Callable;
use overload '&{}' => sub { ${ $_[0] } };

package Thrown;
use overload '""' => sub { 'fuzz: thrown' }, fallback => 1;
sub new { return bless [], $_[0] }

package Mute;

package Foreign;
our @ISA = 'ZooKeeper';

# Runs the program's code whatever is asked of it.
package Tied;
sub TIESCALAR { return bless \$_[1], $_[0] }
sub TIEARRAY  { return bless \$_[1], $_[0] }
sub TIEHASH   { return bless \$_[1], $_[0] }
sub FETCH     { my ( $self, @key ) = @_; return $$self->(@key) }
sub STORE     { return }
sub FETCHSIZE { return 3 }
sub EXISTS    { return 1 }
sub FIRSTKEY  { return 'id' }
sub NEXTKEY   { my ( $self, $last ) = @_; return { id => 'scheme', scheme => 'perms' }->{$last} }
sub SCALAR    { return 3 }
sub DELETE    { return }
sub CLEAR     { return }
sub UNTIE     { return }

1;

package Answers;
use strict;
use warnings;

use Scalar::Util         qw(blessed);
use TestZK               qw(deadline);
use ZooKeeper::Constants qw(ZOO_OPEN_ACL_UNSAFE);

my @READS  = ( [ exists => '/x' ], [ get => '/x' ], [ get_children => '/x' ], [ get_acl => '/x' ] );
my @WRITES = (
    [ create      => '/x', value => 'v' ],
    [ set         => '/x', 'v' ],
    [ delete      => '/x' ],
    [ set_acl     => '/x', ZOO_OPEN_ACL_UNSAFE ],
    [ ensure_path => '/x' ],
);

# Often enough for each of them to be asked in each form.
my $TIMES = 3;

# Requests that nobody waits for, asked in all forms in turn, and what became of each.
#
#     my $answers = Answers->new;
#     $answers->ask( $zk, create => '/x', value => 'v' ) for 1 .. 9;
#     $answers->wait_for_all( $zk->dispatcher );
#     $answers->told;    # 'create 0', ...: name and code of each request, in the order in which they were asked
sub new {
    my ($class) = @_;
    my $self    = bless { names => [], answers => [], order => {}, forms => [qw(cb f)] }, $class;
    push @{ $self->{forms} }, 'p' if eval { require Mojo::IOLoop; require Mojo::Promise };
    return $self;
}

# How a request can be asked here: promises need Mojolicious.
sub forms { return @{ $_[0]{forms} } }

# Asks for a command of the object (or for the commit of a transaction), in the next form.
sub ask {
    my ( $self, $object, $command, @args ) = @_;
    my $form = $self->{forms}[ @{ $self->{names} } % @{ $self->{forms} } ];
    return $self->ask_in( $form, $object, $command, @args );
}

# In this form.
sub ask_in {
    my ( $self, $form, $object, $command, @args ) = @_;
    my $number = @{ $self->{names} };
    push @{ $self->{names} }, $command;
    my $answered = sub {
        push @{ $self->{answers}[$number] },                            [@_];
        push @{ $self->{order}{ $form eq 'p' ? 'later' : 'at once' } }, $number;
    };
    if ( $form eq 'cb' ) {
        $object->$command( @args, cb => $answered );
    }
    elsif ( $form eq 'f' ) {
        my $method = "${command}_f";
        $object->$method(@args)->on_ready(
            sub {
                my ($future) = @_;
                my ($error)  = $future->failure;
                $answered->( $error, defined $error ? () : $future->get );
            }
        )->retain;
    }
    else {
        my $method = "${command}_p";
        $object->$method(@args)->then( sub { $answered->( undef, @_ ) }, $answered );
    }
    return;
}

# Asks for all commands but add_auth. The watcher is not expected to be called.
sub ask_all {
    my ( $self, $zk, @named ) = @_;
    for ( 1 .. $TIMES ) {
        $self->ask( $zk,                            @$_,      @named ) for @READS, @WRITES;
        $self->ask( $zk->transaction->delete('/x'), 'commit', @named );
        $self->ask( $zk->multi_read->get('/x'),     'commit', @named );
        $self->ask( $zk, get => '/x', watcher => sub { die 'a watch that was never set' }, @named );
    }
    return $self;
}

# How many those are.
sub all { return $TIMES * ( @READS + @WRITES + 3 ) }

# What "counts" says if all of them come to the same end; and whether the writes may have been done.
sub all_told {
    my ( $class, $code, $maybe ) = @_;
    my @told = map { "$_ $code" } map( { $_->[0] } @READS ), qw(commit get);
    push @told, map { "$_ $code" . ( $maybe ? '?' : '' ) } map( { $_->[0] } @WRITES ), 'commit';
    my %count;
    $count{$_} += $TIMES for @told;
    return \%count;
}

# How many were asked, and how many of them have been answered.
sub asked { return scalar @{ $_[0]{names} } }

sub answered {
    return scalar grep { $_ } @{ $_[0]{answers} };
}

# Lets the loop of a dispatcher run until all have been answered. What promises call is called by Mojo's loop.
sub wait_for_all {
    my ( $self, $dispatcher, $seconds ) = @_;
    deadline $seconds // 60, sub {
        while ( $self->answered < $self->asked ) {
            $dispatcher->run_loop_once(0.05);
            $self->promises;
        }
    };
    return;
}

# Calls what is to be called for promises that have been settled.
sub promises {
    my ($self) = @_;
    return if !$INC{'Mojo/IOLoop.pm'};
    my $reactor = Mojo::IOLoop->singleton->reactor;
    my $done;
    $reactor->timer( 0 => sub { $done = 1 } );
    $reactor->one_tick until $done;
    return;
}

# What became of each, in the order in which they were asked: a command's name and the code, with a question mark behind
# it if the request may have been done all the same; "never" and "twice" for what must not be.
sub told {
    my ($self) = @_;
    return map { "$self->{names}[$_] " . _said( $self->{answers}[$_] ) } 0 .. $#{ $self->{names} };
}

# The same, but how many there were of each.
sub counts {
    my ($self) = @_;
    my %count;
    $count{$_}++ for $self->told;
    return \%count;
}

# The answers to one request.
sub errors {
    return map { $_->[0][0] } @{ $_[0]{answers} };
}
sub results { my ( undef, @result ) = @{ $_[0]{answers}[ $_[1] ][0] }; return @result }

# True if the requests were answered in the order in which they were asked. What promises call is called later.
sub is_in_order {
    my ($self) = @_;
    my $told   = join ' | ', map { "@$_" } values %{ $self->{order} };
    my $asked  = join ' | ', map {
        join ' ',
          sort { $a <=> $b }
          @$_
    } values %{ $self->{order} };
    return $told eq $asked;
}

sub _said {
    my ($answers) = @_;
    return 'never' if !$answers;
    return 'twice' if @$answers > 1;
    my ($error) = @{ $answers->[0] };
    return 0              if !defined $error;
    return "died: $error" if !( blessed $error && $error->isa('ZooKeeper::Error') );
    return $error->code . ( $error->maybe_applied ? '?' : '' );
}

1;

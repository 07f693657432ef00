package ZooKeeper::Steps::Delete;
use strict;
use warnings;

use List::Util           qw(max min);
use Scalar::Util         qw(blessed);
use ZooKeeper::Arguments qw(is_int32);
use ZooKeeper::Constants qw(ZBADARGUMENTS ZNONODE ZNOTEMPTY ZOK ZRUNTIMEINCONSISTENCY ZUNIMPLEMENTED);
use ZooKeeper::Error;
use ZooKeeper::MultiRead;
use ZooKeeper::Transaction;

our $VERSION = '0.2.0';

# Deletes a node with all below it: lists the nodes, level by level, and deletes them from the last that was found to
# the first, so children before their parents, in transactions. Others may be at work on the same nodes: what they
# delete meanwhile need not be deleted here, and what they create is listed and deleted, too.

# Nodes in one transaction, and in one multi_read.
my ( $MOST_DELETED, $MOST_LISTED ) = ( 500, 256 );

# Names in the answer to a multi_read, in bytes, as far as can be foreseen: the more children nodes have, the fewer are
# listed in one go.
my $NAMES = 1 << 20;

# What an operation takes beside the path, at most.
my $OVERHEAD = 64;

# So often one node may turn out not to be empty when it is to be deleted, and so often any of them. Who creates there now
# and then has lost by then; who never stops, or servers that don't agree what is there, win.
my ( $ATTEMPTS, $PATIENCE ) = ( 50, 500 );

sub steps {
    my ( $handle, $arg ) = @_;
    my $version = $arg->{version};
    !defined $version || is_int32($version)
      or ZooKeeper::Error::_raise( 'delete', $arg->{path}, ZBADARGUMENTS,
        "version '$version' is not an integer" );
    my $top = $arg->{path};

    # Names come as bytes then, and would not go with characters.
    utf8::encode($top) if defined $top && !ref $top && !$handle->utf8 && $top =~ /[^\x{0}-\x{FF}]/;
    my $self = bless {
        given     => $arg->{path},
        top       => $top,
        version   => $arg->{version},
        pairs     => [ map { $_ => $arg->{$_} } grep { defined $arg->{$_} } 'request_timeout' ],
        room      => $handle->jute_maxbuffer / 2,
        overhead  => $OVERHEAD + length $handle->hosts,    # for the chroot is in there
        unlisted  => [$top],
        doomed    => [],
        is_doomed => {},
        refused   => {},
        list_size => 1,
        size      => $MOST_DELETED,
        widest    => 1,
        patience  => $PATIENCE,
      },
      __PACKAGE__;
    return sub { return $self->_next(@_) };
}

sub _next {
    my ( $self, @answer ) = @_;
    if ( !@answer ) {
        ( $self->{top} // '' ) eq '/' and $self->_fail( '/', ZBADARGUMENTS, 'the root can not be deleted' );
    }
    else {
        $self->{heard}->( $self, @answer );
    }
    return $self->_sync   if delete $self->{is_behind};
    return $self->_list   if @{ $self->{unlisted} };
    return $self->_delete if @{ $self->{doomed} };
    return [];
}

# The leader knows of children that the server which lists them may not know of yet.
sub _sync {
    my ($self) = @_;
    $self->{heard} = sub {
        my ( $self, $error ) = @_;
        die $self->_own($error) if defined $error;
    };
    return ( sync => $self->{top}, @{ $self->{pairs} } );
}

sub _list {
    my ($self) = @_;
    my ( $room, @paths ) = ( $self->{room} );
    my $most = $self->{one_by_one} ? 1 : $self->{list_size};
    while ( @{ $self->{unlisted} } && @paths < $most ) {
        my $takes = $self->_takes( $self->{unlisted}[0] );
        last if @paths && $takes > $room;
        $room -= $takes;
        push @paths, shift @{ $self->{unlisted} };
    }
    if ( @paths == 1 ) {
        $self->{heard} = sub {
            my ( $self, $error, @names ) = @_;    # not the one outside, which holds this function
            my $code = _code($error);
            if ( defined $error && !( $code == ZNONODE && $self->{is_doomed}{ $paths[0] } ) ) {
                die $self->_own($error);
            }
            $self->_listed( $paths[0], $code, @names );
        };
        return ( get_children => $paths[0], @{ $self->{pairs} } );
    }
    $self->{heard} = sub {
        my ( $self, $error, @results ) = @_;
        if ( defined $error ) {
            my $unknown  = _code($error) == ZUNIMPLEMENTED;    # by a server older than 3.6
            my $too_long = _code($error) && $error->is_connection_loss;
            die $self->_own($error) if !$unknown && !$too_long;
            $self->{one_by_one} = 1;
            unshift @{ $self->{unlisted} }, @paths;
            return;
        }
        for my $path (@paths) {
            my $result = shift @results;
            my $code   = $result->{code} // ZOK;
            $self->_fail( $path, $code ) if $code != ZOK && $code != ZNONODE;
            $self->_listed( $path, $code, @{ $result->{children} // [] } );
        }
    };
    my @ops = map { [ get_children => $_ ] } @paths;
    return ( _committed( 'ZooKeeper::MultiRead', @ops ), @{ $self->{pairs} } );
}

# A question that is several operations together.
sub _committed {
    my ( $class, @ops ) = @_;
    return
      sub { my ( $handle, @pairs ) = @_; $class->new( handle => $handle, ops => \@ops )->commit(@pairs) };
}

sub _listed {
    my ( $self, $path, $code, @names ) = @_;
    if ( $code == ZNONODE ) {
        $self->_forget($path);
        return;
    }
    $self->_doom($path);
    my $above = $path eq '/' ? '' : $path;
    my @below = grep { !$self->{is_doomed}{$_} } map { "$above/$_" } @names;
    $self->_doom($_) for @below;
    push @{ $self->{unlisted} }, @below;
    $self->{widest} = max( $self->{widest}, $self->{overhead} + length join '', @names );
    my $fits = int( $NAMES / $self->{widest} );
    $self->{list_size} = max( 1, min( $self->{list_size} * 2, $fits, $MOST_LISTED ) );
    return;
}

sub _doom {
    my ( $self, $path ) = @_;
    push @{ $self->{doomed} }, $path if !$self->{is_doomed}{$path}++;
    return;
}

# Somebody else has deleted it.
sub _forget {
    my ( $self, $path ) = @_;
    delete $self->{is_doomed}{$path};
    return;
}

sub _delete {
    my ($self) = @_;
    my $doomed = $self->{doomed};
    my ( $room, @paths ) = ( $self->{room} );
    while ( @$doomed && @paths < $self->{size} ) {
        my $path = $doomed->[-1];
        if ( $self->{is_doomed}{$path} ) {
            my $takes = $self->_takes($path);
            last if @paths && $takes > $room;
            $room -= $takes;
            push @paths, $path;
        }
        pop @$doomed;
    }
    return [] if !@paths;

    # The version is the node's own, which goes last; but if it is another one, the others have to stay.
    my $version = $self->{version};
    my @ops     = map { [ delete => $_, $_ eq $self->{top} ? $version : undef ] } @paths;
    unshift @ops,   [ check => $self->{top}, $version ] if defined $version;
    unshift @paths, $self->{top}                        if defined $version;
    $self->{heard} = sub { my ( $self, @answer ) = @_; $self->_deleted( \@paths, @answer ) };
    return ( _committed( 'ZooKeeper::Transaction', @ops ), @{ $self->{pairs} } );
}

# Bytes that an operation on a path takes in a request, at most: wide characters are three bytes each.
sub _takes {
    my ( $self, $path ) = @_;
    return $self->{overhead} + 3 * length( $path // '' );
}

sub _deleted {
    my ( $self, $paths, $error, @results ) = @_;
    die $self->_own($error) if defined $error;
    my @paths     = @$paths;
    my $versions  = defined $self->{version} ? 1 : 0;                      # the check before the others
    my ($culprit) = grep { _is_culprit( $results[$_] ) } 0 .. $#results;
    if ( !defined $culprit ) {
        delete @{ $self->{is_doomed} }{ @paths[ $versions .. $#paths ] };
        $self->{size} = min( 2 * $self->{size}, $MOST_DELETED );
        return;
    }
    my ( $path, $code ) = ( $paths[$culprit], $results[$culprit]{code} );
    push @{ $self->{doomed} }, reverse @paths[ $versions .. $#paths ];
    $self->{size} = max( 1, int( $self->{size} / 2 ) );    # another may well be at work here, too
    if ( $code == ZNONODE && !( $versions && $culprit == 0 ) ) {
        $self->_forget($path);
        return;
    }
    $self->_fail( $path, $code ) if $code != ZNOTEMPTY;
    my $times = ++$self->{refused}{$path};
    $self->_fail( $path, $code, "children were there again at each of $times attempts" )
      if $times >= $ATTEMPTS;
    $self->_fail( $path, $code, "children were there again at $PATIENCE attempts, of one node or another" )
      if --$self->{patience} <= 0;
    $self->{is_behind} = 1;
    push @{ $self->{unlisted} }, $path;
    return;
}

sub _is_culprit {
    my ($result) = @_;
    return
         $result->{type} eq 'error'
      && $result->{code} != ZOK
      && $result->{code} != ZRUNTIMEINCONSISTENCY;
}

sub _code {
    my ($error) = @_;
    return blessed $error && $error->isa('ZooKeeper::Error') ? $error->code : 0;
}

# An error of a question, as one of the call.
sub _own {
    my ( $self, $error ) = @_;
    return $error =~ s/\Aget_children:/delete:/r if !ref $error;
    return $error                                if !blessed $error || !$error->isa('ZooKeeper::Error');
    my $path    = $self->_as_given( $error->path // $self->{top} );    # of many nodes it is about the first
    my $theirs  = ZooKeeper::Commands::doing( $error->op, $error->path );
    my $ours    = ZooKeeper::Commands::doing( 'delete',   $path );
    my $message = $error->message =~ s/\AError \Q$theirs\E:/Error $ours:/r;
    local $@ = '';    # what happens to be there is no previous exception
    return ZooKeeper::Error->new( %$error, message => $message, op => 'delete', path => $path );
}

sub _fail {
    my ( $self, $path, @why ) = @_;
    return ZooKeeper::Error::_raise( 'delete', $self->_as_given($path), @why );
}

# A path for an error: the node's own as the program has it.
sub _as_given {
    my ( $self, $path ) = @_;
    return defined $path && $path eq ( $self->{top} // '' ) ? $self->{given} : $path;
}

1;

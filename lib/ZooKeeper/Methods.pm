package ZooKeeper::Methods;
use strict;
use warnings;

use Exporter 'import';
use Sub::Util            qw(set_subname);
use ZooKeeper::Arguments qw(arguments arrange is_callable);
use ZooKeeper::Commands;
use ZooKeeper::Error;
use ZooKeeper::Guard;
use ZooKeeper::Modules;

our $VERSION   = '0.2.0';
our @EXPORT_OK = qw(define);

# Every command has three forms: NAME, which waits, or calls what it is given as "cb"; NAME_f, which returns a
# future; NAME_p, which returns a promise. All of them ask in the same way. Whoever does not wait is told: by a
# function and, if there is one, its first argument, before the error and the results.

# Gives a class the methods of all commands. The class has the XSUBs already.
sub install {
    my ($class) = @_;
    for my $command ( ZooKeeper::Commands::methods() ) {
        my $xsub = $class->can("_$command->{name}");
        define( $class, $command, sub { _ask( $command, $xsub, @_ ) }, $xsub );
    }
    define( $class, ZooKeeper::Commands::composite('add_watch'), \&_add_watch );
    define(
        $class,
        ZooKeeper::Commands::composite('ensure_path'),
        sub {
            my ( $self, @asked ) = @_;
            return _steps( $self, 'ensure_path', 'create', @asked );
        }
    );
    return;
}

# Gives a class the three forms of a command. What asks is called with the object, a hash ref of arguments, and
# whom to tell, if anybody. With an XSUB calls without named arguments go straight to it.
sub define {
    my ( $class, $command, $ask, $xsub ) = @_;
    my $is_direct = $xsub && !grep { $_ eq 'acl_or_default' } @{ $command->{takes} };
    my $name      = $command->{name};
    my $least     = 1 + @{ $command->{positional} };

    my @between = $is_direct ? _between($command) : ();

    my %method = (
        $name => sub {
            if ( $is_direct && !$ZooKeeper::Tracer::is_used ) {
                return &$xsub if @_ == $least;
                return $xsub->( @_[ 0 .. $least - 1 ], @between, $_[-1] )
                  if @_ == $least + 2 && ( $_[$least] // '' ) eq 'cb' && ref $_[-1] eq 'CODE';
            }
            my ( $self, @args ) = @_;
            $self->_dispatcher_for($name);
            my $arg = arguments( $command, @args );
            my $cb  = delete $arg->{cb};
            return $ask->( $self, $arg ) if !defined $cb;
            is_callable($cb) or ZooKeeper::Error::_croak("$name: cb must be a code reference");
            $ask->( $self, $arg, $cb );
            return;
        }
    );
    $method{"${name}_f"} =
      _later( "${name}_f", $command, $ask, $is_direct && $xsub, \&_future, \&ZooKeeper::Future::_settle );
    $method{"${name}_p"} =
      _later( "${name}_p", $command, $ask, $is_direct && $xsub, \&_promise, \&_settle_promise );
    no strict 'refs';
    *{"${class}::$_"} = set_subname( "${class}::$_", $method{$_} ) for keys %method;
    return;
}

# The form that returns at once what is settled later, as "make" makes it and "settle" settles it.
sub _later {
    my ( $method, $command, $ask, $xsub, $make, $settle ) = @_;
    my $least   = 1 + @{ $command->{positional} };
    my @between = $xsub ? _between($command) : ();
    return sub {
        my $later = $make->( $_[0]->_dispatcher_for($method), $method );
        if ( $xsub && @_ == $least && !$ZooKeeper::Tracer::is_used ) {
            $xsub->( @_, @between, $settle, $later );
            return $later;
        }
        my ( $self, @args ) = @_;
        my $arg = arguments( $command, @args );
        defined delete $arg->{cb}
          and ZooKeeper::Error::_warn("$method: unknown argument 'cb' has no effect");
        $ask->( $self, $arg, $settle, $later );
        return $later;
    };
}

# What an XSUB takes between the positional arguments and whom to tell.
sub _between {
    my ($command) = @_;
    return (undef) x ( 1 + @{ $command->{takes} } - @{ $command->{positional} } );
}

# Asks for a command.
sub _ask {
    my ( $command, $xsub, $self, $arg, @told ) = @_;
    my $steps = $command->{steps};
    if ( my ($wish) = $steps ? grep { $arg->{$_} } keys %$steps : () ) {
        delete $arg->{$wish};
        return _steps( $self, $steps->{$wish}, $command->{name}, $arg, @told );
    }
    $xsub = _traced( $self, $command, $arg, $xsub ) if $ZooKeeper::Tracer::is_used;
    return $xsub->( $self, arrange( $command, $arg, $self ), $arg->{request_timeout}, @told )
      if !$command->{watch} || !defined $arg->{watcher};
    my ( undef, @result ) =
      _set_watch( $self, $command, $arg, { type => $command->{watch} }, $xsub, wantarray, \&_watched, @told );
    return wantarray ? @result : $result[0];
}

sub _steps {
    ZooKeeper::Modules::need('ZooKeeper::Steps');
    return &ZooKeeper::Steps::take;
}

# Asks for a persistent watch, and returns its watcher.
sub _add_watch {
    my ( $self, $arg, @told ) = @_;
    my $command = ZooKeeper::Commands::composite('add_watch');
    defined $arg->{watcher} or ZooKeeper::Error::_croak('add_watch: watcher is required');
    my $kind      = { type => $arg->{recursive} ? 'persistent_recursive' : 'persistent', persistent => 1 };
    my $xsub      = _traced( $self, $command, $arg, \&ZooKeeper::_add_watch );
    my ($watcher) = _set_watch( $self, $command, $arg, $kind, $xsub, 0, \&_watching, @told );
    return $watcher;
}

# The XSUB, or what calls it and tells the handle's tracer.
sub _traced {
    my ( $self, $command, $arg, $xsub ) = @_;
    return $xsub if !$self->{tracer};
    my $count = 2 + @{ $command->{takes} };
    return ZooKeeper::Tracer::around( $self, $command->{name}, $arg->{path} // $command->{watched}, $xsub,
        $count );
}

# Asks for what leaves a watch: makes its watcher, of this kind, which goes again if the call fails. Returns it, and what
# the call returns (all of it if a list is wanted). If somebody is to be told, the answer is for "answered", with the
# watcher and him.
sub _set_watch {
    my ( $self, $command, $arg, $kind, $xsub, $list, $answered, @told ) = @_;
    my ( $name, $cb ) = ( $command->{name}, $arg->{watcher} );
    is_callable($cb) or ZooKeeper::Error::_croak("$name: the watcher must be a code reference");
    my $watcher = $self->_dispatcher_for($name)
      ->create_watcher( $arg->{path} // $command->{watched}, $cb, %$kind, handle => $self );
    my $failed = ZooKeeper::Guard->new( sub { $watcher->_retire } );    # unless the call succeeds
    $arg->{watcher} = $watcher->id;
    my @call = ( $self, arrange( $command, $arg, $self ), $arg->{request_timeout} );
    push @call, $answered, [ $watcher, @told ] if @told;
    my @result = $list ? $xsub->(@call) : scalar $xsub->(@call);
    $failed->dismiss;
    return ( $watcher, @result );
}

# The answer to a request for a persistent watch.
sub _watching {
    my ( $call, $error ) = @_;
    my ( $watcher, $tell, @subject ) = @$call;
    $watcher->_retire if defined $error;
    return $tell->( @subject, $error, defined $error ? () : $watcher );
}

# The answer to a request that has set a watch, or has not.
sub _watched {
    my ( $call, @answer ) = @_;
    my ( $watcher, $tell, @subject ) = @$call;
    $watcher->_retire if defined $answer[0];
    return $tell->( @subject, @answer );
}

sub _future {
    my ( $dispatcher, $method ) = @_;
    if ( !$INC{'ZooKeeper/Future.pm'} ) {
        _needs( $method, 'Future', 'Future' );    # first: of one that has failed perl only says that it did
        _needs( $method, 'ZooKeeper::Future', 'ZooKeeper::Future' );
    }
    return ZooKeeper::Future::_of($dispatcher);
}

sub _promise {
    my ( $dispatcher, $method ) = @_;
    _needs( $method, 'Mojo::Promise', 'Mojolicious' ) if !$INC{'Mojo/Promise.pm'};
    my $promise = Mojo::Promise->new;
    my $loop    = $dispatcher->can('loop') && $dispatcher->loop;
    $promise->ioloop($loop) if $loop && $loop->isa('Mojo::IOLoop');
    return $promise;
}

sub _settle_promise {
    my ( $promise, $error, @result ) = @_;
    defined $error ? $promise->reject($error) : $promise->resolve(@result);
    return;
}

sub _needs {
    my ( $method, $module, $distribution ) = @_;
    my $why = ZooKeeper::Modules::load($module);
    ZooKeeper::Error::_croak("$method needs $distribution: $why") if defined $why;
    return;
}

1;

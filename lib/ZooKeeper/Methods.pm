package ZooKeeper::Methods;
use strict;
use warnings;

use Sub::Util            qw(set_subname);
use ZooKeeper::Arguments qw(arguments arrange is_callable);
use ZooKeeper::Commands;
use ZooKeeper::Error;
use ZooKeeper::Guard;

our $VERSION = '0.2.0';

# Gives a class one method per command. The class has the XSUBs already.
sub install {
    my ($class) = @_;
    for my $command ( ZooKeeper::Commands::methods() ) {
        my $name   = "${class}::$command->{name}";
        my $method = set_subname( $name, _blocking( $command, $class->can("_$command->{name}") ) );
        no strict 'refs';
        *{$name} = $method;
    }
    return;
}

# The blocking form of a command. Without named arguments nothing is to be arranged: Rust sees the caller's @_.
sub _blocking {
    my ( $command, $xsub ) = @_;
    my $name   = $command->{name};
    my $least  = 1 + @{ $command->{positional} };
    my $direct = grep( { $_ eq 'acl_or_default' } @{ $command->{takes} } ) ? -1 : $least;
    return sub {
        return &$xsub if @_ == $direct;
        my ( $self, @args ) = @_;
        my $dispatcher = ZooKeeper::_dispatcher_of( $self, $name );
        my $arg        = arguments( $command, @args );
        my $cb         = $arg->{watcher};
        return $xsub->( $self, arrange( $command, $arg, $self ) ) if !defined $cb;

        is_callable($cb) or ZooKeeper::Error::_croak("$name: the watcher must be a code reference");
        my $watcher = $dispatcher->create_watcher( $arg->{path}, $cb, type => $name, handle => $self );
        my $failed  = ZooKeeper::Guard->new( sub { $watcher->_retire } );    # unless the call succeeds
        $arg->{watcher} = $watcher->id;
        my @call   = ( $self, arrange( $command, $arg, $self ) );
        my @result = wantarray ? $xsub->(@call) : scalar $xsub->(@call);
        $failed->dismiss;
        return wantarray ? @result : $result[0];
    };
}

1;

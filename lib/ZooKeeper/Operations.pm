package ZooKeeper::Operations;
use Moo;
use Sub::Util            qw(set_subname);
use ZooKeeper::Arguments qw(arguments arrange);
use ZooKeeper::Commands;
use ZooKeeper::Constants qw(ZINVALIDSTATE zerror);
use ZooKeeper::Error;
use ZooKeeper::Methods qw(define);

our $VERSION = '0.2.0';

# A list of operations that are sent together: what transactions and multi_reads have in common. A subclass has
# a method "_send", which is called with the handle, the operations, the time that they may take and whom to tell, and
# a method "_op" for the name that errors give to that.

has handle => ( is => 'ro', required => 1, weak_ref => 1 );

# Operations as Rust takes them: [ name, arguments … ].
has ops => ( is => 'ro', default => sub { [] } );

# Gives a subclass a method for each operation that it may hold. It returns another list, one longer.
sub _install {
    my ( $class, @commands ) = @_;
    for my $command (@commands) {
        my $name   = $command->{name};
        my $method = sub {
            my ( $self, @args ) = @_;
            my $arg = arguments( $command, @args );
            my $op  = [ $name, arrange( $command, $arg, $self->handle ) ];
            return ref($self)->new( handle => $self->handle, ops => [ @{ $self->ops }, $op ] );
        };
        no strict 'refs';
        *{"${class}::$name"} = set_subname( "${class}::$name", $method );
    }
    return;
}

# commit, commit_f, commit_p
define( __PACKAGE__, ZooKeeper::Commands::composite('commit'), \&_commit );

sub _commit {
    my ( $self, $arg, @told ) = @_;
    return if !@{ $self->ops } && !@told;
    my @call = ( $self->_live_handle, $self->ops, $arg->{request_timeout} );
    push @call, \&_tell, [ $self->ops, @told ] if @told;
    if ( $ZooKeeper::Tracer::is_used && $call[0]{tracer} ) {
        my $send = ZooKeeper::Tracer::around( $call[0], $self->_op, undef, sub { $self->_send(@_) }, 3 );
        return _with_texts( $self->ops, $send->(@call) );
    }
    return _with_texts( $self->ops, $self->_send(@call) );
}

sub _op { return 'commit' }

sub _tell {
    my ( $told, $error, @results ) = @_;
    my ( $ops,  $tell,  @subject ) = @$told;
    return $tell->( @subject, $error, defined $error ? () : _with_texts( $ops, @results ) );
}

# What only Perl knows of a result.
sub _with_texts {
    my ( $ops, @results ) = @_;
    my $index = 0;
    for my $result (@results) {
        my ( $asked, $type ) = ( $ops->[ $index++ ][0], $result->{type} );
        if ( $type eq 'error' ) {
            $result->{message} //= zerror( $result->{code} );
        }
        elsif ( $type eq 'create' ) {
            $result->{type} = $asked;
            delete $result->{stat} if $asked eq 'create';    # of containers it comes unasked
        }
    }
    return @results;
}

sub _live_handle {
    my ($self) = @_;
    return $self->handle
      // ZooKeeper::Error::_raise( 'commit', undef, ZINVALIDSTATE, 'the handle of this transaction is gone' );
}

sub _dispatcher_for {
    my ( $self, $method ) = @_;
    return $method =~ /_[fp]\z/ ? $self->_live_handle->_dispatcher_for($method) : undef;
}

1;

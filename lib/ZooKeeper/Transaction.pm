package ZooKeeper::Transaction;
use Moo;
use Sub::Util            qw(set_subname);
use ZooKeeper::Arguments qw(arguments arrange);
use ZooKeeper::Commands;
use ZooKeeper::Constants qw(ZINVALIDSTATE zerror);
use ZooKeeper::Error;

our $VERSION = '0.2.0';

has handle => ( is => 'ro', required => 1, weak_ref => 1 );

# Operations as Rust takes them: [ name, arguments … ].
has ops => ( is => 'ro', default => sub { [] } );

for my $command ( ZooKeeper::Commands::operations() ) {
    my $name   = $command->{name};
    my $method = sub {
        my ( $self, @args ) = @_;
        my $arg = arguments( $command, @args );
        my $op  = [ $name, arrange( $command, $arg, $self->handle ) ];
        return ref($self)->new( handle => $self->handle, ops => [ @{ $self->ops }, $op ] );
    };
    no strict 'refs';
    *{ __PACKAGE__ . "::$name" } = set_subname( __PACKAGE__ . "::$name", $method );
}

sub commit {
    my ($self) = @_;
    my $ops = $self->ops;
    return if !@$ops;
    my $handle = $self->handle
      // ZooKeeper::Error::_raise( 'commit', undef, ZINVALIDSTATE, 'the handle of this transaction is gone' );
    my @results = $handle->_multi($ops);
    $_->{message} //= zerror( $_->{code} ) for grep { $_->{type} eq 'error' } @results;
    return @results;
}

1;

__END__

=encoding UTF-8

=head1 NAME

ZooKeeper::Transaction - operations that are done all together or not at all

=head1 SYNOPSIS

    use ZooKeeper;
    use ZooKeeper::Constants;

    my $zk      = ZooKeeper->new( hosts => 'localhost:2181' );
    my @results = $zk->transaction
        ->check( '/config', 3 )
        ->create( '/jobs/j-', value => 'work', sequential => 1 )
        ->set( '/config' => 'busy' )
        ->commit;

    if ( my ($culprit) = grep { $_->{type} eq 'error' && $_->{code} != ZOK } @results ) {
        warn "nothing was done: $culprit->{message}\n";
    }
    else {
        print "job: $results[1]{path}\n";
    }

=head1 DESCRIPTION

A list of operations for one handle, which it holds weakly. It never changes: each
operation returns a new transaction with that operation added, so that one may be
the beginning of several others.

Arguments have the meaning that they have in L<ZooKeeper>.

=head1 ATTRIBUTES

Of use to subclasses. Programs call L<ZooKeeper/transaction>.

=head2 handle

The L<ZooKeeper>, held weakly: undef when it is gone. Required by C<new>.

=head2 ops

The operations so far: an array ref. What is in it is the compiled part's affair.

=head1 METHODS

=head2 create

    my $next = $transaction->create( '/x', value => 'data', acl => $acl, ephemeral => 1, sequential => 1 );

Without C<acl> the node gets the handle's L<default_acl|ZooKeeper/default_acl>.

=head2 delete

    my $next = $transaction->delete( '/x', version => 3 );

=head2 set

    my $next = $transaction->set( '/x' => 'data', version => 3 );

=head2 check

    my $next = $transaction->check( '/x', 3 );

Nothing is done to the node, but its data must have this version.

=head2 commit

    my @results = $transaction->commit;

Sends the operations, and returns a hash ref for each:
C<< {type => 'create', path => $path} >>, C<< {type => 'delete'} >>,
C<< {type => 'set', stat => $stat} >>, C<< {type => 'check'} >>. In scalar context
how many there are. Without an operation nothing is sent.

If one of them fails nothing is done, and each result is
C<< {type => 'error', code => $code, message => $text} >>: C<ZOK> for those before
the culprit, its own code for the culprit, C<ZRUNTIMEINCONSISTENCY> for those behind
it.

Throws a L<ZooKeeper::Error> if the server could not be asked: C<ZBADARGUMENTS> for
an operation that no server would take, C<ZCONNECTIONLOSS> and the like,
C<ZINVALIDSTATE> if the handle is closed or gone. Dies with a plain message for an
argument of the wrong Perl type. Both messages say which operation it was.

=head1 SEE ALSO

L<ZooKeeper>, L<ZooKeeper::Error>

=cut

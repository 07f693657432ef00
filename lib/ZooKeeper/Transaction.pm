package ZooKeeper::Transaction;
use Moo;
use ZooKeeper::Commands;
use ZooKeeper::Operations;
extends 'ZooKeeper::Operations';

our $VERSION = '0.2.0';

__PACKAGE__->_install( ZooKeeper::Commands::operations() );

sub _send {
    my ( undef, $handle, @call ) = @_;
    return $handle->_multi(@call);
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

Without C<acl> the node gets the handle's L<default_acl|ZooKeeper/default_acl>. C<container>
and C<ttl> are those of L<ZooKeeper/create>; there is no C<parents>.

=head2 create2

    my $next = $transaction->create2( '/x', value => 'data' );

The result has the node's stat as well, from servers of 3.9 on; those before leave it out.

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
C<< {type => 'create', path => $path} >>,
C<< {type => 'create2', path => $path, stat => $stat} >>, C<< {type => 'delete'} >>,
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

Arguments by name are C<request_timeout> (see L<ZooKeeper/request_timeout>) and C<cb>, a
callback that gets an error or undef, and the results, while this returns nothing and does
not wait.

=head2 commit_f, commit_p

The same, but they return a L<ZooKeeper::Future> or a L<Mojo::Promise> at once. See
L<ZooKeeper::Asynchronous>.

=head1 SEE ALSO

L<ZooKeeper>, L<ZooKeeper::Asynchronous>, L<ZooKeeper::MultiRead>, L<ZooKeeper::Error>

=cut

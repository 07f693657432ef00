package ZooKeeper::Future;
use strict;
use warnings;

use Future;
use ZooKeeper::Error;
use ZooKeeper::Watcher;
use parent -norequire, 'Future';

our $VERSION = '0.2.0';

# Of what a loop dies of, like a wait within a wait, Carp then names the user's line.
our @CARP_NOT = qw(Future Future::PP);

# One that is made of another, as "then" does it, has the same dispatcher.
sub new {
    my ( $proto, @args ) = @_;
    my $self  = $proto->SUPER::new(@args);
    my $where = ref $proto && $proto->udata('zookeeper');
    $self->set_udata( zookeeper => $where ) if $where;
    return $self;
}

# Lets the dispatcher's loop run until this one is ready.
sub await {
    my ($self) = @_;
    return $self if $self->is_ready;
    my $where      = $self->udata('zookeeper');
    my $dispatcher = $where && $where->[0]
      // ZooKeeper::Error::_croak('await: the dispatcher of this future is gone, it will never be ready');
    $dispatcher->_drive($self);
    return $self;
}

# A pending one, for what this dispatcher will bring.
sub _of {
    my ($dispatcher) = @_;
    $dispatcher->_makes_futures if !$dispatcher->{_makes_futures};
    my $where = $dispatcher->{_weakly} // ZooKeeper::Watcher::_weakly($dispatcher);
    return __PACKAGE__->SUPER::new->set_udata( zookeeper => $where );    # it has what becomes of the future
}

# Called with the future, an error, and results. One that is ready was cancelled.
sub _settle {
    my $error = splice @_, 1, 1;
    return if $_[0]->is_ready;
    if ( defined $error ) {
        $_[0]->fail($error);
        return;
    }
    my $done = $_[0]->can('done');
    goto &$done;
}

# Between two lines of Future's own nothing must be settled: what they saw first would not be so any more. For an
# interrupt: they may be further up, and what was interrupted something that they call.
sub _is_at_work {
    my $level = 0;
    while ( my ( $package, undef, undef, $called ) = caller $level++ ) {
        return 0 if $called  =~ /::_drive\z/;                   # they wait
        return 1 if $package =~ /\A(?:ZooKeeper::)?Future\b/;
    }
    return 0;
}

1;

__END__

=encoding UTF-8

=head1 NAME

ZooKeeper::Future - the answer to a command that is still to come

=head1 SYNOPSIS

    use ZooKeeper;

    my $zk     = ZooKeeper->new( hosts => 'localhost:2181' );
    my $future = $zk->exists_f('/x');
    my $stat   = $future->get;

=head1 DESCRIPTION

A L<Future>, as the methods of L<ZooKeeper> return them whose name ends in C<_f>. It is
done with what the method without C<_f> returns in list context; or it fails with a
L<ZooKeeper::Error>, and nothing else. L<ZooKeeper::Asynchronous> says more.

It works with every dispatcher, and needs none of the loops' own kinds of futures. Futures
that are made of one (by C<then>, C<needs_all>, …) are of this class, too.

=head1 METHODS

Those of L<Future>, and

=head2 new

    my $another = $future->new;

A pending one, which waits in the same dispatcher's loop.

=head2 await

    $future->await;

Lets the dispatcher's loop run until the future is ready, and returns it; C<get>,
C<failure> and the like call it. Dies inside a callback that the dispatcher has called, in
another thread, and when the dispatcher is gone.

=head1 SEE ALSO

L<ZooKeeper::Asynchronous>, L<ZooKeeper>, L<Future>

=cut

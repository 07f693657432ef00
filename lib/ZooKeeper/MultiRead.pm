package ZooKeeper::MultiRead;
use Moo;
use ZooKeeper::Commands;
use ZooKeeper::Modules;
use ZooKeeper::Operations;
extends 'ZooKeeper::Operations';

our $VERSION = '0.2.0';

__PACKAGE__->_install( ZooKeeper::Commands::reads() );

sub _op { return 'multi_read' }

sub _send {
    my ( undef, $handle, @call ) = @_;
    return $handle->_multi_read(@call);
}

ZooKeeper::Modules::finish(__PACKAGE__);    # a recursive delete loads it among others

1;

__END__

=encoding UTF-8

=head1 NAME

ZooKeeper::MultiRead - several nodes read in one go

=head1 SYNOPSIS

    use ZooKeeper;

    my $zk      = ZooKeeper->new( hosts => 'localhost:2181' );
    my @results = $zk->multi_read->get('/config')->get_children('/workers')->commit;
    for my $result (@results) {
        if    ( $result->{type} eq 'get' )          { print "$result->{value}\n" }
        elsif ( $result->{type} eq 'get_children' ) { print "@{ $result->{children} }\n" }
        else                                        { warn "$result->{message}\n" }
    }

=head1 DESCRIPTION

A list of operations for one handle, which it holds weakly. It never changes: each
operation returns a new one with that operation added. L<ZooKeeper/multi_read> makes an
empty one. Servers know it from version 3.6 on.

The nodes are read one after the other on the server: another client's write may come
between them.

=head1 ATTRIBUTES

Of use to subclasses.

=head2 handle

The L<ZooKeeper>, held weakly: undef when it is gone. Required by C<new>.

=head2 ops

The operations so far: an array ref. What is in it is the compiled part's affair.

=head1 METHODS

=head2 get

    my $next = $multi_read->get('/x');

=head2 get_children

    my $next = $multi_read->get_children('/x');

=head2 commit

    my @results = $multi_read->commit;

Sends the operations, and returns a hash ref for each:
C<< {type => 'get', value => $data, stat => $stat} >>,
C<< {type => 'get_children', children => \@names} >>, or, for one that failed and
independently of the others, C<< {type => 'error', code => $code, message => $text} >>. In
scalar context how many there are. Without an operation nothing is sent.

Takes C<request_timeout> and C<cb>, and throws, as L<ZooKeeper::Transaction/commit> does.

=head2 commit_f, commit_p

The same, but they return a L<ZooKeeper::Future> or a L<Mojo::Promise> at once. See
L<ZooKeeper::Asynchronous>.

=head1 SEE ALSO

L<ZooKeeper>, L<ZooKeeper::Asynchronous>, L<ZooKeeper::Transaction>

=cut

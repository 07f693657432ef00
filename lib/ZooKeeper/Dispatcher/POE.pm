package ZooKeeper::Dispatcher::POE;
use Moo;
use Scalar::Util qw(weaken);
use ZooKeeper::Guard;
my $is_first;
BEGIN { $is_first = !$INC{'POE/Kernel.pm'} }
use POE;
extends 'ZooKeeper::Dispatcher::Pipe';

our $VERSION = '0.2.0';

# POE warns at the end of a program in which run was never called, and here wait may be all that runs the loop.
# Without a session, and there is none yet, this call does nothing else. Who has loaded POE is going to call it.
POE::Kernel->run if $is_first;

has _session => ( is => 'rw', init_arg => undef );

sub attach_loop {
    my ($self) = @_;
    weaken( my $dispatcher = $self );
    my ( $fh, $on_readable ) = ( $self->fh, $self->on_readable );
    my $died;

# POE ends the session in which somebody dies, unless there is a handler for that: another one takes its place.
    my $successor = ZooKeeper::Guard->new( sub { $dispatcher->_attach if $dispatcher && $died } );
    my $session   = POE::Session->create(
        heap          => $successor,
        inline_states => {
            _start   => sub { $_[KERNEL]->select_read( $fh, 'readable' ) },
            readable => sub {
                $died = 0;
                my $failed = ZooKeeper::Guard->new( sub { $died = 1 } );
                $on_readable->();
                $failed->dismiss;
            },
            limit  => sub { $_[KERNEL]->delay( over => $_[ARG0] ) },
            over   => sub { },
            detach => sub { $_[KERNEL]->delay('over'); $_[KERNEL]->select_read($fh) },
        },
    );
    my $id = $session->ID;
    $self->_session($id);
    return sub { $poe_kernel->call( $id, 'detach' ) };
}

sub run_loop_once {
    my ( $self, $seconds ) = @_;
    $poe_kernel->call( $self->_session, limit => $seconds );    # undef: none
    $poe_kernel->run_one_timeslice;
    return;
}

1;

__END__

=encoding UTF-8

=head1 NAME

ZooKeeper::Dispatcher::POE - dispatcher for programs with POE

=head1 SYNOPSIS

    use POE;
    use ZooKeeper;

    POE::Session->create(
        inline_states => {
            _start => sub {
                $_[HEAP]{zk} = ZooKeeper->new( hosts => 'localhost:2181', dispatcher => 'POE' );
                $_[HEAP]{zk}->exists( '/x', watcher => $_[SESSION]->postback('changed') );
            },
            changed => sub {
                print "something happened to $_[ARG1][0]{path}\n";
                delete $_[HEAP]{zk};
            },
        },
    );
    POE::Kernel->run;

=head1 DESCRIPTION

Each dispatcher is a session of its own, a child of the one that makes it, and lives as
long as the handle: as with other sessions, POE's C<run> goes on until it is gone.

What a callback dies of is an exception of that session: a handler of its parent for the
signal C<DIE> may deal with it; without one it ends the parent, and C<run>.

=head1 METHODS

Those of L<ZooKeeper::Dispatcher::Pipe>. L<wait|ZooKeeper::Dispatcher/wait> may be called
inside a callback, too: it runs the loop within the loop.

=head1 SEE ALSO

L<ZooKeeper::Dispatcher>, L<POE>

=cut

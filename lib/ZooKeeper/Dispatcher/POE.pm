package ZooKeeper::Dispatcher::POE;
use Moo;
use Scalar::Util qw(weaken);
use ZooKeeper::Guard;
my $is_first;
BEGIN { $is_first = !$INC{'POE/Kernel.pm'} }
use POE;
extends 'ZooKeeper::Dispatcher::Pipe';

our $VERSION = '0.2.0';

# POE warns at the end of a program in which run was never called, and here wait may be all that runs the loop. Who has
# loaded POE is going to call it. Without a session, and there is none yet, all that it does is to reset signals.
if ($is_first) {
    my %handler = map { defined $SIG{$_} ? ( $_ => $SIG{$_} ) : () } keys %SIG;
    POE::Kernel->run;
    @SIG{ keys %handler } = values %handler;
}

has _session => ( is => 'rw', init_arg => undef );

sub attach_loop {
    my ($self) = @_;
    weaken( my $dispatcher = $self );
    my ( $fh, $on_readable, $died ) = ( $self->fh, $self->on_readable );
    POE::Kernel->run if !$poe_kernel->ID_id_to_session( $poe_kernel->ID );    # has run out: it starts anew

# An exception that nobody handles ends all sessions. The next one comes at once if it was a single turn that dies
# of it. (run would go on for its sake: then it comes when somebody uses the dispatcher again.)
    my $next = ZooKeeper::Guard->new( sub { $dispatcher->_attach if $died && $dispatcher && !_is_in_run() } );
    my $session = POE::Session->create(
        heap          => $next,
        inline_states => {
            _start   => sub { $_[KERNEL]->select_read( $fh, 'readable' ) },
            readable => sub {
                my $failed = ZooKeeper::Guard->new(    # nothing more until POE has dealt with it
                    sub { $died = 1; $poe_kernel->select_pause_read($fh); $poe_kernel->yield('go_on') }
                );
                $died = 0;
                $on_readable->();
                $failed->dismiss;
            },
            go_on  => sub { $_[KERNEL]->select_resume_read($fh) },
            limit  => sub { $_[KERNEL]->delay( over => $_[ARG0] ) },
            over   => sub { },
            detach => sub { $_[KERNEL]->delay('over'); $_[KERNEL]->select_read($fh) },
        },
    );
    $self->_session( my $id = $session->ID );
    return sub { $poe_kernel->call( $id, 'detach' ) };
}

sub run_loop_once {
    my ( $self, $seconds ) = @_;
    $poe_kernel->call( $self->_session, limit => $seconds );    # undef: none
    $poe_kernel->run_one_timeslice;
    return;
}

before [qw(create_watcher run_loop_once send_event)] => sub {
    my ($self) = @_;
    $self->_attach if !$poe_kernel->ID_id_to_session( $self->_session );
};

sub _is_in_run {
    my $level = 0;
    while ( my $called = ( caller $level++ )[3] ) { return 1 if $called eq 'POE::Kernel::run' }
    return 0;
}

1;

__END__

=encoding UTF-8

=head1 NAME

ZooKeeper::Dispatcher::POE - dispatcher for programs with POE

=head1 SYNOPSIS

    use POE;
    use ZooKeeper;

    my $zk = ZooKeeper->new( hosts => 'localhost:2181', dispatcher => 'POE' );
    $zk->exists( '/x', watcher => sub { undef $zk } );
    POE::Kernel->run;    # until $zk is gone

=head1 DESCRIPTION

A L<ZooKeeper::Dispatcher::Pipe> that has a session, a child of the one that makes it. While
it is there, C<run> goes on. What a callback dies of is for a handler of C<DIE>, or ends C<run>.

=head1 SEE ALSO

L<ZooKeeper::Dispatcher>, L<POE>

=cut

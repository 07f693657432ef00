use strict;
use warnings;
use Test::More;
use lib 't/lib';

use AsyncSuite;
use ZooKeeper::Dispatcher::Pipe;

# A loop of the program's own.
my %callback;

package SelectDispatcher {
    use Moo;
    extends 'ZooKeeper::Dispatcher::Pipe';

    sub attach_loop {
        my ($self) = @_;
        my $fd = $self->fd;
        $callback{$fd} = $self->on_readable;
        return sub { delete $callback{$fd} };
    }

    sub run_loop_once {
        my ( undef, $seconds ) = @_;
        main::once($seconds);
        return;
    }
}

sub once {
    my ($seconds) = @_;
    my $fds = '';
    vec( $fds, $_, 1 ) = 1 for keys %callback;
    return if select( my $readable = $fds, undef, undef, $seconds ) <= 0;
    for my $fd ( grep { vec $readable, $_, 1 } sort keys %callback ) {
        $callback{$fd}->() if $callback{$fd};
    }
    return;
}

async_suite(
    class      => 'SelectDispatcher',
    turn       => sub { once(0.01) },
    exceptions => 'propagate',
);

done_testing;

#!/usr/bin/perl
# A dispatcher of your own, for a program whose loop is a plain select: prints what becomes of a node, and answers
# the commands that come on standard input, as they come.
#
#     perl -Mblib examples/select-loop.pl HOST:PORT /path
#     commands: set DATA, delete, create, quit
use strict;
use warnings;

# The program's loop: who wants to read what.
package Loop {
    my ( %callback, $running );

    sub watch {
        my ( $fd, $cb ) = @_;
        $callback{$fd} = $cb;
        return;
    }

    sub unwatch {
        my ($fd) = @_;
        delete $callback{$fd};
        return;
    }

    # Waits until one of them can read, at most so many seconds (undef: no limit).
    sub once {
        my ($seconds) = @_;
        my $fds = '';
        vec( $fds, $_, 1 ) = 1 for keys %callback;
        return if select( my $readable = $fds, undef, undef, $seconds ) <= 0;
        for my $fd ( grep { vec $readable, $_, 1 } sort keys %callback ) {
            $callback{$fd}->() if $callback{$fd};    # somebody before may have taken it away
        }
        return;
    }

    sub run {
        $running = 1;
        once(undef) while $running;
        return;
    }

    sub stop { $running = 0; return }
}

# What the ZooKeeper has to know of it.
package SelectDispatcher {
    use Moo;
    extends 'ZooKeeper::Dispatcher::Pipe';

    sub attach_loop {
        my ($self) = @_;
        my $fd = $self->fd;
        Loop::watch( $fd, $self->on_readable );
        return sub { Loop::unwatch($fd) };
    }

    sub run_loop_once {
        my ( $self, $seconds ) = @_;
        Loop::once($seconds);
        return;
    }
}

package main;
use ZooKeeper;
use ZooKeeper::Constants;

my ( $hosts, $path ) = @ARGV;
@ARGV == 2 or die "usage: $0 HOST:PORT /path\n";
$| = 1;

my $watching;

# By its name with ^ before it; an object (SelectDispatcher->new) would do as well, and could serve several handles.
my $zk = ZooKeeper->new(
    hosts      => $hosts,
    dispatcher => '^SelectDispatcher',
    watcher    => sub {
        my ($event) = @_;
        print 'session: ', zstate( $event->{state} ), "\n";
        look()       if $event->{state} == ZOO_CONNECTED_STATE && !$watching;
        Loop::stop() if $event->{state} == ZOO_EXPIRED_SESSION_STATE;
    },
);
my $input = '';
Loop::watch( fileno STDIN, \&read_commands );
Loop::run();
$zk->close;

# Prints what is there, and watches for the next change. A watch lives on when the connection is lost, but a call that
# fails for it sets none: then there is another look when the session is back.
sub look {
    $watching = 0;
    my $stat = eval { $zk->exists( $path, watcher => \&look ) };
    return print "error: $@" if $@;
    $watching = 1;
    my $data = $stat && eval { $zk->get($path) };
    print $stat ? "version $stat->{version}: " . ( $data // '' ) . "\n" : "no node\n";
    return;
}

sub read_commands {
    my $got = sysread STDIN, $input, 4096, length $input;
    return Loop::stop() if !$got;
    while ( $input =~ s/\A(\w+)[ ]?(.*)\n// ) {
        my ( $command, $data ) = ( $1, $2 );
        my %do = (
            create => sub { $zk->create( $path, value => $data ) },
            set    => sub { $zk->set( $path, $data ) },
            delete => sub { $zk->delete($path) },
            quit   => sub { Loop::stop() },
        );
        my $code = $do{$command} or print "no such command: $command\n" and next;
        eval { $code->(); 1 }    or print "error: $@";
    }
    return;
}

package ZooKeeper::Channel;
use strict;
use warnings;

use ZooKeeper::XS;

our $VERSION = '0.2.0';

1;

__END__

=encoding UTF-8

=head1 NAME

ZooKeeper::Channel - queue of what a dispatcher is to dispatch

=head1 SYNOPSIS

    use ZooKeeper::Channel;

    my $channel = ZooKeeper::Channel->new;
    $channel->send( 'first', { second => 2 } );
    print $channel->size, "\n";    # 2
    print $channel->recv, "\n";    # first

=head1 DESCRIPTION

First in, first out: events of the sessions, answers to their commands, and whatever a
program sends. In another
of Perl's threads than the one that made it a channel is empty, and takes nothing.

=head1 METHODS

=head2 new

An empty one. Throws a L<ZooKeeper::Error> with an error number of the system if
there is no descriptor left.

=head2 send(@scalars)

Appends any scalars: the scalars themselves, not copies of them. Returns nothing.

=head2 recv

Removes the first item and returns it; undef if there is none (or if undef was sent:
L</size> tells the difference). Answers to commands that stand before it are told: their
callbacks run.

=head2 size

How many items there are.

=head1 SEE ALSO

L<ZooKeeper::Dispatcher>

=cut

package Dispatchers;
use strict;
use warnings;

use Exporter qw(import);

our @EXPORT = qw(dispatchers);

# The dispatchers that can be had here, as "new" of ZooKeeper takes them.
sub dispatchers {
    my @names =
      grep { eval "require ZooKeeper::Dispatcher::$_" } qw(AnyEvent Interrupt IOAsync Mojo POE Pipe);
    return ( '^ZooKeeper::Dispatcher', @names );
}

1;

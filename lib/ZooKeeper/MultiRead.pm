package ZooKeeper::MultiRead;
use Moo;
use ZooKeeper::Commands;
use ZooKeeper::Operations;
extends 'ZooKeeper::Operations';

our $VERSION = '0.2.0';

__PACKAGE__->_install( ZooKeeper::Commands::reads() );

sub _send {
    my ( undef, $handle, @call ) = @_;
    return $handle->_multi_read(@call);
}

1;

package ZooKeeper::XS;
use strict;
use warnings;

use XSLoader         ();
use ZooKeeper::Error ();    # whose functions the compiled part calls to throw

our $VERSION = '0.2.0';

XSLoader::load( 'ZooKeeper', $VERSION );

1;

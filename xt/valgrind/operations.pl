# The part of touch.pl that is about the operations which the original module does not have.
use strict;
use warnings;

use lib qw(t/lib xt/lib);
use Touch;

our ( %arg, @acl, $base );

sub operations {
    my ( $zk, $events ) = handle( $arg{hosts}, utf8 => 1 );
    my $node = $base =~ s/touch/operations\x{263a}/r;    # nobody has a right to that one any more
    my ( $path, $stat ) = $zk->_create2( $node, 'v', \@acl, 0, undef );
    same( $path,                                                      $node );
    same( $stat->{dataLength},                                        1 );
    same( scalar $zk->_create2( "$node/c", undef, \@acl, 4, undef ),  "$node/c" );
    same( scalar $zk->_create( "$node/t", undef, \@acl, 0, 600_000 ), "$node/t" );
    $zk->_create( "$node/e", '', \@acl, 1 );
    my ( $names, $of ) = $zk->_get_children2($node);
    same( join( ' ', sort @$names ),                   'c e t' );
    same( $of->{numChildren},                          3 );
    same( ref scalar $zk->_get_children2( $node, 41 ), 'ARRAY' );
    same( $zk->_sync($node),                           $node );
    same( ( $zk->_whoami )[0]{scheme},                 'ip' );
    same( scalar $zk->_whoami,                         1 );
    same( join( ' ', $zk->_get_ephemerals($node) ),    "$node/e" );
    same( $zk->_get_all_children_number($node),        3 );
    my ( $config, $config_stat ) = $zk->_get_config;
    same( ref $config_stat, 'HASH' );
    $zk->_get_config(42);
    $zk->_add_watch( $node, 43, 0 );
    $zk->_add_watch( $node, 44, 1 );
    $zk->_set( $node, 'w', -1 );
    $zk->_remove_watches( $node, 'persistent', 43, 0 );
    $zk->_remove_watches( $node, undef,        44, 1 );
    $zk->_remove_watches($node);
    refused( qr/no such watcher/, sub { $zk->_remove_watches($node) } );
    1 while $events->recv;

    # A standalone server has none to change.
    refused( qr/unimplemented/, sub { $zk->_reconfig( undef, '7', undef, -1 ) } );
    refused( qr/no node/,       sub { $zk->$_("$node/no") } ) for qw(_get_children2 _get_all_children_number);
    refused( qr/ttl/,           sub { $zk->_create( "$node/x", '', \@acl, @$_ ) } )
      for [ 0, 0 ], [ 0, 'x' ], [ 1, 5 ], [ 4, 5 ], [ 0, -1 ], [ 0, 1e18 ];
    refused( qr/container/,  sub { $zk->_create2( "$node/x", '', \@acl, 5 ) } );
    refused( qr/is none of/, sub { $zk->_remove_watches( $node, "x\x{263a}" ) } );
    refused( qr/prefix/,     sub { $zk->_get_ephemerals($_) } ) for 'x', '', "/\0";
    refused( qr/array ref/,  sub { $zk->_reconfig(@$_) } ) for [ [] ], [ undef, {} ], [ undef, undef, \1 ];
    refused( qr/integer/,    sub { $zk->_reconfig( '1', undef, undef, 'x' ) } );
    return;
}

1;

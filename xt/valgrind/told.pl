# The part of touch.pl in which somebody is told what happens: a tracer, and the program's log.
use strict;
use warnings;

use lib qw(t/lib xt/lib);
use Touch;
use TestZK qw(wait_for);
use ZooKeeper;

our ( %arg, $LIMIT );

sub told {
    traced();
    logged();
    return;
}

# Calls of all forms, that succeed, fail, are refused, and wait for a connection; functions that die.
sub traced {
    my %count;
    my %tracer =
      map {
        my $name = $_;
        $name => sub { $count{$name}++; $_[0]{mine} = [1]; die "as it should\n" if $_[0]{op} eq 'get_acl' }
      } qw(start end);
    my $warnings = 0;
    local $SIG{__WARN__} = sub { $warnings++ };
    my $zk   = ZooKeeper->new( hosts => $arg{hosts}, dispatcher => 'Pipe', tracer => \%tracer );
    my $told = 0;
    $zk->exists( '/', cb => sub { $told++ } );
    for my $path ( '/', '/no/such/node', 'bad' ) {
        for my $method (qw(exists get get_acl)) {
            eval { $zk->$method($path) };
            eval {
                $zk->$method( $path, cb => sub { $told++ } );
            };
        }
    }
    $zk->add_auth( 'digest', 'me:secret' );
    $zk->transaction->check( '/', 99 )->commit;
    wait_for { $zk->wait(0.1); $told == 7 } $LIMIT, 'answers';
    same( $count{start}, $count{end} );
    same( $warnings > 0, 1 );
    my $mute = ZooKeeper->new( hosts => $arg{mute}, dispatcher => 'Pipe', tracer => \%tracer );
    refused( qr/operation timeout|connection loss/, sub { $mute->get( '/', request_timeout => 0.2 ) } );
    $mute->get( '/', cb => sub { $told++ } );
    undef $mute;
    same( $count{start}, $count{end} );
    return;
}

# Without Log::Any what is there when it is looked for is taken, and nobody told. What only asks does not look.
sub logged {
    my ( $zk, $events ) = handle( $arg{hosts} );
    $zk->_wait_connected(60);
    $events->_log_level(5);
    $zk->_exists( '/', undef, 60, sub { } );
    my ( $level, $text, $number, $session, $server ) = $events->_record;
    same( $level,                         5 );
    same( $text =~ /exists '\/'/ ? 1 : 0, 1 );
    same( $server,                        ( split /,/, $arg{hosts} )[0] );
    $zk->_exists('/');
    same( scalar( () = $events->_record ), 0 );
    return;
}

1;

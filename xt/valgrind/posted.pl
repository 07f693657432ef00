# The parts of touch.pl that are about calls without waiting.
use strict;
use warnings;

use lib    qw(t/lib xt/lib);
use TestZK qw(wait_for);
use Touch;

our ( %arg, @acl, $base, $LIMIT, @left );

# Every command without waiting, with success and without: a function, with and without something before its
# arguments; answers that are dealt with one by one, by recv, or all together.
sub posted {
    my ( $zk, $events ) = handle( $arg{hosts}, default_watcher => 5, utf8 => 1 );
    my $node = "$base/posted\x{263a}";
    my ( @told, @between );
    my $tell = sub { push @told, [@_] };
    my @to   = ( 60, $tell );
    my $done = sub {
        my ( $count, $pattern ) = @_;
        wait_for {
            $events->_complete(2);
            push @between, $events->recv // ();
            @told >= $count;
        }
        $LIMIT, 'answers';
        same( scalar @told, $count );
        my $words = join ' ', map { $_ // 'ok' } map { @$_ } @told;
        $words =~ $pattern or die "answered: $words\n";
        return splice @told;
    };
    $zk->_add_auth( 'digest', 'me:secret', 7, @to );
    $zk->_create( $node, 'v', \@acl, 0, undef, @to );
    $zk->_exists( $node, 1, @to );
    $zk->_get( $node, 2, @to );
    $zk->_set( $node, 'w' x 10_000, 0, @to );
    $zk->_get_children( $node, 3, @to, [1] );
    $zk->_get_acl( $node, @to, {} );
    $zk->_set_acl( $node, \@acl, -1, undef, $tell );
    $zk->_add_auth( 'digest', 'me:secret', undef, @to, [1] );
    $zk->_multi( [ [ 'create', "$node/m", '', \@acl, 0 ], [ 'set', $node, 'x', -1 ] ], @to );
    $zk->_multi_read( [ [ 'get', $node ], [ 'get_children', $node ] ], @to );
    $zk->_delete( "$node/m", -1, @to );
    my @answers = $done->( 12, qr/ok/ );
    $zk->_create2( "$node/c", 'v', \@acl, 0, 600_000, @to );
    $zk->_get_children2( $node, undef, @to );
    $zk->_sync( $node, @to );
    $zk->_whoami(@to);
    $zk->_get_ephemerals( $node, @to );
    $zk->_get_all_children_number( $node, @to );
    $zk->_get_config( undef, @to );
    $zk->_add_watch( $node, 51, 1, @to );
    $zk->_remove_watches( $node, 'persistent_recursive', 51, 0, @to );
    $zk->_reconfig( '7=x', undef, undef, 1, @to );
    $zk->_delete( "$node/c", -1, @to );
    $done->( 11, qr/unimplemented/ );

    # Error and results, behind the thing if there is one; those of the authentications come by themselves.
    same( join( '', sort map { scalar @$_ } @answers ), '111222223334' );

# What the server refuses, what has no time, what is refused at once; and what is an answer though it looks like
# a refusal.
    $zk->_exists( "$node/no", undef, @to );
    $zk->_get( "$node/no\x{e9}", 8, @to );
    $zk->_multi( [ [ 'delete', "$node/no", -1 ] ], @to );
    $zk->_create( $node, '', \@acl, 0, undef, @to, \my $subject );
    $zk->_get( $node, undef, 1e-6, $tell );
    $done->( 5, qr/no node/ );
    refused( qr/bad arguments/,   sub { $zk->_get( 'x',   undef, @to ) } );
    refused( qr/request_timeout/, sub { $zk->_get( $node, undef, $_, $tell ) } ) for 0, 'x', -1;
    refused( qr/longer than/,     sub { $zk->_set( $node, 'x' x 2_000_000, -1, @to ) } );
    refused( qr/undefined/,       sub { $zk->_add_auth( undef, 'x', undef, @to ) } );
    refused( qr/not a reference/, sub { $zk->_add_auth( [], 'x', undef, @to, [] ) } );
    refused(
        qr/while it is read/,
        sub {
            $zk->_get( bless( [ sub { die "while it is read\n" } ], 'Text' ), undef, @to );
        }
    );
    refused(
        qr/while it is read/,
        sub {
            $zk->_get( $node, undef, bless( [ sub { die "while it is read\n" } ], 'Text' ), $tell, [] );
        }
    );

    # Arguments that let go of the callback, and of what it is given, while they are read.
    my ( $function, $thing ) = ( sub { push @told, [ $_[0][0] ] }, ['thing'] );
    my $path = bless [ sub { undef $function; undef $thing; $node } ], 'Text';
    $zk->_exists( $path, undef, undef, $function, $thing );
    $done->( 1, qr/thing/ );

# Objects that can be called; callbacks that die, make calls, take what is in the channel, let go of the handle.
    $zk->_exists( '/', undef, undef, bless [], 'Callable' );
    $zk->_exists( '/', undef, undef, sub { die "in a callback\n" } );
    $zk->_exists( '/', undef, undef, sub { push @told, [ $zk->_exists('/') && 'inner' ]; $events->recv } );
    $zk->_exists( '/', undef, undef, sub { $zk->_exists( '/', undef, @to );              undef $zk } );
    my $died = 0;
    wait_for {
        eval { $events->_complete(1); 1 } or $died++;
        @told >= 2
    }
    $LIMIT, 'answers';
    same( $died, 1 );
    return;
}

sub held_back {
    my ( $zk, $events ) = handle( $arg{hosts}, max_in_flight => 50 );
    $zk->_wait_connected(60);
    my ( %seen, $count );
    my $tell = sub { $seen{ $_[0] // 'ok' }++; $count++ };
    $zk->_exists( '/', undef, undef, $tell ) for 1 .. 200;    # too many
    $zk->_exists('/');                                        # waits for room
    $events->size;
    wait_for { $events->recv; $count == 200 } $LIMIT, 'answers';
    same( scalar( grep { /throttled|in flight/i } keys %seen ), 1 );

    # From now on nobody answers.
    my ($mute) = handle( $arg{mute}, channel => $events );
    $mute->_get( '/', undef, undef, $tell ) for 1 .. 10;
    in_child(
        sub {
            refused( qr/belongs to the parent process/, sub { $mute->_get( '/', undef, undef, $tell ) } );
            in_child(
                sub {
                    refused( qr/belongs/, sub { $mute->_get('/') } );
                    same( $events->_complete(100), 10 );
                }
            );
            same( $events->_complete(100), 10 );
            undef $mute;
        }
    );
    $mute->_connect( { hosts => $arg{mute}, channel => $events } );
    wait_for { $events->_complete(100); $count == 210 } $LIMIT, 'answers';
    $mute->_get( '/', undef, undef, $tell ) for 1 .. 10;
    $mute->_close(0.1);
    wait_for { $events->recv; $count == 220 } $LIMIT, 'answers';
    return;
}

# Handles and channels that go while something is under way.
sub posted_and_gone {
    my @told;
    my $tell = sub { push @told, $_[0]->code };
    my ( $zk, $events ) = handle( $arg{mute} );
    $zk->_part;
    $zk->_get( '/', undef, undef, $tell ) for 1 .. 3;
    $zk->_get( '/', undef, undef, sub { die "to warn of\n" } );
    $zk->_get( '/', undef, undef, sub { $zk->_connect( { hosts => $arg{mute}, channel => $events } ) } );
    $zk->_get( '/', undef, undef, sub { undef $events } );
    $zk->_get( '/', undef, undef, $tell );
    {
        local $SIG{__WARN__} = sub { push @told, "@_" };
        $zk->_part;
    }
    same( ( join ' ', map { /warn/ ? 'warned' : $_ } @told ) =~ /\A-116 -116 -116 warned/ + 0, 1 );

    # A channel that goes before its handle, with callbacks that hold each other.
    ( $zk, $events ) = handle( $arg{mute} );
    $zk->_get( '/', undef, undef, sub { }, bless [], 'Dies' );
    $zk->_get( '/', undef, undef, sub { @told }, [] ) for 1 .. 3;
    {
        local $SIG{__WARN__} = sub { };
        undef $events;
    }
    $zk->_close(0.1);

    # And what is still under way at the end of the program: a cycle, too.
    my @last = handle( $arg{mute} );
    $last[0]->_get( '/', undef, undef, sub { @last } );
    push @left, @last;
    return;
}

1;

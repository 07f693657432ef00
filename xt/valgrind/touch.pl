# Calls every sub of the compiled part, in good cases and bad ones, and ends with an error that names those which
# nowhere came back from a call with success. xt/valgrind.t runs it, as it is and under valgrind:
#
#   touch.pl hosts=HOST:PORT lossy=HOST:PORT mute=HOST:PORT
#
# hosts is a real server; lossy drops every second connection at its first request and rejects what comes over the
# others; mute takes connections and never says a word.
#
# To add a call, add it to the part it belongs to (those that nobody waits for are in posted.pl). What dies in a part that isn't expected to ends the program.
use strict;
use warnings;

use Config ();

# Before ZooKeeper, which makes objects that threads have to leave alone; and loops that survive threads, which those
# made of objects in C don't, with or without us. Each is its own, not one on top of another.
BEGIN {
    require threads if $Config::Config{useithreads};
    @ENV{qw(IO_ASYNC_LOOP MOJO_REACTOR PERL_ANYEVENT_MODEL)} = qw(Poll Mojo::Reactor::Poll Perl);
}
use List::Util  qw(sum);
use POSIX       ();
use Time::HiRes ();
use ZooKeeper;
use ZooKeeper::Channel;
use ZooKeeper::Constants;
use lib    qw(t/lib xt/lib);
use TestZK qw(fresh_path wait_for);
use Touch;
require "./xt/valgrind/$_.pl" for qw(operations posted told);

# Seconds. Under valgrind everything takes fifty times as long.
our $LIMIT = 120;

our %arg  = map { split /=/, $_, 2 } @ARGV;
our @acl  = { id => 'anyone', scheme => 'world', perms => 31 };
our $base = fresh_path('touch');
my $calls = counted('ZooKeeper');

# What a part leaves here lives until the program ends.
our @left;

my @parts = (
    channel        => \&channel,
    commands       => \&commands,
    operations     => \&operations,
    arguments      => \&arguments,
    transactions   => \&transactions,
    'multi_read'   => \&several_reads,
    'no waiting'   => \&posted,
    'held back'    => \&held_back,
    'nobody there' => \&posted_and_gone,
    events         => \&events,
    dispatchers    => \&dispatchers,
    sessions       => \&sessions,
    'no server'    => \&no_server,
    'a lost one'   => \&lost_server,
    signals        => \&signals,
    'a child'      => \&children,
    threads        => \&in_threads,
    told           => \&told,
    'trace, panic' => \&others,
    'the end'      => \&leave_behind,
);
while ( my ( $name, $part ) = splice @parts, 0, 2 ) {
    local $SIG{ALRM} = sub { die "not done within $LIMIT s\n" };
    alarm $LIMIT;
    eval { $part->(); 1 } or die "$name: $@";
    alarm 0;
}
my @missing = grep { !$calls->{$_} && $_ ne 'ZooKeeper::XS::_panic' } sort keys %$calls;
die "never called with success: @missing\n" if @missing;
printf "%d subs, %d calls\n", scalar keys %$calls, sum( values %$calls );

sub channel {
    my $channel = ZooKeeper::Channel->new;
    $channel->send( 'a', { b => 1 }, \my $c );
    $channel->_session_events($_) for 1, 0;
    same( $channel->size,                 3 );
    same( $channel->recv,                 'a' );
    same( $channel->_fd > 2,              1 );
    same( ref $channel->recv,             'HASH' );
    same( ref $channel->recv,             'SCALAR' );
    same( scalar $channel->recv,          undef );
    same( scalar $channel->_clear // 'u', 'u' );
    $channel->_signal(@$_) for [ 0, 0 ], [];    # to nobody; the dispatcher Interrupt has somebody
    $channel->_signal_later;
    $channel->send($channel);                                 # a cycle that is broken here
    $channel->recv;
    $channel->send( map { [ $_, 'x' x 1000 ] } 1 .. 100 );    # freed in the queue
    $channel->send( bless [], 'Dies' );
    {
        local $SIG{__WARN__} = sub { };
        undef $channel;
    }
    push @left, ZooKeeper::Channel->new;
    $left[-1]->send( 'left', $left[-1] );
    refused( qr/call it as/, sub { ZooKeeper::Channel::new($_) } ) for undef, [];
    return;
}

sub commands {
    my ($zk) = handle( $arg{hosts}, utf8 => 1 );
    same( $zk->_wait_connected(60),                1 );
    same( $zk->_create( $base, 'data', \@acl, 0 ), $base );
    same( scalar $zk->_get($base),                 'data' );
    my ( $data, $stat ) = $zk->_get($base);
    same( $stat->{dataLength}, 4 );
    for my $value ( undef, '', "\0" x 10, 'x' x 100_000, "\x{e9}" ) {
        $zk->_set( $base, $value, -1 );
        same( scalar $zk->_get($base), $value );
    }
    same( $zk->_create( "$base/s", undef, \@acl, 3 ), "$base/s0000000000" );
    $zk->_create( "$base/\x{263a}$_", '', \@acl, 1 ) for 1 .. 20;
    my @children = $zk->_get_children($base);
    same( scalar @children,                                                   21 );
    same( scalar $zk->_get_children($base),                                   21 );
    same( scalar grep( { defined && /\x{263a}/ } $zk->_get_children($base) ), 20 );
    same( $zk->_exists($base)->{numChildren},                                 21 );
    same( scalar $zk->_exists("$base/no"),                                    undef );
    $zk->_set_acl( $base, [ @acl, { id => '127.0.0.1', scheme => 'ip', perms => 1 } ], -1 );
    my ($acl) = $zk->_get_acl($base);
    same( scalar @$acl, 2 );
    $zk->_add_auth( 'digest', 'me:secret' );
    $zk->_add_auth( 'digest', 'me:secret', 0 );
    $zk->_set_acl( $base, [ { id => '', scheme => 'auth', perms => 31 } ], -1 );
    same( ref $zk->_set( $base, 'mine', -1 ), 'HASH' );

    refused( qr/no node/,     sub { $zk->_get("$base/no") } );
    refused( qr/no node/,     sub { $zk->_set( "$base/no", 'x', -1 ) } );
    refused( qr/no node/,     sub { $zk->_get_children("$base/no") } );
    refused( qr/no node/,     sub { $zk->_get_acl("$base/no") } );
    refused( qr/no node/,     sub { $zk->_delete( "$base/\x{e9}/no", -1 ) } );
    refused( qr/node exists/, sub { $zk->_create( $base, '', \@acl, 0 ) } );
    refused( qr/not empty/,   sub { $zk->_delete( $base, -1 ) } );
    refused( qr/bad version/, sub { $zk->_set( $base, '', 77 ) } );
    refused( qr/invalid acl/,
        sub { $zk->_set_acl( $base, [ { id => '', scheme => 'no', perms => 1 } ], -1 ) } );
    refused( qr/longer than/, sub { $zk->_set( $base, 'x' x 2_000_000, -1 ) } );
    $zk->_delete( "$base/s0000000000", -1 );

    my ($stranger) = handle( $arg{hosts} );
    refused( qr/not authenticated/, sub { $stranger->_get($base) } );
    $stranger->_add_auth( 'nonsense', "\0" );
    eval { $stranger->_exists('/') };    # whichever comes first: the answer, or the end of the session
    return;
}

sub arguments {
    my ($zk) = handle( $arg{hosts} );
    my $node = "$base/arguments";
    $zk->_exists('/');
    tie my $tied,  'Tied', $node;
    tie my @tied,  'TiedArray';
    tie my %tied,  'TiedHash';
    tie my $fatal, 'Tied',     sub { die "fetch\n" };
    tie my %fatal, 'TiedHash', sub { die "fetch\n" };
    my $mortal = bless [ sub { die "text\n" } ], 'Text';
    my $text   = bless [$node], 'Text';
    ( my $magical = $node ) =~ /(.*)/s;

    my ($other) = handle( $arg{hosts} );
    $other->_add_auth( 'digest', 'me:secret' );
    $other->_create( $tied, $text, \@acl, 0 );
    same( scalar $other->_get($text), $node );
    same( scalar $other->_get($1),    $node );
    $other->_delete( $text, bless ['0'], 'Text' );
    $other->_create( $node, 'v', \@tied, 0 );
    $other->_delete( $node, '-1' );
    $other->_create( $node, 'v', [ \%tied ], 0 );
    $other->_delete( $node, -1.0 );

    refused( qr/fetch/, sub { $zk->_get($fatal) } );
    refused( qr/fetch/, sub { $zk->_set( '/x', $fatal, -1 ) } );
    refused( qr/fetch/, sub { $zk->_delete( '/x', $fatal ) } );
    refused( qr/fetch/, sub { $zk->_create( '/x', '', [ @acl, \%fatal ], 0 ) } );
    refused( qr/fetch/, sub { $zk->_multi( [ [ 'create', '/x', 'v', [ @acl, \%fatal ], 0 ] ] ) } );
    refused( qr/text/,
        sub { $zk->_multi( [ [ 'create', '/x', 'v', \@acl, 0 ], [ 'set', '/x', $mortal ] ] ) } );
    refused( qr/text/, sub { $zk->_get($mortal) } );
    my @paths =
      ( undef, '', 'x', '/x/', "/\0", 7, "/\x{d800}", [], \'/x', sub { }, *STDOUT, bless {}, 'Mute' );
    rubbish( sub { $zk->_get($_) },                       @paths );
    rubbish( sub { $zk->_create( $_, 'v', \@acl, 0 ) },   @paths );
    rubbish( sub { $zk->_multi( [ [ 'delete', $_ ] ] ) }, @paths );
    rubbish( sub { $zk->_create( '/x', $_, \@acl, 0 ) },  "\x{263a}", [], bless {}, 'Mute' );
    rubbish(
        sub { $zk->_create( '/x', '', $_, 0 ) },
        undef, 'x', {}, [], [1], [ {} ],
        [ { perms => 'x', id => 1, scheme => 1 } ],
        [ { perms => 1 } ]
    );
    rubbish( sub { $zk->_create( '/x', '', \@acl, $_ ) }, 77, 'x', [] );
    rubbish( sub { $zk->_delete( '/x', $_ ) }, 'x',   1.5, 9**99, '9' x 100, [] );
    rubbish( sub { $zk->_get( '/x', $_ ) },    'x',   -1,  [] );
    rubbish( sub { $zk->_add_auth(@$_) },      ['x'], [ undef, 'x' ], [ [], 'x' ], [ 'x', "\x{263a}" ] );
    rubbish(
        sub { $zk->_multi($_) },
        undef,  'x', {}, [ ['what'] ],
        [ [] ], [undef],
        [ [ 'check', '/x' ] ],
        [ [ 'set',   '/x', '', 'y' ] ]
    );
    rubbish( sub { $zk->_check_hosts($_) }, undef, '', 'a:b:c', 'x:99999', 'x/y', [], "\x{263a}" );
    $zk->_check_hosts('127.0.0.1:1,[::1]:2/chroot');
    rubbish(
        sub { $zk->_check_tls( 'x:1', $_ ) },
        map { { ca_file => $_ } } '',
        '/no/such/file', [], "\x{263a}"
    );
    $zk->_check_tls( 'x:1', $_ ) for undef, 0;
    ZooKeeper::XS::_has_tls();
    ZooKeeper::XS::_undisturbed( sub { } );
    refused(
        qr/^out/,
        sub {
            ZooKeeper::XS::_undisturbed( sub { die "out\n" } );
        }
    );
    rubbish( sub { ZooKeeper::XS::_undisturbed($_) }, undef, 'none', [], {} );

    my %good = ( hosts => $arg{mute}, channel => ZooKeeper::Channel->new );
    my @bad  = (
        [ timeout         => -1,    'x', [], 1e30 ],
        [ client_id       => 1,     {},  [], { client_id => 1, passwd => 'short' }, { client_id => [] } ],
        [ hosts           => 'x:y', $mortal ],
        [ channel         => undef, $zk, {} ],
        [ default_watcher => 'x' ],
        [ request_timeout => 'x' ],
        [ jute_maxbuffer  => -1 ],
    );

    for my $option (@bad) {
        my ( $name, @values ) = @$option;
        rubbish( sub { ( bless {}, 'ZooKeeper' )->_connect( { %good, $name => $_ } ) }, @values );
    }
    rubbish( sub { ( bless {}, 'ZooKeeper' )->_connect($_) }, undef, [], {}, \%fatal );
    refused( qr/not an initialised/, sub { ZooKeeper::_connect( 'ZooKeeper', \%good ) } );

    # Every sub, of what is no object of its class.
    for my $name ( grep { !/::new\z/ } sort keys %$calls ) {
        my ( $class, $sub ) = $name =~ /\A(.*)::(\w+)\z/;
        next if $class eq 'ZooKeeper::XS';
        my @others = ( undef, $class, \1, bless( {}, $class ), $class eq 'ZooKeeper' ? $good{channel} : $zk );
        rubbish( sub { $class->can($sub)->( $_, '/x' ) }, @others );
    }
    return;
}

sub transactions {
    my ($zk) = handle( $arg{hosts} );
    $zk->_add_auth( 'digest', 'me:secret' );
    my $node    = "$base/multi";
    my @results = $zk->_multi(
        [
            [ 'create', $node,        'v',          \@acl, 0 ],
            [ 'create', "$node/s",    undef,        \@acl, 3 ],
            [ 'set',    $node,        'w' x 10_000, 0 ],
            [ 'check',  $node,        1 ],
            [ 'create', "$node/gone", '', \@acl, 0 ],
            [ 'delete', "$node/gone", 0 ],
        ]
    );
    same( join( ' ', map { $_->{type} } @results ), 'create create set check create delete' );
    @results = $zk->_multi( [ [ 'set', $node, 'x', -1 ], [ 'check', "$node/no", 1 ], [ 'delete', $node ] ] );
    same( join( ' ', map { $_->{code} // 'none' } @results ), '0 -101 -2' );
    same( scalar( () = $zk->_multi( [] ) ),                   0 );
    return;
}

sub several_reads {
    my ($zk)    = handle( $arg{hosts}, utf8 => 1 );
    my $node    = "$base/reads\x{263a}";
    my @missing = ( 'get', "$node/no" );
    $zk->_add_auth( 'digest', 'me:secret' );
    $zk->_create( $node, 'v', \@acl, 0 );
    $zk->_create( "$node/$_", undef, \@acl, 0 ) for 'a', "\x{263a}";
    my @results =
      $zk->_multi_read( [ [ 'get', $node ], [ 'get', "$node/a" ], [ 'get_children', $node ], \@missing ] );
    same( join( ' ', map { $_->{type} } @results ),  'get get get_children error' );
    same( $results[0]{value},                        'v' );
    same( $results[1]{value},                        undef );
    same( scalar @{ $results[2]{children} },         2 );
    same( $results[3]{code},                         ZNONODE );
    same( scalar( () = $zk->_multi_read( [], 10 ) ), 0 );
    refused( qr/no known name/, sub { $zk->_multi_read( [ [ 'set', $node, 'v', -1 ] ] ) } );
    refused( qr/bad arguments/, sub { $zk->_multi_read( [ [ 'get_children', 'x' ] ] ) } );
    rubbish( sub { $zk->_multi_read($_) }, undef, 'x', {}, [ ['what'] ], [ [] ], [undef], [ ['get'] ] );
    return;
}

# The engine's events, as they come out of a channel.
sub events {
    my ( $zk, $events ) = handle( $arg{hosts}, default_watcher => 5, utf8 => 1 );
    $zk->_add_auth( 'digest', 'me:secret' );
    my $node = "$base/events\x{263a}";
    $events->_session_events(1);
    same( next_event($events)->{watcher}, 5 );    # connected
    $zk->_default_watcher($_) for 7, undef, 6;
    $zk->_exists( $node, 1 );
    $zk->_create( $node, '', \@acl, 0 );
    same( next_event($events)->{type}, ZOO_CREATED_EVENT );
    $zk->_get( $node, 2 );
    $zk->_exists( $node, $_ ) for 10 .. 30;
    $zk->_forget_watcher($_) for 10, 11, undef, 4711;
    $zk->_get_children( $node, 3 );
    $zk->_set( $node, 'changed', -1 );
    same( scalar map( { next_event($events)->{path} eq $node || () } 1 .. 20 ), 20 );
    $zk->_create( "$node/child", '', \@acl, 1 );
    same( next_event($events)->{type}, ZOO_CHILD_EVENT );
    refused( qr/watcher/, sub { $zk->_default_watcher('x') } );
    refused( qr/watcher/, sub { $zk->_forget_watcher('x') } );

    # Those that nobody takes.
    $zk->_get( $node, $_ ) for 40 .. 60;
    $zk->_set( $node, 'again', -1 );
    wait_for { $events->size > 10 } $LIMIT, 'events';
    return;
}

sub next_event {
    my ($events) = @_;
    return wait_for {
        $events->_clear;
        $events->recv
    }
    $LIMIT, 'an event';
}

sub dispatchers {
    my @loops = grep { eval "require ZooKeeper::Dispatcher::$_; 1" } qw(AnyEvent Interrupt IOAsync Mojo POE);
    for my $dispatcher ( 'Pipe', @loops ) {
        my @seen;
        my $zk = ZooKeeper->new(
            hosts          => $arg{hosts},
            dispatcher     => $dispatcher,
            watcher        => sub { push @seen, 'session' },
            authentication => [ 'digest', 'me:secret' ],
        );
        $zk->ensure_path("$base/$dispatcher/a");
        $zk->get( "$base/$dispatcher", watcher => sub { push @seen, $_[0]{type} } ) for 1 .. 3;
        $zk->set( "$base/$dispatcher", 'v' );
        $zk->wait(0.5) while @seen < 4;    # the dispatcher Interrupt needs no wait
        same( "@seen", 'session ' . join ' ', (ZOO_CHANGED_EVENT) x 3 );
        $zk->get( "$base/$dispatcher", watcher => sub { die "in a callback\n" } );
        {
            my $words = '';
            local $SIG{__WARN__} = sub { $words .= "@_" };    # some loops warn of it
            $zk->set( "$base/$dispatcher", 'w' );
            until ( $words =~ /in a callback/ ) {
                eval { $zk->wait(1); 1 } or $words = $@;
            }
        }
        $zk->watcher( sub { } );
        my $watcher = $zk->create_watcher( '/x', sub { }, type => 'get' );
        $zk->remove_watcher($watcher);
        my @results = $zk->transaction->create("$base/t$dispatcher")->delete("$base/t$dispatcher")->commit;
        same( scalar @results, 2 );
        $zk->get( "$base/$dispatcher", watcher => sub { $zk } );  # a cycle that the end of the session breaks
        $zk->close;
    }
    return;
}

sub sessions {
    my ( $zk, $events ) = handle( $arg{hosts} );
    $zk->_wait_connected(undef);
    my $id = $zk->_client_id;
    same( $zk->_state,                                3 );
    same( $zk->_is_unrecoverable,                     '' );
    same( $zk->_server =~ /\A127\.0\.0\.1:\d+\z/ + 0, 1 );
    same( $zk->_session_timeout > 0,                  1 );
    same( $zk->_last_zxid >= 0,                       1 );
    same( $zk->_is_session_suspect,                   '' );
    same( $zk->_metrics->{sent} > 0,                  1 ) if $zk->_exists('/');
    $zk->_set_hosts( $arg{hosts} );
    refused( qr/bad arguments/, sub { $zk->_set_hosts($_) } ) for 'a b', "$arg{hosts}/other", undef;
    refused( qr/seconds/,       sub { $zk->_wait_connected('x') } );
    refused( qr/seconds/,       sub { $zk->_close('x') } );

    # The session moves to another handle (and back: the first one does not give up).
    my ($heir) = handle( $arg{hosts}, client_id => $id );
    $heir->_wait_connected(60);
    same( $heir->_client_id->{client_id}, $id->{client_id} );
    $heir->_close(5);
    $heir->_close;
    refused( qr/invalid zhandle state/, sub { $heir->_get('/') } );
    refused( qr/invalid zhandle state/, sub { $heir->_add_auth( 'a', 'b' ) } );
    refused( qr/invalid zhandle state/, sub { $heir->_wait_connected(1) } );
    same( $heir->_state, 999 );
    $heir->$_
      for qw(_client_id _server _session_timeout _last_zxid _is_unrecoverable _is_session_suspect _metrics);
    refused( qr/invalid zhandle state/, sub { $heir->_set_hosts( $arg{hosts} ) } );
    my ($left) = handle( $arg{hosts} );
    $left->_wait_connected(60);
    $left->_close( undef, 1 ) for 1 .. 2;
    my ($finder) = handle( $arg{hosts}, client_id => $left->_client_id, expire_by_clock => 1 );
    $finder->_exists('/');
    $heir->_default_watcher(3);
    $heir->_forget_watcher(3);

# A handle that is opened again, over a closed session and over open ones; a session that the server does not know.
    $heir->_connect( { hosts => $arg{hosts}, channel => $events } ) for 1 .. 3;
    $heir->_exists('/');
    my ($late) = handle( $arg{hosts}, client_id => { client_id => 4711, passwd => 'p' x 16 } );
    refused( qr/session expired/, sub { $late->_get('/') } );
    same( $late->_is_unrecoverable, 1 );

    # By name, which takes a resolver's thread; below a chroot; with limits.
    my ($named) = handle( 'localhost:' . ( split /:/, $arg{hosts} )[1] . $base, request_timeout => 60 );
    $named->_exists('/arguments');
    my $reopened = ZooKeeper->new( hosts => $arg{hosts}, dispatcher => 'Pipe', read_only => 1, utf8 => 1 );
    $reopened->reopen( hosts => $arg{hosts} );
    $reopened->exists('/');
    return;
}

sub no_server {
    for my $hosts ( '127.0.0.1:1', $arg{mute} ) {
        my ($zk) = handle( $hosts, request_timeout => 0.2 );
        refused( qr/timeout|connection loss/, sub { $zk->_get('/x') } );
        refused( qr/connection loss|timeout/, sub { $zk->_wait_connected(0.1) } );
        same( scalar $zk->_client_id,       undef );
        same( scalar $zk->_server,          undef );
        same( $zk->_metrics->{last_rtt_us}, undef );
        $zk->_set_hosts($_) for '127.0.0.1:2,127.0.0.1:3', $hosts;
        my ($other) = handle($hosts);
        $other->_add_auth( 'digest', 'a:b' );
        $other->_close(0.1);
    }
    my ($zk) = handle( 'no-such-name.invalid:1', request_timeout => 0.5 );
    refused( qr/./, sub { $zk->_get('/x') } );
    return;
}

# Requests that were under way, watches and logins that have to be said again.
sub lost_server {
    my ( $zk, $events ) = handle( $arg{lossy}, default_watcher => 1, timeout => 30_000 );
    $events->_session_events(1);
    $zk->_add_auth( 'digest', 'a:b' );
    my %seen;
    for ( 1 .. 6 ) {
        eval { $zk->_get( '/x', $_ ); 1 } or $seen{ $@->code }++;
        eval { $zk->_multi( [ [ 'create', '/x', 'v', \@acl, 0 ], [ 'delete', '/y' ] ] ); 1 }
          or $seen{ $@->code }++;
        $zk->_wait_connected(60);
    }
    same( join( ' ', sort { $a <=> $b } keys %seen ), join ' ', ZNONODE, ZCONNECTIONLOSS );
    return;
}

sub signals {
    local $SIG{ALRM} = sub { die "alarm\n" };
    my ($zk) = handle( $arg{mute} );
    for my $call (
        sub { $zk->_get('/x') },
        sub { $zk->_multi( [ [ 'create', '/x', 'v' x 1000, \@acl, 0 ] ] ) },
        sub { $zk->_wait_connected(60) },
        sub { $zk->_create( '/x', 'v', \@acl, 0 ) },
      )
    {
        refused( qr/\Aalarm$/, sub { Time::HiRes::alarm(0.2); $call->() } );
    }

    # Handlers that make calls, close the handle, open it anew, let go of it.
    my $inner;
    $SIG{ALRM} = sub {
        $inner = eval { $zk->_wait_connected(0.1) } // $@->code;
        $zk->_state;
        die "outer\n";
    };
    refused( qr/outer/, sub { Time::HiRes::alarm(0.2); $zk->_get('/x') } );
    $SIG{ALRM} = sub { $zk->_close(0.1) };
    refused( qr/closing/, sub { Time::HiRes::alarm(0.2); $zk->_get('/x') } );
    ($zk) = handle( $arg{mute} );
    $SIG{ALRM} = sub { $zk->_connect( { hosts => $arg{mute}, channel => ZooKeeper::Channel->new } ) };
    refused( qr/closing/, sub { Time::HiRes::alarm(0.2); $zk->_get('/x') } );
    $SIG{ALRM} = sub { undef $zk };
    refused( qr/closing/, sub { Time::HiRes::alarm(0.2); $zk->_get('/x') } );

    # A handler that runs at once and jumps out of the middle of the wait.
    ($zk) = handle( $arg{mute} );
    POSIX::sigaction( POSIX::SIGALRM(), POSIX::SigAction->new( sub { die "unsafe\n" }, POSIX::SigSet->new ) );
    refused( qr/\Aunsafe$/, sub { Time::HiRes::alarm(0.2); $zk->_get('/x') } ) for 1 .. 5;
    POSIX::sigaction( POSIX::SIGALRM(), POSIX::SigAction->new('DEFAULT') );

    # Calls that are answered meanwhile, with signals all the time.
    my $count = 0;
    local $SIG{USR1} = sub { $count++ };
    my ($busy) = handle( $arg{hosts} );
    for ( 1 .. 20 ) {
        kill USR1 => $$;
        $busy->_exists('/');
    }
    same( $count, 20 );
    alarm $LIMIT;
    return;
}

sub children {
    my ( $zk, $events ) = handle( $arg{hosts} );
    $zk->_exists('/');
    $events->send( 'for the parent', [1] );
    in_child(
        sub {
            refused( qr/belongs to the parent process/, sub { $zk->_get('/') } );
            refused( qr/belongs to the parent process/, sub { $zk->_add_auth( 'a', 'b' ) } );
            refused( qr/belongs to the parent process/, sub { $zk->_wait_connected(1) } );
            same( $zk->_state,   999 );
            same( $events->size, 0 );
            $events->send( 'own', 'left' );
            same( $events->recv, 'own' );
            $zk->_close;
            $zk->_connect( { hosts => $arg{hosts}, channel => $events } );
            same( ref $zk->_exists('/'), 'HASH' );
            in_child( sub { $zk->_connect( { hosts => $arg{hosts}, channel => $events } ); $zk->_exists('/') }
            );
        }
    );
    in_child( sub { undef $zk; undef $events } );
    in_child( sub { } );    # with all that there is
    same( ref $zk->_exists('/'), 'HASH' );
    same( $events->recv,         'for the parent' );
    return;
}

# The code, in a child that ends as programs do.
sub in_child {
    my ($code) = @_;
    my $pid = fork // die "fork: $!\n";
    if ( !$pid ) {
        alarm $LIMIT;
        exit 0 if eval { $code->(); 1 };
        print STDERR "in a child: $@";
        exit 1;
    }
    waitpid $pid, 0;
    die "a child ended with $?\n" if $?;
    return;
}

sub in_threads {
    return if !$Config::Config{useithreads};
    my ( $zk, $events ) = handle( $arg{hosts} );
    $zk->_exists('/');
    $events->send( 'of the first thread', [1] );
    my $code = sub {
        refused( qr/can't be used in another thread/, sub { $zk->_get('/') } );
        refused( qr/can't be used in another thread/, sub { $events->send(1) } );
        same( $zk->_state,   999 );
        same( $events->size, 0 );
        $zk->_close;
        my ($own) = handle( $arg{hosts} );
        return ref $own->_exists('/');
    };
    for ( 1 .. 2 ) {
        my $thread = threads->create(
            { context => 'scalar' },
            sub {
                eval { $code->() } // $@;
            }
        );
        same( $thread->join, 'HASH' );
    }
    same( ref $zk->_exists('/'), 'HASH' );
    return;
}

sub others {
    ZooKeeper::XS::_trace( 4, '/dev/null' );
    my ($zk) = handle( $arg{hosts} );
    refused( qr/no node/, sub { $zk->_get('/no/such/node') } );
    refused( qr/trace/,   sub { ZooKeeper::XS::_trace(@$_) } )
      for ['x'], [ -1, undef ], [ 4, '/no/such/directory/file' ], [ 4, "\0" ];
    ZooKeeper::XS::_trace( 0, undef );
    refused( qr/internal error: asked to/, sub { ZooKeeper::XS::_panic() } ) for 1 .. 2;
    return;
}

# What lives on until nothing is left: in globals, in a cycle, connected or not, with events that nobody took.
sub leave_behind {
    my ( $zk, $events ) = handle( $arg{hosts}, default_watcher => 1 );
    $zk->_exists( '/', 2 );
    my ($cycle) = handle( $arg{hosts} );
    $cycle->{itself} = $cycle;
    push @left, $zk, $events, map { ( handle($_) )[0] } '127.0.0.1:1', $arg{mute};
    push @left, ZooKeeper->new( hosts => $arg{hosts}, dispatcher => 'Pipe', watcher => sub { } );
    $left[-1]->get( '/', watcher => sub { @left } );
    return;
}

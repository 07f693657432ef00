use strict;
use warnings;
use Test::More;
use POSIX qw(WUNTRACED);
use lib 't/lib';
use Kazoo;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

# What one client does the other hears of; and a session that goes from one to the other.
my $kazoo  = kazoo();
my $server = test_server();
my @args   = ( hosts => $server->hosts, timeout => 30_000, dispatcher => 'Pipe' );
my $zk     = ZooKeeper->new( @args, ignore_session_events => 1 );
my $kz     = $kazoo->client( $server->hosts );
my $base   = fresh_path('kazoo');
$zk->create( $base, parents => 1 );

my $TRUE = JSON::PP::true;

# A method of kazoo's client.
sub kz { my (@call) = @_; return $kazoo->call( $kz, @call ) }

# Whatever the server has sent is there when a call returns.
sub settle {
    my ($handle) = @_;
    $handle //= $zk;
    $handle->sync('/');
    1 while $handle->dispatcher->dispatch_event;
    return;
}

my %NUMBER = ( CREATED => 1, DELETED => 2, CHANGED => 3, CHILD => 4, RESYNC => -3 );
my %NAME   = reverse %NUMBER;

subtest 'our watchers hear of what kazoo does, once' => sub {
    my @seen;
    my $watcher = sub { push @seen, "$NAME{ $_[0]{type} } $_[0]{path}" =~ s{\Q$base\E/}{}r };
    my $told    = sub {
        my ( $name, @expected ) = @_;
        settle();
        is_deeply [ sort @seen ], [ sort @expected ], $name;
        @seen = ();
    };
    $zk->exists( "$base/w", watcher => $watcher );
    kz( create => "$base/w" );
    $told->( 'create', 'CREATED w' );
    kz( set => "$base/w", data('1') );
    $told->('a change that nobody watches');
    $zk->get( "$base/w", watcher => $watcher );
    $zk->exists( "$base/w", watcher => sub { push @seen, 'another' } );
    kz( set => "$base/w", data('2') ) for 1 .. 2;
    $told->( 'set', 'CHANGED w', 'another' );
    $zk->get_children( "$base/w", watcher => $watcher );
    $zk->get( "$base/w", watcher => $watcher );
    kz( create => "$base/w/x" );
    $told->( 'a child comes', 'CHILD w' );
    $zk->get_children( "$base/w", watcher => $watcher );
    kz( delete => "$base/w/x" );
    $told->( 'a child goes', 'CHILD w' );
    $zk->get_children( "$base/w", watcher => $watcher );
    kz( delete => "$base/w" );
    $told->( 'delete tells both', ('DELETED w') x 2 );
};

subtest 'a transaction of kazoo' => sub {
    my @seen;
    $zk->create("$base/tx");
    $zk->get( "$base/tx", watcher => sub { push @seen, $_[0]{type} } );
    $zk->get_children( "$base/tx", watcher => sub { push @seen, $_[0]{type} } );
    my $tx = $kazoo->keep( $kz, 'transaction' );
    $kazoo->call( $tx, create   => "$base/tx/a" );
    $kazoo->call( $tx, create   => "$base/tx/b" );
    $kazoo->call( $tx, set_data => "$base/tx", data('x') );
    $kazoo->call( $tx, 'commit' );
    settle();
    is_deeply \@seen, [ ZOO_CHILD_EVENT, ZOO_CHANGED_EVENT ], 'one event for each watcher, in its order';
};

subtest 'persistent watches' => sub {
    $zk->create("$base/p");
    my ( @plain, @recursive );
    $zk->add_watch( "$base/p", watcher => sub { push @plain, "$NAME{ $_[0]{type} } $_[0]{path}" } );

    # In 3.8 a session has one persistent watch for a node: another mode would replace it.
    my $other = ZooKeeper->new(@args);
    $other->add_watch(
        "$base/p",
        recursive => 1,
        watcher   => sub { push @recursive, "$NAME{ $_[0]{type} } $_[0]{path}" }
    );
    kz( set    => "$base/p", data($_) ) for 1 .. 3;
    kz( create => "$base/p/x" );
    kz( create => "$base/p/x/y" );
    kz( set    => "$base/p/x/y", data('z') );
    kz( delete => "$base/p",     named => { recursive => $TRUE } );
    kz( create => "$base/p" );
    settle($_) for $zk, $other;
    my @changes = ("CHANGED $base/p") x 3;
    is_deeply \@plain,
      [ @changes, "CHILD $base/p", "CHILD $base/p", "DELETED $base/p", "CREATED $base/p" ], 'one node'
      or diag explain \@plain;
    is_deeply \@recursive,
      [
        @changes,
        "CREATED $base/p/x",
        "CREATED $base/p/x/y",
        "CHANGED $base/p/x/y",
        "DELETED $base/p/x/y",
        "DELETED $base/p/x",
        "DELETED $base/p",
        "CREATED $base/p",
      ],
      'and all below it';
};

subtest 'a thousand changes' => sub {
    my @seen;
    $zk->create("$base/often");
    $zk->add_watch( "$base/often", watcher => sub { push @seen, $_[0]{type} } );
    $kazoo->answer($_) for map { $kazoo->ask( $kz, set => "$base/often", data($_) ) } 1 .. 1000;
    settle();
    is_deeply \@seen, [ (ZOO_CHANGED_EVENT) x 1000 ], 'of kazoo: as many events';
};

subtest q(kazoo's watches hear of what we do) => sub {
    my $event = sub {
        my ( $name, $type, $path ) = @_;
        is_deeply $kazoo->event($name), [ { type => $type, state => 'CONNECTED', path => "$base/$path" } ],
          "$name: $type";
    };
    kz( exists => "$base/k", tell('exists') );
    $zk->create( "$base/k", value => 'v' );
    $event->( exists => CREATED => 'k' );
    is kz( get => "$base/k", tell('get') )->[0], 'v', 'get';
    $zk->set( "$base/k", 'w' ) for 1 .. 2;
    $event->( get => CHANGED => 'k' );
    kz( get_children => "$base/k", tell('children') );
    $zk->create2( "$base/k/container", container => 1 );
    $event->( children => CHILD => 'k' );
    kz( get_children => "$base/k", tell('children') );
    $zk->transaction->delete("$base/k/container")->commit;
    $event->( children => CHILD => 'k' );
    kz( get => "$base/k", tell('get') );
    $zk->delete("$base/k");
    $event->( get => DELETED => 'k' );
    is_deeply [ map { $kazoo->events($_) } qw(exists get children) ], [], 'and of nothing else';
};

subtest 'DataWatch and ChildrenWatch' => sub {
    $kazoo->keep( $kz, DataWatch => "$base/dw", tell('data') );
    is_deeply $kazoo->event('data'), [ undef, undef, undef ], 'no node yet';
    my $type = 'CREATED';
    for my $value ( "\0\xff", '', undef ) {
        $type eq 'CREATED'
          ? $zk->create( "$base/dw", value => $value )
          : $zk->set( "$base/dw", $value );
        is_deeply $kazoo->event('data'),
          [ $value, $zk->exists("$base/dw"), { type => $type, state => 'CONNECTED', path => "$base/dw" } ],
          "$type: our data, the stat, and why";
        $type = 'CHANGED';
    }
    $zk->delete("$base/dw");
    is_deeply [ @{ $kazoo->event('data') }[ 0, 1 ] ], [ undef, undef ], 'no node any more';

    $zk->create("$base/cw");
    $kazoo->keep( $kz, ChildrenWatch => "$base/cw", tell('names') );
    is_deeply $kazoo->event('names'), [ [] ], 'no child yet';
    my @names;
    for my $n ( 1 .. 3 ) {
        push @names, "n$n";
        $zk->create("$base/cw/n$n");
        my ($listed) = @{ $kazoo->event('names') };
        is_deeply [ sort @$listed ], \@names, "we create number $n";
    }
    $zk->delete( "$base/cw", recursive => 1 );
    pass 'the recursive delete has ended';
};

subtest 'kazoo goes on with a session of ours' => sub {
    pipe my $read, my $write or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if ( !$pid ) {
        my $ours = ZooKeeper->new(@args);
        $ours->create( "$base/of-the-session", ephemeral => 1, value => 'ours' );
        my $id = $ours->client_id;
        syswrite $write, "$id->{client_id} " . unpack( 'H*', $id->{passwd} ) . "\n";
        kill KILL => $$;
    }
    close $write;
    my ( $id, $passwd ) = split ' ', deadline 60, sub { scalar <$read> };
    waitpid $pid, 0;
    my $theirs = $kazoo->client( $server->hosts, client_id => [ 0 + $id, data( pack 'H*', $passwd ) ] );
    is_deeply $kazoo->call( $theirs, 'client_id' ), [ $id, pack 'H*', $passwd ], 'the same session';
    is $kazoo->call( $theirs, get => "$base/of-the-session" )->[1]{ephemeralOwner}, $id, 'with its node';
    $kazoo->call( $theirs, create => "$base/another", named => { ephemeral => $TRUE } );
    is $zk->exists("$base/another")->{ephemeralOwner}, $id, 'and another one';
    $kazoo->call( $theirs, 'stop' );
    is $zk->exists("$base/$_"), undef, "$_: gone when it is closed there" for qw(of-the-session another);
};

subtest 'we go on with a session of kazoo' => sub {
    my $other  = Kazoo->new;
    my $theirs = $other->client( $server->hosts );
    $other->call( $theirs, create => "$base/of-kazoo", data('theirs'), named => { ephemeral => $TRUE } );
    my ( $id, $passwd ) = @{ $other->call( $theirs, 'client_id' ) };
    $other->kill_hard;
    my $ours = ZooKeeper->new( @args, client_id => { client_id => $id, passwd => $passwd } );
    is scalar $ours->get("$base/of-kazoo"), 'theirs', 'the node is there';
    is_deeply $ours->client_id, { client_id => $id, passwd => $passwd }, 'the session is the same';
    is_deeply [ $ours->get_ephemerals($base) ], ["$base/of-kazoo"], 'and the node is its own';
    $ours->close;
    is $zk->exists("$base/of-kazoo"), undef, 'gone when it is closed here';
};

subtest 'a session of ours that kazoo closes' => sub {
    pipe my $read, my $write or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if ( !$pid ) {
        my $ours = ZooKeeper->new(@args);
        $ours->exists('/');
        my $id = $ours->client_id;
        syswrite $write, "$id->{client_id} " . unpack( 'H*', $id->{passwd} ) . "\n";
        my $code = 0;
        while ( $code == 0 || $code == ZCONNECTIONLOSS ) {
            $code = eval { $ours->exists('/'); 1 } ? 0 : $@->code;
        }
        syswrite $write, "$code\n";
        kill KILL => $$;
    }
    close $write;
    my ( $id, $passwd ) = split ' ', deadline 60, sub { scalar <$read> };

    # Two that have one session take it from each other: one of them has to stand still.
    kill STOP => $pid;
    waitpid $pid, WUNTRACED;
    my $theirs = $kazoo->client( $server->hosts, client_id => [ 0 + $id, data( pack 'H*', $passwd ) ] );
    $kazoo->call( $theirs, 'stop' );
    kill CONT => $pid;
    my $code = eval {
        deadline 60,
          sub { 0 + <$read> }
    };
    kill KILL => $pid;
    waitpid $pid, 0;
    is $code, ZSESSIONEXPIRED, 'has expired for us';
};

done_testing;

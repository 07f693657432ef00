use strict;
use warnings;
use Test::More;
use lib 't/lib';

use FaultProxy;
use TestZK;
use ZooKeeper;
use ZooKeeper::Constants;

my $server   = test_server();
my $since3_9 = $server->version ge '3.9';
my $other    = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
my $base     = fresh_path('removal');
$other->create($base);
my $count = 0;

my %kind = (
    data => {
        set     => sub { $_[0]->get( $_[1], watcher => $_[2] ) },
        type    => 'data',
        watcher => 'get',
        removed => 5
    },
    exists => {
        set     => sub { $_[0]->exists( $_[1], watcher => $_[2] ) },
        type    => 'data',
        watcher => 'exists',
        removed => 5
    },
    children => {
        set     => sub { scalar $_[0]->get_children( $_[1], watcher => $_[2] ) },
        type    => 'children',
        watcher => 'get_children',
        removed => 6
    },
    persistent => {
        set     => sub { $_[0]->add_watch( $_[1], watcher => $_[2] ) },
        type    => 'persistent',
        watcher => 'persistent',
        removed => 7
    },
    recursive => {
        set     => sub { $_[0]->add_watch( $_[1], watcher => $_[2], recursive => 1 ) },
        type    => 'persistent_recursive',
        watcher => 'persistent_recursive',
        removed => 7
    },
);

# A handle, a node of its own, and what watchers have heard: "name:type".
sub stage {
    my (%arg) = @_;
    my $path = "$base/" . ++$count;
    $other->create($path);
    my $zk = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe', %arg );
    my @heard;
    return ( $zk, $path, \@heard );
}

sub watch {
    my ( $zk, $path, $heard, $kind, $name ) = @_;
    $name //= $kind;
    $kind{$kind}{set}->( $zk, $path, sub { push @$heard, "$name:$_[0]{type}" } );
    my ($watcher) = reverse $zk->get_watchers( path => $path, type => $kind{$kind}{watcher} );
    return $watcher;
}

# What has been heard since the last time, when all is there.
sub heard {
    my ( $zk, $heard ) = @_;
    $zk->exists('/');
    1 while $zk->dispatcher->dispatch_event;
    return join ' ', sort splice @$heard;
}

# What the server knows the session to watch, by its own words. (It does not tell of watches of children.)
sub on_server {
    my ( $zk, $path ) = @_;
    my $id = sprintf '0x%x', $zk->client_id->{client_id};
    my %said;
    my $current = '';
    for my $line ( split /\n/, $server->four_letter( 0, 'wchc' ) // '' ) {
        if    ( $line =~ /\A(0x\S+)/ )  { $current = $1 }
        elsif ( $line =~ /\A\s+(\S+)/ ) { $said{$current}{$1}++ }
    }
    return $said{$id}{$path} // 0;
}

sub code_of {
    my ($code) = @_;
    return eval { $code->(); 1 } ? ZOK : ref $@ ? $@->code : $@;
}

subtest 'each kind alone, by its type and by any, all and one' => sub {
    for my $kind ( sort keys %kind ) {
        for my $type ( $kind{$kind}{type}, 'any', undef ) {
            for my $one ( 0, 1 ) {
                my $name = join ', ', $kind, $type // 'no type', $one ? 'one' : 'all';
                my ( $zk, $path, $heard ) = stage();
                my $watcher = watch( $zk, $path, $heard, $kind );
                cmp_ok on_server( $zk, $path ), '>', 0, "$name: the server knows it" if $kind ne 'children';
                is_deeply [ $zk->remove_watches( $path, type => $type, watcher => $one ? $watcher : undef ) ],
                  [],
                  "$name: returns nothing";
                is heard( $zk, $heard ),    "$kind:$kind{$kind}{removed}", "$name: its watcher is told";
                is on_server( $zk, $path ), 0, "$name: the server has forgotten it";
                ok $watcher->done, "$name: the watcher is done";
                is_deeply [ $zk->get_watchers( path => $path ) ], [], "$name: nothing is left here";
                $other->set( $path, 'x' );
                $other->create("$path/x");
                is heard( $zk, $heard ), '', "$name: it does not hear of anything any more";
                is code_of( sub { $zk->remove_watches( $path, type => $type ) } ), ZNOWATCHER, "$name: once";
            }
        }
    }
};

# What two watchers of these kinds hear of a change to the data, a child and another change; the same for one that was
# taken off: nothing.
sub expected {
    my ( $kind, $what ) = @_;
    return "$kind:3" if $what eq 'set' && $kind ne 'children';
    return $kind eq 'recursive' ? "$kind:1" : "$kind:4"
      if $what eq 'create' && $kind =~ /\A(?:children|persistent|recursive)\z/;
    return;
}

subtest 'of two kinds on one path the other one goes on' => sub {
    for my $gone ( sort keys %kind ) {
        for my $stays ( sort keys %kind ) {
            next if $gone eq $stays;

            # A server before 3.9 has one of them only, whichever came last: the manual says so.
            next if !$since3_9 && $kind{$gone}{removed} == 7 && $kind{$stays}{removed} == 7;
            for my $order ( [ $gone, $stays ], [ $stays, $gone ] ) {
                for my $what ( [ 'set', 'create' ], [ 'create', 'set' ] ) {
                    my ( $zk, $path, $heard ) = stage();
                    my %watcher = map { $_ => watch( $zk, $path, $heard, $_ ) } @$order;
                    my $name    = "@$order, $gone goes";
                    $zk->remove_watches( $path, watcher => $watcher{$gone} );
                    is heard( $zk, $heard ), "$gone:$kind{$gone}{removed}", "$name: told";
                    my %one_shot = map { $_ => 1 } grep { $kind{$_}{removed} != 7 } $stays;
                    for my $change ( @$what, @$what ) {
                        $change eq 'set'
                          ? $other->set( $path, 'x' )
                          : $other->create( "$path/x-", sequential => 1 );
                        my $expected = $one_shot{done} ? '' : expected( $stays, $change ) // '';
                        $one_shot{done} = 1 if $one_shot{$stays} && $expected;
                        is heard( $zk, $heard ), $expected, "$name: $stays hears of $change";
                    }
                }
            }
        }
    }
};

subtest 'by type, the other kinds go on' => sub {
    for my $gone ( sort keys %kind ) {
        my ( $zk, $path, $heard ) = stage();
        my @all =
          $since3_9 ? sort keys %kind : grep { $_ ne ( $gone eq 'recursive' ? 'persistent' : 'recursive' ) }
          sort keys %kind;
        watch( $zk, $path, $heard, $_ ) for @all;
        my @go = grep { $kind{$_}{type} eq $kind{$gone}{type} } @all;
        $zk->remove_watches( $path, type => $kind{$gone}{type} );
        is heard( $zk, $heard ), join( ' ', map { "$_:$kind{$_}{removed}" } @go ), "$gone: they are told";
        my %left = map { $_ => 1 } @all;
        delete @left{@go};

        for my $change ( 'set', 'create', 'set', 'create' ) {
            $change eq 'set' ? $other->set( $path, 'x' ) : $other->create( "$path/x-", sequential => 1 );
            my %said = map { $_ => scalar expected( $_, $change ) } sort keys %left;
            is heard( $zk, $heard ), join( ' ', grep { defined } map { $said{$_} } sort keys %said ),
              "$gone goes: $change";
            $kind{$_}{removed} == 7 or !defined $said{$_} or delete $left{$_} for keys %said;
        }
    }
};

subtest 'one of several watchers of a kind' => sub {
    for my $kind ( sort keys %kind ) {
        my ( $zk, $path, $heard ) = stage();
        my ( $first, $second ) = map { watch( $zk, $path, $heard, $kind, $_ ) } qw(first second);
        $zk->remove_watches( $path, watcher => $first );
        is heard( $zk, $heard ), "first:$kind{$kind}{removed}", "$kind: told";
        $kind eq 'children' ? $other->create("$path/x") : $other->set( $path, 'x' );
        like heard( $zk, $heard ), qr/\Asecond:[34]\z/, "$kind: the other one hears of the change";
        is code_of( sub { $zk->remove_watches( $path, watcher => $first ) } ), ZNOWATCHER, "$kind: once";
    }
};

subtest 'no watch is an error, and so is a watcher of something else' => sub {
    my ( $zk, $path, $heard ) = stage();
    my $watcher = watch( $zk, $path, $heard, 'data' );
    my $line    = __LINE__ + 1;
    ok !eval { $zk->remove_watches( $path, type => 'children' ); 1 }, 'another kind';
    is "$@", "Error removing watches of node '$path': ${\ zerror(ZNOWATCHER)} at ${\ __FILE__} line $line.\n",
      'the words';
    is code_of( sub { $zk->remove_watches("$path/x") } ), ZNOWATCHER, 'another path';
    my ( $zk2, $path2, $heard2 ) = stage();
    my $foreign = watch( $zk2, $path2, $heard2, 'data' );
    is code_of( sub { $zk->remove_watches( $path, watcher => $foreign ) } ), ZNOWATCHER,
      'a watcher of another handle';
    like code_of( sub { $zk->remove_watches( $path, watcher => $_ ) } ),
      qr/\Aremove_watches: the watcher must be a ZooKeeper::Watcher at /, 'no watcher'
      for sub { }, 7, {};
    is code_of( sub { $zk->remove_watches( $path, type => 'some' ) } ), ZBADARGUMENTS,
      'a type that there is not';
    like "$@", qr/type 'some' is none of any, data, children, persistent, persistent_recursive/,
      'which is said';
    $zk->remove_watches($path);
    is heard( $zk, $heard ), 'data:5', 'nothing of this has harmed it';
};

subtest 'without waiting' => sub {
    my ( $zk, $path, $heard ) = stage();
    my @answers;
    for my $kind ( 'data', 'persistent' ) {
        watch( $zk, $path, $heard, $kind );
        $zk->remove_watches( $path, cb => sub { push @answers, [@_]; push @$heard, 'answer' } );
        soon_ok { 1 while $zk->dispatcher->dispatch_event; @answers } 60, "$kind: the callback is called";
        is_deeply \@answers, [ [undef] ], "$kind: without an error";
        is join( ' ', splice @$heard ), "$kind:$kind{$kind}{removed} answer", "$kind: behind the watcher";
        @answers = ();
        watch( $zk, $path, $heard, $kind );
        is_deeply [ deadline 30, sub { $zk->remove_watches_f($path)->get } ], [], "$kind: a future";
        is heard( $zk, $heard ), "$kind:$kind{$kind}{removed}", "$kind: the watcher";
    }
    my $future = $zk->remove_watches_f($path);
    ok !eval {
        deadline 30, sub { $future->get };
        1;
    }, 'none: it fails';
    is $@->code, ZNOWATCHER, 'code';
};

subtest 'a request under way that would leave a watch' => sub {
    for my $local ( 0, 1 ) {
        for my $kind (qw(data children)) {
            my ( $zk, $path, $heard ) = stage();
            $zk->exists('/');
            my $method  = $kind eq 'data' ? 'get' : 'get_children';
            my $get     = "${method}_f";
            my @futures = (
                $zk->$get( $path, watcher => sub { push @$heard, "before:$_[0]{type}" } ),
                $zk->remove_watches_f( $path, local => $local ),
                $zk->$get( $path, watcher => sub { push @$heard, "after:$_[0]{type}" } )
            );
            deadline 30, sub { Future->wait_all(@futures)->get };
            is_deeply [ map { $_->is_done ? 'done' : $_->failure } @futures ], [ ('done') x 3 ],
              "$kind, local $local: all answered";
            is heard( $zk, $heard ), "before:$kind{$kind}{removed}",
              'the watch that was asked for before is gone';
            $kind eq 'data' ? $other->set( $path, 'x' ) : $other->create("$path/x");
            is heard( $zk, $heard ), $kind eq 'data' ? 'after:3' : 'after:4',
              'the one that was asked for later is there';
        }
    }
    my ( $zk, $path, $heard ) = stage();
    my $second  = watch( $zk, $path, $heard, 'data', 'second' );
    my $get     = $zk->get_f( $path, watcher => sub { push @$heard, "first:$_[0]{type}" } );
    my ($first) = grep { $_ != $second } $zk->get_watchers( path => $path );
    $zk->remove_watches( $path, watcher => $first );
    deadline 30, sub { $get->get };
    is heard( $zk, $heard ), 'first:5', 'a watcher that has no watch yet is taken off beside another one';
    $other->set( $path, 'x' );
    is heard( $zk, $heard ), 'second:3', 'and hears no more';
};

subtest 'removed watches are not armed again on a new connection, others are' => sub {
    for my $kind ( sort keys %kind ) {
        my ( $zk, $path, $heard ) = stage();
        my ( $first, $second ) = map { watch( $zk, $path, $heard, $kind, $_ ) } qw(first second);
        watch( $zk, "$path", $heard, 'exists', 'exists' );
        $zk->remove_watches( $path, watcher => $first );
        heard( $zk, $heard );
        $server->lose_connection($zk);
        $kind eq 'children' ? $other->create("$path/x") : $other->set( $path, 'x' );
        $zk->wait_connected(30);
        soon_ok {
            eval { $zk->exists('/') };
            1 while $zk->dispatcher->dispatch_event;
            grep { /second:[34]/ } @$heard
        }
        30, "$kind: the other one hears";
        unlike heard( $zk, $heard ), qr/first/, "$kind: the removed one does not";
        $zk->remove_watches($path) if $kind{$kind}{removed} == 7 || $kind eq 'children';
        heard( $zk, $heard );
        is on_server( $zk, $path ), 0, "$kind: none is left on the server";
    }
};

subtest 'local: without a connection, and with one' => sub {
    my $proxy = FaultProxy->new( $server->hosts );
    for my $kind ( sort keys %kind ) {
        my $path = "$base/" . ++$count;
        $other->create($path);
        my $zk = ZooKeeper->new( hosts => $proxy->hosts, dispatcher => 'Pipe', timeout => 60_000 );
        my @heard;
        watch( $zk, $path, \@heard, $kind );
        $zk->remove_watches( $path, local => 1 );
        is heard( $zk, \@heard ),   "$kind:$kind{$kind}{removed}", "$kind, connected: told";
        is on_server( $zk, $path ), 0,                             "$kind, connected: the server, too";

        # The request is swallowed; then the connection breaks.
        watch( $zk, $path, \@heard, $kind );
        $proxy->harm( swallow_requests => 0 );
        my $future = $zk->remove_watches_f( $path, local => 1 );
        my $plain  = $zk->remove_watches_f($path);
        $proxy->harm( heal  => 0 );
        $proxy->harm( reset => 0 );
        deadline 60, sub { Future->wait_all( $future, $plain )->get };
        ok $future->is_done, "$kind, lost under way: done all the same";
        is $plain->is_failed && ( $plain->failure )[0]->code, ZCONNECTIONLOSS, "$kind: otherwise it fails";
        $zk->wait_connected(30);
        is heard( $zk, \@heard ),   "$kind:$kind{$kind}{removed}", "$kind: told once";
        is on_server( $zk, $path ), 0,                             "$kind: and not armed again";
    }
    my $stopped = test_server();
    my $zk      = ZooKeeper->new( hosts => $stopped->hosts, dispatcher => 'Pipe', timeout => 60_000 );
    my @heard;
    watch( $zk, '/', \@heard, 'persistent' );
    $stopped->kill(0);
    soon_ok { !$zk->is_connected } 30, 'no connection';
    deadline 30, sub { $zk->remove_watches( '/', local => 1 ) };
    1 while $zk->dispatcher->dispatch_event;
    is "@heard",                                                  'persistent:7', 'it is removed at once';
    is code_of( sub { $zk->remove_watches( '/', local => 1 ) } ), ZNOWATCHER,     'and once only';
    $stopped->start(0);
};

subtest 'text and chroot' => sub {
    my ( $zk, $path, $heard ) = stage( hosts => $server->hosts . $base, utf8 => 1 );
    $zk->create("/\x{263a}");
    my $seen;
    my $watcher = $zk->add_watch( "/\x{263a}", watcher => sub { $seen = $_[0] } );
    $zk->remove_watches( "/\x{263a}", watcher => $watcher );
    soon_ok { 1 while $zk->dispatcher->dispatch_event; $seen } 60, 'told';
    is_deeply [ @$seen{qw(type state path)} ], [ 7, ZOO_CONNECTED_STATE, "/\x{263a}" ],
      'with the path as it was given';
};

done_testing;

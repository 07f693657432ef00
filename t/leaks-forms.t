# What commands leave behind that don't wait, and those that fail, in all forms. Those that wait and succeed are in
# leaks-commands.t.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

BEGIN {
    plan skip_all => 'Test::LeakTrace is not installed (package libtest-leaktrace-perl)'
      if !eval { require Test::LeakTrace; Test::LeakTrace->import; 1 };
}

use ZooKeeper;
use ZooKeeper::Commands;
use ZooKeeper::Constants;

# Runs in each of which nothing may be left; earlier ones fill caches.
my $WARM = 3;

my $server = test_server();
my $base   = fresh_path('forms');
my %on     = map { $_ => handle( $_ eq 'p' ? 'Mojo' : 'Pipe' ) }
  ( '', 'cb', 'f', eval { require Mojo::Promise; 1 } ? 'p' : () );
my $acl = ZOO_OPEN_ACL_UNSAFE;
$on{''}->ensure_path("$base/full/x");
$on{''}->create( "$base/ephemeral", ephemeral => 1 );
$on{$_}->sync('/') for keys %on;

sub handle {
    my ( $loop, @args ) = @_;
    return ZooKeeper->new( hosts => $server->hosts, dispatcher => $loop, @args );
}

# Asks in a form and waits for the answer: its code, or -1 if the call died of what is no ZooKeeper::Error.
sub code_of {
    my ( $form, $object, $method, @args ) = @_;
    my $zk = $object->isa('ZooKeeper') ? $object : $object->handle;
    my $answered;
    my $told  = sub { $answered = defined $_[0] ? $_[0]->code : ZOK };
    my $asked = eval {
        if ( $form eq '' ) {
            $object->$method(@args);
            $answered = ZOK;
        }
        elsif ( $form eq 'cb' ) {
            $object->$method( @args, cb => $told );
        }
        else {
            my $name  = "${method}_$form";
            my $later = $object->$name(@args);
            $form eq 'p'
              ? $later->then( sub { $told->() }, $told )
              : $later->on_done( sub { $told->() } )->on_fail($told);
        }
        1;
    };
    return ref $@ ? $@->code : -1 if !$asked;
    my $end = time + 60;
    $zk->dispatcher->run_loop_once(1) while !defined $answered && time < $end;
    return $answered;
}

# Name, what to expect, and what to do: method and arguments, on the handle, or on what a function makes of it.
my ( @cases, %has );

sub case {
    my ( $name, $expected, $method, @args ) = @_;
    my $on = ref $method ? $method : undef;
    $method = 'commit' if $on;
    $has{$method}++;
    push @cases, {
        name => $name,
        code => sub {
            my ($form) = @_;
            my $zk     = $on{$form};
            my $code   = code_of( $form, $on ? $on->($zk) : $zk, $method, @args );
            $code == $expected or die "$method in form '$form': $code\n";
        }
    };
    return;
}

# Some commands need another one before or after them.
sub both {
    my ( $name, @commands ) = @_;
    my $first = @cases;
    case ( $name, ZOK, @$_ ) for @commands;
    my @codes = map { $_->{code} } splice @cases, $first;
    push @cases, {
        name => $name,
        code => sub { $_->( $_[0] ) for @codes }
    };
    return;
}

for my $create (qw(create create2)) {
    both( "$create and delete", [ $create => "$base/n", value => 'v', acl => $acl ],
        [ delete => "$base/n" ] );
    both(
        "$create with parents, recursive delete",
        [ $create => "$base/p/q/r", parents   => 1 ],
        [ delete  => "$base/p",     recursive => 1 ]
    );
    case ( "$create of a node that is there",  ZNODEEXISTS,              $create => $base, value => 'v' );
    case ( "$create below a node that is not", ZNONODE,                  $create => "$base/none/x" );
    case ( "$create below an ephemeral node",  ZNOCHILDRENFOREPHEMERALS, $create => "$base/ephemeral/x" );
    case (
        "$create with parents, refused", ZNOCHILDRENFOREPHEMERALS,
        $create => "$base/ephemeral/x/y",
        parents => 1
    );
    case ( "$create with a bad path",         ZBADARGUMENTS, $create => 'no-slash' );
    case ( "$create with a bad acl",          -1,            $create => "$base/x", acl   => [1] );
    case ( "$create with an empty acl",       ZINVALIDACL,   $create => "$base/x", acl   => [] );
    case ( "$create with a bad value",        -1,            $create => "$base/x", value => {} );
    case ( "$create with characters in data", -1,            $create => "$base/x", value => "\x{263a}" );
}
case ( 'delete of a missing node',           ZNONODE,     delete => "$base/none" );
case ( 'delete of another version',          ZBADVERSION, delete => "$base/full", version => 99 );
case ( 'delete of a node with children',     ZNOTEMPTY,   delete => "$base/full" );
case ( 'recursive delete of a missing node', ZNONODE,     delete => "$base/none", recursive => 1 );
case (
    'recursive delete of another version', ZBADVERSION,
    delete    => "$base/full",
    recursive => 1,
    version   => 99
);
case ( 'exists',                     ZOK,           exists  => $base );
case ( 'exists of a missing node',   ZOK,           exists  => "$base/none" );
case ( 'set',                        ZOK,           set     => $base,        'v' );
case ( 'set of null',                ZOK,           set     => $base,        undef );
case ( 'set of a missing node',      ZNONODE,       set     => "$base/none", 'v' );
case ( 'set of another version',     ZBADVERSION,   set     => $base,        'v', version => 99_999 );
case ( 'set with a bad version',     ZBADARGUMENTS, set     => $base,        'v', version => 'many' );
case ( 'set of too much',            ZBADARGUMENTS, set     => $base,        'x' x 1_100_000 );
case ( 'set of a reference',         -1,            set     => $base,        [] );
case ( 'set_acl',                    ZOK,           set_acl => $base,        $acl );
case ( 'set_acl of a missing node',  ZNONODE,       set_acl => "$base/none", $acl );
case ( 'set_acl of another version', ZBADVERSION,   set_acl => $base,        $acl, version => 99_999 );
case ( 'set_acl of no acl',          -1,            set_acl => $base,        'bad' );

for my $get (qw(get get_children get_children2)) {
    case ( $get,                                    ZOK,           $get => $base );
    case ( "$get of a missing node",                ZNONODE,       $get => "$base/none" );
    case ( "$get with a watcher of a missing node", ZNONODE,       $get => "$base/none", watcher => sub { } );
    case ( "$get with a bad path",                  ZBADARGUMENTS, $get => '/a//b' );
    case ( "$get with a bad watcher",               -1,            $get => $base, watcher         => 'bad' );
    case ( "$get with a bad time",                  ZBADARGUMENTS, $get => $base, request_timeout => [] );
}
for my $get (qw(get_acl get_all_children_number)) {
    case ( $get,                     ZOK,     $get => $base );
    case ( "$get of a missing node", ZNONODE, $get => "$base/none" );
}
case ( 'sync',                           ZOK,            sync => $base );
case ( 'whoami',                         ZOK,            'whoami' );
case ( 'get_ephemerals',                 ZOK,            get_ephemerals => '/' );
case ( 'get_config',                     ZOK,            'get_config' );
case ( 'reconfig, which servers refuse', ZUNIMPLEMENTED, reconfig => leaving => ['7'] );
case ( 'reconfig with nothing',          ZBADARGUMENTS,  'reconfig' );
case ( 'add_auth',                       ZOK,            add_auth => 'digest', 'leaks:forms' );
case ( 'add_auth with nothing',          ZBADARGUMENTS,  add_auth => undef,    undef );
both( 'ensure_path', [ ensure_path => "$base/p/q" ], [ delete => "$base/p", recursive => 1 ] );
case ( 'ensure_path, refused', ZNOCHILDRENFOREPHEMERALS, ensure_path => "$base/ephemeral/x/y" );
both(
    'a persistent watch',
    [ add_watch      => $base, watcher => sub { } ],
    [ set            => $base, 'v' ],
    [ remove_watches => $base, type => 'persistent' ]
);
both(
    'watches of all kinds',
    (
        map {
            [ $_ => $base, watcher => sub { } ]
        } qw(exists get get_children get_children2)
    ),
    [ add_watch      => $base, watcher => sub { }, recursive => 1 ],
    [ remove_watches => $base ]
);
case ( 'add_watch without a watcher',  -1,            add_watch      => $base );
case ( 'add_watch with a bad path',    ZBADARGUMENTS, add_watch      => 'no-slash', watcher => sub { } );
case ( 'remove_watches of none',       ZNOWATCHER,    remove_watches => $base );
case ( 'remove_watches of a bad kind', ZBADARGUMENTS, remove_watches => $base, type => 'bad' );
case ( 'a transaction',
    ZOK, sub { $_[0]->transaction->create("$base/t")->set( "$base/t", 'v' )->delete("$base/t") } );
case ( 'a transaction that fails', ZOK, sub { $_[0]->transaction->set( $base, 'v' )->create($base) } );
case ( 'a transaction that is refused',
    ZBADARGUMENTS, sub { $_[0]->transaction->set( $base, 'v' )->create('bad') } );
case ( 'a transaction of nothing', ZOK, sub { $_[0]->transaction } );
case ( 'a multi_read',             ZOK, sub { $_[0]->multi_read->get($base)->get_children($base) } );
case ( 'a multi_read that fails',  ZOK, sub { $_[0]->multi_read->get("$base/none")->get($base) } );

# No method has been forgotten.
my @forgotten = grep { !$has{$_} } qw(commit ensure_path add_watch),
  map { $_->{name} } ZooKeeper::Commands::methods();
is "@forgotten", '', 'every command is here';

no warnings 'ZooKeeper';
for my $form ( sort keys %on ) {
    subtest $form eq '' ? 'the form that waits' : "the form $form" => sub {
        for my $case (@cases) {
            my $leaked;
            my $code = sub {
                $case->{code}->($form);
                1 while $on{$form}->dispatcher->dispatch_event;
            };
            my $fine = eval { $leaked = &leaked_count($code) for 1 .. $WARM; 1 };
            ok $fine && $leaked <= 0, $case->{name} or diag $fine ? $leaked : $@;
        }
    };
}

# And what can come over all of them.
my @nowhere = ( hosts => '127.0.0.1:1', timeout => 300_000 );
for my $form ( sort keys %on ) {
    my $loop   = $form eq 'p' ? 'Mojo' : 'Pipe';
    my $closed = handle($loop);
    $closed->close;
    my $alone = handle( $loop, @nowhere );
    my @asked = (
        [ get         => $base ],
        [ ensure_path => "$base/x/y" ],
        [ delete      => $base, recursive => 1 ],
        [ get         => $base, watcher   => sub { } ]
    );
    my %case = (
        'on a closed handle' => sub { code_of( $form, $closed, @{ $_[0] } ) == ZINVALIDSTATE },
        'without a server'   =>
          sub { code_of( $form, $alone, @{ $_[0] }, request_timeout => 0.01 ) == ZOPERATIONTIMEOUT },
    );
    if ($form) {
        my $answer;
        my $pending = sub {
            my ( $zk, $method, @args ) = @_;
            undef $answer;
            my $told = sub { $answer = $_[0]->code };    # nothing that would keep the handle
            return $zk->$method( @args, cb => $told ) if $form eq 'cb';
            my $name  = "${method}_$form";
            my $later = $zk->$name(@args);
            return $form eq 'p' ? $later->catch($told) : $later->on_fail($told);
        };
        $case{'on a handle that is closed meanwhile'} = sub {
            my $zk    = handle( $loop, @nowhere );
            my $later = $pending->( $zk, @{ $_[0] } );
            $zk->close;
            $zk->dispatcher->run_loop_once(1) while !$answer;
            return $answer == ZCLOSING;
        };
        $case{'on a handle that goes meanwhile'} = sub {
            my $zk    = handle( $loop, @nowhere );
            my $later = $pending->( $zk, @{ $_[0] } );
            undef $zk;
            $on{$form}->wait(0.01) if $form eq 'p';    # promises are settled by the loop
            return $answer == ZCLOSING;
        };
    }
    subtest "the form '$form'" => sub {
        for my $name ( sort keys %case ) {
            for my $asked (@asked) {
                my $leaked;
                my $code = sub { $case{$name}->($asked) or die "another answer\n" };
                my $fine = eval { $leaked = &leaked_count($code) for 1 .. $WARM; 1 };
                ok $fine && $leaked <= 0, "$asked->[0] $name" or diag $fine ? $leaked : $@;
            }
        }
    };
}

done_testing;

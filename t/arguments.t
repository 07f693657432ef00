use strict;
use warnings;
use Test::More;
use lib 't/lib';
use FakeZK;
use TestZK qw(deadline wait_for);

use ZooKeeper;
use ZooKeeper::Constants;

# Arguments that no server would take must be refused here, in words that name them, before anything is sent. The
# server notes whatever it is asked.
my $server = FakeZK->new(
    sub {
        my ($connection) = @_;
        $connection->handshake or return;
        $connection->serve(ZNONODE);
    }
);
my $zk = ZooKeeper->new( hosts => $server->hosts );
deadline 30, sub { $zk->wait_connected };

my $acl = ZOO_OPEN_ACL_UNSAFE;
my $cb  = sub { };

# What each method takes after the path, to be a good call.
my %rest = (
    create       => [ value   => 'v' ],
    delete       => [ version => 1 ],
    exists       => [ watcher => $cb ],
    get          => [ watcher => $cb ],
    set          => ['v'],
    get_children => [ watcher => $cb ],
    get_acl      => [],
    set_acl      => [$acl],
    ensure_path  => [],
);

# A ZooKeeper::Error with ZBADARGUMENTS, op and path, whose message names the argument.
sub refused {
    my ( $method, $args, $detail, $name ) = @_;
    my $line = __LINE__ + 1;
    ok !eval { $zk->$method(@$args); 1 }, "$method, $name: throws";
    my $error = $@;
    ok ref $error && $error == ZBADARGUMENTS, "$method, $name: bad arguments" or diag $error;
    like "$error", qr/\AError .*: bad arguments: $detail at \Q${\ __FILE__}\E line $line\.\n\z/s,
      "$method, $name: says";
    return;
}

# A plain message that begins with the method.
sub dies {
    my ( $method, $args, $message, $name ) = @_;
    my $line = __LINE__ + 1;
    ok !eval { $zk->$method(@$args); 1 }, "$method, $name: dies";
    my $error = $@;
    is ref $error, '', "$method, $name: with a plain message";
    like $error, qr/\A$method: $message at \Q${\ __FILE__}\E line $line\.\n\z/s, "$method, $name: says";
    return;
}

my @paths = (
    [ undef,     'path is undefined',             'undef' ],
    [ '',        'path is empty',                 'empty' ],
    [ 'x',       q(path must start with '/'),     'relative' ],
    [ '/x/',     q(path must not end with '/'),   'trailing slash' ],
    [ '/x//y',   'path .*',                       'empty name' ],
    [ '/x/./y',  'path .*',                       'dot' ],
    [ '/x/../y', 'path .*',                       'two dots' ],
    [ "/x\0y",   'path contains a NUL character', 'NUL' ],
    [ "/x\x01y", 'path .*',                       'control character' ],
);
for my $method ( sort keys %rest ) {
    my $op = $method eq 'ensure_path' ? 'create' : $method;
    for my $case (@paths) {
        my ( $path, $detail, $name ) = @$case;
        refused( $method, [ $path, @{ $rest{$method} } ], $detail, $name );
        is $@->op,   $op,   "$method, $name: op";
        is $@->path, $path, "$method, $name: path";
    }
    refused( $method, [], 'path is undefined', 'no argument' )
      if $method ne 'set_acl';    # there the acl comes first
    for my $ref ( [], {}, sub { }, \'x', bless( {}, 'Thing' ) ) {
        ok !eval { $zk->$method( $ref, @{ $rest{$method} } ); 1 }, "$method: a reference as path dies";
        is ref $@, '', 'with a plain message';
        like $@, qr/\A$op: path must be a string, not a reference at \Q${\ __FILE__}\E/, 'that says so';
    }
}

for my $method (qw(delete set set_acl)) {
    my @args = ( '/x', $method eq 'delete' ? () : @{ $rest{$method} } );
    for my $version ( 'abc', '1x', '', 1.5 ) {
        refused(
            $method,
            [ @args, version => $version ],
            "version '\Q$version\E' is not an integer", "'$version'"
        );
    }
    for my $version ( 2_147_483_648, -2_147_483_649, 1_000_000_000_000 ) {
        refused( $method, [ @args, version => $version ], "version \Q$version\E is out of range", $version );
    }
    for my $ref ( [], {} ) {
        ok !eval { $zk->$method( @args, version => $ref ); 1 }, "$method: a reference as version";
        like $@, qr/version/, 'is refused';
    }
}

for my $data ( [ [], 'a reference' ], [ {}, 'a hash' ], [ sub { }, 'code' ] ) {
    dies( 'set',    [ '/x', $data->[0] ],          'value must be a string, not a reference', $data->[1] );
    dies( 'create', [ '/x', value => $data->[0] ], 'value must be a string, not a reference', $data->[1] );
}
dies( 'set',      [ '/x', "\x{263a}" ],          'value contains characters above 255.*', 'wide characters' );
dies( 'create',   [ '/x', value => "\x{263a}" ], 'value contains characters above 255.*', 'wide characters' );
dies( 'add_auth', [ 'digest', "u:\x{263a}" ],    '.*characters above 255.*',              'wide characters' );

for my $bad ( 'open', {}, sub { }, ['anyone'], [ [] ], [undef] ) {
    dies( 'set_acl', [ '/x', $bad ],        'acl must be an array ref of hash refs .*', 'acl' );
    dies( 'create',  [ '/x', acl => $bad ], 'acl must be an array ref of hash refs .*', 'acl' );
}
dies( 'set_acl', [ '/x', undef ], 'acl must be an array ref of hash refs .*', 'acl' );

for my $method (qw(exists get get_children)) {
    for my $bad ( 'name', [], {}, 1 ) {
        dies( $method, [ '/x', watcher => $bad ], 'the watcher must be a code reference', 'watcher' );
    }
}
dies( 'add_auth', [ 'digest', 'u:p', watcher => 'name' ], 'the watcher must be a code reference', 'watcher' );

dies( 'set',      ['/x'],     'expected path and value',         'no value' );
dies( 'set_acl',  ['/x'],     'expected path and acl',           'no acl' );
dies( 'add_auth', ['digest'], 'expected scheme and credentials', 'no credentials' );

for my $object ( [ 'ZooKeeper', 'the class' ], [ bless( {}, 'ZooKeeper' ), 'an empty object' ] ) {
    my ( $invocant, $name ) = @$object;
    for my $method (
        ( sort keys %rest ),
        qw(state client_id is_unrecoverable is_connected close reopen server session_timeout last_zxid wait_connected),
        qw(transaction watcher create_watcher get_watchers remove_watcher ignore_session_events wait)
      )
    {
        my $says = $method eq 'ensure_path' ? 'create' : $method eq 'is_connected' ? 'state' : $method;
        ok !eval { $invocant->$method( $rest{$method} ? ( '/x', @{ $rest{$method} } ) : () ); 1 },
          "$method of $name dies";
        like $@, qr/\A$says: .*initialised.* at \Q${\ __FILE__}\E line/, 'and says why';
    }
}

is_deeply [ $zk->get_watchers ], [], 'no watcher of a refused call is kept';
is_deeply [ $server->notes ],    [], 'the server was asked nothing';
is $zk->state,                                ZOO_CONNECTED_STATE, 'the session lives';
is deadline( 30, sub { $zk->exists('/x') } ), undef,               'and works';
is_deeply [ first_note() ], ['exists /x'], 'on the same connection';

sub first_note {
    return wait_for { join "\n", $server->notes } 30, 'a note of the server';
}

done_testing;

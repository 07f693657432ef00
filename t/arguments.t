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
        my $says = $method eq 'is_connected' ? 'state' : $method;
        ok !eval { $invocant->$method( $rest{$method} ? ( '/x', @{ $rest{$method} } ) : () ); 1 },
          "$method of $name dies";
        like $@, qr/\A$says: .*initialised.* at \Q${\ __FILE__}\E line/, 'and says why';
    }
}

# Too long for a request that servers take.
my $long = 'x' x 1_100_000;
for my $case (
    ( map { [ $_ => "/$long", @{ $rest{$_} } ] } sort keys %rest ),
    [ set      => '/x',     $long ],
    [ create   => '/x',     value => $long ],
    [ set_acl  => '/x',     [ { perms => 1, scheme => 'digest', id => $long } ] ],
    [ add_auth => 'digest', $long ],
  )
{
    my ( $method, @args ) = @$case;
    ok !eval { $zk->$method(@args); 1 }, "$method: too long";
    ok ref $@ && $@ == ZBADARGUMENTS,    'is refused' or diag $@;
    like $@, qr/request of \d+ bytes is longer than jute_maxbuffer \(1048575\)/, 'and why';
}

is_deeply [ $zk->get_watchers ], [], 'no watcher of a refused call is kept';
is_deeply [ $server->notes ],    [], 'the server was asked nothing';
is $zk->state,                                ZOO_CONNECTED_STATE, 'the session lives';
is deadline( 30, sub { $zk->exists('/x') } ), undef,               'and works';
is_deeply [ first_note() ], ['exists /x'], 'on the same connection';

# Good values that are no plain scalars make the same request, byte for byte, and stay what they are.
{

    package Tied::Scalar;
    sub TIESCALAR { return bless [ $_[1] ], $_[0] }
    sub FETCH     { return $_[0][0] }
    sub STORE     { die 'written to' }

    package Overloaded;
    use overload '""' => sub { ${ $_[0] } }, fallback => 1;
}
my $whole = FakeZK->new(
    sub {
        my ($connection) = @_;
        $connection->handshake or return;
        $connection->serve( ZNONODE, whole => 1 );
    }
);
my $other = ZooKeeper->new( hosts => $whole->hosts );
deadline 30, sub { $other->wait_connected };

sub request_of {
    my ( $method, @args ) = @_;
    deadline 30, sub {
        eval { $other->$method(@args) };
    };
    return join "\n", $whole->notes;
}

# Each gets a value and a function to call with what looks like it.
my %disguise = (
    'a tied scalar'        => sub { tie my $tied, 'Tied::Scalar', $_[0]; $_[1]->($tied) },
    'an overloaded object' => sub { my $value = $_[0];    $_[1]->( bless \$value, 'Overloaded' ) },
    'a match variable'     => sub { $_[0] =~ /\A(.*)\z/s; $_[1]->($1) },
    'a part of a string'   => sub { my $string = "<$_[0]>";        $_[1]->( substr $string, 1, -1 ) },
    'a string in UTF-8'    => sub { my $value  = $_[0];            utf8::upgrade($value); $_[1]->($value) },
    'an element to be'     => sub { my %hash   = ( key => $_[0] ); $_[1]->( $hash{key} ) },
);
my @good = (
    (
        map {
            my $method = $_;
            [ $method, "/p\xe9", sub { ( $_[0], @{ $rest{$method} } ) } ]
        } sort keys %rest
    ),
    [ set    => "d\xe9", sub { ( '/x', $_[0] ) } ],
    [ create => "d\xe9", sub { ( '/x', value => $_[0] ) } ],
    (
        map {
            my @needs = $_ eq 'set' ? 'v' : ();
            [ $_ => 7, sub { ( '/x', @needs, version => $_[0] ) } ]
        } qw(delete set)
    ),
    [ set_acl => 7, sub { ( '/x', $acl, version => $_[0] ) } ],
    map {
        my $key = $_;
        my $sub = sub { ( '/x', [ { perms => 31, scheme => 'world', id => 'anyone', $key => $_[0] } ] ) };
        [ set_acl => $key eq 'perms' ? 5 : 'digest', $sub ]
    } qw(perms scheme id)
);
for my $case (@good) {
    my ( $method, $value, $args ) = @$case;
    my $plain = request_of( $method, $args->($value) );
    like $plain, qr/\A\w+ [0-9a-f]+\z/, "$method with a plain $value" =~ s/\xe9/e/r;
    for my $name ( sort keys %disguise ) {
        $disguise{$name}->( $value, sub { is request_of( $method, $args->( $_[0] ) ), $plain, "... $name" } );
    }
}
{
    my $entry = { perms => 31, scheme => 'world', id => 'anyone' };
    require Tie::Hash;
    require Tie::Array;
    tie my %tied, 'Tie::StdHash';
    %tied = %$entry;
    tie my @tied, 'Tie::StdArray';
    @tied = ( \%tied );
    is request_of( set_acl => '/x', \@tied ), request_of( set_acl => '/x', [$entry] ), 'a tied access list';
}
for my $bad ( [ undef, 'path is undefined' ], [ '', 'path is empty' ], [ 'x', q(path must start with '/') ] )
{
    my ( $value, $detail ) = @$bad;
    tie my $tied, 'Tied::Scalar', $value;
    for my $path ( $tied, defined $value ? bless( \( my $copy = $value ), 'Overloaded' ) : () ) {
        ok !eval { $other->get($path); 1 }, "$detail, in disguise";
        like $@, qr/bad arguments: \Q$detail\E at/, 'says the same';
    }
}

sub first_note {
    return wait_for { join "\n", $server->notes } 30, 'a note of the server';
}

done_testing;

use strict;
use warnings;

use Test::More;
use ZooKeeper::Error;
use ZooKeeper::XS;

# How Rust reads Perl's scalars. Nobody listens where this handle connects to: what is refused is refused before
# anything is sent.
my $zk = bless {}, 'ZooKeeper';
$zk->_connect( { hosts => '127.0.0.1:1', timeout => 50, channel => ZooKeeper::Channel->new } );

# Connection loss; or, where the processor was elsewhere for as long, operation timeout.
my $NOT_CONNECTED = qr/\A-[47]\z/;

my @acl = { id => 'anyone', scheme => 'world', perms => 31 };

subtest 'paths' => sub {
    my @paths = (
        [ undef,          'path is undefined' ],
        [ '',             'path is empty' ],
        [ 'x',            q(path must start with '/') ],
        [ '/x/',          q(path must not end with '/') ],
        [ "/x\0y",        'path contains a NUL character' ],
        [ 42,             q(path must start with '/') ],
        [ *STDOUT,        q(path must start with '/') ],
        [ Text->new('x'), q(path must start with '/') ],
    );
    for my $case (@paths) {
        my ( $path, $words ) = @$case;
        bad( 'get',     [$path],                  $words );
        bad( 'create',  [ $path, 'v', \@acl, 0 ], $words );
        bad( 'set_acl', [ $path, \@acl, -1 ],     $words );
    }
    bad( 'get', [], 'path is undefined' );
    plain( 'get', [$_], 'path must be a string, not a reference' )
      for \1, [], {}, sub { }, qr/x/, \*STDOUT, bless( {}, 'Mute' );
    is eval { $zk->_get('relative'); 1 },        undef,             'a bad one';
    is $@->path,                                 'relative',        'the error has the path';
    is eval { $zk->_get("r\x{e9}\x{263a}"); 1 }, undef,             'one with characters above 255';
    is $@->path,                                 "r\x{e9}\x{263a}", 'is in the error as it was given';
};

subtest 'numbers' => sub {
    bad( 'delete', [ '/x', $_->[0] ], $_->[1] )
      for (
        [ 'abc',             q(version 'abc' is not an integer) ],
        [ '',                q(version '' is not an integer) ],
        [ '1x',              q(version '1x' is not an integer) ],
        [ '0x10',            q(version '0x10' is not an integer) ],
        [ 1.5,               q(version '1.5' is not an integer) ],
        [ '1.5',             q(version '1.5' is not an integer) ],
        [ 9**9**9,           q(version 'Inf' is not an integer) ],
        [ 3e9,               'version 3000000000 is out of range' ],
        [ -3e9,              'version -3000000000 is out of range' ],
        [ '9' x 30,          'version ' . 9 x 30 . ' is out of range' ],
        [ ~0,                "version ${\~0} is out of range" ],
        [ *STDOUT,           q(version '*main::STDOUT' is not an integer) ],
        [ Text->new('five'), q(version 'five' is not an integer) ],
      );
    bad( 'delete', [ '/x', [] ],            qr/\Aversion 'ARRAY\(0x\w+\)' is not an integer\z/ );
    bad( 'delete', [ '/x', 'long' x 100 ],  qr/\Aversion '(?:long){15}\.\.\.' is not an integer\z/ );
    bad( 'get',    [ '/x', 'me' ],          q(watcher 'me' is no number) );
    bad( 'create', [ '/x', '', \@acl, 8 ],  'flags 8 are not known' );
    bad( 'create', [ '/x', '', \@acl, $_ ], 'container goes with neither ephemeral nor sequential' )
      for 5 .. 7;
    bad( 'create', [ '/x', '', \@acl, -1 ],  'flags -1 are not known' );
    bad( 'create', [ '/x', '', \@acl, 'e' ], q(flags 'e' is not an integer) );
    accepted( 'delete', '/x', $_ )
      for undef, 0, -1, 7, 7.0, '7', '+7', ' 7', "7\n", 2**31 - 1, -2**31, !1, !0, Text->new('7');
};

subtest 'data' => sub {
    plain( $_->[0], $_->[1], 'value must be a string, not a reference' )
      for [ 'set', [ '/x', [] ] ], [ 'create', [ '/x', {}, \@acl, 0 ] ],
      [ 'set', [ '/x', bless {}, 'Mute' ] ];
    plain( 'set', [ '/x', "\x{100}" ], 'value contains characters above 255; encode it first' );
    accepted( 'set', '/x', $_ )
      for undef, '', "\0", "\xff", latin1_as_utf8("\xe9"), 42, 1.5, Text->new('x'), *STDOUT;
};

subtest 'access lists' => sub {
    my $wrong = 'acl must be an array ref of hash refs {id, scheme, perms}';
    for my $acl ( undef, 1, 'x', {}, sub { }, [1], [ [] ], [undef], [ {} ], [ @acl, {} ] ) {
        plain( 'create', [ '/x', '', $acl, 0 ], $wrong );
        plain( 'set_acl', [ '/x', $acl ], $wrong );
    }
    for my $key (qw(id scheme perms)) {
        my %entry = %{ $acl[0] };
        delete $entry{$key};
        plain( 'create', [ '/x', '', [ \%entry ], 0 ], $wrong );
        plain( 'create', [ '/x', '', [ { %entry, $key => undef } ], 0 ], $wrong );
    }
    plain( 'create', [ '/x', '', [ { id => [], scheme => 'x', perms => 1 } ], 0 ], $wrong );
    bad( 'create', [ '/x', '', [ { %{ $acl[0] }, perms => 'all' } ], 0 ], q(perms 'all' is not an integer) );
    ok !eval { $zk->_create( '/x', '', [], 0 ); 1 }, 'an empty one';
    is $@->code, -114, 'is what the server would call an invalid one';
    is $@->path, '/x', 'with the path';
};

subtest 'transactions' => sub {
    plain( 'commit', [$_],                           'operations must be an array ref' ) for undef, 1, {};
    plain( 'commit', [ [1] ],                        'operation 1 must be an array ref' );
    plain( 'commit', [ [ [ 'delete', '/x' ], [] ] ], 'operation 2 has no known name: undef' );
    plain( 'commit', [ [ ['Delete'] ] ],             'operation 1 has no known name: Delete' );
    plain(
        'commit',
        [ [ [ 'set', '/x', "\x{100}" ] ] ],
        'operation 1 (set): value contains characters above 255; encode it first'
    );
    bad(
        'commit',
        [ [ [ 'delete', '/x' ], [ 'check', 'y', 0 ] ] ],
        q(operation 2 (check): path must start with '/')
    );
    bad( 'commit', [ [ [ 'check', '/x' ] ] ], 'operation 1 (check): version is undefined' );
    bad( 'commit', [ [ ['delete'] ] ],        'operation 1 (delete): path is undefined' );
    is $@->path, undef, 'no path';
    bad( 'commit', [ [ [ 'delete', '/x', 'v' ] ] ], q(operation 1 (delete): version 'v' is not an integer) );
    is $@->path, '/x', 'the path of the operation';
    bad(
        'commit',
        [ [ [ 'create', '/y', '', [ { %{ $acl[0] }, perms => 'p' } ], 0 ] ] ],
        q(operation 1 (create): perms 'p' is not an integer)
    );
    is $@->path, '/y', 'the path of the operation';
};

subtest 'magic is got once, and before anything is looked at' => sub {
    my %fetched;
    tie my $path,    'Counted', \$fetched{path},    '/x';
    tie my $data,    'Counted', \$fetched{data},    'x';
    tie my $version, 'Counted', \$fetched{version}, -1;
    accepted( 'set', $path, $data, $version );
    is_deeply \%fetched, { path => 1, data => 1, version => 1 }, 'one FETCH each';

    '/match' =~ /(.*)/;
    accepted( 'get', $1 );
    my %hash;
    bad( 'get', [ $hash{missing} ], 'path is undefined' );
    ok !exists $hash{missing}, 'and nothing comes into being';
    accepted( 'get', substr '//', 1 );

    tie my @list, 'Counted::Array', [ map { tie my %entry, 'Counted::Hash', $_; \%entry } @acl, @acl ];
    accepted( 'create', '/x', '', \@list, 0 );
    tie my @bad, 'Counted::Array', [1];
    plain( 'create', [ '/x', '', \@bad, 0 ], 'acl must be an array ref of hash refs {id, scheme, perms}' );
    tie my @ops, 'Counted::Array', [ [ 'delete', '/x' ], [ 'delete', $path ] ];
    accepted( 'multi', \@ops );
};

subtest 'what an argument runs may do anything to the others' => sub {
    my @args = ( '/path', 'value' x 100, undef );
    $args[2] = Act->new(
        sub {
            @args = ();
            my @fill = map { 'f' x $_ } 1 .. 500;
            '7';
        }
    );
    ok !eval { &{ ZooKeeper->can('_set') }( $zk, @args ); 1 }, 'arguments that are freed';
    like $@->code, $NOT_CONNECTED, 'are used as they were';

    my $path = '/first';
    ok !eval {
        $zk->_set( $path, Act->new( sub { $path = 'second' x 100 } ), -1 );
        1;
    }, 'one that is changed';
    like $@, qr/must start with/, 'is used as it is afterwards, for it is the same scalar';

    my @list = map {
        { %{ $acl[0] } }
    } 1 .. 3;
    $list[0]{id} = Act->new( sub { @list = (); 'anyone' } );
    ok !eval { $zk->_create( '/x', '', \@list, 0 ); 1 }, 'an access list that is emptied while it is read';
    like $@, qr/acl must be an array ref of hash refs/, 'is found incomplete';
    my %entry = %{ $acl[0] };
    $entry{scheme} = Act->new( sub { %entry = (); 'world' } );
    ok !eval { $zk->_create( '/x', '', [ \%entry ], 0 ); 1 }, 'an entry likewise';
    like $@, qr/acl must be an array ref of hash refs/, 'likewise';

    my @ops;
    @ops = ( [ 'delete', '/a' ], [ 'delete', Act->new( sub { @ops = (); '/b' } ) ], [ 'delete', '/c' ] );
    plain( 'commit', [ \@ops ], 'operation 3 must be an array ref' );
    my $op;
    $op = [ 'set', '/a', Act->new( sub { @$op = (); '/b' } ), -1 ];
    accepted( 'multi', [$op] );

    for my $code ( sub { die "in string\n" }, sub { no warnings; last } ) {
        for ( 1 .. 2 ) {
            eval { $zk->_set( '/x', 'v', Act->new($code) ); 1 };
        }
    }
    accepted( 'get', '/still/there' );
};

subtest 'a switch that runs something is asked before the others are looked at' => sub {
    for my $path ( map { "/$_" x 300 } 1, 2 ) {
        my @args;
        my $act = sub { $args[0] = 'changed'; $args[0] .= 'x' x 1_000; 1 };
        @args = ( $path . '', undef, undef, $path =~ /1/ ? Switch->new($act) : Other->new($act) );
        ok !eval { $zk->_remove_watches(@args); 1 }, 'refused';
        like $@->path, qr/\Achangedx+\z/, 'for what the path is then';
    }
};

subtest 'scalars of the caller stay as they are' => sub {
    my $utf8   = latin1_as_utf8("/caf\xe9");
    my $data   = latin1_as_utf8("\xe9");
    my $number = 42;
    accepted( 'set', $utf8, $data,   -1 );
    accepted( 'set', '/x',  $number, $number );
    ok utf8::is_utf8($utf8), 'the path is stored as before';
    ok utf8::is_utf8($data), 'the data too';
    require B;
    ok !( B::svref_2object( \$number )->FLAGS & B::SVf_POK() ), 'a number has not become a string';
};

subtest 'no warnings, no leaks' => sub {
    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, @_ };
    my $use = sub {
        for my $args (
            ['x'], [undef], [ \1 ],
            [ '/x', 'abc' ],
            [ '/x', undef,     [ {} ] ],
            [ '/x', "\x{100}", \@acl, '' ]
          )
        {
            for my $sub (qw(_get _set _create _delete _set_acl _get_children)) {
                eval { $zk->$sub(@$args) } if "@{[map { $_ // '' } @$args]}" ne '/x abc' || $sub eq '_delete';
            }
        }
        eval { $zk->_multi( [ [ 'delete', Text->new('/x') ], [ 'create', '/x', '', \@acl, 'x' ] ] ) };
        eval {
            $zk->_get( Act->new( sub { die "no\n" } ) );
        };
        return;
    };
    $use->();
    is "@warnings", '', 'no warnings';
    plan skip_all => 'Test::LeakTrace is not installed' if !eval { require Test::LeakTrace; 1 };
    is Test::LeakTrace::leaked_count($use), 0, 'nothing leaks';
};

done_testing;

# The call is refused as a bad argument, with these words.
sub bad {
    my ( $method, $args, $words ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $sub   = $method eq 'commit' ? '_multi' : "_$method";
    my $ok    = eval { $zk->$sub(@$args); 1 };
    my $error = $@;
    if ( $ok || !ref $error || $error->code != -8 ) {
        return fail( "$method: " . ( $ok ? 'no error' : $error ) );
    }
    my ($detail) = "$error" =~ /: bad arguments: (.*) at /s;
    ref $words ? like( $detail, $words, $method ) : is( $detail, $words, $method );
    $@ = $error;
    return;
}

# The call is refused in plain words.
sub plain {
    my ( $method, $args, $words ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $sub = $method eq 'commit' ? '_multi' : "_$method";
    eval { $zk->$sub(@$args); 1 } and return fail("$method: no error");
    return ref $@ ? fail("$method: $@") : like( $@, qr/\A\Q$method: $words at \E/, $words );
}

# The arguments are fine: it is the connection that is missing.
sub accepted {
    my ( $method, @args ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $sub = "_$method";
    my $ok  = eval { $zk->$sub(@args); 1 };
    like $ok ? 'no error' : ref $@ ? $@->code : $@, $NOT_CONNECTED, "$method accepts its arguments";
}

sub latin1_as_utf8 {
    my ($string) = @_;
    utf8::upgrade($string);
    return $string;
}

package Text;
use overload '""' => sub { ${ $_[0] } }, fallback => 1;
sub new { my ( $class, $text ) = @_; return bless \$text, $class }

package Act;
use overload '""' => sub { $_[0]{code}->() }, fallback => 1;
sub new { my ( $class, $code ) = @_; return bless { code => $code }, $class }

package Mute;

package Switch;
use overload bool => sub { $_[0][0]->() };
sub new { my ( $class, $code ) = @_; return bless [$code], $class }

package Other;
use overload nomethod => sub { $_[0]->() };
sub new { my ( $class, $code ) = @_; return bless $code, $class }
use overload '==' => sub { 1 };

package Counted;

sub TIESCALAR {
    my ( $class, $count, $value ) = @_;
    return bless { count => $count, value => $value }, $class;
}
sub FETCH { my ($self) = @_; ${ $self->{count} }++; return $self->{value} }

package Counted::Array;
use Tie::Array;
BEGIN { our @ISA = 'Tie::StdArray' }
sub TIEARRAY { my ( $class, $list ) = @_; return bless [@$list], $class }

package Counted::Hash;
use Tie::Hash;
BEGIN { our @ISA = 'Tie::StdHash' }
sub TIEHASH { my ( $class, $hash ) = @_; return bless {%$hash}, $class }

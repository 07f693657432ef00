# What the option sasl takes. No server is needed.
use strict;
use warnings;
use Test::More;

use ZooKeeper;
use ZooKeeper::Constants;

my @args  = ( hosts     => '127.0.0.1:1', dispatcher => 'Pipe' );
my %login = ( mechanism => 'DIGEST-MD5',  username   => 'bob', password => 'se same' );

sub died {
    my (@more) = @_;
    return eval { ZooKeeper->new( @args, @more ); 1 } ? 'lived' : $@;
}

my $zk = ZooKeeper->new( @args, sasl => {%login} );
is_deeply $zk->sasl, \%login, 'the accessor';
is( ZooKeeper->new(@args)->sasl, undef, 'none by default' );
is died( sasl => undef ), 'lived', 'undef is none';
is died( sasl => $_ ), 'lived', "'$_', too" for 0, '';
ok !eval { $zk->sasl( {%login} ); 1 }, 'the accessor sets nothing';

subtest 'what no server would take is a bad argument at once' => sub {
    my %reason = (
        'mechanism is missing'                                         => { mechanism => undef },
        'username is missing'                                          => { username  => undef },
        'password is missing'                                          => { password  => undef },
        'username is empty'                                            => { username  => '' },
        q(mechanism 'GSSAPI' is not supported, only DIGEST-MD5 is)     => { mechanism => 'GSSAPI' },
        q(mechanism 'PLAIN' is not supported, only DIGEST-MD5 is)      => { mechanism => 'PLAIN' },
        q(mechanism 'digest-md5' is not supported, only DIGEST-MD5 is) => { mechanism => 'digest-md5' },
        q(mechanism '' is not supported, only DIGEST-MD5 is)           => { mechanism => '' },
        'username holds what is no Unicode character'                  => { username  => "\x{d800}" },
        'password holds what is no Unicode character'                  => { password  => chr 0x110000 },
    );
    for my $reason ( sort keys %reason ) {
        no warnings qw(surrogate non_unicode);
        my $error = died( sasl => { %login, %{ $reason{$reason} } } );
        isa_ok $error, 'ZooKeeper::Error', $reason;
        is $error->code, ZBADARGUMENTS, 'code';
        my $file = quotemeta __FILE__;
        like $error->message,
qr/\AError initializing ZooKeeper handle for '127.0.0.1:1': bad arguments: sasl: \Q$reason\E at $file line /,
          'message';
        unlike "$error", qr/se same/, 'without the password';
    }
    like died( sasl => { mechanism => 'GSSAPI' } ), qr/'GSSAPI' is not supported/, 'the mechanism goes first';
    for my $key ( sort keys %login ) {
        my %less = %login;
        delete $less{$key};
        like died( sasl => \%less ), qr/bad arguments: sasl: $key is missing/, "without $key";
    }
};

subtest 'wrong types die with a plain message' => sub {
    for my $wrong ( 'DIGEST-MD5', [%login], sub { }, \'x', 1 ) {
        my $error = died( sasl => $wrong );
        is ref $error, '', 'plain';
        like $error, qr/\Anew: sasl must be a hash ref \{mechanism, username, password\} at /, 'message';
    }
    for my $key ( sort keys %login ) {
        my $error = died( sasl => { %login, $key => ['se same'] } );
        is ref $error, '', "$key: plain";
        like $error,   qr/\Anew: sasl: $key must be a string at /, 'message';
        unlike $error, qr/se same/,                                'without the password';
    }
};

subtest 'what is no key has no effect, and a warning' => sub {
    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, @_ };
    is died( sasl => { %login, realm => 'x' } ), 'lived', 'taken';
    is @warnings,                                1,       'one warning';
    like $warnings[0], qr/\Anew: unknown argument 'realm' of sasl has no effect at /, 'message';
};

subtest 'values that are not plain strings' => sub {
    {

        package Secret;
        use overload '""' => sub { ${ $_[0] } }, fallback => 1;
        sub new { my ( $class, $text ) = @_; return bless \$text, $class }
    }
    my $handle = ZooKeeper->new( @args, sasl => { %login, password => Secret->new('se same') } );
    is $handle->sasl->{password}, 'se same', 'an object that is a string';
    "bob" =~ /(.*)/;
    is( ZooKeeper->new( @args, sasl => { %login, username => $1 } )->sasl->{username}, 'bob',
        'what matched' );
    my %mine = %login;
    $handle = ZooKeeper->new( @args, sasl => \%mine );
    $mine{password} = 'changed';
    is $handle->sasl->{password}, 'se same', 'the hash is copied';
    is( ZooKeeper->new( @args, sasl => { %login, username => 17 } )->sasl->{username}, '17', 'a number' );
};

subtest 'a subclass with a login of its own' => sub {
    {

        package Mine;
        use Moo;
        extends 'ZooKeeper';
        has '+sasl' => ( default => sub { { mechanism => 'GSSAPI' } } );
    }
    like eval { Mine->new(@args); 1 } ? 'lived' : $@, qr/mechanism 'GSSAPI' is not supported/,
      'is checked, too';
};

subtest 'reopen' => sub {
    my $handle = ZooKeeper->new(@args);
    ok eval { $handle->reopen( sasl => {%login} ); 1 }, 'takes it' or diag $@;
    is_deeply $handle->sasl, \%login, 'and keeps it';
    $handle->reopen;
    is_deeply $handle->sasl, \%login, 'for good';
    my $error = eval { $handle->reopen( sasl => [] ); 1 } ? 'lived' : $@;
    like $error, qr/\Areopen: sasl must be a hash ref/, 'names itself';
    is_deeply $handle->sasl, \%login, 'and leaves what was';
};

done_testing;

use strict;
use warnings;
use Test::More;
use lib 't/lib';
use DropIn;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

# ZooKeeper::Error, its messages, and what bad arguments come to. Which code comes when: drop-in-codes.t.
my $zk   = ZooKeeper->new( hosts => test_hosts(), dispatcher => 'Pipe' );
my $base = fresh_path('errors');
$zk->create( $base, value => 'v' );
my $none = "$base/none";
my $acl  = ZOO_OPEN_ACL_UNSAFE;

subtest 'ZooKeeper::Error: does Throwable' => sub {
    my $error = thrown { $zk->get($none) };
    isa_ok $error, 'ZooKeeper::Error';
    ok $error->does('Throwable'), 'does';
    is thrown { $error->throw }, $error, 'throw of an object throws it again';
};

subtest 'ZooKeeper::Error: code (number), error (zerror text), message; all ro' => sub {
    my $line  = __LINE__ + 1;
    my $error = thrown { $zk->get($none) };
    is json( $error->code ), '-101',    'code is a number';
    is $error->error,        'no node', 'error';
    is $error->message, "Error getting data for node '$none': no node at ${\ __FILE__} line $line.\n",
      'message';
    ok thrown { $error->$_(1) }, "$_ can't be set" for qw(code error message);
};

subtest 'ZooKeeper::Error: numifies to the code' => sub {
    my $error = thrown { $zk->get($none) };
    ok $error == ZNONODE,     '==';
    ok ZNONODE == $error,     '== the other way round';
    ok $error != ZNODEEXISTS, '!=';
    ok $error < 0,            '<';
    is $error <=> ZNODEEXISTS,  1,    '<=>';
    is $error + 0,              -101, '+';
    is sprintf( '%d', $error ), -101, 'sprintf';
    my %table = ( ZNONODE, 'found' );
    is $table{ 0 + $error }, 'found', 'key of a dispatch table';
    ok $error == thrown { $zk->get($none) }, 'two of a code are equal';
};

subtest 'ZooKeeper::Error: stringifies to the message' => sub {
    my $error = thrown { $zk->get($none) };
    is "$error", $error->message, '"$_"';
    ok $error eq $error->message, 'eq';
    like $error, qr/no node/, 'a pattern';
    is length $error,                length $error->message,     'length';
    is join( '', 'died: ', $error ), 'died: ' . $error->message, 'join and .';
    ok !!$error,                               'it is true';
    ok !!ZooKeeper::Error->new( code => ZOK ), 'even with code 0';
};

subtest '$_ == ZNONODE and "$_" both work' => sub {
    for ( thrown { $zk->get($none) } ) {
        ok $_ == ZNONODE, 'number';
        like "$_", qr/\AError getting data for node '\Q$none\E': no node at /, 'string';
    }
    if ( !eval { $zk->create($base); 1 } ) {
        ok $@ == ZNODEEXISTS,  '$@ == ...';
        ok !( $@ == ZNONODE ), 'and no other';
        like $@, qr/node exists at/, '$@ in a pattern';
    }
};

subtest 'ZooKeeper::Error->throw({code => ..., message => ...}), the same as a plain list' => sub {
    for
      my $args ( [ { code => ZNOAUTH, message => 'no entry' } ], [ code => ZNOAUTH, message => 'no entry' ] )
    {
        my $error = thrown { ZooKeeper::Error->throw(@$args) };
        isa_ok $error, 'ZooKeeper::Error';
        is $error->code,    ZNOAUTH,             'code';
        is $error->message, 'no entry',          'message';
        is $error->error,   'not authenticated', 'error defaults from the code';
        is( ZooKeeper::Error->new(@$args)->message, 'no entry', 'new makes one as well' );
    }
};

subtest 'error and message default from the code' => sub {
    my $error = thrown { ZooKeeper::Error->throw( code => ZBADVERSION ) };
    is $error->error,   'bad version', 'error';
    is $error->message, 'bad version', 'message';
    is thrown { ZooKeeper::Error->throw( code => ZNONODE, error => 'mine' ) }->error, 'mine',
      'error as given';
    like thrown { ZooKeeper::Error->throw( message => 'x' ) }, qr/code/, 'a code is required';
};

subtest 'previous_exception: what $@ was' => sub {
    my %failing = (
        get     => sub { $zk->get($none) },
        watcher => sub {
            $zk->get( $none, watcher => sub { } );
        },
        create      => sub { $zk->create('bad') },
        ensure_path => sub { $zk->ensure_path('bad') },
        commit      => sub { $zk->transaction->delete('bad')->commit },
        new         => sub { ZooKeeper->new( hosts => '' ) },
        throw       => sub { ZooKeeper::Error->throw( code => ZOK ) },
    );
    for my $name ( sort keys %failing ) {
        my $error = thrown {
            eval { die "the first\n" };
            $failing{$name}->();
        };
        is $error->previous_exception, "the first\n", $name;
    }
    ok !thrown { $zk->get($none) }->previous_exception, 'nothing';
};

subtest 'calls that work leave $@ alone' => sub {
    local $@ = 'mine';
    $zk->get( $base, watcher => sub { } );
    $zk->ensure_path("$base/a/b");
    $zk->transaction->set( $base => 'v' )->commit;
    $zk->exists($none);
    ZooKeeper->new( hosts => $zk->hosts )->close;
    is $@, 'mine', '$@';
    $zk->remove_watcher($_) for $zk->get_watchers;
};

subtest 'messages: the words of each method' => sub {
    my $below = "$base/no/such/parent";
    my %say   = (
        create       => [ "creating node '$below'",            sub { $zk->create($below) } ],
        delete       => [ "deleting node '$none'",             sub { $zk->delete($none) } ],
        get_children => [ "getting children for node '$none'", sub { $zk->get_children($none) } ],
        get          => [ "getting data for node '$none'",     sub { $zk->get($none) } ],
        set          => [ "setting data for node '$none'",     sub { $zk->set( $none => 'v' ) } ],
        get_acl      => [ "getting acl for node '$none'",      sub { $zk->get_acl($none) } ],
        set_acl      => [ "setting acl for node '$none'",      sub { $zk->set_acl( $none => $acl ) } ],
    );
    for my $method ( sort keys %say ) {
        my ( $doing, $code ) = @{ $say{$method} };
        like thrown { $code->() }, qr/\AError \Q$doing\E: no node at \Q${\ __FILE__}\E line \d+\.\n\z/,
          $method;
    }
    my $line  = __LINE__ + 1;
    my $error = thrown { $zk->create($base) };
    is_error( $error, ZNODEEXISTS, "Error creating node '$base': node exists", $line, 'the example' );

    my $closed = ZooKeeper->new( hosts => '127.0.0.1:1' );
    $closed->close;
    my %closed = (
        q(checking existence of node '/x') => sub { $closed->exists('/x') },
        'trying to authenticate'           => sub { $closed->add_auth( 'digest', 'a:b' ) },
        'committing transaction'           => sub { $closed->transaction->delete('/x')->commit },
    );
    for my $doing ( sort keys %closed ) {
        like thrown { $closed{$doing}->() },
          qr/\AError \Q$doing\E: invalid zhandle state at \Q${\ __FILE__}\E line \d+\.\n\z/, $doing;
    }
    $line  = __LINE__ + 1;
    $error = thrown { ZooKeeper->new( hosts => '' ) };
    is_error( $error, ZBADARGUMENTS,
        q(Error initializing ZooKeeper handle for '': bad arguments: hosts is empty),
        $line, 'new' );
};

{

    package Holder;
    use Moo;
    has zk   => ( is => 'ro', handles => [qw(get create exists)] );
    has lazy => ( is => 'lazy' );
    sub _build_lazy  { return ZooKeeper->new( hosts => 'localhost:0' ) }    # its line is asked for below
    sub line_of_lazy { return __LINE__ - 1 }

    package Kind;
    use Moo;
    extends 'ZooKeeper';
    after get => sub { };
    before create => sub { };
}

subtest q(messages: FILE and line are those of the user's call, as die would add them) => sub {
    my $kind   = Kind->new( hosts => $zk->hosts );
    my $holder = Holder->new( zk => $zk );
    my $get    = $zk->can('get');
    my %call   = (
        'a method'       => sub { $zk->get($none) },
        'with a watcher' => sub {
            $zk->get( $none, watcher => sub { } );
        },
        'as a function'  => sub { ZooKeeper::get( $zk, $none ) },
        'by a reference' => sub { $zk->$get($none) },
        'in map'         => sub {
            map { $zk->get($_) } $none;
        },
        'ensure_path'            => sub { $zk->ensure_path('bad') },
        'commit'                 => sub { $zk->transaction->delete('bad')->commit },
        'of a subclass'          => sub { $kind->exists('bad') },
        'behind modifiers'       => sub { $kind->get($none) },
        'new of a subclass'      => sub { Kind->new( hosts => ':0' ) },
        'handles of a Moo class' => sub { $holder->get($none) },
    );
    require B;
    for my $name ( sort keys %call ) {
        my $line = B::svref_2object( $call{$name} )->START->line;
        like thrown { $call{$name}->() }, qr/ at \Q${\ __FILE__}\E line $line\.\n\z/, $name;
    }
    my $elsewhere = qq(#line 77 "elsewhere.pl"\n\$zk->get(\$none););
    like thrown { eval $elsewhere; die $@ if $@ }, qr/ at elsewhere\.pl line 77\.\n\z/,
      'in a string that is evaluated';
    like thrown { $holder->lazy }, qr/ line ${\ Holder->line_of_lazy }\.\n\z/,
      'a lazy attribute of a Moo class';

    my @died;
    local $SIG{__DIE__} = sub { push @died, @_ };
    my $error = thrown {
        $zk->get( $none, watcher => sub { } )
    };
    is_deeply \@died, [$error], '$SIG{__DIE__} hears of it once';
};

subtest 'bad arguments throw at the call: a path that no server would take' => sub {
    my %path = (
        'undef'        => undef,
        'empty'        => '',
        'relative'     => 'x',
        'slash at end' => '/x/',
        'empty name'   => '/x//y',
        'dot'          => '/x/.',
        'dots'         => '/x/../y',
        'NUL'          => "/x\0",
    );
    my %call = (
        create       => sub { $zk->create(@_) },
        delete       => sub { $zk->delete(@_) },
        exists       => sub { $zk->exists(@_) },
        get          => sub { $zk->get(@_) },
        set          => sub { $zk->set( $_[0] => 'v' ) },
        get_children => sub { $zk->get_children(@_) },
        get_acl      => sub { $zk->get_acl(@_) },
        set_acl      => sub { $zk->set_acl( $_[0] => $acl ) },
        ensure_path  => sub { $zk->ensure_path(@_) },
    );
    for my $method ( sort keys %call ) {
        for my $name ( sort keys %path ) {
            my $error = thrown { $call{$method}->( $path{$name} ) };
            ok ref $error && $error->isa('ZooKeeper::Error') && $error == ZBADARGUMENTS, "$method: $name"
              or diag $error;
            like $error, qr/'\Q${\ ( $path{$name} \/\/ '' )}\E': bad arguments: path /,
              "$method: $name, message";
        }
    }
};

subtest 'bad arguments throw at the call: a number that no server would take' => sub {
    my %call = (
        delete  => sub { $zk->delete( $base, version => $_[0] ) },
        set     => sub { $zk->set( $base, 'v', version => $_[0] ) },
        set_acl => sub { $zk->set_acl( $base, $acl, version => $_[0] ) },
        perms   => sub { $zk->create( $none, acl => [ { ZOO_ANYONE_ID_UNSAFE, perms => $_[0] } ] ) },
        timeout => sub { ZooKeeper->new( hosts => 'localhost', timeout => $_[0] ) },
    );
    for my $name ( sort keys %call ) {
        for my $number ( 'abc', '', '1x', 2**31, -2**31 - 1 ) {
            my $error = thrown { $call{$name}->($number) };
            ok ref $error && $error == ZBADARGUMENTS, "$name '$number'" or diag $error;
        }
    }
    is $zk->exists($base)->{aversion}, 0, 'nothing was done';
};

subtest 'wrong Perl types die with a plain message that says what was expected' => sub {
    my %acl_call = (
        create  => sub { $zk->create( $none, acl => $_[0] ) },
        set_acl => sub { $zk->set_acl( $base, $_[0] ) },
        new     => sub { ZooKeeper->new( hosts => 'localhost', default_acl => $_[0] ) },
    );
    for my $method ( sort keys %acl_call ) {
        for my $bad ( 'open', {}, [1], [ [] ], sub { } ) {
            my $error = thrown { $acl_call{$method}->($bad) };
            is ref $error, '', "$method: an ACL that is no array ref of hash refs";
            like $error, qr/\A$method: .*must be an array ref of hash refs \{id, scheme, perms\} at /,
              'message';
        }
    }
    for my $op ( 'create', {}, undef ) {
        my $error = thrown { ZooKeeper::Transaction->new( handle => $zk, ops => [$op] )->commit };
        is ref $error, '', 'an op that is no array ref';
        like $error, qr/\Acommit: operation 1 must be an array ref at /, 'message';
    }
    my %args = ( set => [ '/x', 'v' ], set_acl => [ '/x', $acl ], add_auth => [ 'digest', 'a:b' ] );
    for my $method (
        qw(create delete exists get set get_children get_acl set_acl add_auth ensure_path transaction
        state client_id is_unrecoverable close reopen wait create_watcher get_watchers remove_watcher)
      )
    {
        my $error = thrown { bless( {}, 'ZooKeeper' )->$method( @{ $args{$method} // ['/x'] } ) };
        is ref $error, '', "$method on an uninitialised object";
        like $error, qr/\A\w+: not an initialised ZooKeeper object at \Q${\ __FILE__}\E line/, 'message';
    }
    for my $case (
        [ 'a reference as path' => sub { $zk->get( [] ) } ],
        [ 'no value'            => sub { $zk->set('/x') } ],
        [ 'no acl'              => sub { $zk->set_acl('/x') } ],
        [ 'no credentials'      => sub { $zk->add_auth('digest') } ],
        [ 'a watcher by name'   => sub { $zk->exists( '/x', watcher => 'main::cb' ) } ],
        [ 'a watcher by name'   => sub { ZooKeeper->new( hosts => 'localhost', watcher => 'main::cb' ) } ],
      )
    {
        my ( $name, $code ) = @$case;
        my $error = thrown { $code->() };
        is ref $error, '', $name;
        like $error, qr/\A\w+: .*(?:must be|expected) .* at \Q${\ __FILE__}\E line \d+\.\n\z/,
          "$name: message";
    }
    is_deeply [ $zk->get_watchers ], [], 'no watcher of a refused call is kept';
};

done_testing;

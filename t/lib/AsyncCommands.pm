package AsyncCommands;
use strict;
use warnings;

use Exporter 'import';
use Scalar::Util qw(blessed);
use Test::More;
use TestZK;
use ZooKeeper::Constants;

our @EXPORT    = qw(async_commands);
our @EXPORT_OK = qw(answer fails_as forms);

# Every command in all its forms: what it returns, how it fails.
sub async_commands {
    my ($stage) = @_;
    my $zk = $stage->handle;
    subtest 'every command has the same results in every form' => sub { results( $stage, $zk ) };
    subtest 'and the same errors'                              => sub { errors( $stage, $zk ) };
    return;
}

# The form's answer: an error, or undef and the results. Also the line of the call.
my $line;
my %FORM = (
    blocking => sub {
        my ( undef, $object, $method, @args ) = @_;
        my @results;
        $line = __LINE__ + 1;
        return eval { @results = $object->$method(@args); 1 } ? [ undef, @results ] : [$@];
    },
    callback => sub {
        my ( $stage, $object, $method, @args ) = @_;
        my @answers;
        $line = __LINE__ + 1;
        my @returned = $object->$method( @args, cb => sub { push @answers, [@_] } );
        is_deeply \@returned, [], "$method: nothing is returned";
        is @answers, 0, "$method: nor called within the call" if $stage->has_loop;
        $stage->until( sub { @answers } );
        return $answers[0];
    },
    future => sub {
        my ( $stage, $object, $method, @args ) = @_;
        my $name = "${method}_f";
        $line = __LINE__ + 1;
        my $future = $object->$name(@args);
        isa_ok $future, 'ZooKeeper::Future', $name;
        ok !$future->is_ready, "$name: settled within the call" if $stage->has_loop;
        $stage->until( sub { $future->is_ready } );
        return answer_of($future);
    },
    'future->get' => sub {
        my ( undef, $object, $method, @args ) = @_;
        my $name = "${method}_f";
        $line = __LINE__ + 1;
        my $future = $object->$name(@args);
        return deadline 60, sub {
            my @results;
            return eval { @results = $future->get; 1 } ? [ undef, @results ] : [$@];
        };
    },
    promise => sub {
        my ( $stage, $object, $method, @args ) = @_;
        my $name = "${method}_p";
        my $answer;
        $line = __LINE__ + 1;
        my $promise = $object->$name(@args);
        $promise->then( sub { $answer = [ undef, @_ ] }, sub { $answer = [@_] } );
        $stage->until( sub { $answer } );
        return $answer;
    },
);

sub answer_of {
    my ($future) = @_;
    return $future->is_failed ? [ $future->failure ] : [ undef, $future->result ];
}

# What a call comes to in one of the forms.
sub answer {
    my ( $form, $stage, @call ) = @_;
    return $FORM{$form}->( $stage, @call );
}

# All that there are.
sub forms {
    my ($stage) = @_;
    return grep { $_ ne 'promise' || $stage->driver->{class} =~ /::Mojo\z/ } sort keys %FORM;
}

sub results {
    my ( $stage, $zk ) = @_;
    my $acl  = { perms => ZOO_PERM_ALL, scheme => 'world', id => 'anyone' };
    my @rows = (
        [ [ $zk, 'create', '%/c',  value      => 'x' ], '%/c' ],
        [ [ $zk, 'create', '%/s-', sequential => 1, ephemeral => 1, acl => [$acl] ], '%/s-0000000001' ],
        [ [ $zk, 'delete', '%',    version    => 0 ] ],
        [ [ $zk, 'exists', '%' ],      stat_of( dataLength => 1, numChildren => 1 ) ],
        [ [ $zk, 'exists', '%/none' ], undef ],
        [ [ $zk, 'get',    '%' ],      'v',   stat_of( dataLength => 1, numChildren => 1 ) ],
        [ [ $zk, 'get',    '%/kid' ],  undef, stat_of() ],
        [
            [ $zk, 'set', '%' => 'words', version => 0 ],
            stat_of( dataLength => 5, version => 1, numChildren => 1 )
        ],
        [ [ $zk, 'get_children',  '%' ], 'kid' ],
        [ [ $zk, 'get_children',  '%/kid' ] ],
        [ [ $zk, 'get_children2', '%' ],     ['kid'], stat_of( dataLength => 1, numChildren => 1 ) ],
        [ [ $zk, 'get_children2', '%/kid' ], [],      stat_of() ],
        [
            [ $zk, 'create2', '%/c', value => 'abc', request_timeout => 50 ],
            '%/c', stat_of( dataLength => 3 )
        ],
        [ [ $zk, 'create', '%/a/b/c', value => 'x', parents => 1 ], '%/a/b/c' ],
        [ [ $zk, 'create2', '%/a/b-', sequential => 1, parents => 1 ], '%/a/b-0000000000', stat_of() ],
        [ [ $zk, 'create2', '%/k', container => 1 ],                   '%/k',              stat_of() ],
        [ [ $zk, 'create2', '%/t-', ttl => 600_000, sequential => 1 ], '%/t-0000000001',   stat_of() ],
        [ [ $zk, 'delete', '%', recursive => 1 ] ],
        [ [ $zk, 'delete', '%', recursive => 1, version => 0 ] ],
        [ [ $zk, 'sync',   '%' ], '%' ],
        [ [ $zk, 'whoami' ], { scheme => 'ip', id => '127.0.0.1' } ],
        [ [ $zk, 'get_ephemerals',          '%' ] ],
        [ [ $zk, 'get_all_children_number', '%' ],     1 ],
        [ [ $zk, 'get_all_children_number', '%/kid' ], 0 ],
        [ [ $zk, 'get_acl',                 '%' ],     [$acl], stat_of( dataLength => 1, numChildren => 1 ) ],
        [ [ $zk, 'set_acl',                 '%'    => [ { %$acl, perms => ZOO_PERM_READ } ], version => 0 ] ],
        [ [ $zk, 'add_auth',                digest => 'user:password' ] ],
        [ [ $zk, 'ensure_path',             '%/a/b/c', value => 'x' ], '%/a/b/c' ],
        [ [ $zk, 'ensure_path',             '%/kid' ], '%/kid' ],
        [
            [
                sub {
                    $zk->transaction->set( $_[0], 'w' )->create("$_[0]/t")->check( $_[0], 1 )
                      ->delete("$_[0]/t");
                },
                'commit'
            ],
            { type => 'set',    stat => stat_of( dataLength => 1, version => 1, numChildren => 1 ) },
            { type => 'create', path => '%/t' },
            { type => 'check' },
            { type => 'delete' },
        ],
        [
            [ sub { $zk->transaction->set( $_[0], 'w' )->check( $_[0], 7 )->delete( $_[0] ) }, 'commit' ],
            map { { type => 'error', code => $_, message => zerror($_) } } ZOK,
            ZBADVERSION,
            ZRUNTIMEINCONSISTENCY
        ],
        [ [ sub { $zk->transaction }, 'commit' ] ],
        [
            [
                sub {
                    $zk->transaction->create( "$_[0]/b", container => 1 )
                      ->create2( "$_[0]/c", container => 1 )->create( "$_[0]/d", ttl => 60_000 )
                      ->create2( "$_[0]/e", ttl       => 60_000 );
                },
                'commit'
            ],
            { type => 'create',  path => '%/b' },
            { type => 'create2', path => '%/c', stat => stat_of() },
            { type => 'create',  path => '%/d' },
            { type => 'create2', path => '%/e', stat => stat_of() },
        ],
        [
            [ sub { $zk->multi_read->get( $_[0] )->get("$_[0]/none")->get_children( $_[0] ) }, 'commit' ],
            { type => 'get',   value => 'v',     stat    => stat_of( dataLength => 1, numChildren => 1 ) },
            { type => 'error', code  => ZNONODE, message => 'no node' },
            { type => 'get_children', children => ['kid'] },
        ],
        [ [ sub { $zk->multi_read }, 'commit' ] ],
    );
    for my $row (@rows) {
        my ( $call, @expected ) = @$row;
        for my $form ( forms($stage) ) {
            my $path = $stage->node;
            $stage->setup->create("$path/kid") if $call->[1] ne 'delete';
            my ( $object, $method, @args ) = filled( $path, @$call );
            my $answer = answer( $form, $stage, $object, $method, @args );
            is_deeply plain( $path, $answer ), [ undef, @expected ], "$method, $form"
              or diag explain $answer;
        }
    }
    return;
}

sub stat_of {
    my (%fields) = @_;
    return {
        ( map { $_ => 0 } qw(version aversion ephemeralOwner dataLength numChildren) ),
        ( map { $_ => 'some' } qw(cversion czxid mzxid pzxid ctime mtime) ),
        %fields,
    };
}

# The call with the path in it.
sub filled {
    my ( $path, $object, @args ) = @_;
    $object = $object->($path) if ref $object eq 'CODE';
    return ( $object, map { !ref && defined ? s/%/$path/r : $_ } @args );
}

# The answer without what is never twice the same.
sub plain {
    my ( $path, $thing ) = @_;
    return [ map { plain( $path, $_ ) } @$thing ]                             if ref $thing eq 'ARRAY';
    return defined $thing && !ref $thing ? $thing =~ s/\Q$path\E/%/r : $thing if ref $thing ne 'HASH';
    my %copy = map { $_ => plain( $path, $thing->{$_} ) } keys %$thing;
    if ( exists $copy{czxid} ) {
        $_ = /\A[0-9]+\z/ ? 'some' : "no number: $_" for @copy{qw(czxid mzxid pzxid ctime mtime cversion)};
    }
    return \%copy;
}

sub errors {
    my ( $stage, $zk ) = @_;
    my $closed = $stage->handle;
    my ( $ops, $reads ) = ( $closed->transaction->delete('/x'), $closed->multi_read->get('/x') );
    $closed->close;
    my @rows = (
        [ [ $zk, 'create', '%' ],                          ZNODEEXISTS, 'create',              '%' ],
        [ [ $zk, 'create', '%/none/x', ephemeral => 1 ],   ZNONODE,     'create',              '%/none/x' ],
        [ [ $zk, 'delete', '%' ],                          ZNOTEMPTY,   'delete',              '%' ],
        [ [ $zk, 'delete', '%/kid', version => 3 ],        ZBADVERSION, 'delete',              '%/kid' ],
        [ [ $zk, 'get', '%/none' ],                        ZNONODE,     'get',                 '%/none' ],
        [ [ $zk, 'get', '%/none', request_timeout => 50 ], ZNONODE,     'get',                 '%/none' ],
        [ [ $zk, 'set', '%/none', 'v' ],                   ZNONODE,     'set',                 '%/none' ],
        [ [ $zk, 'set', '%', 'v', version => 3 ],          ZBADVERSION, 'set',                 '%' ],
        [ [ $zk, 'get_children', '%/none' ],               ZNONODE,     'get_children',        '%/none' ],
        [ [ $zk, 'get_acl', '%/none' ],                    ZNONODE,     'get_acl',             '%/none' ],
        [ [ $zk, 'get_children2', '%/none' ],              ZNONODE,     'get_children2',       '%/none' ],
        [ [ $zk, 'create2', '%' ],                         ZNODEEXISTS, 'create2',             '%' ],
        [ [ $zk, 'create2', '%/none/x' ],                  ZNONODE,     'create2',             '%/none/x' ],
        [ [ $zk, 'create', '%', parents => 1 ],            ZNODEEXISTS, 'create',              '%' ],
        [ [ $zk, 'create2', '%/mine/x/y', parents => 1 ],  ZNOCHILDRENFOREPHEMERALS, 'create', '%/mine/x' ],
        [ [ $zk, 'delete', '%/none', recursive => 1 ],     ZNONODE,                  'delete', '%/none' ],
        [ [ $zk, 'delete', '%', recursive => 1, version => 3 ], ZBADVERSION,         'delete', '%' ],
        [ [ $zk, 'get_all_children_number', '%/none' ], ZNONODE,    'get_all_children_number', '%/none' ],
        [ [ $zk, 'remove_watches', '%' ],               ZNOWATCHER, 'remove_watches',          '%' ],
        [
            [ $zk, 'set_acl', '%', [ { scheme => 'no such', id => 'x', perms => 1 } ] ],
            ZINVALIDACL, 'set_acl', '%'
        ],
        [ [ $zk, 'set_acl', '%', ZOO_READ_ACL_UNSAFE, version => 3 ], ZBADVERSION, 'set_acl', '%' ],
        [ [ $zk, 'ensure_path', '%/mine/x/y' ],        ZNOCHILDRENFOREPHEMERALS,   'create',  '%/mine/x' ],
        [ [ $closed, 'exists', '/x' ],                 ZINVALIDSTATE,              'exists',  '/x' ],
        [ [ $closed, 'ensure_path', '/x/y' ],          ZINVALIDSTATE,              'create',  '/x/y' ],
        [ [ $closed, 'create', '/x/y', parents => 1 ], ZINVALIDSTATE,              'create',  '/x/y' ],
        [ [ $closed, 'delete', '/x', recursive => 1 ], ZINVALIDSTATE,              'delete',  '/x' ],
        [ [ $closed, 'add_watch', '/x', watcher => sub { } ], ZINVALIDSTATE,       'add_watch',      '/x' ],
        [ [ $closed, 'remove_watches', '/x', local => 1 ],    ZINVALIDSTATE,       'remove_watches', '/x' ],
        [ [ $closed, 'whoami' ],                              ZINVALIDSTATE,       'whoami',         undef ],
        [ [ $closed, 'get_config' ],                          ZINVALIDSTATE,       'get_config',     undef ],
        [ [ $closed, 'add_auth', digest => 'u:p' ],           ZINVALIDSTATE,       'add_auth',       undef ],
        [ [ sub { $ops }, 'commit' ],                         ZINVALIDSTATE,       'commit',         undef ],
        [ [ sub { $reads }, 'commit' ],                       ZINVALIDSTATE,       'multi_read',     undef ],
    );
    for my $row (@rows) {
        my ( $call, $code, $op, $about ) = @$row;
        my $words;
        for my $form ( forms($stage) ) {
            my $path = $stage->node;
            $stage->setup->create("$path/kid");
            $stage->setup->create( "$path/mine", ephemeral => 1 ) if "@$call" =~ /mine/;
            my ( $object, $method, @args ) = filled( $path, @$call );
            my $answer = answer( $form, $stage, $object, $method, @args );
            is @$answer, 1, "$method, $form: the error alone";
            fails_as( $answer->[0], $code, $op, defined $about ? $about =~ s/%/$path/r : undef );
            my $message = "$answer->[0]" =~ s/\Q$path\E/%/r;
            like $message, qr/ at \Q${\ __FILE__}\E line $line\.\n\z/, 'and the line of the call';
            $message =~ s/ at \S+ line \d+\.\n//;
            is $message, $words //= $message, 'the words do not depend on the form';
        }
    }
    return;
}

sub fails_as {
    my ( $error, $code, $op, $path ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    isa_ok $error, 'ZooKeeper::Error', $op;
    return if !blessed $error;
    is_deeply [ $error->code, $error->op, $error->path ], [ $code, $op, $path ], 'code, op and path';
    return;
}

1;

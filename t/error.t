use strict;
use warnings;
use Test::More;

use ZooKeeper::Constants;
use ZooKeeper::Error;

# Throws as a command does, and returns what was caught.
sub raised {
    my @facts = @_;
    ok !eval { ZooKeeper::Error::_raise(@facts); 1 }, "$facts[0] throws";
    return $@;
}

for my $args ( [ { code => ZNONODE, message => 'gone' } ], [ code => ZNONODE, message => 'gone' ] ) {
    ok !eval { ZooKeeper::Error->throw(@$args); 1 }, 'throw throws';
    my $error = $@;
    isa_ok $error, 'ZooKeeper::Error';
    ok $error->does('Throwable'), 'it is a Throwable';
    is $error->code,    ZNONODE,   'code';
    is $error->message, 'gone',    'message';
    is $error->error,   'no node', 'error defaults to the text of the code';
    is "$error",        'gone',    'the string is the message';
    ok $error == ZNONODE,     'the number is the code';
    ok $error != ZNODEEXISTS, 'and no other';
    is $error <=> ZOK, -1,      'it compares as the code';
    is 0 + $error,     ZNONODE, 'it adds as the code';
    ok $error, 'it is true';
}

eval { ZooKeeper::Error->throw( code => ZBADVERSION ) };
is $@->message, 'bad version', 'message defaults to the text of the code';
eval { ZooKeeper::Error->throw( code => ZOK ) };
ok $@,                                                     'even an error with code 0 is true';
ok !eval { ZooKeeper::Error->throw( message => 'x' ); 1 }, 'a code is required';
unlike ref $@, qr/ZooKeeper/, 'which is not an error of the server';

my %words = (
    create         => "creating node '/x'",
    delete         => "deleting node '/x'",
    exists         => "checking existence of node '/x'",
    get            => "getting data for node '/x'",
    set            => "setting data for node '/x'",
    get_children   => "getting children for node '/x'",
    get_acl        => "getting acl for node '/x'",
    set_acl        => "setting acl for node '/x'",
    add_auth       => 'trying to authenticate',
    commit         => 'committing transaction',
    new            => "initializing ZooKeeper handle for '/x'",
    wait_connected => 'waiting for the connection',
);

for my $op ( sort keys %words ) {
    my $error = raised( $op, '/x', ZNODEEXISTS, undef, 0 );
    like "$error", qr/\AError \Q$words{$op}\E: node exists at \Q${\ __FILE__}\E line [0-9]+\.\n\z/,
      "message of $op";
    is $error->op, $op, 'op';
}
my $detailed = raised( 'create', 'x', ZBADARGUMENTS, q(path must start with '/'), 0 );
like $detailed, qr{\AError creating node 'x': bad arguments: path must start with '/' at }, 'with a detail';
is $detailed->path,  'x',             'path';
is $detailed->error, 'bad arguments', 'error is the text of the code alone';
like raised( 'get', undef, ZBADARGUMENTS, 'path is undefined', 0 ),
  qr/\AError getting data for node '': bad arguments: path is undefined at /, 'no path at all';
like raised( 'commit', undef, 111, undef, 0 ), qr/\AError committing transaction: \Q${\ zerror(111)}\E at /,
  'an error of the system';
like raised( 'get', '/%s%d', ZNONODE, '100%', 0 ), qr{'/%s%d': no node: 100% at },
  'percent signs are only that';
like raised( 'other', '/x', ZNONODE, undef, 0 ), qr{\AError in other of '/x': no node at }, 'another method';

subtest 'the place is the line of the user' => sub {

    package ZooKeeper::Watcher {    # one of ours: its frames do not count
        sub outer { ZooKeeper::Transaction::inner(@_) }
    }

    package ZooKeeper::Transaction {
        sub inner { ZooKeeper::Error::_raise( 'get', '/x', -101, undef, 0 ) }
    }

    package ZooKeeper::Foreign {    # not ours, in spite of its name
        sub call { ZooKeeper::Watcher::outer(); return }
    }

    package main;
    eval {
#line 100 "theirs.pl"
        ZooKeeper::Watcher::outer();
    };
    like $@, qr/ at theirs\.pl line 100\.$/, 'called directly';
    eval {
#line 200 "theirs.pl"
        eval { ZooKeeper::Watcher::outer() };
        die $@;
    };
    like $@, qr/ at theirs\.pl line 200\.$/, 'within an eval';
#line 300 "theirs.pl"
    eval { ZooKeeper::Foreign::call() };
    like $@,   qr/ at \S*error\.t line [0-9]+\.$|theirs\.pl line/, 'through a module';
    unlike $@, qr/line 300/,                                       'the module is the user';
#line 400 "theirs.pl"
    eval { ZooKeeper::Error::_croak('get: wrong') };
    is $@, "get: wrong at theirs.pl line 400.\n", 'a plain message has one too';
};

subtest 'questions' => sub {
    my $is = sub {
        my ( $question, $code, $maybe ) = @_;
        my $error = do {
            local $@;
            eval { ZooKeeper::Error::_raise( 'set', '/x', $code, undef, $maybe ) };
            $@;
        };
        return $error->$question ? 1 : 0;
    };
    is $is->( 'is_connection_loss', ZCONNECTIONLOSS, 1 ), 1, 'connection loss';
    is $is->( 'is_connection_loss', ZNONODE,         0 ), 0, 'no connection loss';
    is $is->( 'is_session_lost',    $_,              0 ), 1, zerror($_) . ' ends the session'
      for ZSESSIONEXPIRED, ZAUTHFAILED;
    is $is->( 'is_session_lost', $_, 0 ), 0, zerror($_) . ' does not' for ZCONNECTIONLOSS, ZNONODE, ZNOAUTH;
    is $is->( 'is_retryable', $_, 0 ), 1, zerror($_) . ' may be tried again'
      for ZCONNECTIONLOSS, ZOPERATIONTIMEOUT, ZTHROTTLEDOP;
    is $is->( 'is_retryable', $_, 1 ), 0, zerror($_) . ' may not when it may have been done'
      for ZCONNECTIONLOSS, ZOPERATIONTIMEOUT;
    is $is->( 'is_retryable', $_, 0 ), 0, zerror($_) . ' stays as it is'
      for ZNONODE, ZNODEEXISTS, ZBADVERSION, ZNOAUTH, ZBADARGUMENTS, ZSESSIONEXPIRED, ZINVALIDSTATE;
    is $is->( 'maybe_applied', ZCONNECTIONLOSS, $_ ), $_, "maybe_applied $_" for 0, 1;

# Every code that there is, up to those of 3.9. What is in neither list is a plain answer, which stays as it is.
    my %lost = map { $_ => 1 } ZSESSIONEXPIRED, ZAUTHFAILED, ZUNKNOWNSESSION, ZSESSIONCLOSEDREQUIRESASLAUTH;
    my %passing = map { $_ => 1 } ZCONNECTIONLOSS, ZOPERATIONTIMEOUT, ZREQUESTTIMEOUT, ZTHROTTLEDOP,
      ZSESSIONMOVED, ZNOTREADONLY, ZNEWCONFIGNOQUORUM, ZRECONFIGINPROGRESS;
    my %code =
      map { $_ => ZooKeeper::Constants->can($_)->() } @{ $ZooKeeper::Constants::EXPORT_TAGS{errors} };
    my %named = reverse %code;
    for my $code ( -2, -5, -6, -8, -9, -101, -103, -119 .. -110, -127, -125 .. -120 ) {
        ok exists $named{$code}, "there is a name for $code";
    }
    for my $name ( sort grep { /\AZ/ } keys %code ) {
        my $code = $code{$name};
        is $is->( 'is_session_lost',    $code, 0 ), $lost{$code}    // 0, "is_session_lost: $name";
        is $is->( 'is_retryable',       $code, 0 ), $passing{$code} // 0, "is_retryable: $name";
        is $is->( 'is_retryable',       $code, 1 ), 0, "is_retryable: $name that may have been applied";
        is $is->( 'is_connection_loss', $code, 0 ), $code == ZCONNECTIONLOSS ? 1 : 0,
          "is_connection_loss: $name";
    }
};

subtest 'a code that is newer than this' => sub {
    my $error = raised( 'get', '/x', -4711, undef, 0 );
    is $error->code,  -4711,           'is kept';
    is 0 + $error,    -4711,           'as a number, too';
    is $error->error, 'unknown error', 'error';
    like $error, qr{\AError getting data for node '/x': unknown error at }, 'message';
    ok !$error->$_, $_ for qw(is_connection_loss is_session_lost is_retryable);
};

done_testing;

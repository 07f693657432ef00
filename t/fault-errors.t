# Errors that the CPAN module reported as something else, or made where there was none. Each subtest is named after the
# symptom.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

use Errno qw(ENOENT);
use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my @args   = ( hosts => $server->hosts, timeout => 60_000, dispatcher => 'Pipe' );
my $zk     = ZooKeeper->new(@args);
my $base   = fresh_path('fault-errors');
$zk->create($base);

{

    package Raced;    # others are faster, or take away again what was made
    use Moo;
    extends 'ZooKeeper';
    has first => ( is => 'rw' );
    before create => sub { my ( $self, @args ) = @_; $self->first->(@args) };
}

subtest 'ensure_path does not die when somebody else creates the node first' => sub {
    my ( $others, $path ) = ( 0, "$base/race/a/b/c" );
    my $raced = Raced->new(
        @args,
        first => sub {
            $zk->exists( $_[0] ) or $others++, eval { $zk->create( $_[0] ) }
        }
    );
    my $error =
      eval { is $raced->ensure_path( $path, value => 'v' ), $path, 'it returns the path'; 1 } ? '' : $@;
    is $error, '', 'and does not die';
    cmp_ok $others, '>=', 4, 'though somebody else tried each of them first';
    ok $zk->exists($path), 'the node is there';

    $raced->first(
        sub {
            eval { $zk->create("$base/again") }
        }
    );
    is eval { $raced->ensure_path("$base/again") } // $@, "$base/again", 'nor for a single node';
};

subtest 'ensure_path does not die when somebody else deletes a parent meanwhile' => sub {
    my $path    = "$base/taken/a/b";
    my $deleted = 0;
    my $raced   = Raced->new(
        @args,
        first => sub {
            $_[0] eq $path && $zk->exists("$base/taken/a") && $deleted++ < 3 and $zk->delete("$base/taken/a");
        }
    );
    is eval { $raced->ensure_path($path) } // $@, $path, 'it returns the path';
    is $deleted,                                  4,     'after three deletions';
    ok $zk->exists($path), 'the node is there';
};

subtest 'a transaction does not ignore default_acl' => sub {
    my $acl    = [ { ZOO_ANYONE_ID_UNSAFE, perms => ZOO_PERM_READ | ZOO_PERM_DELETE } ];
    my $strict = ZooKeeper->new( @args, default_acl => $acl );
    my $open   = ZOO_OPEN_ACL_UNSAFE;
    $strict->transaction->create("$base/default")->create( "$base/given", acl => $open )->commit;
    $strict->create("$base/plain");
    is_deeply scalar $zk->get_acl("$base/default"), $acl,  'it applies to create in a transaction';
    is_deeply scalar $zk->get_acl("$base/plain"),   $acl,  'as it does to create';
    is_deeply scalar $zk->get_acl("$base/given"),   $open, 'one that is given goes first';
    $zk->transaction->create("$base/none")->commit;
    is_deeply scalar $zk->get_acl("$base/none"), $open, 'without it the node is open';
};

subtest 'an error of the constructor does not have an errno for its code' => sub {
    my @bad = (
        '',       ' ',          ',',         ':',       ':2181', 'host:',
        'host:0', 'host:65536', 'host:port', 'host:-1', '/root', 'host//'
    );
    for my $hosts ( @bad, 'host:2181/a//b', 'host:2181/a/', 'a,,b:x', "host\0", '[::1', '1.2.3.4:99999' ) {
        local $! = ENOENT;
        my $error = eval { ZooKeeper->new( @args, hosts => $hosts ); 1 } ? 'none' : $@;
        is ref $error && $error->code, ZBADARGUMENTS, "hosts '$hosts'" =~ s/\0/\\0/r or diag $error;
        like $error, qr/bad arguments/, 'and says so';
    }
    for my $wrong ( [ timeout => 0 ], [ timeout => -1 ], [ timeout => 'soon' ], [ jute_maxbuffer => -1 ] ) {
        local $! = ENOENT;
        my $error = eval { ZooKeeper->new( @args, @$wrong ); 1 } ? 'none' : $@;
        is ref $error && $error->code, ZBADARGUMENTS, "@$wrong" or diag $error;
    }
};

subtest 'a name that can not be resolved is no error of the constructor' => sub {
    my $lost =
      eval { ZooKeeper->new( @args, hosts => 'no-such-host.invalid', timeout => 500, request_timeout => 60 ) };
    ok $lost, 'the name may be known later' or diag $@;
    is eval { $lost->exists('/'); 1 } // 0 + $@, ZCONNECTIONLOSS, 'a call finds no connection';
};

subtest 'an expired session is not reported as an invalid state' => sub {
    my @states;
    my $old = ZooKeeper->new( @args, watcher => sub { push @states, $_[0]{state} } );
    $old->create( "$base/ephemeral", ephemeral => 1 );
    $server->expire_session($old);
    my $acl   = ZOO_OPEN_ACL_UNSAFE;
    my @calls = (
        [ create       => "$base/x" ],
        [ delete       => "$base/x" ],
        [ exists       => $base ],
        [ exists       => $base, watcher => sub { } ],
        [ get          => $base ],
        [ set          => $base, 'v' ],
        [ get_children => $base ],
        [ get_acl      => $base ],
        [ set_acl      => $base, $acl ],
        [ ensure_path  => "$base/x/y" ],
        [ add_auth     => 'digest', 'a:b' ],
        ['wait_connected'],
    );

    # The first call may find that the connection is lost; what follows is the server's word.
    wait_for {
        eval { $old->exists('/') };
        $old->is_unrecoverable
    }
    60, 'the expiry';
    for my $round ( 1 .. 2 ) {
        for my $call (@calls) {
            my ( $method, @rest ) = @$call;
            my $error = eval { $old->$method(@rest); 1 } ? 'it worked' : $@;
            is ref $error && $error->code, ZSESSIONEXPIRED, "$method, round $round" or diag $error;
            like $error, qr/session expired/, 'and says so';
        }
        my $error = eval { $old->transaction->create("$base/x")->commit; 1 } ? 'it worked' : $@;
        is ref $error && $error->code, ZSESSIONEXPIRED, "a transaction, round $round" or diag $error;
    }
    is $old->state, ZOO_EXPIRED_SESSION_STATE, 'state';
    $old->wait(0.1) for 1 .. 5;
    is $states[-1],                    ZOO_EXPIRED_SESSION_STATE, 'the default watcher has heard of it';
    is $zk->exists("$base/ephemeral"), undef,                     'its ephemeral nodes are gone';
    $old->reopen;
    ok eval { $old->exists('/') }, 'reopen starts a new session' or diag $@;
};

subtest 'a call after close is reported as an invalid state, not as an expired session' => sub {
    my $closed = ZooKeeper->new(@args);
    $closed->exists('/');
    $closed->close;
    is eval { $closed->exists('/'); 1 } // 0 + $@, ZINVALIDSTATE,          'code';
    is $closed->state,                             ZOO_NOTCONNECTED_STATE, 'state';
};

done_testing;

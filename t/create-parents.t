use strict;
use warnings;
use Test::More;
use lib 't/lib';

use POSIX ();
use TestZK;
use ZooKeeper;
use ZooKeeper::Constants;

my $hosts = test_hosts();
my $zk    = ZooKeeper->new( hosts => $hosts, dispatcher => 'Pipe' );
my $base  = fresh_path('parents');
$zk->create($base);

sub code_of {
    my ($code) = @_;
    return eval { $code->(); 1 } ? ZOK : ref $@ ? $@->code : $@;
}

subtest 'what is created' => sub {
    is_deeply [ $zk->create( "$base/a/b/c", parents => 1, value => 'x' ) ], ["$base/a/b/c"], 'the path';
    is scalar $zk->get("$base/a/b/c"), 'x',   'the value is for the node';
    is scalar $zk->get("$base/a/b"),   undef, 'not for those above';
    my ( $path, $stat ) = $zk->create2( "$base/a2/b", parents => 1, value => 'four' );
    is_deeply [ $path, $stat->{dataLength} ], [ "$base/a2/b", 4 ], 'create2: path and stat';
    is $zk->create( "$base/a/b/d", parents => 1 ), "$base/a/b/d", 'where all parents are there';
    like $zk->create( "$base/s/n-", parents => 1, sequential => 1 ), qr{\A\Q$base\E/s/n-0000000000\z},
      'sequential';
    like $zk->create( "$base/s2/", parents => 1, sequential => 1 ), qr{\A\Q$base\E/s2/0000000000\z},
      'without a name';
    is $zk->exists( $zk->create( "$base/e/x", parents => 1, ephemeral => 1 ) )->{ephemeralOwner},
      $zk->client_id->{client_id}, 'ephemeral';
    is $zk->exists("$base/e")->{ephemeralOwner}, 0, 'but not those above';
    is $zk->create( "$base/k/x", parents => 1, container => 1 ),       "$base/k/x", 'container';
    is $zk->create( "$base/t/x", parents => 1, ttl       => 100_000 ), "$base/t/x", 'ttl';
    is $zk->create( '/top-' . $base =~ tr{/}{}dr, parents => 1, ephemeral => 1 ),
      '/top-' . $base =~ tr{/}{}dr, 'at the top';
    my $deep = join '/', $base, 1 .. 150;
    is $zk->create( $deep, parents => 1 ), $deep, 'deep';
};

subtest 'it is there already' => sub {
    ok !eval { $zk->create( "$base/a/b/c", parents => 1 ); 1 }, 'that is an error';
    is $@->code, ZNODEEXISTS,   'code';
    is $@->path, "$base/a/b/c", 'path';
    is code_of( sub { $zk->create( "$base/x/y", parents => $_ ) } ), ZNONODE, 'not wanted' for 0, '', undef;
};

subtest 'access lists' => sub {
    my @acl = ( { ZOO_ANYONE_ID_UNSAFE, perms => ZOO_PERM_ALL & ~ZOO_PERM_ADMIN } );
    $zk->create( "$base/acl/x/y", parents => 1, acl => \@acl );
    is_deeply scalar $zk->get_acl("$base/$_"), \@acl, "that of the call is for $_" for qw(acl acl/x acl/x/y);
    my $own = ZooKeeper->new( hosts => $hosts, dispatcher => 'Pipe', default_acl => \@acl );
    $own->create( "$base/default/x", parents => 1 );
    is_deeply scalar $zk->get_acl("$base/$_"), \@acl, "the handle's is for $_" for qw(default default/x);
    $zk->create( "$base/closed", acl => [ { ZOO_ANYONE_ID_UNSAFE, perms => ZOO_PERM_READ } ] );
    ok !eval { $zk->create( "$base/closed/x/y", parents => 1 ); 1 }, 'no right to create';
    is_deeply [ $@->code, $@->path, $@->op ], [ ZNOAUTH, "$base/closed/x", 'create' ], 'code, the node, op';
};

subtest 'parents that can not have children' => sub {
    $zk->create( "$base/mine", ephemeral => 1 );
    for my $path ( "$base/mine/x", "$base/mine/x/y" ) {
        is code_of( sub { $zk->create( $path, parents => 1 ) } ), ZNOCHILDRENFOREPHEMERALS,
          'an ephemeral node';
    }
};

subtest 'arguments' => sub {
    for my $args ( ['x/y'], ["$base//x"], [ "$base/x", ttl => 0 ],
        [ "$base/x", container => 1, ephemeral => 1 ] )
    {
        is code_of( sub { $zk->create( @$args, parents => 1 ) } ), ZBADARGUMENTS, "at once: @$args";
        is code_of(
            sub {
                $zk->create( @$args, parents => 1, cb => sub { } );
            }
          ),
          ZBADARGUMENTS, "also with cb: @$args";
    }
    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, @_ };
    $zk->ensure_path( "$base/ensured/x", parents => 1 );
    is @warnings, 1, 'ensure_path has no use for it' or diag "@warnings";
    is code_of( sub { $zk->create( "$base/a//b/c", parents => 1 ) } ), ZBADARGUMENTS, 'a wrong path';
};

subtest 'in a chroot that is not there' => sub {
    my $none = ZooKeeper->new( hosts => "$hosts$base/none", dispatcher => 'Pipe' );
    ok !eval { $none->create( '/a/b', parents => 1 ); 1 }, 'fails';
    is_deeply [ $@->code, $@->path ], [ ZNONODE, '/a' ], 'with the topmost node';
    is $zk->exists("$base/none"), undef, 'and creates nothing above it';
};

subtest 'several processes at once' => sub {
    for my $round ( 1 .. 5 ) {
        my $top = "$base/race$round";
        pipe my $read, my $write or die "pipe: $!";
        my @pids;
        for my $n ( 1 .. 4 ) {
            my $pid = fork // die "fork: $!";
            push @pids, $pid;
            next if $pid;
            alarm 120;
            my $own  = ZooKeeper->new( hosts => $hosts, dispatcher => 'Pipe' );
            my $code = code_of(
                sub {
                    $own->wait_connected(60);
                    $own->create( join( '/', $top, 'a' .. 'h', "$n-$_" ), parents => 1 ) for 1 .. 5;
                }
            );
            syswrite $write, "$code\n";
            $own->close;
            POSIX::_exit(0);
        }
        close $write;
        my @said = deadline 120, sub { my @lines = <$read>; chomp @lines; @lines };
        waitpid $_, 0 for @pids;
        is "@said",                                                '0 0 0 0', "round $round: all succeed";
        is scalar $zk->get_children( join '/', $top, 'a' .. 'h' ), 20,        'and all nodes are there';
        $zk->delete( $top, recursive => 1 );
    }
};

done_testing;

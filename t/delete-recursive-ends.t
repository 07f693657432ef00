# delete with "recursive" where it can't come to an end: children are there again and again, or servers don't agree
# whether there are any. It gives up, and says which node could not be emptied.
use strict;
use warnings;
use Test::More;
use lib 't/lib';

use FakeZK;
use GoodReplies;
use TestZK;
use ZooKeeper;
use ZooKeeper::Constants;

my ( $SYNC, $GET_CHILDREN, $MULTI ) = ( 9, 8, 14 );

# A server of two minds: what it lists is what "children" says, by path, and it deletes all but what "refuses" says.
sub of_two_minds {
    my ( $children, $refuses ) = @_;
    my $syncs = 0;
    return FakeZK->answering(
        $SYNC => sub {
            my ( $connection, $xid ) = @_;
            $syncs++;
            $connection->note('sync');
            return good_reply( $xid, $SYNC );
        },
        $GET_CHILDREN => sub {
            my ( $connection, $xid, $rest ) = @_;
            my $path  = unpack 'N/a*', $rest;
            my @names = $children->( $path, $syncs );
            $connection->note("list $path");
            return reply_frame( $xid, pack 'N (N/a*)*', scalar @names, @names );
        },
        $MULTI => sub {
            my ( $connection, $xid, $rest ) = @_;
            my ( @paths, @codes );
            while ( length $rest ) {
                last if 0 > unpack 'l>', $rest;
                ( my $path, $rest ) = unpack 'x9 N/a* x4 a*', $rest;
                push @paths, $path;
            }
            $connection->note("delete @paths");
            for my $path (@paths) {
                push @codes,
                    grep( { $_ != ZOK } @codes ) ? ZRUNTIMEINCONSISTENCY
                  : $refuses->($path)            ? ZNOTEMPTY
                  :                                ZOK;
            }
            my $failed = grep { $_ != ZOK } @codes;
            my @heads  = map  { $failed ? pack 'l> C l>2', -1, 0, $_, $_ : pack 'l> C l>', 2, 0, 0 } @codes;
            return reply_frame( $xid, join '', @heads, pack 'l> C l>', -1, 1, -1 );
        },
    );
}

# What becomes of deleting it in this form, and at which line it was asked.
sub outcome {
    my ( $zk, $form, $path ) = @_;
    my $error;
    my $line = __LINE__ + 1;
    my $ask  = sub { return $zk->$form( $path, recursive => 1 ) };
    deadline 120, sub {
        my $later = eval { $ask->() };
        $error = $@ || undef;
        $error = $later->failure if ref $later;
    };
    return ( $error, $line );
}

subtest 'servers that do not agree whether a node has children' => sub {
    my $fake = of_two_minds( sub { $_[0] eq '/top' ? 'x' : () }, sub { $_[0] eq '/top/x' } );
    for my $form (qw(delete delete_f)) {
        my $zk = ZooKeeper->new( hosts => $fake->hosts, dispatcher => 'Pipe' );
        my ( $error, $line ) = outcome( $zk, $form, '/top' );
        ok ref $error, "$form: gives up" or return diag $error // 'it succeeds';
        is $error->code, ZNOTEMPTY, "$form: not empty";
        is $error->path, '/top/x',  "$form: the node is named";
        is $error->op,   'delete',  "$form: the call, too";
        is "$error",
            "Error deleting node '/top/x': not empty: children were there again at each of 50 attempts at "
          . __FILE__
          . " line $line.\n", "$form: in words";
        my @notes = $fake->notes;
        is scalar( grep { /delete/ } @notes ), 50, "$form: after fifty attempts";
        my @between = ( 'sync', 'list /top/x', 'delete /top/x /top' );
        is_deeply [ @notes[ 0 .. 8 ] ], [ 'list /top', 'list /top/x', 'delete /top/x /top', (@between) x 2 ],
          "$form: before each but the first one the server is to catch up";
        $zk->close;
        $fake->notes;
    }
};

subtest 'a server that is behind' => sub {
    my $is_there = 1;
    my $fake     = of_two_minds(
        sub {
            my ( $path, $syncs ) = @_;
            return $path eq '/top' && $syncs ? 'late' : ();
        },
        sub {
            my ($path) = @_;
            $is_there = 0 if $path eq '/top/late';
            return $path eq '/top' && $is_there;
        }
    );
    my $zk = ZooKeeper->new( hosts => $fake->hosts, dispatcher => 'Pipe' );
    my ($error) = outcome( $zk, 'delete', '/top' );
    is $error, undef, 'all is deleted';
    is_deeply [ $fake->notes ],
      [ 'list /top', 'delete /top', 'sync', 'list /top', 'list /top/late', 'delete /top/late /top' ],
      'as soon as it has caught up';
};

subtest 'a server that can not catch up' => sub {
    my $fake = FakeZK->answering(
        $GET_CHILDREN => sub { reply_frame( $_[1], pack 'N', 0 ) },
        $MULTI        => sub {
            reply_frame( $_[1], pack 'l> C l>2 l> C l>', -1, 0, (ZNOTEMPTY) x 2, -1, 1, -1 );
        },
        $SYNC => sub { pack 'l> q> l>', $_[1], 1, ZSYSTEMERROR },
    );
    for my $form (qw(delete delete_f)) {
        my $zk = ZooKeeper->new( hosts => $fake->hosts, dispatcher => 'Pipe' );
        my ( $error, $line ) = outcome( $zk, $form, '/top' );
        is $error, "Error deleting node '/top': system error at ${\ __FILE__} line $line.\n",
          "$form: that is said of the call";
    }
};

my $server = test_server();
my $maker  = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
my $base   = fresh_path('ends');

# A handle of a program that sees below which node has been looked, and makes another child there.
sub watched_by {
    my ($makes) = @_;
    return ZooKeeper->new(
        hosts      => $server->hosts,
        dispatcher => 'Pipe',
        tracer     => { end => sub { $makes->( $_[0]{path} ) if $_[0]{op} eq 'get_children' } },
    );
}

subtest 'somebody creates children all the time' => sub {
    for my $form (qw(delete delete_f)) {
        my $made    = 0;
        my $top     = $maker->create( "$base/busy", parents => 1 );
        my $zk      = watched_by( sub { $maker->create("$top/n-@{[ ++$made ]}") if $_[0] eq $top } );
        my ($error) = outcome( $zk, $form, $top );
        ok ref $error, "$form: gives up" or return diag $error // 'it succeeds';
        is $error->code, ZNOTEMPTY, "$form: not empty";
        is $error->path, $top,      "$form: the node is named";
        is $made,        50,        "$form: after fifty attempts";
        ok $maker->exists("$top/n-$made"), "$form: whose last child is left";
        $maker->delete( $top, recursive => 1 );
    }
};

subtest 'somebody creates deeper and deeper' => sub {
    my $made    = 0;
    my $top     = $maker->create( "$base/deep", parents => 1 );
    my $deepest = $top;
    my $zk      = watched_by(
        sub {
            $deepest = $maker->create("$deepest/d") if $_[0] eq $deepest;
            $made++;
        }
    );
    my ($error) = outcome( $zk, 'delete', $top );
    ok ref $error, 'gives up' or return diag $error // 'it succeeds';
    is $error->code, ZNOTEMPTY, 'not empty';
    like "$error", qr/: not empty: children were there again at 500 attempts, of one node or another at /,
      'in words';
    cmp_ok length $error->path, '>',  length $top, 'the node is one below';
    cmp_ok $made,               '<=', 1_000,       'though each node is a new one';
    is_deeply [ deadline 60, sub { $maker->delete( $top, recursive => 1 ) } ], [],
      'alone the other can delete it';
};

done_testing;

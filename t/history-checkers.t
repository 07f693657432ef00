# What the checkers of histories find, and that they find nothing where nothing is wrong.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;
use lib 't/lib';
use History;
use History::List;
use History::Register;
use History::Servers;
use History::Session;

# A history from its lines: of each client, and of the end.
sub history {
    my (%text) = @_;
    return History->parse(%text);
}

# Tests which violations are found: by their names.
sub finds {
    my ( $checker, $history, $expected, $name ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @found = "History::$checker"->check($history);
    return is_deeply( [ map { /\A([^:]*)/ } @found ], $expected, $name ) || diag join "\n", @found;
}

# A request and its answer, in short: seconds, session, what was asked, how it came out.
my $number;

sub op {
    my ( $start, $end, $s, $asked, $answer ) = @_;
    my $n        = ++$number;
    my $form     = $asked =~ /form=/ ? ''                                     : ' form=cb';
    my @complete = defined $end      ? "complete n=$n at=$end code=0 $answer" : ();
    return join "\n", "invoke n=$n at=$start s=$s$form $asked", @complete, '';
}

# A good one first; each bad one differs from a good one in what its name says.
sub registers {
    my ( $lines, %final ) = @_;
    my $end = join '', map { "final node=$_ value=$final{$_}[0] version=$final{$_}[1] mzxid=$final{$_}[2]\n" }
      sort keys %final;
    return history( a => $lines, final => $end );
}

my $first = op( 1, 2, 's', 'op=set node=n value=v1', 'out=ok version=1 mzxid=11' );

subtest 'registers without a fault' => sub {
    finds
      Register => registers( $first, n => [ 'v1', 1, 11 ] ),
      [], 'a write';
    finds
      Register => registers( $first . op( 3, undef, 's', 'op=set node=n value=v2' ), n => [ 'v1', 1, 11 ] ),
      [], 'one without an answer that was not done';
    finds
      Register => registers( $first . op( 3, undef, 's', 'op=set node=n value=v2' ), n => [ 'v2', 2, 12 ] ),
      [], 'and one that was';
    finds
      Register => registers(
        $first
          . op( 3, 4, 's', 'op=set node=n value=v2', 'out=unknown' )
          . op( 5, 6, 's', 'op=set node=n value=v3', 'out=ok version=3 mzxid=13' ),
        n => [ 'v3', 3, 13 ]
      ),
      [], 'one of unknown outcome that nobody has seen, but for the version';
    finds
      Register => registers(
        $first
          . op( 3, 5, 's', 'op=set node=n value=v2 expect=1', 'out=ok version=2 mzxid=12' )
          . op( 4, 6, 't', 'op=set node=n value=v3 expect=1', 'out=no code=-103' ),
        n => [ 'v2', 2, 12 ]
      ),
      [], 'two compare-and-sets of which one comes too late';
    finds
      Register =>
      registers( $first . op( 3, 4, 't', 'op=get node=n', 'out=ok version=0 value=first mzxid=10' ),
        n => [ 'v1', 1, 11 ] ),
      [], 'a read by another session that is behind';
    finds
      Register => registers(
        op( 1, 2, 's', 'op=multi node=n node2=m value=v1', 'out=ok version=1 version2=1 mzxid=11' ),
        n => [ 'v1', 1, 11 ],
        m => [ 'v1', 1, 11 ]
      ),
      [], 'a transaction';
};

subtest 'registers' => sub {
    finds
      Register => registers( $first, n => [ 'first', 0, 10 ] ),
      ['lost'], 'an acknowledged write is not there';
    finds
      Register => registers( $first . op( 3, undef, 's', 'op=set node=n value=v2' ), n => [ 'v2', 1, 12 ] ),
      ['lost'], 'it was replaced by another one of the same version';
    finds
      Register => registers( $first . op( 3, 4, 't', 'op=set node=n value=v2', 'out=ok version=1 mzxid=12' ),
        n => [ 'v2', 1, 12 ] ),
      [ 'shared version', 'against time' ], 'two acknowledged writes of one version';
    finds
      Register => registers(
        op( 1, 2, 's', 'op=set node=n value=v1', 'out=unknown' )
          . op( 3, 4, 't', 'op=get node=n', 'out=ok value=v1 version=1 mzxid=11' ),
        n => [ 'v1', 2, 12 ]
      ),
      ['applied twice'], 'a write of unknown outcome that was done twice';
    finds
      Register =>
      registers( $first . op( 3, 4, 's', 'op=set node=n value=v2', 'out=no code=-4' ), n => [ 'v2', 2, 12 ] ),
      ['refused, but done'], 'a write that surely was not done is there';
    finds
      Register => registers( $first, n => [ 'w', 2, 12 ] ),
      ['never written'], 'a value from nowhere';
    finds
      Register => registers( $first, m => [ 'v1', 1, 11 ], n => [ 'v1', 1, 11 ] ),
      ['never written'], 'a value of another node';
    finds
      Register => registers(
        op( 1, 2, 't', 'op=get node=n', 'out=ok value=v1 version=1 mzxid=11' )
          . op( 3, 4, 's', 'op=set node=n value=v1', 'out=ok version=1 mzxid=11' ),
        n => [ 'v1', 1, 11 ]
      ),
      ['read too early'], 'a value that was read before anybody wrote it';
    finds
      Register =>
      registers( $first . op( 3, 4, 's', 'op=set node=n value=v2 expect=0', 'out=ok version=2 mzxid=12' ),
        n => [ 'v2', 2, 12 ] ),
      ['wrong version'], 'a compare-and-set that has overwritten another write';
    finds
      Register =>
      registers( $first . op( 3, undef, 's', 'op=set node=n value=v2 expect=0' ), n => [ 'v2', 2, 12 ] ),
      ['wrong version'], 'one of unknown outcome that has';
    finds
      Register => registers( $first . op( 3, 4, 's', 'op=set node=n value=v2 expect=1', 'out=no code=-103' ),
        n => [ 'v1', 1, 11 ] ),
      ['refused wrongly'], 'a compare-and-set that was refused for nothing';
    finds
      Register => registers(
        $first
          . op( 3, 4, 's', 'op=set node=n value=v2 expect=1', 'out=no code=-103' )
          . op( 5, 6, 's', 'op=set node=n value=v3',          'out=ok version=2 mzxid=12' ),
        n => [ 'v3', 2, 12 ]
      ),
      ['refused wrongly'], 'and before the next version was asked for';
    finds
      Register => registers( $first . op( 3, 4, 's', 'op=set node=n value=v2', 'out=ok version=2 mzxid=9' ),
        n => [ 'v2', 2, 9 ] ),
      ['unordered'], 'transactions in another order than versions';
    finds
      Register => registers(
        op( 1, 2, 's', 'op=set node=n value=v1', 'out=ok version=2 mzxid=12' )
          . op( 3, 4, 't', 'op=set node=n value=v2', 'out=ok version=1 mzxid=11' ),
        n => [ 'v1', 2, 12 ]
      ),
      ['against time'], 'a write that comes before one which was over when it began';
    finds
      Register => registers( $first, n => [ 'v1', 1, 11 ], m => [ 'first', 1, 10 ] ),
      ['never written'], 'a version that nobody has made';
    finds
      Register => registers(
        op( 1, 2, 's', 'op=set node=n value=v1 expect=3', 'out=unknown' )
          . op( 5, 6, 's', 'op=set node=n value=v3', 'out=ok version=2 mzxid=13' ),
        n => [ 'v3', 2, 13 ]
      ),
      ['unaccounted'], 'nor could have, for it expected another one';
    my $both = op( 1, 2, 's', 'op=multi node=n node2=m value=v1', 'out=unknown' );
    finds
      Register => registers( $both, n => [ 'v1', 1, 11 ], m => [ 'first', 0, 10 ] ),
      ['torn'], 'half of a transaction';
    finds
      Register => registers( $both, n => [ 'v1', 1, 11 ], m => [ 'v1', 1, 12 ] ),
      ['torn'], 'a transaction that was two';
};

subtest 'reads after a sync' => sub {
    my $sync  = op( 3, 4, 't', 'op=sync', 'out=ok' );
    my $n     = $number;
    my $fresh = op( 4, 5, 't', "op=get node=n sync=$n", 'out=ok version=1 value=v1 mzxid=11' );
    my $stale = op( 4, 5, 't', "op=get node=n sync=$n", 'out=ok version=0 value=first mzxid=10' );
    is_deeply [ History::Register->stale_after_sync( registers( $first . $sync . $fresh ) ) ], [ 0, 1 ],
      'one that sees what was acknowledged';
    is_deeply [ History::Register->stale_after_sync( registers( $first . $sync . $stale ) ) ], [ 1, 1 ],
      'one that does not is counted';
};

sub list {
    my ( $lines, @final ) = @_;
    return history( a => $lines, final => join '', map { "final $_\n" } @final );
}

my $made  = op( 1, 2, 's', 'op=create prefix=x-', 'out=ok path=x-0000000001 czxid=11' );
my $added = 'name=x-0000000001';

subtest 'lists without a fault' => sub {
    finds List => list( $made, $added ), [], 'a node';
    my $unknown = op( 1, 2, 's', 'op=create prefix=x-', 'out=unknown' );
    finds List => list($unknown), [], 'one of unknown outcome that is not there';
    finds List => list( $unknown, $added ), [], 'and one that is';
    finds
      List => list( $made . op( 3, 4, 's', 'op=delete path=x-0000000001', 'out=ok' ) ),
      [], 'one that was deleted';
    my $maybe = op( 3, undef, 's', 'op=delete path=x-0000000001' );
    finds List => list( $made . $maybe ), [], 'one that may have been, and is not there';
    finds List => list( $made . $maybe, $added ), [], 'and one that is';
    finds
      List => list( op( 1, 2, 's', 'op=create prefix=x- ephemeral=1', 'out=ok path=x-0000000001' ) ),
      [], 'an ephemeral one, gone at the end';
    finds
      List => list( $made . op( 1, 3, 't', 'op=create prefix=y-', 'out=ok path=y-0000000000 czxid=10' ),
        $added, 'name=y-0000000000' ),
      [], 'two that were made at the same time';
};

subtest 'lists' => sub {
    finds List => list($made), ['lost'], 'an acknowledged node is not there';
    finds
      List => list( $made . op( 3, 4, 's', 'op=delete path=x-0000000001', 'out=no code=-101' ), $added ),
      ['lost'], 'nor was it when it should be deleted';
    finds List => list( $made, $added, 'name=x-0000000002' ), ['added twice'], 'one that is there twice';
    finds
      List => list( op( 1, 2, 's', 'op=create prefix=x-', 'out=unknown' ), $added, 'name=x-0000000002' ),
      ['added twice'], 'the same of unknown outcome';
    finds
      List => list( op( 1, 2, 's', 'op=create prefix=x-', 'out=no code=-4' ), $added ),
      ['refused, but done'], 'one that surely was not made is there';
    finds
      List => list( $made, $added, 'name=y-0000000002' ),
      ['never asked for'], 'one that nobody has asked for';
    finds
      List =>
      list( op( 1, 2, 's', 'op=create prefix=x-', 'out=ok path=y-0000000001' ), $added, 'name=y-0000000001' ),
      [ 'wrong name', 'lost', 'never asked for' ], 'the path of another one';
    finds
      List => list( $made . op( 3, 4, 's', 'op=delete path=x-0000000001', 'out=ok' ), $added ),
      ['not deleted'], 'one that was deleted is there';
    my $second = sub { return op( 3, 4, 't', 'op=create prefix=y-', "out=ok @_" ) };
    finds
      List => list( $made . $second->('path=y-0000000000 czxid=10'), $added, 'name=y-0000000000' ),
      ['against time'], 'a later one with a lower number';
    finds
      List => list( $made . $second->('path=y-0000000001 czxid=12'), $added, 'name=y-0000000001' ),
      ['shared number'], 'the same number again';
    finds
      List => list( $made . $second->('path=y-0000000002 czxid=10'), $added, 'name=y-0000000002' ),
      ['unordered'], 'transactions in another order than numbers';
    finds
      List => list( $made, $added, 'left=z-0000000001' ),
      ['ghost'], 'an ephemeral node that outlives its session';
};

subtest 'sessions without a fault' => sub {
    my $read = op( 3, 4, 's', 'op=get node=n', 'out=ok value=v1 version=1 mzxid=11 zxid=12' );
    finds
      Session => history( a => $first . $read ),
      [], 'reading what was written';
    finds
      Session => history(
        a => $read . op( 5, 6, 's.1', 'op=get node=n', 'out=ok value=first version=0 mzxid=10 zxid=10' ) ),
      [], 'an older state in another session';
    finds
      Session => history( a => $first . op( 3, undef, 's', 'op=get node=n' ) ),
      [], 'no answer, the client was killed';
    finds
      Session => history( a => op( 1, 2, 's', 'op=get node=n', 'out=no code=-101' )
          . op( 3, 4, 's', 'op=get node=n', 'out=no code=-4' ) ),
      [], 'what faults lead to';
};

subtest 'sessions' => sub {
    my $get = sub {
        return op( @_[ 0, 1 ], 's', "op=get node=$_[2]", "out=ok value=v$_[3] version=$_[3] mzxid=$_[4]" );
    };
    finds
      Session => history( a => op( 1, undef, 's', 'op=get node=n' ) . 'end' ),
      ['never answered'], 'no answer, though the client came to its end';
    my $again = op( 1, 2, 's', 'op=sync', 'out=ok' );
    finds
      Session => history( a => "$again$again" =~ s/(complete.*\n)invoke.*\n/$1/r ),
      ['answered twice'], 'one answer too many';
    my ( $one, $two ) = map { [ split /(?<=\n)/, op( $_, 5, 's', 'op=sync', 'out=ok' ) ] } 1, 2;
    finds
      Session => history( a => join '', $one->[0], @$two, $one->[1] ),
      ['out of order'], 'the second answer first';
    finds
      Session => history( a => $get->( 1, 2, 'n', 5, 15 ) . $get->( 3, 4, 'n', 4, 14 ) ),
      ['back in time'], 'an older state than before';
    finds
      Session => history( a => op( 1, 2, 's', 'op=set node=n value=v5', 'out=ok version=5 mzxid=15' )
          . $get->( 3, 4, 'n', 4, 14 ) ),
      ['back in time'], 'a state before an own write';
    finds
      Session =>
      history( a => $get->( 1, 2, 'n', 5, 15 ) . op( 3, 4, 's', 'op=get node=n', 'out=no code=-101' ) ),
      ['back in time'], 'no node any more';
    finds
      Session => history( a => op( 1, 2, 's', 'op=stat', 'out=ok cversion=5 pzxid=15' )
          . op( 3, 4, 's', 'op=stat', 'out=ok cversion=4 pzxid=14' ) ),
      ['back in time'], 'an older state of a list';
    finds
      Session => history( a => $made . op( 3, 4, 's', 'op=exists path=x-0000000001', 'out=ok there=0' ) ),
      ['back in time'], 'no node that it has made';
    finds
      Session => history(
        a => op( 1, 2, 't', 'op=set node=n value=v5', 'out=ok version=5 mzxid=15' ),
        b => $get->( 3, 4, 'm', 2, 16 ) . $get->( 5, 6, 'n', 4, 14 )
      ),
      ['a hole'], 'a later write of another node, but not an earlier one of this';
    finds
      Session => history( a => $get->( 1, 2, 'm', 2, 16 )
          . op( 3, 4, 's', 'op=set node=n value=v5', 'out=ok version=5 mzxid=15' ) ),
      ['zxid falls'], 'a write that is older than what was read before';
    finds
      Session => history(
        a => op( 1, 2, 's', 'op=sync', 'out=ok zxid=20' ) . op( 3, 4, 's', 'op=sync', 'out=ok zxid=19' ) ),
      ['zxid falls'], 'a last transaction that is older than before';
    finds
      Session => history(
        a => op( 1, 2, 's', 'op=sync', 'out=ok sid=1f' ) . op( 3, 4, 's', 'op=sync', 'out=ok sid=2f' ) ),
      ['two numbers'], 'another session in its place';
    finds
      Session => history( a => op( 1, 2, 's', 'op=set node=n value=v', 'out=no code=-103' ) ),
      ['unexpected'], 'a bad version though none was asked for';
};

subtest 'what a recorder writes is read again' => sub {
    my $dir      = tempdir( CLEANUP => 1 );
    my $recorder = History->recorder("$dir/client-1.log");
    my $n        = $recorder->invoke(
        s      => '1.1.0',
        op     => 'set',
        form   => 'cb',
        node   => 'n',
        value  => 'v',
        expect => undef
    );
    $recorder->invoke( s => '1.1.0', op => 'get', form => 'cb', node => 'n' );
    $recorder->complete( $n, out => 'ok', code => 0, version => 1, mzxid => 11 );
    $recorder->note( 'final', node => 'n', value => 'v', version => 1, mzxid => 11 );
    my $history = History->load($dir);
    my ( $set, $get ) = $history->ops;
    is_deeply [ @{$set}{qw(client op node value version out)} ], [ 'client-1', qw(set n v 1 ok) ],
      'a request and its answer';
    cmp_ok $set->{start}, '<=', $set->{end}, 'with its times';
    is $get->{out}, 'unknown', 'one without an answer';
    finds $_ => $history, [], "$_: all is well" for qw(Register List Session);
};

# A server that follows, is elected, and leads the fourth epoch.
subtest 'servers that have lost writes by their own logs' => sub {
    my $lost = sub {
        my ( $zxid, @log ) = @_;
        my $history =
          history( a => op( 1, 2, 's', 'op=set node=n value=v', "out=ok version=1 mzxid=$zxid" ) );
        return map { s/\Aserver 0: ([^:]*).*/$1/r } History::Servers->lost( $history, join "\n", @log );
    };
    my $epoch = sub { my ( $epoch, $count ) = @_; return ( $epoch << 32 ) + $count };
    my @leads = (
        '... Snapshotting: 0x300000005 to /x/snapshot.300000005',
'... Have quorum of supporters, sids: [[1, 2]]; starting up and setting last processed zxid: 0x400000000',
    );
    is_deeply [ $lost->( $epoch->( 3, 5 ), @leads ) ], [], 'a leader that has all that clients were told';
    is_deeply [ $lost->( $epoch->( 4, 1 ), @leads ) ], [], 'what comes later is its own';
    is_deeply [ $lost->( $epoch->( 3, 6 ), @leads ) ], ['a leader without it'], 'one that lacks something';

    my $follows = sub {
        my ($first) = @_;
        return (
            '... New election. My id = 1, proposed zxid=0x300000005',
            '... Getting a diff from the leader 0x300000009',
            "... Got zxid 0x$first expected 0x1",
            '... Got zxid 0x400000001 expected 0x1',
        );
    };
    is_deeply [ $lost->( $epoch->( 3, 7 ), $follows->('300000006') ) ], [],
      'a server that gets all differences';
    is_deeply [ $lost->( $epoch->( 3, 7 ), $follows->('300000008') ) ], ['passed over'],
      'one that misses some';
};

subtest 'script/histories --check' => sub {
    my $dir    = tempdir( CLEANUP => 1 );
    my $script = sub { my $output = qx($^X script/histories @_ 2>&1); return ( $output, $? >> 8 ) };
    my $write  = sub {
        my ( $name, @lines ) = @_;
        open my $file, '>', "$dir/$name.log" or die "$name: $!\n";
        print {$file} @lines;
        close $file;
    };
    $write->( client => $made );
    $write->( final  => "final $added\n" );
    my ( $output, $status ) = $script->("--check $dir");
    is $status, 0, 'a history without a fault';
    like $output, qr/\bwrites ok 1\b/, 'it counts';
    $write->( final => "final name=y-0000000001\n" );
    ( $output, $status ) = $script->("--check $dir");
    is $status, 1, 'one with faults';
    is_deeply [ $output =~ /^PROBLEM: ([^:]*)/mg ], [ 'lost', 'never asked for' ], 'it says which';
    ( $output, $status ) = $script->('--workload nothing');
    is $status, 2, 'an unknown workload';
    like $output, qr/^script\/histories/, 'gets the usage';
};

done_testing;

use strict;
use warnings;
use Test::More;
use lib 't/lib';

use CutProxy;
use FakeZK;
use FaultProxy;
use Faults qw(in_child create_children started finished);
use POSIX  ();
use TestZK;
use Time::HiRes qw(ITIMER_REAL setitimer);
use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my $zk     = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
my $base   = fresh_path('recursive');
$zk->create($base);
my $count = 0;

# A tree: nodes below a top, which is returned.
sub tree {
    my (@below) = @_;
    my $top = "$base/" . ++$count;
    $zk->create($top);
    create_children( $zk, $top, @below );
    return $top;
}

sub gone {
    my ( $top, $name ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $zk->sync($top);
    return is $zk->exists($top), undef, "$name: all is gone";
}

sub code_of {
    my ($code) = @_;
    return eval { $code->(); 1 } ? ZOK : ref $@ ? $@->code : $@;
}

# First of all, before anything that it takes is loaded.
subtest 'a signal handler that dies leaves nothing half loaded' => sub {
    my @later;
    for my $moment ( 1 .. 15 ) {
        my ( $first, $second ) = ( tree( 1 .. 3, '1/1' ), tree( 1, 2 ) );
        my ($said) = in_child(
            sub {
                my $own = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
                $own->exists('/');
                eval {
                    local $SIG{ALRM} = sub { die "now\n" };
                    setitimer( ITIMER_REAL, 0.0005 * $moment );
                    eval { $own->delete( $first, recursive => 1 ) };
                    setitimer( ITIMER_REAL, 0 );
                };
                alarm 60;
                $own->delete( $second, recursive => 1 );
                return $own->exists($second) ? 'there' : 'gone';
            }
        );
        push @later, @$said;
    }
    is_deeply \@later, [ ('gone') x 15 ], 'the next call works, whenever it came';
};

# What Moo makes of a class when it is first used could be interrupted in the middle.
subtest 'what a call loads is whole' => sub {
    my $program = <<'PERL';
use ZooKeeper;
ZooKeeper::Modules::need("ZooKeeper::$_") for @ARGV;
for my $class (qw(ZooKeeper ZooKeeper::Error ZooKeeper::MultiRead ZooKeeper::Transaction)) {
    my $new  = defined &{"${class}::new"} && \&{"${class}::new"};
    my $info = $new && Sub::Defer::defer_info($new);
    print "$class has no constructor yet\n" if !$new || $info && !$info->[3];
}
print "$ZooKeeper::MultiRead::VERSION\n";
PERL
    open my $output, '-|', $^X, ( map { "-I$_" } grep { !ref } @INC ), '-e', $program, 'Steps::Delete'
      or die "perl: $!\n";
    is join( '', <$output> ), "$ZooKeeper::VERSION\n", 'all methods are there';
};

subtest 'trees' => sub {
    my %tree = (
        'a node alone' => [],
        'wide'         => [ 1 .. 3_000 ],
        'deep'         => [ map { join '/', 1 .. $_ } 1 .. 60 ],
        'both'         => [
            map {
                my $a = $_;
                (
                    $a,
                    map {
                        ( "$a/$_", map { "$a/$_" } () )
                    } 1 .. 50
                )
            } 'a' .. 'z'
        ],
        'a deep one beside wide ones' => [
            ( map { join '/', ('d') x $_ } 1 .. 60 ),
            ( map { "d/$_" } 1 .. 1_500 ),
            ( map { "d/d/$_" } 1 .. 1_500 )
        ],
    );
    for my $name ( sort keys %tree ) {
        my $top  = tree( @{ $tree{$name} } );
        my $sent = $zk->get_all_children_number($top);
        is $sent, scalar @{ $tree{$name} }, "$name: $sent nodes below";
        is_deeply [ deadline 60, sub { $zk->delete( $top, recursive => 1 ) } ], [], "$name: returns nothing";
        gone( $top, $name );
    }
    is code_of( sub { $zk->delete( "$base/none", recursive => 1 ) } ), ZNONODE, 'no node';
    my $line = __LINE__ + 1;
    ok !eval { $zk->delete( "$base/none", recursive => 1 ); 1 }, 'which throws';
    is "$@", "Error deleting node '$base/none': no node at ${\ __FILE__} line $line.\n", 'with these words';
};

subtest 'recursive as an argument' => sub {
    my $top = tree(qw(a b));
    is code_of( sub { $zk->delete( $top, recursive => $_ ) } ), ZNOTEMPTY, 'not wanted' for 0, '', undef;
    $zk->delete( $top, recursive => 1, version => undef, request_timeout => undef );
    gone( $top, 'undef counts as not given' );
};

subtest 'what can not be' => sub {
    for my $form ( 'delete', 'delete_f', 'cb' ) {
        my $delete = sub {
            my (@args) = @_;
            return $form eq 'cb' ? $zk->delete( @args, cb => sub { } ) : $zk->$form(@args);
        };
        is code_of( sub { $delete->( '/', recursive => 1 ) } ), ZBADARGUMENTS, "$form: the root";
        like "$@",
          qr{\AError deleting node '/': bad arguments: the root can not be deleted at \Q${\ __FILE__}\E line},
          'words';
        for my $path ( 'x', '', '/a/', '/a//b', "/a\0", undef ) {
            is code_of( sub { $delete->( $path, recursive => 1 ) } ), ZBADARGUMENTS, "$form: a wrong path";
            like "$@", qr{\AError deleting node '.*': bad arguments: }s, 'is said of the call';
        }
        ok !eval { $delete->( [], recursive => 1 ); 1 }, "$form: a path that is a reference";
        like $@, qr/\Adelete: path must be a string, not a reference at \Q${\ __FILE__}\E line/,
          'is said of the call, too';
        my $top = tree('x');
        for my $version ( 'x', '1.5', 1 << 31 ) {
            is code_of( sub { $delete->( $top, recursive => 1, version => $version ) } ), ZBADARGUMENTS,
              "$form: version $version";
            like "$@", qr{\AError deleting node '\Q$top\E': bad arguments: version '$version' },
              'is said of the call';
        }
        ok $zk->exists("$top/x"), 'nothing was deleted';
    }
};

subtest 'with a version' => sub {
    my $top = tree( 1 .. 700 );
    $zk->set( $top, 'x' );
    for my $version ( 0, 2, 77 ) {
        ok !eval { $zk->delete( $top, recursive => 1, version => $version ); 1 }, "another one: $version";
        is $@->code, ZBADVERSION, 'code';
        is $@->path, $top,        'path';
    }
    is $zk->get_all_children_number($top), 700, 'deletes nothing';
    $zk->delete( $top, recursive => 1, version => 1 );
    gone( $top, 'the right one' );
    $top = tree('x');
    $zk->delete( $top, recursive => 1, version => -1 );
    gone( $top, 'any: -1' );
    is code_of( sub { $zk->delete( $top, recursive => 1, version => 0 ) } ), ZNONODE, 'no node';
};

subtest 'a node that must not be deleted or listed' => sub {
    my @read_only = { ZOO_ANYONE_ID_UNSAFE, perms => ZOO_PERM_READ };
    my $top       = tree( 'a', 'a/b', 'a/b/c', 'z' );
    $zk->set_acl( "$top/a/b", \@read_only );    # so what is below can't be deleted
    ok !eval { $zk->delete( $top, recursive => 1 ); 1 }, 'deleting fails';
    is $@->code, ZNOAUTH,      'code';
    is $@->path, "$top/a/b/c", 'names the node';
    is $@->op,   'delete',     'op';
    ok $zk->exists("$top/a/b/c"), 'and leaves it';
    $top = tree( 'a', 'a/b' );
    $zk->set_acl( "$top/a", [ { ZOO_ANYONE_ID_UNSAFE, perms => ZOO_PERM_DELETE } ] );
    ok !eval { $zk->delete( $top, recursive => 1 ); 1 }, 'listing fails';
    is $@->code, ZNOAUTH,  'code';
    is $@->path, "$top/a", 'names the node';
};

subtest 'batches that fit jute_maxbuffer' => sub {
    my $small = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe', jute_maxbuffer => 20_000 );
    for my $names ( [ map { $_ x 1 . 'n' x 200 } 1 .. 800 ],
        [ map { sprintf "%s-%d", "\xe2\x98\xba" x 100, $_ } 1 .. 300 ] )
    {
        my $top = tree(@$names);
        deadline 60, sub { $small->delete( $top, recursive => 1 ) };
        gone( $top, 'long names' );
    }
    my $text =
      ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe', jute_maxbuffer => 20_000, utf8 => 1 );
    my $top = tree( map { sprintf "%s-%d", "\xe2\x98\xba" x 100, $_ } 1 .. 300 );
    deadline 60, sub { $text->delete( $top, recursive => 1 ) };
    gone( $top, 'text' );
    my $chroot = join '/', $base, map { 'c' x 200 } 1 .. 5;
    $zk->create( $chroot, parents => 1 );
    create_children( $zk, $chroot, 't', map { "t/$_" } 1 .. 400 );
    my $below =
      ZooKeeper->new( hosts => $server->hosts . $chroot, dispatcher => 'Pipe', jute_maxbuffer => 20_000 );
    deadline 60, sub { $below->delete( '/t', recursive => 1 ) };
    gone( "$chroot/t", 'a long chroot' );
};

subtest 'whatever is being asked when it fails: the error is about the call' => sub {
    my $top = tree( map { ( $_, "$_/x" ) } 1 .. 9 );
    for my $form (qw(delete delete_f)) {
        my %asked;
        for my $number ( 1 .. 4 ) {
            my ( $ended, $asking, $own ) = (0);
            my $start = sub { $asking = $_[0]{op} };
            my $end   = sub { $own->close if ++$ended == $number };
            $own = ZooKeeper->new(
                hosts      => $server->hosts,
                dispatcher => 'Pipe',
                tracer     => { start => $start, end => $end }
            );
            my $later = eval { $own->$form( $top, recursive => 1 ) };
            eval { $later->get } if $later;
            my $error = $@;
            undef $own;
            is ref $error && $error->code, ZCLOSING, "$form, after question $number: $asking";
            is $error->op,                 'delete', 'op';
            is $error->path,               $top,     'path';
            like $error,
              qr{\AError deleting node '\Q$top\E': zookeeper is closing at \Q${\ __FILE__}\E line},
              'message';
            $asked{$asking} = 1;
        }
        is_deeply [ sort keys %asked ], [qw(get_children multi_read)], 'all that it asks but the last';
    }
};

subtest 'a path of characters above 255, names of bytes below it' => sub {
    my ( $smile, $bytes ) = ( "\x{263a}", "\xe2\x98\xba" );
    for my $form ( 'delete', 'delete_f' ) {
        my $path = $zk->create( "$base/$smile", parents => 1 );
        is $path, "$base/$bytes", 'without utf8 they come back as bytes';
        create_children( $zk, $path, map { $_, "$_/$bytes" } $bytes, 'x' );
        my $result = $zk->$form( "$base/$smile", recursive => 1 );
        $result->get if $form ne 'delete';
        gone( $path, $form );
    }
    ok !eval { $zk->delete( "$base/$smile", recursive => 1 ); 1 }, 'when it is no more';
    is $@->path, "$base/$smile", 'the error has the path as it was given';
    like $@, qr/\AError deleting node '\Q$base\E\/$smile': no node at /, 'and so do its words';
};

subtest 'several processes delete the same tree at once' => sub {
    for my $round ( 1 .. 5 ) {
        my $top = tree(
            map {
                my $a = $_;
                ( $a, map { "$a/$_" } 1 .. 30 )
            } 'a' .. 'z'
        );
        pipe my $read, my $write or die "pipe: $!";
        my @said;
        my @pids = map {
            my $pid = fork // die "fork: $!";
            if ( !$pid ) {
                alarm 120;
                my $own = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
                $own->wait_connected(60);
                my $code = code_of( sub { $own->delete( $top, recursive => 1 ) } );
                syswrite $write, "$code\n";
                $own->close;
                POSIX::_exit(0);
            }
            $pid
        } 1 .. 4;
        close $write;
        deadline 120, sub { chomp( @said = <$read> ) };
        waitpid $_, 0 for @pids;
        is_deeply [ grep { $_ != ZOK && $_ != ZNONODE } @said ], [],
          "round $round: each succeeds or finds no node (@said)";
        is @said, 4, 'all have answered';
        cmp_ok scalar( grep { $_ == ZOK } @said ), '>', 0, 'one has done it';
        gone( $top, "round $round" );
    }
};

subtest 'somebody creates below meanwhile' => sub {
    my $top   = tree( map { ( $_, "$_/x" ) } 1 .. 400 );
    my $maker = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
    $maker->exists('/');
    my $future = $zk->delete_f( $top, recursive => 1 );
    my ( $made, $n ) = ( 0, 0 );
    while ( !$future->is_ready ) {
        $n++;
        if ( $made >= 45 ) {    # one who goes on for fifty attempts would win in the end: "not empty"
            deadline 60, sub { $future->await };
            last;
        }
        my $place = $n % 400 + 1;
        $made++
          if eval { $maker->create("$top/$place/new-$n"); 1 } || eval { $maker->create("$top/new-$n"); 1 };
        1 while $zk->dispatcher->dispatch_event;
    }
    ok $future->is_done, 'it succeeds' or diag $future->failure;
    cmp_ok $made, '>', 0, "$made nodes were made meanwhile";
    gone( $top, 'at last' );
};

subtest 'without waiting' => sub {
    my $top = tree( map { ( $_, "$_/x" ) } 1 .. 100 );
    my @answers;
    is_deeply [ $zk->delete( $top, recursive => 1, cb => sub { push @answers, [@_] } ) ], [],
      'returns nothing';
    soon_ok { 1 while $zk->dispatcher->dispatch_event; @answers } 60, 'cb is called';
    is_deeply \@answers, [ [undef] ], 'without an error';
    gone( $top, 'cb' );
    $zk->delete( $top, recursive => 1, cb => sub { push @answers, [@_] } );
    soon_ok { 1 while $zk->dispatcher->dispatch_event; @answers > 1 } 60, 'no node: it is called, too';
    is $answers[1][0]->code, ZNONODE, 'with the error';
    $top = tree( 1 .. 1_500 );
    is_deeply [ deadline 60, sub { $zk->delete_f( $top, recursive => 1 )->get } ], [], 'a future';
    gone( $top, 'future' );
};

subtest 'the handle goes in the middle: each is answered once' => sub {
    for my $way ( 'destroyed', 'closed' ) {
        my $own        = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
        my $dispatcher = $own->dispatcher;
        $own->wait_connected(30);
        my ( @answers, @tops );
        for my $n ( 1 .. 3 ) {
            push @tops, my $top = tree( 1 .. 1_200 );
            $own->delete( $top, recursive => 1, cb => sub { push @{ $answers[ $n - 1 ] }, $_[0] } );
        }
        my $future = $own->delete_f( $tops[0], recursive => 1 );
        $dispatcher->dispatch_event for 1 .. 2;
        $way eq 'closed' ? $own->close : undef $own;
        my $end = time + 20;
        while ( time < $end && ( !$future->is_ready || 3 > grep { $_ } @answers[ 0 .. 2 ] ) ) {
            1 while $dispatcher->dispatch_event;
        }
        1 while $dispatcher->dispatch_event;
        is_deeply [ map { scalar @{ $_ // [] } } @answers[ 0 .. 2 ] ], [ 1, 1, 1 ], "$way: once";
        my %codes = map { ( defined $_ ? $_->code : 0 ) => 1 } map { @$_ } @answers;
        is_deeply [ grep { $_ != ZCLOSING } keys %codes ], [],
          "$way: by these codes: @{[ sort keys %codes ]}";
        ok $future->is_ready, "$way: a future, too";
    }
};

subtest 'the connection is lost in the middle' => sub {
    my $proxy = FaultProxy->new( $server->hosts );
    my %seen;
    for my $round ( 1 .. 12 ) {
        my $top = tree( map { ( $_, "$_/x" ) } 1 .. 600 );
        my $own = ZooKeeper->new( hosts => $proxy->hosts, dispatcher => 'Pipe', timeout => 30_000 );
        $own->wait_connected(30);
        my $future = $own->delete_f( $top, recursive => 1 );
        1 while $own->dispatcher->dispatch_event;
        for ( 1 .. $round ) { 1 while $own->dispatcher->dispatch_event; select undef, undef, undef, 0.002 }
        $proxy->harm( $round % 2 ? 'reset' : 'cut', 0 );
        deadline 60, sub { Future->wait_all($future)->get };
        my $code = $future->is_done ? ZOK : ( $future->failure )[0]->code;
        $seen{$code}++;
        my $again = ZCONNECTIONLOSS;    # the cut may only come now

        for ( 1 .. 3 ) {
            last if $again != ZCONNECTIONLOSS;
            $again = code_of(
                sub {
                    $own->wait_connected(30);
                    deadline 60, sub { $own->delete( $top, recursive => 1 ) }
                }
            );
        }
        ok $again == ZOK || $again == ZNONODE, "round $round ($code): a second attempt does the rest"
          or diag $again;
        gone( $top, "round $round" );
    }
    is_deeply [ grep { $_ != ZOK && $_ != ZCONNECTIONLOSS } keys %seen ], [],
      "it succeeds or says so (@{[ %seen ]})";
};

done_testing;

# The tracer of a handle: what it is told of each request, in every form.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Child;
use CountingProxy;
use FakeZK;
use Spans;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my $base   = fresh_path('tracer');

sub handle {
    my (%arg) = @_;
    return ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe', timeout => 30_000, %arg );
}

sub run_until {
    my ( $zk, $condition ) = @_;
    return wait_for { $zk->wait(0.01); $condition->() } 30, 'answers';
}

# A server of Perl that answers requests with ZNONODE, but those of which the code says true.
sub fake {
    my ($is_special) = @_;
    return FakeZK->new(
        sub {
            my ($connection) = @_;
            $connection->handshake or return;
            while ( defined( my $frame = $connection->frame ) ) {
                my ( $xid, $op ) = unpack 'l> l>', $frame;
                next if $is_special->( $connection, $frame );
                $connection->send_frame( pack 'l> q> l>', $xid, 1, $op < 0 ? ZOK : ZNONODE );
            }
        }
    );
}

my @forms = ( '', 'cb', 'f' );
push @forms, 'p' if eval { require Mojo::Promise };

# Makes a call in one of its forms and waits for the answer: error and results.
sub answer {
    my ( $form, $zk, $on, $method, @args ) = @_;
    my @answer;
    if ( !$form ) {
        my @result = eval { $on->$method(@args) };
        return $@ ? $@ : ( undef, @result );
    }
    if ( $form eq 'cb' ) {
        $on->$method( @args, cb => sub { @answer = @_ } );
    }
    else {
        my $name  = "${method}_$form";
        my $later = $on->$name(@args);
        $later->on_done( sub { @answer = ( undef, @_ ) } )->on_fail( sub { @answer = @_ } ) if $form eq 'f';
        $later->then( sub { @answer    = ( undef, @_ ) }, sub { @answer = @_ } ) if $form eq 'p';
    }
    run_until( $zk, sub { scalar @answer } );
    return @answer;
}

subtest 'arguments' => sub {
    my $code = sub { };
    for my $bad (
        [ 'x',                ' must be a hash ref {start, end}' ],
        [ [],                 ' must be a hash ref {start, end}' ],
        [ { start => 1 },     ': start must be a code reference' ],
        [ { end => [] },      ': end must be a code reference' ],
        [ { begin => $code }, q( has no 'begin', only start and end) ],
      )
    {
        my ( $value, $message ) = @$bad;
        is eval { ZooKeeper->new( hosts => 'x', tracer => $value ); 1 }, undef, "refused:$message";
        like $@, qr/\Anew: tracer\Q$message\E at \Q${\ __FILE__}\E line/, 'in plain words';
    }
    my $count = 0;
    for my $tracer ( { start => sub { $count++ } }, { end => sub { $count++ }, start => undef }, {}, undef ) {
        my $zk = handle( tracer => $tracer );
        is ref $zk->exists('/'), 'HASH', 'either may be left out';
    }
    is $count, 2, 'the other is called';
    my $zk = handle( tracer => { end => bless( [], 'Callable' ) } );
    $zk->exists('/');
    is_deeply \@Callable::told, ['exists'], 'an object that can be called will do';
    $zk->reopen( tracer => { start => sub { $count++ } } );
    $zk->exists('/');
    is_deeply [ $count, scalar @Callable::told ], [ 3, 1 ], 'reopen changes it';
    $zk->reopen( tracer => {} );
    $zk->exists('/');
    is $count,                    3,      'and takes it away';
    is ref handle()->exists('/'), 'HASH', 'other handles have none';
};

for my $form (@forms) {
    my $name = $form ? "form $form" : 'blocking';
    subtest "every command, $name" => sub {
        my $proxy = CountingProxy->new( $server->hosts );
        my ( $spans, @ended ) = Spans->new;
        my $zk = handle(
            hosts  => $proxy->hosts,
            tracer => $spans->tracer,
            ( $form eq 'p' ? ( dispatcher => 'Mojo' ) : () )
        );
        my $path = fresh_path();
        $zk->wait_connected(30);
        my @calls = (
            [ add_auth     => 'digest', 'a:b' ],
            [ create       => $path,    value => 'v' ],
            [ exists       => $path ],
            [ exists       => "$path-none", watcher => sub { } ],
            [ get          => $path ],
            [ set          => $path, 'w', version => 0 ],
            [ get_children => $path, watcher => sub { } ],
            [ get_acl      => $path ],
            [ set_acl      => $path, ZOO_OPEN_ACL_UNSAFE ],
            [ ensure_path  => "$path/a/b" ],
            [ delete       => "$path/a/b" ],
        );
        for my $call (@calls) {
            my ( $method, @args ) = @$call;
            my ($error) = answer( $form, $zk, $zk, $method, @args );
            is $error, undef, $method;
        }
        my ( undef, @results ) =
          answer( $form, $zk, $zk->transaction->create("$path/t")->delete("$path/t"), 'commit' );
        is_deeply \@results, [ { type => 'create', path => "$path/t" }, { type => 'delete' } ],
          'a transaction';
        ( undef, @results ) = answer( $form, $zk, $zk->multi_read->get($path)->get("$path/none"), 'commit' );
        is_deeply [ map { $_->{type} } @results ], [qw(get error)], 'a multi_read';
        is_deeply [ $spans->plain ],
          [
            'add_auth - 0',
            ( map { "$_ 0" } "create $path", "exists $path", "exists $path-none", "get $path", "set $path" ),
            ( map { "$_ 0" } "get_children $path", "get_acl $path", "set_acl $path" ),
            ( map { "$_ " . ZNONODE } "create $path/a/b" ),
            "create $path/a 0",
            "create $path/a/b 0",
            "delete $path/a/b 0",
            'commit - 0',
            'multi_read - 0',
          ],
          'all are there, composites as what they are made of';
        is_deeply [ $spans->wrong ], [], 'each begins and ends once';
        my ( undef, @sent ) = unpack '(N/a*)*', ( $proxy->connections )[0]{sent};
        my @on_wire = map { [ length, unpack 'l>', $_ ] } grep { unpack( 'x4 l>', $_ ) != 11 } @sent;
        is_deeply [ map { [ @{ $_->{start} }{qw(bytes xid)} ] } $spans->all ], \@on_wire,
          'length and xid are those of the frames on the wire';
        is_deeply [ grep { join( ' ', sort keys %{ $_->{start} } ) ne 'bytes op path xid' } $spans->all ], [],
          'what is there at the beginning';
        is_deeply [ grep { join( ' ', sort keys %{ $_->{end} } ) ne 'bytes duration_us error op path xid' }
              $spans->all ],
          [], 'and at the end';
        is_deeply [ grep { $_->{end}{duration_us} !~ /\A[0-9]+\z/ } $spans->all ], [], 'whole microseconds';
    };

    subtest "failures, $name" => sub {
        my $spans   = Spans->new;
        my @more    = $form eq 'p' ? ( dispatcher => 'Mojo' ) : ();
        my $zk      = handle( tracer => $spans->tracer, @more );
        my ($error) = answer( $form, $zk, $zk, get => "$base-none" );
        cmp_ok $error, '==', ZNONODE, 'the call fails as ever';
        my ($span) = $spans->all;
        is $span->{end}{error}, $error, 'and that is the error';
        ok $span->{end}{xid} > 0, 'with a number';
        $spans->clear;

        my $ask = sub {
            my ( $method, @args ) = @_;
            my ($error) = eval { answer( $form, $zk, $zk, $method, @args ) };
            return $error // $@;
        };
        cmp_ok $ask->( get => 'no-slash' ), '==', ZBADARGUMENTS, 'a path that no server would take';
        cmp_ok $ask->( set => $base, 'x' x 2_000_000 ), '==', ZBADARGUMENTS, 'a request that is too long';
        is_deeply [ $spans->plain ], [ 'get no-slash ' . ZBADARGUMENTS, "set $base " . ZBADARGUMENTS ],
          'are refused requests';
        is_deeply [ map { @{ $_->{end} }{qw(xid bytes)} } $spans->all ], [ (undef) x 4 ],
          'without number and length';
        $spans->clear;
        like $ask->( set => $base, [] ), qr/\Aset: .*must be/, 'arguments of a wrong type';
        is_deeply [ $spans->all ],   [], 'are none';
        is_deeply [ $spans->wrong ], [], 'each begins and ends once';

        $zk->close;
        cmp_ok $ask->( get => '/' ), '==', ZINVALIDSTATE, 'a closed handle';
        is_deeply [ $spans->plain ], [ 'get / ' . ZINVALIDSTATE ], 'and so it ends';
        is_deeply [ $spans->wrong ], [],                           'once';
    };
}

subtest 'errors name the line of the program' => sub {
    my $spans = Spans->new;
    my $zk    = handle( tracer => $spans->tracer );
    my ( @got, @expected );
    my $told = sub {
        my ($error) = @_;
        push @got, $error =~ /at \Q${\ __FILE__}\E line (\d+)/;
    };
    eval { $zk->get("$base-none") };
    push @expected, __LINE__ - 1;
    $told->($@);
    $zk->get( "$base-none", cb => $told );
    push @expected, __LINE__ - 1;
    run_until( $zk, sub { @got == 2 } );
    my $future = $zk->get_f("$base-none");
    push @expected, __LINE__ - 1;
    $told->( $future->failure );
    eval { $zk->get('x') };
    push @expected, __LINE__ - 1;
    $told->($@);
    is_deeply \@got, \@expected, 'in every form';
};

subtest 'contexts' => sub {
    my $zk = handle( tracer => Spans->new->tracer );
    $zk->ensure_path( $base, value => 'v' );
    $zk->create("$base/$_") for 1 .. 3;
    is scalar $zk->get($base), 'v', 'scalar';
    is_deeply [ map { ref } $zk->get($base) ], [ '', 'HASH' ], 'list';
    is scalar( $zk->get_children($base) ), 3, 'how many';
    is_deeply [ scalar $zk->exists("$base-none"), $zk->exists("$base-none") ], [ undef, undef ], 'undef';
    is_deeply [ $zk->set_acl( $base, ZOO_OPEN_ACL_UNSAFE ) ],                  [],               'nothing';
    $zk->delete("$base/$_") for 1 .. 3;
    local $@ = 'as it was';
    $zk->exists($base);
    is $@, 'as it was', '$@';
};

subtest 'the same hash, and what the program keeps in it' => sub {
    my @seen;
    my $zk = handle(
        tracer => {
            start => sub { $_[0]{mine} = 'kept'; push @seen, $_[0] },
            end   => sub { push @seen, $_[0], $_[0]{mine} }
        }
    );
    $zk->exists('/');
    is $seen[0], $seen[1], 'the same';
    is $seen[2], 'kept',   'with all that is in it';
    my $order = '';
    $zk->reopen(
        tracer => {
            map {
                my $name = $_;
                $name => sub { $order .= "$name " }
            } qw(start end)
        }
    );
    $zk->exists( '/', cb => sub { $order .= 'callback ' } );
    $order .= 'returned ';
    run_until( $zk, sub { $order =~ /callback/ } );
    is $order, 'start returned end callback ', 'the end comes before the callback';
};

subtest 'a request that waits for a connection gets its number later' => sub {
    my $spans = Spans->new;
    $server->pause;
    my $zk = handle( tracer => $spans->tracer );
    my $done;
    $zk->exists( '/',  cb => sub { } );
    $zk->exists( '/x', cb => sub { $done = 1 } );
    my ( $first, $second ) = $spans->all;
    is $first->{start}{xid},   undef, 'none at the beginning';
    is $first->{start}{bytes}, 14,    'but a length';
    $server->resume;
    run_until( $zk, sub { $done } );
    is_deeply [ map { $_->{end}{xid} } $first, $second ], [ 1, 2 ], 'one at the end';
    $spans->clear;
    $zk->reopen;
    $zk->exists('/');
    is_deeply [ map { $_->{end}{xid} } $spans->all ], [1], 'of a blocking call, too';
};

subtest 'a lost connection' => sub {
    my $spans = Spans->new;
    my $lose  = sub {
        my ( $connection, $frame ) = @_;
        return 1 if $frame =~ /mute/;
        return   if $frame !~ /lose/;
        $connection->reset;
        die "lost\n";
    };
    my $fake = fake($lose);
    my $zk   = handle( hosts => $fake->hosts, tracer => $spans->tracer );
    $zk->wait_connected(30);
    my $count = 0;
    $zk->get( "/$_", cb => sub { $count++ } ) for qw(mute lose);
    run_until( $zk, sub { $count == 2 } );
    is_deeply [ $spans->plain ], [ map { "get /$_ " . ZCONNECTIONLOSS } qw(mute lose) ], 'is how they end';
    $spans->clear;
    ok !eval { $zk->get('/lose'); 1 }, 'a blocking call';
    is_deeply [ $spans->plain ], [ 'get /lose ' . ZCONNECTIONLOSS ], 'ends the same';
    is_deeply [ $spans->wrong ], [],                                 'each begins and ends once';
};

subtest 'no answer in time' => sub {
    my $spans = Spans->new;
    my $fake  = fake( sub { $_[1] =~ /mute/ } );
    my $zk    = handle( hosts => $fake->hosts, tracer => $spans->tracer );
    my $done;
    ok !eval { $zk->get( '/mute', request_timeout => 0.2 ); 1 }, 'a blocking call';
    $zk->get( '/mute', request_timeout => 0.2, cb => sub { $done = 1 } );
    run_until( $zk, sub { $done } );
    is_deeply [ $spans->plain ], [ ( 'get /mute ' . ZOPERATIONTIMEOUT ) x 2 ], 'is how they end';
    is_deeply [ $spans->wrong ], [],                                           'each begins and ends once';
    cmp_ok $_->{end}{duration_us}, '>=', 100_000, 'it took its time' for $spans->all;
};

subtest 'the handle goes' => sub {
    my $fake = fake( sub { $_[1] =~ /mute/ } );
    my ( $spans, $told ) = ( Spans->new, 0 );
    my $zk = handle( hosts => $fake->hosts, tracer => $spans->tracer );
    $zk->get( '/mute', cb => sub { $told++ } ) for 1 .. 2;
    my $future = $zk->get_f('/mute');
    $zk->close;
    run_until( $zk, sub { $told == 2 } );
    is_deeply [ $spans->plain ], [ ( 'get /mute ' . ZCLOSING ) x 3 ], 'closed';
    is_deeply [ $spans->wrong ], [],                                  'each begins and ends once';
    $spans->clear;
    $zk->reopen;
    $zk->get( '/mute', cb => sub { $told++ } );
    $zk->get_f('/mute')->cancel;
    undef $zk;
    is $told, 3, 'the callback was called';
    is_deeply [ $spans->plain ], [ ( 'get /mute ' . ZCLOSING ) x 2 ],
      'destroyed; one that was cancelled ends as well';
    is_deeply [ $spans->wrong ], [], 'each begins and ends once';
};

subtest 'no room' => sub {
    my $spans = Spans->new;
    my $fake  = fake( sub { $_[1] =~ /mute/ } );
    my $zk    = handle( hosts => $fake->hosts, tracer => $spans->tracer, max_in_flight => 1 );
    $zk->wait_connected(30);
    my @codes;
    $zk->get( '/mute', cb => sub { } );
    $zk->get( '/more', cb => sub { push @codes, $_[0]->code } );
    run_until( $zk, sub { scalar @codes } );
    is_deeply [ ( $spans->plain )[1], @codes ], [ 'get /more ' . ZTHROTTLEDOP, ZTHROTTLEDOP ],
      'is how it ends';
    is( ( $spans->all )[1]{end}{bytes}, undef, 'without a frame' );
};

subtest 'a thousand at once' => sub {
    my $spans = Spans->new;
    my ( $zk, $count, @order ) = ( handle( tracer => $spans->tracer ), 0 );
    $zk->wait_connected(30);
    $zk->exists( "/n$_", cb => sub { $count++ } ) for 1 .. 1_000;
    run_until( $zk, sub { $count == 1_000 } );
    is_deeply [ $spans->wrong ], [], 'each begins and ends once';
    is_deeply [ map { $_->{start}{path} . ' ' . $_->{end}{xid} } $spans->all ],
      [ map { "/n$_ $_" } 1 .. 1_000 ],
      'numbers rise as requests are made';
};

subtest 'functions that make requests' => sub {
    my ( $spans, $zk, $later ) = ( Spans->new, undef, 0 );
    my $ask = sub {
        return if $_[0]{path} ne '/zookeeper';
        $zk->get('/');
        $zk->exists( '/', cb => sub { $later++ } );
    };
    $zk = handle( tracer => $spans->tracer( start => $ask, end => $ask ) );
    my $done;
    deadline 60, sub {
        is_deeply [ sort $zk->get_children('/zookeeper') ], [qw(config quota)],
          'the call gets its own answer';
        $zk->exists( '/zookeeper', cb => sub { $done = ref $_[1] } );
        run_until( $zk, sub { $done && $later == 4 } );
    };
    is $done, 'HASH', 'and a callback its own';
    is_deeply [ $spans->wrong ], [], 'each begins and ends once';
};

subtest 'functions that die' => sub {
    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, @_; die "a warning that dies\n" };
    local $SIG{__DIE__}  = sub { push @warnings, "not for the program: $_[0]" if $_[0] =~ /oops/ };
    my $zk = handle(
        tracer => {
            map {
                my $name = $_;
                $name => sub { die "oops, $name\n" }
            } qw(start end)
        }
    );
    is ref $zk->exists('/'), 'HASH', 'the call has its reply';
    ok !eval { $zk->get("$base-none"); 1 }, 'or its error';
    cmp_ok $@, '==', ZNONODE, '  which is';
    my $done;
    $zk->exists( '/', cb => sub { $done = ref $_[1] } );
    run_until( $zk, sub { $done } );
    is $done, 'HASH', 'and so has a callback';
    is_deeply \@warnings,
      [ map { "ZooKeeper: the tracer's $_ died: oops, $_\n" } (qw(start end)) x 3 ], 'there are warnings';
};

subtest 'functions that leave loops' => sub {
    no warnings 'exiting';
    my $zk = handle( tracer => { start => sub { last }, end => sub { next } } );
    my @got;
    for my $path ( '/', '/zookeeper' ) {
        push @got, ref $zk->exists($path);
        push @got, 'end';
    }
    is_deeply \@got, [ 'HASH', 'end', 'HASH', 'end' ], 'not those of the program';
};

subtest 'functions that end the program' => sub {
    for my $which (qw(start end)) {
        my ( $pid, $output ) = child_program( <<'PROGRAM', $server->hosts, $which );
use ZooKeeper;
my ( $hosts, $which ) = @ARGV;
my $zk = ZooKeeper->new( hosts => $hosts, dispatcher => 'Pipe', tracer => { $which => sub { exit 3 } } );
$zk->exists('/');
print "still there\n";
PROGRAM
        my $said = join '', <$output>;
        close $output;
        is $? >> 8, 3,  "$which: with its own status";
        is $said,   '', 'at once';
    }
    my $zk = handle( tracer => { start => sub { $? = 1 }, end => sub { $? = 2 } } );
    local $? = 7;
    $zk->exists('/');
    is $?, 7, 'a program that goes on has its $? as it was';
};

subtest 'a signal handler that dies' => sub {
    my $spans = Spans->new;
    my $fake  = fake( sub { $_[1] =~ /mute/ } );
    my $zk    = handle( hosts => $fake->hosts, tracer => $spans->tracer );
    $zk->wait_connected(30);
    my $error = do {
        local $SIG{ALRM} = sub { die "enough\n" };
        alarm 1;
        eval { $zk->get('/mute') };
        $@;
    };
    is $error, "enough\n", 'ends the call';
    is( ( $spans->all )[0]{end}{error}, "enough\n", 'and that is its end' );
    is_deeply [ $spans->wrong ], [], 'once';
    soon_ok {
        !eval { $zk->get('/x'); 1 } && $@ == ZNONODE
    }
    30, 'the handle goes on';
};

subtest 'a forked child' => sub {
    my $spans = Spans->new;
    my $zk    = handle( tracer => $spans->tracer );
    $zk->exists('/');
    $spans->clear;
    my @said = in_child {
        eval { $zk->exists('/') };
        $zk->reopen;
        $zk->exists('/');
        ( $spans->plain, $spans->wrong );
    };
    is_deeply \@said, [ 'exists / ' . ZINVALIDSTATE, 'exists / 0' ], 'traces its own';
    $zk->exists('/');
    is_deeply [ $spans->plain ], ['exists / 0'], 'and the parent goes on';
};

done_testing;

package Callable;
use overload '&{}' => sub {
    return sub { push @Callable::told, $_[0]{op} }
};
our @told;

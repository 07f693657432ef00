# The promises of NAME_p: Mojo's own, settled with what the blocking call returns or throws.
use strict;
use warnings;
use Test::More;
use lib 't/lib';

BEGIN {
    $ENV{MOJO_REACTOR} = 'Mojo::Reactor::Poll';
    plan skip_all => 'needs Mojolicious (package libmojolicious-perl)'
      if !eval { require Mojo::IOLoop; require Mojo::Promise };
}
use Child;
use TestZK;
use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my $zk     = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Mojo' );
my $setup  = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
my $top    = $setup->create( fresh_path('promises') );

# What a promise comes to: "resolve" or "reject", and the values.
sub outcome {
    my ($promise) = @_;
    my @outcome;
    $promise->then( sub { @outcome = ( resolve => @_ ) }, sub { @outcome = ( reject => @_ ) } );
    my $loop = $promise->ioloop;
    deadline 60, sub { $loop->one_tick until @outcome };
    return @outcome;
}

sub is_resolved {
    my ( $promise, $values, $name ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is_deeply [ outcome($promise) ], [ resolve => @$values ], $name;
}

subtest 'every command has one' => sub {
    my $node = "$top/commands";
    my $acl  = [ { id => 'anyone', scheme => 'world', perms => ZOO_PERM_ALL } ];
    my @promises;
    my $ask = sub {
        my ( $method, @args ) = @_;
        my $promise = $zk->$method(@args);
        is ref $promise, 'Mojo::Promise', $method;
        return $promise;
    };
    is_resolved $ask->( create_p => $node, value => 'v' ),         [$node],                'the path created';
    is_resolved $ask->( create_p => "$node/n-", sequential => 1 ), ["$node/n-0000000000"], 'with its number';
    is_resolved $ask->( ensure_path_p => "$node/a/b" ),            ["$node/a/b"],          'the path';
    is_resolved $ask->( get_p => $node ),                          [ $zk->get($node) ],    'data and stat';
    is_resolved $ask->( exists_p => $node ),                       [ $zk->exists($node) ], 'a stat';
    is_resolved $ask->( exists_p => "$node/none" ), [undef], 'undef for a node that is not there';
    my ( $how, @children ) = outcome( $ask->( get_children_p => $node ) );
    is_deeply [ $how, sort @children ], [qw(resolve a n-0000000000)], 'names';
    is_resolved $ask->( set_p      => $node, 'w' ),           [ $zk->exists($node) ],          'the new stat';
    is_resolved $ask->( get_acl_p  => $node ),                [ $zk->get_acl($node) ],         'acl and stat';
    is_resolved $ask->( set_acl_p  => $node, $acl ),          [ $zk->set_acl( $node, $acl ) ], 'nothing';
    is_resolved $ask->( delete_p   => "$node/n-0000000000" ), [],                              'nothing';
    is_resolved $ask->( add_auth_p => digest => 'me:secret' ), [], 'nothing, when the server has answered';

    my $commit = $zk->transaction->set( $node, 'x' )->check( $node, 2 )->commit_p;
    is ref $commit, 'Mojo::Promise', 'commit_p of a transaction';
    is_resolved $commit, [ { type => 'set', stat => $zk->exists($node) }, { type => 'check' } ],
      'its results';
    my $read = $zk->multi_read->get($node)->get_children("$node/a")->commit_p;
    is ref $read, 'Mojo::Promise', 'commit_p of a multi_read';
    my ( $value, $stat ) = $zk->get($node);
    is_resolved $read,
      [ { type => 'get', value => $value, stat => $stat }, { type => 'get_children', children => ['b'] } ],
      'its results';
};

subtest 'an error' => sub {
    my $line    = __LINE__ + 1;
    my $promise = $zk->get_p("$top/none");
    my ( $how, @why ) = outcome($promise);
    is $how,        'reject', 'rejects';
    is scalar @why, 1,        'with one thing';
    isa_ok $why[0], 'ZooKeeper::Error';
    is $why[0]->code, ZNONODE,     'the code';
    is $why[0]->path, "$top/none", 'the path';
    is "$why[0]", "Error getting data for node '$top/none': no node at ${\ __FILE__} line $line.\n",
      'the message, with the line of the call';

    my @failed = $zk->transaction->check( "$top/none", 0 )->commit_p;
    is + ( outcome( $failed[0] ) )[1]{code}, ZNONODE, 'an operation that fails is no error of the commit';

    my $closed = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Mojo' );
    $closed->close;
    my $late;
    ok eval { $late = $closed->get_p($top); 1 }, 'a handle that was closed does not throw' or diag $@;
    is + ( outcome($late) )[1]->code, ZINVALIDSTATE, 'it rejects';
};

subtest 'bad arguments throw at the call' => sub {
    my @cases = (
        [ sub { $zk->get_p('no/slash') },                         qr/bad arguments/,           'a path' ],
        [ sub { $zk->create_p( "$top/x", acl => 'all' ) },        qr/acl/i,                    'an ACL' ],
        [ sub { $zk->set_p($top) },                               qr/expected path and value/, 'too few' ],
        [ sub { $zk->get_p( $top, watcher => 'me' ) },            qr/watcher must be a code/,  'a watcher' ],
        [ sub { $zk->get_p( $top, request_timeout => 'x' ) },     qr/request_timeout/,         'a time' ],
        [ sub { $zk->transaction->create('no/slash')->commit_p }, qr/bad arguments/, 'an operation' ],
        [ sub { $zk->ensure_path_p('no/slash') },                 qr/bad arguments/, 'ensure_path' ],
    );
    for my $case (@cases) {
        my ( $code, $message, $name ) = @$case;
        my $promise;
        ok !eval { $promise = $code->(); 1 }, $name;
        like $@, $message,                              'says so';
        like $@, qr/ at \Q${\ __FILE__}\E line \d+\.$/, 'and where';
    }
    is_deeply [ $zk->get_watchers ], [], 'no watcher is left of it';

    my @warnings;
    {
        local $SIG{__WARN__} = sub { push @warnings, @_ };
        is_resolved $zk->exists_p( $top, cb => sub { fail 'called' } ), [ $zk->exists($top) ], 'cb';
    }
    is scalar @warnings, 1, 'has no effect';
    like $warnings[0], qr/exists_p: unknown argument 'cb' has no effect at \Q${\ __FILE__}\E line/,
      'with a warning';
};

subtest 'what is made of them' => sub {
    my $node = $setup->create( "$top/made", value => 'v' );
    is_resolved $zk->get_p($node)->then( sub { $zk->set_p( $node, "$_[0]w" ) } )
      ->then( sub { $zk->get_p($node) } )->then( sub { "is $_[0]" } ), ['is vw'], 'then: one after the other';
    is_resolved $zk->get_p("$node/none")->catch( sub { $_[0] == ZNONODE ? 'none' : die $_[0] } ), ['none'],
      'catch';
    my $finally = 0;
    is_resolved $zk->get_p($node)->finally( sub { $finally++ } )->then( sub { $_[0] } ), ['vw'], 'finally';
    is $finally, 1, 'is called';
    is_resolved( Mojo::Promise->all( map { $zk->get_p($_) } $node, $top ),
        [ [ $zk->get($node) ], [ $zk->get($top) ] ], 'all' );
    is + ( outcome( Mojo::Promise->all( map { $zk->get_p($_) } $node, "$top/none" ) ) )[1]->code, ZNONODE,
      'all: one that fails';
    is_resolved( Mojo::Promise->race( $zk->get_p($node), Mojo::Promise->timer( 60, 'late' ) ),
        [ $zk->get($node) ], 'race' );
    is_resolved( Mojo::Promise->any( map { $zk->get_p($_) } "$top/none", $node ), [ $zk->get($node) ],
        'any' );
    my @nodes = map { "$node/$_" } 1 .. 200;
    is_resolved(
        Mojo::Promise->map( { concurrency => 10 }, sub { $zk->create_p($_) }, @nodes ),
        [ map { [$_] } @nodes ],
        'map, ten at a time'
    );
    deadline 60, sub {
        $zk->delete_p( $nodes[0] )->wait;
    };
    is $setup->exists( $nodes[0] ), undef, 'wait';
    my $died = ( outcome( $zk->get_p($node)->then( sub { die "oops\n" } ) ) )[1];
    is $died, "oops\n", 'what dies in a callback is the next one\'s error';
};

subtest 'in the order of the calls, and between the events' => sub {
    my $node = $setup->create( "$top/order", value => 0 );
    my @order;
    $zk->get_p( $node, watcher => sub { push @order, 'event' } )->then( sub { push @order, 'read' } );
    $zk->set_p( $node, $_ )->then( sub { push @order, "set $_[0]{version}" } ) for 1 .. 3;
    deadline 60, sub { Mojo::IOLoop->one_tick until @order == 5 };
    is_deeply [ grep { $_ ne 'event' } @order ], [ 'read', map { "set $_" } 1 .. 3 ], 'answers';
    my ($event) = grep { $order[$_] eq 'event' } 0 .. 4;
    ok defined $event, 'and the event';
};

subtest 'a rejection that nobody handles' => sub {
    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, @_ };
    $zk->get_p("$top/none");
    is_deeply \@warnings, [], 'is not known yet';
    deadline 60, sub { Mojo::IOLoop->one_tick until @warnings };
    like $warnings[0], qr{\AUnhandled rejected promise: Error getting data for node '\Q$top\E/none': no node},
      'warns as Mojo does';
    @warnings = ();
    outcome( $zk->get_p("$top/none") );
    is_deeply \@warnings, [], 'one that is handled does not';
    {
        my $dropped = $zk->get_p($top);
    }
    outcome( $zk->get_p($top) );
    is_deeply \@warnings, [], 'nor does one that is let go of';
};

subtest 'a loop of the program' => sub {
    my $loop = Mojo::IOLoop->new;
    require ZooKeeper::Dispatcher::Mojo;
    my $own = ZooKeeper->new(
        hosts      => $server->hosts,
        dispatcher => ZooKeeper::Dispatcher::Mojo->new( loop => $loop )
    );
    my $promise = $own->get_p($top);
    is $promise->ioloop, $loop, 'is the one of the promise';
    my @in;
    my $last = $promise->then( sub { push @in, $loop->is_running, Mojo::IOLoop->is_running } );
    is $last->ioloop, $loop, 'and of those made of it';
    deadline 60, sub { $last->wait };
    is_deeply \@in, [ 1, '' ], 'in which they are settled' or diag explain \@in;
};

subtest 'the end of the session' => sub {
    my %outcome;
    my $ask = sub {
        my ($name) = @_;
        my $handle = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Mojo' );
        $handle->wait_connected;
        $server->pause;    # nothing is answered
        my $promise = $handle->get_p($top);
        $promise->then( sub { $outcome{$name} = 'resolved' }, sub { $outcome{$name} = $_[0]->code } );
        return $handle;
    };
    my $closing = $ask->('close');
    $closing->close;
    $server->resume;
    my $gone = $ask->('destruction');
    undef $gone;
    $server->resume;
    deadline 60, sub { Mojo::IOLoop->one_tick until 2 == keys %outcome };
    is_deeply \%outcome, { close => ZCLOSING, destruction => ZCLOSING }, 'rejects what is pending';

    my $handle = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Mojo' );
    $handle->wait_connected;
    $server->expire_session($handle);
    my ( $how, $error );
    deadline 60, sub {
        until ( $error && $error->is_session_lost ) {
            ( $how, $error ) = outcome( $handle->get_p($top) );
        }
    };
    is $how,         'reject',        'expiry does, too';
    is $error->code, ZSESSIONEXPIRED, 'by its name';
    $handle->reopen;
    is + ( outcome( $handle->get_p($top) ) )[0], 'resolve', 'after reopen there are others';
};

subtest 'async and await' => sub {
    plan skip_all => 'needs Future::AsyncAwait (package libfuture-asyncawait-perl)'
      if !eval { require Future::AsyncAwait; Future::AsyncAwait->VERSION(0.52); 1 };
    my $made = eval <<'CODE' or die $@;    ## no critic (StringyEval)
        package Awaiting;
        use Mojo::Base -strict, -async_await;
        sub Awaiting::made {
            my ($zk) = @_;
            return {
                copy => async sub {
                    my ( $from, $to ) = @_;
                    my ( $data, $stat ) = await $zk->get_p($from);
                    await $zk->create_p( $to, value => $data );
                    return ( $stat->{version}, await $zk->get_p($to) );
                },
                caught => async sub {
                    my ($path) = @_;
                    return eval { await $zk->get_p($path); 1 } ? 'there' : $@;
                },
                loop => async sub {
                    my ($path) = @_;
                    my @versions;
                    for my $value ( 1 .. 20 ) {
                        push @versions, ( await $zk->set_p( $path, $value ) )->{version};
                    }
                    return @versions;
                },
            };
        }
        Awaiting::made($zk);
CODE
    my $node = $setup->create( "$top/await", value => 'v' );
    my $copy = $made->{copy}->( $node, "$node/copy" );
    is ref $copy, 'Mojo::Promise', 'an async sub gives a promise';
    my ( $how, @values ) = outcome($copy);
    is_deeply [ $how, @values ], [ resolve => 0, $zk->get("$node/copy") ], 'of what it returns';
    is + ( outcome( $made->{copy}->( $node, "$node/copy" ) ) )[1]->code, ZNODEEXISTS,
      'or of what await throws';
    is + ( outcome( $made->{caught}->("$top/none") ) )[1]->code, ZNONODE, 'which eval catches';
    is_resolved $made->{loop}->($node), [ 1 .. 20 ], 'in a loop';
};

subtest 'other dispatchers' => sub {
    my %reactor = ( AnyEvent => 'Mojo::Reactor::EV', 'IOAsync' => 'Mojo::Reactor::Poll' );
    my $program = <<'CODE';
my ( $hosts, $path, $dispatcher, $loop ) = @ARGV;
if ( !eval "require $loop; 1" ) { print "missing\n"; exit }
require Mojo::IOLoop;
require ZooKeeper;
my $zk = ZooKeeper->new( hosts => $hosts, dispatcher => $dispatcher );
my @said = ref Mojo::IOLoop->singleton->reactor;
my $beside;
if ( $dispatcher eq 'IOAsync' ) {    # a loop that knows nothing of Mojo's has to be run
    my $io = IO::Async::Loop->new;
    $beside = Mojo::IOLoop->recurring( 0.01 => sub { $io->loop_once(0) } );
}
$zk->get_p($path)->then( sub { push @said, $_[0]; $zk->get_p("$path/none") } )
  ->catch( sub { push @said, $_[0]->error } )->wait;
print join( ', ', @said ), "\n";
CODE
    $setup->set( $top, 'data' );
    my @cases = (
        [ AnyEvent => 'EV',              'EV',   'libev-perl' ],
        [ AnyEvent => 'EV',              'Poll', 'libev-perl' ],
        [ IOAsync  => 'IO::Async::Loop', 'Poll', 'libio-async-perl' ],
    );
    for my $case (@cases) {
        my ( $dispatcher, $loop, $reactor, $package ) = @$case;
      SKIP: {
            local $ENV{MOJO_REACTOR} = "Mojo::Reactor::$reactor";
            my $code = $program;

            # With a loop of its own Mojo would not let AnyEvent's run.
            $code =~
s/^my \$beside;$/my \$beside = Mojo::IOLoop->recurring( 0.01 => sub { EV::run( EV::RUN_NOWAIT() ) } );/m
              if $dispatcher eq 'AnyEvent' && $reactor eq 'Poll';
            my ( $pid, $output ) = child_program( $code, $server->hosts, $top, $dispatcher, $loop );
            my $said = deadline 60, sub { local $/; readline $output };
            close $output;
            skip "$dispatcher and $reactor: $loop is missing (package $package)", 1 if $said eq "missing\n";
            is $said, "Mojo::Reactor::$reactor, data, no node\n", "$dispatcher, with Mojo::Reactor::$reactor";
        }
    }
};

done_testing;

use strict;
use warnings;
use Test::More;
use lib 't/lib';

use Child qw(in_child);
use FaultProxy;
use List::Util qw(max);
use TestZK;
use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my $other  = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
my $base   = fresh_path('persistent');
$other->create($base);
my $count = 0;

sub handle { return ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe', @_ ) }

sub fresh_node {
    my $path = "$base/" . ++$count;
    $other->create($path);
    return $path;
}

# Dispatches all that has come before the answer to a question.
sub drain {
    my ($zk) = @_;
    eval { $zk->exists('/') };
    1 while $zk->dispatcher->dispatch_event;
    return;
}

sub said {
    my ($events) = @_;
    return join ' ', map { "$_->{type}:$_->{path}" } splice @$events;
}

subtest 'a watcher, and what it hears of' => sub {
    for my $recursive ( 0, 1 ) {
        my $zk   = handle();
        my $path = fresh_node();
        $other->delete($path);
        my @events;
        my $watcher =
          $zk->add_watch( $path, watcher => sub { push @events, $_[0] }, recursive => $recursive );
        isa_ok $watcher, 'ZooKeeper::Watcher', 'what is returned';
        ok $watcher->persistent, 'persistent';
        is $watcher->type, $recursive ? 'persistent_recursive' : 'persistent', 'type';
        is $watcher->path, $path,                                              'path';
        is_deeply [ $zk->get_watchers( path => $path ) ],          [$watcher], 'get_watchers has it';
        is_deeply [ $zk->get_watchers( type => $watcher->type ) ], [$watcher], 'by its type, too';
        my @steps = (
            [ create  => [$path],                        "1:$path", "1:$path" ],
            [ set     => [ $path, 'x' ],                 "3:$path", "3:$path" ],
            [ create  => ["$path/a"],                    "4:$path", "1:$path/a" ],
            [ set     => [ "$path/a", 'x' ],             '',        "3:$path/a" ],
            [ create  => ["$path/a/b"],                  '',        "1:$path/a/b" ],
            [ delete  => ["$path/a/b"],                  '',        "2:$path/a/b" ],
            [ delete  => ["$path/a"],                    "4:$path", "2:$path/a" ],
            [ set_acl => [ $path, ZOO_OPEN_ACL_UNSAFE ], '',        '' ],
            [ delete  => [$path],                        "2:$path", "2:$path" ],
            [ create  => [$path],                        "1:$path", "1:$path" ],
        );

        for my $step ( @steps, @steps[ 1 .. 8 ] ) {
            my ( $method, $args, @expected ) = @$step;
            $other->$method(@$args);
            drain($zk);
            is said( \@events ), $expected[$recursive], "recursive $recursive: $method $args->[0]";
        }
        ok !$watcher->done, 'and it goes on';
        $zk->get( '/', watcher => sub { } );
        is( ( $zk->get_watchers( path => '/' ) )[0]->persistent, 0, 'an ordinary one is not persistent' );
    }
};

subtest 'arguments, forms and errors' => sub {
    my $zk   = handle();
    my $path = fresh_node();
    for my $wrong ( undef, 'x', [] ) {
        ok !eval { $zk->add_watch( $path, watcher => $wrong ); 1 }, 'no code reference';
        my $words = defined $wrong ? 'the watcher must be a code reference' : 'watcher is required';
        like "$@", qr/\Aadd_watch: $words at \Q${\ __FILE__}\E/, 'is said';
    }
    for my $wrong ( 'x', '', '/a/', undef ) {
        ok !eval {
            $zk->add_watch( $wrong, watcher => sub { } );
            1;
        }, 'a wrong path';
        is $@->code, ZBADARGUMENTS, 'code';
        like "$@", qr/\AError adding a watch on node '.*': bad arguments/, 'words';
    }
    is_deeply [ $zk->get_watchers ], [], 'nothing is left of these';
    my ( @answers, @events );
    is_deeply [
        $zk->add_watch( $path, watcher => sub { push @events, $_[0] }, cb => sub { push @answers, [@_] } ) ],
      [],
      'with cb nothing is returned';
    soon_ok { drain($zk); @answers } 60, 'cb is called';
    is $answers[0][0], undef, 'without an error';
    isa_ok $answers[0][1], 'ZooKeeper::Watcher', 'with the watcher, which';
    my $watcher = deadline 30, sub {
        $zk->add_watch_f( $path, watcher => sub { push @events, $_[0] } )->get;
    };
    isa_ok $watcher, 'ZooKeeper::Watcher', 'what a future gives';
    $other->set( $path, 'x' );
    drain($zk);
    is said( \@events ), "3:$path 3:$path", 'both hear';
    my $closed = handle();
    $closed->close;
    my $future = $closed->add_watch_f( $path, watcher => sub { } );
    drain($closed);
    is $future->is_failed && ( $future->failure )[0]->code, ZINVALIDSTATE, 'of a closed handle it fails';
    is_deeply [ $closed->get_watchers ], [], 'and leaves no watcher';
};

subtest 'text and chroot' => sub {
    my $zk = handle( hosts => $server->hosts . $base, utf8 => 1 );
    my @events;
    $zk->create("/\x{e9}");
    $zk->add_watch( "/\x{e9}", watcher => sub { push @events, $_[0] }, recursive => 1 );
    $other->create("$base/\xc3\xa9/\xe2\x98\xba");
    drain($zk);
    is_deeply [ map { $_->{path} } @events ], ["/\x{e9}/\x{263a}"], 'the path of the event is text';
    $zk->add_watch( '/', watcher => sub { push @events, $_[0] }, recursive => 1 );
    @events = ();
    $other->create("$base/root");
    drain($zk);
    is said( \@events ), '1:/root', 'recursive from the root of the chroot';
};

subtest 'beside watches that end with their event' => sub {
    my %one_shot = (
        get          => [ 'set',    3 ],
        exists       => [ 'set',    3 ],
        get_children => [ 'create', 4 ],
    );
    for my $recursive ( 0, 1 ) {
        for my $method ( sort keys %one_shot ) {
            for my $first ( 'persistent', 'one-shot' ) {
                for my $lost ( 0, 1 ) {
                    my ( $zk,    $path ) = ( handle(), fresh_node() );
                    my ( @stays, @ends );
                    my %add = (
                        persistent => sub {
                            $zk->add_watch(
                                $path,
                                watcher   => sub { push @stays, $_[0] },
                                recursive => $recursive
                            );
                        },
                        'one-shot' => sub {
                            scalar $zk->$method( $path, watcher => sub { push @ends, $_[0] } );
                        },
                    );
                    my $name = "$method, recursive $recursive, $first first, connection lost $lost";
                    $add{$_}->() for $first, grep { $_ ne $first } sort keys %add;
                    if ($lost) {
                        $server->lose_connection($zk);
                        wait_for {
                            drain($zk);
                            grep { $_->{type} == ZOO_RESYNC_EVENT } @stays
                        }
                        30, 'the new connection';
                        $zk->exists('/');    # behind which the watches are armed
                        @stays = ();
                    }
                    my ( $change, $type ) = @{ $one_shot{$method} };
                    for my $round ( 1 .. 3 ) {
                        $change eq 'set' ? $other->set( $path, 'x' ) : $other->create("$path/$round");
                        drain($zk);
                        is said( \@ends ), $round == 1 ? "$type:$path" : '', "$name: once";
                        is said( \@stays ),
                          $change eq 'set' ? "3:$path" : $recursive ? "1:$path/$round" : "4:$path",
                          "$name: always";
                    }
                    $other->set( $path, 'x' );
                    drain($zk);
                    is said( \@stays ), "3:$path", "$name: the persistent one is what it was";
                }
            }
        }
    }
};

subtest 'after a reconnect each watcher gets one resync event, behind the session event and before others' =>
  sub {
    my @seen;
    my $zk = handle( watcher => sub { push @seen, "session $_[0]{state}" } );
    my ( $one, $two ) = ( fresh_node(), fresh_node() );
    $zk->add_watch( $one, watcher => sub { push @seen, "one $_[0]{type} $_[0]{path} $_[0]{state}" } );
    $zk->add_watch(
        $two,
        watcher   => sub { push @seen, "two $_[0]{type} $_[0]{path} $_[0]{state}" },
        recursive => 1
    );
    $zk->add_watch(
        $two,
        watcher   => sub { push @seen, "three $_[0]{type} $_[0]{path} $_[0]{state}" },
        recursive => 1
    );
    drain($zk);
    my @resyncs = ( "one -3 $one 3", "two -3 $two 3", "three -3 $two 3" );

    for my $round ( 1 .. 4 ) {
        @seen = ();
        if ( $round == 4 ) {
            $server->restart(0);
        }
        else {
            $server->lose_connection($zk);
        }
        wait_for {
            drain($zk);
            grep { /three -3/ } @seen
        }
        60, 'the resync events';
        $zk->exists('/');    # whoever asks on this handle now is answered when the watches are armed
        $other->wait_connected(60);
        $other->set( $one, $round );
        $other->create("$two/$round");
        drain($zk);
        my ($connected) = grep { $seen[$_] eq 'session 3' } 0 .. $#seen;
        is_deeply [ sort @seen[ $connected + 1 .. $connected + 3 ] ], [ sort @resyncs ],
          "round $round: resync behind the session event";
        is_deeply [ @seen[ $connected + 4 .. $#seen ] ],
          [ "one 3 $one 3", "two 1 $two/$round 3", "three 1 $two/$round 3" ],
          "round $round: then what is new"
          or diag explain \@seen;
    }
    my @fresh;
    $zk->add_watch( $one, watcher => sub { push @fresh, $_[0]{type} } );
    drain($zk);
    is_deeply \@fresh, [], 'a new watcher gets none';
  };

subtest 'whoever reads again at each event and resync ends with the true state' => sub {
    my $proxy = FaultProxy->new( $server->hosts );
    my $zk    = ZooKeeper->new( hosts => $proxy->hosts, dispatcher => 'Pipe', timeout => 30_000 );
    my $path  = fresh_node();
    $other->create( "$path/n", value => 0 );
    my ( %state, $stale, $resyncs );
    my $read = sub {
        my ( $data, $stat ) = eval { $zk->get("$path/n") };
        my @names = eval { $zk->get_children($path) };
        return $stale = 1 if $@;    # a resync follows when there is a connection again
        $stale = 0;
        %state = ( data => $data, names => join ' ', sort @names );
    };
    my $dirty = 0;
    $zk->add_watch(
        $path,
        recursive => 1,
        watcher   => sub { $dirty = 1; $resyncs++ if $_[0]{type} == ZOO_RESYNC_EVENT }
    );
    srand 7;
    for my $n ( 1 .. 300 ) {
        $other->set( "$path/n", $n );
        $n % 3 ? $other->create("$path/c$n") : $other->delete( "$path/c" . ( $n - 1 ) );
        $proxy->harm( rand() < 0.5 ? 'reset' : 'cut', 0 ) if $n % 20 == 0;
        1 while $zk->dispatcher->dispatch_event;
        $read->() if $dirty && !( $dirty = 0 );
    }
    my $names = join ' ', sort $other->get_children($path);
    soon_ok {
        1 while $zk->dispatcher->dispatch_event;
        $read->() if ( $dirty || $stale ) && !( $dirty = 0 );
        ( $state{data} // '' ) eq '300'   && $state{names} eq $names;
    }
    60, 'the true state, without a change that would call it again';
    cmp_ok $resyncs, '>', 0, 'there were resync events';
};

subtest 'more events than max_in_flight become one resync event, and then they flow again' => sub {
    my $zk   = handle( max_in_flight => 50 );
    my $path = fresh_node();
    my ( @deep, @flat );
    $zk->add_watch( $path, watcher => sub { push @deep, $_[0] }, recursive => 1 );
    $other->create("$path/x");
    $zk->add_watch( "$path/x", watcher => sub { push @flat, $_[0] } );
    for my $round ( 1 .. 3 ) {
        $other->ensure_path("$path/x/y");
        drain($zk);
        ( @deep, @flat ) = ();
        deadline 60, sub {
            Future->needs_all( map { $other->set_f( "$path/x/y", $_ ) } 1 .. 1_000 )->get;
        };
        $zk->exists('/');
        cmp_ok $zk->dispatcher->channel->size, '<=', 120, 'what is queued is bounded';
        drain($zk);
        is scalar( grep { $_->{type} == 3 && $_->{path} eq "$path/x/y" } @deep ), 50,
          "round $round: so many events";
        is_deeply $deep[-1], { type => ZOO_RESYNC_EVENT, state => ZOO_CONNECTED_STATE, path => $path },
          'and one that says that there were more, with the path of the watch';
        is @deep, 51, 'and nothing else';
        is @flat, 0,  'the other watcher has nothing to do with it';
        @deep = ();
        $other->set( "$path/x/y", 'again' );
        drain($zk);
        is said( \@deep ), "3:$path/x/y", 'then they flow again';
    }
};

subtest 'a watcher that dies goes on' => sub {
    my $zk    = handle();
    my $path  = fresh_node();
    my $heard = 0;
    $zk->add_watch( $path, watcher => sub { $heard++; die "so what\n" } );
    for my $n ( 1 .. 3 ) {
        $other->set( $path, 'x' );
        $zk->exists('/');
        ok !eval { 1 while $zk->dispatcher->dispatch_event; 1 }, 'it comes out';
        is $@,     "so what\n", 'as it is';
        is $heard, $n,          "and is called again: $n";
    }
};

subtest 'removed within its callback, and in another one' => sub {
    my $zk   = handle();
    my $path = fresh_node();
    my ( @first, $first, $second, @second );
    $first = $zk->add_watch( $path,
        watcher =>
          sub { push @first, $_[0]{type}; $zk->remove_watches( $path, watcher => $second ) if @first == 1 } );
    $second = $zk->add_watch( $path, watcher => sub { push @second, $_[0]{type} } );
    $other->set( $path, $_ ) for 1 .. 3;
    drain($zk);
    is "@first",    '3 3 3', 'the one that goes on';
    is $second[-1], 7,       'the one that was removed hears that last';
    my $self;
    my @own;
    $self = $zk->add_watch( $path, watcher => sub { push @own, $_[0]{type}; $zk->remove_watcher($self) } );
    $other->set( $path, $_ ) for 1 .. 3;
    drain($zk);
    is "@own", '3', 'remove_watcher within its callback: no more';
};

subtest 'expiry' => sub {
    for my $wanted ( 0, 1 ) {
        my $zk   = handle( ignore_session_events => !$wanted );
        my $path = fresh_node();
        my @events;
        $zk->add_watch( $path, watcher => sub { push @events, $_[0] } );
        $server->expire_session($zk);
        wait_for { drain($zk); $zk->is_unrecoverable } 30, 'the session is over';
        $other->set( $path, 'x' );
        drain($zk);

        # It may have come back for a moment before.
        my @all = map { "$_->{type}/$_->{state}" } grep { $_->{type} != ZOO_RESYNC_EVENT } @events;

        if ($wanted) {
            is $all[-1], join( '/', ZOO_SESSION_EVENT, ZOO_EXPIRED_SESSION_STATE ),
              'session events wanted: expired';
        }
        else {
            is "@all", '', 'otherwise nothing more';
        }
        $zk->reopen;
        is_deeply [ $zk->get_watchers ], [], 'it does not outlive the session';
        @events = ();
        $other->set( $path, 'y' );
        drain($zk);
        is_deeply [ grep { $_->{type} > 0 } @events ], [], 'not with a new one';
    }
};

subtest 'close, destruction, a forked child' => sub {
    my $path = fresh_node();
    my $zk   = handle();
    my @events;
    my $watcher = $zk->add_watch( $path, watcher => sub { push @events, $_[0]{type} } );
    is in_child {
        my $said = eval {
            $zk->add_watch( '/', watcher => sub { } );
            1;
        } ? 'worked' : $@->code;
        $zk->dispatcher->dispatch_event;
        return "$said " . @events;
    }, ZINVALIDSTATE . ' 0', 'in a child it does nothing';
    in_child { return } exit => 1;
    $other->set( $path, 1 );
    drain($zk);
    is "@events", '3', 'the parent has not lost it';
    $zk->close;
    ok $watcher->done, 'closed: done';
    undef $zk;
    $zk = handle();
    my $weak = 0;
    {
        my $guard = bless [ \$weak ], 'Guard';
        $zk->add_watch( $path, watcher => sub { push @events, $guard } );
    }
    undef $zk;
    is $weak, 1, 'the handle is destroyed: so is what the watcher has';
    $other->set( $path, 2 );
    is scalar(@events), 1, 'and it hears no more';
    sub Guard::DESTROY { ${ $_[0][0] }++; return }
};

done_testing;

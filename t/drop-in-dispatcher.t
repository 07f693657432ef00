use strict;
use warnings;
use Test::More;
use lib 't/lib';
use DropIn;
use TestZK;

use Scalar::Util qw(refaddr weaken);
use ZooKeeper;
use ZooKeeper::Constants;
use ZooKeeper::Dispatcher;
use ZooKeeper::Dispatcher::AnyEvent;
use ZooKeeper::Dispatcher::Pipe;

# ZooKeeper::Dispatcher. What is said of all kinds is asked of those that need no other loop in this program.
my @kinds = qw(ZooKeeper::Dispatcher ZooKeeper::Dispatcher::Pipe ZooKeeper::Dispatcher::AnyEvent);

sub event {
    my ( $path, $type ) = @_;
    return { type => $type // ZOO_CHANGED_EVENT, state => ZOO_CONNECTED_STATE, path => $path // '/x' };
}

for my $class (@kinds) {
    my $kind = $class =~ s/.*:://r;

    subtest "$kind: constructing one needs no server" => sub {
        my $dispatcher = $class->new;
        isa_ok $dispatcher, 'ZooKeeper::Dispatcher';
        isa_ok $dispatcher, 'Moo::Object';
        ok !$class->new( ignore_session_events => 0 )->ignore_session_events,     'arguments as a list';
        ok !$class->new( { ignore_session_events => 0 } )->ignore_session_events, 'or one hash ref';
    };

    subtest "$kind: channel, watchers, dispatch_cb, ignore_session_events (rw)" => sub {
        my $dispatcher = $class->new;
        isa_ok $dispatcher->channel, 'ZooKeeper::Channel', 'channel';
        is_deeply $dispatcher->watchers, {}, 'watchers';
        ok thrown { $dispatcher->channel(1) },  'channel can not be set';
        ok thrown { $dispatcher->watchers(1) }, 'watchers can not be set';
        ok $dispatcher->ignore_session_events,     'ignore_session_events is true';
        ok !$dispatcher->ignore_session_events(0), 'and can be set';
        is ref $dispatcher->dispatch_cb, 'CODE', 'dispatch_cb';
        my $cb = sub { };
        $dispatcher->dispatch_cb($cb);
        is $dispatcher->dispatch_cb,                       $cb, 'can be set';
        is $class->new( dispatch_cb => $cb )->dispatch_cb, $cb, 'or given';
    };

    subtest "$kind: watchers: path -> type -> a hash of the watchers by address" => sub {
        my $dispatcher = $class->new;
        my ( $get, $twin, $exists ) =
          map {
            $dispatcher->create_watcher( '/x', sub { }, type => $_ )
          } qw(get get exists);
        my $other = $dispatcher->create_watcher( '/y', sub { }, type => 'get' );
        is_deeply $dispatcher->watchers,
          {
            '/x' => {
                get    => { refaddr($get)    => $get, refaddr($twin) => $twin },
                exists => { refaddr($exists) => $exists },
            },
            '/y' => { get => { refaddr($other) => $other } },
          },
          'all of them';
    };

    subtest "$kind: create_watcher, get_watchers, remove_watcher" => sub {
        my $dispatcher = $class->new;
        my $cb         = sub { };
        my $watcher    = $dispatcher->create_watcher( '/x', $cb, type => 'get' );
        isa_ok $watcher, 'ZooKeeper::Watcher';
        is_deeply [ $watcher->path, $watcher->cb, $watcher->type ], [ '/x', $cb, 'get' ], 'create_watcher';
        my $twin  = $dispatcher->create_watcher( '/x', $cb, type => 'get' );
        my $other = $dispatcher->create_watcher( '/x', $cb, type => 'exists' );
        my $found = sub {
            [ sort map { refaddr $_ } $dispatcher->get_watchers(@_) ]
        };
        is_deeply $found->( path => '/x', type => 'get' ), [ sort map { refaddr $_ } $watcher, $twin ],
          'get_watchers';
        is_deeply $found->( path => '/x', type => 'get_children' ), [], 'none of a type';
        is_deeply $found->( path => '/y', type => 'get' ),          [], 'none of a path';
        $dispatcher->remove_watcher($watcher);
        is_deeply $found->( path => '/x', type => 'get' ), [ refaddr $twin ], 'remove_watcher';
        $dispatcher->remove_watcher($_) for $twin, $other;
        is_deeply $dispatcher->watchers, {}, 'to the last';
    };

    subtest "$kind: recv_event: undef when empty; the event it returns carries the watcher" => sub {
        my $dispatcher = $class->new;
        is_deeply [ $dispatcher->recv_event ], [undef], 'empty';
        my $watcher = $dispatcher->create_watcher( '/x', sub { fail 'it is called' }, type => 'get' );
        $dispatcher->send_event( event(), $watcher );
        is_deeply $dispatcher->recv_event, { %{ event() }, watcher => $watcher }, 'an event';
        is_deeply [ $dispatcher->recv_event ], [undef], 'was all';
    };

    subtest "$kind: dispatch_event: returns the event without watcher, or undef" => sub {
        my $dispatcher = $class->new;
        is_deeply [ $dispatcher->dispatch_event ], [undef], 'empty';
        my @seen;
        my $watcher = $dispatcher->create_watcher( '/x', sub { push @seen, @_ }, type => 'get' );
        $dispatcher->send_event( event(), $watcher );
        is_deeply $dispatcher->dispatch_event,     event(),     'an event';
        is_deeply \@seen,                          [ event() ], 'is what the watcher gets';
        is_deeply [ $dispatcher->dispatch_event ], [undef],     'was all';
        is_deeply $dispatcher->watchers, {},       'and the watcher is gone';
    };

    subtest "$kind: send_event, trigger_event" => sub {
        my $dispatcher = $class->new;
        my @seen;
        my ( $first, $second ) = map {
            my $number = $_;
            $dispatcher->create_watcher( '/x', sub { push @seen, [ $number, @_ ] }, type => 'get' )
        } 1, 2;
        $dispatcher->create_watcher( '/x', sub { fail 'of another type' }, type => 'exists' );
        $dispatcher->create_watcher( '/y', sub { fail 'of another path' }, type => 'get' );
        $dispatcher->send_event( event('/sent'), $second );
        1 while $dispatcher->dispatch_event;
        is_deeply \@seen, [ [ 2, event('/sent') ] ], 'send_event: to one watcher';
        @seen = ();
        $dispatcher->create_watcher( '/x', sub { push @seen, [ 3, @_ ] }, type => 'get' );
        $dispatcher->trigger_event( path => '/x', type => 'get', event => event() );
        1 while $dispatcher->dispatch_event;
        is_deeply [ sort { $a->[0] <=> $b->[0] } @seen ], [ [ 1, event() ], [ 3, event() ] ],
          'trigger_event: to all of a path and type';
    };

    subtest "$kind: two watchers with the same path and type are two watchers: both are called" => sub {
        my $dispatcher = $class->new;
        my $calls      = 0;
        my $cb         = sub { $calls++ };
        $dispatcher->create_watcher( '/x', $cb, type => 'get' ) for 1 .. 2;
        $dispatcher->trigger_event( path => '/x', type => 'get', event => event() );
        1 while $dispatcher->dispatch_event;
        is $calls, 2, 'with the same callback';
    };

    subtest "$kind: dispatch_cb: called once per item while there is one; by default calls dispatch_event" =>
      sub {
        my $dispatcher = $class->new;
        my ( $seen, $items ) = ( 0, 0 );
        my $watch = sub {
            $dispatcher->create_watcher( '/x', sub { $seen++ }, type => 'get' );
        };
        $dispatcher->send_event( event(), $watch->() ) for 1 .. 2;
        $dispatcher->wait(60) for 1 .. 2;
        is $seen, 2, 'the default one';
        $dispatcher->dispatch_cb( sub { $items++; $dispatcher->dispatch_event } );
        $dispatcher->send_event( event(), $watch->() ) for 1 .. 3;
        $dispatcher->wait(60) for 1 .. 3;
        is $items,                  3,     'another one, once per item';
        is $seen,                   5,     'which dispatched';
        is $dispatcher->wait(0.05), undef, 'nothing is left';
        is $items,                  3,     'and it is not called for nothing';
      };

    subtest "$kind: wait(\$seconds)" => sub {
        my $dispatcher = $class->new;
        is_deeply [ $dispatcher->wait(0.05) ], [undef], 'undef when the time is over';
        $dispatcher->send_event( event("/$_"), $dispatcher->create_watcher( '/x', sub { }, type => 'get' ) )
          for 1, 2;
        is $dispatcher->wait(60)->{path}, '/1', 'one event';
        is $dispatcher->wait->{path},     '/2', 'and the next';
    };

    subtest "$kind: leaks nothing: its watchers and events go with it" => sub {
        my @weak;
        for my $dispatched ( 0, 1 ) {
            my $dispatcher = $class->new;
            my $object     = {};
            my @watchers   = map {
                $dispatcher->create_watcher( '/x', sub { $object }, type => $_ )
            } qw(get get default);
            my $event = event();
            $dispatcher->send_event( $event, $_ ) for @watchers;
            if ($dispatched) { 1 while $dispatcher->dispatch_event }
            weaken( $weak[@weak] = $_ ) for $dispatcher, $object, $event, @watchers, $dispatcher->channel;
        }
        is scalar( grep { defined } @weak ), 0, 'all are gone';
    };
}

# The others, each in a program of its own. An event may be dispatched as soon as it is sent.
my $program = <<'PERL';
use strict;
use warnings;
my $class = 'ZooKeeper::Dispatcher::' . shift;
eval "require $class; 1" or die $@;
my ( $dispatcher, $calls ) = ( $class->new, 0 );
$dispatcher->create_watcher( '/x', sub { $calls++ }, type => 'get' ) for 1 .. 2;
$dispatcher->trigger_event( path => '/x', type => 'get', event => { type => 3, state => 3, path => '/x' } );
for ( 1 .. 600 ) { $dispatcher->wait(0.1) if $calls < 2 }
print "isa\n" if $dispatcher->isa('ZooKeeper::Dispatcher');
print "$calls calls\n";
print "nothing more\n" if !defined $dispatcher->wait(0.1);
PERL
for my $name ( dispatcher_names() ) {
    my ($output) = run_perl( $program, $name );
    like $output, qr/^isa\n2 calls\nnothing more\n/m, "$name: dispatches what is triggered";
}

my $server = test_server();
my $setup  = ZooKeeper->new( hosts => $server->hosts );
my $base   = fresh_path('dispatcher');
$setup->create( $base, value => 'v' );

subtest 'types used by the handle: default, add_auth, exists, get, get_children' => sub {
    my $zk = ZooKeeper->new( hosts => $server->hosts, watcher => sub { }, dispatcher => 'Pipe' );
    my @auth;
    $zk->add_auth( 'digest', 'a:b', watcher => sub { push @auth, @_ } );
    is_deeply [ map { $_->type } $zk->get_watchers( type => 'add_auth' ) ], ['add_auth'],
      'add_auth, until its answer';
    next_events( $zk, \@auth, 1 );
    $zk->$_( $base, watcher => sub { } ) for qw(exists get get_children);
    is_deeply [ sort map { $_->type } $zk->get_watchers ], [qw(default exists get get_children)],
      'the others';
    is_deeply [ sort keys %{ $zk->dispatcher->watchers->{$base} } ], [qw(exists get get_children)],
      'under the path of the node';
};

subtest 'one fd, and polling: 1 while $zk->dispatcher->dispatch_event, any number of times, at any moment' =>
  sub {
    my $zk         = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
    my $dispatcher = $zk->dispatcher;
    my $readable   = sub {
        my ($seconds) = @_;
        vec( my $set = '', $dispatcher->fd, 1 ) = 1;
        return scalar select $set, undef, undef, $seconds;
    };
    like $dispatcher->fd, qr/\A\d+\z/, 'fd is the number of a descriptor';
    my @seen;
    $zk->get( $base, watcher => sub { push @seen, $_[0]{path} } ) for 1 .. 3;
    1 while $dispatcher->dispatch_event;
    is $readable->(0), 0, 'nothing: not readable';
    $setup->set( $base => 'v' );
    is $readable->(60), 1, 'an event: readable';
    soon_ok { $dispatcher->channel->size == 3 } 60, 'three events';
    my $event = $dispatcher->recv_event;
    $event->{watcher}->process($event);
    is $readable->(0), 1, 'after recv_event of one still readable';
    $dispatcher->read_pipe;
    is $readable->(0), 1, 'after read_pipe, too';
    ok $dispatcher->dispatch_event, 'after dispatch_event of the second';
    is $readable->(0), 1, 'still';
    1 while $dispatcher->dispatch_event;
    is $readable->(0), 0, 'after the last it is not';
    is scalar @seen,   3, 'all three came';
    $zk->get( $base, watcher => sub { push @seen, $_[0]{path} } );
    $setup->set( $base => 'w' );
    wait_for { 1 while $dispatcher->dispatch_event; @seen == 4 } 60, 'the next';
    pass 'polled';
    $zk->get( $base, watcher => sub { push @seen, $_[0]{path} } );
    $setup->set( $base => 'x' );
    is $zk->wait(60)->{path}, $base, 'and waited for';
  };

subtest 'a loop and a program that polls agree' => sub {
    my $zk = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'AnyEvent' );
    my ( $calls, $other ) = ( 0, 0 );
    $zk->get( $base, watcher => sub { $calls++; 1 while $zk->dispatcher->dispatch_event } ) for 1 .. 5;
    $setup->set( $base => 'v' );
    wait_for { $zk->wait(1); $calls == 5 } 60, 'five calls';
    is $zk->wait(0.05), undef, 'a callback that polls takes what the loop had before it';
    $zk->get( $base, watcher => sub { $other++ } );
    $setup->set( $base => 'w' );
    is $zk->wait(60)->{path}, $base, 'and the next event wakes the loop';
    is $other,                1,     'once';
};

subtest 'AnyEvent: events come while the loop runs' => sub {
    my $zk = ZooKeeper->new( hosts => $server->hosts );
    my $cv = AnyEvent->condvar;
    $zk->get( $base, watcher => sub { $cv->send( $_[0] ) } );
    $setup->set( $base => 'v' );
    my $late = AnyEvent->timer( after => 60, cb => sub { $cv->croak('no event came') } );
    is_deeply $cv->recv, event($base), 'to a condition variable';
};

done_testing;

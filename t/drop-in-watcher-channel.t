use strict;
use warnings;
use Test::More;
use lib 't/lib';
use DropIn;

use Scalar::Util qw(refaddr weaken);
use ZooKeeper::Channel;
use ZooKeeper::Constants;
use ZooKeeper::Dispatcher;
use ZooKeeper::Watcher;

# ZooKeeper::Watcher and ZooKeeper::Channel. No server is needed.
my $dispatcher = ZooKeeper::Dispatcher->new;

sub event {
    my ($path) = @_;
    return { type => ZOO_CHANGED_EVENT, state => ZOO_CONNECTED_STATE, path => $path // '/x' };
}

sub session { return { type => ZOO_SESSION_EVENT, state => ZOO_CONNECTING_STATE, path => '' } }

# As a program of the older module's days may have one.
{

    package My::Watcher;
    use Moo;
    extends 'ZooKeeper::Watcher';
    has color => ( is => 'ro', default => 'red' );
    around process => sub { my ( $orig, $self, @event ) = @_; $self->$orig(@event) };
}

subtest 'Watcher: a class, which Moo can make others of' => sub {
    my %args  = ( dispatcher => $dispatcher, cb => sub { }, path => '/x', type => 'get' );
    my $moose = My::Watcher->new(%args);
    is $moose->color, 'red', 'an attribute of a subclass';
    for my $watcher ( ZooKeeper::Watcher->new(%args), ZooKeeper::Watcher->new( {%args} ), $moose ) {
        isa_ok $watcher, 'ZooKeeper::Watcher';
        is_deeply {
            map { $_ => $watcher->$_ } keys %args
        }, \%args, 'arguments as a list or one hash ref';
    }
    for my $name (qw(dispatcher cb)) {
        my %less = %args;
        delete $less{$name};
        like thrown { ZooKeeper::Watcher->new(%less) }, qr/\b$name\b/, "$name is required";
    }
};

subtest 'Watcher: dispatcher (weak)' => sub {
    my $own     = ZooKeeper::Dispatcher->new;
    my $watcher = $own->create_watcher( '/x', sub { }, type => 'get' );
    is $watcher->dispatcher, $own, 'the dispatcher';
    undef $own;
    is $watcher->dispatcher, undef, 'and may go';
    is thrown { $watcher->trigger( '/x', ZOO_CONNECTED_STATE, ZOO_CHANGED_EVENT ) }, undef,
      'trigger: nowhere to';
    is thrown { $watcher->process( event() ) }, undef, 'process: all the same';
};

subtest 'Watcher: cb, path, type, done, ignore_session_events' => sub {
    my $cb      = sub { };
    my $watcher = $dispatcher->create_watcher( '/x', $cb, type => 'get_children' );
    is $watcher->cb,   $cb,            'cb';
    is $watcher->path, '/x',           'path';
    is $watcher->type, 'get_children', 'type';
    ok !$watcher->done,                 'done';
    ok $watcher->ignore_session_events, 'ignore_session_events as the dispatcher';
    my $other = ZooKeeper::Dispatcher->new( ignore_session_events => 0 );
    ok !$other->create_watcher( '/x', $cb, type => 'get' )->ignore_session_events, 'whichever that is';
    ok !$dispatcher->create_watcher( '/x', $cb, type => 'get', ignore_session_events => 0 )
      ->ignore_session_events,
      'or of its own';
    $dispatcher->remove_watcher($watcher);
    ok $watcher->done, 'done: after remove_watcher';
};

subtest 'Watcher: process($event)' => sub {
    my @seen;
    my $watcher = $dispatcher->create_watcher( '/p', sub { push @seen, @_ }, type => 'get' );
    $watcher->process( session() );
    is_deeply \@seen, [], 'a session event is ignored';
    ok !$watcher->done, 'and it stays armed';
    my $event = event();
    $watcher->process($event);
    is refaddr $seen[0], refaddr $event, 'its own event is what the callback gets';
    is scalar @seen,     1,              'alone';
    ok $watcher->done, 'then it is done';
    is_deeply [ $dispatcher->get_watchers( path => '/p' ) ], [], 'and gone';
    $watcher->process( event() );
    is scalar @seen, 1, 'it is not called again';

    my $open =
      $dispatcher->create_watcher( '/x', sub { push @seen, @_ }, type => 'get', ignore_session_events => 0 );
    @seen = ();
    $open->process( session() ) for 1 .. 2;
    is_deeply \@seen, [ session(), session() ], 'not ignored: called for each';
    ok !$open->done, 'and still armed';
    my $default = $dispatcher->create_watcher( '', sub { push @seen, @_ }, type => 'default' );
    @seen = ();
    $default->process( session() ) for 1 .. 2;
    is scalar @seen, 2, 'type default: always';
    ok !$default->done, 'and for ever';

    is thrown {
        $dispatcher->create_watcher( '/d', sub { die "oops\n" }, type => 'get' )->process( event() )
    }, "oops\n", 'what the callback dies of comes out';
    is_deeply [ $dispatcher->get_watchers( path => '/d' ) ], [], 'and it was done before';
    $dispatcher->remove_watcher($_) for $dispatcher->get_watchers;
};

subtest 'Watcher: trigger($path, $state, $type)' => sub {
    my @seen;
    my $watcher = $dispatcher->create_watcher( '/x', sub { push @seen, @_ }, type => 'get' );
    $watcher->trigger( '/y', ZOO_CONNECTED_STATE, ZOO_CREATED_EVENT );
    is_deeply \@seen, [], 'through the channel';
    my $want = { path => '/y', state => ZOO_CONNECTED_STATE, type => ZOO_CREATED_EVENT };
    is_deeply $dispatcher->recv_event, { %$want, watcher => $watcher }, 'as an event for this watcher';
    $watcher->trigger( '/y', ZOO_CONNECTED_STATE, ZOO_CREATED_EVENT );
    is_deeply $dispatcher->dispatch_event, $want,   'dispatched';
    is_deeply \@seen,                      [$want], 'it is called';
};

subtest 'Channel: send, recv (undef when empty), size; first in, first out' => sub {
    my $channel = ZooKeeper::Channel->new;
    isa_ok $channel, 'ZooKeeper::Channel';
    is json( $channel->size ), '0', 'size of an empty one';
    is_deeply [ $channel->recv ],      [undef], 'recv: undef';
    is_deeply [ $channel->send('a') ], [],      'send returns nothing';
    $channel->send( 'b' .. 'd' );
    is $channel->size, 4,   'size';
    is $channel->recv, 'a', 'the first';
    $channel->send('e');
    is_deeply [ map { scalar $channel->recv } 1 .. 5 ], [ 'b' .. 'e', undef ], 'the others in order';
    $channel->send();
    is $channel->size, 0, 'nothing sent is nothing';
    $channel->send($_) for 1 .. 10_000;
    is_deeply [ map { $channel->recv } 1 .. 10_000 ], [ 1 .. 10_000 ], 'ten thousand';
};

subtest 'Channel: any scalars: globs, regexps, code refs, undef ...' => sub {
    my $channel = ZooKeeper::Channel->new;
    my @items   = (
        undef, 0, '', 'text', "\x{263a}\0\xff", 1.5, -7, 2**53, *STDOUT, \*STDERR, qr/x+/i,
        sub { 42 },
        [ 1, [2] ],
        { a => 1 },
        \\'x',  bless( [], 'Some::Class' ),
        v1.2.3, \substr( 'abc', 1 ), $!,
    );
    $channel->send(@items);
    is $channel->size, scalar @items, 'undef counts';
    my @got = map { scalar $channel->recv } @items;
    is_deeply \@got, \@items, 'as they were';
    is_deeply [ map { refaddr $_ } grep { ref } @got ], [ map { refaddr $_ } grep { ref } @items ],
      'references refer to the same';
    is ref \$got[8], 'GLOB', 'a glob is one';
    like 'axxb', $got[10], 'a regexp matches';
    is $got[11]->(), 42, 'code runs';
};

subtest 'Channel: the scalars themselves, not copies' => sub {
    my $channel = ZooKeeper::Channel->new;
    my $scalar  = 'before';
    $channel->send($scalar);
    $scalar = 'after';
    is $channel->recv, 'after', 'a change is seen';
    my @array = ( 1, 2 );
    $channel->send(@array);
    $array[1] = 'changed';
    $channel->recv;
    is $channel->recv, 'changed', 'elements, too';
};

subtest 'Channel: no leaks' => sub {
    my $channel = ZooKeeper::Channel->new;
    my @weak;
    for my $name (qw(received left)) {
        my ( $hash, $code ) = ( {}, undef );
        $code = sub { $hash };
        $channel->send( $hash, $code, [$hash] );
        weaken( $weak[@weak] = $_ ) for $hash, $code;
        if ( $name eq 'received' ) { $channel->recv for 1 .. 3 }
    }
    is_deeply [ map { defined ? 1 : 0 } @weak ], [ 0, 0, 1, 1 ], 'what was received is gone';
    undef $channel;
    is scalar( grep { defined } @weak ), 0, 'the rest goes with the channel';
};

done_testing;

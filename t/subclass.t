use strict;
use warnings;
use Test::More;

# Classes that programs derive from ours, and dispatchers that they write themselves.

use ZooKeeper;
use ZooKeeper::Constants;

{

    package With::Defaults;
    use Moo;
    extends 'ZooKeeper';
    has '+hosts'      => ( default => sub { '127.0.0.1:1' } );
    has '+dispatcher' => ( default => sub { '^ZooKeeper::Dispatcher' } );

    package With::Lazy::Hosts;
    use Moo;
    extends 'ZooKeeper';
    has '+hosts' => ( is => 'lazy', required => 0, default => sub { '127.0.0.1:1' } );

    package With::Bad::Hosts;
    use Moo;
    extends 'ZooKeeper';
    has '+hosts' => ( default => sub { '127.0.0.1:0' } );

    package With::Bad::Tracer;
    use Moo;
    extends 'ZooKeeper';
    has '+dispatcher' => ( default => sub { 'Pipe' } );
    has '+tracer'     => ( default => sub { 'none' } );

    package With::Modifiers;
    use Moo;
    extends 'ZooKeeper';
    our @called;
    around BUILDARGS => sub { my ( $orig, $class, @args ) = @_; $class->$orig(@args) };
    before get => sub { push @called, 'before' };
    after get => sub { push @called, 'after' };
    around set => sub { my ( $orig, @args ) = @_; push @called, 'around'; $orig->(@args) };

    package My::Dispatcher;
    use Moo;
    extends 'ZooKeeper::Dispatcher::Pipe';

    # As dispatchers of programs in the wild do it: what the callback returns is the event.
    sub wait {
        my ( $self, $seconds ) = @_;
        vec( my $set = '', $self->fd, 1 ) = 1;
        return if !select my $ready = $set, undef, undef, $seconds;
        return scalar $self->dispatch_cb->();
    }
}

subtest 'a subclass may know the hosts itself' => sub {
    for my $class (qw(With::Defaults With::Lazy::Hosts)) {
        my $zk = $class->new;
        is $zk->hosts,                                   '127.0.0.1:1',        $class;
        is $zk->state,                                   ZOO_CONNECTING_STATE, 'and is opened';
        is $class->new( hosts => '127.0.0.1:2' )->hosts, '127.0.0.1:2',        'the caller knows better';
    }
    isa_ok( With::Defaults->new->dispatcher, 'ZooKeeper::Dispatcher' );
    ok !eval { With::Bad::Hosts->new; 1 }, 'hosts that are none';
    is $@->code, ZBADARGUMENTS, 'are refused as if they had been given';
    ok !eval { With::Modifiers->new; 1 }, 'no hosts at all';
    like $@, qr/hosts/, 'is an error of course';
};

subtest 'an object that did not come to be goes in silence' => sub {
    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, @_ };
    ok !eval { With::Bad::Tracer->new( hosts => '127.0.0.1:1' ); 1 }, 'a default that can not be';
    like $@, qr/\Anew: tracer must be a hash ref/, 'what is wrong';
    is_deeply \@warnings, [], 'nothing else is said of its other defaults, which are still names';
};

subtest 'errors name the line of the program behind method modifiers' => sub {
    my $zk = With::Modifiers->new( hosts => '127.0.0.1:1', dispatcher => '^ZooKeeper::Dispatcher' );
    $zk->close;
    ok !eval { $zk->get('/x'); 1 }, 'before and after';
    like $@, qr/ at \Q${\ __FILE__}\E line ${\ ( __LINE__ - 1 ) }\.\n\z/, 'line';
    ok !eval { With::Modifiers->new( hosts => 'x:0' ); 1 }, 'around BUILDARGS';
    like $@, qr/ at \Q${\ __FILE__}\E line ${\ ( __LINE__ - 1 ) }\.\n\z/, 'line';
    is_deeply \@With::Modifiers::called, ['before'], 'which were called';
    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, @_ };
    my $line = __LINE__ + 1;
    eval { $zk->get( '/x', nothing => 1 ) };
    is_deeply \@warnings, ["get: unknown argument 'nothing' has no effect at ${\ __FILE__} line $line.\n"],
      'so do warnings';
};

subtest 'a dispatcher of the program' => sub {
    my $dispatcher = My::Dispatcher->new;
    my @seen;
    $dispatcher->create_watcher( '/x' => sub { push @seen, @_ }, type => 'get' );
    my $event = { type => ZOO_CHANGED_EVENT, state => ZOO_CONNECTED_STATE, path => '/x' };
    $dispatcher->trigger_event( path => '/x', type => 'get', event => $event );
    is_deeply $dispatcher->wait(5), $event,   'gets the event from dispatch_cb';
    is_deeply \@seen,               [$event], 'and its watcher was called';
    is $dispatcher->wait(0.01), undef, 'once';
};

subtest 'the topic is the callback\'s own' => sub {
    require ZooKeeper::Dispatcher::Pipe;
    my $dispatcher = ZooKeeper::Dispatcher::Pipe->new;
    my @topics;
    $dispatcher->create_watcher( '/x' => sub { push @topics, $_ }, type => 'get' );
    $dispatcher->trigger_event( path => '/x', type => 'get' );
    for ('mine') { $dispatcher->dispatch_ready }
    is_deeply \@topics, ['mine'], '$_';
};

done_testing;

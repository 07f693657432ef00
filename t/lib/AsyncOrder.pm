package AsyncOrder;
use strict;
use warnings;

use Exporter 'import';
use POSIX        ();
use Scalar::Util qw(weaken);
use Test::More;
use TestZK;
use Time::HiRes ();
use ZooKeeper::Constants;

our @EXPORT = qw(async_order);

# When callbacks are called, and in which order.
sub async_order {
    my ($stage) = @_;
    subtest q(answers and events come in the server's order, in whatever form) => sub { order($stage) };
    subtest 'the event comes before the new data' => sub { event_before_data($stage) };
    subtest 'what was sent before the answer to a blocking call is there' => sub { before_blocking($stage) }
      if $stage->has_loop;
    subtest 'wait' => sub { waiting($stage) };
    subtest 'programs that poll' => sub { polling($stage) }
      if $stage->has_loop;
    subtest 'a dispatch_cb of the program' => sub { own_dispatch($stage) }

      if !$stage->driver->{polls};
    return;
}

sub order {
    my ($stage) = @_;
    my $zk      = $stage->handle;
    my $path    = $stage->node;
    my ( @log, @expected, @armed );
    my $tell = sub {
        my ($what) = @_;
        return sub { push @log, $what };
    };
    for my $n ( 1 .. 60 ) {
        my $form = $n % 6;
        if ( $form == 0 ) {
            $zk->set( $path, $n, cb => $tell->("set $n") );
            push @expected, ( splice @armed ), "set $n";
        }
        elsif ( $form == 1 ) {
            $stage->ask( $zk, $path, $tell->("get $n") );
            push @expected, "get $n";
        }
        elsif ( $form == 2 || $form == 4 ) {
            $zk->exists( $path, watcher => $tell->("event $n"), cb => $tell->("exists $n") );
            push @armed,    "event $n";
            push @expected, "exists $n";
        }
        elsif ( $form == 3 ) {
            $zk->multi_read->get($path)->commit( cb => $tell->("read $n") );
            push @expected, "read $n";
        }
        elsif ( $n % 4 ) {
            $zk->set( $path, $n );
            push @expected, splice @armed;
        }
        else {
            $zk->get( $path, watcher => $tell->("event $n") );
            push @armed, "event $n";
        }
    }
    ok $stage->until( sub { @log == @expected } ), 'all come';
    is_deeply \@log, \@expected, 'as the server sent them' or diag explain \@log;
    return;
}

# Somebody else writes as fast as it can. No answer may show what a watch was set for before its event has come.
sub event_before_data {
    my ($stage) = @_;
    my $zk      = $stage->handle;
    my $path    = $stage->node;
    my $last    = 150;
    $zk->exists($path);
    pipe my $told, my $tell or die "pipe: $!\n";
    my $writer = fork // die "fork: $!\n";
    if ( !$writer ) {
        alarm 60;
        sysread $told, my $byte, 1;
        my $own = ZooKeeper->new( hosts => $stage->server->hosts, dispatcher => 'Pipe' );
        $own->set( $path, $_ ) for 1 .. $last;
        POSIX::_exit(0);
    }
    my ( $armed, $events, $early, $newest ) = ( undef, 0, 0, 0 );
    my $answer = sub {
        my ( $error, undef, $stat ) = @_;
        return     if $newest >= $last;
        die $error if $error;
        $newest = $stat->{version};
        $early++ if defined $armed && $newest > $armed;
    };
    my ( $watch, $look );
    $watch = sub {
        $zk->get(
            $path,
            watcher => sub { $events++; undef $armed; $watch->() if $watch },
            cb => sub { $answer->(@_); $armed = $newest },
        );
    };
    $look = sub {
        $answer->(@_);
        return if $newest >= $last;
        my $again = $look;
        rand 2 < 1
          ? $zk->get( $path, cb => $again )
          : $stage->ask( $zk, $path, sub { $again->( undef, @_ ) } );
    };
    $watch->();
    ok $stage->until( sub { defined $armed } ), 'a watch is set';
    syswrite $tell, '.';    # else all might be written by now
    $zk->get( $path, cb => $look ) for 1 .. 3;
    ok $stage->until( sub { $newest >= $last } ), 'all data come';
    waitpid $writer, 0;
    is $early, 0, 'never before the event';
    cmp_ok $events, '>', 0, 'and there were some';
    undef $watch;
    undef $look;
    return;
}

sub before_blocking {
    my ($stage) = @_;
    my $zk      = $stage->handle;
    my $path    = $stage->node;
    my @log;
    $zk->get( $path, watcher => sub { push @log, 'event' } );
    $zk->get( $path, cb      => sub { push @log, "get $_[1]" } );
    $zk->set( $path, 'w', cb => sub { push @log, 'set' } );
    $zk->get_f($path)->on_done( sub { push @log, "get $_[0]" } );
    $zk->exists($path);
    is $zk->dispatcher->channel->size, 4, 'three answers and the event';
    ok $stage->is_readable($zk), 'and the descriptor says so';
    is_deeply \@log, [], 'nobody was called within the call';
    ok $stage->until( sub { @log == 4 } ), 'all are called by the loop';
    is_deeply \@log, [ 'get v', 'event', 'set', 'get w' ], 'in this order';
    ok !$stage->is_readable($zk), 'nothing is left';
    return;
}

sub waiting {
    my ($stage) = @_;
    my $zk      = $stage->handle;
    my $path    = $stage->node;
    my @log;
    local $SIG{ALRM} = sub {
        $stage->ask( $zk, $path, sub { push @log, 'future' } );
        $zk->get(
            $path,
            watcher => sub { push @log, 'event' },
            cb      => sub { push @log, "get $_[1]"; $stage->setup->set( $path, 'w' ) }
        );
    };
    Time::HiRes::alarm(0.1);
    is_deeply $zk->wait(30), { type => ZOO_CHANGED_EVENT, state => ZOO_CONNECTED_STATE, path => $path },
      'an event ends it';
    is_deeply [ sort @log ], [ 'event', 'future', 'get v' ], 'the answers have come meanwhile';
    $zk->get( $path, cb => sub { push @log, 'last' } );
    is $zk->wait(0.05), undef, 'an answer alone does not end it';
    ok $stage->until( sub { $log[-1] eq 'last' } ), 'and comes';
    return;
}

sub polling {
    my ($stage)    = @_;
    my $zk         = $stage->handle;
    my $dispatcher = $zk->dispatcher;
    my $path       = $stage->node;
    my @log;
    my $get = sub {
        $zk->get( $path, cb => sub { push @log, 'get' } );
    };
    my $event = sub {
        $zk->exists( $path, watcher => sub { push @log, 'event' } );
        $stage->setup->set( $path, 'w' );
    };
    my $settled = sub {
        my ( $name, $size ) = @_;
        is $dispatcher->channel->size, $size,     "$name: so many are left";
        is $stage->is_readable($zk),   $size > 0, "$name: the descriptor agrees";
    };

    $get->() for 1 .. 3;
    $zk->exists($path);
    is $dispatcher->dispatch_event, undef, 'dispatch_event: no event';
    is_deeply [ splice @log ], [qw(get get get)], 'but the callbacks are called';
    $settled->( 'no event', 0 );

    $get->() for 1 .. 2;
    $event->();
    $get->();
    $zk->exists($path);
    is $dispatcher->dispatch_event->{path}, $path, 'an event behind answers';
    is_deeply [ splice @log ], [qw(get get event)], 'they come first';
    $settled->( 'an answer behind it', 1 );
    is $dispatcher->recv_event, undef, 'recv_event';
    is_deeply [ splice @log ], ['get'], 'calls the callbacks, too';
    $settled->( 'recv_event', 0 );

    $get->();
    $event->();
    $zk->exists($path);
    my $received = $dispatcher->recv_event;
    is_deeply [ splice @log ], ['get'], 'but no watcher';
    $received->{watcher}->process($received);
    is_deeply [ splice @log ], ['event'], 'which is for the program';

    $zk->get( $path,
        cb => sub { push @log, 'first'; 1 while $dispatcher->dispatch_event; push @log, 'end' } );
    $get->() for 1 .. 3;
    $event->();
    $get->() for 1 .. 2;
    $zk->exists($path);
    ok $stage->until(
        sub {
            grep { $_ eq 'end' } @log;
        }
      ),
      'a callback that polls';
    is_deeply \@log, [qw(first get get get event get get end)], 'empties the queue';
    $settled->( 'a callback that polls', 0 );
    return;
}

sub own_dispatch {
    my ($stage) = @_;
    my $zk      = $stage->handle;
    my $path    = $stage->node;
    weaken( my $dispatcher = $zk->dispatcher );
    my ( $items, @log ) = (0);
    $dispatcher->dispatch_cb( sub { $items++; return $dispatcher->dispatch_event } );
    $zk->get( $path, watcher => sub { push @log, 'event' }, cb => sub { push @log, 'get' } );
    $stage->ask( $zk, $path, sub { push @log, 'future' } );
    $zk->set( $path, 'w', cb => sub { push @log, 'set' } );
    $zk->exists($path);
    ok $stage->until( sub { @log == 4 } ), 'all come';
    is_deeply \@log, [qw(get future event set)], 'in their order';
    is $items, 4, 'it is called once per item';
    return;
}

1;

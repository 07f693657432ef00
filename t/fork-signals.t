use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Child;
use Dispatchers;
use TestZK;

use POSIX       ();
use Time::HiRes qw(setitimer ITIMER_REAL);
use ZooKeeper;
use ZooKeeper::Constants;

# Forks in signal handlers, while a call of the parent waits for its answer and while it waits for events.
my $server = test_server();
my $parent = $$;
my $base   = fresh_path('fork-signals');
my $zk     = ZooKeeper->new( hosts => $server->hosts, timeout => 60_000, dispatcher => 'Pipe' );
$zk->create( $base, value => 'v' );
my $id = $zk->client_id->{client_id};

# A call that has no answer yet when the handler runs; the server goes on when it is done.
sub interrupted {
    my ($handler) = @_;
    my $runs = 0;
    local $SIG{ALRM} = sub {
        return if $runs++;
        $handler->();
        $server->resume if $$ == $parent;
    };
    $server->pause;
    setitimer( ITIMER_REAL, 0.2 );
    my $value = eval { $zk->get($base) };
    return ( $value, $@ );
}

# What a child in a handler does, and leaves by.
my %deed = (
    'leaves'                 => sub { 'left' },
    'closes the handle'      => sub { $zk->close; 'closed' },
    'calls without a reopen' => sub {
        eval { $zk->get($base) } // $@->code;
    },
    'destroys the handle'  => sub { undef $zk; 'gone' },
    'runs another program' => sub { `echo ran` },
);
my %says = (
    'leaves'                 => 'left',
    'closes the handle'      => 'closed',
    'calls without a reopen' => ZINVALIDSTATE,
    'destroys the handle'    => 'gone',
    'runs another program'   => 'ran '
);
for my $name ( sort keys %deed ) {
    for my $exit ( 0, 1 ) {
        my $said;
        my ( $value, $error ) = interrupted(
            sub {
                ($said) = in_child { $deed{$name}->() } exit => $exit;
            }
        );
        is $said,  $says{$name}, "a child that $name, in a handler";
        is $value, 'v',          'the call of the parent gets its answer';
        is $error, '',           'without an error';
    }
}

subtest 'a child that outlives the handler' => sub {
    for my $reopens ( 0, 1 ) {
        pipe my $read, my $write or die "pipe: $!";
        my ( $value, $error ) = interrupted(
            sub {
                fork // die "fork: $!";
                $zk->reopen if $reopens && $$ != $parent;
            }
        );
        if ( $$ != $parent ) {    # the call of the parent goes on here as well, and ends
            my $inner = ref $error ? $error->code : "no error but $value";
            $zk->reopen;
            syswrite $write,
              "$inner " . $zk->get($base) . ( $zk->client_id->{client_id} == $id ? ' same' : ' own' );
            POSIX::_exit(0);
        }
        close $write;
        is $value, 'v', 'the parent has its answer';
        is deadline( 60, sub { scalar <$read> } ), ZINVALIDSTATE . ' v own',
          'the child an error, and then a session of its own';
        wait;
    }
};

subtest 'a fork in a handler while the parent waits for events' => sub {
    for my $dispatcher ( dispatchers() ) {
        my $own = ZooKeeper->new( hosts => $server->hosts, dispatcher => $dispatcher );
        my ( @seen, @said );
        $own->get( $base, watcher => sub { push @seen, $_[0]{path} } );
        local $SIG{ALRM} = sub {
            @said = in_child { $own->reopen; $own->set( $base, 'v' ); 'done' } exit => 1;
        };

        # Loops that wait in C run handlers when they come up, so that it is the second wait at the latest.
        setitimer( ITIMER_REAL, 0.2 );
        wait_for { $own->wait(1); @seen } 60, 'the event';
        is_deeply \@said, ['done'], "$dispatcher: the child has a session of its own";
        is_deeply \@seen, [$base],  "$dispatcher: the parent hears what it did with that";
    }
};

is $zk->client_id->{client_id}, $id, 'the session is the same through all of it';

done_testing;

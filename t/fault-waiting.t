# Waiting: signals that the CPAN module put off until the server answered, and a wait that was over before its time.
# Each subtest is named after the symptom.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use FakeZK;
use Faults;
use TestZK;

use Time::HiRes qw(setitimer ITIMER_REAL);
use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my @args   = ( hosts => $server->hosts, timeout => 60_000, dispatcher => 'Pipe' );
my $zk     = ZooKeeper->new(@args);
my $base   = fresh_path('fault-waiting');
$zk->create( $base, value => 'v' );

my $acl  = ZOO_OPEN_ACL_UNSAFE;
my %call = (
    create               => sub { $zk->create("$base/created") },
    delete               => sub { $zk->delete("$base/created") },
    ensure_path          => sub { $zk->ensure_path("$base/a/b") },
    exists               => sub { $zk->exists($base) },
    get                  => sub { defined $zk->get($base) },
    get_acl              => sub { $zk->get_acl($base) },
    get_children         => sub { $zk->get_children($base) },
    set                  => sub { $zk->set( $base, 'w' ) },
    set_acl              => sub { $zk->set_acl( $base, $acl ) },
    transaction          => sub { $zk->transaction->set( $base, 'x' )->commit },
    'get with a watcher' => sub {
        defined $zk->get( $base, watcher => sub { } );
    },
    'a new session' => sub { ZooKeeper->new(@args)->wait_connected },
);

# The handler is what lets the server answer: put off until the answer, it would be put off for ever.
for my $name ( sort keys %call ) {
    subtest "a signal is not put off until the server answers ($name)" => sub {
        my $handled = 0;
        local $SIG{ALRM} = sub { $server->resume if ++$handled == 2 };
        $server->pause;
        setitimer( ITIMER_REAL, 0.1, 0.1 );
        my $ok    = eval { $call{$name}->(); 1 };
        my $error = $@;
        setitimer( ITIMER_REAL, 0 );
        $server->resume;
        ok $ok, 'the call gets its answer' or diag $error;
        cmp_ok $handled, '>=', 2, 'after the handler has run';
    };
}

subtest 'an answer that comes too late is not taken for that of another call' => sub {
    $zk->set( $base, 'late' );
    $zk->create( "$base/other", value => 'other' );
    local $SIG{ALRM} = sub { die "time is up\n" };
    for ( 1 .. 5 ) {
        $server->pause;
        my $ended = eval { setitimer( ITIMER_REAL, 0.1 ); $zk->get($base); 1 } ? 'it returned' : $@;
        setitimer( ITIMER_REAL, 0 );
        $server->resume;
        is $ended,                         "time is up\n", 'a call is ended while the server stands still';
        is scalar $zk->get("$base/other"), 'other',        'the next one gets its own answer';
    }
};

my %dispatcher = dispatchers();
for my $name ( sort keys %dispatcher ) {
    my $missing = $dispatcher{$name};
    subtest "a signal is not put off until an event comes ($name)" => sub {
        plan skip_all => $missing if defined $missing;
        my $code = q{
            use Time::HiRes qw(alarm); use ZooKeeper;
            my ( $hosts, $path, $name ) = @ARGV;
            my $zk   = ZooKeeper->new( hosts => $hosts, dispatcher => $name );
            my $other = ZooKeeper->new( hosts => $hosts, dispatcher => '^ZooKeeper::Dispatcher' );
            $zk->get( $path, watcher => sub { } );
            $SIG{ALRM} = sub { print "handled\n"; $other->set( $path, 'v' ) };
            alarm 0.3;
            my $event = $zk->wait(60);
            print $event ? "$event->{path}\n" : "none\n";
        };
        is_deeply [ program( $code, $server->hosts, $base, $name ) ], [ "handled\n$base\n", 0 ],
          'the handler runs while wait waits, and causes the event';
    };
}

# The server takes two seconds for an answer.
sub slow_server {
    return FakeZK->new(
        sub {
            my ($connection) = @_;
            $connection->handshake(60_000) or return;
            while ( defined( my $frame = $connection->frame ) ) {
                my ( $xid, $op ) = unpack 'l> l>', $frame;
                sleep 2 if $op == 3;
                $connection->send_frame( pack 'l> q> l>', $xid, 1, $op == 3 ? ZNONODE : ZOK );
            }
        }
    );
}

my $STALE = q{
    use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC); use ZooKeeper;
    my ( $hosts, $name ) = @ARGV;
    sub now { return clock_gettime(CLOCK_MONOTONIC) }
    my $zk   = ZooKeeper->new( hosts => $hosts, timeout => 60_000, dispatcher => $name );
    my %idle = (
        'computing'       => sub { my $until = now() + 2; 1 while now() < $until },
        'sleeping'        => sub { sleep 2 },
        'a blocking call' => sub { $zk->exists('/x') },
        'nothing'         => sub { },
    );
    $zk->wait(0.1);    # the loop has run, and has a clock
    for my $what ( sort keys %idle ) {
        $idle{$what}->();
        my $start = now();
        my $event = $zk->wait(1);
        printf "%.3f after %s\n", now() - $start, $what;
        print "an event\n" if $event;
    }
};

# All at once, for each takes its time. AnyEvent has loops with clocks of different kinds.
my @cases = map { { name => $_, dispatcher => $_, missing => $dispatcher{$_} } } sort keys %dispatcher;
push @cases,
  { name => "AnyEvent's own loop", dispatcher => 'AnyEvent', env => { PERL_ANYEVENT_MODEL => 'Perl' } };
for my $case ( grep { !defined $_->{missing} } @cases ) {
    local @ENV{ keys %{ $case->{env} } } = values %{ $case->{env} };
    $case->{server}  = slow_server();
    $case->{program} = started( $STALE, $case->{server}->hosts, $case->{dispatcher} );
}
for my $case (@cases) {
    subtest "wait is not over too early because the loop's clock is stale ($case->{name})" => sub {
        plan skip_all => $case->{missing} if defined $case->{missing};
        my ( $output, $status ) = finished( $case->{program} );
        my %waited = reverse $output =~ /^([0-9.]+) after (.*)$/mg;
        is_deeply [ sort keys %waited ], [ 'a blocking call', qw(computing nothing sleeping) ], 'it waited'
          or diag $output;
        cmp_ok $waited{$_}, '>=', 0.9, "a second after $_" for sort keys %waited;
        unlike $output, qr/event/, 'nothing came';
        is $status, 0, 'all ended well';
    };
}

done_testing;

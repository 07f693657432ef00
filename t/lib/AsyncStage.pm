package AsyncStage;
use strict;
use warnings;

use Scalar::Util qw(weaken);
use TestZK;
use Time::HiRes qw(CLOCK_MONOTONIC clock_gettime);
use ZooKeeper;

# What the tests of the asynchronous forms act on: a server, a driver as DispatcherSuite describes them, whose "turn" is
# called with the dispatchers that there are, and one more handle, for what others do meanwhile.
sub new {
    my ( $class, %driver ) = @_;
    my $server = test_server();
    my $setup  = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
    return bless {
        driver      => \%driver,
        server      => $server,
        setup       => $setup,
        base        => $setup->create( fresh_path('async') ),
        dispatchers => [],
    }, $class;
}

sub driver { return $_[0]{driver} }
sub server { return $_[0]{server} }
sub setup  { return $_[0]{setup} }

# Callbacks come when the loop runs, and not whenever they can.
sub has_loop { return !$_[0]{driver}{at_once} }

sub handle {
    my ( $self, @args ) = @_;
    my $class = $self->{driver}{class};
    my $zk    = ZooKeeper->new( hosts => $self->{server}->hosts, dispatcher => "^$class", @args );
    $self->runs( $zk->dispatcher );
    return $zk;
}

# One that will never be connected: what it is asked for stays pending.
sub pending_handle {
    my ( $self, @args ) = @_;
    return $self->handle( hosts => '127.0.0.1:1', timeout => 300_000, @args );
}

# Has a dispatcher run by "until", while there is one.
sub runs {
    my ( $self, $dispatcher ) = @_;
    push @{ $self->{dispatchers} }, $dispatcher;
    weaken( $self->{dispatchers}[-1] );
    return $dispatcher;
}

# A node that nobody else knows.
sub node {
    my ( $self, $value ) = @_;
    return $self->{setup}->create( "$self->{base}/n-", value => $value // 'v', sequential => 1 );
}

sub turn {
    my ($self) = @_;
    my $all = $self->{dispatchers};
    @$all = grep { defined } @$all;
    weaken($_) for @$all;
    my @now = @$all;
    weaken($_) for @now;    # a callback may let go of one
    $self->{driver}{turn}->( \@now );
    return;
}

# Lets the loop run until a condition holds; false if it does not for long.
sub until {
    my ( $self, $condition ) = @_;
    my $end = clock_gettime(CLOCK_MONOTONIC) + 60;
    while ( !$condition->() ) {
        return 0 if clock_gettime(CLOCK_MONOTONIC) > $end;
        $self->turn;
    }
    return 1;
}

# Runs the code, which asks for something, and then the loop until the condition, which is called with an array ref of
# the exceptions of callbacks that the loop has handed on, or warned of. Returns them.
sub exceptions_of {
    my ( $self, $code, $condition ) = @_;
    my @said;
    local $SIG{__WARN__} = sub { push @said, @_ };
    no warnings 'once';
    local $Async::Interrupt::DIED = sub { push @said, $@ };
    my $end = clock_gettime(CLOCK_MONOTONIC) + 60;
    $code->();
    while ( !$condition->( \@said ) && clock_gettime(CLOCK_MONOTONIC) < $end ) {
        push @said, $@ if !eval { $self->turn; 1 };
    }
    return @said;
}

# Asks for a node's data, by a future.
sub ask {
    my ( $self, $zk, $path, $cb ) = @_;
    return $zk->get_f($path)->on_done($cb);
}

# Whether the descriptor says that there is something.
sub is_readable {
    my ( $self, $zk ) = @_;
    vec( my $fds = '', $zk->dispatcher->channel->_fd, 1 ) = 1;
    return select( $fds, undef, undef, 0 ) > 0;
}

1;

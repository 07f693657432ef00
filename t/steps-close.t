# What consists of several requests (ensure_path, parents, recursive) while its handle is closed, reopened or destroyed
# between two of them: it ends there, as what is under way does.
use strict;
use warnings;
use Test::More;
use lib 't/lib';

use FakeZK;
use Faults qw(in_child);
use GoodReplies;
use TestZK;
use ZooKeeper;
use ZooKeeper::Constants;

my ( $CREATE, $GET_CHILDREN ) = ( 1, 8 );

# Nodes are never there, nor are those above them.
my $fake = FakeZK->answering(
    $CREATE => sub {
        my ( $connection, $xid, $rest ) = @_;
        $connection->note( 'create ' . unpack 'N/a*', $rest );
        return pack 'l> q> l>', $xid, 1, ZNONODE;
    },
    $GET_CHILDREN => sub {
        my ( $connection, $xid, $rest ) = @_;
        $connection->note( 'list ' . unpack 'N/a*', $rest );
        return reply_frame( $xid, pack 'N N/a*', 1, 'x' );
    },
);

my %call = (
    ensure_path => [ ensure_path => '/a/b/c/d' ],
    parents     => [ create      => '/a/b/c/d', parents   => 1 ],
    recursive   => [ delete      => '/a/b/c/d', recursive => 1 ],
);
my %ends = (
    closed           => sub { $_[0]->close },
    kept             => sub { $_[0]->close( keep => 1 ) },
    reopened         => sub { $_[0]->reopen },
    'reopened twice' => sub { $_[0]->reopen for 1, 2 },
    destroyed        => sub { undef $_[0] },
);

# Asks without waiting, until the first answer is in the channel: nothing is under way then. Returns what is told.
sub between_two_requests {
    my ( $zk,     $name ) = @_;
    my ( $method, @args ) = @{ $call{$name} };
    my @told;
    $fake->notes;
    $zk->$method( @args, cb => sub { push @told, @_ } );
    wait_for { $zk->dispatcher->channel->size } 60, 'the first answer';
    return \@told;
}

sub is_closing {
    my ( $told,   $name ) = @_;
    my ( $method, $path ) = @{ $call{$name} };
    my ($error) = @$told;
    is @$told,                1,        'it is told once' or return;
    is $error->code,          ZCLOSING, 'the code'        or diag $error;
    is $error->maybe_applied, 0,        'all that was asked was answered';
    my $op = $method eq 'ensure_path' ? 'create' : $method;
    is $error->op, $op, 'the operation';
    like $error,
      qr{\AError (?:creating|deleting) node '/a[/a-dx]*': zookeeper is closing at \Q${\ __FILE__}\E line},
      'the words';
    return;
}

for my $end ( sort keys %ends ) {
    subtest "the handle is $end between two requests" => sub {
        for my $name ( sort keys %call ) {
            my $zk         = ZooKeeper->new( hosts => $fake->hosts, dispatcher => 'Pipe' );
            my $dispatcher = $zk->dispatcher;
            $zk->wait_connected(60);
            my $told = between_two_requests( $zk, $name );
            $ends{$end}->($zk);
            wait_for { 1 while $dispatcher->dispatch_event; @$told } 60, "$name to end";
            note $name;
            is_closing( $told, $name );
            is scalar( $fake->notes ), 1, 'nothing more is asked';
        }
    };
}

subtest 'a tracer closes it between two requests that somebody waits for' => sub {
    for my $name ( sort keys %call ) {
        my ( $method, @args ) = @{ $call{$name} };
        for my $how (qw(close reopen)) {
            my $asked = 0;
            my $zk;
            my $end = sub { $zk->$how if ++$asked == 2 };
            $zk = ZooKeeper->new( hosts => $fake->hosts, dispatcher => 'Pipe', tracer => { end => $end } );
            my $error = eval { $zk->$method(@args); 1 } ? undef : $@;
            note "$how, $name";
            is_closing( [$error], $name );
            undef $zk;
        }
    }
};

subtest 'on a closed handle nothing begins' => sub {
    my $zk = ZooKeeper->new( hosts => $fake->hosts, dispatcher => 'Pipe' );
    $zk->close;
    for my $name ( sort keys %call ) {
        my ( $method, @args ) = @{ $call{$name} };
        ok !eval { $zk->$method(@args); 1 }, $name;
        is 0 + $@, ZINVALIDSTATE, "$name: waiting";
        my @told;
        $zk->$method( @args, cb => sub { push @told, 0 + $_[0] } );
        wait_for { 1 while $zk->dispatcher->dispatch_event; @told } 60, 'the answer';
        is_deeply \@told, [ZINVALIDSTATE], "$name: not waiting";
    }
};

subtest 'a child does not go on with what its parent has asked for' => sub {
    for my $name ( sort keys %call ) {
        my $zk = ZooKeeper->new( hosts => $fake->hosts, dispatcher => 'Pipe' );
        $zk->wait_connected(60);
        my $told = between_two_requests( $zk, $name );
        my ($said) = in_child(
            sub {
                $zk->reopen;
                wait_for { 1 while $zk->dispatcher->dispatch_event; @$told } 60, 'the end';
                return map { 0 + $_ } @$told;
            }
        );
        is_deeply $said, [ZINVALIDSTATE], $name;
        $zk->close;
        1 while $zk->dispatcher->dispatch_event;
    }
};

done_testing;

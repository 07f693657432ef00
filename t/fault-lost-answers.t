# A connection that is reset between a request and its answer: what was it? Each subtest is named after the symptom.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use FaultProxy;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my $proxy  = FaultProxy->new( $server->hosts );
my $base   = fresh_path('lost');
my @args   = ( timeout => 30_000, dispatcher => 'Pipe' );
my $setup  = ZooKeeper->new( @args, hosts => $server->hosts );
$setup->create($base);
my $zk;

# Another session: the first loss of a connection is followed by a new one at once.
sub begin {
    $zk = ZooKeeper->new( @args, hosts => $proxy->hosts );
    $zk->wait_connected;
    return $zk->client_id->{client_id};
}

# What is lost, of the next request, and how that is asked.
my %LOST = ( answer => 'cut', request => 'cut_request' );
my %FORM = (
    'that is waited for' => sub {
        my ($call) = @_;
        return eval { $call->(); 1 } ? undef : $@;
    },
    'with a callback' => sub {
        my ($call) = @_;
        my @told;
        $call->( cb => sub { push @told, $_[0] } );
        wait_for { $zk->wait(0.01); @told } 60, 'the answer';
        wait_for { $zk->is_connected } 60, 'a connection';
        1 while $zk->dispatcher->dispatch_event;
        is scalar @told, 1, 'the callback is called once';
        return $told[0];
    },
);

# The error of a call that is asked in this form and loses this.
sub error_of {
    my ( $lost, $form, $call ) = @_;
    my $reconnects = $zk->metrics->{reconnects};
    $zk->exists('/');    # all is quiet
    $proxy->harm( $LOST{$lost} => 0 );
    my $error = $FORM{$form}->($call);
    wait_for { $zk->metrics->{reconnects} > $reconnects } 60, 'another connection';
    return $error;
}

# Each with what it leads to, once: a number that grows by it.
my $acl   = ZOO_READ_ACL_UNSAFE;
my $kids  = sub { return scalar( my @names = $setup->get_children( $_[0] ) ) };
my %WRITE = (
    create => [ sub { my ( $path, @more ) = @_; $zk->create( "$path/x", @more ) }, $kids ],
    'create of a sequential ephemeral node' => [
        sub { my ( $path, @more ) = @_; $zk->create( "$path/x-", sequential => 1, ephemeral => 1, @more ) },
        $kids
    ],
    set => [
        sub { my ( $path, @more ) = @_; $zk->set( $path, 'v', @more ) },
        sub { $setup->exists( $_[0] )->{version} }
    ],
    delete => [
        sub { my ( $path, @more ) = @_; $zk->delete( $path, @more ) },
        sub { $setup->exists( $_[0] ) ? 0 : 1 }
    ],
    set_acl => [
        sub { my ( $path, @more ) = @_; $zk->set_acl( $path, $acl, @more ) },
        sub { $setup->exists( $_[0] )->{aversion} }
    ],
    transaction => [
        sub {
            my ( $path, @more ) = @_;
            $zk->transaction->create("$path/1")->create("$path/2")->delete("$path/2")->commit(@more);
        },
        $kids
    ],
);
my %READ = (
    exists          => sub { my ( $path, @more ) = @_; $zk->exists( $path, @more ) },
    get             => sub { my ( $path, @more ) = @_; $zk->get( $path, @more ) },
    get_children    => sub { my ( $path, @more ) = @_; $zk->get_children( $path, @more ) },
    sync            => sub { my ( $path, @more ) = @_; $zk->sync( $path, @more ) },
    'several reads' => sub { my ( $path, @more ) = @_; $zk->multi_read->get($path)->commit(@more) },
);

for my $form ( sort keys %FORM ) {
    for my $lost ( sort keys %LOST ) {
        subtest "the $lost of a request $form is lost" => sub {
            for my $write ( sort keys %WRITE ) {
                my ( $call, $count ) = @{ $WRITE{$write} };
                my $path  = $setup->create( "$base/w-", sequential => 1 );
                my $id    = begin();
                my $error = error_of( $lost, $form, sub { $call->( $path, @_ ) } );
                is 0 + ( $error // 0 ), ZCONNECTIONLOSS, "$write: connection loss";
                ok $error->maybe_applied && !$error->is_retryable, 'nobody knows whether it was done';
                $setup->sync($path);
                is $zk->client_id->{client_id}, $id, 'the session goes on';
                is $count->($path), $lost eq 'answer' ? 1 : 0,
                  $lost eq 'answer' ? 'it was, once' : 'it was not';
            }
            for my $read ( sort keys %READ ) {
                begin();
                my $error = error_of( $lost, $form, sub { $READ{$read}->( $base, @_ ) } );
                is 0 + ( $error // 0 ), ZCONNECTIONLOSS, "$read: connection loss";
                ok $error->is_retryable && !$error->maybe_applied, 'and it can be asked again';
            }
        };
    }
}

subtest 'two answers are lost' => sub {
    my $path = $setup->create( "$base/twice-", sequential => 1 );
    begin();
    for my $round ( 1, 2 ) {
        my $error = error_of(
            'answer',
            'that is waited for',
            sub { $zk->create( "$path/x-", sequential => 1, ephemeral => 1 ) }
        );
        is 0 + $error,     ZCONNECTIONLOSS, "round $round";
        is $kids->($path), $round, 'each create makes one node and no more: this side sends nothing twice';
    }
    my $mine = $zk->get_ephemerals($path);
    is $mine, 2, 'the session can find what it has made';
    for my $call ( [ ensure_path => "$path/a" ], [ create => "$path/b" ] ) {
        my ( $method, @args ) = @$call;
        begin();
        my $error = error_of( 'answer', 'that is waited for', sub { $zk->$method(@args) } );
        is 0 + ( $error // 0 ), ZCONNECTIONLOSS, $method;
        is eval { $zk->$method(@args) } // 0 + $@, $method eq 'create' ? ZNODEEXISTS : $args[0],
          "$method finds it done";
    }
};

subtest 'a hundred requests are under way when the connection is lost' => sub {
    my $path = $setup->create( "$base/many-", sequential => 1 );
    begin();
    $proxy->harm( hold_answers => 0, 'old' );
    my ( $sent, @told ) = $zk->metrics->{sent};
    for my $number ( 0 .. 99 ) {
        $zk->create( "$path/$number", cb => sub { push @{ $told[$number] }, $_[0] } );
    }
    wait_for { $zk->wait(0.01); $zk->metrics->{sent} >= $sent + 100 } 60, 'all to be sent';
    $proxy->harm( reset => 0 );
    wait_for {
        $zk->wait(0.01);
        100 == grep { $_ } @told
    }
    60, 'the answers';
    is_deeply [
        map {
            map { 0 + ( $_ // 0 ) }
              @$_
        } @told
      ],
      [ (ZCONNECTIONLOSS) x 100 ], 'each is told once';
    $zk->sync('/');
    my %there = map { $_ => 1 } $setup->get_children($path);
    is_deeply [ grep { $there{$_} && !$told[$_][0]->maybe_applied } 0 .. 99 ], [],
      'nothing was done that was surely not';
    my ($missing) = grep { !$there{$_} } 0 .. 99;
    is_deeply [ grep { $there{$_} && defined $missing && $_ > $missing } 0 .. 99 ], [],
      'and nothing without what was asked before it';
};

done_testing;

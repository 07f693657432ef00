use strict;
use warnings;
use Test::More;
use lib 't/lib';
use ExampleProgram;
use Kazoo;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

# kazoo's recipes with one of us among those who take part.
my $kazoo  = kazoo();
my $server = test_server();
my @args   = ( hosts => $server->hosts, timeout => 30_000, dispatcher => 'Pipe' );
my $zk     = ZooKeeper->new(@args);
my $kz     = $kazoo->client( $server->hosts );
my $base   = fresh_path('kazoo');
$zk->create( $base, parents => 1 );

my $TRUE = JSON::PP::true;

# A method of kazoo's client.
sub kz { my (@call) = @_; return $kazoo->call( $kz, @call ) }

# We queue up as kazoo's Lock does: UUID__lock__NUMBER, the smallest number first. Returns the node.
sub contend {
    my ( $handle, $path, $who ) = @_;
    my $id = sprintf '%08x' x 4, map { int rand 2**32 } 1 .. 4;
    $handle->ensure_path($path);
    return $handle->create( "$path/${id}__lock__", value => $who, ephemeral => 1, sequential => 1 );
}

# The node before this one, undef for the first; who is waiting hears when it goes.
sub ahead_of {
    my ( $handle, $node, $watcher ) = @_;
    my ( $path, $mine ) = $node =~ m{\A(.+)/[^/]+__lock__(-?\d{10})\z};
    my %number =
      map { /__lock__(-?\d{10})\z/ && $1 < $mine ? ( $_ => $1 ) : () } $handle->get_children($path);
    my ($ahead) = sort { $number{$b} <=> $number{$a} } keys %number;
    return $ahead if !defined $ahead || !$watcher;
    return eval { $handle->get( "$path/$ahead", watcher => $watcher ); 1 } ? $ahead : ahead_of(@_);
}

# Waits for our turn.
sub acquire {
    my ( $handle, $node ) = @_;
    my $gone = 1;
    wait_for {
        $handle->wait(0.1) if !$gone;
        return 0           if !$gone;
        $gone = 0;
        !defined ahead_of( $handle, $node, sub { $gone = 1 } );
    }
    60, 'the lock';
    return;
}

sub lock_of_kazoo {
    my ( $path, $who, %named ) = @_;
    return $kazoo->keep( $kz, Lock => $path, $who, named => \%named );
}

subtest 'a lock goes from one to the other' => sub {
    my $path = "$base/lock";
    my ( $first, $last ) = map { lock_of_kazoo( $path, $_ ) } qw(first last);
    ok $kazoo->call( $first, 'acquire' ), 'kazoo has it';
    my $ours    = contend( $zk, $path, 'ours' );
    my $waiting = $kazoo->ask_aside( $last, 'acquire' );
    wait_for { 3 == $zk->get_children($path) } 60, 'all three';
    is_deeply $kazoo->call( $first, 'contenders' ), [qw(first ours last)], 'kazoo knows us as one that waits';
    my $gone  = 0;
    my $ahead = ahead_of( $zk, $ours, sub { $gone++ } );
    is scalar $zk->get("$path/$ahead"), 'first', 'and we know whom we wait for';
    $zk->sync('/');
    1 while $zk->dispatcher->dispatch_event;
    is $gone, 0, 'it is not our turn';

    $kazoo->call( $first, 'release' );
    acquire( $zk, $ours );
    wait_for { $zk->wait(0.1); $gone } 60, 'the event';
    is $gone,                         1,  'now it is';
    is $kazoo->is_answered($waiting), '', 'and not that of the one behind us';
    is_deeply $kazoo->call( $last, 'contenders' ), [qw(ours last)], 'who waits for us';
    $zk->delete($ours);
    is $kazoo->answer($waiting), 1, 'until we are done';
    my $again = contend( $zk, $path, 'again' );
    ok defined ahead_of( $zk, $again ), 'now it is we who wait';
    ok !$kazoo->call( $first, acquire => named => { blocking => JSON::PP::false } ),
      'a third one has no chance';
    $kazoo->call( $last, 'release' );
    acquire( $zk, $again );
    $zk->delete($again);
    is_deeply [ $zk->get_children($path) ], [], 'nothing stays behind';
};

subtest 'never both at once' => sub {
    my ( $path, $node ) = ( "$base/exclusive", "$base/exclusive-counter" );
    my @ours = map { ZooKeeper->new(@args) } 1 .. 2;
    $zk->create( $node, value => 0 );
    my $rounds = 20;
    for my $round ( 1 .. $rounds ) {
        my $lock    = lock_of_kazoo( $path, "kazoo $round" );
        my @waiting = map { contend( $ours[$_], $path, "ours $_" ) } $round % 2 ? 0 : ();
        my $asked   = $kazoo->ask_aside( $lock, 'acquire' );
        push @waiting, contend( $ours[1], $path, 'ours 1' );
        my $theirs = sub {
            $kazoo->answer($asked);
            my $n = kz( get => $node )->[0];
            kz( set => $node, data( $n + 1 ) );    # no version: the lock is all that guards it
            $kazoo->call( $lock, 'release' );
            undef $asked;
        };
        while (@waiting) {
            my ($handle) = @waiting == 2 ? $ours[0] : $ours[1];
            $theirs->() if defined $asked && $kazoo->is_answered($asked);
            next        if defined ahead_of( $handle, $waiting[0] );
            my $n = $handle->get($node);
            is $kazoo->is_answered($asked), '', "round $round: kazoo waits" if defined $asked;
            $handle->set( $node, $n + 1 );
            $handle->delete( shift @waiting );
        }
        $theirs->() if defined $asked;
    }
    is scalar $zk->get($node), $rounds * 2 + $rounds / 2, 'no count is lost';
};

subtest 'a holder whose session ends' => sub {
    my $path   = "$base/expire";
    my $other  = Kazoo->new;
    my $theirs = $other->client( $server->hosts );
    my $lock   = $other->keep( $theirs, Lock => $path );
    ok $other->call( $lock, 'acquire' ), 'kazoo has the lock';
    my ( $id, $passwd ) = @{ $other->call( $theirs, 'client_id' ) };
    my $ours = ZooKeeper->new(@args);
    my $node = contend( $ours, $path, 'ours' );
    ok defined ahead_of( $ours, $node ), 'we wait';
    $other->kill_hard;
    $server->expire_session( { client_id => $id, passwd => $passwd } );
    acquire( $ours, $node );
    pass 'and have it when its session is gone';

    my $last    = lock_of_kazoo( $path, 'last' );
    my $waiting = $kazoo->ask_aside( $last, 'acquire' );
    wait_for { 2 == $zk->get_children($path) } 60, 'another one';
    is $kazoo->is_answered($waiting), '', 'kazoo waits for us';
    $server->expire_session($ours);
    is $kazoo->answer($waiting), 1, 'and has it when ours is gone';
    $kazoo->call( $last, 'release' );
};

# The example has names of its own. kazoo can be told of them; the example does not know of kazoo's.
subtest 'kazoo waits for examples/lock.pl' => sub {
    my $path   = "$base/example";
    my $holder = ExampleProgram->start( 'lock', '--verbose', $server->hosts, $path, 'sh', '-c',
        'echo begin; sleep 300' );
    $holder->wait_line(qr/^begin/);
    my $lock    = lock_of_kazoo( $path, 'kazoo', extra_lock_patterns => ['lock\.[0-9a-f]+-[0-9]+\.'] );
    my $waiting = $kazoo->ask_aside( $lock, 'acquire' );
    wait_for { 2 == $zk->get_children($path) } 60, 'kazoo in the queue';
    my $contenders = $kazoo->call( $lock, 'contenders' );
    is $contenders->[1],              'kazoo', 'it knows who is first';
    is $kazoo->is_answered($waiting), '',      'and waits';
    $holder->signal('TERM');
    is $kazoo->answer($waiting), 1, 'until the program ends';
    $kazoo->call( $lock, 'release' );
};

subtest 'an election' => sub {
    my $path     = "$base/election";
    my $ours     = contend( $zk, $path, 'ours' );
    my $election = $kazoo->keep( $kz, Election => $path, 'kazoo' );
    my $running  = $kazoo->ask_aside( $election, run => tell('leads'), 'with this' );
    wait_for { 2 == $zk->get_children($path) } 60, 'both';
    is_deeply $kazoo->call( $election, 'contenders' ), [qw(ours kazoo)], 'both stand for it';
    is_deeply [ $kazoo->events('leads') ],             [],               'we lead';
    $zk->delete($ours);
    is_deeply $kazoo->event('leads'), ['with this'], 'kazoo leads when we have gone';
    $kazoo->answer($running);
    is_deeply [ $zk->get_children($path) ], [], 'and goes';
};

subtest 'a barrier' => sub {
    my $barrier = $kazoo->keep( $kz, Barrier => "$base/barrier" );
    $zk->create("$base/barrier");
    my $waiting = $kazoo->ask_aside( $barrier, wait => 60 );
    ok !$kazoo->call( $barrier, wait => 0.05 ), 'kazoo stands before ours';
    $zk->delete("$base/barrier");
    is $kazoo->answer($waiting), 1, 'until we take it away';

    my @seen;
    $kazoo->call( $barrier, 'create' );
    ok $zk->exists( "$base/barrier", watcher => sub { push @seen, $_[0]{type} } ), 'we stand before theirs';
    is $kazoo->call( $barrier, 'remove' ), 1, 'until it is taken away';
    wait_for { $zk->wait(0.1); @seen } 60, 'the event';
    is_deeply \@seen, [ZOO_DELETED_EVENT], 'which we hear';
};

subtest 'a double barrier' => sub {
    my $path    = "$base/double";
    my $barrier = $kazoo->keep( $kz, DoubleBarrier => $path, 2, 'kazoo' );
    my $enters  = $kazoo->ask_aside( $barrier, 'enter' );
    wait_for { $zk->exists($path) && 1 == $zk->get_children($path) } 60, 'kazoo';
    $zk->create( "$path/zzz-ours", ephemeral => 1 );
    is $kazoo->is_answered($enters), '', 'it waits for the word of the last one';
    $zk->create("$path/ready");
    $kazoo->answer($enters);
    is $kazoo->call( $barrier, 'participating' ), 1, 'that is us';
    my $leaves = $kazoo->ask_aside( $barrier, 'leave' );
    wait_for { !$zk->exists("$path/ready") } 60, 'that it wants to leave';
    is $kazoo->is_answered($leaves), '', 'it waits for us';
    $zk->delete("$path/zzz-ours");
    $kazoo->answer($leaves);
    is_deeply [ $zk->get_children($path) ], [], 'all have left';
};

subtest 'a counter' => sub {
    my $path    = "$base/counter";
    my $counter = $kazoo->keep( $kz, Counter => $path );
    my $theirs  = $kazoo->call( $counter, 'value' );
    is $theirs, 0, 'begins with 0';
    my @asked = $kazoo->ask_aside( $counter, __add__ => 3 );
    my ( $lost, $done ) = ( 0, 0 );
    while ( $done < 100 ) {
        push @asked, $kazoo->ask( $counter, __add__ => 3 ) if @asked <= $done;
        my ( $value, $stat ) = $zk->get($path);
        my $set = eval { $zk->set( $path, ( $value || 0 ) + 1000, version => $stat->{version} ); 1 };
        die $@ if !$set && $@ != ZBADVERSION;
        $set ? $done++ : $lost++;
    }
    $kazoo->answer($_) for @asked;
    is scalar $zk->get($path), 100 * 1000 + 3 * @asked, "no addition is lost ($lost times kazoo was faster)";
    is $kazoo->call( $counter, 'value' ), 100 * 1000 + 3 * @asked, 'kazoo reads the same';
};

subtest 'a party and a queue' => sub {
    my $party = $kazoo->keep( $kz, Party => "$base/party", 'kazoo' );
    $kazoo->call( $party, 'join' );
    my ($node) = $zk->get_children("$base/party");
    is scalar $zk->get("$base/party/$node"), 'kazoo', 'we see who is there';
    $zk->create( "$base/party/" . 'f' x 32 . '__party__0000000001', value => 'ours', ephemeral => 1 );
    is $kazoo->call( $party, '__len__' ), 2, 'and are seen';

    my $queue = $kazoo->keep( $kz, Queue => "$base/queue" );
    $kazoo->call( $queue, put => data("k$_") )                               for 1, 2;
    $zk->create( "$base/queue/entry-100-", value => "o$_", sequential => 1 ) for 1, 2;
    is $kazoo->call( $queue, '__len__' ), 4, 'a queue has entries of both';
    is_deeply [ map { $kazoo->call( $queue, 'get' ) } 1 .. 3 ], [qw(k1 k2 o1)], 'which come out in order';
    my ($last) = $zk->get_children("$base/queue");
    is scalar $zk->get("$base/queue/$last"), 'o2', 'and whatever is left is ours to take';
};

done_testing;

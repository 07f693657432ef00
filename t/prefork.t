use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Child;
use TestZK;

use IO::Socket::INET;
use ZooKeeper;

# examples/prefork.pl at work: a parent with a session, workers with one each, a port, and requests.
my $WORKERS = 3;

my $server = test_server();
my $base   = fresh_path('prefork');
my $zk     = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
$zk->create($base);
$zk->create( "$base/config", value => 'one' );

my $program = do { open my $in, '<', 'examples/prefork.pl' or die "the example: $!"; local $/; <$in> };
my ( $parent, $output ) = child_program( $program, $server->hosts, $base, $WORKERS );
my ($port) = ( deadline 60, sub { scalar <$output> } ) =~ /\Aport (\d+)/ or die 'no port';

# Who answers, and with what.
sub ask {
    my $socket = IO::Socket::INET->new( PeerAddr => "127.0.0.1:$port", Timeout => 30 ) or die "connect: $!";
    my ( $pid, $config ) = split ' ', ( deadline 60, sub { <$socket> } ) // die 'no answer';
    return ( $pid, $config );
}

sub workers {
    my @names = sort $zk->get_children("$base/workers");
    return @names;
}

# The parent's session, by the node that goes with it.
sub owner { return ( $zk->exists("$base/parent") // {} )->{ephemeralOwner} }
my $session = wait_for { owner() } 60, 'the parent';
my %owner_of;

subtest 'workers' => sub {
    soon_ok { workers() == $WORKERS } 60, 'each has a node';
    $owner_of{$_} = $zk->exists("$base/workers/$_")->{ephemeralOwner} for workers();
    my %sessions = map { $_ => 1 } $session, values %owner_of;
    is scalar keys %sessions, 1 + $WORKERS, 'of a session of its own';
    my $wrong = 0;
    my %answers;
    for ( 1 .. 50 ) {
        my ( $pid, $config ) = ask();
        $answers{$pid}++;
        $wrong++ if $config ne 'one';
    }
    is $wrong, 0, 'requests are answered from a node';
    is_deeply [ grep { !$owner_of{$_} } keys %answers ], [], 'by the workers';
};

subtest 'watches of all of them' => sub {
    $zk->set( "$base/config", 'two' );
    my %knows;
    wait_for {
        my ( $pid, $config ) = ask();
        $knows{$pid} = $config;
        !grep { $_ ne 'two' } values %knows
    }
    60, 'two';
    soon_ok {
        my ( $pid, $config ) = ask();
        $knows{$pid} = $config;
        2 <= grep { $_ eq 'two' } values %knows
    }
    60, 'more than one tells of the change';
    soon_ok {
        !grep { $_ ne 'two' } map { ( ask() )[1] } 1 .. 50
    }
    60, 'and in the end none of them what was';
};

subtest 'workers that die' => sub {
    for my $signal (qw(KILL TERM)) {
        my ($victim) = workers();
        kill $signal => $victim;
        soon_ok {
            my @now = workers();
            @now == $WORKERS && !grep { $_ eq $victim } @now
        }
        60, "$signal: is replaced";
        is scalar( grep { $_ ne 'two' } map { ( ask() )[1] } 1 .. 20 ), 0,
          'requests are answered all the same';
    }
    my %now = map { $_ => 1 } workers();
    for my $survivor ( grep { $now{$_} } keys %owner_of ) {
        is $zk->exists("$base/workers/$survivor")->{ephemeralOwner}, $owner_of{$survivor},
          'others keep their session';
    }
};

subtest 'the parent' => sub {
    is owner(), $session, 'has its session from first to last';
    my @workers = workers();
    my @lines;
    deadline 60, sub {
        while ( defined( my $line = <$output> ) ) {
            push @lines, $line;
            last if $line eq "workers @workers\n";
        }
    };
    is $lines[-1], "workers @workers\n", 'its watch has told it of all of that';
    kill TERM => $parent;
    push @lines, deadline 60, sub { <$output> };
    close $output;
    is $?,         0,       'ends well';
    is $lines[-1], "end\n", 'in its own time';
    is_deeply [ grep { !/\A(?:workers|end)\b/ } @lines ], [], 'without a complaint of anybody';
    is_deeply [ workers() ],                              [], 'no session of a worker is left';
    is $zk->exists("$base/parent"), undef, 'nor its own';
};

subtest 'a parent that loses its session, and then is killed' => sub {
    my ( $second, $said ) = child_program( $program, $server->hosts, $base, $WORKERS );
    my ($there) = ( deadline 60, sub { scalar <$said> } ) =~ /\Aport (\d+)/ or die 'no port';
    my $first   = wait_for { owner() } 60, 'the parent';
    soon_ok { workers() == $WORKERS } 60, 'it has workers';
    kill STOP => $second;
    soon_ok { !owner() } 60, 'it stands still until its session has expired';
    kill CONT => $second;
    soon_ok { ( owner() // $first ) != $first } 60, 'it goes on with another one';
    my ($victim) = workers();
    kill KILL => $victim;
    my $line = '';
    deadline 60, sub {
        while ( $line ne join( ' ', 'workers', workers() ) . "\n" || $line =~ /\b$victim\b/ ) {
            $line = <$said> // last;
        }
    };
    like $line, qr/\Aworkers(?: \d+){$WORKERS}$/, 'and still tells who comes and goes';
    kill KILL => $second;
    soon_ok { !workers() } 60, 'its workers end with it';
    soon_ok { !IO::Socket::INET->new( PeerAddr => "127.0.0.1:$there", Timeout => 30 ) } 60,
      'and the port is free';
    close $said;
};

done_testing;

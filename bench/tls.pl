#!/usr/bin/perl
# What TLS costs: blocking gets, and gets with 1,000 in flight, by TLS and without it, on one real server.
#
#     perl -Mblib bench/tls.pl [ROUNDS [CALLS]]
#
# Medians of the rounds, which are interleaved, and their ratios. A call is a get of 100 bytes. "switches" are the
# voluntary context switches of all threads of this process for each call: a call that waits once has one.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../t/lib";
use Certificates;
use Time::HiRes ();
use ZooKeeper;
use ZooKeeper::Test::Server;

my $IN_FLIGHT = 1_000;

my $rounds = $ARGV[0]                  // 5;
my $calls  = $ARGV[1]                  // 5_000;
my $reason = Certificates->unavailable // ZooKeeper::Test::Server->unavailable;
die "$reason\n" if $reason;

my $pki = Certificates->new;
$pki->authority('ca');
$pki->issue( 'server', by => 'ca', names => 'IP:127.0.0.1' );
my $server =
  ZooKeeper::Test::Server->new( tls => $pki->server_side( 'server', 'ca', client_auth => 'none' ) );
my %handle = (
    plain => ZooKeeper->new( hosts => $server->hosts ),
    tls   => ZooKeeper->new( hosts => $server->secure_hosts, tls => { ca_file => $pki->file('ca.pem') } ),
);
my $path = $handle{plain}->create( '/x', value => 'x' x 100 );

my %kind = (
    blocking => sub {
        my ($zk) = @_;
        $zk->get($path) for 1 .. $calls;
    },
    pipelined => sub {
        my ($zk) = @_;
        my ( $asked, $answers ) = ( 0, 0 );
        my $next;
        $next = sub {
            my ($error) = @_;
            die $error if defined $error;
            $answers++;
            return if $asked == $calls;
            $asked++;
            $zk->get( $path, cb => $next );
        };
        $asked = $IN_FLIGHT < $calls ? $IN_FLIGHT : $calls;
        $zk->get( $path, cb => $next ) for 1 .. $asked;
        $zk->wait(0.1) while $answers < $calls;
        undef $next;
    },
);

my %seen;
$kind{blocking}->($_) for values %handle;    # Java's compiler
for my $round ( 1 .. $rounds ) {
    for my $kind ( sort keys %kind ) {
        for my $how ( sort keys %handle ) {
            my @start = measures();
            $kind{$kind}->( $handle{$how} );
            my @end = measures();
            push @{ $seen{$kind}{$how}[$_] }, ( $end[$_] - $start[$_] ) / $calls for 0 .. 2;
        }
    }
}
printf "%-10s %-6s %12s %12s %12s\n", 'get', '', 'wall us', 'CPU us', 'switches';
for my $kind ( sort keys %kind ) {
    my %row = map {
        my $how = $_;
        $how => [ map { median( @{ $seen{$kind}{$how}[$_] } ) } 0 .. 2 ]
    } keys %handle;
    printf "%-10s %-6s %12.1f %12.1f %12.2f\n", $kind, $_, @{ $row{$_} } for qw(plain tls);
    printf "%-10s %-6s %12.2f %12.2f %12.2f\n", '', 'ratio',
      map { $row{tls}[$_] / ( $row{plain}[$_] || 1 ) } 0 .. 2;
}

# Microseconds, of the clock and of the processor, and context switches.
sub measures {
    my @times    = times;
    my $switches = 0;
    for my $file ( glob '/proc/self/task/*/status' ) {
        open my $status, '<', $file or next;
        $switches += /^voluntary_ctxt_switches:\s+(\d+)/ ? $1 : 0 while <$status>;
    }
    return ( Time::HiRes::time() * 1e6, ( $times[0] + $times[1] ) * 1e6, $switches );
}

sub median {
    return ( sort { $a <=> $b } @_ )[ $#_ / 2 ];
}

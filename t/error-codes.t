# What servers answer is what the program is told, whether the number is known or not.
use strict;
use warnings;
use Test::More;
use lib 't/lib';

use FakeZK;
use TestZK;
use ZooKeeper;
use ZooKeeper::Constants;

# All that servers up to 3.9 send, and what no server has sent yet.
my %name = (
    SYSTEMERROR                  => -1,
    RUNTIMEINCONSISTENCY         => -2,
    DATAINCONSISTENCY            => -3,
    MARSHALLINGERROR             => -5,
    UNIMPLEMENTED                => -6,
    BADARGUMENTS                 => -8,
    NEWCONFIGNOQUORUM            => -13,
    RECONFIGINPROGRESS           => -14,
    APIERROR                     => -100,
    NONODE                       => -101,
    NOAUTH                       => -102,
    BADVERSION                   => -103,
    NOCHILDRENFOREPHEMERALS      => -108,
    NODEEXISTS                   => -110,
    NOTEMPTY                     => -111,
    INVALIDACL                   => -114,
    SESSIONMOVED                 => -118,
    NOTREADONLY                  => -119,
    EPHEMERALONLOCALSESSION      => -120,
    NOWATCHER                    => -121,
    RECONFIGDISABLED             => -123,
    SESSIONCLOSEDREQUIRESASLAUTH => -124,
    QUOTAEXCEEDED                => -125,
    THROTTLEDOP                  => -127,
);
my @unknown = ( -999, -126, -42, 77, -2_147_483_648 );

for my $name ( sort keys %name ) {
    no strict 'refs';
    is eval { &{"ZooKeeper::Constants::Z$name"}() }, $name{$name},    "Z$name";
    isnt zerror( $name{$name} ),                     'unknown error', "Z$name has a text";
}
is zerror($_), 'unknown error', "zerror($_)" for grep { $_ < 0 } @unknown;

# Answers each request with the code that its path ends with.
my $fake = FakeZK->new(
    sub {
        my ($connection) = @_;
        $connection->handshake or return;
        while ( defined( my $frame = $connection->frame ) ) {
            my ( $xid, $op, $rest ) = unpack 'l> l> a*', $frame;
            my ($code) = $rest =~ m{/code(-?[0-9]+)};
            $connection->send_frame( pack 'l> q> l>', $xid, 1, $code // 0 );
        }
    }
);
my $zk     = ZooKeeper->new( hosts => $fake->hosts, dispatcher => 'Pipe' );
my $demand = ZSESSIONCLOSEDREQUIRESASLAUTH;
for my $code ( ( grep { $_ != $demand } sort { $a <=> $b } values %name ), @unknown ) {
    my $path = "/code$code";
    for my $call ( [ get => $path ], [ create => $path ], [ sync => $path ], [ get_children2 => $path ] ) {
        my ( $method, @args ) = @$call;
        my $error = eval { $zk->$method(@args); 1 } ? 'none' : $@;
        is ref $error && $error->code, $code,         "$method: $code is kept";
        is $error->error,              zerror($code), 'with its text' if ref $error;
    }
}
my @told;
$zk->get( '/code-999', cb => sub { push @told, @_ } );
soon_ok { 1 while $zk->dispatcher->dispatch_event; @told } 30, 'without waiting';
is $told[0]->code, -999, 'too';
like "$told[0]", qr/\AError getting data for node '\/code-999': unknown error at /, 'in words';

# This one ends the session.
my $error = eval { $zk->get("/code$demand"); 1 } ? 'none' : $@;
is ref $error && $error->code, $demand, "$demand is kept";
$error = eval { $zk->get('/code0'); 1 } ? 'none' : $@;
is ref $error && $error->code, ZAUTHFAILED, 'the server would take nothing else';

done_testing;

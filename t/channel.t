use strict;
use warnings;
use Test::More;

use Scalar::Util qw(refaddr weaken);
use ZooKeeper::Channel;

my $channel = ZooKeeper::Channel->new;
isa_ok $channel, 'ZooKeeper::Channel';
is $channel->size, 0, 'a new channel is empty';
is_deeply [ $channel->recv ], [undef], 'recv of an empty one is one undef';

$channel->send( 1 .. 3 );
is $channel->size, 3, 'three were sent at once';
is_deeply [ map { $channel->recv } 1 .. 3 ], [ 1 .. 3 ], 'first in, first out';
is $channel->size, 0, 'empty again';

$channel->send($_) for 'a' .. 'e';
is $channel->recv, 'a', 'the first of five';
$channel->send('f');
is_deeply [ map { $channel->recv } 1 .. 5 ], [ 'b' .. 'f' ], 'sent while others are under way';

$channel->send(undef);
is $channel->size, 1,     'undef is an item';
is $channel->recv, undef, 'that can be received';
is $channel->size, 0,     'and then is gone';

my %item = (
    string    => \'text',
    binary    => \"\0\xff\x{263a}",
    number    => \1.5,
    array     => \[ 1, [2] ],
    hash      => \{ a => 1 },
    code      => \sub { 42 },
    regexp    => \qr/x+/,
    glob      => \*STDOUT,
    handle    => \*STDERR{IO},
    object    => \( bless {}, 'Some::Class' ),
    reference => \\'x',
);

for my $name ( sort keys %item ) {
    my $sent = ${ $item{$name} };
    $channel->send($sent);
    my $received = $channel->recv;
    ref $sent
      ? is refaddr($received), refaddr($sent), "$name: the very same"
      : is $received, $sent, "$name arrives as it was";
}
$channel->send(*STDOUT);
is $channel->recv, *STDOUT, 'a glob itself';

my $scalar = 'before';
$channel->send($scalar);
$scalar = 'after';
is $channel->recv, 'after', 'the scalar itself is sent, not a copy';

{
    my $object = {};
    weaken( my $weak = $object );
    $channel->send($object);
    undef $object;
    my $held = $channel->recv;
    undef $held;
    is $weak, undef, 'nothing is kept after recv';

    $object = {};
    weaken( $weak = $object );
    my $other = ZooKeeper::Channel->new;
    $other->send($object);
    $object = undef;
    undef $other;
    is $weak, undef, 'a channel that goes takes its items along';
}

subtest 'the descriptor is readable while there is something' => sub {
    my $readable = sub {
        my $fd = '';
        vec( $fd, $channel->_fd, 1 ) = 1;
        return select $fd, undef, undef, 0;
    };
    is $readable->(), 0, 'empty: no';
    $channel->send( 1, 2 );
    is $readable->(), 1, 'two items: yes';
    $channel->recv;
    is $readable->(), 1, 'one item: yes';
    $channel->recv;
    is $readable->(), 0, 'none: no';
    $channel->send(3);
    is $readable->(), 1, 'one more: yes';
    $channel->_clear;
    is $channel->size, 1, 'clearing loses nothing';
    is $readable->(),  1, 'and it still says so';
    $channel->recv;
    is $readable->(), 0, 'none: no';
};

for my $method (qw(send recv size)) {
    ok !eval { ZooKeeper::Channel->can($method)->('no channel'); 1 }, "$method of something else dies";
    like $@, qr/\A$method: .* at \Q${\ __FILE__}\E line [0-9]+\.\n/, 'and says so';
}

done_testing;

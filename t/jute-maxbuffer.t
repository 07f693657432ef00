# A request that is longer than jute_maxbuffer is refused before a byte of it is sent, whatever it is and however it is
# asked: a server would drop the connection for it without a word.
use strict;
use warnings;
use Test::More;
use lib 't/lib';

use CountingProxy;
use TestZK;
use ZooKeeper;
use ZooKeeper::Constants;

my $LIMIT = 1_000;
my $real  = ZooKeeper->new( hosts => test_hosts(), dispatcher => 'Pipe' );
my $proxy = CountingProxy->new( test_hosts() );
my $zk    = ZooKeeper->new( hosts => $proxy->hosts, dispatcher => 'Pipe', jute_maxbuffer => $LIMIT );
my $base  = fresh_path('limit');
$zk->create( $base, value => 'v' );

my $long      = 'x' x $LIMIT;
my $long_path = "$base/$long";
my @long_acl  = map { { scheme => 'digest', id => "user$_:" . 'h' x 28, perms => ZOO_PERM_ALL } } 1 .. 30;
my $nobody    = sub { };
my %LONG      = (
    create                  => [ "$base/x", value => $long ],
    create2                 => [ "$base/x", value => $long ],
    delete                  => [$long_path],
    exists                  => [$long_path],
    get                     => [$long_path],
    set                     => [ $base => $long ],
    get_children            => [$long_path],
    get_children2           => [$long_path],
    get_all_children_number => [$long_path],
    get_ephemerals          => [$long_path],
    sync                    => [$long_path],
    get_acl                 => [$long_path],
    set_acl                 => [ $base               => \@long_acl ],
    add_auth                => [ digest              => "user:$long" ],
    add_watch               => [ $long_path, watcher => $nobody ],
    reconfig                => [ joining             => $long ],
    ensure_path             => ["$long_path/x"],
);
my %TOGETHER = (
    transaction => sub { $_[0]->set( $base => "v" x 100 ) },
    multi_read  => sub { $_[0]->get("$base/$_[1]") },
);

# What the engine sends by itself is a ping, of twelve bytes and its length, now and then.
sub bytes_sent {
    my $sent = ( $proxy->connections )[0]{sent};
    $sent =~ s/\x00\x00\x00\x08\xff\xff\xff\xfe\x00\x00\x00\x0b//g;
    return length $sent;
}

sub refused_ok {
    my ( $error, $what ) = @_;
    cmp_ok $error, '==', ZBADARGUMENTS, "$what: bad arguments";
    my ($length) = $error =~ /request of ([0-9]+) bytes is longer than jute_maxbuffer \($LIMIT\)/;
    cmp_ok $length // 0, '>', $LIMIT, "$what: the message has the length and the option" or diag $error;
    is $error->maybe_applied, 0, "$what: and surely nothing was done";
    return;
}

my $id   = $zk->client_id->{client_id};
my $sent = bytes_sent();
for my $method ( sort keys %LONG ) {
    my @args = @{ $LONG{$method} };
    eval { $zk->$method(@args) };
    refused_ok( $@, $method );
    my @told;
    eval {
        $zk->$method( @args, cb => sub { @told = @_ } );
        1;
    } or push @told, $@;
    refused_ok( $told[0], "$method with cb" );
}
for my $method ( sort keys %TOGETHER ) {
    my $list = $zk->$method;
    $list = $TOGETHER{$method}->( $list, $_ ) for 1 .. 50;
    eval { $list->commit };
    refused_ok( $@, $method );
    my @told;
    eval {
        $list->commit( cb => sub { @told = @_ } );
        1;
    } or push @told, $@;
    refused_ok( $told[0], "$method with cb" );
}
is bytes_sent(),                       $sent, 'of none of them a byte was sent';
is $zk->get($base),                    'v',   'the handle works';
is scalar( () = $proxy->connections ), 1,     'over the same connection';
is $zk->client_id->{client_id},        $id,   'in the same session';

subtest 'what fits exactly goes through' => sub {
    my $room = 0;
    $room++ while eval { $zk->set( $base => 'y' x ( $room + 1 ) ); 1 } && $room < $LIMIT;
    is length $real->get($base), $room, 'the longest that was taken';
    like $@, qr/request of ${\ ( $LIMIT + 1 ) } bytes/, 'one more is one too many';
};

subtest 'a reply may be longer' => sub {
    $real->set( $base => 'z' x 500_000 );
    is length $zk->get($base), 500_000, 'it is read';
};

done_testing;

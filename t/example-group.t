# examples/group.pl, in several processes, with all that can happen to them.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

use CutProxy;
use ExampleProgram;
use ZooKeeper;
use ZooKeeper::Constants;

# Milliseconds. Whoever is to die in a test has the short one; whoever is to live must not be lost on a busy machine.
my ( $SHORT, $LONG ) = ( 4_000, 30_000 );

# For sessions that are closed behind a program's back, and for servers that are started again: if it is asked at the
# wrong moment a server may not answer at all, which is noticed after a third, or two, of this.
my $MIDDLING = 12_000;

my $server = test_server();
my $zk     = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe', timeout => 15_000 );
my $top    = fresh_path('group');
$zk->create($top);

# A member, once it has seen itself; without a name a watcher.
sub member {
    my ( $timeout, $path, $name, $proxy ) = @_;
    my $hosts   = ( $proxy // $server )->hosts;
    my $program = ExampleProgram->start( 'group', '--timeout', $timeout, $hosts, $path, $name // () );
    $program->wait_line(qr/^\+ $name$/) if defined $name;
    return $program;
}

sub stops {
    my ( $program, $name, $signal ) = @_;
    $program->signal( $signal // 'TERM' );
    return is $program->exit_code, 0, "$name ends";
}

subtest 'wrong usage is told' => sub {
    my $hosts = $server->hosts;
    my @cases = (
        [ 0,  qr{\AGroup membership.*^ +perl .*examples/group\.pl}ms, '--help' ],
        [ 64, qr/too few arguments/,             '--list',        $hosts ],
        [ 64, qr/too many arguments/,            $hosts,          $top, qw(anna bert) ],
        [ 64, qr/--timeout must be more than 0/, '--timeout',     -1,   $hosts, $top ],
        [ 64, qr/PATH must look like/,           $hosts,          '/a//b' ],
        [ 1,  qr/chroot/,                        "${hosts}/none", $top ],
        [ 69, qr/no connection to/,              '--timeout',     500, '127.0.0.1:1', $top ],
    );
    for my $case (@cases) {
        my ( $code, $message, @arguments ) = @$case;
        ExampleProgram->usage_is( $code, $message, 'group', @arguments );
    }
};

subtest 'members come and go' => sub {
    my $path    = "$top/clean";
    my $watcher = member( $LONG, $path );
    my %is      = map { $_ => member( $LONG, $path, $_ ) } qw(cleo anna bert);
    $watcher->wait_line(qr/^\+ bert$/);
    is_deeply [ $watcher->lines ],  [ '+ cleo', '+ anna', '+ bert' ], 'a watcher sees all that come';
    is_deeply [ $is{bert}->lines ], [ '+ cleo', '+ anna', '+ bert' ], 'who comes sees all that are there';
    my $list = ExampleProgram->start( 'group', '--list', $server->hosts, $path );
    is $list->exit_code, 0, '--list ends';
    is_deeply [ $list->lines ], [qw(cleo anna bert)], 'and lists them in the order of their coming';
    my @nodes = $zk->get_children($path);
    is scalar @nodes, 3, 'a watcher is no member';
    my $none = ExampleProgram->start( 'group', '--list', $server->hosts, "$path/none" );
    is $none->exit_code, 0, '--list of no group';
    is_deeply [ $none->lines ], [], 'is empty';

    # Long before their sessions would expire.
    stops( $is{anna}, 'a member', 'INT' );
    $_->wait_line(qr/^- anna$/) for $watcher, @is{qw(bert cleo)};
    stops( $is{cleo}, 'another' );
    $_->wait_line(qr/^- cleo$/) for $watcher, $is{bert};
    stops( $is{bert}, 'the last' );
    $watcher->wait_line(qr/^- bert$/);
    is_deeply [ $zk->get_children($path) ], [], 'nothing stays behind';
    stops( $watcher, 'the watcher' );
    is_deeply [ grep { !/^[-+] (?:anna|bert|cleo)$/ } map { $_->lines } $watcher, values %is ], [],
      'nothing else was printed';
};

subtest 'kill -9' => sub {
    my $path = "$top/kill";
    my $anna = member( $LONG,  $path, 'anna' );
    my $bert = member( $SHORT, $path, 'bert' );
    $anna->wait_line(qr/^\+ bert$/);
    $bert->signal('KILL');
    $anna->wait_line(qr/^- bert$/);
    pass 'a member that is gone is missed when its session has expired';
    my $again = member( $LONG, $path, 'bert' );
    $anna->wait_line( qr/^\+ bert$/, 2 );
    pass 'and may come back';
    stops( $_, 'a member' ) for $anna, $again;
};

subtest 'a lost connection is not a lost session' => sub {
    my $path  = "$top/connection";
    my $proxy = CutProxy->new( $server->hosts );
    my $anna  = member( $MIDDLING, $path, 'anna', $proxy );
    my $bert  = member( $MIDDLING, $path, 'bert' );
    my $id    = $proxy->client_id;
    $proxy->lose_connection;
    $server->restart;
    my $cleo = member( $MIDDLING, $path, 'cleo' );
    $_->wait_line(qr/^\+ cleo$/) for $anna, $bert;
    is_deeply [ $anna->lines ], [ '+ anna', '+ bert', '+ cleo' ], 'nobody has gone';
    is $proxy->client_id->{client_id}, $id->{client_id}, 'nor has the session';
    stops( $_, 'a member' ) for $anna, $bert, $cleo;
};

subtest 'the answer to the create is lost' => sub {
    my %losses = CutProxy::lost_creates();
    for my $case ( sort keys %losses ) {
        my $path  = "$top/answer-" . $case =~ tr/ /-/r;
        my $proxy = CutProxy->new( $server->hosts, @{ $losses{$case} } );
        my $anna  = member( $LONG, $path, 'anna', $proxy );
        is scalar( ()        = $proxy->losses ),           scalar @{ $losses{$case} }, "$case: it was";
        is scalar( my @nodes = $zk->get_children($path) ), 1, "$case: one node is there";
        stops( $anna, "$case: it" );
        is_deeply [ $anna->lines ],             ['+ anna'], "$case: and it was there once";
        is_deeply [ $zk->get_children($path) ], [],         "$case: until the end";
    }
};

subtest 'the session expires' => sub {
    my $path       = "$top/expire";
    my $proxy      = CutProxy->new( $server->hosts );
    my $anna       = member( $MIDDLING, $path, 'anna', $proxy );
    my $bert       = member( $LONG,     $path, 'bert' );
    my $watcher_by = CutProxy->new( $server->hosts );
    my $watcher    = member( $MIDDLING, $path, undef, $watcher_by );
    $watcher->wait_line(qr/^\+ bert$/);

    $server->expire_session( $proxy->client_id );
    $bert->wait_line(qr/^- anna$/);
    $anna->wait_line(qr/^! .*$ExampleProgram::GONE/);
    $anna->wait_line( qr/^\+ anna$/, 2 );
    $bert->wait_line( qr/^\+ anna$/, 2 );
    pass 'a member says so and joins again';
    is scalar( my @nodes = $zk->get_children($path) ), 2, 'once';

    $server->expire_session( $watcher_by->client_id );
    my $cleo = member( $LONG, $path, 'cleo' );
    $watcher->wait_line(qr/^\+ cleo$/);
    pass 'a watcher watches on';
    is_deeply [ $watcher->lines(qr/^!/) ], [], 'which is no member, and does not say it was';
    stops( $_, 'one' ) for $anna, $bert, $cleo, $watcher;
};

subtest 'a member is thrown out' => sub {
    my $path = "$top/deleted";
    my $anna = member( $LONG, $path, 'anna' );
    $zk->delete( "$path/" . ( $zk->get_children($path) )[0] );
    $anna->wait_line(qr/^! .* was deleted/);
    $anna->wait_line( qr/^\+ anna$/, 2 );
    pass 'it joins again';

    $anna->signal('STOP');
    $zk->delete("$path/$_") for $zk->get_children($path);
    $zk->delete($path);
    $anna->signal('CONT');
    $anna->wait_line( qr/^\+ anna$/, 3 );
    pass 'also when there is no group left';
    stops( $anna, 'it' );
};

subtest 'without a server' => sub {
    my $path = "$top/silent";
    my $anna = member( $LONG, $path, 'anna' );
    $server->pause;
    my $ok    = eval { stops( $anna, 'a member' ) };
    my $error = $@;
    $server->resume;
    die $error if !$ok;
};

done_testing;

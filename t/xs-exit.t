use strict;
use warnings;

use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(time);
use lib 't/lib';
use TestZK;
use ZooKeeper::XS;

# Programs that end with handles in all states, with and without perl's full clean-up at exit.
my $hosts = test_hosts();
my $mute  = IO::Socket::INET->new( Listen => 20, LocalAddr => '127.0.0.1' ) or die "listen: $!\n";

my $PRELUDE = q{
    use strict; use warnings; use ZooKeeper::XS; use ZooKeeper::Error;
    our ( $hosts, $mute ) = @ARGV;
    sub handle { my $zk = bless {}, 'ZooKeeper'; $zk->_connect( { hosts => shift, timeout => 60_000, channel => our $c = ZooKeeper::Channel->new } ); $zk }
};

my @programs = (
    [ 'a lexical handle',          'my $zk = handle($hosts); $zk->_exists("/")' ],
    [ 'a global one',              'our $zk = handle($hosts); $zk->_exists("/")' ],
    [ 'one in a cycle',            'my $zk = handle($hosts); $zk->{self} = $zk; $zk->_exists("/")' ],
    [ 'one that is not connected', 'our $zk = handle($mute)' ],
    [ 'one that nobody answers',   'our $zk = handle("127.0.0.1:1")' ],
    [ 'a closed one',              'our $zk = handle($hosts); $zk->_exists("/"); $zk->_close' ],
    [ 'an END block that uses it', 'our $zk = handle($hosts); END { $zk->_exists("/"); undef $zk }' ],
    [
        'a DESTROY that uses it',
        'our $zk = handle($hosts); sub ZooKeeper::DESTROY { $_[0]->_close; $_[0]->_state }'
    ],
    [ 'many', 'our @zk = map { handle( $_ % 2 ? $hosts : $mute ) } 1 .. 10; $zk[0]->_exists("/")' ],
    [ 'a child of a child', 'our $zk = handle($hosts); $zk->_exists("/"); fork || fork || undef $zk; wait' ],
    [
        'scalars in the channel',
        'our $zk = handle($hosts); our $ch = ZooKeeper::Channel->new; $ch->send( $zk, $ch, [1] )'
    ],
);

for my $level ( 0, 2 ) {
    local $ENV{PERL_DESTRUCT_LEVEL} = $level;
    for my $program (@programs) {
        my ( $name, $code ) = @$program;
        my $start = time;
        is run($code), 'end', "$name, level $level";
        is $?,         0,     '... ends well';
        cmp_ok time - $start, '<', 40, '... and long before any session timeout';
    }
}

subtest 'the session ends with the program' => sub {
    for my $name ( 'a global one', 'one in a cycle' ) {
        my ($program) = grep { $_->[0] eq $name } @programs;
        my $path = fresh_path('exit');
        my $code =
"$program->[1]; \$zk->_create( '$path', '', [ { id => 'anyone', scheme => 'world', perms => 31 } ], 1 )";
        is run($code), 'end', "$name with an ephemeral node";
        my $zk = bless {}, 'ZooKeeper';
        $zk->_connect( { hosts => $hosts, channel => ZooKeeper::Channel->new } );
        ok !$zk->_exists($path), '... which is gone at once';
    }
};

done_testing;

# What the program says.
sub run {
    my ($code) = @_;
    my @command = (
        $^X, ( map { "-I$_" } @INC ), '-e', "$PRELUDE; $code; print 'end'",
        $hosts, '127.0.0.1:' . $mute->sockport
    );
    my $pid = open my $pipe, '-|' // die "fork: $!\n";
    if ( !$pid ) {
        open STDERR, '>&', \*STDOUT or die $!;
        exec @command;
    }
    local $/;
    my $output = readline $pipe;
    close $pipe;
    $output =~ s/\A(?:end)+\z/end/;    # children say it too
    return $output;
}

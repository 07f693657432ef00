use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Child;
use Dispatchers;
use TestZK;

use Time::HiRes qw(time);
use ZooKeeper;

# Programs that are told to end, by a signal, while they wait for a server that stands still: they end soon, and their
# session with them, as soon as the server can hear of it. The session timeout would come much later.
my $TIMEOUT_MS = 120_000;
my $SOON       = 20;

my $server = test_server();
my $base   = fresh_path('signals-end');
my $zk     = ZooKeeper->new( hosts => $server->hosts, timeout => 300_000, dispatcher => 'Pipe' );
$zk->create($base);

my $PROLOGUE = <<'PERL';
use strict;
use warnings;
use ZooKeeper;
my ( $hosts, $base, $timeout, $dispatcher ) = @ARGV;
our $stop = 0;
my $zk = ZooKeeper->new( hosts => $hosts, timeout => $timeout, dispatcher => $dispatcher );
$zk->create( "$base/e", ephemeral => 1 );
$zk->get( "$base/e", watcher => sub { } );
#HANDLER
my $go = 0;
$SIG{USR1} = sub { $go = 1 };
print "ready\n";
select undef, undef, undef, 0.02 until $go;
print "go\n";
PERL

# What stands in the program: its handler, and what it does meanwhile; and how it ends.
my %handler = (
    dies  => '$SIG{INT} = sub { die "stop\n" };',
    exits => '$SIG{INT} = sub { exit 0 };',
    flags => '$SIG{INT} = sub { $stop = 1 };',
);
my %waits = (
    'in a call'        => 'eval { $zk->get("/") }; exit( $@ eq "stop\n" ? 0 : 9 );',
    'in a write'       => 'eval { $zk->set( "$base/e", "w" ) }; exit( $@ eq "stop\n" ? 0 : 9 );',
    'in a transaction' =>
      'eval { $zk->transaction->set( "$base/e", "w" )->commit }; exit( $@ eq "stop\n" ? 0 : 9 );',
    'in wait'           => 'eval { $zk->wait(600) }; exit( $@ eq "stop\n" ? 0 : 9 );',
    'in wait_connected' => 'eval { $zk->reopen; $zk->wait_connected }; exit( $@ eq "stop\n" ? 0 : 9 );',
);

# A handler that only sets a flag lets a wait and a call go on: until its time is over, or the connection is given up.
my %short = (
    'in short waits' => '$zk->wait(0.2) until $stop;',
    'in calls'       => 'until ($stop) { eval { $zk->get("/") } }',
);

sub ends_well {
    my ( $name, $handler, $code, %arg ) = @_;
    local $ENV{PERL_SIGNALS} = $arg{unsafe} ? 'unsafe' : 'safe';
    my $path = $zk->create( "$base/p-", sequential => 1 );
    my ( $pid, $output ) = child_program(
        $PROLOGUE =~ s/#HANDLER/$handler/r . $code,
        $server->hosts, $path,
        $arg{timeout}    // $TIMEOUT_MS,
        $arg{dispatcher} // 'Pipe'
    );
    is deadline( 60, sub { scalar <$output> } ), "ready\n", "$name: it is at work";
    $server->pause if !$arg{alive};

    kill USR1 => $pid;
    is deadline( 60, sub { scalar <$output> } ), "go\n", "$name: it begins";
    select undef, undef, undef, 0.2;    # most probably it is in the call by now, else it ends all the same
    my $start = time;
    kill INT => $pid;
    my @words;
    eval {
        deadline 100, sub { @words = <$output> };
        1;
    } or kill KILL => $pid;
    my $took = time - $start;
    close $output;
    my $status = $?;
    $server->resume if !$arg{alive};
    is "@words", '',                "$name: it ends without a word";
    is $status,  $arg{status} // 0, "$name: as it wants to";
    cmp_ok $took, '<', $SOON, "$name: soon";
    soon_ok { !$zk->exists("$path/e") } 40, "$name: and so does its session" if !$arg{leaves};
    return;
}

for my $how (qw(dies exits)) {
    for my $where ( sort keys %waits ) {
        my ( $handler, $code ) = ( $handler{$how}, $waits{$where} );
        ends_well( "a handler that $how, $where", $handler, $code );
        ends_well( "a handler that $how, $where, unsafe", $handler, $code, unsafe => 1 )
          if $where ne 'in wait_connected';
    }
}
ends_well( "a handler that sets a flag, $_", $handler{flags}, $short{$_}, timeout => 6_000 )
  for sort keys %short;
for my $dispatcher ( dispatchers() ) {
    my @arg = ( dispatcher => $dispatcher, alive => 1 );
    ends_well( "$dispatcher: a handler that $_, in wait", $handler{$_}, $waits{'in wait'}, @arg )
      for qw(dies exits);
    ends_well( "$dispatcher: a handler that sets a flag, in short waits",
        $handler{flags}, $short{'in short waits'}, @arg );
}

# Without a handler there is nobody to close the session.
ends_well( "without a handler, $_", q($SIG{INT} = 'DEFAULT';), $waits{$_}, status => 2, leaves => 1 )
  for sort keys %waits;

done_testing;

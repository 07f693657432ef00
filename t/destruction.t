use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;

use Config;
use ZooKeeper;

my $hosts = test_hosts();
my $setup = ZooKeeper->new( hosts => $hosts, dispatcher => 'Pipe' );
my $base  = fresh_path('destruction');
$setup->create($base);

# A program that ends must end: at once, with its own status, without a word, and with its sessions, which would last for
# two minutes. It does not wait for a server that takes more than a second to close them.
my $prologue = <<'PERL';
use strict;
use warnings;
use ZooKeeper;
our ( $hosts, $base ) = @ARGV;
sub handle { return ZooKeeper->new( hosts => $hosts, timeout => 120_000, @_ ) }
PERL

my %program = (
    'a global handle'       => 'our $zk = handle(); $zk->create("$base/e", ephemeral => 1);',
    'a file lexical handle' => 'my $zk = handle(); $zk->create("$base/e", ephemeral => 1);',
    'with watches'          => 'our $zk = handle(watcher => sub { });
        $zk->create("$base/e", ephemeral => 1); $zk->get($base, watcher => sub { }); $zk->exists("$base/no", watcher => sub { });',
    'with watches that stay' => 'our $zk = handle(watcher => sub { }); $zk->create("$base/e", ephemeral => 1);
        our ($one, $two); $one = $zk->add_watch("$base/e", watcher => sub { }); $two = $zk->add_watch($base, recursive => 1, watcher => sub { $two });
        $zk->set("$base/e", "v") for 1 .. 10;',
    'requests under way, in all forms' => 'our $zk = handle(); $zk->create("$base/e", ephemeral => 1);
        our @futures = map { $zk->get_f($base) } 1 .. 100; $zk->get($base, cb => sub { print "called" }) for 1 .. 100;
        our $all = Future->needs_all($zk->exists_f($base), $zk->ensure_path_f($base))->on_ready(sub { print "ready" });',
    'answers that nobody took' =>
      'our $zk = handle(dispatcher => "Pipe"); $zk->create("$base/e", ephemeral => 1);
        our @futures = map { $zk->get_f($base) } 1 .. 100; $zk->get($base, cb => sub { print "called" }) for 1 .. 100;
        $zk->exists($base);',
    'a handle that only its own future holds' => 'my $zk = handle(); $zk->create("$base/e", ephemeral => 1);
        my $future = $zk->get_f($base); $future->on_ready(sub { $zk, $future });',
    'futures, reads and watchers that outlive it' => 'our (@left, $future); {
        my $zk = handle(dispatcher => "Pipe"); $zk->create("$base/e", ephemeral => 1);
        @left = ($zk->add_watch($base, watcher => sub { }), $zk->multi_read->get($base), $zk->dispatcher, $zk->get_f($base)->retain); }',
    'exit in a completion' => 'our $zk = handle(dispatcher => "Pipe"); $zk->create("$base/e", ephemeral => 1);
        $zk->get($base, cb => sub { exit 0 }); $zk->get($base, cb => sub { print "called" }); $zk->wait(60); die "no exit";',
    'a future in END' =>
      'our $zk = handle(); $zk->create("$base/e", ephemeral => 1); our $future = $zk->get_f($base);
        END { $future->get; $zk->exists_f("/")->get }',
    'a future in a DESTROY' =>
      'our $zk = handle(); $zk->create("$base/e", ephemeral => 1); our $future = $zk->get_f($base);
        package Last { sub DESTROY { eval { $main::future->get }; eval { $main::zk->get_f("/")->get } } } our $last = bless {}, "Last";',
    'events that nobody took' => 'our $zk = handle(watcher => sub { });
        $zk->create("$base/e", ephemeral => 1); $zk->get("$base/e", watcher => sub { }); $zk->set("$base/e", "v");',
    'a handle in a cycle' => 'my $zk = handle(); $zk->create("$base/e", ephemeral => 1);
        $zk->{myself} = $zk; $zk->get($base, watcher => sub { $zk });',
    'the dispatcher first' =>
      'our $zk = handle(); $zk->create("$base/e", ephemeral => 1); our $aaa = $zk->dispatcher;
        delete $zk->{dispatcher};',
    'a transaction and a watcher that outlive it' => 'our $transaction; our $watcher;
        { my $zk = handle(); $zk->create("$base/e", ephemeral => 1); $transaction = $zk->transaction->delete($base);
          $watcher = $zk->create_watcher("/x", sub { }, type => "get"); }',
    'many handles' =>
      'our @all = map { handle(dispatcher => $_) } qw(AnyEvent Pipe ^ZooKeeper::Dispatcher AnyEvent);
        $_->exists($base) for @all; $all[0]->create("$base/e", ephemeral => 1);',
    'two handles on one dispatcher' =>
      'our $one = handle(); our $two = handle(dispatcher => $one->dispatcher);
        $two->create("$base/e", ephemeral => 1); $one->get($base, watcher => sub { $two });',
    'a closed handle' => 'our $zk = handle(); $zk->create("$base/e", ephemeral => 1); $zk->close;',
    'a handle that never connects' => 'our $zk = ZooKeeper->new(hosts => "127.0.0.1:1", watcher => sub { });',
    'close in END'        => 'our $zk = handle(); $zk->create("$base/e", ephemeral => 1); END { $zk->close }',
    'a call in END'       => 'our $zk = handle(); END { $zk->create("$base/e", ephemeral => 1) }',
    'a call in a DESTROY' => 'our $zk = handle(); $zk->create("$base/e", ephemeral => 1);
        package Last { sub DESTROY { eval { $main::zk->exists("/") } } } our $last = bless {}, "Last";',
    'exit in a watcher' => 'our $zk = handle(dispatcher => "Pipe"); $zk->create("$base/e", ephemeral => 1);
        $zk->get("$base/e", watcher => sub { exit 0 }); $zk->set("$base/e", "v"); $zk->wait(60); die "no exit";',
);
for my $name ( sort keys %program ) {
    for my $level ( 0, 2 ) {
        local $ENV{PERL_DESTRUCT_LEVEL} = $level;
        my $output = deadline 120, sub { run( $prologue . $program{$name} ) };
        is $output, '', "$name, PERL_DESTRUCT_LEVEL=$level: not a word";
        is $?,      0,  "$name: the status is the program's own";
        soon_ok { !$setup->exists("$base/e") } 30, "$name: the session is closed";
    }
}
is deadline( 120, sub { run( $prologue . 'our $zk = handle(); $zk->exists("/"); exit 3' ) } ), '', 'exit 3';
is $? >> 8,                                                                                    3,  'stays 3';
like deadline( 120, sub { run( $prologue . 'our $zk = handle(); $zk->exists("/"); $! = 0; die "oops\n"' ) } ),
  qr/\Aoops\n\z/, 'die';
is $? >> 8, 255, 'has its status';

sub run {
    my ($code) = @_;
    my @include = map { "-I$_" } grep { !ref } @INC;
    open my $pipe, '-|', $^X, @include, '-e', "open STDERR, '>&STDOUT';\n$code", $hosts, $base
      or die "$^X: $!";
    my $output = join '', <$pipe>;
    close $pipe;
    return $output;
}

done_testing;

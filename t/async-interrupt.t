use strict;
use warnings;
use Test::More;
use lib 't/lib';

BEGIN {
    plan skip_all => 'needs Async::Interrupt (package libasync-interrupt-perl)'
      if !eval { require Async::Interrupt };
}
use AsyncSuite;
use Faults ();
use TestZK;
use ZooKeeper;
use ZooKeeper::Dispatcher::Interrupt;

async_suite(
    class      => 'ZooKeeper::Dispatcher::Interrupt',
    turn       => sub { select undef, undef, undef, 0.01 },
    exceptions => 'warn',
    at_once    => 1,
);

subtest 'an answer that comes when get is about to wait' => sub {
    my $server = test_server();
    my $zk     = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Interrupt' );
    my $look   = ZooKeeper::Channel->can('size');
    $zk->exists('/');
    $server->pause;
    my $future = $zk->get_f('/');
    my $looks  = 0;
    no warnings 'redefine';
    local *ZooKeeper::Channel::size = sub {
        my $size = $look->(@_);
        return $size if $looks++;
        $server->resume;
        vec( my $fds = '', $_[0]->_fd, 1 ) = 1;
        1 while !$future->is_ready && !select my $readable = $fds, undef, undef, 0.01;
        return $size;
    };
    my $stat = ( deadline 60, sub { $future->get } )[1];
    is $stat->{version}, 0, 'is not missed';
    cmp_ok $looks, '>', 0, 'it was about to wait';
};

# Between the lines of ZooKeeper::Future, when it is loaded by the first call that needs it.
subtest 'an event that comes while the module for futures is loaded' => sub {
    my ( $output, $status ) = Faults::program(<<'PERL');
use ZooKeeper::Dispatcher::Interrupt;
my $dispatcher = ZooKeeper::Dispatcher::Interrupt->new;
my $heard      = 0;
$dispatcher->create_watcher( '/x', sub { $heard++ }, type => 'get' );
unshift @INC, sub { $dispatcher->trigger_event( path => '/x' ) if $_[1] eq 'Future.pm'; return };
require ZooKeeper::Future;
select undef, undef, undef, 0.01 until $heard;
print "heard $heard\n";
PERL
    is $output, "heard 1\n", 'is heard of';
    is $status, 0,           'the program ends well';
};

# What is being loaded is in %INC already, and what the callback needs of it is not there yet.
subtest 'a callback that needs the module whose loading it would interrupt' => sub {
    my $has_mojo = eval { require Mojo::Promise };
    my @cases    = (
        [ 'a future', 'Future/PP.pm', 'handle()->exists_f("/")',          'handle()->exists_f("/")' ],
        [ 'one, loaded by the program', 'Future/PP.pm', 'require Future', 'handle()->exists_f("/")' ],
        [ 'a promise', 'Mojo/Exception.pm', 'handle()->exists_p("/")',    'handle()->exists_p("/")->then' ],
        [
            'one, loaded by the program', 'Mojo/Exception.pm',
            'require Mojo::Promise',      'handle()->exists_p("/")->then'
        ],
        [ 'a dispatcher', 'Mojo/IOLoop.pm', 'handle("Mojo")', 'handle("Mojo")' ],
    );
    for my $case (@cases) {
        my ( $name, $within, $first, $then ) = @$case;
        next if $within =~ /Mojo/ && !$has_mojo;
        my ( $output, $status ) = Faults::program(<<"PERL");
use POSIX;
use ZooKeeper;
use ZooKeeper::Dispatcher::Interrupt;
my \$dispatcher = ZooKeeper::Dispatcher::Interrupt->new;
my ( \$said, \$asked, \@kept );
sub handle { push \@kept, ZooKeeper->new( hosts => '127.0.0.1:1', dispatcher => \@_ ? \@_ : \$dispatcher ); \$kept[-1] }
\$dispatcher->create_watcher( '/x', sub { \$said = eval { push \@kept, $then; 1 } ? 'fine' : \$@ }, type => 'get' );
unshift \@INC, sub { \$asked++, \$dispatcher->trigger_event( path => '/x' ) if \$_[1] eq '$within'; return };
push \@kept, $first;
\$asked or die "it needs no $within\n";
select undef, undef, undef, 0.01 until \$said;
\$| = 1;
print "\$said\n";
POSIX::_exit(0);
PERL
        is $output, "fine\n", "$name: it has it";
        is $status, 0,        "$name: the program ends well";
    }
};

subtest 'an interrupt that comes while the one before looks whether it may dispatch' => sub {
    my $dispatcher = ZooKeeper::Dispatcher::Interrupt->new;
    my ( $looks, $depth, $deepest, $heard, $x ) = (0) x 5;
    $dispatcher->create_watcher( '/x', sub { $heard++ }, type => 'get' );
    $dispatcher->create_watcher( '/y', sub { $heard++ }, type => 'get' );
    my $may = ZooKeeper::Modules->can('are_being_loaded');
    no warnings 'redefine';
    local *ZooKeeper::Modules::are_being_loaded = sub {
        $deepest = $depth                          if ++$depth > $deepest;
        $dispatcher->trigger_event( path => '/y' ) if $looks++ == 1;
        $x++ for 1 .. 1_000;
        my $answer = $may->() || $looks < 3;
        $depth--;
        return $answer;
    };
    $dispatcher->trigger_event( path => '/x' );
    deadline 60, sub { select undef, undef, undef, 0.01 until $heard == 2 };
    is $deepest, 1, 'waits for its end';
};

subtest 'futures that are made of others while the answer comes' => sub {
    my $server = test_server();
    my $zk     = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Interrupt' );
    my ( $rounds, $called, $x ) = ( 1_500, 0, 0 );
    my $pause = sub { $x++ for 1 .. rand 5_000 };    # so that it comes at any of their lines
    my $ready = 0;
    deadline 120, sub {
        for ( 1 .. $rounds ) {
            my $first = $zk->exists_f('/');
            $pause->();
            my $then = $first->then_done('then')->on_ready( sub { $called++ } );
            my @both = map { $zk->exists_f('/') } 1 .. 2;
            $pause->();
            $ready++ if $then->get eq 'then' && Future->needs_all(@both)->get;
        }
    };
    is_deeply [ $ready, $called ], [ $rounds, $rounds ], 'are ready, all of them';
};

subtest 'a future that waits for another dispatcher as well' => sub {
    my $server = test_server();
    my ( $zk, $other ) =
      map { ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Interrupt' ) } 1 .. 2;
    $_->exists('/') for $zk, $other;
    $server->pause;
    my $both = Future->needs_all( map { $_->exists_f('/') } $zk, $other );
    my $then = $zk->exists_f('/')->then( sub { $other->exists_f('/') } );
    $server->resume;
    is scalar( my @stats = deadline 60, sub { $both->get } ), 2,      'get sees that both are ready';
    is ref( ( deadline 60, sub { $then->get } )[0] ),         'HASH', 'and one after the other';
};

done_testing;

use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Child;
use Config;
use Dispatchers;
use TestZK;

# What becomes of what is asked and not answered when a program, or a thread of it, ends.
my $hosts = test_hosts();

# What a whole program says, on either stream.
sub said {
    my ( $dispatcher, $code )   = @_;
    my ( $pid,        $output ) = child_program( <<"PERL", $dispatcher, $hosts );
        use strict; use warnings; use ZooKeeper; use ZooKeeper::Constants;
        my (\$dispatcher, \$hosts) = \@ARGV;
        sub handle { ZooKeeper->new( hosts => \$hosts, dispatcher => \$dispatcher, timeout => 300_000, \@_ ) }
        sub pending_handle { handle( hosts => '127.0.0.1:1' ) }
#line 1 "program"
$code
PERL
    my $said = deadline 60, sub { join '', <$output> };
    close $output;
    return $said . ( $? ? "status $?" : '' );
}

for my $dispatcher ( dispatchers() ) {
    is said( $dispatcher, <<'PERL'), "end\n", "$dispatcher: nobody is called in global destruction";
        our $zk = pending_handle();
        $zk->get( '/', cb => sub { print "called\n" } );
        our $future = $zk->get_f('/')->on_ready( sub { print "ready\n" } );
        our $path = $zk->ensure_path_f('/x/y')->on_ready( sub { print "ready\n" } );
        print "end\n";
PERL
    is said( $dispatcher,
        <<'PERL'), "-116 -116 end\n", "$dispatcher: but before it they are, where a scope ends";
        sub work {
            my $zk = pending_handle();
            $zk->get( '/', cb => sub { print $_[0] + 0, ' ' } );
            $zk->get_f('/')->on_fail( sub { print $_[0] + 0, ' ' } );
        }
        work();
        print "end\n";
PERL
    is said( $dispatcher, <<'PERL'), "dies\nend\n", "$dispatcher: an exception passes a handle that goes";
        eval { my $zk = pending_handle(); $zk->get( '/', cb => sub { eval { 1 } } ); die "dies\n" } or print $@;
        print "end\n";
PERL
    next if !$Config{useithreads} || $dispatcher eq 'IOAsync';    # perl panics where that loop meets a thread
    my $refused = qr/[^\n]*can't be used in another thread at program line 6\.\n/;
    like said( $dispatcher,
        <<'PERL'), qr/\A$refused${refused}0 in the thread\n0 and here\n2 at the end\n\z/, "$dispatcher: threads";
        use threads;
        my $calls  = 0;
        my $zk     = pending_handle();
        my $future = $zk->get_f('/')->on_ready( sub { $calls++ } );
        $zk->get( '/', cb => sub { $calls++ } );
        my $tried = sub { eval { $future->get; 1 } or print $@; eval { $zk->get_f('/'); 1 } or print $@ };
        threads->create( sub { $tried->(); print "$calls in the thread\n" } )->join;
        print "$calls and here\n";
        undef $zk;
        print "$calls at the end\n";
PERL
}

{
    local $ENV{PERL_FUTURE_DEBUG} = 1;
    like said( 'Pipe',
        <<'PERL'), qr/lost.*with.*failure.*no node at program line 2\./is, 'a failure that nobody looks at is warned of';
        my $zk = handle();
        $zk->get_f('/async-none');
        $zk->exists('/');
        1 while $zk->dispatcher->dispatch_event;
PERL
    like said( 'Pipe', <<'PERL'), qr/lost.*before it was ready/is, 'so is a chain that nobody keeps';
        my $zk = handle();
        $zk->get_f('/')->then( sub { Future->done } );
        print "\n";
PERL
    is said( 'Pipe', <<'PERL'), "end\n", 'one that has been looked at, or cancelled, is not';
        my $zk = handle();
        eval { $zk->get_f('/async-none')->get; 1 } and print "no error\n";
        $zk->get_f('/')->cancel;
        $zk->get_f('/')->get;
        my $failed = $zk->get_f('/async-none');
        $failed->await->failure;
        print "end\n";
PERL
}

done_testing;

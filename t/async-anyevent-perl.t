use strict;
use warnings;
use Test::More;
use lib 't/lib';

BEGIN { $ENV{PERL_ANYEVENT_MODEL} = 'Perl' }
use AsyncSuite;
use DispatcherSuite;
use TestZK;
use ZooKeeper;
use ZooKeeper::Dispatcher::AnyEvent;

async_suite( anyevent_driver(), exceptions => 'propagate' );
is AnyEvent::detect(), 'AnyEvent::Impl::Perl', 'all of this with the loop of AnyEvent itself';

subtest 'get where the program itself is called by the loop' => sub {
    my $zk   = ZooKeeper->new( hosts => test_hosts() );
    my $done = AnyEvent->condvar;
    my ( $error, $line );
    my $timer = AnyEvent->timer(
        after => 0,
        cb    => sub {
            my $future = $zk->get_f('/');
            $line = __LINE__ + 1;
            eval { $future->get; 1 } or $error = $@;
            $future->on_ready( sub { $done->send( $_[0]->failure ) } );
        }
    );
    is deadline( 60, sub { $done->recv } ), undef, 'the future is not harmed';
    like $error, qr/recursive blocking wait attempted at \Q${\ __FILE__}\E line $line\./,
      'AnyEvent refuses it, at the line of the program';
};

done_testing;

use strict;
use warnings;

use Config;
use Test::More;

# Test::More must know of threads before it is asked for a plan.
BEGIN {
    plan skip_all => 'this perl has no threads' if !$Config{useithreads};
    require threads;
}
use IO::Socket::INET;
use ZooKeeper::Error;
use ZooKeeper::XS;

my $mute    = IO::Socket::INET->new( Listen => 5, LocalAddr => '127.0.0.1' ) or die "listen: $!\n";
my $channel = ZooKeeper::Channel->new;
my $zk      = handle($channel);
$channel->send( 'of the first thread', my $ref = [1] );

subtest 'objects of another thread are inert' => sub {
    for my $sub (
        qw(_get _set _create _delete _exists _get_children _get_acl _set_acl _multi _add_auth _wait_connected)
      )
    {
        is in_thread(
            sub {
                error_of( sub { $zk->$sub( '/x', 1 ) } );
            }
          ),
          "-9 a handle can't be used in another thread", $sub;
    }
    is in_thread(
        sub {
            join ' ', map { $_ // 'none' }
              map { scalar $zk->$_ } qw(_state _client_id _is_unrecoverable _is_of_another_thread);
        }
      ),
      '999 none 1 1',
      'what can be asked is answered as by a closed handle';
    is in_thread( sub { $zk->_close; 'closed' } ), 'closed', 'close does nothing';
    is in_thread( sub { $channel->_clear; $channel->_session_events(1); $channel->size } ), 0,
      'a channel is empty';
    for my $method (qw(send recv _fd)) {
        is in_thread(
            sub {
                error_of( sub { $channel->$method(1) } );
            }
          ),
          $method . q(: a channel can't be used in another thread), $method;
    }
    is in_thread( sub { undef $zk; undef $channel; 'gone' } ), 'gone', 'destroying them';
    ok !$zk->_is_of_another_thread, 'in the first thread they are not';
    cmp_ok $zk->_state, '<', 3, 'the handle of the first thread goes on';
    is $channel->size, 2,                     'its channel has what it had';
    is $channel->recv, 'of the first thread', 'in order';
    is $channel->recv, $ref,                  'themselves';
};

subtest 'a thread has objects of its own' => sub {
    is in_thread( sub { my $own = ZooKeeper::Channel->new; $own->send(7); $own->recv } ), 7, 'a channel';
    is in_thread( sub { handle( ZooKeeper::Channel->new )->_state < 3 ? 'connecting' : 'wrong' } ),
      'connecting', 'a handle';
    like in_thread(
        sub {
            my $own = ZooKeeper::Channel->new;
            $zk->_connect(
                { hosts => '127.0.0.1:1', timeout => 500, request_timeout => 60, channel => $own } );
            return error_of( sub { $zk->_get('/x') } );
        }
      ),
      qr/\A-4 /, 'an inherited one, reopened';
    my @threads = map {
        threads->create( sub { my $own = handle( ZooKeeper::Channel->new ); $own->_state < 3 ? 1 : 0 } )
    } 1 .. 8;
    is eval { my $sum = 0; $sum += $_->join for @threads; $sum }, 8, 'eight threads at once';
};

done_testing;

sub handle {
    my ($own) = @_;
    my $self  = bless {}, 'ZooKeeper';
    $self->_connect( { hosts => '127.0.0.1:' . $mute->sockport, timeout => 60_000, channel => $own } );
    return $self;
}

sub in_thread {
    my ($code)   = @_;
    my ($thread) = threads->create( { context => 'scalar' }, $code );
    return $thread->join;
}

sub error_of {
    my ($code) = @_;
    return 'no error' if eval { $code->(); 1 };
    my $words = "$@";
    $words =~ s/ at \S+ line \d+\.\n\z//;
    $words =~ s/.*: // if ref $@;
    return ref $@ ? $@->code . " $words" : $words;
}

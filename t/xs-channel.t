use strict;
use warnings;

use POSIX        ();
use Scalar::Util qw(refaddr);
use Test::More;
use ZooKeeper::XS;

my $channel = ZooKeeper::Channel->new;

subtest 'scalars of any kind come out themselves, in order' => sub {
    my ( $string, $number, $undef, @array, %hash ) = ( 'text', 42 );
    my @sent = ( \$string, \$number, \$undef, \@array, \%hash, sub { 1 }, qr/x/, \*STDOUT );
    $channel->send($_) for @sent;
    is $channel->size,         @sent,      'size';
    is refaddr $channel->recv, refaddr $_, "a $_" for @sent;
    is $channel->size,         0,          'size, when empty';

    $channel->send( $string, $number, $undef, *STDOUT, @array, 'constant', undef );
    is $channel->size,  6,          'several in one call';
    is \$channel->recv, \$string,   'the scalar itself';
    is \$channel->recv, \$number,   'and the next';
    is \$channel->recv, \$undef,    'and one that is undef';
    is $channel->recv,  *STDOUT,    'a glob';
    is $channel->recv,  'constant', 'a constant';
    is $channel->recv,  undef,      'the undef';
    is $channel->recv,  undef,      'nothing';
    is_deeply [ $channel->recv ], [undef], 'nothing, in list context';
};

subtest 'results of expressions are not overwritten by the next one' => sub {
    $channel->send("item $_") for 1 .. 3;
    is_deeply [ map { $channel->recv } 1 .. 3 ], [ map { "item $_" } 1 .. 3 ], 'three of one expression';
    $channel->send( map { $_ * 2 } 1 .. 3 );
    is_deeply [ map { $channel->recv } 1 .. 3 ], [ 2, 4, 6 ], 'temporaries of map';
    $channel->send( substr 'abcdef', 2, 2 );
    is $channel->recv, 'cd', 'an lvalue';
};

subtest 'the descriptor is readable exactly while there is something' => sub {
    ok !readable(), 'empty';
    $channel->send( 1, 2 );
    ok readable(), 'two';
    $channel->recv;
    ok readable(), 'one';
    $channel->recv;
    ok !readable(), 'none';
    $channel->send(3);
    $channel->_clear;
    ok readable(), 'clearing does not hide what is there';
    $channel->recv;
    ok !readable(), 'none again';
    $channel->_clear;
    ok !readable(), 'clearing nothing';
};

subtest 'what is left goes with the channel' => sub {
    my ( $gone, @warnings ) = 0;
    no warnings 'once';
    local *Gone::DESTROY = sub { $gone++; die "in DESTROY\n" if $gone == 1 };
    local $SIG{__WARN__} = sub { push @warnings, @_ };
    {
        my $own = ZooKeeper::Channel->new;
        $own->send( bless [], 'Gone' );
        $own->send( bless [], 'Gone' );
    }
    is $gone, 2, 'and is destroyed';
    like "@warnings", qr/in DESTROY/, 'although a destructor dies';
};

subtest 'subclasses' => sub {
    @My::Channel::ISA = 'ZooKeeper::Channel';
    my $own = My::Channel->new;
    isa_ok $own, 'My::Channel';
    $own->send(1);
    is $own->recv, 1, 'works';
};

subtest 'something else is refused' => sub {
    for my $method (qw(send recv size _fd _clear _session_events)) {
        my $code = ZooKeeper::Channel->can($method);
        for my $object ( undef, 'ZooKeeper::Channel', {}, \1, \my $x, sub { },
            bless( [], 'ZooKeeper::Channel' ) )
        {
            ok !eval { $code->( $object, 1 ); 1 }, "$method of " . ( $object // 'undef' );
            like $@, qr/\A\Q$method: not an initialised ZooKeeper::Channel object at\E /, 'says so';
        }
    }
    ok !eval { $channel->new; 1 }, 'new of an object';
    like $@, qr/\Anew: call it as ZooKeeper::Channel->new at /, 'says so';
};

subtest 'what reading a limit runs may free the channel' => sub {
    for my $method (qw(recv _complete)) {
        my $freed = ZooKeeper::Channel->new;
        $freed->send( 1, 2 );
        tie my $limit, 'Acts', sub { undef $freed; 1 };
        ok !eval { $freed->$method($limit); 1 }, "$method is refused";
        like $@, qr/not an initialised ZooKeeper::Channel object/, 'as for what is none';
    }
};

subtest 'a scalar that a forked child inherits makes its descriptor readable' => sub {
    $channel->send('inherited');
    $channel->_complete;    # looks at it, and leaves it there
    my $pid = open my $child, '-|';
    defined $pid or die "fork: $!";
    if ( !$pid ) {
        syswrite STDOUT, join ' ', scalar readable(), $channel->size, $channel->recv, scalar readable();
        POSIX::_exit(0);
    }
    is readline $child, '1 1 inherited 0', 'until it is taken';
    close $child;
    is $channel->recv, 'inherited', 'the parent has its own';
};

subtest 'nothing leaks' => sub {
    plan skip_all => 'Test::LeakTrace is not installed' if !eval { require Test::LeakTrace; 1 };
    my $use = sub {
        my $own = ZooKeeper::Channel->new;
        my $x   = [1];
        $own->send( $x, 'a', undef, {}, sub { $x }, qr/x/ );
        $own->recv for 1 .. 3;
        $own->send("more $_") for 1 .. 3;
        eval { ZooKeeper::Channel::recv(1) };
    };
    $use->();    # perl's own caches: methods, regular expressions
    my $leaks = Test::LeakTrace::leaked_count($use);
    is $leaks, 0, 'neither sent nor received nor left scalars';
    my $before = open_files();
    ZooKeeper::Channel->new for 1 .. 50;
    is open_files(), $before, 'no descriptors';
};

done_testing;

sub readable {
    vec( my $bits = '', $channel->_fd, 1 ) = 1;
    return select $bits, undef, undef, 0;
}

sub open_files {
    opendir my $dir, '/proc/self/fd' or die $!;
    return scalar( () = readdir $dir );
}

package Acts;
sub TIESCALAR { my ( $class, $code ) = @_; return bless [$code], $class }
sub FETCH { my ($self) = @_; return $self->[0]->() }

use strict;
use warnings;

use Test::More;
use ZooKeeper::Error;
use ZooKeeper::XS;

my @subs =
  sort grep { /\A_[a-z]/ && defined &{"ZooKeeper::$_"} } do { no strict 'refs'; keys %{'ZooKeeper::'} };
cmp_ok scalar @subs, '>=', 20, 'there are subs to try';

subtest 'methods of what is no handle' => sub {
    my $channel = ZooKeeper::Channel->new;
    my $self    = bless {}, 'ZooKeeper';
    for my $sub (@subs) {
        next if $sub =~ /\A_(?:connect|is_of_another_thread|part)\z/;    # which anything can be asked
        my $code = ZooKeeper->can($sub);
        for my $object (
            [], [undef], ['ZooKeeper'], [ {} ], [ \1 ],
            [ sub { } ],
            [ bless [], 'ZooKeeper' ],
            [$self], [$channel]
          )
        {
            ok !eval { $code->( @$object, '/x', undef, undef, undef ); 1 },
              "$sub(@{[map { $_ // 'undef' } @$object]})";
            like $@, qr/\A\w+: not an initialised ZooKeeper object at \Q${\__FILE__}\E line /,
              'is refused with plain words';
        }
    }
};

subtest 'a panic in Rust is an exception in Perl' => sub {
    for ( 1 .. 3 ) {
        my $ok = eval { ZooKeeper::XS::_panic(); 1 };
        ok !$ok, 'it dies';
        like $@, qr/\AZooKeeper: internal error: asked to \(.*\.rs:\d+\) at \Q${\__FILE__}\E line /,
          'and says what happened';
    }
};

subtest 'options that are of no use' => sub {
    my %good = ( hosts => '127.0.0.1:1', channel => ZooKeeper::Channel->new );
    my @bad  = (
        [ undef, qr/\Anew: options must be a hash ref/ ],
        [ [],    qr/\Anew: options must be a hash ref/ ],
        [ { %good, channel         => undef },    qr/\Anew: channel must be a ZooKeeper::Channel/ ],
        [ { %good, channel         => {} },       qr/\Anew: channel must be a ZooKeeper::Channel/ ],
        [ { %good, hosts           => undef },    qr/\Anew: hosts must be a string/ ],
        [ { %good, hosts           => [] },       qr/\Anew: hosts must be a string/ ],
        [ { %good, client_id       => 7 },        qr/\Anew: client_id must be a hash ref/ ],
        [ { %good, hosts           => '' },       -8 ],
        [ { %good, hosts           => 'host:0' }, -8 ],
        [ { %good, timeout         => 'soon' },   -8, qr/timeout 'soon' is not an integer/ ],
        [ { %good, timeout         => 0 },        -8, qr/timeout 0 is not positive/ ],
        [ { %good, timeout         => 2**31 },    -8, qr/timeout 2147483648 is out of range/ ],
        [ { %good, request_timeout => 'x' },      -8, qr/request_timeout 'x' is not a number of seconds/ ],
        [ { %good, request_timeout => -1 },       -8, qr/request_timeout '-1' is not a number of seconds/ ],
        [ { %good, request_timeout => 'nan' },    -8, qr/request_timeout 'nan' is not a number of seconds/ ],
        [ { %good, jute_maxbuffer  => 1.5 },      -8, qr/jute_maxbuffer '1.5' is not an integer/ ],
        [ { %good, default_watcher => 'me' },     -8, qr/watcher 'me' is no number/ ],
        [ { %good, client_id       => {} },       -8, qr/client_id 'undef' is no session/ ],
        [
            { %good, client_id => { client_id => 1, passwd => 'short' } },
            -8, qr/passwd of client_id has 5 bytes, not 16/
        ],
    );
    for my $case (@bad) {
        my ( $options, $expect, $words ) = @$case;
        my $self = bless {}, 'ZooKeeper';
        ok !eval { $self->_connect($options); 1 }, 'dies';
        if ( ref $expect ) {
            like $@, $expect, 'with plain words';
        }
        else {
            isa_ok $@, 'ZooKeeper::Error';
            is $@->code, $expect, 'code';
            is $@->op,   'new',   'op';
            like "$@", $words, 'words' if $words;
        }
        ok !eval { $self->_state; 1 }, 'and there is no handle';
    }
    ok !eval { ZooKeeper->_connect( \%good ); 1 }, 'a class name is no object';
    like $@, qr/\Anew: not an initialised ZooKeeper object/, 'says so';
};

subtest 'what is no object does not get a handle' => sub {
    my %good = ( hosts => '127.0.0.1:1', channel => ZooKeeper::Channel->new );
    for my $other ( \undef, \1, [], {}, \my $plain ) {
        ok !eval { ZooKeeper::_connect( $other, \%good ); 1 }, 'refused';
        like $@, qr/\Anew: not an initialised ZooKeeper object/, 'says so';
        ok !eval { ZooKeeper::_state($other); 1 }, 'and nothing is attached to it';
    }
};

subtest 'memory does not grow with exceptions' => sub {
    plan skip_all => 'valgrind has memory of its own' if $ENV{ZOOKEEPER_TEST_UNDER_VALGRIND};
    my $zk = bless {}, 'ZooKeeper';
    $zk->_connect( { hosts => '127.0.0.1:1', channel => ZooKeeper::Channel->new } );
    no warnings 'redefine';
    local *ZooKeeper::Error::_raise = sub { die $_[2] };    # the rest of it is Perl's own
    my @throwing = (
        sub { $zk->_get('relative') },
        sub { $zk->_get( {} ) },
        sub { $zk->_get( bless [], 'Overload::Dies' ) },
        sub { $zk->_create( '/x', "\x{263a}", [],                                                     0 ) },
        sub { $zk->_create( '/x', 'y', [ { id => 'i' x 100, scheme => 's' x 100, perms => 31 }, {} ], 0 ) },
        sub { $zk->_multi( [ map( [ 'delete', "/n$_" ], 1 .. 5 ), [ 'delete', 'x' ] ] ) },
        sub { ZooKeeper::_get( 1, '/x' ) },
    );
    my $throw = sub {
        my ($times) = @_;
        for ( 1 .. $times ) {
            for my $code (@throwing) {
                eval { $code->(); 1 } and die "did not throw\n";
            }
        }
    };
    $throw->(2_000);
    my $before = resident_kb();
    $throw->( int 300_000 / @throwing );
    cmp_ok resident_kb() - $before, '<', 2_000, '300,000 of them';
};

done_testing;

sub resident_kb {
    open my $statm, '<', '/proc/self/statm' or die $!;
    return 4 * ( split ' ', readline $statm )[1];
}

package Overload::Dies;
use overload '""' => sub { die "no string\n" };

use strict;
use warnings;
use Test::More;

use ZooKeeper::Constants;

# What the CPAN module had is in drop-in-constants.t. These are newer; programs compare with them all the same.
my %value = (
    ZUNKNOWNSESSION                    => -12,
    ZNEWCONFIGNOQUORUM                 => -13,
    ZRECONFIGINPROGRESS                => -14,
    ZSSLCONNECTIONERROR                => -15,
    ZSESSIONMOVED                      => -118,
    ZNOTREADONLY                       => -119,
    ZEPHEMERALONLOCALSESSION           => -120,
    ZNOWATCHER                         => -121,
    ZREQUESTTIMEOUT                    => -122,
    ZRECONFIGDISABLED                  => -123,
    ZSESSIONCLOSEDREQUIRESASLAUTH      => -124,
    ZQUOTAEXCEEDED                     => -125,
    ZTHROTTLEDOP                       => -127,
    ZOO_CONTAINER                      => 4,
    ZOO_PERSISTENT_WITH_TTL            => 5,
    ZOO_PERSISTENT_SEQUENTIAL_WITH_TTL => 6,
    ZOO_DATA_WATCH_REMOVED_EVENT       => 5,
    ZOO_CHILD_WATCH_REMOVED_EVENT      => 6,
    ZOO_PERSISTENT_WATCH_REMOVED_EVENT => 7,
    ZOO_RESYNC_EVENT                   => -3,
    ZOO_READONLY_STATE                 => 5,
    ZOO_SSL_CONNECTING_STATE           => 7,
    ZOO_NOTCONNECTED_STATE             => 999,
    ZOO_CREATE2_OP                     => 15,
    ZOO_CREATE_CONTAINER_OP            => 19,
    ZOO_CREATE_TTL_OP                  => 21,
);
for my $name ( sort keys %value ) {
    no strict 'refs';
    is eval { &{"main::$name"}() }, $value{$name}, "$name is exported by default";
}
unlike zerror($_), qr/unknown/, "zerror($_) has words" for -12 .. -15, -118 .. -125, -127;
unlike zevent($_), qr/unknown/, "zevent($_) has words" for 5 .. 7,     -3;
unlike zstate($_), qr/unknown/, "zstate($_) has words" for 5,          7, 999;

{
    local $! = 13;
    zerror(2);
    is $! + 0, 13, 'zerror leaves $! alone';
}
{
    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, @_ };
    is_deeply [ zerror(undef), zevent(undef), zstate(undef), zperm(undef) ],
      [ 'unknown error', 'unknown event', 'unknown state', 'unknown perm' ], 'undef is unknown everywhere';
    is_deeply \@warnings, [], 'without a warning';
}

subtest 'constants that were named before the module is loaded' => sub {
    my $program = <<'PROGRAM';
sub named {
    return ZooKeeper::Constants::ZNONODE(), &ZooKeeper::Constants::ZOOKEEPER_VERSION,
      ZooKeeper::Constants::ZOO_OPEN_ACL_UNSAFE()->[0]{id}, ZooKeeper::Constants::ZOO_AUTH_IDS();
}
require ZooKeeper::Constants;
print join '|', named(), ZooKeeper::Constants->can('ZNONODE')->();
PROGRAM
    open my $output, '-|', $^X, '-w', ( map { "-I$_" } @INC ), '-e', $program or die "can't run perl: $!";
    is_deeply [<$output>], ['-101|3.9.3|anyone|id||scheme|auth|-101'], 'are functions like the others';
};

done_testing;

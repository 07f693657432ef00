use strict;
use warnings;
use Test::More;

use ZooKeeper;
use ZooKeeper::Constants;

# A closed handle: what is called here fails, and warns before.
my $zk = ZooKeeper->new( hosts => '127.0.0.1:1', dispatcher => '^ZooKeeper::Dispatcher' );
$zk->close;

my @warnings;
local $SIG{__WARN__} = sub { push @warnings, @_ };

sub warnings_of {
    my ($code) = @_;
    @warnings = ();
    eval { $code->() };
    return [@warnings];
}

my $cb   = sub { };
my %call = (
    create       => ['/x'],
    delete       => ['/x'],
    exists       => ['/x'],
    get          => ['/x'],
    set          => [ '/x', 'v' ],
    get_children => ['/x'],
    get_acl      => ['/x'],
    set_acl      => [ '/x',     ZOO_OPEN_ACL_UNSAFE ],
    add_auth     => [ 'digest', 'u:p' ],
    ensure_path  => ['/x'],
    reopen       => [],
);
for my $method ( sort keys %call ) {
    my $line     = __LINE__ + 1;
    my $warnings = warnings_of( sub { $zk->$method( @{ $call{$method} }, wacher => $cb ) } );
    is_deeply $warnings, ["$method: unknown argument 'wacher' has no effect at ${\ __FILE__} line $line.\n"],
      "$method: an argument that nobody knows";
    $zk->close;
}

my @quiet = (
    [ create => '/x', persistent => 1, buffer_length => 1, acl => undef, value => undef, ephemeral => undef ],
    [ add_auth     => 'digest', 'u:p', encoded => 1, watcher => undef ],
    [ get          => '/x',     buffer_length => 1, watcher => undef ],
    [ exists       => '/x',     watcher       => undef ],
    [ get_children => '/x',     watcher       => undef ],
    [ delete       => '/x',     version       => undef ],
    [ set          => '/x',     'v',                 version => undef ],
    [ set_acl      => '/x',     ZOO_OPEN_ACL_UNSAFE, version => undef ],
    [ ensure_path  => '/x',     value => 1, persistent => 1 ],
);
for my $quiet (@quiet) {
    my ( $method, @args ) = @$quiet;
    is_deeply warnings_of( sub { $zk->$method(@args) } ), [], "$method: known ones, with and without a value";
    ok ref $@ && $@ == ZINVALIDSTATE, "$method: was called";
}
is_deeply [ $zk->get_watchers ], [], 'no watcher was made of undef';

my $odd = warnings_of( sub { $zk->create( '/x', '', persistent => 1 ) } );
is $odd->[0], "create: odd number of named arguments at ${\ __FILE__} line ${\ ( __LINE__ - 1 ) }.\n",
  'an odd list';
ok ref $@ && $@ == ZINVALIDSTATE, 'does not keep the method from being called';

is scalar @{ warnings_of( sub { $zk->get( '/x', b => 1, a => 2 ) } ) }, 2, 'one warning for each';
like $warnings[0], qr/'a'/, 'in a fixed order';
is_deeply warnings_of( sub { no warnings 'ZooKeeper'; $zk->get( '/x', wacher => $cb ) } ), [],
  q(no warnings 'ZooKeeper');
is_deeply warnings_of( sub { no warnings; $zk->get( '/x', wacher => $cb ) } ), [], 'no warnings at all';
{
    use warnings FATAL => 'ZooKeeper';
    is scalar @{ warnings_of( sub { $zk->get( '/x', wacher => $cb ) } ) }, 1,
      'a warning where warnings are fatal';
    ok ref $@ && $@ == ZINVALIDSTATE, 'and never an error';
}

is scalar @{ warnings_of( sub { $zk->transaction->create( '/x', wacher => 1 ) } ) }, 1,
  'in a transaction, too';
like $warnings[0], qr/\Acreate: unknown argument 'wacher' has no effect at \Q${\ __FILE__}\E line/,
  'at the line of the user';
is_deeply warnings_of( sub { $zk->transaction->create( '/x', persistent => 1, buffer_length => 1 ) } ), [],
  'but for the same ones';

is scalar @{ warnings_of( sub { ZooKeeper->new( hosts => '127.0.0.1:1', time_out => 1 ) } ) }, 1,
  'in the constructor, too';
like $warnings[0], qr/\Anew: unknown argument 'time_out' has no effect at \Q${\ __FILE__}\E line/,
  'at the line of the user';
{

    package Sub::Class;
    use Moo;
    extends 'ZooKeeper';
    has color => ( is => 'ro' );
}
my $sub = warnings_of(
    sub {
        is( Sub::Class->new( hosts => '127.0.0.1:1', color => 'red' )->color,
            'red', 'an attribute of a subclass' );
    }
);
is_deeply $sub, [], 'is not unknown';

done_testing;

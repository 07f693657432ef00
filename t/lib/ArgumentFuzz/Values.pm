package ArgumentFuzz::Values;
use strict;
use warnings;

use Exporter qw(import);

our @EXPORT_OK = qw(access_list action callback good path value);

# Arguments as Perl text, for programs that ArgumentFuzz::Programs makes. The text may use
#   $zk $dispatcher $channel   what the program is about; $mine is true if the program may close and free them
#   $text @list %hash          variables of its own
# and the functions of ArgumentFuzz::Things.

my @NUMBERS = (
    qw(0 1 -1 7 -7 1.5 -0.0 1e30 9**9**9 -9**9**9 -sin(9**9**9) 2**31 2**31-1 -2**31 2**32 2**53 ~0 -2**63 1e-9),
    '18446744073709551616',
    '!1',
    '!0',
    q('9' x 40),
    q('0 but true'),
    q('1 '),
    q(' 7'),
    qq('7\n'),
    q('0x10'),
    q('1_000'),
    q('nan'),
    q('-inf'),
    q(dualvar(5, '/fz/a')),
    q(dualvar(1.5, '')),
    'v1.22.333',
);

my @STRINGS = (
    q(''),                               q(' '),
    q('abc'),                            q("\n"),
    q("\0"),                             q("a\0b"),
    q("\xe9"),                           q(upgraded("\xe9")),
    q("\x{263a}"),                       q("\x{d800}"),
    q("\x{110000}"),                     q("\x{7fffffff}"),
    q(malformed("\xff")),                q(malformed("/\xc3")),
    q('x' x 1_000_000),                  q(upgraded("\xe9" x 500_000)),
    q("\x{100}" x 9_999),                q(shared_key('/fz/a')),
    q('%s%n%d'),                         q('ZooKeeper'),
    q('__ANON__'),                       q('main::'),
    q(upgraded('/fz/b')),                q('any'),
    q('digest'),                         q('AnyEvent'),
    q('127.0.0.1:1'),                    q('constant'),
    q('a' . chr 0x2028),                 q(read_only('/fz/a')),
    q(join( '', map { chr } 0 .. 255 )), q('cb'),
);

my @PATHS = (
    ( map { "'/fz/$_'" } qw(a b c a/b a/b/c none none/x s-) ),
    q('/'), q('/zookeeper'), q("/fz/\xe9"), q(upgraded("/fz/\xe9")), q("/fz/\x{263a}"),
);

my @BAD_PATHS = (
    q('fz'),                  q('/fz/'),              q('//'),                  q('/fz//a'),
    q('/fz/.'),               q('/fz/../a'),          q("/fz/a\0b"),            q("/fz/\x{1f}"),
    q("/\x{d800}"),           q("/\x{fffe}"),         q('/' . 'x' x 1_000_000), q('/a' x 1_000),
    q(malformed("/fz/\xff")), q('/zookeeper/config'), q('/zookeeper/quota/fz'), q("/fz/\x{7f}\x{9f}"),
);

my @REFERENCES = (
    '[]',                               '{}',
    '[1 .. 3]',                         '{ a => 1 }',
    '\1',                               '\\\\1',
    '\\"x"',                            '\\undef',
    '\\$text',                          'sub { 1 }',
    'sub { @_ }',                       'qr/x/',
    '\\qr/x/',                          '*STDOUT',
    '\\*STDOUT',                        '*STDOUT{IO}',
    '\\substr($text, 1, 2)',            '\\pos($text)',
    '\\v1.2',                           '\\&absent',
    '*absent',                          q(bless([], 'Mute')),
    q(bless({}, 'ZooKeeper')),          q(bless([], 'ZooKeeper')),
    q(bless({}, 'ZooKeeper::Channel')), q(bless({}, 'ZooKeeper::Watcher')),
    q(bless([], 'ZooKeeper::Watcher')), q(bless(\\(my $x), '0')),
    'circle()',                         'faded()',
    'kept()',                           q(bless(sub { 1 }, 'Mute')),
    '$zk',                              '\\$zk',
    '$dispatcher',                      '$channel',
    '\\@list',                          '\\%ENV',
    '\\%main::',                        'locked()',
    q(bless({}, 'ZooKeeper::Error')),   q(bless(qr/x/, 'Mute')),
    '[undef]',                          '[[[[]]]]',
    'format_ref()',                     'stale()',
    'foreign()',
);

# Scalars that perl makes when somebody looks.
my @MAGIC = (
    '$1',               '$&',                  '$+{word}',            '$-[0]',
    '$0',               '$$',                  '$!',                  '$@',
    '$ENV{PATH}',       '$ENV{none}',          '$hash{missing}',      '$list[100]',
    '$list[0]',         'substr($text, 1, 2)', 'substr($text, 0, 4)', 'pos($text)',
    'vec($text, 0, 8)', '$#list',              '$_',                  '$SIG{ALRM}',
    '$,',               '$;',                  'lc $text',            '"$text"',
    'scalar(@list)',    'local $_',            '@list',               '%hash',
    '@{[]}',            '$^W',                 '%^H',                 '@-',
    'scalar(%hash)',
);

sub value {
    my ( $random, $depth ) = @_;
    $depth //= 0;
    my $kind = $random->below(100);
    return 'undef'                    if $kind < 6;
    return $random->pick(@NUMBERS)    if $kind < 22;
    return $random->pick(@STRINGS)    if $kind < 36;
    return path($random)              if $kind < 46;
    return $random->pick(@BAD_PATHS)  if $kind < 50;
    return $random->pick(@REFERENCES) if $kind < 66;
    return $random->pick(@MAGIC)      if $kind < 76;
    return alive($random)             if $kind < 92;
    return access_list($random)       if $kind < 95 || $depth > 2;
    return callback($random)          if $kind < 97;
    my @in = map { value( $random, $depth + 1 ) } 0 .. $random->below(4);
    return '[ ' . join( ', ', @in ) . ' ]' if $random->often(50);

    # Perl itself leaks when a key dies as a string.
    return '{ ' . join( ', ', map { "k$_ => scalar( $in[$_] )" } 0 .. $#in ) . ' }';
}

# One that runs something when it is read.
sub alive {
    my ($random) = @_;
    my $then     = $random->pick( map { value( $random, 3 ) } 1 .. 2 ) =~ s/\A[\@%].*/undef/r;
    my $does     = action($random);
    my $code     = "sub { $does; $then }";
    return $random->pick(
        ( map { "\${ tied_scalar($code) }" } 1 .. 3 ),
        ( map { "overloaded('\"\"', $code)" } 1 .. 3 ),
        ( map { "overloaded('$_', $code)" } qw(0+ bool nomethod &{} @{} %{} == eq) ),
        "tied_array($code)",
        "tied_hash($code)",
        '${ changing(' . join( ', ', map { value( $random, 3 ) =~ s/\A[\@%].*/1/r } 1 .. 3 ) . ') }',
        "[ \${ tied_scalar($code) } ]",
    );
}

# What it runs.
sub action {
    my ($random) = @_;
    my @any = (
        q(die "fuzz: died\n"),
        q(die Thrown->new),
        q($zk && $zk->exists('/')),
        q(eval { $zk->get('/fz/a') }),
        q($text = 'other' x 100),
        q(undef $text),
        q(@list = (1) x 100),
        q(%hash = ()),
        q(undef @list),
        '1',
        '1',
        q(eval { $dispatcher->dispatch_event }),
        q(eval { $zk->create_f('/fz/late') }),
        q(local $_ = 5),
        q(no warnings; last),
        q(no warnings; next),
        q('x' =~ /(x)/),
        q(eval { $channel->size }),
        q(my @x = sort { $b cmp $a } 1 .. 3),
        q(eval { $zk->set( '/fz/b', 'within' ) }),
        q($@ = 'fuzz: left'),
        q($! = 5),
        q(@_ = ()),
        q(wantarray),
        q(eval { die 'x' }),
        q(eval { $zk->exists( '/', cb => answer(0) ) }),
        q(local $SIG{__DIE__}),
        q(kill USR2 => $$),
        q(@args = ()),
    );
    my @if_mine = (
        '$zk->close',
        'undef $zk',
        'undef $channel',
        'undef $dispatcher',
        '$zk->reopen',
        '$zk->DESTROY',
        '$zk = 7',
        '%$zk = ()',
        '($zk, $dispatcher, $channel) = ()',
        '$zk->_close',
        q($zk->set_hosts('127.0.0.1:1')),
    );
    return $random->often(25) ? "if (\$mine) { ${ \$random->pick(@if_mine) } }" : $random->pick(@any);
}

sub path {
    my ($random) = @_;
    return $random->pick(@PATHS);
}

my $ACL = q({ id => 'anyone', scheme => 'world', perms => 31 });

sub access_list {
    my ($random) = @_;
    return $random->pick( 'ZOO_OPEN_ACL_UNSAFE', "[ $ACL ]" ) if $random->often(40);
    my $member = sub {
        return $ACL                if $random->often(30);
        return value( $random, 3 ) if $random->often(30);
        my @keys = grep { $random->often(90) } qw(id scheme perms);
        my $hash = join ', ', map { "$_ => scalar( ${ \value( $random, 3 ) } )" } @keys;
        return $random->often(80) ? "{ $hash }" : "tied_hash(sub { ${ \action($random) }; 'world' })";
    };
    my @members = map { $member->() } 1 .. $random->below(4);
    my $list    = join ', ', @members;
    return "[ ($ACL) x 10_000 ]"                                    if $random->often(2);
    return "tied_array(sub { ${ \action($random) }; $members[0] })" if @members && $random->often(10);
    return "[ $list ]";
}

# A function to be called with an answer or an event. Each tells when it is called; those that "must" be, and are not, are
# missed.
sub callback {
    my ( $random, $must ) = @_;
    $must = $must ? 1 : 0;
    return "answer($must)" if $random->often(50);
    my $does = $random->pick(
        q(die "fuzz: in a callback\n"),
        q(die Thrown->new),
        q(goto &elsewhere),
        q(return 1 .. 1000),
        q(undef $text),
        q(undef $self),
        q(eval { $zk->exists('/') }),
        q(eval { $zk->get( '/', cb => answer(0) ) }),
        q(eval { $dispatcher->dispatch_event }),
        q(@_ = ()),
        q($_[0] = 1),
        q(undef $_[0]),
        q(local $_ = shift),
        q(no warnings; last),
        q(no warnings; next),
        q(return),
        q(goto END_OF_IT; END_OF_IT: 1),
        q(eval { $zk->create_f('/fz/c') }),
        q(eval { $dispatcher->wait(0.001) }),
        q(return wantarray),
        action($random),
    );
    my $self = $random->often(15) ? ', by => "object"' : '';
    return "answer( $must, sub { my \$self; $does }$self )";
}

# A value as it should be, by the name of the argument.
my %GOOD = (
    path   => \&path,
    prefix => \&path,
    value  => sub {
        $_[0]
          ->pick( q('data'), q(''), 'undef', q("\xff\0"), '42', '$text', q('x' x 1000), q('x' x 1_000_000) );
    },
    acl             => \&access_list,
    version         => sub { $_[0]->pick(qw(-1 -1 -1 0 1 undef)) },
    watcher         => \&callback,
    request_timeout => sub { $_[0]->pick(qw(5 10 1e9 0.00001 20 undef 9**9**9)) },
    ttl             => sub { $_[0]->pick(qw(1000 1 0 undef -1 1099511627775 1099511627776)) },
    type            => sub {
        $_[0]->pick( map { "'$_'" } qw(any data children persistent persistent_recursive nothing) );
    },
    scheme      => sub { $_[0]->pick( q('digest'), q('ip'), q('world'), q('nonsense') ) },
    credentials => sub { $_[0]->pick( q('a:b'),    q(''),   q("\0"),    q('a'), 'undef' ) },
    (
        map {
            $_ => sub { $_[0]->pick( 'undef', q('server.1=127.0.0.1:1:2;3'), q('1'), q(['1', '2']), '[]' ) }
        } qw(joining leaving members)
    ),
);

sub good {
    my ( $random, $name ) = @_;
    my $make = $GOOD{$name} // return $random->pick(qw(0 1 undef));
    return $make->($random);
}

1;

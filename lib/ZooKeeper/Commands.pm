package ZooKeeper::Commands;
use strict;
use warnings;

our $VERSION = '0.2.0';

# The commands, one row each. Whatever is made once per command is made from here: the methods, the operations
# of a transaction, the first words of an error message.
#   name        the method, and with an underscore before it the XSUB that does the work
#   doing       how an error message goes on after "Error"; %s is the node
#   positional  arguments by position
#   optional    the last of them may be left out, also before arguments by name
#   named       arguments by name; those that "takes" does not mention are accepted and have no effect
#   takes       what the XSUB takes after the handle, in this order: these arguments, or some made of them
#   steps       further arguments by name which, where they are true, make several commands of it: those of this function of
#               ZooKeeper::Steps
#   watch       it can leave a watch, whose watcher is of this type
#   watched     the node that it is about, where no argument says so
my @COMMANDS = (
    (
        map {
            {
                name       => $_,
                doing      => q(creating node '%s'),
                positional => ['path'],
                named      => [qw(acl buffer_length container ephemeral persistent sequential ttl value)],
                takes      => [qw(path value acl_or_default flags ttl)],
                steps      => { parents => 'create_below' },
            }
        } qw(create create2)
    ),
    {
        name       => 'delete',
        doing      => q(deleting node '%s'),
        positional => ['path'],
        named      => ['version'],
        takes      => [qw(path version)],
        steps      => { recursive => 'delete_below' },
    },
    {
        name       => 'exists',
        doing      => q(checking existence of node '%s'),
        positional => ['path'],
        named      => ['watcher'],
        takes      => [qw(path watcher)],
        watch      => 'exists',
    },
    {
        name       => 'get',
        doing      => q(getting data for node '%s'),
        positional => ['path'],
        named      => [qw(buffer_length watcher)],
        takes      => [qw(path watcher)],
        watch      => 'get',
    },
    {
        name       => 'set',
        doing      => q(setting data for node '%s'),
        positional => [qw(path value)],
        named      => ['version'],
        takes      => [qw(path value version)],
    },
    {
        name       => 'get_children',
        doing      => q(getting children for node '%s'),
        positional => ['path'],
        named      => ['watcher'],
        takes      => [qw(path watcher)],
        watch      => 'get_children',
    },
    {
        name       => 'get_children2',
        doing      => q(getting children for node '%s'),
        positional => ['path'],
        named      => ['watcher'],
        takes      => [qw(path watcher)],
        watch      => 'get_children',
    },
    {
        name       => 'get_acl',
        doing      => q(getting acl for node '%s'),
        positional => ['path'],
        named      => [],
        takes      => ['path'],
    },
    {
        name       => 'set_acl',
        doing      => q(setting acl for node '%s'),
        positional => [qw(path acl)],
        named      => ['version'],
        takes      => [qw(path acl version)],
    },
    {
        name       => 'add_auth',
        doing      => 'trying to authenticate',
        positional => [qw(scheme credentials)],
        named      => [qw(encoded watcher)],
        takes      => [qw(scheme credentials watcher)],
        watch      => 'add_auth',
    },
    {
        name       => 'sync',
        doing      => q(syncing node '%s'),
        positional => ['path'],
        named      => [],
        takes      => ['path'],
    },
    {
        name       => 'get_config',
        doing      => 'getting the configuration',
        positional => [],
        named      => ['watcher'],
        takes      => ['watcher'],
        watch      => 'get_config',
        watched    => '/zookeeper/config',
    },
    {
        name       => 'reconfig',
        doing      => 'changing the configuration',
        positional => [],
        named      => [qw(joining leaving members version)],
        takes      => [qw(joining leaving members version)],
    },
    {
        name       => 'remove_watches',
        doing      => q(removing watches of node '%s'),
        positional => ['path'],
        named      => [qw(local type watcher)],
        takes      => [qw(path type watcher_id local)],
    },
    {
        name       => 'whoami',
        doing      => 'asking who this is',
        positional => [],
        named      => [],
        takes      => [],
    },
    {
        name       => 'get_ephemerals',
        doing      => q(getting ephemerals below '%s'),
        positional => ['path'],
        optional   => 1,
        named      => [],
        takes      => ['prefix'],
    },
    {
        name       => 'get_all_children_number',
        doing      => q(counting nodes below '%s'),
        positional => ['path'],
        named      => [],
        takes      => ['path'],
    },
);

# Every command knows these.
my @FOR_ALL = qw(cb request_timeout);

# Methods that are made of commands, or of operations.
my @COMPOSITES = (
    {
        name       => 'ensure_path',
        positional => ['path'],
        named      => $COMMANDS[0]{named},
    },
    { name => 'commit', positional => [], named => [] },
    {
        name       => 'add_watch',
        doing      => q(adding a watch on node '%s'),
        positional => ['path'],
        named      => [qw(recursive watcher)],
        takes      => [qw(path watcher recursive)],
    },
);

# Only ever part of a transaction, or of a multi_read.
my $CHECK = { name => 'check', positional => [qw(path version)], named => [], takes => [qw(path version)] };
my @READS = map {
    { %$_, named => [], takes => ['path'] }
} grep { $_->{name} =~ /\Aget(?:_children)?\z/ } @COMMANDS;

# What else can fail, and is no command.
my %DOING = (
    new            => q(initializing ZooKeeper handle for '%s'),
    close          => 'closing ZooKeeper handle',
    commit         => 'committing transaction',
    multi_read     => 'reading several nodes',
    set_hosts      => q(setting hosts to '%s'),
    wait_connected => 'waiting for the connection',
    map { $_->{name} => $_->{doing} } @COMMANDS, grep { $_->{doing} } @COMPOSITES,
);

my %BY_NAME = map { $_->{name} => $_ } @COMMANDS, @COMPOSITES;

# What can be part of something else has the names of "named", to look up; what is called by itself knows more.
my @OPERATIONS = map {
    { %$_ }
} @BY_NAME{qw(create create2 delete set)}, $CHECK;
$_->{known} = { map { $_ => 1 } @{ $_->{named} } } for @OPERATIONS, @READS;
$_->{known} = { map { $_ => 1 } @{ $_->{named} }, keys %{ $_->{steps} // {} }, @FOR_ALL }
  for @COMMANDS, @COMPOSITES;

# Every command that is a method of the handle.
sub methods { return @COMMANDS }

# The commands that a transaction can hold.
sub operations { return @OPERATIONS }

# Those that a multi_read can hold.
sub reads { return @READS }

# One that is made of others.
sub composite {
    my ($name) = @_;
    return $BY_NAME{$name};
}

# How an error of this method begins: "creating node '/x'".
sub doing {
    my ( $name, $path ) = @_;
    my $doing = $DOING{$name} // ( defined $path ? "in $name of '%s'" : "in $name" );
    return index( $doing, '%s' ) < 0 ? $doing : sprintf $doing, $path // '';
}

1;

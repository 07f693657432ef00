package ZooKeeper::Commands;
use strict;
use warnings;

our $VERSION = '0.2.0';

# The commands, one row each. Whatever is made once per command is made from here: the methods, the operations
# of a transaction, the first words of an error message.
#   name        the method, and with an underscore before it the XSUB that does the work
#   doing       how an error message goes on after "Error"; %s is the node
#   positional  arguments by position
#   named       arguments by name; those that "takes" does not mention are accepted and have no effect
#   takes       what the XSUB takes after the handle, in this order: these arguments, or some made of them
my @COMMANDS = (
    {
        name       => 'create',
        doing      => q(creating node '%s'),
        positional => ['path'],
        named      => [qw(acl buffer_length ephemeral persistent sequential value)],
        takes      => [qw(path value acl_or_default flags)],
    },
    {
        name       => 'delete',
        doing      => q(deleting node '%s'),
        positional => ['path'],
        named      => ['version'],
        takes      => [qw(path version)],
    },
    {
        name       => 'exists',
        doing      => q(checking existence of node '%s'),
        positional => ['path'],
        named      => ['watcher'],
        takes      => [qw(path watcher)],
    },
    {
        name       => 'get',
        doing      => q(getting data for node '%s'),
        positional => ['path'],
        named      => [qw(buffer_length watcher)],
        takes      => [qw(path watcher)],
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
    },
);

# Only ever part of a transaction.
my $CHECK = { name => 'check', positional => [qw(path version)], named => [], takes => [qw(path version)] };

# What else can fail, and is no command.
my %DOING = (
    new            => q(initializing ZooKeeper handle for '%s'),
    close          => 'closing ZooKeeper handle',
    commit         => 'committing transaction',
    wait_connected => 'waiting for the connection',
    map { $_->{name} => $_->{doing} } @COMMANDS,
);

my %BY_NAME = map { $_->{name} => $_ } @COMMANDS;

# The names in "named", to look up.
$_->{known} = { map { $_ => 1 } @{ $_->{named} } } for @COMMANDS, $CHECK;

# Every command that is a method of the handle.
sub methods { return @COMMANDS }

# The commands that a transaction can hold.
sub operations { return @BY_NAME{qw(create delete set)}, $CHECK }

# The arguments that a method knows by name, as keys of a hash ref.
sub known {
    my ($name) = @_;
    return $BY_NAME{$name}{known};
}

# How an error of this method begins: "creating node '/x'".
sub doing {
    my ( $name, $path ) = @_;
    my $doing = $DOING{$name} // ( defined $path ? "in $name of '%s'" : "in $name" );
    return index( $doing, '%s' ) < 0 ? $doing : sprintf $doing, $path // '';
}

1;

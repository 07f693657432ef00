package ZooKeeper::Constants;
use strict;
use warnings;

use Exporter 'import';

our $VERSION = '0.2.0';

# One row per constant: name, value, and the text that zerror, zevent, zstate or zperm give for it.
my ( @ERRORS, @FLAGS, @PERMS, @EVENTS, @STATES, @OPS );

BEGIN {

# Makes constants as constant.pm does, which takes twenty times as long for all of these: a reference in the place of
# a function is one that returns what it points to, and is compiled in as such. Not where a program that names the
# constant was compiled before this module: then there is a glob, and the function has to go into it.
    sub _make {
        my (@rows) = @_;
        for my $row (@rows) {
            my ( $name, $value ) = @$row;
            if ( exists $ZooKeeper::Constants::{$name} ) {
                my $constant = $value;
                no strict 'refs';
                *$name = sub () { $constant };
                next;
            }
            Internals::SvREADONLY( $value, 1 );
            $ZooKeeper::Constants::{$name} = \$value;
        }
        return;
    }

    @ERRORS = (
        [ ZOK                           => 0,    'ok' ],
        [ ZSYSTEMERROR                  => -1,   'system error' ],
        [ ZRUNTIMEINCONSISTENCY         => -2,   'run time inconsistency' ],
        [ ZDATAINCONSISTENCY            => -3,   'data inconsistency' ],
        [ ZCONNECTIONLOSS               => -4,   'connection loss' ],
        [ ZMARSHALLINGERROR             => -5,   'marshalling error' ],
        [ ZUNIMPLEMENTED                => -6,   'unimplemented' ],
        [ ZOPERATIONTIMEOUT             => -7,   'operation timeout' ],
        [ ZBADARGUMENTS                 => -8,   'bad arguments' ],
        [ ZINVALIDSTATE                 => -9,   'invalid zhandle state' ],
        [ ZUNKNOWNSESSION               => -12,  'unknown session' ],
        [ ZNEWCONFIGNOQUORUM            => -13,  'no quorum of the new configuration is connected' ],
        [ ZRECONFIGINPROGRESS           => -14,  'another reconfiguration is in progress' ],
        [ ZSSLCONNECTIONERROR           => -15,  'tls connection error' ],
        [ ZAPIERROR                     => -100, 'api error' ],
        [ ZNONODE                       => -101, 'no node' ],
        [ ZNOAUTH                       => -102, 'not authenticated' ],
        [ ZBADVERSION                   => -103, 'bad version' ],
        [ ZNOCHILDRENFOREPHEMERALS      => -108, 'no children for ephemerals' ],
        [ ZNODEEXISTS                   => -110, 'node exists' ],
        [ ZNOTEMPTY                     => -111, 'not empty' ],
        [ ZSESSIONEXPIRED               => -112, 'session expired' ],
        [ ZINVALIDCALLBACK              => -113, 'invalid callback' ],
        [ ZINVALIDACL                   => -114, 'invalid acl' ],
        [ ZAUTHFAILED                   => -115, 'authentication failed' ],
        [ ZCLOSING                      => -116, 'zookeeper is closing' ],
        [ ZNOTHING                      => -117, '(not error) no server responses to process' ],
        [ ZSESSIONMOVED                 => -118, 'session moved to another server' ],
        [ ZNOTREADONLY                  => -119, 'server is read-only' ],
        [ ZEPHEMERALONLOCALSESSION      => -120, 'local session may not create ephemerals' ],
        [ ZNOWATCHER                    => -121, 'no such watcher' ],
        [ ZREQUESTTIMEOUT               => -122, 'request timeout' ],
        [ ZRECONFIGDISABLED             => -123, 'reconfiguration is disabled' ],
        [ ZSESSIONCLOSEDREQUIRESASLAUTH => -124, 'session closed, sasl authentication required' ],
        [ ZQUOTAEXCEEDED                => -125, 'quota exceeded' ],
        [ ZTHROTTLEDOP                  => -127, 'operation throttled' ],
    );
    @FLAGS = (
        [ ZOO_EPHEMERAL                      => 1 ],
        [ ZOO_SEQUENCE                       => 2 ],
        [ ZOO_CONTAINER                      => 4 ],
        [ ZOO_PERSISTENT_WITH_TTL            => 5 ],
        [ ZOO_PERSISTENT_SEQUENTIAL_WITH_TTL => 6 ],
    );
    @PERMS = (
        [ ZOO_PERM_READ   => 1,  'read' ],
        [ ZOO_PERM_WRITE  => 2,  'write' ],
        [ ZOO_PERM_CREATE => 4,  'create' ],
        [ ZOO_PERM_DELETE => 8,  'delete' ],
        [ ZOO_PERM_ADMIN  => 16, 'admin' ],
        [ ZOO_PERM_ALL    => 31, 'all' ],
    );
    @EVENTS = (
        [ ZOO_CREATED_EVENT                  => 1,  'created' ],
        [ ZOO_DELETED_EVENT                  => 2,  'deleted' ],
        [ ZOO_CHANGED_EVENT                  => 3,  'changed' ],
        [ ZOO_CHILD_EVENT                    => 4,  'child' ],
        [ ZOO_DATA_WATCH_REMOVED_EVENT       => 5,  'data watch removed' ],
        [ ZOO_CHILD_WATCH_REMOVED_EVENT      => 6,  'child watch removed' ],
        [ ZOO_PERSISTENT_WATCH_REMOVED_EVENT => 7,  'persistent watch removed' ],
        [ ZOO_SESSION_EVENT                  => -1, 'session' ],
        [ ZOO_NOTWATCHING_EVENT              => -2, 'not watching' ],
        [ ZOO_RESYNC_EVENT                   => -3, 'resync' ],
    );
    @STATES = (
        [ ZOO_EXPIRED_SESSION_STATE => -112, 'expired session' ],
        [ ZOO_AUTH_FAILED_STATE     => -113, 'auth failed' ],
        [ ZOO_CONNECTING_STATE      => 1,    'connecting' ],
        [ ZOO_ASSOCIATING_STATE     => 2,    'associating' ],
        [ ZOO_CONNECTED_STATE       => 3,    'connected' ],
        [ ZOO_READONLY_STATE        => 5,    'read-only' ],
        [ ZOO_SSL_CONNECTING_STATE  => 7,    'ssl connecting' ],
        [ ZOO_NOTCONNECTED_STATE    => 999,  'not connected' ],
    );
    @OPS = (
        [ ZOO_CREATE_OP           => 1 ],
        [ ZOO_DELETE_OP           => 2 ],
        [ ZOO_SETDATA_OP          => 5 ],
        [ ZOO_CHECK_OP            => 13 ],
        [ ZOO_CREATE2_OP          => 15 ],
        [ ZOO_CREATE_CONTAINER_OP => 19 ],
        [ ZOO_CREATE_TTL_OP       => 21 ],
    );

    _make( @ERRORS, @FLAGS, @PERMS, @EVENTS, @STATES, @OPS, [ ZOOKEEPER_VERSION => '3.9.3' ] );
}

# Flat lists, not references: programs write { ZOO_ANYONE_ID_UNSAFE, perms => … }.
## no critic (ProhibitSubroutinePrototypes)
sub ZOO_ANYONE_ID_UNSAFE () { return ( id => 'anyone', scheme => 'world' ) }
sub ZOO_AUTH_IDS ()         { return ( id => '',       scheme => 'auth' ) }
## use critic

BEGIN {
    _make(
        [ ZOO_OPEN_ACL_UNSAFE => [ { ZOO_ANYONE_ID_UNSAFE, perms => ZOO_PERM_ALL } ] ],
        [ ZOO_READ_ACL_UNSAFE => [ { ZOO_ANYONE_ID_UNSAFE, perms => ZOO_PERM_READ } ] ],
        [ ZOO_CREATOR_ALL_ACL => [ { ZOO_AUTH_IDS,         perms => ZOO_PERM_ALL } ] ],
    );
}

my %ERROR_TEXT = map { $_->[1] => $_->[2] } @ERRORS;
my %EVENT_TEXT = map { $_->[1] => $_->[2] } @EVENTS;
my %STATE_TEXT = map { $_->[1] => $_->[2] } @STATES;

sub zerror {
    my ($given) = @_;                                         # a copy: a string must not become a number, too
    my $code = 0 + ( $given // return 'unknown error' );      # an error object counts as its code
    return $ERROR_TEXT{$code} // 'unknown error' if $code <= 0;
    local $! = $code;
    return "$!";
}

sub zevent {
    my ($type) = @_;
    return $EVENT_TEXT{ $type // '' } // 'unknown event';
}

sub zstate {
    my ($state) = @_;
    return $STATE_TEXT{ $state // '' } // 'unknown state';
}

sub zperm {
    my $bits = $_[0] // 0;
    return 'all' if $bits == ZOO_PERM_ALL;
    my @names = sort map { $_->[2] } grep { $_->[1] != ZOO_PERM_ALL && $bits & $_->[1] } @PERMS;
    return @names ? join( '|', @names ) : 'unknown perm';
}

our %EXPORT_TAGS = (
    errors     => [ ( map { $_->[0] } @ERRORS ), 'zerror' ],
    node_flags => [ map { $_->[0] } @FLAGS ],
    acl_ids    => [qw(ZOO_ANYONE_ID_UNSAFE ZOO_AUTH_IDS)],
    acl_perms  => [ ( map { $_->[0] } @PERMS ), 'zperm' ],
    acls       => [qw(ZOO_OPEN_ACL_UNSAFE ZOO_READ_ACL_UNSAFE ZOO_CREATOR_ALL_ACL)],
    events     => [ ( map { $_->[0] } @EVENTS ), 'zevent' ],
    states     => [ ( map { $_->[0] } @STATES ), 'zstate' ],
    ops        => [ map { $_->[0] } @OPS ],
    version    => [qw(ZOOKEEPER_VERSION)],
);
our @EXPORT    = map { @$_ } @EXPORT_TAGS{ sort keys %EXPORT_TAGS };
our @EXPORT_OK = @EXPORT;
$EXPORT_TAGS{all} = \@EXPORT;

1;

__END__

=encoding UTF-8

=head1 NAME

ZooKeeper::Constants - the numbers of ZooKeeper, and words for them

=head1 SYNOPSIS

    use ZooKeeper::Constants;                         # all
    use ZooKeeper::Constants qw(:errors :acl_perms);  # some

    print zerror(ZNONODE), "\n";                             # no node
    print zperm( ZOO_PERM_READ | ZOO_PERM_WRITE ), "\n";     # read|write
    my $acl = [ { ZOO_ANYONE_ID_UNSAFE, perms => ZOO_PERM_READ } ];

=head1 DESCRIPTION

Everything is exported by default. The headings below are tags; C<:all> is all of
them.

=head2 errors

C<ZOK> 0, C<ZSYSTEMERROR> -1, C<ZRUNTIMEINCONSISTENCY> -2, C<ZDATAINCONSISTENCY> -3,
C<ZCONNECTIONLOSS> -4, C<ZMARSHALLINGERROR> -5, C<ZUNIMPLEMENTED> -6,
C<ZOPERATIONTIMEOUT> -7, C<ZBADARGUMENTS> -8, C<ZINVALIDSTATE> -9,
C<ZUNKNOWNSESSION> -12, C<ZNEWCONFIGNOQUORUM> -13, C<ZRECONFIGINPROGRESS> -14,
C<ZSSLCONNECTIONERROR> -15, C<ZAPIERROR> -100, C<ZNONODE> -101, C<ZNOAUTH> -102,
C<ZBADVERSION> -103, C<ZNOCHILDRENFOREPHEMERALS> -108, C<ZNODEEXISTS> -110,
C<ZNOTEMPTY> -111, C<ZSESSIONEXPIRED> -112, C<ZINVALIDCALLBACK> -113, C<ZINVALIDACL>
-114, C<ZAUTHFAILED> -115, C<ZCLOSING> -116, C<ZNOTHING> -117, C<ZSESSIONMOVED>
-118, C<ZNOTREADONLY> -119, C<ZEPHEMERALONLOCALSESSION> -120, C<ZNOWATCHER> -121,
C<ZREQUESTTIMEOUT> -122, C<ZRECONFIGDISABLED> -123, C<ZSESSIONCLOSEDREQUIRESASLAUTH>
-124, C<ZQUOTAEXCEEDED> -125, C<ZTHROTTLEDOP> -127, and L</zerror($code)>.

=head2 node_flags

C<ZOO_EPHEMERAL> 1, C<ZOO_SEQUENCE> 2, C<ZOO_CONTAINER> 4,
C<ZOO_PERSISTENT_WITH_TTL> 5, C<ZOO_PERSISTENT_SEQUENTIAL_WITH_TTL> 6.

=head2 acl_ids

C<ZOO_ANYONE_ID_UNSAFE> (everybody) and C<ZOO_AUTH_IDS> (who is authenticated):
lists C<< id => …, scheme => … >>, to be part of a hash.

=head2 acl_perms

C<ZOO_PERM_READ> 1, C<ZOO_PERM_WRITE> 2, C<ZOO_PERM_CREATE> 4, C<ZOO_PERM_DELETE> 8,
C<ZOO_PERM_ADMIN> 16, C<ZOO_PERM_ALL> 31, and L</zperm($bits)>.

=head2 acls

C<ZOO_OPEN_ACL_UNSAFE> (everybody may do all), C<ZOO_READ_ACL_UNSAFE> (everybody may
read), C<ZOO_CREATOR_ALL_ACL> (the identities of who creates the node may do all):
array refs of hash refs C<< {id, scheme, perms} >>.

=head2 events

C<ZOO_CREATED_EVENT> 1, C<ZOO_DELETED_EVENT> 2, C<ZOO_CHANGED_EVENT> 3,
C<ZOO_CHILD_EVENT> 4, C<ZOO_DATA_WATCH_REMOVED_EVENT> 5,
C<ZOO_CHILD_WATCH_REMOVED_EVENT> 6, C<ZOO_PERSISTENT_WATCH_REMOVED_EVENT> 7,
C<ZOO_SESSION_EVENT> -1, C<ZOO_NOTWATCHING_EVENT> -2, C<ZOO_RESYNC_EVENT> -3, and
L</zevent($type)>.

=head2 states

C<ZOO_EXPIRED_SESSION_STATE> -112, C<ZOO_AUTH_FAILED_STATE> -113,
C<ZOO_CONNECTING_STATE> 1, C<ZOO_ASSOCIATING_STATE> 2, C<ZOO_CONNECTED_STATE> 3,
C<ZOO_READONLY_STATE> 5, C<ZOO_SSL_CONNECTING_STATE> 7, C<ZOO_NOTCONNECTED_STATE>
999, and L</zstate($state)>.

=head2 ops

C<ZOO_CREATE_OP> 1, C<ZOO_DELETE_OP> 2, C<ZOO_SETDATA_OP> 5, C<ZOO_CHECK_OP> 13,
C<ZOO_CREATE2_OP> 15, C<ZOO_CREATE_CONTAINER_OP> 19, C<ZOO_CREATE_TTL_OP> 21.

=head2 version

C<ZOOKEEPER_VERSION>: the version of ZooKeeper whose protocol is spoken, a string.

=head1 FUNCTIONS

=head2 zerror($code)

The text of an error code, or of a L<ZooKeeper::Error>. Above 0 that of the
operating system for such a number; C<unknown error> for any other that is not
known.

=head2 zevent($type)

C<created>, C<deleted>, C<changed>, C<child>, C<session>, C<not watching>, …; else
C<unknown event>.

=head2 zstate($state)

C<expired session>, C<auth failed>, C<connecting>, C<associating>, C<connected>, …;
else C<unknown state>.

=head2 zperm($bits)

C<all>, or the names of the bits in alphabetical order: C<create|read|write>;
without any C<unknown perm>.

=head1 SEE ALSO

L<ZooKeeper>

=cut

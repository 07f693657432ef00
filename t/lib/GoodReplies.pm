package GoodReplies;
use strict;
use warnings;

use Exporter qw(import);
use ZooKeeper::Constants;

our @EXPORT = qw(good_replies good_reply reply_frame STAT);

# One reply of each kind that there is, as servers make it, and the call that asks for it:
#
#     name     the command
#     op       the operation's number
#     write    true if a lost answer leaves open whether it has been done
#     on       what it is called on, made of a handle
#     args     its arguments
#     body     the reply behind its header
#     result   what the call returns in list context; undef if there is nothing to compare
#     null     body and result again, with null for all that has a length
#     lengths  where in the body lengths are; and counts
#     counts
#     ignored  nobody reads the body
my %STAT = (
    czxid          => 11,
    mzxid          => 12,
    ctime          => 13,
    mtime          => 14,
    version        => 15,
    cversion       => 16,
    aversion       => 17,
    ephemeralOwner => 18,
    dataLength     => 4,
    numChildren    => 2,
    pzxid          => 19,
);
my $STAT = [ raw => pack 'q>4 l>3 q> l>2 q>', 11 .. 18, 4, 2, 19 ];

# Of a result in a transaction: type, done, error.
sub _head { return [ raw => pack 'l> C l>', $_[0], 0, $_[1] // 0 ] }
my $END = [ raw => pack 'l> C l>', -1, 1, -1 ];

my @NAMES = map { [ [ string => $_ ] ] } 'child-a', 'child-b';
my @DATA  = ( [ string => 'data' ], $STAT );
my @ROWS  = (
    {
        name   => 'get',
        op     => 4,
        args   => ['/x'],
        body   => \@DATA,
        result => [ 'data', \%STAT ],
        null   => [ undef,  \%STAT ]
    },
    { name => 'exists', op => 3, args => ['/x'],        body => [$STAT], result => [ \%STAT ] },
    { name => 'set',    op => 5, args => [ '/x', 'v' ], body => [$STAT], result => [ \%STAT ], write => 1 },
    { name => 'delete', op => 2, args => ['/x'],        body => [],      result => [],         write => 1 },
    {
        name   => 'create',
        op     => 1,
        args   => [ '/x', value => 'v' ],
        body   => [ [ string => '/x' ] ],
        result => ['/x'],
        null   => [''],
        write  => 1
    },
    {
        name   => 'create2',
        op     => 15,
        args   => [ '/x',               value => 'v' ],
        body   => [ [ string => '/x' ], $STAT ],
        result => [ '/x',               \%STAT ],
        null   => [ '',                 \%STAT ],
        write  => 1
    },
    {
        name   => 'get_children',
        op     => 8,
        args   => ['/x'],
        body   => [ [ vector => @NAMES ] ],
        result => [ 'child-a', 'child-b' ],
        null   => []
    },
    {
        name   => 'get_children2',
        op     => 12,
        args   => ['/x'],
        body   => [ [ vector => @NAMES ],     $STAT ],
        result => [ [ 'child-a', 'child-b' ], \%STAT ],
        null   => [ [],                       \%STAT ]
    },
    {
        name => 'get_acl',
        op   => 6,
        args => ['/x'],
        body => [
            [
                vector =>
                  [ [ raw => pack 'l>', ZOO_PERM_ALL ], [ string => 'world' ], [ string => 'anyone' ] ]
            ],
            $STAT
        ],
        result => [ [ { scheme => 'world', id => 'anyone', perms => ZOO_PERM_ALL } ], \%STAT ],
        null   => [ [],                                                               \%STAT ]
    },
    {
        name   => 'set_acl',
        op     => 7,
        args   => [ '/x', ZOO_OPEN_ACL_UNSAFE ],
        body   => [$STAT],
        result => [],
        write  => 1
    },
    { name => 'sync', op => 9, args => ['/x'], body => [ [ string => '/x' ] ] },
    {
        name   => 'get_config',
        op     => 4,
        args   => [],
        body   => \@DATA,
        result => [ 'data', \%STAT ],
        null   => [ undef,  \%STAT ]
    },
    {
        name   => 'reconfig',
        op     => 16,
        args   => [ leaving => '3' ],
        body   => \@DATA,
        result => [ 'data', \%STAT ],
        null   => [ undef,  \%STAT ],
        write  => 1
    },
    {
        name   => 'get_ephemerals',
        op     => 103,
        args   => ['/x'],
        body   => [ [ vector => map { [ [ string => $_ ] ] } '/x/one', '/x/two' ] ],
        result => [ '/x/one', '/x/two' ],
        null   => []
    },
    {
        name   => 'get_all_children_number',
        op     => 104,
        args   => ['/x'],
        body   => [ [ raw => pack 'l>', 77 ] ],
        result => [77]
    },
    {
        name   => 'whoami',
        op     => 107,
        args   => [],
        body   => [ [ vector => map { [ [ string => $_ ], [ string => 'me' ] ] } 'ip', 'digest' ] ],
        result => [ map { { scheme => $_, id => 'me' } } 'ip', 'digest' ],
        null   => []
    },
    {
        name => 'add_watch',
        op   => 106,
        args => [ '/x', watcher => sub { } ],
        body => [ [ raw => pack 'l>', 0 ] ],
    },
    {
        name => 'commit',
        op   => 14,
        on   => sub {
            my ($zk) = @_;
            return $zk->transaction->create('/x')->create2('/y')->create( '/c', container => 1 )
              ->delete('/x')->set( '/x' => 'v' )->check( '/x', 1 );
        },
        args => [],
        body => [
            _head(1),  [ string => '/x' ],
            _head(15), [ string => '/y' ],
            $STAT,     _head(15), [ string => '/c' ],
            $STAT,     _head(2),  _head(5), $STAT, _head(13), $END
        ],
        result => [
            { type => 'create',  path => '/x' },
            { type => 'create2', path => '/y', stat => \%STAT },
            { type => 'create',  path => '/c' },
            { type => 'delete' },
            { type => 'set', stat => \%STAT },
            { type => 'check' },
        ],
        write => 1,
    },
    {
        name => 'commit',
        of   => 'multi_read',
        op   => 22,
        on   => sub { return $_[0]->multi_read->get('/x')->get_children('/x')->get('/y') },
        args => [],
        body => [
            _head(4), @DATA, _head(8),
            [ vector => @NAMES ],
            _head( -1, ZNONODE ),
            [ raw => pack 'l>', ZNONODE ], $END
        ],
        result => [
            { type => 'get',          value    => 'data', stat => \%STAT },
            { type => 'get_children', children => [ 'child-a', 'child-b' ] },
            { type => 'error',        code     => ZNONODE, message => 'no node' },
        ],
    },
);

for my $row (@ROWS) {
    $row->{on} //= sub { $_[0] };
    my $spec = $row->{body};
    $row->{body}    = _bytes( $spec, 0, $row );
    $row->{null}    = { body => _bytes( $spec, 1 ), result => $row->{null} } if $row->{null};
    $row->{ignored} = 1                                                      if !@$spec;
}
my %BY_OP = map { $_->{op} => $_ } @ROWS;

sub STAT {
    return {%STAT};
}

sub good_replies { return @ROWS }

# The whole of a reply, behind the frame's length. Goodbyes and pings have no body.
sub reply_frame {
    my ( $xid, $body ) = @_;
    return pack( 'l> q> l>', $xid, 1, 0 ) . $body;
}

sub good_reply {
    my ( $xid, $op ) = @_;
    return reply_frame( $xid, $BY_OP{$op} ? $BY_OP{$op}{body} : '' );
}

sub _bytes {
    my ( $fields, $null, $row ) = @_;
    my $bytes = '';
    _append( \$bytes, $_, $null, $row ) for @$fields;
    return $bytes;
}

sub _append {
    my ( $bytes, $field, $null, $row ) = @_;
    my ( $kind, @content ) = @$field;
    if ( $kind eq 'raw' ) {
        $$bytes .= $content[0];
        return;
    }
    push @{ $row->{ $kind eq 'string' ? 'lengths' : 'counts' } }, length $$bytes if $row;
    if ($null) {
        $$bytes .= pack 'l>', -1;
    }
    elsif ( $kind eq 'string' ) {
        $$bytes .= pack 'N/a*', $content[0];
    }
    else {
        $$bytes .= pack 'N', scalar @content;
        _append( $bytes, $_, 0, $row ) for map { @$_ } @content;
    }
    return;
}

1;

use strict;
use warnings;
use utf8;
use Test::More;
use lib 't/lib';
use DropIn;
use TestZK;

use Encode qw(decode encode);
use ZooKeeper;
use ZooKeeper::Constants;

# Paths, names and ACL ids: bytes by default, text with utf8 => 1. Data and credentials: bytes always. (This file is
# UTF-8, and so is what Test::More prints.)
binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $bytes = ZooKeeper->new( hosts => test_hosts(), dispatcher => 'Pipe' );
my $text  = ZooKeeper->new( hosts => test_hosts(), dispatcher => 'Pipe', utf8 => 1 );
my $base  = fresh_path('strings');
$bytes->create($base);

# Names as text. The first has characters below 256 only, of the second all need two bytes or more in Perl.
my @names = ( 'Köln', 'Łódź', '東京', 'pi-π-ü' );

sub octets { return encode( 'UTF-8', $_[0] ) }

# The two ways in which Perl keeps the same bytes.
sub both_ways {
    my ($octets) = @_;
    utf8::downgrade( my $plain = $octets );
    utf8::upgrade( my $flagged = $octets );
    return ( plain => $plain, flagged => $flagged );
}

# Everything that takes a path or gives one, with this handle; it must always be this string.
sub round_trip {
    my ( $zk,     $path, $want, $name ) = @_;
    my ( @events, %seen );
    my ( $parent, $child ) = $want =~ m{\A(.*)/(.*)\z}s;
    my $see = sub { push @events, $_[0]{path} };
    $zk->exists( $path, watcher => $see );
    is $zk->create( $path, value => 'v' ), $want, "$name: create";
    $zk->get( $path, watcher => $see );
    $zk->get_children( $path, watcher => $see );
    is_deeply [ grep { $_ eq $child } $zk->get_children($parent) ], [$child], "$name: get_children";
    is scalar $zk->get($path),              'v', "$name: get";
    is $zk->set( $path => 'w' )->{version}, 1,   "$name: set";
    is scalar @{ $zk->get_acl($path) },     1,   "$name: get_acl";
    $zk->set_acl( $path => ZOO_OPEN_ACL_UNSAFE );
    is $zk->ensure_path($path), $want, "$name: ensure_path";
    is_deeply [ map { $_->path } $zk->get_watchers( path => $path, type => 'get' ) ], [$path],
      "$name: get_watchers";
    my $error = thrown { $zk->create($path) };
    like "$error", qr/\AError creating node '\Q$want\E': node exists at /, "$name: in a message";
    is_deeply [ map { $_->{path} // $_->{type} }
          $zk->transaction->check( $path, 1 )->delete($path)->create($path)->set( $path => 'x' )->commit ],
      [ 'check', 'delete', $want, 'set' ], "$name: transaction";
    $zk->delete($path);
    next_events( $zk, \@events, 3 );
    is_deeply \@events, [ ($want) x 3 ], "$name: events";
    return;
}

subtest 'bytes by default, in and out, whatever the internal flag' => sub {
    for my $name (@names) {
        my %way = both_ways( octets("$base/$name") );
        for my $way ( sort keys %way ) {
            my $was = utf8::is_utf8( $way{$way} );
            round_trip( $bytes, $way{$way}, $way{plain}, "$name, $way" );
            is utf8::is_utf8( $way{$way} ), $was, "$name, $way: the scalar is left alone";
        }
        $bytes->create( $way{flagged} );
        my @got = grep { $_ eq octets($name) } $bytes->get_children($base);
        is scalar @got,                1,     "$name: bytes come out";
        is decode( 'UTF-8', $got[0] ), $name, "$name: a program that decodes them itself goes on working";
        ok $text->exists("$base/$name"), "$name: for the server it is UTF-8";
        $bytes->delete( $way{plain} );
    }
};

subtest 'characters above 255 go out as UTF-8' => sub {
    for my $name ( grep { /[^\x00-\xff]/ } @names ) {
        round_trip_wide("$base/$name");
    }
};

# Goes out as UTF-8, comes back as those bytes.
sub round_trip_wide {
    my ($path) = @_;
    is $bytes->create( $path, value => 'v' ), octets($path), "$path: create";
    is scalar $bytes->get($path),             'v',           "$path: get";
    is scalar $bytes->get( octets($path) ),   'v',           "$path: it is the node of that name in UTF-8";
    my @events;
    $bytes->get( $path, watcher => sub { push @events, @_ } );
    is_deeply [ map { $_->{path} // $_->{type} } $bytes->transaction->delete($path)->create($path)->commit ],
      [ 'delete', octets($path) ], "$path: transaction";
    next_events( $bytes, \@events, 1 );
    is $events[0]{path}, octets($path), "$path: event";
    $bytes->delete($path);
    return;
}

subtest 'utf8 => 1: text: encoded on the way out, decoded on the way in' => sub {
    ok $text->utf8,   'the accessor';
    ok !$bytes->utf8, 'false by default';
    for my $name (@names) {
        round_trip( $text, "$base/$name", "$base/$name", $name );
        $text->create("$base/$name");
        ok $bytes->exists( octets("$base/$name") ), "$name: for the server it is UTF-8";
        $text->delete("$base/$name");
    }
    my %way = both_ways('Köln');
    $text->create("$base/$way{plain}");
    ok $text->exists("$base/$way{flagged}"), 'whatever the internal flag';
    $text->delete("$base/$way{plain}");
    $text->reopen;
    is $text->create("$base/Köln"), "$base/Köln", 'after reopen';
    $text->delete("$base/Köln");
};

subtest 'utf8 => 1: a chroot' => sub {
    $text->create("$base/東京");
    my $rooted = ZooKeeper->new( hosts => test_hosts() . "$base/東京", utf8 => 1, dispatcher => 'Pipe' );
    is $rooted->create('/ü'), '/ü', 'as text';
    is_deeply [ $text->get_children("$base/東京") ], ['ü'], 'is the node of that name';
    my $other = ZooKeeper->new( hosts => test_hosts() . octets("$base/東京") );
    is_deeply [ $other->get_children('/') ], [ octets('ü') ], 'as bytes';
    $text->delete("$base/東京/ü");
    $text->delete("$base/東京");
};

# An ACL with this id, which lets everybody else in, too.
sub acl_of {
    my ($id) = @_;
    return [ { scheme => 'digest', id => $id, perms => ZOO_PERM_READ }, @{ ZOO_OPEN_ACL_UNSAFE() } ];
}

subtest 'ACL ids' => sub {
    my $hash = 'Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=';
    for my $name (@names) {
        my $id   = "$name:$hash";
        my $path = $text->create( "$base/acl", acl => acl_of($id) );
        is_deeply scalar $text->get_acl($path),  acl_of($id),           "$name: text with utf8 => 1";
        is_deeply scalar $bytes->get_acl($path), acl_of( octets($id) ), "$name: bytes by default";
        my %way = ( both_ways( octets($id) ), $name =~ /[^\x00-\xff]/ ? ( 'not encoded' => $id ) : () );
        for my $way ( sort keys %way ) {
            $text->set_acl( $path => ZOO_OPEN_ACL_UNSAFE );
            $bytes->set_acl( $path => acl_of( $way{$way} ) );
            is $text->get_acl($path)->[0]{id}, $id, "$name, $way: go out as UTF-8";
        }
        $text->delete($path);
    }
};

subtest 'data: bytes always' => sub {
    my $all = join '', map { chr } 0 .. 255;
    for my $zk ( $bytes, $text ) {
        my $kind = $zk->utf8 ? 'utf8 => 1' : 'default';
        my $path = $zk->create("$base/data");
        my %way  = both_ways($all);
        for my $way ( sort keys %way ) {
            $zk->set( $path => $way{$way} );
            my $got = $zk->get($path);
            is $got, $all, "$kind: all bytes, $way";
            ok !utf8::is_utf8($got), "$kind: come back as bytes";
        }
        is( ( $zk->get($path) )[1]{dataLength}, 256, "$kind: each is one" );
        $zk->set( $path => octets('東京') );
        is scalar $zk->get($path), octets('東京'), "$kind: what is encoded comes back encoded";
        $zk->transaction->set( $path => $way{flagged} )->commit;
        is scalar $zk->get($path), $all, "$kind: transaction";
        $zk->delete($path);
    }
};

subtest 'data: characters above 255 die with a clear message, and so does a plain reference' => sub {
    my $path = $bytes->create("$base/data");
    for my $zk ( $bytes, $text ) {
        my %call = (
            create => sub { $zk->create( "$path-x", value => $_[0] ) },
            set    => sub { $zk->set( $path => $_[0] ) },
        );
        my %operation = (
            create => sub { $zk->transaction->create( "$path-x", value => $_[0] )->commit },
            set    => sub { $zk->transaction->set( $path => $_[0] )->commit },
        );
        for my $method (qw(create set)) {
            for my $case ( [ 'alone', $call{$method} ], [ 'in a transaction', $operation{$method} ] ) {
                my ( $where, $code ) = @$case;
                my $error = thrown { $code->('東京') };
                is ref $error, '', "$method, $where: characters above 255";
                like $error, qr/\b$method\b.*value contains characters above 255.*encode/,
                  "$method, $where: message";
                for my $ref ( [], {}, sub { }, \'x', qr/x/, bless( {}, 'Plain' ) ) {
                    $error = thrown { $code->($ref) };
                    is ref $error, '', "$method, $where: " . ref $ref;
                    like $error, qr/\b$method\b.*value must be a string, not a reference/,
                      "$method, $where: message";
                }
            }
        }
    }
    is $bytes->exists($path)->{version}, 0,     'nothing was set';
    is $bytes->exists("$path-x"),        undef, 'or created';
};

{

    package Stringy;
    use overload '""' => sub { ${ $_[0] } };
}

subtest 'data: an object with a string of its own is that string' => sub {
    my $path = "$base/data";
    $bytes->set( $path => bless \( my $plain = 'a string' ), 'Stringy' );
    is scalar $bytes->get($path), 'a string', 'set';
    my $error = thrown { $bytes->set( $path => bless \( my $wide = '東京' ), 'Stringy' ) };
    like $error, qr/characters above 255/, 'if it is one of bytes';
    is $bytes->create( bless( \( my $name = "$base/Stringy" ), 'Stringy' ) ), "$base/Stringy",
      'a path likewise';
};

subtest 'credentials: bytes always; characters above 255 die with a clear message' => sub {
    my $made = 0;
    for my $zk ( $bytes, $text ) {
        my $kind  = $zk->utf8 ? 'utf8 => 1' : 'default';
        my $error = thrown { $zk->add_auth( 'digest', '東京:pw' ) };
        is ref $error, '', "$kind: no object";
        like $error, qr/\Aadd_auth: credentials contain characters above 255; encode them first at /,
          "$kind: message";
        like thrown { $zk->add_auth( 'digest', [] ) },
          qr/\Aadd_auth: credentials must be a string, not a reference at /,
          "$kind: a reference";
        my %way = both_ways("\xfc:\xe9");
        for my $way ( sort keys %way ) {
            my $own = ZooKeeper->new( hosts => test_hosts(), utf8 => $zk->utf8, dispatcher => 'Pipe' );
            $own->add_auth( 'digest', $way{$way} );
            $own->create( "$base/auth", value => 'v', acl => ZOO_CREATOR_ALL_ACL ) if !$made++;
            is scalar eval { $own->get("$base/auth") }, 'v', "$kind, $way: the same identity" or diag $@;
        }
    }
};

done_testing;

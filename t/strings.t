use strict;
use warnings;
use utf8;
use Test::More;
use lib 't/lib';
use TestZK;

use Encode qw(decode encode);
use ZooKeeper;
use ZooKeeper::Constants;

# Paths, names and ACL ids are bytes unless the handle was told that they are text. (This file is UTF-8.)
my $bytes = ZooKeeper->new( hosts => test_hosts(), dispatcher => 'Pipe' );
my $text  = ZooKeeper->new( hosts => test_hosts(), dispatcher => 'Pipe', utf8 => 1 );
my $base  = fresh_path('strings');
$bytes->create($base);

my %name = ( 'umlaut' => 'ä', 'sharp s' => 'Straße', 'euro' => '€', 'japanese' => '動物園', 'mixed' => 'aä€z' );

subtest 'text' => sub {
    for my $kind ( sort keys %name ) {
        my $name = $name{$kind};
        my $path = "$base/$name";
        is $text->create( $path, value => encode( 'UTF-8', $name ) ), $path, "$kind: create returns text";
        ok $text->exists($path), "$kind: exists";
        is decode( 'UTF-8', scalar $text->get($path) ), $name, "$kind: data is bytes";
        ok scalar( grep { $_ eq $name } $text->get_children($base) ), "$kind: get_children returns text";
        ok $bytes->exists( encode( 'UTF-8', $path ) ),                "$kind: the server has UTF-8";
        ok !eval { $text->create($path); 1 },                         "$kind: create again";
        my $error = $@;
        like $error, qr/\AError creating node '\Q$path\E': node exists/, "$kind: in an error message";
        is $error->path, $path, "$kind: in the error";
        is_deeply [ map { $_->{path} // $_->{type} }
              $text->transaction->delete($path)->create($path)->commit ],
          [ 'delete', $path ], "$kind: in a transaction";
        my $event;
        $text->get( $path, watcher => sub { $event = shift } );
        $text->delete($path);
        wait_for { $text->wait(1); $event } 30, 'the event';
        is $event->{path}, $path, "$kind: in an event";
    }
};

subtest 'bytes' => sub {
    for my $kind ( sort keys %name ) {
        my $name = encode( 'UTF-8', $name{$kind} );
        my $path = "$base/$name";
        is $bytes->create($path), $path, "$kind: create returns bytes";
        ok scalar( grep { $_ eq $name } $bytes->get_children($base) ), "$kind: get_children returns bytes";
        ok !utf8::is_utf8($_), "$kind: without the flag" for grep { $_ eq $name } $bytes->get_children($base);
        my $flagged = $path;
        utf8::upgrade($flagged);
        ok $bytes->exists($flagged),            "$kind: whatever the flag";
        ok $text->exists("$base/$name{$kind}"), "$kind: the server has UTF-8";
        my $event;
        $bytes->get( $path, watcher => sub { $event = shift } );
        ok !eval { $bytes->create($path); 1 }, "$kind: create again";
        like $@, qr/\AError creating node '\Q$path\E'/, "$kind: bytes in the message";
        $bytes->delete($path);
        wait_for { $bytes->wait(1); $event } 30, 'the event';
        is $event->{path}, $path, "$kind: bytes in an event";
    }
};

subtest 'characters above 255 go out as UTF-8 even without utf8' => sub {
    for my $kind (qw(euro japanese mixed)) {
        my $path = "$base/$name{$kind}";
        is $bytes->create($path), encode( 'UTF-8', $path ), "$kind: create returns the bytes of it";
        ok $text->exists($path), "$kind: the node has that name";
        $bytes->delete($path);
    }
};

subtest 'ids in an acl' => sub {
    my $acl = [ { scheme => 'digest', id => 'jörg:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=', perms => ZOO_PERM_ALL } ];
    $text->create( "$base/acl", acl => [ @$acl, @{ ZOO_OPEN_ACL_UNSAFE() } ] );
    is $text->get_acl("$base/acl")->[0]{id},  $acl->[0]{id}, 'are text in a handle for text';
    is $bytes->get_acl("$base/acl")->[0]{id}, encode( 'UTF-8', $acl->[0]{id} ), 'and bytes in one for bytes';
};

subtest 'reading changes no scalar' => sub {
    my $path = "$base/é";
    utf8::downgrade( my $plain = $path );
    $text->create($plain);
    ok !utf8::is_utf8($plain), 'a path keeps its flag';
    is length $plain, length $path, 'and its characters';
    ok $text->exists($path), 'latin-1 characters are characters, whatever the flag';
};

done_testing;

# Nodes for some eyes only.
use strict;
use warnings;
use Digest::SHA qw(sha1_base64);
use ZooKeeper;
use ZooKeeper::Constants;

my ( $hosts, $path ) = @ARGV;

sub digest_id {
    my ( $user, $password ) = @_;
    return ( scheme => 'digest', id => "$user:" . sha1_base64("$user:$password") . '=' );
}

my $owner = ZooKeeper->new( hosts => $hosts, authentication => [ 'digest', 'owner:one' ] );
$owner->create(
    $path,
    value => 'treasure',
    acl   =>
      [ { ZOO_AUTH_IDS, perms => ZOO_PERM_ALL }, { digest_id( 'reader', 'two' ), perms => ZOO_PERM_READ }, ],
);
print "$_->{scheme} ", $_->{id} =~ s/:.*//r, ' ', zperm( $_->{perms} ), "\n" for @{ $owner->get_acl($path) };

my $reader = ZooKeeper->new( hosts => $hosts );

sub try_it {
    my ( $name, $code ) = @_;
    print "$name: ", ( eval { $code->() } // zerror($@) ), "\n";
    return;
}
try_it( 'anybody reads', sub { $reader->get($path) } );
$reader->add_auth( 'digest', 'reader:two' );
try_it( 'reader reads',  sub { $reader->get($path) } );
try_it( 'reader writes', sub { $reader->set( $path => 'gone' ) } );
$owner->set_acl( $path, [ { ZOO_ANYONE_ID_UNSAFE, perms => ZOO_PERM_READ | ZOO_PERM_WRITE } ] );
try_it( 'reader writes', sub { $reader->set( $path => 'public' )->{version} } );
try_it( 'owner reads',   sub { scalar $owner->get($path) } );

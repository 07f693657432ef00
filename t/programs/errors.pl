# The ways in which programs tell one error from another.
use strict;
use warnings;
use ZooKeeper;
use ZooKeeper::Constants qw(:errors);

$| = 1;
my ( $hosts, $path ) = @ARGV;
my $zk = ZooKeeper->new( hosts => $hosts );

# As the modules do it that programs take for this.
sub try (&;@) {
    my ( $try, $catch ) = @_;
    my @result = eval { $try->() };
    return @result if !$@;
    local $_ = $@;
    return $catch->($_);
}
sub catch (&;@) { return @_ }

for ( 1 .. 2 ) {
    try { print 'created ', $zk->create($path), "\n" }
    catch {
        die $_ if $_ != ZNODEEXISTS;
        print "there already\n";
    };
}

eval { $zk->delete( $path, version => 5 ) };
if ( my $error = $@ ) {
    if    ( !ref $error )           { print "plain: $error" }
    elsif ( $error == ZNONODE )     { print "no node\n" }
    elsif ( $error == ZBADVERSION ) { print 'code ', $error->code, ', ', $error->error, "\n" }
}

my %handler = ( ZNONODE, sub { 'nothing there' }, ZNOTEMPTY, sub { 'something in it' } );
$zk->create("$path/child");
for my $call ( sub { $zk->delete($path) }, sub { $zk->get("$path/none") } ) {
    eval { $call->(); 1 } or print $handler{ $@->code }->(), "\n";
}

{
    local $@;
    eval { $zk->get("$path/none"); 1 } or warn $@;
}
eval { $zk->get('relative') };
print 'is it one of ours? ', ( ref $@ && $@->isa('ZooKeeper::Error') ? 'yes' : 'no' ), ", $@";
my $value = eval { $zk->get("$path/none") } // 'default';
print "$value\n";
$zk->get("$path/none");

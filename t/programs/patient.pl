# A subclass that tries again while there is no connection, and counts with it.
use strict;
use warnings;

package Patient;
use Moo;
extends 'ZooKeeper';
use ZooKeeper::Constants;

around [qw(get set exists)] => sub {
    my ( $call, $self, @args ) = @_;
    my $list = wantarray;
    while (1) {
        my @result;
        return $list ? @result : $result[0]
          if eval { @result = $list ? $self->$call(@args) : scalar $self->$call(@args); 1 };
        die $@              if $@ != ZCONNECTIONLOSS;
        print "once more\n" if !$self->{said}++;
    }
};

package main;

$| = 1;
my ( $hosts, $path ) = @ARGV;
my $zk     = Patient->new( { hosts => $hosts, timeout => 30_000 } );
my $number = 0;
print "begun\n";
until ( ( $zk->get($path) )[0] eq 'stop' ) {
    $zk->set( "$path/beat" => ++$number );
    select undef, undef, undef, 0.01;
}
print "stopped\n";

# Money from one account to another, all or nothing, again when somebody else was faster.
use strict;
use warnings;
use ZooKeeper;
use ZooKeeper::Constants;

my ( $hosts, $from, $to, $amount, $times ) = @ARGV;
my $zk = ZooKeeper->new( hosts => $hosts );

sub transfer {
    while (1) {
        my ( $have, $from_stat ) = $zk->get($from);
        my ( $gets, $to_stat )   = $zk->get($to);
        return "not enough\n" if $have < $amount;
        my @results =
          $zk->transaction->set( $from => $have - $amount, version => $from_stat->{version} )
          ->check( $to, $to_stat->{version} )->set( $to => $gets + $amount )
          ->create( "$to/receipt-", value => $amount, sequential => 1 )->commit;
        my ($culprit) = grep { $_->{type} eq 'error' && $_->{code} != ZOK } @results;
        return "receipt $results[3]{path}\n" if !$culprit;
        die "$culprit->{message}\n"          if $culprit->{code} != ZBADVERSION;
    }
}

print transfer() for 1 .. $times;

# Settings that follow a node: a Moo class with a handle, some of whose methods it hands on.
use strict;
use warnings;

package Config;
use Moo;
use ZooKeeper;
use ZooKeeper::Constants qw(:errors);

has hosts     => ( is => 'ro', required => 1 );
has path      => ( is => 'ro', required => 1 );
has settings  => ( is => 'rw', default  => sub { {} } );
has on_change => ( is => 'ro', required => 1 );
has zk => (
    is      => 'lazy',
    handles => [qw(get exists wait)],
    builder => sub { ZooKeeper->new( hosts => $_[0]->hosts, buffer_length => 16 ) },
);

sub load {
    my ($self) = @_;
    my ( $data, $stat ) = eval {
        $self->get( $self->path, watcher => sub { $self->load } );
    };
    if ( my $error = $@ ) {
        die $error if $error != ZNONODE;
        $self->settings( {} );

        # Somebody may have been faster than the watcher.
        return $self->load if $self->exists( $self->path, watcher => sub { $self->load } );
        return $self->on_change->( 'gone', {} );
    }
    $self->settings( { map { split /=/, $_, 2 } split /\n/, $data // '' } );
    return $self->on_change->( "version $stat->{version}", $self->settings );
}

package main;

$| = 1;
my ( $hosts, $path ) = @ARGV;
my $config = Config->new(
    hosts     => $hosts,
    path      => $path,
    on_change => sub {
        my ( $what, $settings ) = @_;
        print join( ' ', "$what:", map { "$_=$settings->{$_}" } sort keys %$settings ), "\n";
    },
);
$config->load;
$config->wait until $config->settings->{quit};

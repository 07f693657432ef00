package ZooKeeper::Settings::TLS;
use strict;
use warnings;

use overload ();

use Scalar::Util qw(blessed);
use ZooKeeper::Error;

our $VERSION = '0.2.0';

my @STRINGS = qw(ca_file cert_file crl_file key_file min_version server_name);
my %KNOWN   = map { $_ => 1 } @STRINGS, 'verify_hostname';

# The option as it is kept and handed to Rust: a hash of plain strings, and of verify_hostname in any case; 0 if there
# is to be no TLS. What the strings are worth, Rust sees when it reads the files.
sub checked {
    my ( $value, $what ) = @_;
    if ( ref $value ne 'HASH' ) {
        return 0 if !$value;
        ref $value || $value ne '1'
          and ZooKeeper::Error::_croak("$what must be a hash ref, or 1 if all is to be as usual");
        $value = {};
    }
    $value = {%$value};    # which may have been locked
    my ($method) = $what =~ /\A(\w+)/;
    for my $name ( grep { !$KNOWN{$_} } sort keys %$value ) {
        ZooKeeper::Error::_warn("$method: unknown argument '$name' of tls has no effect");
    }
    my %checked =
      ( verify_hostname => !defined $value->{verify_hostname} || $value->{verify_hostname} ? 1 : 0 );
    for my $name ( grep { defined $value->{$_} } @STRINGS ) {
        _is_string( $value->{$name} ) or ZooKeeper::Error::_croak("$what: $name must be a string");
        $checked{$name} = "$value->{$name}";
    }
    return \%checked;
}

sub _is_string {
    my ($value) = @_;
    return !ref $value || blessed $value && overload::Method( $value, '""' );
}

1;

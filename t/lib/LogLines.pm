package LogLines;
use strict;
use warnings;

# No test has to have it.
BEGIN { require Log::Any::Adapter; require Log::Any::Adapter::Util }

# What the program's log gets, while the object lives: through an adapter of Log::Any's that keeps messages as hash
# refs of category, level, text and about. Options: level, the least one that is wanted (all); told, called with each;
# asked, called when the level is asked for.
sub new {
    my ( $class, %arg ) = @_;
    my $to = { messages => [], %arg };
    return bless { to => $to, entry => Log::Any::Adapter->set( '+LogLines::Adapter', to => $to ) }, $class;
}

sub DESTROY {
    my ($self) = @_;
    Log::Any::Adapter->remove( $self->{entry} );
    return;
}

sub messages { return @{ $_[0]{to}{messages} } }

# As "level: text", numbers that differ from run to run as N.
sub plain {
    my ($self) = @_;
    my @plain;
    for my $message ( $self->messages ) {
        my $line = "$message->{level}: $message->{text}";
        $line =~ s/\b0x[0-9a-f]{4,}\b/0xN/g;
        $line =~ s/\b(?:127[.]0[.]0[.]1|localhost):\d+/SERVER/g;
        push @plain, $line;
    }
    return @plain;
}

sub matching {
    my ( $self, $pattern ) = @_;
    return grep { /$pattern/ } $self->plain;
}

sub clear {
    my ($self) = @_;
    @{ $self->{to}{messages} } = ();
    return;
}

package LogLines::Adapter;
use parent 'Log::Any::Adapter::Base';

sub init {
    my ($self) = @_;
    $self->{least} = Log::Any::Adapter::Util::numeric_level( $self->{to}{level} // 'trace' );
    return;
}

sub structured {
    my ( $self, $level, $category, $text, @about ) = @_;
    return if Log::Any::Adapter::Util::numeric_level($level) > $self->{least};
    my %message = ( category => $category, level => $level, text => $text, about => $about[0] );
    push @{ $self->{to}{messages} }, \%message;
    $self->{to}{told}->( \%message ) if $self->{to}{told};
    return;
}

for my $name ( Log::Any::Adapter::Util::detection_methods() ) {
    my $level = Log::Any::Adapter::Util::numeric_level( $name =~ s/\Ais_//r );
    no strict 'refs';
    *$name = sub {
        my ($self) = @_;
        $self->{to}{asked}->() if $self->{to}{asked};
        return $level <= $self->{least};
    };
}

1;

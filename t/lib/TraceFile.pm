package TraceFile;
use strict;
use warnings;

use File::Temp qw(tempdir);
use ZooKeeper;

my $LINE = qr{
    \A (?<time> \d{4}-\d\d-\d\d T \d\d:\d\d:\d\d [.] \d{6} Z )
    [ ] ZooKeeper \[ (?<pid> \d+ ) \]
    [ ] (?<level> error | warn | info | debug )
    (?: [ ] [#] (?<handle> \d+ ) (?: [ ] (?<session> 0x[0-9a-f]+ ) )? )?
    : [ ] (?<text> [\x20-\x7e]+ ) \n \z
}x;

my $number = 0;

# Traces to a fresh file from now on, until the object goes.
sub new {
    my ( $class, $level ) = @_;
    my $self = bless { dir => tempdir( CLEANUP => 1 ), owner => $$ }, $class;
    $self->{name} = "$self->{dir}/trace-" . ++$number;
    ZooKeeper->trace( $level, $self->{name} );
    return $self;
}

sub name { return $_[0]{name} }

sub content {
    my ($self) = @_;
    open my $in, '<:raw', $self->{name} or die "$self->{name}: $!\n";
    local $/;
    return scalar(<$in>) // '';
}

# The lines as hashes of time, pid, level, handle, session and text. One that is no line of a trace has
# the key "wrong".
sub lines {
    my ($self) = @_;
    open my $in, '<:raw', $self->{name} or die "$self->{name}: $!\n";
    return map { $_ =~ $LINE ? {%+} : { wrong => $_, level => 'wrong', text => '' } } readline $in;
}

# The lines as "level: text", numbers that differ from run to run as N.
sub plain {
    my ($self) = @_;
    my @plain;
    for my $line ( $self->lines ) {
        my $text = "$line->{level}: $line->{text}";
        $text =~ s/\b0x[0-9a-f]{4,}\b/0xN/g;
        $text =~ s/\b(?:127[.]0[.]0[.]1|localhost):\d+/SERVER/g;
        push @plain, $text;
    }
    return @plain;
}

# Which levels there are lines of.
sub levels {
    my ($self) = @_;
    my %seen = map { $_->{level} => 1 } $self->lines;
    return join ' ', sort keys %seen;
}

sub DESTROY {
    my ($self) = @_;
    ZooKeeper->trace(0) if $self->{owner} == $$;
    return;
}

1;

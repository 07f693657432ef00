package History;
use strict;
use warnings;

use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC time);

# What clients have asked for and what came of it, in files that can be read and checked again. A line is a word and
# facts, separated by tabs:
#
#     invoke   n=7 at=12.345678 s=2.0.1 op=set form=cb node=n3 value=2-7 expect=4
#     complete n=7 at=12.349001 out=ok code=0 version=5 mzxid=4294967312 zxid=4294967312
#     final    node=n3 value=2-7 version=5
#     end
#
# n counts the requests of a client, a process; s names the session: client, handle, and how often it was opened again.
# "at" is the monotonic clock, which all processes of a machine share. "out" is ok, no (it surely was not done) or
# unknown; a request without completion is unknown, too. The line is written before the request is made.
#
# Of requests: op is one of set, multi (two sets: node and node2), get, sync, create, delete, exists, stat (of the
# list itself). "expect" is the version that a set asks for, "prefix" or "path" what create makes, with ephemeral=1
# where it is. Of answers: version, mzxid, value, czxid, pzxid, path, there (of exists); zxid is the handle's
# last_zxid when the answer was told, sid the session's number.
#
# Of the end: what the nodes had (final node=), which names the list had (final name=), which ephemeral nodes were left
# when all sessions were over (final left=).

sub recorder {
    my ( $class, $name ) = @_;
    open my $file, '>>', $name or die "$name: $!\n";
    my $self = bless { file => $file, n => 0 }, $class;
    $self->note( 'clock', at => _now(), time => time );
    return $self;
}

sub invoke {
    my ( $self, %facts ) = @_;
    my $n = ++$self->{n};
    $self->note( invoke => n => $n, at => _now(), %facts );
    return $n;
}

sub complete {
    my ( $self, $n, %facts ) = @_;
    $self->note( complete => n => $n, at => _now(), %facts );
    return;
}

# A line at once, so that it is there whatever becomes of the process.
sub note {
    my ( $self, $word, %facts ) = @_;
    my $line = join "\t", $word, map { "$_=$facts{$_}" } grep { defined $facts{$_} } sort keys %facts;
    syswrite $self->{file}, "$line\n";
    return;
}

# All files of a directory.
sub load {
    my ( $class, $dir ) = @_;
    my @names = sort glob "$dir/*.log" or die "$dir: no history\n";
    my %text;
    for my $name (@names) {
        open my $file, '<', $name or die "$name: $!\n";
        local $/;
        my ($client) = $name =~ m{([^/]*)\.log\z};
        $text{$client} = <$file>;
    }
    return $class->parse(%text);
}

# Client => text of its file.
sub parse {
    my ( $class, %text ) = @_;
    my $self = bless { ops => [], final => [], notes => [] }, $class;
    for my $client ( sort keys %text ) {
        my %open;
        for my $line ( split /\n/, $text{$client} ) {
            my ( $word, @facts ) = split /\s+/, $line =~ s/\A\s+//r;
            my %facts = map { split /=/, $_, 2 } @facts;
            if    ( !defined $word ) { next }
            elsif ( $word eq 'invoke' ) {
                $open{ $facts{n} } =
                  { start => delete $facts{at}, %facts, client => $client, out => 'unknown', code => '' };
                push @{ $self->{ops} }, $open{ $facts{n} };
            }
            elsif ( $word eq 'complete' ) {
                my $op = $open{ $facts{n} } // die "$client: answer to nothing: $line\n";
                $op->{again} = 1 if defined $op->{end};
                @{$op}{ keys %facts } = values %facts;
                $op->{end}   = $facts{at};
                $op->{order} = ++$self->{order};
            }
            elsif ( $word eq 'final' ) { push @{ $self->{final} }, \%facts }
            else { push @{ $self->{notes} }, { %facts, word => $word, client => $client } }
        }
    }
    @{ $self->{ops} } = sort { $a->{start} <=> $b->{start} } @{ $self->{ops} };
    return $self;
}

sub ops   { return @{ $_[0]{ops} } }
sub final { return @{ $_[0]{final} } }
sub notes { return @{ $_[0]{notes} } }

# Session => its requests, in the order in which they were made.
sub sessions {
    my ($self) = @_;
    my %ops;
    push @{ $ops{ $_->{s} } }, $_ for sort { $a->{n} <=> $b->{n} } $self->ops;
    return \%ops;
}

# What a message says of a request.
sub describe {
    my ( $class, $op ) = @_;
    return "client $op->{client}: $op->{op} " . join ' ', map { "$_=$op->{$_}" }
      grep { defined $op->{$_} } qw(n s node node2 value prefix path expect version mzxid out code start end);
}

sub _now { return sprintf '%.6f', clock_gettime(CLOCK_MONOTONIC) }

1;

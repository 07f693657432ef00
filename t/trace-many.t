use strict;
use warnings;
use Test::More;
use lib 't/lib';
use FakeZK;
use TestZK;
use TraceFile;

use POSIX ();
use ZooKeeper;
use ZooKeeper::Constants;

# Lines come from the IO thread, from calls, and from other processes, all at once.
my $trace   = TraceFile->new(4);
my @servers = map {
    FakeZK->new( sub { $_[0]->handshake and $_[0]->serve(ZNONODE) } )
} 1 .. 4;
my $calls = 200;

sub work {
    my ($name) = @_;
    my @handles =
      map { ZooKeeper->new( hosts => $_->hosts, dispatcher => 'Pipe', timeout => 10_000 ) } @servers;
    for my $n ( 1 .. $calls ) {
        eval { $_->get("/$name/$n") } for @handles;
    }
    $_->close for @handles;
    return;
}

my @children;
for my $child ( 1 .. 2 ) {
    my $pid = fork // die "fork: $!";
    if ( !$pid ) {
        @servers = map {
            FakeZK->new( sub { $_[0]->handshake and $_[0]->serve(ZNONODE) } )
        } 1 .. 4;
        my $ok = eval {
            deadline 120, sub { work("child$child") };
            1;
        };
        warn $@ if !$ok;
        undef @servers;
        POSIX::_exit( $ok ? 0 : 1 );
    }
    push @children, $pid;
}
deadline 120, sub { work('parent') };
for my $pid (@children) {
    waitpid $pid, 0;
    is $?, 0, 'a child has done its work';
}

my @lines = $trace->lines;
is_deeply [ map { $_->{wrong} // () } @lines ], [], 'every line is a whole line';
my %count;
for my $line (@lines) {
    my ($kind) = $line->{text} =~ m{\A(request (?=\d)|reply (?=\d)|get (?='))} or next;
    $count{"$line->{pid} $kind"}++ if $line->{text} =~ m{'/(?:parent|child\d)/\d+'};
}
is_deeply \%count, {
    map {
        my $pid = $_;
        map { ( "$pid $_ " => $calls * 4 ) } qw(request reply get)
    } $$,
    @children
  },
  'and none is missing';
my %handles;
$handles{ $_->{pid} }{ $_->{handle} } = 1 for grep { defined $_->{handle} } @lines;
is scalar( keys %{ $handles{$_} } ), 4, 'each handle has its number' for $$, @children;

done_testing;

# Futures and promises where the modules that they are made of are not installed: said at the call, and nothing is sent.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Child;
use FakeZK;
use TestZK;

my $server = FakeZK->new(
    sub {
        my ($connection) = @_;
        $connection->handshake and $connection->serve(-101);
    }
);

# A program that can't load some modules, and says what each of its calls dies of. An attempt may have left traces of
# the module: the second one has to fail in the same way.
my $PROGRAM = <<'CODE';
my ( $hosts, $hidden, @methods ) = @ARGV;
unshift @INC, sub {
    my ( undef, $file ) = @_;
    return if $file !~ m{\A(?:$hidden)\.pm\z};
    die "Can't locate $file in \@INC (you may need to install it) (\@INC contains: hidden)";
};
require ZooKeeper;
my $zk = ZooKeeper->new( hosts => $hosts, dispatcher => 'Pipe' );
$zk->wait_connected(30);
local $SIG{__DIE__} = sub { print "not for the program: $_[0]" if $_[0] =~ /hidden|BEGIN/ };
my %call = (
    commit_f => sub { $zk->transaction->delete('/hidden')->commit_f },
    commit_p => sub { $zk->multi_read->get('/hidden')->commit_p },
    set_f    => sub { $zk->set_f( '/hidden', 'x' ) },
);
for my $method ( @methods, @methods ) {
    my $call = $call{$method} // sub { $zk->$method('/hidden') };
    eval { $call->(); print "$method did not die\n" };
    print $@ =~ s/\s+/ /gr, "\n" if length $@;
}
eval { $zk->get( '/asked', cb => sub { print "answered: ", $_[0]->code, "\n"; exit } ) } or print $@;
$zk->wait(30);
CODE

sub said_without {
    my ( $hidden, @methods ) = @_;
    my ( $pid,    $output )  = child_program( $PROGRAM, $server->hosts, $hidden, @methods );
    my @lines = deadline 60, sub { readline $output };
    close $output;
    chomp @lines;
    return @lines;
}

my %line;
{
    my $number = 0;
    for my $text ( split /\n/, qq(\$| = 1; open STDERR\n$PROGRAM) ) {
        $number++;
        $line{$1}   = $number if $text =~ /^    (\w+) +=> sub/;
        $line{else} = $number if $text =~ /my \$call =/;
    }
}

sub missing_ok {
    my ( $hidden, $distribution, $module, @methods ) = @_;
    my @lines = said_without( $hidden, @methods );
    my @words = map {
        my $line = $line{$_} // $line{else};
qr{\A$_ needs $distribution: Can't locate $module in \@INC \(you may need to install it\) at -e line $line\. \z}
    } ( @methods, @methods );
    is scalar @lines, @words + 1, "without $distribution: all is said";
    for my $n ( 0 .. $#words ) {
        like $lines[$n], $words[$n], $methods[ $n % @methods ] . ( $n < @methods ? '' : ', again' );
    }
    is $lines[-1], 'answered: -101', 'callbacks need neither';
    my @notes;
    soon_ok {
        push @notes, $server->notes;
        grep { $_ eq 'get /asked' } @notes
    }
    60, 'what comes later is sent';
    is_deeply [ grep { /hidden/ || /\Amulti/ } @notes ], [], 'and none of these was';
    return;
}

missing_ok( 'Mojo/.*', 'Mojolicious', qr{Mojo/Promise\.pm}, qw(get_p exists_p ensure_path_p commit_p) );
missing_ok( 'Future',  'Future',      qr{Future\.pm},       qw(get_f set_f ensure_path_f commit_f) );

done_testing;

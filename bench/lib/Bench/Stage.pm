package Bench::Stage;
use strict;
use warnings;

use Bench qw(all_cpus allow kazoo_command one_cpu perl_command program run_rounds start_stub top);
use Bench::Results;
use ZooKeeper::Test::Server;

# What all parts of bench/run share: servers, contestants, whether it is a quick look, and what comes out.

# The connections' paths on every server, real ones and the stub.
our $NODE     = '/bench';
our $DATA     = '/data/900000';
our $CHILDREN = '/children/100000';

# Contestants: [ name, what it is, windows that it may have, operations that it alone knows or undef for all ].
my @CONTESTANTS = (
    [ floor      => 'one raw socket' ],
    [ blocking   => 'this project, calls that wait' ],
    [ cb         => 'this project, callbacks' ],
    [ f          => 'this project, futures' ],
    [ cclient    => 'the C client' ],
    [ rustclient => 'the Rust crate zookeeper-client' ],
    [ kazoo      => 'kazoo, in Python' ],
    [ unpack     => 'no client: perl, which makes 100,000 strings out of one' ],
);

# Those that bench/perl.pl is.
my $OURS = qr/\A(?:blocking|cb|f|unpack)\z/;

sub new {
    my ( $class, %arg ) = @_;
    return bless {
        quick   => $arg{quick},
        rounds  => $arg{quick} ? 2 : 5,
        stub    => start_stub(),
        results => Bench::Results->new,
        servers => {},
    }, $class;
}

sub rounds  { return $_[0]{rounds} }
sub results { return $_[0]{results} }
sub stub    { return $_[0]{stub} }

sub descriptions { return @CONTESTANTS }

# This much, or in a quick look that.
sub count {
    my ( $self, $count, $quick ) = @_;
    return $self->{quick} ? $quick : $count;
}

# The jars of the real servers: Debian's (undef), and those of another version if there are any.
sub jars {
    my ($self) = @_;
    my @others = grep { defined && -d } $ENV{BENCH_JARS} // top() . '/../shared/zookeeper-3.9.3';
    return ( undef, @others );
}

# The stub, then a real server of each version: { name, version, port }. Pinned means that the client and what answers
# share one CPU, so that no wake-up crosses CPUs; Java needs the pin from its start.
sub against {
    my ( $self, $pinned, @kinds ) = @_;
    @kinds = qw(stub real) if !@kinds;
    my @against;
    for my $kind (@kinds) {
        if ( $kind eq 'stub' ) {
            allow( $pinned ? one_cpu() : all_cpus(), $self->{stub}{pid} );
            push @against, { name => 'stub', port => $self->{stub}{port} };
            next;
        }
        for my $jars ( $self->jars ) {
            my $server = $self->_server( $pinned, $jars ) or next;
            push @against, { name => $server->version, port => $server->port, server => $server };
        }
    }
    return @against;
}

sub _server {
    my ( $self, $pinned, $jars ) = @_;
    my @jars = defined $jars ? ( jars => $jars ) : ();
    return if defined ZooKeeper::Test::Server->unavailable(@jars);
    return $self->{servers}{ join ' ', $pinned, $jars // '' } //= do {
        allow( $pinned ? one_cpu() : all_cpus(), $$ );
        my $server = ZooKeeper::Test::Server->new( @jars, java_opts => ['-Djute.maxbuffer=10000000'] );
        allow( all_cpus(), $$ );
        require ZooKeeper;
        my $zk = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
        $zk->create( $NODE,                     value => 'x' x 100 );
        $zk->create( sprintf "$NODE/name%010d", $_ ) for 0 .. 9;
        $zk->close;
        $server;
    };
}

# A big node, and one with many children, as the stub has them.
sub stock {
    my ( $self, $server ) = @_;
    return if $server->{bench_is_stocked}++;
    my $zk = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe', timeout => 60_000 );
    $zk->create( $DATA, value => 'x' x 900_000, parents => 1 );
    $zk->create( $CHILDREN, parents => 1 );
    my @names = map { sprintf 'name%010d', $_ } 0 .. 99_999;
    while ( my @some = splice @names, 0, 2_000 ) {
        my $transaction = $zk->transaction;
        $transaction = $transaction->create("$CHILDREN/$_") for @some;
        my @failed = grep { $_->{type} eq 'error' } $transaction->commit;
        die "$CHILDREN: $failed[0]{message}\n" if @failed;
    }
    $zk->close;
    return;
}

# What a command has to begin with, so that it shares the server's CPU.
sub pin {
    my ( $self, $pinned ) = @_;
    return $pinned ? ( qw(taskset -c), one_cpu() ) : ();
}

# Those of these contestants that are here, as commands: [ name => @words ].
sub commands {
    my ( $self, %arg ) = @_;
    my @tail = ( $arg{window} // 1, $arg{quantiles} ? 'quantiles' : () );
    my @commands;
    for my $name ( @{ $arg{names} } ) {
        my $n    = $arg{n}{$name} // $arg{n}{other};
        my $op   = $arg{op};
        my @what = ( $arg{port}, $op, $arg{path}, $n );
        my @program =
            $name =~ $OURS   ? perl_command('perl.pl')
          : $name eq 'kazoo' ? kazoo_command()
          : program( $name eq 'refill' ? 'cclient' : $name );
        next if !@program;
        my @extra =
            $name eq 'refill' ? ( $tail[0], 'refill' )
          : $name =~ $OURS    ? ( $tail[0], $name, @tail[ 1 .. $#tail ] )
          :                     @tail;
        push @commands, [ $name, $self->pin( $arg{pinned} ), @program, @what, @extra ];
    }
    return @commands;
}

# Measures them; returns name => figure, each with its ratios to the floor and the C client.
sub measure {
    my ( $self, $part, %arg ) = @_;
    my %lines = run_rounds( $self->rounds, $self->commands(%arg) );
    my ( %figure, %to );
    for
      my $name ( grep { $lines{$_} } 'floor', 'cclient', grep { !/\A(?:floor|cclient)\z/ } @{ $arg{names} } )
    {
        my %about = (
            part   => $part,
            client => $name,
            pinned => $arg{pinned} ? 1 : 0,
            map { $_ => $arg{$_} } qw(op server), $arg{window} ? 'window' : ()
        );
        $figure{$name} = $self->results->add_lines( \%about, $lines{$name}, \%to );
        $to{$name}     = $figure{$name} if $name =~ /\A(?:floor|cclient)\z/;
    }
    return %figure;
}

sub where { return $_[1] ? 'one CPU' : 'unpinned' }

1;

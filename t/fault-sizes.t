# Data of the greatest sizes and paths of the strangest characters that servers take, and one more: what is too much is an
# error of the one call, and the session goes on.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Answers;
use CountingProxy;
use IO::Socket::INET;
use TestZK;

use ZooKeeper;
use ZooKeeper::Constants;

# Frames that servers take unless they are told otherwise.
my $LIMIT = 1_048_575;

my $BIG_LIMIT = 10 * 1_024 * 1_024;
my $BIG       = 5 * 1_024 * 1_024;

my $server = test_server();
my @args   = ( hosts => $server->hosts, timeout => 60_000, dispatcher => 'Pipe' );
my $base   = fresh_path('sizes');
my $other  = ZooKeeper->new(@args);
$other->create($base);

# Data that is not the same from one place to the next.
sub bytes {
    my ($length) = @_;
    return substr join( '', map { pack 'N', $_ } 0 .. $length / 4 ), 0, $length;
}

# Compares without printing a megabyte.
sub same {
    my ( $got, $expected, $name ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return ok( defined $got && $got eq $expected, $name ) || diag 'got ' . length( $got // '' ) . ' bytes';
}

# What there is beside the data in the frame of a set, a create and a transaction of one set.
sub beside {
    my ($path) = @_;
    return ( set => 8 + 4 + length($path) + 4 + 4, commit => 8 + 9 + 4 + length($path) + 4 + 4 + 9 );
}

subtest 'the longest request that a server takes, and one byte more' => sub {
    my $path  = "$base/longest";
    my %room  = beside($path);
    my %asked = (
        set    => sub { my ( $zk, @args ) = @_; return $zk->set( $path => @args ) },
        commit => sub {
            my ( $zk, $data, @args ) = @_;
            return $zk->transaction->set( $path => $data )->commit(@args);
        },
    );
    my $zk = ZooKeeper->new(@args);
    $zk->create($path);
    my $id = $zk->client_id->{client_id};
    for my $what ( sort keys %asked ) {
        my $data = bytes( $LIMIT - $room{$what} );
        my ($result) = eval { $asked{$what}->( $zk, $data ) };
        is ref $result && ( $result->{dataLength} // $result->{stat}{dataLength} ), length $data,
          "$what: what fits exactly is taken by the server"
          or diag $@;
        same scalar $zk->get($path), $data, 'and comes back whole';
        my $error = eval { $asked{$what}->( $zk, "$data." ); 1 } ? 'it worked' : $@;
        like $error, qr/request of ${\ ( $LIMIT + 1 ) } bytes is longer than jute_maxbuffer/,
          'one byte more is refused';
        same scalar $zk->get($path), $data, 'and changes nothing';
    }
    is $zk->client_id->{client_id}, $id, 'the session is the same';
    is $zk->metrics->{reconnects},  0,   'on the same connection';
};

subtest 'one byte more than the server takes costs the connection once, and not the session' => sub {
    my $proxy = CountingProxy->new( $server->hosts );
    my $path  = "$base/one-more";
    my %room  = beside($path);
    my $data  = bytes( $LIMIT - $room{set} + 1 );
    my @more  = ( hosts => $proxy->hosts, jute_maxbuffer => $BIG_LIMIT );
    $other->create( $path, value => 'as before' );
    my $attempts = 0;
    for my $form ( 'blocking', Answers->new->forms ) {
        my @states;
        my $zk = ZooKeeper->new( @args, @more, watcher => sub { push @states, $_[0]{state} } );
        $zk->create( "$path/$form", ephemeral => 1 );
        my $id      = $zk->client_id->{client_id};
        my $answers = Answers->new;
        $answers->ask_in( 'cb', $zk, get => $path );
        my $told =
          $form eq 'blocking'
          ? eval { $zk->set( $path => $data ); 1 } // $@->code . ( $@->maybe_applied ? '?' : '' )
          : do { $answers->ask_in( $form, $zk, set => $path, $data ); undef };
        $answers->ask_in( 'f', $zk, get => $path );
        $answers->wait_for_all( $zk->dispatcher );
        $told //= ( $answers->told )[1] =~ /(\S+)\z/ ? $1 : '';
        is $told, ZCONNECTIONLOSS . '?', "$form: the call is told that the connection was lost";
        is_deeply [ grep { !/\A(?:get (?:0|-4)|set -4\?)\z/ } $answers->told ], [],
          'others are lost, or answered';
        my $stat = wait_for {
            eval { $zk->exists("$path/$form") }
        }
        60, 'a call that works';
        is $stat->{ephemeralOwner},     $id, 'the session lives, with its node';
        is $zk->client_id->{client_id}, $id, 'and is the same';
        is $zk->metrics->{reconnects},  1,   'it has taken one more connection';
        $zk->wait(0.5);
        is $zk->metrics->{reconnects}, 1,           'and takes no others';
        is scalar $zk->get($path),     'as before', 'the node is as it was';
    }
    my @long = grep { length $_->{sent} > $LIMIT / 2 } $proxy->connections;
    cmp_ok scalar @long, '<=', scalar( () = Answers->new->forms ) + 1, 'no request was sent twice';
};

subtest 'data of 5 MB, where server and handle are told that it may be so long' => sub {
    my $big   = test_server( java_opts => ["-Djute.maxbuffer=$BIG_LIMIT"] );
    my @hosts = ( @args, hosts => $big->hosts );
    my $zk    = ZooKeeper->new( @hosts, jute_maxbuffer => $BIG_LIMIT, request_timeout => 60 );
    my $data  = bytes($BIG);
    my $path  = fresh_path('big');
    $zk->create( $path, value => $data );
    same scalar $zk->get($path), $data, 'create';
    my $reverse = reverse $data;
    is $zk->set( $path => $reverse )->{dataLength}, $BIG, 'set';
    same scalar $zk->get($path), $reverse, 'get';
    is_deeply [ map { $_->{type} } $zk->transaction->set( $path => $data )->check( $path, 2 )->commit ],
      [qw(set check)], 'commit';
    my $answers = Answers->new;
    $answers->ask_in( $_, $zk, get => $path ) for $answers->forms;
    $answers->wait_for_all( $zk->dispatcher );
    same( ( $answers->results($_) )[0], $data, "get in form $_" ) for 0 .. $answers->forms - 1;
    my $results = [ $zk->multi_read->get($path)->get($path)->commit ];
    same $results->[$_]{value}, $data, 'a multi_read of twice as much' for 0, 1;

    my $usual = ZooKeeper->new(@hosts);
    same scalar $usual->get($path), $data, 'a handle without the option reads it';
    my $error = eval { $usual->set( $path => $data ); 1 } ? 'it worked' : $@;
    like $error, qr/longer than jute_maxbuffer/, 'and can not write it';
    is $_->metrics->{reconnects}, 0, 'no connection was lost' for $zk, $usual;
};

# What servers say to a create when nobody has looked at the path before.
sub verdict {
    my (@paths) = @_;
    my $socket = IO::Socket::INET->new( $server->hosts ) or die "connect: $!\n";
    local $/;
    my $frame = sub {
        print {$socket} pack 'N/a*', $_[0];
        read $socket, my $length, 4 or die "the server has closed the connection\n";
        read $socket, my $answer, unpack( 'N', $length );
        return $answer;
    };
    $socket->autoflush;
    $frame->( pack 'N q> N q> N/a* C', 0, 0, 10_000, 0, "\0" x 16, 0 );
    my $xid = 0;
    return map {
        my $create = pack 'l> l> N/a* N/a* N N N/a* N/a* N', ++$xid, 1, $_, '', 1, ZOO_PERM_ALL, 'world',
          'anyone', ZOO_EPHEMERAL;
        ( unpack 'l> q> l>', $frame->($create) )[2]
    } @paths;
}

subtest 'paths with the characters at both ends of what servers refuse' => sub {
    my @characters = (
        0x01,   0x1f,   0x20,     0x7e,     0x7f,   0x80,   0x9f,   0xa0,
        0xff,   0x100,  0xd7ff,   0xe000,   0xf8ff, 0xf900, 0xffef, 0xfff0,
        0xfffd, 0xffff, 0x1_0000, 0x1_f600, 0x10_ffff
    );
    my @paths   = map { "$base/raw-" . chr } @characters;
    my @server  = verdict( map { my $path = $_; utf8::encode($path); $path } @paths );
    my @refused = map { $server[$_] == ZOK ? () : $characters[$_] } 0 .. $#server;
    is_deeply [ grep { $_ != ZOK && $_ != ZBADARGUMENTS } @server ], [],
      'the server takes them, or says bad arguments';
    cmp_ok scalar @refused, '>', 5, 'some of each';
    my $zk = ZooKeeper->new( @args, utf8 => 1 );
    for my $number ( 0 .. $#characters ) {
        my $name = sprintf 'U+%04X', $characters[$number];
        my $path = "$base/ours-" . chr $characters[$number];
        my $told = eval { $zk->create($path) eq $path ? ZOK : 'another path' } // $@;
        is 0 + $told, $server[$number], "$name: the handle is of the same opinion" or diag $told;
        if ( $server[$number] == ZOK ) {
            ok scalar( grep { "$base/$_" eq $path } $zk->get_children($base) ), 'the name comes back';
            my @seen;
            $zk->get( $path, watcher => sub { push @seen, $_[0]{path} } );
            $zk->delete($path);
            $zk->exists($base);
            1 while $zk->dispatcher->dispatch_event;
            is_deeply \@seen, [$path], 'in events, too';
            next;
        }
        like $told, qr/path contains the (?:control|forbidden) character \Q$name\E/, 'and says which it is';
        my @forms = (
            sub {
                $zk->get( $path, cb => sub { } );
            },
            sub { $zk->exists_f($path) },
            sub { $zk->transaction->delete($path)->commit },
            sub {
                $zk->add_watch( $path, watcher => sub { } );
            },
        );
        is_deeply [
            map {
                eval { $_->(); 1 }
                  ? 0
                  : 0 + $@
            } @forms
          ],
          [ (ZBADARGUMENTS) x @forms ],
          'however it is asked';
    }
    is $zk->metrics->{reconnects}, 0, 'the connection lives';
};

subtest 'what is no character' => sub {
    no warnings 'utf8', 'surrogate', 'non_unicode';
    for my $utf8 ( 0, 1 ) {
        my $zk = ZooKeeper->new( @args, utf8 => $utf8 );
        for my $number ( 0xd800, 0xdfff, 0x11_0000, 0x7fff_ffff ) {
            my $path  = "$base/none-" . chr $number;
            my $error = eval { $zk->create($path); 1 } ? 'it worked' : $@;
            is ref $error && $error->code, ZBADARGUMENTS, sprintf '%X, utf8 => %d', $number, $utf8
              or diag $error;
        }
        ok $zk->exists($base), 'the handle works';
        is $zk->metrics->{reconnects}, 0, 'over the same connection';
    }
};

subtest 'a path in Latin-1' => sub {
    my $zk    = ZooKeeper->new(@args);
    my $path  = "$base/l\xe4tin";
    my $error = eval { $zk->create($path); 1 } ? 'it worked' : $@;
    is ref $error && $error->code, ZBADARGUMENTS,
      'is no text to the server unless the handle is told that it is';
    is $zk->exists($path), undef, 'nor is it found';
    my $text = ZooKeeper->new( @args, utf8 => 1 );
    is $text->create( $path, value => 'v' ), $path, 'then it is';
    ok $zk->exists("$base/l\xc3\xa4tin"), 'in UTF-8';
    my $below = ZooKeeper->new( @args, utf8 => 1, hosts => $server->hosts . $path );
    is scalar eval { $below->get('/') } // $@, 'v', 'as a chroot, too';
    is $zk->metrics->{reconnects},             0,   'no connection was lost';
};

done_testing;

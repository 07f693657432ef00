use strict;
use warnings;

use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);
use File::Temp;
use POSIX ();
use Test::More;
use ZooKeeper::Error;
use ZooKeeper::XS;

# Nobody answers there, and after 500 ms a call says so.
my $zk = bless {}, 'ZooKeeper';
$zk->_connect(
    { hosts => '127.0.0.1:1', timeout => 500, request_timeout => 60, channel => ZooKeeper::Channel->new } );

my $dir  = File::Temp->newdir;
my $file = "$dir/trace";
my $time = qr/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.]\d{6}Z/;

ZooKeeper::XS::_trace( 1, $file );
my $start = time;
eval { $zk->_get('/traced') };
my @lines = lines($file);
is scalar @lines, 1, 'one line for a call that failed';
like $lines[0],
  qr{\A$time ZooKeeper\[$$\] error \#\d+: get '/traced': connection loss \(-4\): 127[.]0[.]0[.]1:1: .*\n\z},
  'with time, process, level, handle, call and code';
my ( $year, $month, @rest ) = $lines[0] =~ /(\d+)/g;
my $stamp = timegm( $year, $month, @rest[ 0 .. 3 ] );
ok $stamp >= $start && $stamp <= time, 'the time is now, in UTC';

ZooKeeper::XS::_trace( 0, undef );
eval { $zk->_get('/silent') };
is scalar( () = lines($file) ), 1, 'level 0: nothing';

ZooKeeper::XS::_trace( 99, "$file.2" );
eval { $zk->_get('/second') };
is scalar( () = lines($file) ), 1, 'another file: the first one stays as it is';
like join( '', lines("$file.2") ), qr{ debug .*/second.* error .*/second}s, 'the second has the lines';

ZooKeeper::XS::_trace( 1, $file );
eval { $zk->_get('/again') };
like + ( lines($file) )[1], qr{'/again'}, 'a file is appended to';

my $before = open_files();
ZooKeeper::XS::_trace( 1, $_ % 2 ? $file : "$file.2" ) for 1 .. 20;
ZooKeeper::XS::_trace( 1, $_ % 2 ? $file : undef )     for 1 .. 20;
ZooKeeper::XS::_trace( 1, $file ) for 1 .. 20;
is open_files(), $before, 'no descriptors leak';
eval { $zk->_get('/home') };
like + ( lines($file) )[-1], qr{'/home'}, 'the last one named is the one';

$! = 7;
eval { $zk->_get("/a\n2026-01-01T00:00:00.000000Z ZooKeeper[1] error: forged") };
is $! + 0,                      7, 'a line leaves $! alone';
is scalar( () = lines($file) ), 4, 'a line end in a path ends no line';
like + ( lines($file) )[-1], qr{get '/a\\n2026}, 'it is escaped';

subtest 'standard error' => sub {
    ZooKeeper::XS::_trace( 1, undef );
    with_stderr_to(
        sub { open STDERR, '>', "$file.3" },
        sub {
            eval { $zk->_get('/stderr') }
        }
    );
    like + ( lines("$file.3") )[0], qr{'/stderr'}, 'no file: lines go there, wherever that leads';
    with_stderr_to(
        sub { close STDERR },
        sub {
            eval { $zk->_get('/nowhere') }
        }
    );
    with_stderr_to(
        sub { open STDERR, '>', "$file.4" },
        sub {
            eval { $zk->_get('/back') }
        }
    );
    like join( '', lines("$file.4") ), qr{ warn: lines of this trace that nobody took: 1\n.*'/back'},
      'closed for a time: what was not written is counted';
};

subtest 'a pipe that nobody reads does not stop the program' => sub {
    pipe my $read, my $write or die $!;
    fcntl $write, F_SETFL, fcntl( $write, F_GETFL, 0 ) | O_NONBLOCK or die $!;
    1 while syswrite $write, 'x' x 4096;
    1 while syswrite $write, 'x';
    fcntl $write, F_SETFL, fcntl( $write, F_GETFL, 0 ) & ~O_NONBLOCK or die $!;
    my $read_all = sub {
        my $text = '';
        $read->blocking(0);
        1 while sysread $read, $text, 65536, length $text;
        return $text =~ s/\Ax+//r;
    };
    with_stderr_to(
        sub { open STDERR, '>&', $write },
        sub {
            local $SIG{ALRM} = sub { POSIX::_exit(9) };
            alarm 60;
            eval { $zk->_get("/lost/$_") } for 1 .. 3;
            alarm 0;
            is $read_all->(), '', 'the lines are not waited for';
            eval { $zk->_get('/kept') };
        }
    );
    like $read_all->(), qr{\A[^\n]* nobody took: 3\n[^\n]*'/kept'[^\n]*\n\z}, 'but counted';
    close $read;
    local $SIG{PIPE} = 'DEFAULT';
    with_stderr_to(
        sub { open STDERR, '>&', $write },
        sub {
            eval { $zk->_get('/alone') }
        }
    );
    pass 'a reader that has gone is not the death of it';
};

subtest 'a program that closes all descriptors, as daemons do' => sub {
    ZooKeeper::XS::_trace( 1, $file );
    my ($fd) = grep { ( readlink "/proc/self/fd/$_" // '' ) eq $file } 3 .. 99;
    ok defined $fd, 'the file is open';
    POSIX::close($fd);
    my $stranger = POSIX::open( "$dir/stranger", POSIX::O_CREAT() | POSIX::O_RDWR() );
    if ( $stranger != $fd ) {
        POSIX::dup2( $stranger, $fd );
        POSIX::close($stranger);
    }
    eval { $zk->_get('/daemon') };
    is -s "$dir/stranger", 0, 'nothing is written to whoever has the number now';
    like + ( lines($file) )[-1], qr{'/daemon'}, 'the file is opened again';
    ZooKeeper::XS::_trace( 1, "$file.5" );
    eval { $zk->_get('/elsewhere') };
    is -s "$dir/stranger",            0,               'nor is it taken away when another file is named';
    is readlink("/proc/self/fd/$fd"), "$dir/stranger", 'it is what it was';
    POSIX::close($fd);
};

subtest 'a relative name' => sub {
    require Cwd;
    my $home = Cwd::getcwd();
    chdir $dir or die $!;
    ZooKeeper::XS::_trace( 1, 'relative' );
    my ($fd) = grep { ( readlink "/proc/self/fd/$_" // '' ) eq "$dir/relative" } 3 .. 99;
    chdir $home or die $!;
    POSIX::close($fd);
    eval { $zk->_get('/relative') };
    is scalar( () = lines("$dir/relative") ), 1, 'stands for the directory in which it was given';
};

subtest 'programs that are started do not inherit the file' => sub {
    ZooKeeper::XS::_trace( 1, $file );
    my $links = `ls -l /proc/self/fd`;
    like $links,   qr{-> /proc/\d+/fd}, 'their descriptors are seen';
    unlike $links, qr{\Q$file\E},       'and it is not there';
};

ZooKeeper::XS::_trace( 0, undef );
for my $case (
    [ 'x',   undef,               qr/\Atrace: level is not a number/ ],
    [ undef, undef,               qr/\Atrace: level is not a number/ ],
    [ -1,    undef,               qr/\Atrace: level is not a number/ ],
    [ 1,     "$dir/no/such/file", qr/No such file or directory/ ],
    [ 1,     "a\0b",              qr/Invalid argument/ ]
  )
{
    ok !eval { ZooKeeper::XS::_trace( $case->[0], $case->[1] ); 1 }, 'it is refused';
    like "$@", $case->[2], 'with the reason';
}

done_testing;

sub lines {
    my ($name) = @_;
    open my $in, '<', $name or return;
    return readline $in;
}

sub open_files {
    opendir my $fds, '/proc/self/fd' or die $!;
    return scalar( () = readdir $fds );
}

# Runs the code while standard error is another.
sub with_stderr_to {
    my ( $redirect, $code ) = @_;
    open my $saved, '>&', \*STDERR or die $!;
    $redirect->() or die $!;
    $code->();
    open STDERR, '>&', $saved or die $!;
    return;
}

sub timegm {
    my ( $y, $m, $d, $h, $min, $s ) = @_;
    require Time::Local;
    return Time::Local::timegm( $s, $min, $h, $d, $m - 1, $y );
}

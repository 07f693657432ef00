use strict;
use warnings;

use File::Temp;
use Test::More;
use ZooKeeper::Error;
use ZooKeeper::XS;

my $dir  = File::Temp->newdir;
my $file = "$dir/trace";
my $zk   = bless {}, 'ZooKeeper';
$zk->_connect( { hosts => '127.0.0.1:1', timeout => 50, channel => ZooKeeper::Channel->new } );

ZooKeeper::XS::_trace( 4, $file );
eval { $zk->_get('/traced') };
my @lines = lines($file);
is scalar @lines, 1, 'one line for a call';
like $lines[0], qr{\A\d+\.\d{6} $$ ZooKeeper error: get '/traced': -4\n\z},
  'with time, process, level, call and code';

ZooKeeper::XS::_trace( 0, undef );
eval { $zk->_get('/silent') };
is scalar( () = lines($file) ), 1, 'level 0: nothing';

ZooKeeper::XS::_trace( 99, "$file.2" );
eval { $zk->_get('/second') };
is scalar( () = lines($file) ),     1, 'another file: the first one stays as it is';
is scalar( () = lines("$file.2") ), 1, 'the second has the line';

ZooKeeper::XS::_trace( 1, $file );
eval { $zk->_get('/again') };
like + ( lines($file) )[1], qr{'/again'}, 'a file is appended to';

my $before = open_files();
ZooKeeper::XS::_trace( 1, $_ % 2 ? $file : "$file.2" ) for 1 .. 20;
is open_files(), $before, 'no descriptors leak';

ZooKeeper::XS::_trace( 1, undef );
open my $saved, '>&', \*STDERR  or die $!;
open STDERR,    '>',  "$file.3" or die $!;
eval { $zk->_get('/stderr') };
open STDERR, '>&', $saved or die $!;
like + ( lines("$file.3") )[0], qr{'/stderr'}, 'no file: standard error';

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

use strict;
use warnings;
use Test::More;
use lib 't/lib';
use FakeZK;
use TestZK;

use File::Temp qw(tempdir);
use ZooKeeper;
use ZooKeeper::Constants;

my $dir    = tempdir( CLEANUP => 1 );
my $server = FakeZK->new( sub { $_[0]->handshake and $_[0]->serve(ZNONODE) } );

sub content {
    my ($file) = @_;
    open my $in, '<', $file or return '';
    local $/;
    return scalar(<$in>) // '';
}

# What is traced while a session comes and goes.
sub traced {
    my ($file) = @_;
    my $zk = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
    eval {
        deadline 60,
          sub { $zk->get('/traced') }
    };
    $zk->close;
    return content($file);
}

is_deeply [ ZooKeeper->trace( 4, "$dir/all" ) ], [], 'trace returns nothing';
my $all = traced("$dir/all");
like $all,   qr{/traced}, 'level 4 tells of a call';
unlike $all, qr/p{16}/,   'but never the password of the session';
ZooKeeper->trace( 99, "$dir/more" );
isnt traced("$dir/more"), '',   'a larger one is level 4';
is content("$dir/all"),   $all, 'in the new file alone';
ZooKeeper->trace( 0, "$dir/none" );
is traced("$dir/none"), '', 'level 0 tells nothing';
my $zk = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
is eval { $zk->trace(0); 1 }, 1, 'a handle can be asked, too';
undef $zk;    # the server has one connection at a time

for my $level ( undef, '', 'debug', -1, 1.5 ) {
    ok !eval { ZooKeeper->trace($level); 1 }, 'a level that is none';
    like $@, qr/\Atrace: the level must be a number from 0 to 4 at \Q${\ __FILE__}\E line/, 'is refused';
}
ok !eval { ZooKeeper->trace( 4, "$dir/no/such/file" ); 1 }, 'a file that cannot be opened';
like $@, qr{\Q$dir\E/no/such/file}, 'is named';

subtest 'PERL_ZOOKEEPER_TRACE' => sub {
    my $run = sub {
        local $ENV{PERL_ZOOKEEPER_TRACE} = shift;
        my @include = map { "-I$_" } grep { !ref } @INC;
        my $code    = 'open STDERR, ">&STDOUT"; require ZooKeeper; eval {'
          . 'ZooKeeper->new(hosts => shift, dispatcher => "Pipe")->get("/x") }; print "done\n"';
        open my $pipe, '-|', $^X, @include, '-e', $code, $server->hosts or die "$^X: $!";
        my $output = deadline 60, sub { join '', <$pipe> };
        close $pipe;
        is $?, 0, 'the program runs';
        return $output;
    };
    is $run->("4=$dir/env"), "done\n", 'level=file';
    like content("$dir/env"), qr{/x},        'writes to the file';
    like $run->('4'),         qr{/x.*done}s, 'level alone: to standard error';
    is $run->('0'), "done\n", 'level 0';
    my $info = $run->("3=$dir/info=3") . content("$dir/info=3");
    like $info,          qr/ info #1: opened for .* session closed/s, 'level 3: and what a level writes';
    unlike $info,        qr/ debug /,                                 'not what the next one would';
    like $run->('loud'), qr/\APERL_ZOOKEEPER_TRACE=loud has no effect: .*\ndone\n\z/, 'no level';
    like $run->("4=$dir/no/such/file"), qr/has no effect: .*\ndone\n\z/s,             'no file';
};

done_testing;

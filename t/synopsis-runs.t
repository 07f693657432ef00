# The programs in the manuals do what is said beside them: each runs as it stands, but for the server's address.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Snippets;
use TestZK;

use File::Temp  ();
use POSIX       ();
use Time::HiRes ();
use ZooKeeper;
use ZooKeeper::Constants;

# Seconds that a program may take.
my $LIMIT = 120;

my $hosts = test_hosts();
my $zk    = ZooKeeper->new( hosts => $hosts, dispatcher => 'Pipe' );
my $dir   = File::Temp->newdir;

# For each manual: its program is in the SYNOPSIS, or below "heading"; "before" prepares the server; "meanwhile" is
# what those wait for that wait for something to happen, over and over while they run; "prints" is all that is
# printed.
my $comes_and_goes = sub {
    my ($node) = @_;
    return sub {
        my ($top) = @_;
        $zk->create("$top$node");
        Time::HiRes::sleep(0.1);
        $zk->delete("$top$node");
    };
};
my %RUNS = (
    'lib/ZooKeeper.pod' => {
        meanwhile => $comes_and_goes->('/app/workers/another'),
        prints    => qr{\Aworkers: .*\bw-\d{10}\b.*\nchild at /app/workers\n\z},
    },
    'lib/ZooKeeper/Channel.pm'   => { prints => qr/\A2\nfirst\n\z/ },
    'lib/ZooKeeper/Constants.pm' => { prints => qr/\Ano node\nread\|write\n\z/ },
    'lib/ZooKeeper/Error.pm'     => {
        before => sub { $zk->create("$_[0]/x") },
        prints => qr{\AError creating node '/x': node exists at lib/ZooKeeper/Error\.pm line \d+\.\n\z},
    },
    'lib/ZooKeeper/Guarantees.pod' => { prints => qr/\Adone\n\z/ },
    'lib/ZooKeeper/Migration.pod'  => {
        heading   => 'The same program now',
        meanwhile => $comes_and_goes->('/jobs/another'),
        prints    => qr{\A/jobs/j-(\d+): work, 4 bytes\njobs: .*\bj-\1\b.*\na job came or went\n\z},
    },
    'lib/ZooKeeper/Transaction.pm' => {
        before => sub {
            my ($top) = @_;
            $zk->create("$top$_") for qw(/config /jobs);
            $zk->set( "$top/config" => $_ ) for 1 .. 3;
        },
        prints => qr{\Ajob: /jobs/j-0000000000\n\z},
    },
    'lib/ZooKeeper/Watcher.pm'    => { prints => qr/\A\z/ },
    'lib/ZooKeeper/Dispatcher.pm' => {
        meanwhile => $comes_and_goes->('/x'),
        prints    => qr/\Asomething happened to it\n\z/,
    },
    'lib/ZooKeeper/Dispatcher/AnyEvent.pm' => { meanwhile => $comes_and_goes->('/x'), prints => qr/\A\z/ },
    'lib/ZooKeeper/Dispatcher/Pipe.pm'     => {
        meanwhile => $comes_and_goes->('/x'),
        prints    => qr/\Asomething came or went\n\z/,
    },
    'README.md' => {
        meanwhile => $comes_and_goes->('/workers/another'),
        prints    => qr{\Aworkers: .*\bw-\d{10}\b.*\nthe children of /workers changed\n\z},
    },
);

# Starts a program with its output in a file; returns its process id.
sub start {
    my ($name)  = @_;
    my @include = map { "-I$_" } grep { !ref } @INC;
    my $pid     = fork() // die "fork: $!";
    return $pid if $pid;
    open STDOUT, '>',  "$name.out" or POSIX::_exit(111);
    open STDERR, '>&', \*STDOUT    or POSIX::_exit(111);
    exec $^X, @include, $name or POSIX::_exit(111);
}

sub content {
    my ($name) = @_;
    open my $file, '<', $name or die "$name: $!";
    local $/;
    return scalar(<$file>) // '';
}

# Runs the program, and things meanwhile. Returns its exit status, and what it printed.
sub run {
    my ( $snippet, $top, $meanwhile ) = @_;
    my $name = "$dir$top.pl";
    open my $file, '>', $name or die "$name: $!";
    print {$file} program( $snippet, "$hosts$top" );
    close $file or die "$name: $!";
    my ( $pid, $end, $status ) = ( start($name), time + $LIMIT, 'not done in time' );
    my $ok = eval {
        while ( time < $end ) {
            if ( waitpid( $pid, POSIX::WNOHANG() ) == $pid ) {
                $status = $?;
                last;
            }

            # What this needs may not be there yet.
            eval { $meanwhile->($top); 1 } or $@ == ZNONODE or die $@ if $meanwhile;
            Time::HiRes::sleep(0.05);
        }
        1;
    };
    my $error = $@;
    if ( $status =~ /\D/ ) {
        kill KILL => $pid;
        waitpid $pid, 0;
    }
    die $error if !$ok;
    return ( $status, content("$name.out") );
}

for my $file ( sort keys %RUNS ) {
    my $run       = $RUNS{$file};
    my $heading   = $run->{heading} // ( $file =~ /\.md\z/ ? '' : 'SYNOPSIS' );
    my @all       = $file =~ /\.md\z/ ? readme_snippets($file) : pod_snippets($file);
    my ($snippet) = grep { $_->{heading} eq $heading } @all;
    my $top       = $zk->create( fresh_path('synopsis') );
    subtest $file => sub {
        $run->{before}->($top) if $run->{before};
        my ( $status, $printed ) = run( $snippet, $top, $run->{meanwhile} );
        is $status, 0, 'it ends well';
        like $printed, $run->{prints}, 'and prints what it says';
    };
}

done_testing;

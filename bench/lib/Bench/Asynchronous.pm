package Bench::Asynchronous;
use strict;
use warnings;

use ZooKeeper;
use ZooKeeper::Constants;

# What bench/leaks.pl calls that does not wait, in all three forms.

my $acl = ZOO_OPEN_ACL_UNSAFE;

# Name and code, as in leaks.pl: calls on a server where this node has children, and on a stub.
sub kinds {
    my ( $hosts, $base, $stub_hosts ) = @_;
    my %handle = map { $_ => handle( $hosts, 'Pipe' ) } qw(cb f);
    $handle{p} = handle( $hosts, 'Mojo' ) if eval { require Mojo::Promise; 1 };
    $handle{p} or warn "without promises: Mojolicious is not installed\n";
    my %stub = map { $_ => handle( $stub_hosts, $_ eq 'p' ? 'Mojo' : 'Pipe' ) } keys %handle;
    return (
        map( { of_form( $_, $handle{$_}, $base, $stub{$_} ) } grep { $handle{$_} } qw(cb f p) ),
        of_callbacks( $handle{cb}, $base ),
        of_futures( $handle{f}, $base )
    );
}

sub of_form {
    my ( $form, $zk, $base, $stub ) = @_;
    my $open    = sub { handle( $stub->hosts, $form eq 'p' ? 'Mojo' : 'Pipe', @_ ) };
    my $expects = sub {
        my ( $code, $on, $method, @args ) = @_;
        my ($error) = answer( $form, $on, $method, @args );
        ( $error // ZOK ) == $code or die "$method: " . ( $error // 'no error' ) . ", not $code\n";
        return;
    };
    my $ok      = sub { $expects->( ZOK, $zk, @_ ) };
    my $pending = sub {
        my ( $on, @args ) = @_;
        my $answer;
        my $later = ask( $form, $on, sub { $answer = \@_ }, 'get', '/late', @args );
        return ( \$answer, $later );
    };
    my @kinds = (
        [ 'get'        => sub { $ok->( get => $base ) } ],
        [ 'failed get' => sub { $expects->( ZNONODE, $zk, get => "$base/none" ) } ],
        [
            'refused get' => sub {
                eval {
                    ask( $form, $zk, sub { }, get => 'no-slash' );
                    1;
                } and die "not refused\n";
            }
        ],
        [
            'failed get with watcher' => sub {
                $expects->( ZNONODE, $zk, get => "$base/none", watcher => sub { } );
            }
        ],
        [
            'watcher called' => sub {
                my $called;
                $ok->( get => $base, watcher => sub { $called = 1 } );
                $ok->( set => $base, 'v' );
                run_until( $zk, sub { $called } );
            }
        ],
        [
            'create and delete' =>
              sub { $ok->( create => "$base/$form", acl => $acl ); $ok->( delete => "$base/$form" ) }
        ],
        [ 'exists'           => sub { $ok->( exists       => "$base/none" ) } ],
        [ 'get_children'     => sub { $ok->( get_children => $base ) } ],
        [ 'get_acl, set_acl' => sub { $ok->( get_acl      => $base ); $ok->( set_acl => $base, $acl ) } ],
        [
            'ensure_path' =>
              sub { $ok->( ensure_path => "$base/$form/x" ); $zk->delete("$base/$form$_") for '/x', '' }
        ],
        [
            'create2 and delete' =>
              sub { $ok->( create2 => "$base/$form" ); $ok->( delete => "$base/$form", recursive => 1 ) }
        ],
        [ 'add_auth'      => sub { $ok->( add_auth => 'digest', 'a:b' ) } ],
        [ 'failed create' => sub { $expects->( ZNODEEXISTS, $zk, create => $base ) } ],
        [ 'failed set' => sub { $expects->( ZBADVERSION, $zk, set => $base, 'v', version => 99_999_999 ) } ],
        [
            'failed ensure_path' =>
              sub { $expects->( ZNOCHILDRENFOREPHEMERALS, $zk, ensure_path => "$base/ephemeral/x/y" ) }
        ],
        [ 'get_children2'  => sub { $ok->( get_children2 => $base ) } ],
        [ 'sync'           => sub { $ok->( sync          => $base ) } ],
        [ 'whoami'         => sub { $ok->('whoami') } ],
        [ 'get_ephemerals' => sub { $ok->( get_ephemerals => '/' ) } ],
        [
            'add_watch and remove_watches' => sub {
                my $heard = 0;
                $ok->( add_watch      => $base, watcher => sub { $heard++ } );
                $ok->( set            => $base, 'v' );
                $ok->( remove_watches => $base, type => 'persistent' );
                run_until( $zk, sub { $heard == 2 } );
            }
        ],
        [
            'parents and recursive' => sub {
                $ok->( create => "$base/$form/x", parents   => 1 );
                $ok->( delete => "$base/$form",   recursive => 1 );
            }
        ],
        [
            'transaction' => sub {
                $expects->( ZOK, $zk->transaction->create("$base/$form")->delete("$base/$form"), 'commit' );
            }
        ],
        [ 'failed transaction' => sub { $expects->( ZOK, $zk->transaction->create($base), 'commit' ) } ],
        [
            'multi_read' =>
              sub { $expects->( ZOK, $zk->multi_read->get($base)->get_children("$base/none"), 'commit' ) }
        ],
        [
            'request_timeout' =>
              sub { $expects->( ZOPERATIONTIMEOUT, $stub, get => '/late', request_timeout => 0.001 ) }
        ],
        [
            'close while pending' => sub {
                my $other = $open->();
                my ( $answer, $later ) = $pending->( $other, watcher => sub { } );
                $other->close;
                run_until( $other, sub { $$answer } );
                $$answer->[0] == ZCLOSING or die "not ZCLOSING: $$answer->[0]\n";
            }
        ],
        [
            'destruction while pending' => sub {
                my $other = $open->();
                $other->wait_connected;
                my ( $answer, $later ) = $pending->( $other, watcher => sub { } );
                my $dispatcher = $other->dispatcher;
                undef $other;
                $form eq 'p' ? Mojo::IOLoop->one_tick : $dispatcher->dispatch_ready while !$$answer;
                $$answer->[0] == ZCLOSING or die "not ZCLOSING: $$answer->[0]\n";
            }
        ],
        [
            'throttled' => sub {
                my $other   = $open->( max_in_flight => 1 );
                my @pending = map { [ $pending->($other) ] } 1, 2;
                my $answer  = $pending[1][0];
                run_until( $other, sub { $$answer } );
                $$answer->[0] == ZTHROTTLEDOP or die "not throttled: $$answer->[0]\n";
            }
        ],
    );
    return map { [ "$form: $_->[0]", $_->[1] ] } @kinds;
}

sub of_callbacks {
    my ( $zk, $base ) = @_;
    return [
        'cb: that dies' => sub {
            my $called;
            $zk->get( $base, cb => sub { $called = 1; die "as it should\n" } );
            eval {
                run_until( $zk, sub { $called } );
                1;
            } and die "it did not\n";
        }
    ];
}

sub of_futures {
    my ( $zk, $base ) = @_;
    return (
        [ 'f: get that waits' => sub { my ($data) = $zk->get_f($base)->get } ],
        [
            'f: cancelled' => sub {
                my $later = $zk->get_f( $base, watcher => sub { } );
                $later->cancel;
                $zk->get_f($base)->get;
                $zk->remove_watcher( path => $base );
            }
        ],
        [ 'f: dropped' => sub { $zk->get_f($base); $zk->get_f($base)->get } ],
        [
            'f: chained' => sub {
                $zk->get_f("$base/none")->else( sub { $zk->get_f($base) } )
                  ->then( sub { $zk->exists_f($base) } )->get;
            }
        ],
    );
}

sub handle {
    my ( $hosts, $dispatcher, @args ) = @_;
    return ZooKeeper->new( hosts => $hosts, dispatcher => $dispatcher, @args );
}

# Asks in this form; calls $told with the error and the results. Returns what the form returns.
sub ask {
    my ( $form, $on, $told, $method, @args ) = @_;
    return $on->$method( @args, cb => $told ) if $form eq 'cb';
    my $in_form = "${method}_$form";
    my $later   = $on->$in_form(@args);
    return $later->then( sub { $told->( undef, @_ ) }, $told ) if $form eq 'p';
    return $later->on_ready( sub { $told->( scalar $_[0]->failure, $_[0]->is_failed ? () : $_[0]->get ) } );
}

sub answer {
    my ( $form, $on, $method, @args ) = @_;
    my $answer;
    my $later = ask( $form, $on, sub { $answer = \@_ }, $method, @args );
    run_until( $on->isa('ZooKeeper') ? $on : $on->handle, sub { $answer } );
    return @$answer;
}

sub run_until {
    my ( $zk, $is_done ) = @_;
    my $end = time + 60;
    while ( !$is_done->() ) {
        die "no answer\n" if time > $end;
        $zk->dispatcher->run_loop_once(5);
    }
    return;
}

1;

package AsyncEnds;
use strict;
use warnings;

use Child;
use Exporter 'import';
use Scalar::Util qw(weaken);
use Test::More;
use TestZK;
use ZooKeeper::Constants;

our @EXPORT = qw(async_ends);

# What becomes of callbacks and futures when the handle is closed, destroyed, reopened, or is another process's.
sub async_ends {
    my ($stage) = @_;
    subtest 'close'                                   => sub { closed($stage) };
    subtest 'destruction'                             => sub { destroyed($stage) };
    subtest 'between two steps'                       => sub { between_steps($stage) };
    subtest 'reopen'                                  => sub { reopened($stage) };
    subtest 'one of two handles on a dispatcher goes' => sub { one_of_two($stage) };
    subtest 'a forked child'                          => sub { forked($stage) };
    return;
}

# Asks for something of each kind; gives an array of [ kind, code ] that the answers are put in.
my @KINDS = sort qw(cb future watched auth path commit read chain);

sub ask_all {
    my ( $zk, $path ) = @_;
    my @answers;
    my $tell = sub {
        my ($kind) = @_;
        return sub {
            my ($error) = @_;
            push @answers, [ $kind, defined $error ? $error + 0 : 0 ];
        };
    };
    $zk->get( $path, cb => $tell->('cb') );
    $zk->set_f( $path, 'v' )->on_fail( $tell->('future') );
    $zk->exists( $path, watcher => sub { push @answers, ['event'] }, cb => $tell->('watched') );
    $zk->add_auth( digest => 'u:p', cb => $tell->('auth') );
    $zk->ensure_path( "$path/a/b", cb => $tell->('path') );
    $zk->transaction->delete($path)->commit( cb => $tell->('commit') );
    $zk->multi_read->get($path)->commit( cb => $tell->('read') );
    $zk->get_f($path)->then( sub { fail('got something') } )->on_fail( $tell->('chain') )->retain;
    return \@answers;
}

sub all_are {
    my ( $answers, $code, $name ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply [ sort { $a->[0] cmp $b->[0] } @$answers ], [ map { [ $_, $code ] } @KINDS ], $name
      or diag explain $answers;
    return;
}

sub closed {
    my ($stage) = @_;
    my $zk      = $stage->pending_handle;
    my $answers = ask_all( $zk, '/x' );
    $zk->close;
    is scalar @$answers, 0, 'nobody is called within the call' if $stage->has_loop;
    ok $stage->until( sub { @$answers >= @KINDS } ), 'all are answered';
    $zk->close;
    undef $zk;
    $stage->turn;
    all_are( $answers, ZCLOSING, 'ZCLOSING, once each' );

    $zk      = $stage->pending_handle;
    $answers = ask_all( $zk, '/x' );
    $zk->close;
    undef $zk;
    is scalar @$answers, scalar @KINDS, 'closed and then destroyed: all are answered by then';
    $stage->turn;
    all_are( $answers, ZCLOSING, 'once each' );

    $zk = $stage->handle;
    my $path = $stage->node;
    my @log;
    $zk->get( $path, cb => sub { push @log, $_[0] // $_[1] } ) for 1 .. 3;
    $zk->exists($path);
    $zk->close;
    ok $stage->until( sub { @log == 3 } ), 'answers that had come before';
    is_deeply \@log, [ ('v') x 3 ], 'are delivered all the same';
    my $code;
    $zk->get( $path, cb => sub { $code = $_[0]->code } );
    is $code, undef, 'a closed handle is asked: not within the call' if $stage->has_loop;
    ok $stage->until( sub { $code } ), 'it answers';
    is $code, ZINVALIDSTATE, 'ZINVALIDSTATE';
    return;
}

# The first step of something is answered, and the answer not told yet.
sub between_steps {
    my ($stage) = @_;
    my $top = $stage->node;
    my ( $path, $cases );
    my @may_be = ( ZCLOSING, ZINVALIDSTATE, $stage->has_loop ? () : ZOK );    # if it goes on meanwhile
    my %ask    = (
        'ensure_path'         => sub { $_[0]->ensure_path( "$path/x/y/z", cb => $_[1] ) },
        'create with parents' => sub { $_[0]->create( "$path/y/z", parents => 1, cb => $_[1] ) },
        'recursive delete'    => sub { $_[0]->delete( $path, recursive => 1, cb => $_[1] ) },
        'ensure_path, future' => sub {
            my ( $zk, $told ) = @_;
            $zk->ensure_path_f("$path/x/y/z")->on_ready( sub { $told->( scalar $_[0]->failure ) } );
        },
    );
    for my $what ( sort keys %ask ) {
        for my $is_closed ( 0, 1 ) {
            $path = "$top/" . ++$cases;  # of its own: what is sent may be done later, when the next has begun
            $stage->setup->ensure_path("$path/a");
            my $zk = $stage->handle;
            $zk->wait_connected(60);
            my @codes;
            $ask{$what}->( $zk, sub { push @codes, $_[0] ? $_[0]->code : ZOK } );
            $zk->sync('/');
            my $dispatcher = $zk->dispatcher;
            $zk->close if $is_closed;
            undef $zk;
            my $name = $what . ( $is_closed ? ', closed and then destroyed' : ', destroyed' );
            is scalar @codes, 1, "$name: it is answered" or diag "@codes";
            ok scalar( grep { $_ == $codes[0] } @may_be ), 'that it is half done' or diag "@codes";
            $stage->turn;
            is scalar @codes, 1, 'once';
        }
    }
    return;
}

sub destroyed {
    my ($stage) = @_;
    my $zk      = $stage->pending_handle;
    my $answers = ask_all( $zk, '/x' );
    weaken( my $weak = $zk );
    my @more;
    my $again = sub {
        push @more, $_[0]->code;
        $weak->get( '/y', cb => sub { push @more, $_[0]->code } );
    };
    $zk->get( '/x', cb => $again );
    my $dispatcher = $zk->dispatcher;
    undef $zk;
    all_are( $answers, ZCLOSING, 'all are answered at once' );
    is $more[0], ZCLOSING, 'one that asks on';
    ok $stage->until( sub { @more == 2 } ), 'is answered again';
    is_deeply \@more, [ ZCLOSING, ZINVALIDSTATE ], 'as by a closed handle';
    is scalar @$answers, scalar @KINDS, 'the others once';
    is $weak,            undef,         'the handle is gone';
    undef $dispatcher;

    my @said;
    {
        local $SIG{__WARN__} = sub { push @said, @_ };
        my $own = $stage->pending_handle;
        my @calls;
        $own->get( '/x', cb => sub { push @calls, 1; die "oops\n" } );
        $own->get( '/x', cb => sub { push @calls, 2; die "and again\n" } );
        $own->get( '/x', cb => sub { push @calls, 3 } );
        local $@ = 'mine';
        undef $own;
        is $@, 'mine', '$@ is left alone';
        is_deeply \@calls, [ 1 .. 3 ], 'callbacks that die do not harm each other';
    }
    is scalar @said, 2, 'what they die of is warned of';
    like $said[0], qr/oops/, 'in their order';

    my $keeps = $stage->pending_handle;
    my $code;
    $keeps->get( '/x', cb => sub { $code = $_[0]->code; $weak = $keeps } );
    $keeps->close;
    ok $stage->until( sub { $code } ), 'a callback that holds the handle';
    weaken( $weak = $keeps );
    undef $keeps;
    is $weak, undef, 'lets go of it when it has been called';
    return;
}

sub reopened {
    my ($stage) = @_;
    my $zk      = $stage->pending_handle;
    my $path    = $stage->node;
    my $answers = ask_all( $zk, '/x' );
    $zk->reopen( hosts => $stage->server->hosts, timeout => 10_000 );
    is scalar @$answers, 0, 'nobody is called within the call' if $stage->has_loop;
    my $new;
    $zk->get( $path, cb => sub { push @$answers, ['new']; $new = $_[1] } );
    ok $stage->until( sub { $new } ), 'the new session answers';
    is $new,                'v',   'what it is asked';
    is pop(@$answers)->[0], 'new', 'after';
    all_are( $answers, ZCLOSING, 'all that the old one was asked is answered' );
    $stage->turn;
    is scalar @$answers, scalar @KINDS, 'once each';

    my @inside;
    $zk->get(
        $path,
        cb => sub {
            $zk->get( $path, cb => sub { push @inside, $_[0] } );
            $zk->reopen;
            $zk->get( $path, cb => sub { push @inside, $_[1] } );
        }
    );
    ok $stage->until( sub { @inside == 2 } ), 'reopen inside a callback';
    is $inside[1], 'v', 'works as well';
    return;
}

sub one_of_two {
    my ($stage)    = @_;
    my $dispatcher = $stage->runs( $stage->driver->{class}->new );
    my $path       = $stage->node;
    my ( $one, $other ) = map { $stage->handle( dispatcher => $dispatcher ) } 1 .. 2;
    my @log;
    my $tell = sub {
        my ($name) = @_;
        return sub { push @log, $name . ( $_[0] ? $_[0]->code : '' ) };
    };
    $_->exists($path) for $one, $other;
    if ( $stage->has_loop ) {    # else they come as they come
        $other->get( $path, watcher => sub { push @log, 'event' }, cb => $tell->('other 1') );
        $one->get( $path, cb => $tell->('one') );
        $one->exists($path);
        $other->set( $path, 'w', cb => $tell->('other 2') );
        $other->exists($path);
        undef $one;
        is_deeply \@log, ['one'],
          'what the one was asked is told when it goes, with the answer if it is there';
        ok $stage->until( sub { @log == 4 } ), 'the others wait for the loop';
        is_deeply \@log, [ 'one', 'other 1', 'event', 'other 2' ], 'in their order';
    }
    @log = ();
    $one = $stage->pending_handle( dispatcher => $dispatcher );
    $one->get( '/x', cb => $tell->('one ') ) for 1 .. 3;
    $other->get( $path, cb => sub { undef $one; push @log, 'other' } );
    $other->get( $path, cb => $tell->('other') );
    ok $stage->until( sub { @log == 5 } ), 'one goes in a callback of the other';
    is_deeply \@log, [ ( 'one ' . ZCLOSING ) x 3, 'other', 'other' ], 'that makes no difference';
    return;
}

sub forked {
    my ($stage) = @_;
    my $path    = $stage->node;
    my $zk      = $stage->pending_handle;
    my $future  = $zk->get_f('/x');
    my $answers = ask_all( $zk, '/x' );
    my $count   = sub {
        my ($code) = @_;
        return scalar grep { $_->[1] == $code } @$answers;
    };
    my %uses = (
        command => sub {
            eval { $zk->get('/x'); 1 } and die "no error\n";
        },
        posted => sub {
            eval { $zk->get_f('/x'); 1 } and die "no error\n";
        },
        close  => sub { $zk->close },
        reopen => sub { $zk->reopen( hosts => $stage->server->hosts, timeout => 10_000 ) },
        get    => sub {
            eval { $future->get; 1 } and die "no error\n";
        },
    );
    for my $use ( sort keys %uses ) {
        my @said = in_child {
            $uses{$use}->();
            my $all = $stage->until( sub { @$answers >= @KINDS && $future->is_ready } );
            $stage->turn;
            my $own = $use eq 'reopen' ? deadline( 60, sub { $zk->get_f($path)->get } ) : 'v';
            return ( $count->(ZINVALIDSTATE), scalar @$answers, $future->failure->code, $own );
        };
        is_deeply \@said, [ scalar @KINDS, scalar @KINDS, ZINVALIDSTATE, 'v' ],
          "$use: all are answered ZINVALIDSTATE, once";
    }
    my $exits = in_child { return scalar @$answers } exit => 1;
    is $exits, 0, 'a child that does not use the handle is told nothing';
    pipe my $read, my $write or die "pipe: $!\n";
    my $within = sub {
        my $own = $stage->pending_handle;
        $own->get( '/x', cb => sub { syswrite $write, "called\n" } );
        my $chain = $own->get_f('/x')->on_ready( sub { syswrite $write, "called\n" } );
        in_child { syswrite $write, "child\n"; return 1 } exit => 1;
        syswrite $write, "parent\n";
    };
    $within->();
    close $write;
    is_deeply [<$read>], [ "child\n", "parent\n", ("called\n") x 2 ],
      'nor one that exits where the handle is lexical';

    is scalar @$answers, 0, 'the parent has noticed nothing';
    $zk->close;
    ok $stage->until( sub { @$answers >= @KINDS && $future->is_ready } ), 'its own are answered';
    all_are( $answers, ZCLOSING, 'as ever' );
    return;
}

1;

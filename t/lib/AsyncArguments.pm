package AsyncArguments;
use strict;
use warnings;

use AsyncCommands qw(answer fails_as forms);
use Exporter 'import';
use Test::More;
use TestZK;
use ZooKeeper;
use ZooKeeper::Constants;

our @EXPORT = qw(async_arguments);

# What the forms of a command make of its arguments.
sub async_arguments {
    my ($stage) = @_;
    my $zk = $stage->handle;
    subtest 'bad arguments throw at the call'     => sub { bad_arguments( $stage, $zk ) };
    subtest 'watchers'                            => sub { watchers( $stage, $zk ) };
    subtest 'callbacks of all kinds'              => sub { callbacks( $stage, $zk ) };
    subtest 'an error names the line of the call' => sub { lines($stage) };
    subtest 'text'                                => sub { text($stage) };
    return;
}

sub bad_arguments {
    my ( $stage, $zk ) = @_;
    my $path = $stage->node;
    my $none = sub { fail('called all the same') };
    my @rows = (
        [ qr/bad arguments/, $zk, 'get',          'no slash' ],
        [ qr/bad arguments/, $zk, 'create',       '/x/' ],
        [ qr/bad arguments/, $zk, 'set',          $path, 'v', version => 'two' ],
        [ qr/bad arguments/, $zk, 'delete',       $path, version => 2**40 ],
        [ qr/bad arguments/, $zk, 'get_children', "/a/../b" ],
        [ qr/bad arguments/, $zk, 'ensure_path',  'no slash' ],
        [ qr/bad arguments/, $zk, 'exists',       $path, request_timeout => 'soon' ],
        [ qr/bad arguments/, $zk->transaction->delete('no slash'), 'commit' ],
        [ qr/bad arguments/, $zk->multi_read->get('no slash'),     'commit' ],
        [ qr/invalid acl/,   $zk,                                  'set_acl', $path, [] ],
        [ qr/array ref/,     $zk,                                  'create',  $path, acl => 'all' ],
        [ qr/array ref/,     $zk,                                  'set_acl', $path, {} ],
        [ qr/reference/,     $zk,                                  'set',     $path, {} ],
        [ qr/code ref/,      $zk,                                  'get',     $path, watcher => 'sub' ],
        [ qr/expected path/, $zk,                                  'set',     $path ],
    );
    for my $row (@rows) {
        my ( $words, $object, $method, @args ) = @$row;
        for my $form ( 'blocking', 'callback', 'future' ) {
            my $name = $form eq 'future'                           ? "${method}_f"   : $method;
            my @cb   = $form eq 'callback' && $words !~ /expected/ ? ( cb => $none ) : ();
            my $line = __LINE__ + 1;
            ok !eval { $object->$name( @args, @cb ); 1 }, "$method, $form: dies";
            like $@, $words, 'with the reason';
            is ref $@, $words =~ /bad|invalid/ ? 'ZooKeeper::Error' : '', 'in the way that is for it';
            like $@, qr/ at \Q${\ __FILE__}\E line $line\.\n\z/, 'and the line';
        }
    }
    for my $cb ( 'name', [], {}, \'x', 0, '' ) {
        my $line = __LINE__ + 1;
        ok !eval { $zk->get( $path, cb => $cb ); 1 }, 'cb: dies';
        like $@, qr/\Aget: cb must be a code reference at \Q${\ __FILE__}\E line $line\.\n\z/,
          'with the reason';
    }
    $zk->exists($path);
    is $zk->dispatcher->channel->size, 0, 'nothing came of any of them';
    is_deeply [ $zk->get_watchers ], [], 'and no watcher is left';
    return;
}

sub watchers {
    my ( $stage, $zk ) = @_;
    for my $form ( grep { $_ ne 'blocking' } forms($stage) ) {
        my $path = $stage->node;
        my @seen;
        my $watcher = sub { push @seen, $_[0]{path} };
        my @calls =
          ( [ get => $path ], [ get_children => $path ], [ exists => $path ], [ exists => "$path/x" ] );
        for my $call (@calls) {
            my $answer = answer( $form, $stage, $zk, @$call, watcher => $watcher );
            is $answer->[0], undef, "$form: @$call";
        }
        is scalar( () = $zk->get_watchers ), 4, "$form: armed";
        $stage->setup->create("$path/x");
        $stage->setup->set( $path, 'new' );
        ok $stage->until( sub { @seen == 4 } ), "$form: all are called";
        is_deeply [ sort @seen ], [ ($path) x 3, "$path/x" ], "$form: for their paths";

        for my $method (qw(get get_children)) {
            my $answer = answer( $form, $stage, $zk, $method, "$path/none", watcher => $watcher );
            fails_as( $answer->[0], ZNONODE, $method, "$path/none" );
            is_deeply [ $zk->get_watchers ], [], "$form: and no watcher is left";
        }
        $stage->setup->create("$path/none");
        $zk->exists($path);
        is $zk->dispatcher->channel->size, 0, "$form: nor its watch";
    }
    my $lost    = $stage->pending_handle;
    my $watcher = sub { fail('never armed, and called') };
    my $error;
    $lost->get( '/x', watcher => $watcher, cb => sub { ($error) = @_ } );
    $lost->close;
    ok $stage->until( sub { $error } ), 'one whose handle is closed before the answer';
    is_deeply [ $lost->get_watchers ], [], 'is gone too';

    my @states;
    my $own = $stage->handle;
    $own->add_auth(
        'digest', 'u:p',
        watcher => sub { push @states, $_[0]{state} },
        cb      => sub { push @states, @_ }
    );
    ok $stage->until( sub { @states == 2 } ), 'the watcher of add_auth, and its callback';
    is_deeply [ sort { ( $a // -1 ) <=> ( $b // -1 ) } @states ], [ undef, ZOK ], 'are both told';
    return;
}

sub callbacks {
    my ( $stage, $zk ) = @_;
    my $path = $stage->node;
    my @seen;
    my $object  = bless { cb => sub { push @seen, 'object' } }, 'AsyncArguments::Callable';
    my $blessed = bless sub { push @seen, 'blessed' }, 'AsyncArguments::Blessed';
    $zk->get( $path, cb => $object );
    undef $object;
    $zk->get( $path, cb => $blessed );
    $zk->get( $path, watcher => undef, cb => $blessed );
    undef $blessed;
    $zk->get( $path, cb => sub { push @seen, scalar @_ }, buffer_length => 1 );
    ok $stage->until( sub { @seen == 4 } ), 'whatever can be called';
    is_deeply [ splice @seen ], [ 'object', 'blessed', 'blessed', 3 ], 'is';

    is scalar $zk->get( $path, cb => undef ), 'v', 'cb => undef counts as not given';
    is_deeply [ $zk->get_children( $path, cb => undef, watcher => undef ) ], [], 'in list context too';
    is $zk->get_f( $path, cb => undef )->get, 'v', 'and in the form that returns a future';

    my $warned = '';
    {
        local $SIG{__WARN__} = sub { $warned .= $_[0] };
        is $zk->get_f( $path, cb => sub { push @seen, 'no' } )->get, 'v', 'a future takes no callback';
    }
    like $warned, qr/\Aget_f: unknown argument 'cb' has no effect at \Q${\ __FILE__}\E/, 'and says so';
    is_deeply \@seen, [], 'it is not called';

    my ( $error, $watched );
    $zk->exists( $path, cb => sub { $error = [@_] }, watcher => sub { $watched++ } );
    ok $stage->until( sub { $error } ), 'cb before watcher';
    $stage->setup->set( $path, 'w' );
    ok $stage->until( sub { $watched } ), 'is the same';

    my @scalar = scalar $zk->exists( $path, cb => sub { push @seen, wantarray // 'void' } );
    is_deeply \@scalar, [undef], 'scalar context: nothing';
    ok $stage->until( sub { @seen } ), 'the callback is called';
    is_deeply \@seen, ['void'], 'for nothing';

    my ( $data, $got ) = ('before');
    $zk->set(
        $path, $data,
        cb => sub {
            $zk->get( $path, cb => sub { $got = $_[1]; $_[1] = 'mine' } );
        }
    );
    $data = 'after';
    ok $stage->until( sub { $got } ), 'arguments are taken at the call';
    is $got, 'before', 'and may change then';
    return;
}

sub lines {
    my ($stage) = @_;
    my $zk = AsyncArguments::Sub->new(
        hosts      => $stage->server->hosts,
        dispatcher => '^' . $stage->driver->{class},
    );
    $stage->runs( $zk->dispatcher );
    my @made;
    my %line;
    my $here = sub { $line{ $_[0] } = ( caller 0 )[2]; return '/async-none/x' };
    $zk->get( $here->('cb'), cb => sub { push @made, [ cb => @_ ] } );
    $zk->delete( $here->('mod'), cb => sub { push @made, [ mod => @_ ] } );

    if ( !$zk ) {
        fail('no handle');
    }
    elsif ( defined $zk->get( $here->('elsif'), cb => sub { push @made, [ elsif => @_ ] } ) ) {
        fail('a call that does not wait returns something');
    }
    my %future  = ( f => $zk->get_f( $here->('f') ), mod_f => $zk->delete_f( $here->('mod_f') ) );
    my $in_eval = eval
      qq{#line 77 "a string"\n\$zk->get( '/async-none/x', cb => sub { push \@made, [ string => \@_ ] } ); 1};
    ok $in_eval,                            'a call in a string';
    ok $stage->until( sub { @made == 4 } ), 'all fail';
    push @made, map { [ $_ => $future{$_}->await->failure ] } sort keys %future;

    for my $made (@made) {
        my ( $name, $error ) = @$made;
        my $at = $name eq 'string' ? 'a string line 77' : __FILE__ . " line $line{$name}";
        is $error->message =~ s/.*? at (?=a string|\S+ line)//sr, "$at.\n", $name;
    }
    my $error;
    local $@ = 'of the program';
    $zk->get( '/async-none/x', cb => sub { $error = $_[0] } );
    $stage->until( sub { $error } );
    is $error->previous_exception, undef, 'an error that is told has no previous exception';
    return;
}

sub text {
    my ($stage) = @_;
    my $zk      = $stage->handle( utf8 => 1 );
    my $path    = $stage->node . "/\x{e9}\x{263a}";
    my @got;
    $zk->create( $path, value => "\xff", cb => sub { push @got, @_ } );
    $zk->get_children( $path =~ s{/[^/]+\z}{}r, cb => sub { push @got, @_ } );
    $zk->create( $path, cb => sub { push @got, $_[0]->path, "$_[0]" } );
    $zk->multi_read->get("$path/x")->get_children( $path =~ s{/[^/]+\z}{}r )
      ->commit( cb => sub { push @got, @{ $_[2]{children} } } );
    ok $stage->until( sub { @got == 7 } ), 'paths, names, errors';
    is_deeply [ @got[ 0 .. 4, 6 ] ], [ undef, $path, undef, "\x{e9}\x{263a}", $path, "\x{e9}\x{263a}" ],
      'are text';
    like $got[5], qr/'\Q$path\E': node exists at /, 'in messages too';
    my $seen;
    is $zk->get_f( $path, watcher => sub { $seen = $_[0]{path} } )->get, "\xff", 'data are bytes';
    $stage->setup->set( $path, 'w' );
    ok $stage->until( sub { $seen } ), 'a watcher';
    is $seen, $path, 'has its path as text';
    return;
}

package AsyncArguments::Callable;
use overload '&{}' => sub { $_[0]{cb} };

package AsyncArguments::Sub;
use Moo;
extends 'ZooKeeper';
before delete => sub { };
after delete_f => sub { };

1;

package ArgumentFuzz::Programs;
use strict;
use warnings;

use ArgumentFuzz::Random;
use ArgumentFuzz::Values qw(action callback good path value);
use B                    ();
use ZooKeeper;
use ZooKeeper::Channel;
use ZooKeeper::Commands;

# Makes the text of a program out of two numbers: some calls with arguments of all kinds. Returns it, and a hash ref:
#   mine      it has a handle of its own, which it may close and free
#   rubbish   the server of that handle answers nonsense
sub program {
    my ( $seed, $case ) = @_;
    my $random = ArgumentFuzz::Random->new( $seed, $case );
    my $about  = { mine => $random->often(12) };
    $about->{rubbish} = $about->{mine} && $random->often(8);
    my $self  = { random => $random, about => $about, variables => [] };
    my @calls = map { _in_place( $self, _call($self) ) } 0 .. $random->below(3);
    my $names = join ', ', map { "keep(\\$_->[0])" } grep { $_->[2] } @{ $self->{variables} };
    my $text  = join '',   map { "$_\n" } (
        'my ( $zk, $dispatcher, $channel, $mine ) = ArgumentFuzz::Worker::given();',
        q(my ( $text, @list, %hash, @args ) = 'text'; @list = 1 .. 3;),
        ( map { "my $_->[0] = $_->[1];" } @{ $self->{variables} } ),
        "my \@kept = ( $names );",
        @calls,
        'ArgumentFuzz::Worker::settle();',
        'unchanged(@kept);',
        '( $zk, $dispatcher, $channel, @list, %hash, @args ) = ();'
        ,    # functions that watchers have may hold them
    );

    # What is compiled writes into an array ref, where it takes one for a span of the tracer.
    $text =~ s/\bZOO_OPEN_ACL_UNSAFE\b/[ \@{ +ZOO_OPEN_ACL_UNSAFE } ]/g if $text =~ /ZooKeeper::_/;
    return ( $text, $about );
}

# Where a call stands.
sub _in_place {
    my ( $self, $call ) = @_;
    my $random  = $self->{random};
    my $context = $random->pick(qw(list scalar void));
    $call = "call( $context => sub { $call } );";
    my $place = $random->below(100);
    return $call if $place < 60;
    return $random->pick(
        "\@list = sort { $call \$a <=> \$b } 3, 2, 1;",
        "{ my \$gone = ArgumentFuzz::Worker::Gone->new( sub { $call } ); }",
        "{ local \$SIG{USR1} = sub { $call }; kill USR1 => \$\$; }",
        "for my \$in ( 1, 2 ) { $call }",
        "for ( '/fz/a', 'b' ) { $call }",
        "{ local \$_ = '/fz/b'; $call }",
        "{ local \@_ = ( '/fz/a', 2 ); $call }",
        "sub { $call }->( '/fz/a', \$text );",
        "'/fz/a' =~ /(?<word>.*)/; $call",
        "my \@x${ \ scalar @{ $self->{variables} } } = map { $call 1 } 1, 2;",
"{ my \$deep; \$deep = sub { my (\$n) = \@_; if (\$n) { \$deep->( \$n - 1 ) } else { $call } }; \$deep->(150); undef \$deep; }",
        "{ local \$SIG{__DIE__} = sub { die \@_ }; $call }",
        "{ local \$@ = 'fuzz: earlier'; $call }",
        "eval { $call }; eval { die 'fuzz: x' };",
        "{ my \$y = ArgumentFuzz::Worker::call_in_fetch( sub { $call } ); }",
        (
            map { $call =~ s/sub \{ (.*) \} \);\z/sub { interrupted( $_, sub { $1 } ) } );/sr }
              qw(0.00005 0.0003 0.001)
        ),
    );
}

# An argument: sometimes in a variable, so that it can be seen to stay as it was.
sub _argument {
    my ( $self,   $text )      = @_;
    my ( $random, $variables ) = @{$self}{qw(random variables)};
    return $text if $text =~ /\A(?:[\@%]|local)/ || $random->often(60);
    my $is_plain = $text =~
      /\A(?:'[^']*'|"[^"\$\@]*"|-?[0-9.]+|upgraded\([^()]*\)|malformed\([^()]*\)|read_only\([^()]*\))\z/;
    return $text if $text =~ /\banswer\(/;    # belongs to its call
    push @$variables, [ '$v' . @$variables, $text, $is_plain ];
    return $variables->[-1][0];
}

sub _value { my ($self) = @_; return _argument( $self, value( $self->{random} ) ) }

sub _good {
    my ( $self, $name ) = @_;
    return $self->{random}->often(72) ? _argument( $self, good( $self->{random}, $name ) ) : _value($self);
}

sub _values {
    my ( $self, $most ) = @_;
    return join ', ', map { _value($self) } 1 .. $self->{random}->below( $most + 1 );
}

my %KINDS = (
    command     => [ 40, \&_command ],
    transaction => [ 10, \&_transaction ],
    private     => [ 18, \&_private ],
    other       => [ 7,  \&_other ],
    dispatcher  => [ 9,  \&_dispatcher ],
    watcher     => [ 4,  \&_watcher ],
    channel     => [ 5,  \&_channel ],
    new         => [ 4,  \&_new ],
    class       => [ 3,  \&_class ],
);
my @KINDS = map { ( $KINDS{$_}[1] ) x $KINDS{$_}[0] } sort keys %KINDS;

sub _call {
    my ($self) = @_;
    return $self->{random}->pick(@KINDS)->($self);
}

my @COMMANDS =
  ( ZooKeeper::Commands::methods(), map { ZooKeeper::Commands::composite($_) } qw(ensure_path add_watch) );
my %ONLY_MINE = map { $_ => 1 } qw(add_auth);    # one that is refused ends the session

sub _command {
    my ($self)  = @_;
    my $random  = $self->{random};
    my $command = $random->pick( grep { $self->{about}{mine} || !$ONLY_MINE{ $_->{name} } } @COMMANDS );
    my $name    = $command->{name};
    my $form    = $random->pick( '', '', '', 'cb', 'cb', '_f', '_p' );
    my @args    = map { _good( $self, $_ ) } @{ $command->{positional} };
    my $is_fine = !$random->often(5) && !grep { /\A[\@%]/ } @args;    # of any length
    pop @args if !$is_fine && @args;
    push @args, _value($self) if !$is_fine && $random->often(50);
    return "\$zk->$name$form( ( " . join( ', ', map { path($random) } 0 .. @args ) . ' ) x 2_000 )'
      if $form ne 'cb' && $random->often(1);
    push @args, _named( $self, $command, $form eq 'cb', $is_fine );
    my $suffix = $form eq 'cb' ? '' : $form;
    return _invoked( $self, "$name$suffix", @args );
}

# As one calls a method.
sub _invoked {
    my ( $self, $method, @args ) = @_;
    my $random = $self->{random};
    my $args   = join ', ', @args;
    return "\$zk->$method( $args )"                           if $random->often(85);
    return "my \$method = '$method'; \$zk->\$method( $args )" if $random->often(30);
    return "ZooKeeper::$method( \$zk, $args )"                if $random->often(30);
    return "ZooKeeper::$method( ${ \_value($self) }, $args )" if $random->often(30);
    return "ZooKeeper->$method( $args )"                      if $random->often(10);
    return "\@_ = ( \$zk, $args ); &ZooKeeper::$method"       if $random->often(50);
    return "\@_ = ( \$zk, $args ); goto &ZooKeeper::$method";
}

sub _named {
    my ( $self, $command, $cb, $is_fine ) = @_;
    my $random = $self->{random};
    my @known  = grep { $_ ne 'cb' } sort keys %{ $command->{known} };
    return if !@known;
    my @pairs;
    for my $name ( map { $random->pick(@known) } 1 .. $random->pick( 0, 0, 0, 1, 1, 2, 3 ) ) {
        my $value =
             $name eq 'watcher'
          && $command->{name} eq 'remove_watches'
          && $random->often(70) ? 'watcher($dispatcher)' : _good( $self, $name );
        $value = "scalar( $value )" if $value =~ /\A[\@%]/ || $value =~ /\blocal /;
        push @pairs, "$name => $value";
    }
    push @pairs, "unknown => 1" if $random->often(3);
    my $is_odd = $random->often(4);
    push @pairs, 'cb => ' . ( $random->often(90) ? callback( $random, $is_fine && !$is_odd ) : _value($self) )
      if $cb;
    unshift @pairs, _value($self) if $is_odd;
    return @pairs;
}

sub _transaction {
    my ($self) = @_;
    my $random = $self->{random};
    my $reads  = $random->often(30);
    my @known  = $reads ? ZooKeeper::Commands::reads() : ZooKeeper::Commands::operations();
    my $text   = '$zk->' . ( $reads ? 'multi_read' : 'transaction' );
    for ( 1 .. $random->pick( 0, 1, 1, 2, 3, 5 ) ) {
        my $operation = $random->pick(@known);
        my @args      = map { _good( $self, $_ ) } @{ $operation->{positional} };
        push @args, _named( $self, $operation, 0 );
        $text .= "->$operation->{name}( " . join( ', ', @args ) . ' )';
    }
    my $form = $random->pick( '', '', 'cb', '_f', '_p' );
    my @args = _named( $self, ZooKeeper::Commands::composite('commit'), $form eq 'cb', 1 );
    return "$text->commit" . ( $form eq 'cb' ? '' : $form ) . '( ' . join( ', ', @args ) . ' )';
}

# Everything that is compiled, with what nobody would call it with.
my %HARMFUL = map { $_ => 1 }
  qw(ZooKeeper::XS::_panic ZooKeeper::XS::_trace ZooKeeper::Channel::_signal ZooKeeper::Channel::_log_level);
my %ENDS    = map  { ( "ZooKeeper::$_" => 1 ) } qw(_connect _close _part _set_hosts _add_auth);
my @PRIVATE = grep { !$HARMFUL{$_} } map { _subs($_) } qw(ZooKeeper ZooKeeper::Channel ZooKeeper::XS);

sub _subs {
    my ($class) = @_;
    no strict 'refs';
    my @names =
      grep { /\A_?[a-z]/ && defined &{"${class}::$_"} && B::svref_2object( \&{"${class}::$_"} )->XSUB }
      sort keys %{"${class}::"};
    return map { "${class}::$_" }
      grep { B::svref_2object( \&{"${class}::$_"} )->GV->STASH->NAME eq $class } @names;
}

sub _private {
    my ($self) = @_;
    my $random = $self->{random};
    my $name   = $random->pick( grep { $self->{about}{mine} || !$ENDS{$_} } @PRIVATE );
    my ($sub)  = $name =~ /::_?(\w+)\z/;
    my $object = $name =~ /::Channel::/ ? '$channel' : '$zk';
    $object = _value($self) if $random->often(15) && !$ENDS{$name};
    return "\@list = ( ${ \_values( $self, 8 ) } ); \&$name( $object, \@list )" if $random->often(10);
    if ( $name eq 'ZooKeeper::_connect' ) {
        my @options = map { "$_ => scalar( ${ \_value($self) } )" }
          qw(timeout client_id default_watcher sasl utf8 read_only request_timeout jute_maxbuffer max_in_flight expire_by_clock tls);
        @options = grep { $random->often(30) } @options;
        my $new   = $random->often(80) ? 'bless( {}, "ZooKeeper" )' : _value($self);
        my $hosts = $random->often(80) ? q('127.0.0.1:1')           : _value($self);
        return "$name( $new, "
          . (
            $random->often(10)
            ? _value($self)
            : "{ hosts => scalar( $hosts ), channel => \$channel, " . join( ', ', @options ) . ' }'
          ) . ' )';
    }
    my ($command) = grep { $_->{name} eq $sub } @COMMANDS;
    return "$name( $object, ${ \_values( $self, 9 ) } )" if !$command || $random->often(30);
    my @args = map {
        _good( $self, { watcher_id => 'version', acl_or_default => 'acl' }->{$_} // $_ ) =~
          s/\Aanswer\(.*/7/sr
    } @{ $command->{takes} };
    push @args, good( $random, 'request_timeout' );
    push @args, $random->often(70) ? callback( $random, 0 ) : _value($self) if $random->often(50);
    push @args, _value($self) while $random->often(30);
    return "$name( $object, ${ \join ', ', @args } )";
}

my @ASKED = qw(
  state client_id is_unrecoverable server session_timeout last_zxid metrics is_session_suspect is_connected
  hosts timeout authentication buffer_length default_acl utf8 read_only dispatcher
);

sub _other {
    my ($self) = @_;
    my $random = $self->{random};
    my @any    = (
        (
            map {
                my $name = $_;
                sub { "\$zk->$name( ${ \_values( $self, 2 ) } )" }
            } $random->pick(@ASKED)
        ),
        sub { "\$zk->watcher( ${ \_value($self) } )" },
        sub {
"\$zk->create_watcher( ${ \_value($self) }, ${ \callback($random) }, type => scalar( ${ \_value($self) } ) )";
        },
        sub { "\$zk->get_watchers( ${ \_values( $self, 4 ) } )" },
        sub { "\$zk->remove_watcher( watcher(\$dispatcher) )" },
        sub { "\$zk->remove_watcher( ${ \_values( $self, 2 ) } )" },
        sub { "\$zk->wait( ${ \_soon($self) } )" },
        sub { "\$zk->wait_connected( ${ \_value($self) } )" },
        sub { "\$zk->ignore_session_events( ${ \_values( $self, 1 ) } )" },
    );
    my @mine = (
        sub { "\$zk->close( ${ \_values( $self, 3 ) } )" },
        sub { "\$zk->reopen( ${ \_options($self) } )" },
        sub { "\$zk->set_hosts( ${ \_values( $self, 2 ) } )" },
        sub { "\$zk->add_auth( ${ \_values( $self, 4 ) } )" },
        sub { "\$zk->DESTROY( ${ \_values( $self, 2 ) } )" },
        sub { "\$zk->DEMOLISH( ${ \_values( $self, 2 ) } )" },
        sub { 'undef $zk' },
    );
    return $random->pick( $self->{about}{mine} && $random->often(60) ? @mine : @any )->();
}

# A wait that ends.
sub _soon {
    my ($self) = @_;
    return $self->{random}->pick(
        qw(0.001 -1 1e-300),                             q('abc'),
        '[]',                                            '-sin(9**9**9)',
        '${ changing(0.001, 0.002) }',                   q(overloaded('0+', sub { 0.001 })),
        q(${ tied_scalar(sub { die "fuzz: died\n" }) }), 'dualvar(0.001, "x")',
        '"0.001"',                                       '*STDOUT',
        '-9**9**9',
    );
}

my @OPTIONS = qw(
  authentication buffer_length client_id default_acl dispatcher expire_by_clock hosts ignore_session_events
  jute_maxbuffer max_in_flight read_only request_timeout sasl timeout tls tracer utf8 watcher unknown
);

sub _options {
    my ($self) = @_;
    my $random = $self->{random};
    my %fine   = (
        hosts      => q('127.0.0.1:1'),
        dispatcher => q('Pipe'),
        timeout    => '1000',
        tracer     => "{ start => ${ \callback($random) }, end => ${ \callback($random) } }",
        watcher    => callback($random),
        sasl => "{ mechanism => 'DIGEST-MD5', username => scalar( ${ \_value($self) } ), password => 'x' }",
        tls  => "{ ca_file => scalar( ${ \_value($self) } ), server_name => scalar( ${ \_value($self) } ) }",
        client_id      => "{ client_id => scalar( ${ \_value($self) } ), passwd => 'x' x 16 }",
        authentication => '[ "digest", "a:b" ]',
    );
    my @pairs;
    for my $name ( map { $random->pick(@OPTIONS) } 1 .. $random->pick( 0, 1, 1, 2, 3 ) ) {
        my $value = $fine{$name} && $random->often(50) ? $fine{$name} : _value($self);
        push @pairs, "$name => scalar( $value )";
    }
    push @pairs, _value($self) if $random->often(5);
    return join ', ', @pairs;
}

sub _new {
    my ($self)  = @_;
    my $random  = $self->{random};
    my $options = _options($self);
    my $first   = $random->often(90) ? q(hosts => '127.0.0.1:1', dispatcher => 'Pipe', ) : '';
    my $class   = $random->pick( ('ZooKeeper') x 8, 'Foreign' );
    return "$class->new( $first$options )"     if $random->often(70);
    return "$class->new( { $first$options } )" if $random->often(70);
    return "$class->new( ${ \_values( $self, 3 ) } )";
}

sub _dispatcher {
    my ($self) = @_;
    my $random = $self->{random};
    my $value  = sub { _value($self) };
    my $d      = $random->pick( 'ZooKeeper::Dispatcher->new', '$dispatcher', '$dispatcher' );
    my @any    = (
        sub {
"$d->create_watcher( ${ \$value->() }, ${ \callback($random) }, type => scalar( ${ \$value->() } ) )";
        },
        sub { "$d->create_watcher( ${ \_values( $self, 5 ) } )" },
        sub { "$d->get_watchers( ${ \_values( $self, 4 ) } )" },
        sub { "$d->get_watchers( path => scalar( ${ \$value->() } ), type => scalar( ${ \$value->() } ) )" },
        sub { "$d->remove_watcher( ${ \_values( $self, 2 ) } )" },
        sub { "$d->remove_watcher( watcher => watcher(\$dispatcher) )" },
        sub { "$d->$_( ${ \_values( $self, 2 ) } )" },
        sub { "$d->send_event( ${ \$value->() }, watcher(\$dispatcher) )" },
        sub {
"$d->send_event( { type => scalar( ${ \$value->() } ), path => scalar( ${ \$value->() } ) }, watcher(\$dispatcher) )";
        },
        sub { "$d->send_event( ${ \_values( $self, 3 ) } )" },
        sub { "$d->trigger_event( path => '/fz/a', event => ${ \$value->() } )" },
        sub { "$d->trigger_event( ${ \_values( $self, 5 ) } )" },
        sub { "$d->wait( ${ \_soon($self) } )" },
        sub { "$d->run_loop_once(0)" },
        sub { "ZooKeeper::Dispatcher->new( channel => scalar( ${ \$value->() } ) )" },
        sub { "ZooKeeper::Dispatcher::Pipe->new( ${ \_values( $self, 3 ) } )" },
        sub {
"my \$d = ZooKeeper::Dispatcher->new; \$d->dispatch_cb( ${ \$value->() } ); \$d->channel->send(1); \$d->dispatch_ready";
        },
        sub {
"my \$d = ZooKeeper::Dispatcher->new; \$d->ignore_session_events( ${ \$value->() } ); \$d->channel->send( ${ \$value->() } ); \$d->dispatch_event";
        },
    );
    local $_ = $random->pick(qw(recv_event dispatch_event dispatch_ready watchers channel));
    return $random->pick(@any)->();
}

sub _watcher {
    my ($self) = @_;
    my $random = $self->{random};
    my $w      = $random->pick( ('watcher($dispatcher)') x 3, 'watcher(ZooKeeper::Dispatcher->new)' );
    return $random->pick(
        sub { "$w->process( ${ \_values( $self, 2 ) } )" },
        sub { "$w->process( { type => scalar( ${ \_value($self) } ) } )" },
        sub { "$w->trigger( ${ \_values( $self, 4 ) } )" },
        sub { "$w->ignore_session_events( ${ \_values( $self, 1 ) } )" },
        sub { "$w->done( ${ \_values( $self, 1 ) } )" },
        sub { "watcher( \$dispatcher, ${ \_values( $self, 4 ) } )" },
        sub {
"ZooKeeper::Watcher->new( cb => scalar( ${ \_value($self) } ), dispatcher => scalar( ${ \_value($self) } ) )";
        },
        sub { "ZooKeeper::Watcher->new( ${ \_values( $self, 4 ) } )" },
    )->();
}

sub _channel {
    my ($self) = @_;
    my $random = $self->{random};
    my $c      = $random->pick( ('my $c = ZooKeeper::Channel->new; $c') x 3, '$channel' );
    my $items  = _values( $self, 6 );
    return $random->pick(
        sub { "$c->send( $items )" },
        sub {
"my \$c = ZooKeeper::Channel->new; \$c->send( $items ); \@list = map { \$c->recv } 1 .. 6; \@list = ()";
        },
        sub { "my \$c = ZooKeeper::Channel->new; \$c->send( \$c, $items ); \$c->recv" },
        sub {
"my \$c = ZooKeeper::Channel->new; \$c->send(1, 2); \$c->recv( \${ tied_scalar( sub { undef \$c; 1 } ) } )";
        },
        sub { "$c->recv( ${ \_value($self) } )" },
        sub { "$c->size( ${ \_values( $self, 2 ) } )" },
        sub { "ZooKeeper::Channel::new( ${ \_values( $self, 3 ) } )" },
        sub { "ZooKeeper::Channel->new( ${ \_values( $self, 3 ) } )" },
        sub { "\$c->DESTROY" },
    )->();
}

sub _class {
    my ($self) = @_;
    my $random = $self->{random};
    return $random->pick(
        sub { "ZooKeeper::Constants::( ${ \_values( $self, 2 ) } )" },
        sub { "ZooKeeper::Error->new( code => scalar( ${ \_value($self) } ), message => 'fuzz: mine' )" },
        sub { "ZooKeeper::Error->throw( ${ \_values( $self, 4 ) } )" },
        sub { "ZooKeeper->trace( scalar( ${ \_value($self) } ), '/dev/null' )" },
        sub { "ZooKeeper->trace( overloaded( '\"\"', sub { ${ \action($random) }; 0 } ), '/dev/null' )" },
        sub {
"ZooKeeper::Transaction->new( handle => scalar( ${ \_value($self) } ), ops => scalar( ${ \_value($self) } ) )->commit";
        },
        sub { "ZooKeeper::Transaction->new( handle => \$zk, ops => scalar( ${ \_value($self) } ) )->commit" },
        sub { "ZooKeeper::Transaction->new( ${ \_values( $self, 4 ) } )" },
    )->() =~ s/Constants::\K(?=\()/$random->pick(qw(zerror zevent zstate zperm))/er;
}

1;

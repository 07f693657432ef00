package ArgumentFuzz::Found;
use strict;
use warnings;

# Programs that have found something, cut down to what it takes: pairs of a name, the symptom, and a text.
my $GIVEN = 'my ( $zk, $dispatcher, $channel, $mine ) = ArgumentFuzz::Worker::given();';
my @FOUND = (

    # First: later the module is there.
    'an alarm while a module is loaded: no futures, ever' => <<'CODE',
unshift @INC, sub { kill ALRM => $$ if $_[1] =~ /Future/; return };
call( scalar => sub { interrupted( 10, sub { $zk->exists_f('/') } ) } );
shift @INC;
call( scalar => sub { $zk->exists_f('/') } );
CODE
    'a channel that is freed while the limit of recv is read: crashed' => <<'CODE',
call( scalar => sub { my $c = ZooKeeper::Channel->new; $c->send(1, 2); $c->recv( ${ tied_scalar( sub { undef $c; 1 } ) } ) } );
call( scalar => sub { my $c = ZooKeeper::Channel->new; $c->send(1, 2); $c->_complete( overloaded( '""', sub { undef $c; 1 } ) ) } );
CODE
    'a handle for what is no object: all undefs of the program had it' => <<'CODE',
call( void => sub { ZooKeeper::_connect( \undef, { hosts => '127.0.0.1:1', channel => ZooKeeper::Channel->new } ) } );
call( void => sub { ZooKeeper::_state( \undef ) } );
CODE
    'a watcher of a path that dies as a string: could not be taken off' => <<'CODE',
$dispatcher->watchers;
call( scalar => sub { $zk->exists( '/', watcher => answer(0) ) } );
call( scalar => sub { $dispatcher->create_watcher( overloaded( 'nomethod', sub { die "fuzz: died\n" } ), answer(0) ) } );
CODE
    'authentication without credentials: warned of an undefined value' => <<"CODE",
# mine
call( void => sub { \$zk->add_auth( 'digest', undef ) } );
CODE
    'wrong types for a dispatcher: told at a line of the library' => <<'CODE',
call( void => sub { $zk->remove_watcher('me') } );
call( void => sub { $dispatcher->send_event( 'event', watcher($dispatcher) ) } );
call( void => sub { $dispatcher->send_event( {}, \1 ) } );
call( void => sub { ZooKeeper::Watcher->new('x') } );
CODE
    'options of TLS with keys that are locked: told at a line of the library' => <<'CODE',
call( void => sub { ZooKeeper->new( hosts => '127.0.0.1:1', dispatcher => 'Pipe', tls => locked() ) } );
CODE
);

sub programs {
    my @rest = @FOUND;
    my @programs;
    while ( my ( $name, $code ) = splice @rest, 0, 2 ) {
        my $mark = $code =~ s/\A(#.*\n)// ? $1 : '';
        push @programs,
          [
            $name, join "\n", "$mark$GIVEN",
            $code . 'ArgumentFuzz::Worker::settle();',
            '( $zk, $dispatcher, $channel ) = ();'
          ];
    }
    return @programs;
}

1;

use strict;
use warnings;
use Test::More;
use lib 't/lib';

BEGIN {
    plan skip_all => 'needs POE (package libpoe-perl)' if !eval { require POE };
}
use DispatcherSuite;
use TestZK;
use ZooKeeper::Dispatcher::POE;

dispatcher_suite( poe_driver() );

# What a whole program says, on either stream.
sub said {
    my ($code) = @_;
    my @include = map { "-I$_" } grep { !ref } @INC;
    open my $pipe, '-|', $^X, @include, '-e',
      "use strict; use warnings; open STDERR, '>&STDOUT'; \$| = 1; $code"
      or die "$^X: $!\n";
    my $said = deadline 60, sub { join '', <$pipe> };
    close $pipe;
    return $said;
}

my $dispatcher = 'our $dispatcher = ZooKeeper::Dispatcher::POE->new;';
my $events     = <<'PERL';
    sub watch { $_[0]->create_watcher( $_[1], $_[2], type => 'get' ) }
    sub event { $_[0]->trigger_event( path => $_[1], type => 'get' ) }
PERL

is said("use ZooKeeper::Dispatcher::POE; $dispatcher \$dispatcher->wait(0.01); print 'end'"), 'end',
  'a program that never calls run is not told off for it';

is said(<<"PERL"), 'alarm int end', 'handlers of signals are left alone';
    \$SIG{ALRM} = sub { print 'alarm ' };
    \$SIG{INT} = sub { print 'int ' };
    require ZooKeeper::Dispatcher::POE; $dispatcher
    \$dispatcher->wait(0.01);
    kill \$_ => \$\$ for 'ALRM', 'INT';
    \$dispatcher->wait(0.01); print 'end';
PERL

is said(<<"PERL"), 'one two end', 'run lasts as long as the dispatcher';
    use POE; use ZooKeeper::Dispatcher::POE; $events
    POE::Session->create( inline_states => {
        _start => sub {
            $dispatcher
            watch( \$dispatcher, '/1', sub { print 'one '; event( \$dispatcher, '/2' ) } );
            watch( \$dispatcher, '/2', sub { print 'two '; undef \$dispatcher } );
            event( \$dispatcher, '/1' );
        },
    } );
    POE::Kernel->run; print 'end';
PERL

is said(<<"PERL"), 'handled oops later end', 'a handler for DIE in the session that made it has the say';
    use POE; use ZooKeeper::Dispatcher::POE; $events
    POE::Session->create( inline_states => {
        _start => sub {
            \$_[KERNEL]->sig( DIE => 'died' );
            $dispatcher
            watch( \$dispatcher, '/1', sub { die "oops\\n" } );
            watch( \$dispatcher, '/2', sub { print 'later '; POE::Kernel->stop } );
            event( \$dispatcher, \$_ ) for '/1', '/2';
        },
        died => sub { chomp( my \$words = \$_[ARG1]{error_str} ); print "handled \$words "; \$_[KERNEL]->sig_handled },
    } );
    POE::Kernel->run; print 'end';
PERL

is said(
    <<"PERL"), 'oops later end', 'without one run dies, and the events behind it come when it is called again';
    use POE; use ZooKeeper::Dispatcher::POE; $events
    $dispatcher
    watch( \$dispatcher, '/1', sub { die "oops\\n" } );
    watch( \$dispatcher, '/2', sub { print 'later '; undef \$dispatcher } );
    event( \$dispatcher, \$_ ) for '/1', '/2';
    eval { POE::Kernel->run; 1 } or print \$@ =~ s/\\n/ /r;
    watch( \$dispatcher, '/3', sub { } );
    POE::Kernel->run; print 'end';
PERL

is said(<<"PERL"), 'stopped end', 'POE::Kernel->stop in a callback ends run';
    use POE; use ZooKeeper::Dispatcher::POE; $events
    $dispatcher
    watch( \$dispatcher, '/1', sub { print 'stopped '; POE::Kernel->stop } );
    event( \$dispatcher, '/1' );
    POE::Kernel->run; print 'end';
PERL

done_testing;

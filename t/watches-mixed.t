use strict;
use warnings;
use Test::More;
use lib 't/lib';

use TestZK;
use ZooKeeper;
use ZooKeeper::Constants;

# Watches of all kinds on one path, set, fired and taken off at random, over connections that are lost: each watcher
# hears what it would hear if it were alone. WATCHES_SEED does one run again.
my $server = test_server();
my $other  = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
my $base   = fresh_path('mixed');
$other->create($base);

my %type = (
    get                  => 'data',
    exists               => 'data',
    get_children         => 'children',
    persistent           => 'persistent',
    persistent_recursive => 'persistent_recursive',
);
my %removed = ( data => 5, children => 6, persistent => 7, persistent_recursive => 7 );

my @seeds = $ENV{WATCHES_SEED} // map { time % 10_000 * 10 + $_ } 1 .. 6;
for my $seed (@seeds) {
    my $said = eval {
        deadline 120,
          sub { run($seed) }
    } // $@;
    is $said, 'as expected', "WATCHES_SEED=$seed" or last;
}

done_testing;

# A run; returns what was wrong, and where.
sub run {
    my ($seed) = @_;
    srand $seed;
    my $path = "$base/$seed";
    $other->create($path);
    my $zk = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe', timeout => 30_000 );
    $zk->wait_connected(30);
    my ( %armed, @heard, @history );    # armed: name => { watcher, kind }
    my $names = 0;

    # A server before 3.9 has one of these two per path, and no more: the manual says so.
    my $stays = rand() < 0.5 ? 'persistent' : 'persistent_recursive';
    my @kinds = ( 'get', 'exists', 'get_children', $stays );

    for my $step ( 1 .. 150 ) {
        my @expected;
        my $dice = rand;
        if ( $dice < 0.45 ) {
            my ( $kind, $name ) = ( $kinds[ rand @kinds ], 'w' . ++$names );
            push @history, "$name is set: $kind";
            my $cb = sub { push @heard, "$name $_[0]{type} $_[0]{path}" };
            if ( $kind eq $stays ) {
                $armed{$name} = {
                    kind    => $kind,
                    watcher => $zk->add_watch( $path, watcher => $cb, recursive => $kind ne 'persistent' )
                };
            }
            else {
                scalar $zk->$kind( $path, watcher => $cb );
                my ($watcher) = reverse $zk->get_watchers( path => $path, type => $kind );
                $armed{$name} = { kind => $kind, watcher => $watcher };
            }
        }
        elsif ( $dice < 0.65 ) {
            my $sets  = rand() < 0.5;
            my $child = $sets ? undef : $other->create( "$path/c-", sequential => 1 );
            $other->set( $path, $step ) if $sets;
            push @history, $sets ? 'set' : 'create';
            for my $name ( keys %armed ) {
                my $kind = $armed{$name}{kind};
                my $event =
                    $sets                           ? $kind ne 'get_children' && "3 $path"
                  : $kind eq 'persistent_recursive' ? "1 $child"
                  :                                   $kind =~ /\A(?:get_children|persistent)\z/ && "4 $path";
                next if !$event;
                push @expected, "$name $event";
                delete $armed{$name} if $kind ne $stays;
            }
        }
        elsif ( $dice < 0.9 ) {
            next if !%armed;
            my ($name) = ( sort keys %armed )[ rand keys %armed ];
            my $how    = int rand 3;
            my $type   = $type{ $armed{$name}{kind} };
            my @gone =
              $how == 0 ? $name : grep { $how == 2 || $type{ $armed{$_}{kind} } eq $type } keys %armed;
            my @args = $how == 0 ? ( watcher => $armed{$name}{watcher} ) : $how == 1 ? ( type => $type ) : ();
            push @history,
              "removed: @{[ sort @gone ]}" . ( $how == 0 ? ', one' : $how == 1 ? ', type' : ', any' );
            $zk->remove_watches( $path, @args, local => rand() < 0.2 );
            push @expected, map { "$_ $removed{ $type{ $armed{$_}{kind} } } $path" } @gone;
            delete @armed{@gone};
        }
        elsif ( $dice < 0.93 ) {
            push @history, 'connection lost';
            my $lost = 0;
            $zk->watcher( sub { $lost++ if $_[0]{state} == ZOO_CONNECTED_STATE } );
            $server->lose_connection($zk);
            wait_for {
                eval { $zk->exists('/') };
                1 while $zk->dispatcher->dispatch_event;
                $lost
            }
            30, 'the new connection';
            $zk->watcher(undef);
            push @expected, map { "$_ -3 $path" } grep { $armed{$_}{kind} eq $stays } keys %armed;
        }
        else {
            # Several at once, whose answers have not come.
            push @history, 'at once';
            my ( $first, $second ) = map { 'w' . ++$names } 1, 2;
            my @kind = map { $kinds[ rand 3 ] } 1, 2;
            my $add  = $zk->add_watch_f(
                $path,
                recursive => $stays ne 'persistent',
                watcher   => sub { push @heard, "$first $_[0]{type} $_[0]{path}" }
            );
            my $method = "$kind[0]_f";
            my $get =
              $zk->$method( $path, watcher => sub { push @heard, "$second $_[0]{type} $_[0]{path}" } );
            deadline 30, sub { Future->needs_all( $add, $get )->get };
            my ($watcher) = reverse $zk->get_watchers( path => $path, type => $kind[0] );
            $armed{$first}  = { kind => $stays, watcher => $add->get };
            $armed{$second} = { kind => $kind[0], watcher => $watcher };
        }
        $zk->exists('/');
        1 while $zk->dispatcher->dispatch_event;
        my ( $heard, $expected ) = map { join ', ', sort @$_ } \@heard, \@expected;
        @heard = ();
        next if $heard eq $expected;
        return join "\n", "step $step: heard '$heard', not '$expected'; before that:",
          @history[ max_of( 0, $#history - 30 ) .. $#history ];
    }
    return 'as expected';
}

sub max_of {
    my ( $one, $other ) = @_;
    return $one > $other ? $one : $other;
}

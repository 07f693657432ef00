use strict;
use warnings;
use Test::More;
use Digest::SHA qw(sha1_base64);
use lib 't/lib';
use TestZK;
use Time::HiRes qw(sleep);

use ZooKeeper;
use ZooKeeper::Constants;

my $secret  = 'super:secret';
my $digest  = 'super:' . sha1_base64($secret) . '=';
my $servers = test_server(
    servers   => 4,
    spares    => 1,
    config    => { standaloneEnabled => 'false' },
    java_opts => ["-Dzookeeper.DigestAuthenticationProvider.superDigest=$digest"],
);

# Generous: a session must outlive elections on a busy machine.
my @args  = ( timeout => 30_000, dispatcher => 'Pipe' );
my @core  = ( hosts   => join( ',', map { $servers->hosts($_) } 0 .. 2 ), @args );
my $super = ZooKeeper->new( @core, authentication => [ digest => $secret ] );
my $plain = ZooKeeper->new(@core);
my $base  = fresh_path('reconfig');
$plain->create( $base, parents => 1 );

# A call that is repeated while the ensemble is busy with itself: a change may make another server the leader.
my %passes = map { $_ => 1 } ZCONNECTIONLOSS, ZNEWCONFIGNOQUORUM, ZRECONFIGINPROGRESS;

sub persist {
    my ($code) = @_;
    my @result;
    wait_for {
        eval { @result = $code->(); 1 } || ( ref $@ && $passes{ $@->code } ? 0 : die $@ )
    }
    120, 'a call';
    return @result;
}

# Passes when the call fails with this code.
sub refused {
    my ( $code, $name, $call, $retryable ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    local $passes{$code} = 0;
    my @result;
    ok !eval { @result = persist($call); 1 }, "$name is refused" or diag explain \@result;
    is ref $@ && $@->code, $code, "$name: " . zerror($code);
    return is_deeply [ !!$@->is_retryable, !!$@->maybe_applied ], [ !!$retryable, !!0 ],
      "$name: whether to try again";
}

# The servers (counted from 0) and their roles in a configuration; and its version.
sub members {
    my ($data) = @_;
    my %number = $data =~ /^server\.(\d+)=\S+:(participant|observer);/mg;
    return { map { $_ - 1 => $number{$_} } keys %number };
}

sub version {
    my ($data) = @_;
    no warnings 'portable';    # about more than 32 bits
    return hex +( $data =~ /^version=([0-9a-f]+)$/m )[0];
}

# The configuration, no older than what has been written so far.
sub config {
    return persist( sub { $super->sync('/'); $super->get_config } );
}

# Tests that a change leads to these servers and roles.
sub changes_to {
    my ( $name, $change, %expected ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($returned) = persist( sub { $super->reconfig(%$change) } );
    is_deeply members($returned), \%expected, "$name: what reconfig returns";
    return is_deeply members( config() ), \%expected, "$name: what get_config returns";
}

my $role   = 'participant';
my %three  = map { $_ => $role } 0 .. 2;
my $leader = leader_of($servers);
my ($away) = grep { $_ != $leader } 0 .. 2;    # who leads stays, so that there are few elections

sub all_but {
    my ($i) = @_;
    return map { $_ => $role } grep { $_ != $i } 0 .. 2;
}

subtest 'get_config' => sub {
    my ( $data, $stat ) = config();
    is_deeply members($data), \%three, 'names the members, and no spare server';
    is $data =~ s/\nversion=.*//sr, join( "\n", map { $servers->member($_) } 0 .. 2 ),
      'as the test server names them';
    is $stat->{dataLength},       length $data, 'the stat is its own';
    is scalar $super->get_config, $data,        'scalar context: data';
    is_deeply [ $super->get_config_f->get ], [ $data, $stat ], 'a future';
    my @told;
    $super->get_config( cb => sub { @told = @_ } );
    wait_for { $super->wait(0.1); scalar @told } 60, 'the callback';
    is_deeply \@told, [ undef, $data, $stat ], 'a callback';

    my $below = ZooKeeper->new( @core, hosts => $plain->hosts . $base );
    is scalar $below->get_config, $data, 'a chroot makes no difference';
};

subtest 'arguments that no server would make sense of' => sub {
    my $line = $servers->member(3);
    my $none = 'none of joining, leaving and members is given';
    my $both = 'members goes with neither joining nor leaving';
    my $ids  = 'leaving must be numbers of servers, with commas between them';
    my %case = (
        'nothing'           => [$none],
        'nothing but undef' =>
          [ $none, joining => undef, leaving => undef, members => undef, version => undef ],
        'a version alone'     => [ $none,              version => 7 ],
        'members and joining' => [ $both,              members => $line, joining => $line ],
        'members and leaving' => [ $both,              members => $line, leaving => 1 ],
        'no members'          => [ 'members is empty', members => [] ],
        'blank members'       => [ 'members is empty', members => ' , ' ],
        'a name that leaves'  => [ $ids,               leaving => 'server.1' ],
        'a line that leaves'  => [ $ids,               joining => $line, leaving => [ 1, $line ] ],
        'no number'           => [ q(version 'x' is not an integer), leaving => 1, version => 'x' ],
        'a long number'       => [
            q(version '9223372036854775808' is not an integer),
            leaving => 1,
            version => '9223372036854775808'
        ],
    );
    my $silent = ZooKeeper->new( hosts => '127.0.0.1:1', @args );    # so surely nobody is asked
    for my $name ( sort keys %case ) {
        my ( $words, @change ) = @{ $case{$name} };
        for my $method (qw(reconfig reconfig_f)) {
            ok !eval { $silent->$method(@change); 1 }, "$name: $method throws at the call";
            is ref $@ && $@->code, ZBADARGUMENTS, 'bad arguments';
            like $@, qr/\AError changing the configuration: bad arguments: \Q$words\E at /, 'and says which';
        }
    }
    for my $joining ( {}, [ [] ], [ $line, undef ] ) {
        ok !eval { $silent->reconfig( joining => $joining ); 1 }, 'what is no string is of the wrong type';
        like $@, qr/\Areconfig: joining must be a string or an array ref of strings at /, 'and it says so';
    }
    is_deeply members( ( config() )[0] ), \%three, 'nothing was changed';
};

subtest 'what the servers refuse' => sub {
    refused ZNOAUTH,       'a client without permission', sub { $plain->reconfig( leaving => 77 ) };
    refused ZBADARGUMENTS, 'nonsense that joins',         sub { $super->reconfig( joining => 'nonsense' ) };
    refused ZBADARGUMENTS, 'members that are nonsense',   sub { $super->reconfig( members => 'nonsense' ) };
    refused ZBADARGUMENTS, 'that all leave',              sub { $super->reconfig( leaving => '1,2,3' ) };
    my $now = version( config() );
    refused ZBADVERSION, 'an older version', sub { $super->reconfig( leaving => 77, version => $now - 1 ) };
    refused ZBADVERSION, 'as a future', sub { $super->reconfig_f( leaving => 77, version => $now + 1 )->get };
    my @absent =
      map { sprintf 'server.%d=127.0.0.1:%d:%d:participant;127.0.0.1:%d', $_, $_, $_ + 10, $_ + 20 } 20, 21;
    refused ZNEWCONFIGNOQUORUM, 'a majority that is not there',
      sub { $super->reconfig( members => [ $servers->member(0), @absent ] ) }, 1;
    is version( config() ), $now, 'nothing was changed';
    is_deeply members( config() ), \%three, 'neither the version nor the members';
};

subtest 'a version that is right' => sub {
    my $now = version( config() );
    my ( $data, $stat ) = $super->reconfig( leaving => 77, version => $now );
    is_deeply members($data), \%three, 'a server that is none leaves';
    cmp_ok version($data), '>', $now, 'the version grows';
    is $stat->{mzxid}, version($data), 'it is the transaction of the change';
    cmp_ok $now = version($data), '<', version( $super->reconfig_f( leaving => [77], version => $now )->get ),
      'a future';
    my @told;
    $super->reconfig( leaving => [ 77, 78 ], cb => sub { @told = @_ } );
    wait_for { $super->wait(0.1); scalar @told } 60, 'the callback';
    is $told[0], undef, 'a callback';
    is_deeply members( $told[1] ), \%three, 'with the configuration';
    is $told[2]{mzxid}, version( $told[1] ), 'and the stat';
};

subtest 'watchers hear of a change, once' => sub {
    my ( %event, %handle );
    my %hosts = ( plain => $plain->hosts, below => $plain->hosts . $base );
    for my $who ( sort keys %hosts ) {
        $handle{$who} = ZooKeeper->new( @core, hosts => $hosts{$who} );
        $handle{$who}->get_config( watcher => sub { push @{ $event{$who} }, @_ } );
    }
    persist( sub { $super->reconfig( leaving => 77 ) } ) for 1 .. 2;
    for my $who ( sort keys %handle ) {
        wait_for { $handle{$who}->wait(0.1); $event{$who} } 60, 'the event';
        persist( sub { $handle{$who}->sync('/') } );
        1 while $handle{$who}->dispatcher->dispatch_event;
        is_deeply $event{$who},
          [ { type => ZOO_CHANGED_EVENT, state => ZOO_CONNECTED_STATE, path => '/zookeeper/config' } ],
          "$who: the path is no other with a chroot";
    }
};

subtest 'changes' => sub {
    my $line = $servers->member($away);
    changes_to( 'a server leaves', { leaving => $away + 1 },     all_but($away) );
    changes_to( 'it comes again',  { joining => $line },         %three );
    changes_to( 'as a list',       { leaving => [ $away + 1 ] }, all_but($away) );
    changes_to( 'two join', { joining => [ $line, $servers->member( 3, 'observer' ) ] },
        %three, 3 => 'observer' );
    changes_to( 'the observer gets a vote', { joining => $servers->member(3) },   %three, 3 => $role );
    changes_to( 'and loses it', { joining => $servers->member( 3, 'observer' ) }, %three, 3 => 'observer' );
    changes_to(
        'one joins, one leaves',
        { joining => $servers->member(3), leaving => $away + 1 },
        all_but($away), 3 => $role
    );
    changes_to( 'all are named', { members => [ map { $servers->member($_) } 0 .. 2 ] }, %three );
    changes_to(
        'in one string',
        { members => join ',', map { $servers->member($_) } 0 .. 3 },
        %three, 3 => $role
    );
};

# Where clients reach the members of a configuration.
sub hosts_of {
    my ($data) = @_;
    return join ',', $data =~ /^server\.\d+=[^;]*;([\d.]+:\d+)$/mg;
}

# Has a client use the servers of the configuration, now and whenever it changes.
sub follow {
    my ($client) = @_;
    my $zk = $client->{zk};
    return $zk->get_config(
        watcher => sub { follow($client) },
        cb      => sub {
            my ( $error, $data ) = @_;
            return                 if $client->{ended};
            return follow($client) if $error;
            $zk->set_hosts( $client->{hosts} = hosts_of($data) );
        }
    );
}

# Whether these members have the configuration and keep their connections. One that has just joined first lets go of all it
# has; clients that come then go elsewhere, and stay there. They look for none before their loop runs.
sub all_serve {
    my @members = @_;
    my ($data) = config();
    my @handles =
      map { ZooKeeper->new( @args, hosts => $servers->hosts($_), request_timeout => 5 ) } @members;
    for my $pause ( 0.5, 0 ) {
        for my $zk (@handles) {
            eval { $zk->sync('/'); $zk->get_config eq $data } && !$zk->metrics->{reconnects} or return 0;
        }
        sleep $pause;
    }
    return 1;
}

subtest 'sixty clients that follow the configuration spread over the servers that it has' => sub {
    my @clients = map { { zk => ZooKeeper->new(@core) } } 1 .. 60;
    $_->{zk}->wait_connected for @clients;
    my %id = map { $_ => $_->{zk}->client_id->{client_id} } @clients;
    follow($_) for @clients;
    my $spread = sub {
        my $hosts = hosts_of( config() );
        my %at;

        my @members = grep { index( $hosts, $servers->hosts($_) ) >= 0 } 0 .. 3;
        wait_for { all_serve(@members) } 120, 'all members to serve';
        wait_for {
            $_->{zk}->dispatcher->run_loop_once(0) for @clients;
            %at = ();
            $at{ $servers->server_of( $_->{zk} ) // 'nowhere' }++ for @clients;
            !$at{nowhere}
              && !grep { ( $_->{hosts} // '' ) ne $hosts || index( $hosts, $_->{zk}->server ) < 0 } @clients;
        }
        60, 'all to follow';
        return map { $at{$_} // 0 } 0 .. 3;
    };

# A fourth of sixty is 15, with a standard deviation of 3.4; a third 20, with 3.7. Beyond six of them, or at nothing,
# it is a mistake and no chance.
    my @four = $spread->();
    is scalar( grep { !$_ || $_ > 35 } @four ), 0, 'over four' or diag "@four";
    persist( sub { $super->reconfig( leaving => $away + 1 ) } );
    my @three = $spread->();
    is splice( @three, $away, 1 ),               0, 'one leaves: nobody is there';
    is scalar( grep { !$_ || $_ > 42 } @three ), 0, 'as many at each of the others' or diag "@three";
    persist( sub { $super->reconfig( joining => $servers->member($away) ) } );
    my @again = $spread->();
    is scalar( grep { !$_ || $_ > 35 } @again ), 0, 'it joins again: over four' or diag "@again";
    is scalar( grep { $_->{zk}->client_id->{client_id} != $id{$_} } @clients ), 0,
      'all have kept their sessions';
    note "four: @four; three: @three; four again: @again";

    for my $client (@clients) {
        $client->{ended} = 1;
        $client->{zk}->close;
        delete $client->{zk};
    }
};

# A handle that is connected to this server, and knows all.
sub connected_to {
    my ($i) = @_;
    return wait_for {
        my $zk = ZooKeeper->new( hosts => $servers->hosts, @args );
        eval {
            persist( sub { $zk->exists('/') } );
            $servers->server_of($zk) == $i;
        } && $zk
    }
    120, "a connection to server $i";
}

# What a session has, and that it has it still.
sub is_kept {
    my ( $zk, $node, $id, $seen ) = @_;
    is $zk->client_id->{client_id}, $id, 'the session is the same';
    my ($stat) = persist( sub { $zk->exists("$node-mine") } );
    is $stat && $stat->{ephemeralOwner}, $id, 'its ephemeral node is there';
    persist( sub { $super->set( $node, 'changed' ) } );
    wait_for { $zk->wait(0.1); @$seen } 60, 'the event';
    is $seen->[0]{path}, $node, 'and its watch';
    return;
}

# A follower goes on to serve its clients although it is a member no more; a leader steps down, and drops them.
for my $case ( [ 'a follower, which then ends', 3 ], ['the leader'] ) {
    my ( $name, $i ) = @$case;
    subtest "the client of a server that leaves: $name" => sub {
        my $leads = !defined $i;
        $i = leader_of($servers) if $leads;
        my $zk   = connected_to($i);
        my $node = "$base/leaves-$i";
        my ( @seen, @session );
        persist( sub { $super->exists($node) || $super->create($node) } );
        persist( sub { $zk->exists("$node-mine") || $zk->create( "$node-mine", ephemeral => 1 ) } );
        my $id = $zk->client_id->{client_id};
        persist(
            sub {
                $zk->get( $node, watcher => sub { push @seen, @_ } );
            }
        );
        $zk->watcher( sub { push @session, $_[0]{state} } );

        persist( sub { $super->reconfig( leaving => $i + 1 ) } );
        ok !exists members( config() )->{$i}, 'it is a member no more';
        $servers->kill($i) if !$leads;
        wait_for { $zk->wait(0.1); @session } 60, 'the loss of the connection';
        is $session[0], ZOO_CONNECTING_STATE, 'the connection is lost';
        is_kept( $zk, $node, $id, \@seen );
        isnt $servers->server_of($zk), $i, 'the client is somewhere else' if !$leads;
    };
}

subtest 'reconfigEnabled=false' => sub {
    my $other = test_server( servers => 2, config => { reconfigEnabled => 'false' } );
    my $zk    = ZooKeeper->new( hosts => $other->hosts, @args );
    ok !eval { $zk->reconfig( leaving => 77 ); 1 }, 'reconfig throws';
    is $@->code, ZRECONFIGDISABLED, 'disabled';
    like $@, qr/\AError changing the configuration: reconfiguration is disabled at /, 'message';
    ok !$@->maybe_applied && !$@->is_retryable, 'nothing was done, and nothing will';
    is_deeply members( scalar $zk->get_config ), { 0 => $role, 1 => $role }, 'get_config works';
};

subtest 'a server alone' => sub {
    my $other = test_server();
    my @session;
    my $zk = ZooKeeper->new( hosts => $other->hosts, @args, watcher => sub { push @session, $_[0]{state} } );
    ok !eval { $zk->reconfig( leaving => 77 ); 1 }, 'reconfig throws';
    is $@->code, ZUNIMPLEMENTED, 'unimplemented';
    $zk->exists('/');
    1 while $zk->dispatcher->dispatch_event;
    is_deeply \@session, [ZOO_CONNECTED_STATE], 'the connection stays';
    is scalar $zk->get_config, '', 'get_config: an empty one' or diag explain [ $zk->get_config ];
};

done_testing;

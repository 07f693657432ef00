# examples/mojo-page.pl over HTTP, with all that can happen to its node and its session.
use strict;
use warnings;
use Test::More;
use lib 't/lib';

BEGIN {
    plan skip_all => 'needs Mojolicious (package libmojolicious-perl)' if !eval { require Test::Mojo };
    require Mojo::File;
    require Mojo::IOLoop;
    require Mojo::JSON;
    Mojo::JSON->import('decode_json');
}
use ExampleProgram;
use File::Temp ();
use TestZK;
use ZooKeeper;
use ZooKeeper::Constants;

my $server = test_server();
my $hosts  = $server->hosts;
my $zk     = ZooKeeper->new( hosts => $hosts, dispatcher => 'Pipe', timeout => 30_000 );
my $path   = $zk->create( fresh_path('page'), value => 'first' );

# Seconds for what comes at once. It may have to wait for a processor.
my $SOON = 60;

my $t = do {
    local @ARGV = ( $hosts, $path );
    Test::Mojo->new( Mojo::File->new('examples/mojo-page.pl') );
};
$t->app->log->level('fatal');
$t->ua->inactivity_timeout(0)->request_timeout(0);
my $node = $t->app->node;

# What the program says when it tries again.
my @warnings;
$SIG{__WARN__} = sub { push @warnings, @_ };

# An open page: the words that it was told, the newest last.
sub open_page {
    my ($server) = @_;
    my $page     = { told => [], rest => '' };
    my $tx       = $t->ua->build_tx( GET => ( $server // '' ) . '/changes' );
    $tx->res->max_message_size(0);
    $tx->res->content->unsubscribe('read')->on(
        read => sub {
            my ( undef, $bytes ) = @_;
            $page->{type} //= $tx->res->headers->content_type;
            $page->{rest} .= $bytes;
            while ( $page->{rest} =~ s/\A(.*?)\n\n//s ) {
                push @{ $page->{told} }, decode_json($1) if $1 =~ /\Adata: (.*)\z/;
            }
        }
    );
    $page->{tx} = $tx;
    $t->ua->start( $tx, sub { $page->{over} = 1 } );
    return $page;
}

sub close_page {
    my ($page) = @_;
    Mojo::IOLoop->remove( $page->{tx}->connection );
    return;
}

sub loop_until (&) {
    my ($condition) = @_;
    return eval {
        deadline $SOON, sub { Mojo::IOLoop->one_tick until $condition->(); 1 };
    };
}

# Passes when the newest words are these.
sub is_told {
    my ( $page, $words, $name ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $is = sub {
        my $last = $page->{told}[-1] // return;
        return !grep { $last->{$_} ne $words->{$_} } keys %$words;
    };
    return ok( ( loop_until { $is->() } ), $name ) || diag explain $page->{told};
}

subtest 'wrong usage is told' => sub {
    ExampleProgram->usage_is( 64, qr{\Ausage: .* HOSTS /PATH COMMAND}, 'mojo-page', @$_ )
      for [], [$hosts], [ $hosts, 'x', 'daemon' ];
};

subtest 'the page' => sub {
    $t->get_ok('/')->status_is(200)->content_type_like(qr{\Atext/html})
      ->header_is( 'Cache-Control' => 'no-store' );
    $t->text_is( h1         => $path )->text_is( '#text' => 'first' )->text_is( '#status' => 'version 0' );
    $t->text_is( '#warning' => '' )->content_like(qr{new EventSource\('/changes'\)});
};

subtest 'changes are pushed' => sub {
    my $page = open_page();
    is_told( $page, { text => 'first', status => 'version 0', warning => '' }, 'at first what is there' );
    is $page->{type}, 'text/event-stream', 'as a stream of events';
    for my $n ( 1 .. 3 ) {
        $zk->set( $path, "change $n" );
        is_told( $page, { text => "change $n", status => "version $n" }, "change $n of another client" );
    }
    $zk->delete($path);
    is_told( $page, { text => '', status => 'no node' }, 'it is deleted' );
    $t->get_ok('/')->status_is(404)->text_is( '#status' => 'no node' );
    $zk->create( $path, value => 'again' );
    is_told( $page, { text => 'again', status => 'version 0' }, 'and created' );
    $t->get_ok('/')->status_is(200)->text_is( '#text' => 'again' );
    $zk->set( $path, $_ ) for 1 .. 500;
    is_told(
        $page,
        { text => 500, status => 'version 500' },
        'many changes: the last one is there in the end'
    );
    close_page($page);
};

subtest 'what the node holds is no part of the page' => sub {
    my $page = open_page();
    my %text = (
        q{</pre><script>alert("1 & 2")</script>'} => undef,
        "two\nlines\r\n\ndata: {}\n\n"            => undef,
        "\xc3\xa9\xe2\x82\xac"                    => "\x{e9}\x{20ac}",
        "\xff\xfe\0"                              => "\xff\xfe\0",
        ''                                        => '',
    );
    for my $data ( sort keys %text ) {
        my $text = $text{$data} // $data;
        $zk->set( $path, $data );
        is_told( $page, { text => $text }, 'in an event' );
        $t->get_ok('/');
        my $got = $t->tx->res->dom->at('#text')->text;
        is $got =~ tr/\r\n\0//dr,                  $text =~ tr/\r\n\0//dr, 'in the page';
        is $t->tx->res->dom->find('script')->size, 1,                      'whose only script is its own';
    }
    $zk->delete($path);
    $zk->create($path);
    is_told( $page, { text => '', status => 'version 0' }, 'no data at all' );
    is_deeply \@warnings, [], 'and nothing is complained of';
    close_page($page);
};

subtest 'many pages, one watch' => sub {
    my @pages = map { open_page() } 1 .. 20;
    is_told( $_, { text => '' }, 'open' ) for @pages;
    my ($watches) = $server->four_letter( 0, 'mntr', 30 ) =~ /^zk_watch_count\s+(\d+)/m;
    is $watches, 1, 'the server has one';
    $zk->set( $path, 'for all' );
    is_told( $_, { text => 'for all' }, 'told' ) for @pages;
    close_page($_) for @pages;
    ok + ( loop_until { !@{ $node->subscribers('change') } } ), 'pages that are closed leave nothing behind';
    is_deeply( Mojo::IOLoop->singleton->subscribers('finish'), [], 'in the loop neither' );
};

subtest 'a connection that is lost' => sub {
    my $page = open_page();
    is_told( $page, { text => 'for all' }, 'open' );
    $server->lose_connection( $node->zk );
    $zk->set( $path, 'after' );
    is_told( $page, { text => 'after', warning => '' }, 'the watch lives on' );

    $server->kill;
    is_told( $page, { text => 'after', warning => 'no connection: this may be out of date' }, 'no server' );
    $t->get_ok('/')->status_is(200)->text_is( '#text' => 'after' )
      ->text_like( '#warning' => qr/no connection/ );
    $server->start;
    is_told( $page, { text => 'after', warning => '' }, 'it is back' );
    $zk->set( $path, 'and on' );
    is_told( $page, { text => 'and on' }, 'the watch still lives' );
    close_page($page);
};

subtest 'a session that expires' => sub {
    my $page    = open_page();
    my $session = $node->zk->client_id->{client_id};
    is_told( $page, { text => 'and on' }, 'open' );
    $server->expire_session( $node->zk );
    $zk->set( $path, 'another session' );
    is_told( $page, { text => 'another session', warning => '' }, 'another one follows' );
    isnt $node->zk->client_id->{client_id}, $session, 'it is another one';
    $zk->set( $path, 'with a watch' );
    is_told( $page, { text => 'with a watch' }, 'with its own watch' );
    is scalar( my @watchers = $node->zk->get_watchers( path => $path ) ), 1, 'and no other';
    close_page($page);
};

subtest 'workers' => sub {
    my $sessions = sub { ( $server->four_letter( 0, 'cons', 30 ) // '' ) =~ /sid=(0x\w+)/g };
    my %before   = map { $_ => 1 } $sessions->();
    my $dir      = File::Temp->newdir;
    my @options  = ( '-l', 'http://127.0.0.1', '-P', "$dir/pid", '-w', 2, '-c', 10 );
    my $program  = ExampleProgram->start( 'mojo-page', $hosts, $path, 'prefork', @options );
    my ($url)    = $program->wait_line(qr{ at http://127\.0\.0\.1:\d+}) =~ m{(http://\S+:\d+)};

    # More pages than one worker takes.
    my @pages = map { open_page($url) } 1 .. 15;
    is_told( $_, { text => 'with a watch', warning => '' }, 'a page' ) for @pages;
    is scalar( grep { !$before{$_} } $sessions->() ), 2,
      'each worker has a session, and their parent has none';
    $zk->set( $path, 'for all workers' );
    is_told( $_, { text => 'for all workers' }, 'told' ) for @pages;
    $program->signal('QUIT');
    ok + (
        loop_until {
            !grep { !$_->{over} } @pages
        }
      ),
      'a graceful end does not wait for the pages';
    is $program->exit_code, 0, 'it is the end';
    is_deeply [ grep { /not yet|panic|perl/i } $program->lines ], [], 'without a complaint';
};

done_testing;

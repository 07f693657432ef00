#!/usr/bin/perl
# A web page that shows a node, and changes when the node does: a Mojolicious application.
#
#     perl -Mblib examples/mojo-page.pl HOSTS PATH COMMAND [OPTIONS]
#     perl -Mblib examples/mojo-page.pl localhost:2181 /page daemon -l http://127.0.0.1:8080
#     perl -Mblib examples/mojo-page.pl localhost:2181 /page prefork -w 4 -l 'http://*:8080'
#
# COMMAND is one of Mojolicious's. A browser gets a page with what the node holds, and then hears of changes in a stream
# of events (EventSource), which it opens again by itself when it breaks off. Each process has one session and one
# watch, however many pages are open. While there is no connection to a server the pages say so, and show what was last
# known.
use Mojolicious::Lite;
use Mojo::JSON qw(encode_json);

# What is known of a node, kept up to date by a watch; emits "change". It lives as long as its process.
package Node {
    use Mojo::Base 'Mojo::EventEmitter';
    use Mojo::IOLoop;
    use Mojo::Util qw(decode);
    use ZooKeeper;
    use ZooKeeper::Constants;

    # Seconds: a page is not waited for any longer, and after a failure there is another attempt.
    my ( $PATIENCE, $AGAIN ) = ( 5, 1 );

    has [qw(hosts path zk known)];

    sub new {
        my $self    = shift->SUPER::new(@_);
        my $session = sub {
            if ( $self->zk->is_unrecoverable ) {    # with the session its watch ends, too
                $self->zk->reopen;
                $self->look;
            }
            $self->emit('change');
        };
        $self->zk( ZooKeeper->new( hosts => $self->hosts, dispatcher => 'Mojo', watcher => $session ) );
        $self->look;
        return $self;
    }

    # The words on a page, by their places.
    sub words {
        my ($self)  = @_;
        my $known   = $self->known;
        my $version = $known && $known->{version};
        return {
            status  => defined $version ? "version $version" : $known ? 'no node' : 'not known',
            text    => $known && $known->{text} // '',
            warning => $self->zk->is_connected ? '' : 'no connection: this may be out of date',
        };
    }

    # A promise that the node has been read.
    sub read_p {
        my ($self) = @_;
        my $knows = sub { $self->known( {@_} ) };
        return $self->zk->get_p( $self->path, request_timeout => $PATIENCE )->then(
            sub {
                my ( $data, $stat ) = @_;
                $data //= '';
                $knows->( version => $stat->{version}, text => decode( 'UTF-8', $data ) // $data );
            },
            sub {
                my ($error) = @_;
                $error == ZNONODE ? $knows->() : die $error;
            }
        );
    }

    # Asks to be told of the next change, and then reads: so none can be missed. `exists` does that where
    # there is no node, too. A watch that an earlier attempt may have left is taken off: there is but one.
    sub look {
        my ($self)  = @_;
        my $attempt = ++$self->{attempt};
        my $changed = sub { $self->look };
        $self->zk->remove_watcher( path => $self->path, type => 'exists' );
        $self->zk->exists_p( $self->path, watcher => $changed )->then( sub { $self->read_p } )
          ->then( sub { $self->emit('change') } )->catch(
            sub {
                my ($error) = @_;
                my $again = sub { $self->look if $attempt == $self->{attempt} };
                warn "not yet: $error";
                Mojo::IOLoop->timer( $AGAIN => $again );
            }
          );
        return;
    }
}

my ( $hosts, $path ) = splice @ARGV, 0, 2;
if ( ( $path // '' ) !~ m{\A/} ) {
    print STDERR "usage: $0 HOSTS /PATH COMMAND [OPTIONS]\n";
    exit 64;
}

# Made by the first request, in the process that serves it: workers are forked, and a session is one process's own.
my %node;
helper node => sub { $node{$$} //= Node->new( hosts => $hosts, path => $path ) };

get '/' => sub {
    my ($c) = @_;
    my $node = $c->render_later->node;
    return $node->read_p->catch( sub { $c->app->log->warn("not read: $_[0]") } )->then(
        sub {
            my $known = $node->known;
            $c->res->headers->cache_control('no-store');
            $c->stash( name => $path, words => $node->words );
            $c->render( 'page', status => !$known ? 503 : !%$known ? 404 : 200 );
        }
    );
};

get '/changes' => sub {
    my ($c)  = @_;
    my $node = $c->node;
    my $loop = Mojo::IOLoop->singleton;
    $c->res->headers->content_type('text/event-stream')->cache_control('no-store');

    # The page may be older than this stream: it is told again. JSON is one line, as an event has to be.
    my $tell   = sub { $c->write( 'data: ' . encode_json( $node->words ) . "\n\n" ) };
    my $change = $node->on( change => $tell );
    $tell->();

    # A browser that has gone is noticed when something is sent; one that has not must not keep a worker
    # from ending.
    my $alive = $loop->recurring( 10 => sub { $c->write(":\n\n") } );
    my $end   = $loop->on( finish => sub { $c->finish } );
    $c->on(
        finish => sub {
            $node->unsubscribe( change => $change );
            $loop->unsubscribe( finish => $end )->remove($alive);
        }
    );
};

app->start;

__DATA__

@@ page.html.ep
<!DOCTYPE html>
<html>
  <head><meta charset="utf-8"><title><%= $name %></title></head>
  <body>
    <h1><%= $name %></h1>
    <p id="status"><%= $words->{status} %></p>
    <p id="warning"><%= $words->{warning} %></p>
    <pre id="text"><%= $words->{text} %></pre>
    <script>
      // textContent, not innerHTML: what the node holds is no part of the page.
      const put = (id, words) => { document.getElementById(id).textContent = words };
      const changes = new EventSource('<%= url_for '/changes' %>');
      changes.onmessage = event => {
        Object.entries(JSON.parse(event.data)).forEach(([id, words]) => put(id, words));
      };
      changes.onerror = () => put('warning', 'no connection: this may be out of date');
    </script>
  </body>
</html>

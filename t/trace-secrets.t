use strict;
use warnings;
use Test::More;
use lib 't/lib';
use TestZK;
use TraceFile;

use Digest::SHA  qw(sha1_base64);
use MIME::Base64 qw(encode_base64);
use ZooKeeper;
use ZooKeeper::Constants;

my $server   = test_server();
my $login    = 'alice:s3cret-password';
my $password = 's3cret-password';
my $hash     = sha1_base64($login) . '=';
my $foreign  = sha1_base64('bob:another') . '=';

# All that must not be seen, in all the ways in which a log may show bytes; and halves of it.
sub forms {
    my ($bytes) = @_;
    my @parts = ($bytes);
    push @parts, unpack '(a8)*', $bytes if length $bytes > 8;
    my %forms;
    for my $part ( grep { length > 4 } @parts ) {
        my @codes = unpack 'C*', $part;
        $forms{$_} = 1
          for $part, unpack( 'H*', $part ), uc unpack( 'H*', $part ),
          encode_base64( $part, '' ) =~ s/=+\z//r,
          join( ' ',  map { sprintf '%02x',     $_ } @codes ),
          join( '',   map { sprintf '\x%02x',   $_ } @codes ),
          join( '',   map { sprintf '\x{%02x}', $_ } @codes ),
          join( ', ', @codes ),
          join( '',   map { $_ >= 32 && $_ < 127 ? chr : sprintf '\x%02x', $_ } @codes );
    }
    return sort keys %forms;
}

for my $level ( 1 .. 4 ) {
    subtest "level $level" => sub {
        my $trace = TraceFile->new($level);
        my $path  = fresh_path('secret');
        my @sessions;
        deadline 60, sub {
            my $zk = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe', timeout => 30_000 );
            $zk->add_auth( 'digest', $login );
            $zk->create( $path, value => 'visible-data', acl => ZOO_CREATOR_ALL_ACL );
            $zk->set( $path, 'visible-data' );
            push @sessions, $zk->client_id;
            my ($acl) = $zk->get_acl($path);
            is $acl->[0]{id}, "alice:$hash", 'the access list holds a hash';
            push @$acl, { scheme => 'digest', id => "bob:$foreign", perms => 1 };
            $zk->set_acl( $path, $acl );
            eval { $zk->create( $path, value => 'visible-data', acl => $acl ) };
            eval { $zk->add_auth( digest => [$login] ) };
            $server->lose_connection($zk);
            soon_ok {
                eval { $zk->get($path) }
            }
            30, 'it comes back';
            eval { $zk->transaction->set( $path, 'visible-data' )->create( $path, acl => $acl )->commit };
            my $id = $zk->client_id;
            $zk->close;
            $zk->reopen( authentication => [ digest => $login ] );
            $zk->get($path);
            push @sessions, $zk->client_id;
            eval { $zk->reopen( client_id => $id ); $zk->get($path) };    # a session that is gone
            $zk->close;
            eval { ZooKeeper->new( hosts => $server->hosts, client_id => { %$id, passwd => 'too short' } ) };

            # As some other client spells it.
            my $slip = ZooKeeper->new( hosts => $server->hosts, dispatcher => 'Pipe' );
            $slip->add_auth( "digest:$login", '' );
            eval { $slip->exists($path) };
        };
        my $content = $trace->content;
        is $trace->levels, join( ' ', sort +( 'error', 'warn', 'info', 'debug' )[ 0 .. $level - 1 ] ),
          'there are lines of every level up to this one';
        for my $secret (
            [ credentials          => $login ],
            [ password             => $password ],
            [ hash                 => $hash ],
            [ 'hash of another'    => $foreign ],
            [ 'what was no passwd' => 'too short' ],
            map { [ "passwd of session $_" => $sessions[ $_ - 1 ]{passwd} ] } 1,
            2
          )
        {
            my ( $name, $bytes ) = @$secret;
            is_deeply [ grep { index( $content, $_ ) >= 0 } forms($bytes) ], [], "no $name in any form";
        }
        my $data = () = $content =~ /visible-data/g;
        $level == 4 ? cmp_ok( $data, '>=', 4, 'data is shown' ) : is( $data, 0, 'and no data' );
    };
}

done_testing;

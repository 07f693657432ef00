# script/prove lets no test wait for another, and says again at the end what failed ones said.
use strict;
use warnings;

use Test::More;
use lib 'xt/lib';
use SmallTests qw(said_by test_dir test_file);

local $ENV{ZOOKEEPER_TEST_JOBS} = 2;
my $dir    = test_dir();
my $silent = test_file(
    'silent.t', <<"PERL"
for ( 1 .. 600 ) { last if -e '$dir/third'; select undef, undef, undef, 0.1 }
ok -e '$dir/third', 'the others have run';
PERL
);
my $second = test_file( 'second.t', 'diag "a word of the second"; pass;' );
my $third  = test_file( 'third.t',  "open my \$out, '>', '$dir/third'; pass;" );
my ( $status, @lines ) = said_by( 'script/prove', $silent, $second, $third );
is $status, 0, 'one that says nothing for long does not keep the others' or diag @lines;
is scalar( grep { /a word of the second/ } @lines ), 1, 'what one says that passes is said once';

my $fails = test_file( 'fails.t', 'diag "line $_" for 1 .. 30; fail "as it should";' );
( $status, @lines ) = said_by( 'script/prove', $fails, $second );
is $status, 1, 'one that fails';
my ($end) = grep { $lines[$_] =~ /\AResult: FAIL/ } 0 .. $#lines;
my @again = @lines[ $end + 1 .. $#lines ];
ok scalar( grep { $_ eq "$fails said:\n" } @again ),       'is named behind the result';
ok scalar( grep { /Failed test 'as it should'/ } @again ), 'with what it said';
ok !grep( { /line 1$|a word/ } @again ),                   'the end of it, and nobody else';

( $status, @lines ) = said_by( 'script/prove', $fails );
is scalar( grep { /Failed test 'as it should'/ } @lines ), 1, 'a file alone is heard once';

( $status, @lines ) = said_by( 'script/prove', '--no-such-option' );
is $status, 2, 'an option that it does not know';

done_testing;

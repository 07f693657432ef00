use strict;
use warnings;
use Test::More;
use lib 't/lib';
use ArgumentFuzz;
use ArgumentFuzz::Found;
use TestZK;

# Calls with arguments of all kinds: programs made of two numbers. For longer, and with other seeds: script/fuzz arguments.
my $hosts = test_hosts();
my $SEED  = at_length( time % 2**31, 7 );

subtest 'the same numbers make the same program' => sub {
    my %texts = map { ArgumentFuzz::text( $SEED, $_ ) => 1 } 1 .. 50;
    is keys %texts,                      50, 'fifty different ones';
    is ArgumentFuzz::text( $SEED, 1 ),   ArgumentFuzz::text( $SEED,     1 ), 'and the same again';
    isnt ArgumentFuzz::text( $SEED, 1 ), ArgumentFuzz::text( $SEED + 1, 1 ), 'another seed makes others';
};

# So that it is known to be found.
my %wrong = (
    'a crash'                  => [ 'kill SEGV => $$;', qr/the process ends with status 1?\d\d?\b/ ],
    'a value that was changed' =>
      [ q(my $v = 'x'; my $k = keep(\$v); $v = 'y'; unchanged($k);), qr/was changed/ ],
    'an exception without line' =>
      [ q(call( void => sub { die "at lib/X.pm line 1.\n" } );), qr/died: at lib/ ],
    'a warning'          => [ q(warn "odd at lib/X.pm line 1.\n";), qr/warned: odd/ ],
    'an answer too many' =>
      [ q(my $cb; call( void => sub { $cb = answer(1) } ); $cb->() for 1, 2;), qr/came 2 times/ ],
    'a function that stays' => [ q(push @ArgumentFuzz::Case::kept, answer(0);), qr/still alive/ ],
    'a broken session'      =>
      [ q(my ($zk) = ArgumentFuzz::Worker::given(); $zk->reopen;), qr/session is another/ ],
);

subtest 'what is wrong is found' => sub {
    for my $what ( sort keys %wrong ) {
        my ( $text, $words ) = @{ $wrong{$what} };
        my $run = ArgumentFuzz::run_text( $hosts, "$text ArgumentFuzz::Worker::settle();\n" );
        like join( '', map { $_->{words} } @{ $run->{findings} } ), $words, $what;
    }
};

subtest 'what was found before' => sub {
    my @programs = ArgumentFuzz::Found::programs();
    my $run      = ArgumentFuzz::run_text( $hosts, join "\n# next\n", map { $_->[1] } @programs );
    my @found    = map { "$_->{case}: $_->{words}" } @{ $run->{findings} };
    for my $number ( 1 .. @programs ) {
        is join( '', grep { /\Atext\.$number\b/ } @found ), '', $programs[ $number - 1 ][0];
    }
    is "@found", '', 'and nothing else';
};

subtest "calls with arguments of all kinds, seed $SEED" => sub {
    my $run = ArgumentFuzz::fuzz(
        hosts   => $hosts,
        seed    => $SEED,
        seconds => at_length( 900, 6 ),
        batch   => at_length( 400, 60 )
    );
    ok $run->{count}, "$run->{count} programs";
    my @said = $run->said;
    is @said, 0, 'nothing found' or diag @said;
};

done_testing;

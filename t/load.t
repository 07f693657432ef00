use strict;
use warnings;

use Config;
use File::Spec;
use Test::More;

my ($so) = grep { -e } map { "$_/auto/ZooKeeper/ZooKeeper.so" } grep { !ref } @INC;
BAIL_OUT('the extension is not built: run "make" first') if !$so;

my @inc = map { "-I$_" } grep { !ref } @INC;

subtest 'the library needs nothing but the C library' => sub {
    my ($readelf) = grep { -x } map { "$_/readelf" } split /:/, $ENV{PATH};
    plan skip_all => 'there is no readelf: install binutils' if !$readelf;
    my @needed = map { /NEEDED.*\[(.*)\]/ ? $1 : () } output( $readelf, '-d', $so );
    ok scalar @needed, 'it names what it needs';
    is_deeply [ grep { !/\A(?:libc|libm|libgcc_s|ld-linux[^.]*)\.so/ } @needed ], [],
      'and no libperl or other library is among it';
};

subtest 'this perl loads it' => sub { loads($^X) };

subtest 'a perl with debugging loads it' => sub {
    my ($debugperl) = grep { -x } map { "$_/debugperl" } split /:/, $ENV{PATH};
    plan skip_all => 'there is no debugperl: install perl-debug' if !$debugperl;
    my $identity = 'use Config; print "$Config{version} $Config{archname}"';
    my ($theirs) = output( $debugperl, '-e', $identity );
    my $ours     = "$Config{version} $Config{archname}";
    plan skip_all => "debugperl is $theirs, this perl is $ours" if $theirs ne $ours;
    loads($debugperl);
};

subtest 'another version of the module is refused' => sub {
    my $code =
      'package ZooKeeper::XS; require XSLoader; eval { XSLoader::load(q(ZooKeeper), q(9.87)) }; print $@';
    like join( '', output( $^X, @inc, '-e', $code ) ), qr/object version .* does not match .*9\.87/,
      'with the message that perl has for it';
};

subtest 'a program that leaves the directory which its @INC starts from' => sub {
    local $ENV{PERL5LIB};
    my @relative = map { '-I' . File::Spec->abs2rel($_) } grep { !ref && -e } @INC;
    my $code     = <<'PROGRAM';
use ZooKeeper;
my $zk = ZooKeeper->new( hosts => '127.0.0.1:1', dispatcher => 'Interrupt' );
chdir '/';
print ref $zk->multi_read;
PROGRAM
    is join( '', output( $^X, @relative, '-e', $code ) ), 'ZooKeeper::MultiRead',
      'has what is loaded at its first use';
};

subtest 'a module that can not be read when it is first needed' => sub {
    my $code = <<'PROGRAM';
use ZooKeeper;
my $zk = ZooKeeper->new( hosts => '127.0.0.1:1', dispatcher => 'Interrupt' );
my $is_missing = 1;
unshift @INC, sub { die "too many open files\n" if $is_missing && $_[1] eq 'ZooKeeper/MultiRead.pm'; return };
my $ask = sub { eval { $zk->delete( '/x', recursive => 1, cb => sub { } ); 1 } };
print $ask->() ? 'asked' : $@ =~ /too many open files/;
undef $is_missing;
print $ask->() ? ' then asked' : $@;
PROGRAM
    is join( '', output( $^X, '-w', @inc, '-e', $code ) ), '1 then asked',
      'is there when it can be read again';
};

done_testing;

sub loads {
    my ($perl) = @_;
    my $code = 'use ZooKeeper::XS; my $c = ZooKeeper::Channel->new; $c->send(41); print $c->recv + 1';
    is join( '', output( $perl, @inc, '-e', $code ) ), 42, 'and it works';
    is $?,                                             0,  'and ends well';
}

sub output {
    my (@command) = @_;
    open my $pipe, '-|', @command or die "$command[0]: $!\n";
    my @lines = <$pipe>;
    close $pipe;
    return @lines;
}

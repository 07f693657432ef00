# META.json: valid, of this version, and with everything that its readers go by.
use strict;
use warnings;

use Config;
use Test::More;
use lib   qw(xt/lib t/lib);
use Files qw(all_files slurp);
use SourceCopy;

plan skip_all => 'needs CPAN::Meta and JSON::PP' if !eval { require CPAN::Meta::Validator; require JSON::PP };

my ($version) = slurp('lib/ZooKeeper.pm') =~ /^our \$VERSION = '(\d+\.\d+\.\d+)';$/m;
my @modules = sort grep { m{\Alib/.*\.pm\z} } all_files();

my $copy = source_copy();
for my $command ( [ $^X, 'Makefile.PL' ], [ $Config{make}, 'distdir' ] ) {
    my ( $status, $said ) = in_copy( $copy, { CARGO => $ENV{CARGO} }, @$command );
    is $status, 0, "@$command" or BAIL_OUT($said);
}
my $meta = JSON::PP::decode_json( read_file("$copy/ZooKeeper-$version/META.json") );

my $validator = CPAN::Meta::Validator->new($meta);
ok $validator->is_valid, 'valid' or diag join "\n", $validator->errors;
is $meta->{'meta-spec'}{version}, 2,           'version 2 of the specification';
is $meta->{version},              "v$version", "version $version, as CPAN::Meta writes it";
is_deeply $meta->{license}, ['perl_5'], 'license';

my $prereqs = $meta->{prereqs};
is_deeply [ sort keys %$prereqs ], [qw(build configure develop runtime test)], 'phases';
is $prereqs->{runtime}{requires}{perl}, '5.022', 'oldest perl';

subtest 'provides' => sub {
    for my $file (@modules) {
        my ($path) = $file =~ m{\Alib/(.*)\.pm\z};
        my $module = $path =~ s{/}{::}gr;
        is_deeply delete $meta->{provides}{$module}, { file => $file, version => "v$version" }, $module;
    }
    is_deeply [ keys %{ $meta->{provides} } ], [], 'and nothing else';
};

subtest 'a feature for every dispatcher' => sub {

    # What all dispatchers that read a descriptor share.
    my %shared = ( Pipe => 1 );
    my %dispatcher =
      map { lc(s{/}{_}gr) => 1 } grep { !$shared{$_} } map { m{/Dispatcher/(.*)\.pm\z} } @modules;
    is_deeply [ sort keys %{ $meta->{optional_features} } ], [ sort keys %dispatcher ], 'names';
    for my $name ( sort keys %dispatcher ) {
        my $feature = $meta->{optional_features}{$name};
        ok scalar keys %{ $feature->{prereqs}{runtime}{requires} }, "$name: it takes modules";
    }
};

# Modules at the start of a line are taken whatever a program does.
subtest 'what is used is required' => sub {
    my %own     = map { m{(?:lib|t/lib)/(.*)\.pm\z} ? ( $1 =~ s{/}{::}gr => 1 ) : () } all_files();
    my %runtime = %{ $prereqs->{runtime}{requires} };
    my %test    = ( %runtime, %{ $prereqs->{test}{requires} } );

    # pragmas, and what is part of the interpreter
    my %perl = map { $_ => 1 }
      qw(Config base bytes constant feature integer lib overload parent strict utf8 version warnings);
    my @features = map { keys %{ $_->{prereqs}{runtime}{requires} } } values %{ $meta->{optional_features} };
    for my $file ( sort grep { m{\A(?:lib|t)/.*\.(?:pm|t)\z} } all_files() ) {
        my $allowed     = $file =~ m{\Alib/}       ? \%runtime                 : \%test;
        my %dispatchers = $file =~ m{/Dispatcher/} ? map { $_ => 1 } @features : ();
        my $code        = slurp($file) =~ s/^__(?:END|DATA)__\n.*//msr;
        $code =~ s/^=\w.*?(?:^=cut$|\z)//msg;
        $code =~ s/<<~?'?(\w+)'?.*?^\s*\1$//msg;
        my @missing = grep { !$own{$_} && !$perl{$_} && !exists $allowed->{$_} && !$dispatchers{$_} }
          $code =~ /^(?:use|require|extends)\s+'?([A-Za-z]\w*(?:::\w+)*)/mg;
        is "@missing", '', $file if @missing;
    }
    ok $runtime{Moo}, 'of all other files';
};

done_testing;

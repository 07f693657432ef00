# What a program may call is in the manual: functions, methods, attributes, XSUBs, constants.
use strict;
use warnings;

use mro       ();
use Sub::Util qw(subname);
use Test::More;
use lib   qw(xt/lib blib/lib blib/arch);
use Files qw(all_files slurp);

plan skip_all => 'needs Pod::Coverage (package libpod-coverage-perl)' if !eval { require Pod::Coverage };
plan skip_all => 'needs a build (run make)' if !-e 'blib/arch/auto/ZooKeeper/ZooKeeper.so';

require ZooKeeper::Constants;
my @constants = grep { /\A[A-Z]/ } @ZooKeeper::Constants::EXPORT;

# Made by Moo, called by it or by perl, and constants: of those below.
my @private = (
    qr/\A_/,
    qr/\A(?:BUILD(?:ARGS)?|CLONE(?:_SKIP)?|DEMOLISH(?:ALL)?|DESTROY|DOES|bootstrap|import|new)\z/,
    map { qr/\A$_\z/ } @constants
);

# Goes by the names that subs have themselves. Pod::Coverage looks for where a glob was filled, and so takes a method
# that one module has made for another, as those of the commands, for something imported.
{

    package Coverage;
    our @ISA = 'Pod::Coverage';

    sub _get_syms {
        my ( $self, $package ) = @_;
        my $stash = do { no strict 'refs'; \%{"${package}::"} };
        my @own   = grep {
            my $code = $package->can($_);
            $code && Sub::Util::subname($code) eq "${package}::$_";
        } sort keys %$stash;
        return grep { !$self->_private_check($_) } @own;
    }
}

my @packages;
for my $file ( sort grep { m{\Alib/.*\.(?:pm|pod)\z} } all_files() ) {
    my $pod = slurp($file);
    next if $pod !~ /^=head1 NAME\n/m || $pod =~ /^Internal to L</m;
    my ($path) = $file =~ m{\Alib/(.*)\.\w+\z};
    push @packages, [ $path =~ s{/}{::}gr, $file ] if -e "lib/$path.pm";
}

my ( %own, %naked );
for my $row (@packages) {
    my ( $package, $file ) = @$row;
  SKIP: {
        my $loaded = eval "require $package; 1";
        skip "$package needs a module: $1", 1
          if !$loaded && $@ =~ /\ACan't locate (?!ZooKeeper)(\S+)/;
        ok $loaded, "$package can be loaded" or diag $@;
        my $coverage = Coverage->new( package => $package, pod_from => $file, private => \@private );
        $naked{$package} = [ $coverage->naked ];
        $own{$package}   = { map { $_ => 1 } $coverage->covered };
    }
}

# What a class overrides is in the manual of the one that it is from.
for my $package ( sort keys %naked ) {
    my @parents = @{ mro::get_linear_isa($package) };
    my @missing = grep {
        my $name = $_;
        !grep { $own{$_}{$name} } @parents
    } @{ $naked{$package} };
    is "@missing", '', "$package: nothing is missing";
}

subtest 'what is covered was looked at' => sub {
    ok $own{ZooKeeper}{$_},              "ZooKeeper: $_" for qw(get create add_auth ensure_path timeout utf8);
    ok $own{'ZooKeeper::Channel'}{recv}, 'an XSUB';
    ok $own{'ZooKeeper::Transaction'}{check},       'a method from the table of commands';
    ok $own{'ZooKeeper::Error'}{message},           'an attribute with a default of its own';
    ok $own{'ZooKeeper::Constants'}{zerror},        'a function';
    ok $own{'ZooKeeper::Test::Server'}{is_running}, 'one of two in a heading';
    ok !$own{ZooKeeper}{has},                       'but nothing that is imported';
};

subtest 'constants, and what they are' => sub {
    my $pod = slurp('lib/ZooKeeper/Constants.pm') =~ s/.*^__END__$//msr;
    for my $name (@constants) {
        my $value  = join ' ', ZooKeeper::Constants->can($name)->();
        my $number = $value =~ /\A-?[0-9]+\z/ ? "\\s+$value\\b" : '';
        like $pod, qr/C<$name>$number/, $name;
    }
    for my $tag ( grep { $_ ne 'all' } sort keys %ZooKeeper::Constants::EXPORT_TAGS ) {
        like $pod, qr/^=head2 $tag$/m, "the tag $tag";
    }
};

subtest 'arguments by name' => sub {
    require ZooKeeper::Commands;
    my $pod = slurp('lib/ZooKeeper.pod');
    for my $command ( ZooKeeper::Commands::methods() ) {
        my ($section) = $pod =~ /^=head2 $command->{name}\n(.*?)^=head/ms;
        my ($general) = $pod =~ /^=head2 Named arguments\n(.*?)^=head/ms;
        for my $name ( sort @{ $command->{named} } ) {
            like "$section$general", qr/\b$name\b/, "$command->{name}: $name";
        }
    }
};

done_testing;

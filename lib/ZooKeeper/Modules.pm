package ZooKeeper::Modules;
use strict;
use warnings;

use mro;
use ZooKeeper::Error;
use ZooKeeper::XS;

our $VERSION = '0.2.0';

# Modules that are loaded when a program first needs them, in the midst of whatever it does. Perl never tries again to load
# what has failed, and takes for loaded what is being loaded: nobody must get in between.

# Where ours are, if that depends on the directory that the program has begun in and may leave.
my ($home) = __FILE__ =~ m{\A(?!/)(.*)ZooKeeper/Modules\.pm\z}s;
if ( defined $home ) {
    require Cwd;
    my $begun_in = Cwd::getcwd();
    $home = defined $begun_in ? "$begun_in/$home" : undef;
}

# One of our own, which many programs never need: to load it with the others would make all of them begin later.
sub need {
    my ($module) = @_;
    return if $INC{ ( $module =~ s{::}{/}gr ) . '.pm' };
    my $why = load($module);
    ZooKeeper::Error::_croak("can't load $module: $why") if defined $why;
    return;
}

# Loads one; returns why that can't be, undef if it was.
sub load {
    my ($module) = @_;
    my $file = ( $module =~ s{::}{/}gr ) . '.pm';
    my $why;
    my $load = sub {
        local ( $@, $SIG{__DIE__} );
        local @INC = ( @INC, $home ) if defined $home && $file =~ m{\AZooKeeper/};
        return                       if eval { require $file; finish($module); 1 };
        $why = $@ =~ s/ \(\@INC .*| at \S+ line \d+\.\n.*//sr;

        # The next time there may be a file descriptor to read it by, or what it needs.
        delete @INC{ grep { !defined $INC{$_} && m{\AZooKeeper/} } keys %INC };
    };

    # What a signal handler dies of in the middle would leave it broken for good.
    ZooKeeper::XS::_undisturbed($load);
    return $why;
}

# What Moo would make of a class when it is first used: a handler that dies in the middle of that, too, would leave it broken.
sub finish {
    my (@classes) = @_;
    my $finish = 'Sub::Defer'->can('undefer_package') or return;
    _give_constructor($_) for @classes;
    $finish->($_) for map { @{ mro::get_linear_isa($_) } } @classes;
    return;
}

# Moo gives a subclass without attributes a constructor of its own when it is first called.
sub _give_constructor {
    my ($class) = @_;
    my $give    = 'Moo'->can('_constructor_maker_for') or return;
    my ($has)   = grep { defined &{"${_}::new"} } @{ mro::get_linear_isa($class) };
    return if !defined $has || $has eq $class || grep { !$Moo::MAKERS{$_} } $class, $has;
    Moo->$give($class) if $Moo::MAKERS{$has}{constructor} && !$Moo::MAKERS{$class}{constructor};
    return;
}

# Whether whoever calls has interrupted the loading of a module that callbacks may need, be it the program that loads it; or
# the making of its methods, which Moo puts off until they are called.
sub are_being_loaded {
    my $level = 0;
    while ( my ( $package, $file, $is_required ) = ( caller $level++ )[ 0, 6, 7 ] ) {
        return 1 if $is_required && $file =~ m{\A(?:ZooKeeper|Future|Mojo|AnyEvent|IO/Async|POE)\b};
        return 1 if $package =~ /\A(?:Sub::Defer|Sub::Quote|Method::Generate::(?:Accessor|Constructor))\z/;
    }
    return 0;
}

1;

package ZooKeeper::Modules;
use strict;
use warnings;

use ZooKeeper::Error;
use ZooKeeper::XS;

our $VERSION = '0.2.0';

# Modules that are loaded when a program first needs them, in the midst of whatever it does. Perl never tries again to load
# what has failed, and takes for loaded what is being loaded: nobody must get in between.

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
        eval { require $file; finish($module); 1 } or $why = $@ =~ s/ \(\@INC .*| at \S+ line \d+\.\n.*//sr;
    };

    # What a signal handler dies of in the middle would leave it broken for good.
    ZooKeeper::XS::_undisturbed($load);
    return $why;
}

# What Moo would make of a class when it is first used: a handler that dies in the middle of that, too, would leave it broken.
sub finish {
    my (@classes) = @_;
    my $finish = 'Sub::Defer'->can('undefer_package') or return;
    $finish->($_) for @classes;
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

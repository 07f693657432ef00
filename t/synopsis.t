# Every piece of Perl in the manuals compiles.
use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Snippets;

# ZooKeeper::Migration has programs for it. What they need to compile is this.
BEGIN {

    package Net::ZooKeeper;
    require ZooKeeper::Constants;
    $INC{'Net/ZooKeeper.pm'} = __FILE__;
    our @EXPORT_OK   = @ZooKeeper::Constants::EXPORT;
    our %EXPORT_TAGS = %ZooKeeper::Constants::EXPORT_TAGS;
    ZooKeeper::Constants->import;
    require Exporter;
    our @ISA = 'Exporter';
}

# What is said of the first piece in some POD.
sub said_of {
    my ($pod)     = @_;
    my ($snippet) = pod_snippets( 'some.pod', $pod );
    return compile($snippet);
}

subtest 'what is wrong is seen' => sub {
    my $good = "=head1 SYNOPSIS\n\n    my \$x = 1;\n\n    print \$x;\n\nText.\n\n    print \$x + 1;\n";
    is said_of($good), '', 'nothing';
    like said_of( $good =~ s/= 1;/= 1/r ), qr/\Asyntax error at some\.pod line 5\b/, 'a syntax error';
    like said_of( $good =~ s/x \+/y +/r ), qr/"\$y" requires explicit package name .* at some\.pod line 9\b/,
      'an undeclared variable';
    like said_of( $good =~ s/print \$x/\$x/r ), qr/\AUseless use of .* at some\.pod line 5\b/,   'a warning';
    like said_of( $good =~ s/print/use ZooKeeper::Nowhere; print/r ), qr{ZooKeeper/Nowhere\.pm}, 'a module';
    is said_of("=head2 get\n\n    my \$data = \$zk->get('/x');\n"), '',
      'a method has a handle to be called on';
    like said_of("=head2 get\n\n    my \$data = \$zk->get('/x')\n    1;\n"), qr/syntax error/,
      'and its errors';
    my $other = "=for highlighter language=sh\n\n    make\n\nText\n\n=cut\n\n    code\n";
    is_deeply [ pod_snippets( 'some.pod', $other ) ], [], 'what is no Perl, or no POD, is left alone';
};

sub check {
    my ($snippet) = @_;
    my $name = "line $snippet->{line}" . ( $snippet->{heading} && ": $snippet->{heading}" );
  SKIP: {
        my $missing = missing_module($snippet);
        skip "$name: $missing is not installed", 1 if defined $missing;
        is compile($snippet), '', $name;
    }
    return;
}

for my $file ( pod_files() ) {
    my @snippets = pod_snippets($file) or next;
    subtest $file => sub { check($_) for @snippets };
}
subtest 'README.md' => sub {
    my @snippets = readme_snippets('README.md');
    ok scalar @snippets, 'has Perl in it';
    check($_) for @snippets;
};

done_testing;

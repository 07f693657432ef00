package Snippets;
use strict;
use warnings;

use Exporter   qw(import);
use File::Find ();

our @EXPORT = qw(pod_files pod_snippets readme_snippets compile program missing_module);

# The files with POD.
sub pod_files {
    my @files;
    File::Find::find( { no_chdir => 1, wanted => sub { push @files, $_ if /\.(?:pm|pod)\z/ } }, 'lib' );
    @files = sort @files;
    return @files;
}

# The pieces of Perl in some POD, in order: hash refs of file, line, heading (the nearest one above), code, and
# complete, which is true where a reader may take the piece for a whole program: in a SYNOPSIS, which is one piece
# whatever text is in it, and in what says "use strict". Paragraphs with nothing between them are one piece, too.
# Behind "=for highlighter language=...", which MetaCPAN goes by, stands another language.
sub pod_snippets {
    my ( $file, $text ) = @_;
    $text //= _slurp($file);
    my ( @snippets, $in_pod, $ignored, $foreign, $joins );
    my ( $line, $heading ) = ( 1, '' );
    for my $paragraph ( split /(\n(?:[ \t]*\n)+)/, $text ) {
        my $at = $line;
        $line += $paragraph =~ tr/\n//;
        next if $paragraph !~ /\S/;
        if ( my ( $command, $rest ) = $paragraph =~ /\A=(\w+)\s*(.*)/s ) {
            $in_pod  = $command ne 'cut';
            $ignored = $command eq 'begin' || $ignored && $command ne 'end';
            $foreign = $command eq 'for' && $rest =~ /\Ahighlighter\b.*\blanguage=(?!perl\b)/;
            $heading = $rest =~ s/\s+/ /gr if $command =~ /\Ahead/;
            $joins   = 0;
        }
        elsif ( $paragraph !~ /\A[ \t]/ ) {
            $foreign = 0;
            $joins   = $heading eq 'SYNOPSIS' && @snippets && $snippets[-1]{heading} eq $heading;
        }
        elsif ( $in_pod && !$ignored && !$foreign ) {
            push @snippets, { file => $file, line => $at, heading => $heading, code => '' } if !$joins;
            my $piece = $snippets[-1];
            $piece->{code} .= "\n" x ( $at - $piece->{line} - $piece->{code} =~ tr/\n// );
            $piece->{code} .= $paragraph =~ s/^ {4}//gmr . "\n";
            $joins = 1;
        }
    }
    $_->{complete} = $_->{heading} eq 'SYNOPSIS' || $_->{code} =~ /^use strict;/m for @snippets;
    return @snippets;
}

# Those of a file in Markdown.
sub readme_snippets {
    my ($file) = @_;
    my $text = _slurp($file);
    my @snippets;
    while ( $text =~ /^```perl\n(.*?)^```$/gms ) {
        my $line = 1 + substr( $text, 0, $-[1] ) =~ tr/\n//;
        push @snippets, { file => $file, line => $line, heading => '', code => $1, complete => 1 };
    }
    return @snippets;
}

# A module that the piece uses and that is not installed here; those of this distribution always are.
sub missing_module {
    my ($snippet) = @_;
    for my $module ( $snippet->{code} =~ /^\s*use\s+([A-Z]\w*(?:::\w+)*)/mg ) {
        my $path = $module =~ s{::}{/}gr . '.pm';
        next if $module =~ /\AZooKeeper\b/ || $INC{$path};
        return $module if !grep { !ref && -e "$_/$path" } @INC;
    }
    return;
}

# What the manuals' explanations take for granted.
my $KNOWN = <<'CODE';
use ZooKeeper;
use ZooKeeper::Constants;
my ( $zk, $transaction, $multi_read, $dispatcher, $watcher, $channel, $server, $error, $event, $future );
my ( $callback, $acl, $path, $loop, $seconds, %args, $zkh );
CODE

my $count = 0;

# Compiles the piece with strict and warnings, and does not run it. Returns what perl has to say, '' for nothing.
sub compile {
    my ($snippet) = @_;
    my @said;
    local $SIG{__WARN__} = sub {
        my ($warning) = @_;

        # Two forms of a call below each other are no program.
        push @said, $warning if $snippet->{complete} || $warning !~ /masks earlier declaration/;
    };
    my $package = __PACKAGE__ . '::Piece' . ++$count;
    my $known   = $snippet->{complete} ? '' : $KNOWN;
    my $start   = qq(#line $snippet->{line} "$snippet->{file}");
    local $@;
    ## no critic (StringyEval)
    eval
"package $package; use strict; use warnings; $known my \$piece = sub {{;\n$start\n$snippet->{code}} return }; 1"
      or push @said, $@;
    return join '', @said;
}

# The piece as a program that can be run with a server of ours.
sub program {
    my ( $snippet, $hosts ) = @_;
    my $code = $snippet->{code} =~ s/\blocalhost:2181\b/$hosts/gr;
    return qq(use strict;\nuse warnings;\n#line $snippet->{line} "$snippet->{file}"\n$code);
}

sub _slurp {
    my ($name) = @_;
    open my $file, '<', $name or die "$name: $!\n";
    local $/;
    return scalar <$file>;
}

1;

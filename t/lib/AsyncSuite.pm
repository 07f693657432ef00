package AsyncSuite;
use strict;
use warnings;

use AsyncArguments;
use AsyncCallbacks;
use AsyncCommands;
use AsyncEnds;
use AsyncFutures;
use AsyncOrder;
use AsyncStage;
use Exporter 'import';

our @EXPORT = qw(async_suite);

# What commands that nobody waits for do, on a real server, whatever the dispatcher. A driver is as DispatcherSuite has
# them, where
#   turn     is called with an array ref of weak references to the dispatchers
#   polls    the program looks itself whether there is something
sub async_suite {
    my (%driver) = @_;
    my $stage = AsyncStage->new(%driver);
    async_commands($stage);
    async_arguments($stage);
    async_order($stage);
    async_callbacks($stage);
    async_futures($stage);
    async_ends($stage);
    return;
}

1;

//! Sessions against a simulated ensemble with all its faults, over many seeds.
//!
//! More of them, and one seed again: `cargo run --release -p zk-testkit --example simulate`.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use zk_testkit::sim::{run, Counts};

const SEEDS: u64 = 1_600;
const THREADS: usize = 2;

/// What must have happened somewhere, or the simulation proves nothing about it.
const HAPPENED: &[&str] = &[
    "answers that nobody waited for any more",
    "attempts refused",
    "attempts that got no answer",
    "authentications answered",
    "authentications given up for want of a connection",
    "authentications refused",
    "authentications refused behind one that was accepted",
    "authentications timed out",
    "authentications whose answer was lost",
    "authentications with requests behind them",
    "clients refused by a server that lags behind",
    "clients refused for want of a quorum",
    "clients stopped for longer than their session lives",
    "closes cut short",
    "connections closed amid the handshake",
    "connections closed because their session had moved",
    "connections closed right after accept",
    "connections left for rubbish",
    "connects",
    "crowds spread over their servers",
    "crowds told of fewer servers",
    "crowds told of more servers",
    "crowds told of other servers",
    "events for nobody",
    "events made up for at setWatches",
    "events sent: changed",
    "events sent: children changed",
    "events sent: created",
    "events sent: deleted",
    "events told",
    "events withheld from who may not read the node",
    "faults: black hole, both ways",
    "faults: black hole, one way",
    "faults: client stopped",
    "faults: clock jumped",
    "faults: connection cut",
    "faults: rubbish to come",
    "faults: server killed",
    "faults: server lags",
    "faults: server stopped",
    "faults: server with bad manners",
    "faults: servers split",
    "faults: session expired by force",
    "faults: timers late",
    "greetings of read-only servers that were not wanted",
    "lists of servers",
    "lists that move nobody",
    "lists with more servers",
    "lists without the user's server",
    "logins",
    "logins at a server that does not know the password",
    "logins at a server without SASL",
    "logins cut off",
    "logins refused",
    "logins that get no answer",
    "losses told",
    "moves that took along what waited",
    "moves without a loss",
    "one-shot watches armed again in between",
    "one-shot watches covered by persistent ones",
    "outcomes of authentications told",
    "persistent watchers told to look again",
    "persistent watches of both kinds on one path",
    "persistent watches set again on a new connection",
    "pings",
    "quorums regained",
    "removals of watches that there are none of",
    "removals that a lost connection did not keep",
    "removals that a server was asked for",
    "removals that an old server can't read",
    "removals without a server",
    "replies beyond the client's limit",
    "replies of a length that cannot be",
    "replies too short for a header",
    "replies with the number of another request",
    "requests abandoned",
    "requests beyond the server's limit",
    "requests carried out after their connection had gone",
    "requests given up for want of a connection",
    "requests lost while they waited for room",
    "requests lost with their connection",
    "requests of a session that had moved",
    "requests of an ended session",
    "requests refused",
    "requests that got room by a reply",
    "requests that succeeded",
    "requests that waited for a connection",
    "requests that waited for room",
    "requests that were too long",
    "requests that were too many",
    "requests timed out",
    "requests timed out while they waited for room",
    "requests unknown to an old server",
    "segments of one byte each",
    "servers asked whether they can write",
    "servers found that can write",
    "sessions closed and told so",
    "sessions closed without the server's word",
    "sessions expired by the clock",
    "sessions expired by their own clock",
    "sessions left to another",
    "sessions made up by a read-only server",
    "sessions refused",
    "sessions replaced instead of refused",
    "sessions resumed",
    "sessions resumed read-only",
    "sessions that another user closed",
    "sessions that came to another user",
    "sessions that expired while their client was stopped, told so",
    "sessions told of refused authentication",
    "sessions told of their expiry",
    "states seen before the event while a watch was being armed again",
    "users who found back from a server that only reads",
    "users who go on with a session that was left",
    "users with a wrong password",
    "users with another's session",
    "users with the id of no session",
    "watchers forgotten",
    "watches armed at rest",
    "watches set: child",
    "watches set: data",
    "watches set: exist",
    "watches set: persistent",
    "watches set: recursive",
    "watches taken off before they were set",
    "watches taken off: child",
    "watches taken off: data",
    "watches taken off: persistent",
    "watches that took another's place on an old server",
    "writes carried out whose server had gone",
    "writes done",
    "writes refused by a read-only server",
    "writes that the kernel took in part",
    "writes with unknown outcome that were done",
    "writes with unknown outcome that were not done",
];

#[test]
fn sessions_keep_their_promises_whatever_happens_to_servers_and_network() {
    let next = AtomicU64::new(0);
    let work = || {
        let mut counts = Counts::default();
        loop {
            let seed = next.fetch_add(1, SeqCst);
            if seed >= SEEDS {
                return counts;
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| run(seed, false)));
            let again = "cargo run --release -p zk-testkit --example simulate -- --trace --seed";
            counts.add(&outcome.unwrap_or_else(|_| panic!("seed {seed} failed; again: {again} {seed}")));
        }
    };
    let mut total = Counts::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            total.add(&worker.join().expect("a seed failed"));
        }
    });
    for what in HAPPENED {
        assert!(total.of(what) > 0, "in {SEEDS} seeds this never happened: {what}\n{total}");
    }
}

#[test]
fn a_seed_is_always_the_same_run() {
    for seed in [5, 6, 7] {
        assert_eq!(run(seed, false), run(seed, false));
    }
}

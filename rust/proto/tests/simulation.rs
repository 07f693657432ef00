//! Sessions against a simulated ensemble with all its faults, over many seeds.
//!
//! More of them, and one seed again: `cargo run --release -p zk-testkit --example simulate`.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use zk_testkit::sim::{run, Counts};

const SEEDS: u64 = 2_000;
const THREADS: usize = 2;

/// What must have happened somewhere, or the simulation proves nothing about it.
const HAPPENED: &[&str] = &[
    "answers that nobody waited for any more",
    "attempts refused",
    "attempts that got no answer",
    "authentications answered",
    "authentications given up for want of a connection",
    "authentications refused",
    "authentications timed out",
    "closes cut short",
    "clients refused by a server that lags behind",
    "clients refused for want of a quorum",
    "connections closed amid the handshake",
    "connections closed because their session had moved",
    "connections closed right after accept",
    "connects",
    "events for nobody",
    "events made up for at setWatches",
    "events sent: changed",
    "events sent: children changed",
    "events sent: created",
    "events sent: deleted",
    "events told",
    "faults: black hole, both ways",
    "faults: black hole, one way",
    "faults: client stopped",
    "faults: clock jumped",
    "faults: connection cut",
    "faults: server killed",
    "faults: server lags",
    "faults: server stopped",
    "faults: server with bad manners",
    "faults: servers split",
    "faults: session expired by force",
    "logins",
    "logins at a server that does not know the password",
    "logins cut off",
    "logins refused",
    "losses told",
    "outcomes of authentications told",
    "persistent watches set again on a new connection",
    "pings",
    "quorums regained",
    "requests abandoned",
    "requests carried out after their connection had gone",
    "requests given up for want of a connection",
    "requests lost while they waited for room",
    "requests lost with their connection",
    "requests of a session that had moved",
    "requests of an ended session",
    "requests refused",
    "lists of servers",
    "moves that took along what waited",
    "moves without a loss",
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
    "sessions made up by a read-only server",
    "sessions refused",
    "sessions replaced instead of refused",
    "sessions resumed",
    "sessions resumed read-only",
    "sessions told of refused authentication",
    "sessions told of their expiry",
    "users with a wrong password",
    "users with another's session",
    "watchers forgotten",
    "watches armed at rest",
    "watches set: child",
    "watches set: data",
    "watches set: exist",
    "watches set: persistent",
    "watches set: recursive",
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

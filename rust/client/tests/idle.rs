//! Servers that are none cost no more than a few attempts, and no processor's time. A program of its own, because it
//! counts what the whole process takes.

// Shared with other programs, which use other parts of it.
#[allow(dead_code)]
#[path = "engine/common.rs"]
mod common;

use common::{Client, GET};
use std::thread;
use std::time::{Duration, Instant};
use zk_client::Engine;
use zk_proto::Code;
use zk_testkit::script::{self, delay, expect_end, grant, hang_up, reset, send, swallow, Script};

/// Enough that pauses have grown to their longest.
const ATTEMPTS: usize = 6;
/// None, 0.2, 0.4, 0.8 and 1 s, without jitter.
const PAUSES: Duration = Duration::from_millis(2_400);

/// What this process has used of processors: user and system time in clock ticks, of which there are a hundred a second.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let behind_name = stat.rsplit(')').next().unwrap();
    let ticks: u64 = behind_name.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

#[test]
fn whatever_comes_instead_of_a_handshake_attempts_grow_few_and_cost_nothing() {
    let half = zk_testkit::handshake(30_000, 7)[..20].to_vec();
    let late = Duration::from_millis(600);
    let servers = [
        ("accepts and says nothing", vec![swallow()]),
        ("closes at once", vec![hang_up()]),
        ("resets at once", vec![reset()]),
        ("closes without an answer", vec![script::handshake(), hang_up()]),
        ("closes half way through its answer", vec![script::handshake(), send(&half), hang_up()]),
        ("stops half way through its answer", vec![script::handshake(), send(&half), expect_end()]),
        ("answers too late", vec![script::handshake(), delay(late), grant(30_000, 7)]),
        ("sends a web page", vec![send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), swallow()]),
    ];
    let engine = Engine::start().unwrap();
    let (start, before) = (Instant::now(), processor_time());
    let stages = servers.map(|(what, steps)| {
        let server = Script::new().connection(steps).and_so_on().start();
        // An attempt may take a third of it.
        let client =
            Client::with(&engine, &server.hosts(), |s| s.session_timeout = Duration::from_millis(1_200));
        client.handle.post(&GET, 1, None, None).unwrap();
        (what, server, client)
    });
    let give_up = start + Duration::from_secs(60);
    for (what, server, client) in &stages {
        while server.connections() < ATTEMPTS {
            assert!(Instant::now() < give_up, "a server that {what}: {} attempts", server.connections());
            thread::sleep(Duration::from_millis(20));
        }
        assert!(start.elapsed() >= PAUSES, "a server that {what}: {ATTEMPTS} in {:?}", start.elapsed());
        assert_eq!(client.answer(), (1, Code::CONNECTION_LOSS), "a server that {what}");
    }
    let (used, passed) = (processor_time() - before, start.elapsed());
    assert!(used < passed / 20, "{used:?} in {passed:?}");
}

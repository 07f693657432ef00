//! Many clients that are told of another list of servers: each decides for itself, and together they spread
//! evenly. `cargo test --test rebalancing -- --nocapture` prints the figures.

use std::collections::{BTreeMap, BTreeSet};
use zk_proto::connect_string::ConnectString;
use zk_proto::session::{Action, Session};
use zk_proto::time::Time;
use zk_testkit::{config, handshake};

const CLIENTS: u64 = 10_000;
/// Deviations from the even share, in standard deviations, that are taken for chance: one share in sixteen
/// thousand goes beyond that, and here a few hundred are looked at, with fixed seeds.
const TOLERATED: f64 = 4.0;

/// How far a client has got before its list changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Waiting,
    Trying,
    Connected,
}

struct Client {
    session: Session,
    at: String,
    now: Time,
    connects: u32,
}

impl Client {
    fn new(hosts: &str, seed: u64, stage: Stage) -> Client {
        let now = Time::from_micros(1_000_000_000);
        let session = Session::new(zk_proto::session::Config { seed, ..config(hosts) }, now);
        let mut client = Client { session, at: String::new(), now, connects: 0 };
        if stage != Stage::Waiting {
            client.session.handle_timeout(now);
            client.take_actions();
        }
        if stage == Stage::Connected {
            client.go_on();
        }
        client
    }

    fn tell(&mut self, hosts: &str) {
        let servers = ConnectString::parse(hosts.as_bytes()).unwrap();
        self.session.set_servers(self.now, servers).unwrap();
        self.take_actions();
    }

    /// Until it is connected, whatever was under way.
    fn go_on(&mut self) {
        while !self.session.is_connected() {
            self.session.handle_timeout(self.now);
            self.take_actions();
            self.session.handle_connected(self.now);
            let written = self.session.transmit().len();
            self.session.transmitted(written);
            self.session.handle_bytes(self.now, &handshake(3_000, 7));
        }
        assert_eq!(self.session.server().map(|s| s.host.as_str()), Some(self.at.as_str()));
    }

    fn take_actions(&mut self) {
        while let Some(action) = self.session.poll_action() {
            if let Action::Connect(host) = action {
                self.at = host.host;
                self.connects += 1;
            }
        }
    }
}

fn spread(clients: &[Client]) -> BTreeMap<&str, u64> {
    let mut spread = BTreeMap::new();
    for client in clients {
        *spread.entry(client.at.as_str()).or_default() += 1;
    }
    spread
}

/// The greatest deviation from the even share, in standard deviations.
fn deviation(clients: &[Client], hosts: &str) -> f64 {
    let servers: Vec<&str> = hosts.split(',').collect();
    let spread = spread(clients);
    assert!(spread.keys().all(|at| servers.contains(at)), "somebody is at a server that is not listed");
    let share = 1.0 / servers.len() as f64;
    let even = CLIENTS as f64 * share;
    let sigma = (even * (1.0 - share)).sqrt().max(f64::MIN_POSITIVE);
    servers
        .iter()
        .map(|s| (spread.get(s).copied().unwrap_or_default() as f64 - even).abs() / sigma)
        .fold(0.0, f64::max)
}

/// Servers number `from` to `to`, the latter not included.
fn list(from: u32, to: u32) -> String {
    (from..to).map(|n| format!("s{n}")).collect::<Vec<_>>().join(",")
}

/// Runs a chain of lists; the greatest deviation after each.
fn run(chain: &[String], stage: Stage, seed: u64) -> Vec<f64> {
    let mut clients: Vec<Client> =
        (0..CLIENTS).map(|n| Client::new(&chain[0], seed * CLIENTS + n, stage)).collect();
    let mut deviations = Vec::new();
    if stage == Stage::Connected {
        deviations.push(deviation(&clients, &chain[0]));
    }
    for (n, hosts) in chain.iter().enumerate().skip(1) {
        clients.iter_mut().for_each(|client| client.tell(hosts));
        // A list may change again before anybody has followed the last change.
        if stage == Stage::Connected || n + 1 == chain.len() {
            clients.iter_mut().for_each(Client::go_on);
            deviations.push(deviation(&clients, hosts));
        }
    }
    deviations
}

fn check(what: &str, chain: &[String], stage: Stage) {
    let deviations = run(chain, stage, chain.len() as u64 + 17 * what.len() as u64);
    let shown: Vec<String> = deviations.iter().map(|d| format!("{d:.2}")).collect();
    println!("{what:<44} {}", shown.join("  "));
    assert!(deviations.iter().all(|d| *d <= TOLERATED), "{what}: {shown:?}");
}

#[test]
fn clients_spread_evenly_when_a_list_grows() {
    for from in 3..=8 {
        for to in BTreeSet::from([from + 1, 2 * from, 9]).into_iter().filter(|to| *to <= 9) {
            check(&format!("{from} grow to {to}"), &[list(0, from), list(0, to)], Stage::Connected);
        }
    }
}

#[test]
fn clients_spread_evenly_when_a_list_shrinks() {
    for from in 4..=9 {
        for to in BTreeSet::from([3, from / 2, from - 1]).into_iter().filter(|to| *to >= 3) {
            check(&format!("{from} shrink to {to}"), &[list(0, from), list(0, to)], Stage::Connected);
        }
    }
}

#[test]
fn clients_spread_evenly_when_servers_are_replaced() {
    for count in 3..=9 {
        for gone in [1, count] {
            let chain = [list(0, count), list(gone, count + gone)];
            check(&format!("{gone} of {count} replaced"), &chain, Stage::Connected);
        }
    }
    for (before, kept, after) in [(9, 2, 5), (9, 3, 4), (4, 1, 8), (5, 2, 6), (7, 4, 6)] {
        let chain = [list(0, before), list(before - kept, before - kept + after)];
        check(&format!("{before}, {kept} kept, {after} then"), &chain, Stage::Connected);
    }
}

#[test]
fn clients_spread_evenly_over_a_chain_of_changes() {
    let chain = [(0, 3), (0, 5), (2, 5), (2, 9), (5, 12), (5, 9), (8, 11), (8, 17), (14, 17)];
    let chain: Vec<String> = chain.iter().map(|(from, to)| list(*from, *to)).collect();
    check("a chain, followed step by step", &chain, Stage::Connected);
    check("a chain, faster than anybody connects", &chain, Stage::Trying);
    check("a chain before the first attempt", &chain, Stage::Waiting);
    let back_and_forth: Vec<String> = (0..10).map(|n| list(0, if n % 2 == 0 { 3 } else { 6 })).collect();
    check("back and forth", &back_and_forth, Stage::Connected);
}

#[test]
fn clients_that_are_not_connected_yet_spread_evenly() {
    for stage in [Stage::Waiting, Stage::Trying] {
        for (from, to) in [((0, 3), (0, 6)), ((0, 6), (0, 3)), ((0, 5), (3, 8))] {
            let chain = [list(from.0, from.1), list(to.0, to.1)];
            check(&format!("{} to {} while {stage:?}", chain[0], chain[1]), &chain, stage);
        }
    }
}

#[test]
fn no_more_clients_move_than_have_to() {
    let moved = |from: &str, to: &str| {
        let mut clients: Vec<Client> = (0..CLIENTS).map(|n| Client::new(from, n, Stage::Connected)).collect();
        for client in &mut clients {
            client.tell(to);
            client.go_on();
        }
        clients.iter().filter(|c| c.connects > 1).count() as f64 / CLIENTS as f64
    };
    // What the servers that are new are to have, or those that have gone had; within a few in a hundred.
    for (from, to, share) in [
        (list(0, 3), list(0, 3), 0.0),
        (list(0, 3), list(0, 4), 1.0 / 4.0),
        (list(0, 3), list(0, 9), 6.0 / 9.0),
        (list(0, 5), list(0, 4), 1.0 / 5.0),
        (list(0, 4), list(1, 5), 1.0 / 4.0),
    ] {
        let part = moved(&from, &to);
        println!("{from} to {to}: {:.1} % move", part * 100.0);
        assert!((part - share).abs() < 0.02, "{from} to {to}: {part}");
    }
}

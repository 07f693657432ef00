//! Sessions against a whole ensemble, simulated: servers, network, faults and users from one seed.
//!
//! [`run`] makes up everything at random from its seed: servers that lag, stop, die and refuse,
//! connections that are slow, cut up, black holes or cut, users who ask for anything, abandon it,
//! forget their watchers, are stopped themselves or close. Nothing waits: an hour of the simulation
//! is a matter of milliseconds, and the same seed is the same run.
//!
//! The model of the ensemble (`tree`, `ensemble`, `verdict`, `server`, `quorum`, `serve`, `reads`,
//! `greet`) knows what each request was answered and why; the checks (`order`, `judge`, `failure`,
//! `pace`, `rest`) hold the session to it while it runs. Whatever breaks a rule panics.

mod act;
mod book;
mod conn;
mod counts;
mod drive;
mod ensemble;
mod failure;
mod fault;
mod greet;
mod judge;
mod lease;
mod login;
mod moves;
mod net;
mod op;
mod order;
mod pace;
mod quorum;
mod reads;
mod removal;
mod rest;
mod room;
mod sasl;
mod serve;
mod server;
mod spoil;
mod spread;
mod takeover;
mod tree;
mod user;
mod verdict;

pub use counts::Counts;

use conn::Conn;
use ensemble::Ensemble;
use fault::Mend;
use net::Way;
use server::Server;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use user::{Heard, User};

/// Something that happens at a moment.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A connection is up.
    Connected(usize),
    Refused(usize),
    /// What became of a user's probe.
    Probed(usize, u64, bool),
    Arrive(usize, Way),
    /// A kernel takes bytes again.
    Flush(usize),
    /// What a connection is doing has reached the leader.
    Commit(usize),
    /// A server has so much of the log.
    Apply(usize, usize),
    Tick,
    Act(usize),
    Fault,
    Mend(Mend),
    /// All users hear of another list of servers.
    Spread,
}

/// What is the same throughout a run.
#[derive(Debug)]
struct Plan {
    latency_us: u64,
    act_every_us: u64,
    fault_every_us: u64,
    tick_us: u64,
    least_timeout_ms: i32,
    most_timeout_ms: i32,
    /// Nothing goes wrong.
    calm: bool,
    /// Servers that are too old for the readOnly byte and persistent watches.
    old: bool,
    /// Servers that hand out a new session instead of refusing an old one.
    keeper: bool,
    stat_in_multi: bool,
    /// Servers before 3.9, which keep one watch of a session on a path.
    one_mode: bool,
    /// The longest request that they take.
    server_limit: usize,
    /// Servers that greet read-only those who don't want that.
    pushy: bool,
    /// Many users, who are told of another list of servers all at once.
    crowd: bool,
}

/// Orders by time, then by the order of planning.
struct Planned(u64, u64, Event);

impl PartialEq for Planned {
    fn eq(&self, other: &Planned) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Planned) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Planned) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

struct Sim {
    /// Microseconds since the start.
    now: u64,
    rng: fastrand::Rng,
    planned: BinaryHeap<Reverse<Planned>>,
    last_serial: u64,
    plan: Plan,
    ensemble: Ensemble,
    servers: Vec<Server>,
    conns: Vec<Conn>,
    users: Vec<User>,
    /// Which servers new users know.
    known: Vec<usize>,
    /// Sessions that were left to whoever goes on with them.
    left: Vec<(i64, [u8; 16])>,
    /// Nothing new goes wrong, and users only listen.
    quiet: bool,
    tracing: bool,
    counts: Counts,
}

/// One run; `trace` prints what happens.
///
/// # Panics
/// A session broke a rule.
pub fn run(seed: u64, trace: bool) -> Counts {
    let mut sim = Sim::new(seed, trace);
    let users = if sim.plan.crowd { sim.gather() } else { sim.rng.u32(1..5) };
    for _ in 0..users {
        sim.invite();
    }
    if !sim.plan.calm {
        sim.at(0, Event::Fault);
    }
    sim.at(0, Event::Tick);
    let length = sim.rng.u64(1_000_000..12_000_000);
    if sim.plan.crowd {
        sim.at(length / 2, Event::Spread);
    }
    sim.run_until(length);
    sim.finish_run();
    sim.counts
}

impl Sim {
    fn new(seed: u64, tracing: bool) -> Sim {
        let mut rng = fastrand::Rng::with_seed(seed);
        let least_timeout_ms = rng.i32(100..1_500);
        let slowest = [200, 2_000, 20_000][rng.usize(0..3)];
        let plan = Plan {
            // A handshake takes up to twelve of these and a login eight, and both have a third of the
            // timeout, or a tenth of a second.
            latency_us: rng.u64(20..slowest).min(least_timeout_ms as u64 * 12).min(4_800),
            act_every_us: rng.u64(5_000..200_000),
            fault_every_us: rng.u64(20_000..1_500_000),
            tick_us: rng.u64(20_000..200_000),
            least_timeout_ms,
            most_timeout_ms: least_timeout_ms * 4,
            calm: rng.u32(0..16) == 0,
            old: rng.u32(0..8) == 0,
            keeper: rng.u32(0..8) == 0,
            stat_in_multi: rng.bool(),
            one_mode: rng.bool(),
            server_limit: 1 << 20,
            pushy: rng.u32(0..4) == 0,
            crowd: rng.u32(0..32) == 0,
        };
        let mut plan = plan;
        plan.calm |= plan.crowd;
        if !plan.calm && rng.u32(0..4) == 0 {
            plan.server_limit = rng.usize(5_000..9_500);
        }
        let reads_alone = rng.bool() && !plan.old;
        let servers = if plan.crowd { 5 } else { [1, 3, 3, 5][rng.usize(0..4)] };
        let mut sim = Sim {
            now: 0,
            rng,
            planned: BinaryHeap::new(),
            last_serial: 0,
            plan,
            ensemble: Ensemble::new(),
            servers: (0..servers).map(|_| Server::new(reads_alone)).collect(),
            conns: Vec::new(),
            users: Vec::new(),
            known: (0..servers).collect(),
            left: Vec::new(),
            quiet: false,
            tracing,
            counts: Counts::default(),
        };
        for server in 0..servers {
            sim.apply(server, 1);
        }
        sim.trace(|sim| format!("{} servers, {:?}", sim.servers.len(), sim.plan));
        sim
    }

    fn at(&mut self, at: u64, event: Event) {
        let serial = self.serial();
        self.planned.push(Reverse(Planned(at, serial, event)));
    }

    fn serial(&mut self) -> u64 {
        self.last_serial += 1;
        self.last_serial
    }

    /// The ensemble's clock, as stats show it.
    fn millis(&self) -> i64 {
        (self.now / 1_000) as i64
    }

    /// Lets time pass until then.
    fn run_until(&mut self, end: u64) {
        loop {
            let event = self.planned.peek().map(|Reverse(next)| next.0);
            let timer = (0..self.users.len())
                .filter(|user| !self.users[*user].stopped)
                .filter_map(|user| Some((self.users[user].wake?, user)))
                .min();
            let next = event.unwrap_or(u64::MAX).min(timer.map_or(u64::MAX, |(at, _)| at));
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            match timer {
                Some((at, user)) if at <= next => self.user_timer(user),
                _ => {
                    if let Some(Reverse(Planned(_, _, event))) = self.planned.pop() {
                        self.happen(event);
                    }
                }
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Connected(conn) => {
                if self.conns[conn].client_open && self.servers[self.conns[conn].server].up {
                    self.accept(conn);
                    self.hear(Heard::Connected(conn));
                } else {
                    self.hear(Heard::End(conn));
                }
            }
            Event::Refused(conn) => {
                self.counts.bump("attempts refused");
                self.hear(Heard::End(conn));
            }
            Event::Probed(user, number, can_write) => self.probed(user, number, can_write),
            Event::Arrive(conn, way) => self.arrive(conn, way),
            Event::Flush(conn) => {
                let user = self.conns[conn].user;
                // One who is stopped writes when he goes on.
                if self.users[user].conn == Some(conn) && !self.users[user].stopped {
                    self.settle(user);
                }
            }
            Event::Commit(conn) => self.commit(conn),
            Event::Apply(server, target) => self.apply(server, target),
            Event::Tick => self.tick(),
            Event::Act(user) => self.act(user),
            Event::Fault => self.fault(),
            Event::Mend(mend) => self.mend(mend),
            Event::Spread => self.spread(),
        }
    }

    fn trace(&self, say: impl FnOnce(&Sim) -> String) {
        if self.tracing {
            println!("{:>12} {}", self.now, say(self));
        }
    }
}

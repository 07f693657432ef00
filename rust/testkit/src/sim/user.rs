//! A user with his session: what he asked for, and what he knows.

use super::ensemble::Seen;
use super::lease::Lease;
use super::login::Auth;
use super::op::Op;
use super::Sim;
use std::collections::{BTreeSet, VecDeque};
use zk_proto::session::{Config, Output, Session};
use zk_proto::time::Time;

/// Where a request stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// With the session, for want of a connection.
    Waits,
    /// With the session, for want of room on this connection.
    Crowded(usize),
    /// Handed to this connection, as its n-th.
    Handed(usize, usize),
    /// Answered or abandoned: nothing more may come.
    Done,
}

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) op: Op,
    /// With the server's paths.
    pub(super) full: Op,
    pub(super) watcher: Option<u64>,
    pub(super) at: u64,
    pub(super) deadline: u64,
    /// Without a connection until then it is given up.
    pub(super) connect_by: u64,
    pub(super) stage: Stage,
    /// Where it begins in the stream of the connection that it was handed to at once.
    pub(super) offset: Option<u64>,
    /// How it ended: `None` while it is under way, and for good if it was abandoned.
    pub(super) end: Option<End>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// The server's answer.
    Answered {
        done: bool,
    },
    /// Given up, and it may have been carried out.
    Unknown,
    /// Given up, and it was not carried out.
    Failed,
    Abandoned,
}

/// What a watch listens to, in the order of setWatches2.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    Data,
    Exist,
    Child,
    Persistent,
    Recursive,
}

/// A watch that the user has reason to trust in.
#[derive(Clone, Debug)]
pub(super) struct Armed {
    pub(super) watcher: u64,
    pub(super) kind: Kind,
    pub(super) path: String,
    /// What the user saw of the node when he set it.
    pub(super) seen: Seen,
    /// The connection on which it was set.
    pub(super) on: Option<usize>,
}

impl Armed {
    /// Whether a node that looks like this now gives the watch no reason to fire.
    pub(super) fn kept(&self, now: &Seen) -> bool {
        match self.kind {
            Kind::Data => now.exists && now.mzxid == self.seen.mzxid,
            Kind::Exist => !now.exists,
            Kind::Child => now.exists && now.pzxid == self.seen.pzxid,
            Kind::Persistent | Kind::Recursive => true,
        }
    }
}

/// What reached a process that was stopped.
#[derive(Debug)]
pub(super) enum Heard {
    Connected(usize),
    Bytes(usize, Vec<u8>),
    End(usize),
}

pub(super) struct User {
    pub(super) session: Session,
    pub(super) chroot: &'static str,
    pub(super) reads_only_too: bool,
    pub(super) wished_ms: u128,
    /// How far his clock is ahead.
    pub(super) offset: u64,
    pub(super) stopped: bool,
    pub(super) backlog: Vec<Heard>,
    pub(super) conn: Option<usize>,
    /// The number of the probe that is under way.
    pub(super) probe: Option<u64>,
    /// His session leaves its connection as soon as nothing is under way.
    pub(super) moving: bool,
    pub(super) wake: Option<u64>,
    pub(super) outputs: VecDeque<Output>,

    /// Requests by token, from 1 on.
    pub(super) asked: Vec<Asked>,
    /// Those that wait, for whatever it is, in their order.
    pub(super) waits: VecDeque<u64>,
    pub(super) most_in_flight: usize,
    pub(super) armed: Vec<Armed>,
    /// Paths with persistent watches of both kinds.
    pub(super) mixed: BTreeSet<String>,
    pub(super) forgotten: Vec<u64>,
    pub(super) last_watcher: u64,
    pub(super) auths: Vec<Auth>,
    /// The list of servers.
    pub(super) hosts: Vec<usize>,
    /// So much later than they are due his timers may come.
    pub(super) timers_late: u64,
    /// His process was stopped for longer than his session lives.
    pub(super) slept: bool,
    /// Was last connected to a server that only reads.
    pub(super) only_read: bool,
    /// Has left his session to another.
    pub(super) has_left: bool,
    /// Which of them the session still has, in its order.
    pub(super) auths_kept: Vec<usize>,
    /// Shares its session with another user.
    pub(super) twin: bool,

    pub(super) id: i64,
    pub(super) connected: bool,
    pub(super) connected_at: u64,
    /// Has a login by SASL; since when one is under way, and whether at a read-only server.
    pub(super) logs_in: bool,
    pub(super) logging_in: Option<(u64, bool)>,
    pub(super) lease: Option<Lease>,
    pub(super) by_clock: bool,
    pub(super) last_heard: u64,
    pub(super) refused: bool,
    pub(super) auth_refused: bool,
    pub(super) closing: bool,
    pub(super) closed: bool,
    pub(super) over: bool,
    pub(super) applied: usize,
    pub(super) last_zxid: i64,
    /// The last request of the connection that was answered, by its place in the order.
    pub(super) last_answered: Option<(usize, usize)>,

    pub(super) attempts: VecDeque<u64>,
    pub(super) at_once: Option<u64>,
    /// When his process was last stopped or his clock jumped.
    pub(super) disturbed: u64,
    pub(super) timers: u64,
    pub(super) timers_now: (u64, u32),
    pub(super) born: u64,
}

impl Sim {
    /// His clock.
    pub(super) fn time_of(&self, user: usize) -> u64 {
        1_000_000_000 + self.now + self.users[user].offset
    }

    pub(super) fn new_user(&mut self, config: Config, chroot: &'static str, twin: bool) -> usize {
        let now = self.now;
        let id = config.resume.map_or(0, |(id, _)| id);
        let wished_ms = config.session_timeout.as_millis();
        let reads_only_too = config.read_only;
        let by_clock = config.expire_by_clock;
        let most_in_flight = config.max_in_flight;
        let logs_in = config.sasl.is_some();
        let user = User {
            session: Session::new(config, Time::from_micros(1_000_000_000 + now)),
            chroot,
            reads_only_too,
            wished_ms,
            offset: 0,
            stopped: false,
            backlog: Vec::new(),
            conn: None,
            probe: None,
            moving: false,
            wake: None,
            outputs: VecDeque::new(),
            asked: Vec::new(),
            waits: VecDeque::new(),
            most_in_flight,
            armed: Vec::new(),
            mixed: BTreeSet::new(),
            forgotten: Vec::new(),
            last_watcher: 0,
            auths: Vec::new(),
            hosts: self.known.clone(),
            timers_late: 0,
            slept: false,
            only_read: false,
            has_left: false,
            auths_kept: Vec::new(),
            twin,
            id,
            connected: false,
            connected_at: 0,
            logs_in,
            logging_in: None,
            lease: None,
            by_clock,
            last_heard: 0,
            refused: false,
            auth_refused: false,
            closing: false,
            closed: false,
            over: false,
            applied: 0,
            last_zxid: 0,
            last_answered: None,
            attempts: VecDeque::new(),
            at_once: None,
            disturbed: 0,
            timers: 0,
            timers_now: (0, 0),
            born: now,
        };
        self.users.push(user);
        let user = self.users.len() - 1;
        self.settle(user);
        user
    }
}

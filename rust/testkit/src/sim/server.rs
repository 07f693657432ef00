//! A server: which connections it takes, when it applies what was committed, whom it tells.

use super::conn::Note;
use super::net::Way;
use super::op::{parent_of, reserved_for};
use super::tree::Tree;
use super::{Event, Sim};
use bytes::Bytes;
use std::rc::Rc;
use zk_proto::{Code, EventType};

/// How a server receives connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manners {
    Normal,
    Refuses,
    /// Takes the connection and says nothing.
    Silent,
    /// Closes it right away.
    Slams,
    /// Closes it after a part of its answer.
    Stammers,
    /// Packets to and from it vanish.
    Unreachable,
}

#[derive(Debug)]
pub(super) struct Server {
    pub(super) tree: Tree,
    /// How many transactions of the log are in its tree.
    pub(super) applied: usize,
    pub(super) up: bool,
    pub(super) stopped: bool,
    /// Without a quorum it serves those who only read.
    pub(super) reads_alone: bool,
    pub(super) lag_us: u64,
    pub(super) manners: Manners,
    /// Connections that it may still have to do with.
    pub(super) conns: Vec<usize>,
}

impl Server {
    pub(super) fn new(reads_alone: bool) -> Server {
        Server {
            tree: Tree::new(),
            applied: 0,
            up: true,
            stopped: false,
            reads_alone,
            lag_us: 0,
            manners: Manners::Normal,
            conns: Vec::new(),
        }
    }
}

/// The path and all above it.
pub(super) fn upwards(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| (*path != "/").then(|| parent_of(path)))
}

impl Sim {
    pub(super) fn zxid_of(&self, server: usize) -> i64 {
        match self.servers[server].applied {
            0 => 0,
            n => self.ensemble.log[n - 1].zxid,
        }
    }

    /// Tells every server of what was committed.
    pub(super) fn publish(&mut self) {
        let target = self.ensemble.log.len();
        for server in 0..self.servers.len() {
            let lag = self.servers[server].lag_us;
            let at = self.now + self.rng.u64(0..=self.plan.latency_us) + self.rng.u64(0..=lag);
            self.at(at, Event::Apply(server, target));
        }
    }

    /// The server catches up with the log, transaction by transaction: watches fire, then whoever
    /// waited for this one is answered.
    pub(super) fn apply(&mut self, server: usize, target: usize) {
        while self.servers[server].up
            && !self.servers[server].stopped
            && self.servers[server].applied < target
        {
            let at = self.servers[server].applied;
            let txn = Rc::clone(&self.ensemble.log[at]);
            self.servers[server].applied += 1;
            for effect in &txn.effects {
                if let Some(kind) = self.servers[server].tree.apply(effect, txn.zxid, txn.time) {
                    self.trigger(server, kind, effect.path());
                }
            }
            let conns = self.servers[server].conns.clone();
            for conn in &conns {
                if self.conns[*conn].waits_for.as_ref().is_some_and(|(index, ..)| *index == at) {
                    self.answer(*conn);
                }
            }
            if let Some(id) = txn.ends {
                for conn in conns {
                    if self.conns[conn].session == id {
                        self.hang_up(conn);
                    }
                }
            }
            let all = &self.conns;
            self.servers[server].conns.retain(|conn| all[*conn].lives());
        }
    }

    /// One packet for each connection that has a watch of any fitting kind, and again for the
    /// parent.
    fn trigger(&mut self, server: usize, kind: EventType, path: &str) {
        for conn in self.servers[server].conns.clone() {
            let book = &mut self.conns[conn].watches;
            let hears = book.node_changed(kind, path);
            let parent = parent_of(path);
            let moves = kind != EventType::CHANGED && path != "/";
            let children_changed = moves && book.children_changed(parent);
            self.check_persistent(conn, kind, path, hears);
            if moves {
                self.check_persistent(conn, EventType::CHILD, parent, children_changed);
            }
            if hears {
                self.tell(conn, kind, path);
            }
            if children_changed {
                self.tell(conn, EventType::CHILD, parent);
            }
        }
    }

    /// An event, unless the session may not read the node.
    pub(super) fn tell(&mut self, conn: usize, kind: EventType, path: &str) {
        let ids = &self.conns[conn].ids;
        if reserved_for(path).is_some_and(|user| !ids.iter().any(|id| id == user.as_bytes())) {
            self.counts.bump("events withheld from who may not read the node");
            return;
        }
        self.counts.bump(match kind {
            EventType::CREATED => "events sent: created",
            EventType::DELETED => "events sent: deleted",
            EventType::CHANGED => "events sent: changed",
            _ => "events sent: children changed",
        });
        let applied = self.servers[self.conns[conn].server].applied;
        let frame = crate::event_frame(kind, path.as_bytes());
        self.send(conn, Note::Event { kind, path: path.to_owned(), applied }, &frame);
    }

    /// A frame to the client.
    pub(super) fn send(&mut self, conn: usize, note: Note, frame: &[u8]) {
        if !self.conns[conn].server_open {
            return;
        }
        let (note, frame) = self.spoilt(conn, note, frame);
        self.trace(|sim| format!("server {} to conn {conn}: {note:?}", sim.conns[conn].server));
        let c = &mut self.conns[conn];
        c.sent += frame.len() as u64;
        c.notes.push((c.sent, note));
        self.send_bytes(conn, Way::ToClient, &frame);
    }

    /// The server ends a connection.
    pub(super) fn hang_up(&mut self, conn: usize) {
        if !self.conns[conn].server_open {
            return;
        }
        self.trace(|_| format!("conn {conn}: the server hangs up"));
        self.forget_conn(conn);
        if self.quiet || self.rng.bool() {
            self.send_end(conn, Way::ToClient);
        } else {
            self.cut(conn, Way::ToClient);
        }
    }

    /// The server's end is gone. What it had taken in may still be carried out.
    pub(super) fn forget_conn(&mut self, conn: usize) {
        let goes_on = self.rng.bool();
        let c = &mut self.conns[conn];
        c.server_open = false;
        c.watches.clear();
        c.frames.clear();
        c.held.clear();
        if goes_on && !c.queue.is_empty() {
            self.counts.bump("requests carried out after their connection had gone");
        } else {
            c.queue.clear();
        }
    }

    /// Bytes and perhaps the end have come to the server's kernel.
    pub(super) fn server_hears(&mut self, conn: usize, bytes: &[u8], end: bool) {
        let server = &self.servers[self.conns[conn].server];
        let c = &mut self.conns[conn];
        if !c.server_open {
            return;
        }
        if server.stopped || server.manners == Manners::Silent {
            c.held.extend_from_slice(bytes);
            c.held_end |= end;
            return;
        }
        self.take_in(conn, bytes);
        if end {
            self.trace(|_| format!("conn {conn}: the server sees its end"));
            self.forget_conn(conn);
            self.cut(conn, Way::ToClient);
        }
    }

    /// What the kernel of a server held while it did not read.
    pub(super) fn take_in_held(&mut self, server: usize) {
        for conn in self.servers[server].conns.clone() {
            let c = &mut self.conns[conn];
            let (bytes, end) = (std::mem::take(&mut c.held), std::mem::take(&mut c.held_end));
            self.server_hears(conn, &bytes, end);
            let c = &self.conns[conn];
            let moved = self.ensemble.sessions.get(&c.session).is_some_and(|s| s.alive && s.owner != conn);
            if c.greeted && !c.read_only && moved {
                self.hang_up(conn);
            }
        }
    }

    /// A client's connection has reached the server.
    pub(super) fn accept(&mut self, conn: usize) {
        let server = self.conns[conn].server;
        self.conns[conn].server_open = true;
        self.servers[server].conns.push(conn);
        if self.servers[server].manners == Manners::Slams {
            self.counts.bump("connections closed right after accept");
            self.hang_up(conn);
        }
    }

    pub(super) fn simple_reply(&mut self, conn: usize, xid: i32, code: Code, note: Note) {
        let zxid = self.zxid_of(self.conns[conn].server);
        let frame = crate::reply_frame(xid, zxid, code, &Bytes::new());
        self.send(conn, note, &frame);
    }
}

//! Servers that come and go, and what the others make of it; the ensemble's clock.

use super::net::Way;
use super::{Event, Sim};

impl Sim {
    pub(super) fn kill(&mut self, server: usize) {
        self.servers[server].up = false;
        for conn in std::mem::take(&mut self.servers[server].conns) {
            let c = &mut self.conns[conn];
            c.queue.clear();
            // What is with the leader may be carried out; nobody will say so.
            c.waits_for = None;
            if c.server_open {
                self.forget_conn(conn);
                self.cut(conn, Way::ToClient);
            }
        }
        self.count_votes();
    }

    pub(super) fn restart(&mut self, server: usize) {
        self.servers[server].up = true;
        self.at(self.now, Event::Apply(server, self.ensemble.log.len()));
        self.count_votes();
    }

    /// Whether there is a quorum; when that changes, servers drop all their connections.
    pub(super) fn count_votes(&mut self) {
        let up = self.servers.iter().filter(|s| s.up).count();
        let quorum = up * 2 > self.servers.len() && !self.ensemble.split;
        if quorum == self.ensemble.quorum {
            return;
        }
        self.trace(|_| format!("quorum: {quorum}"));
        self.counts.bump(if quorum { "quorums regained" } else { "quorums lost" });
        self.ensemble.quorum = quorum;
        for server in 0..self.servers.len() {
            for conn in self.servers[server].conns.clone() {
                if self.conns[conn].waits_for.is_none() {
                    self.conns[conn].doing = None;
                }
                self.hang_up(conn);
                self.conns[conn].queue.clear();
            }
        }
        if quorum {
            self.ensemble.new_epoch();
            let now = self.now;
            // A new leader gives every session its full time again.
            for session in self.ensemble.sessions.values_mut() {
                session.deadline = now + session.timeout_us;
            }
        }
    }

    /// The ensemble's clock.
    pub(super) fn tick(&mut self) {
        if self.ensemble.quorum {
            let now = self.now;
            let late: Vec<i64> = self
                .ensemble
                .sessions
                .iter()
                .filter(|(_, s)| s.alive && s.deadline < now)
                .map(|(id, _)| *id)
                .collect();
            for id in late {
                let owner = self.conns[self.ensemble.sessions[&id].owner].user;
                self.trace(|_| format!("session {id:x} of user {owner} expires"));
                assert!(!self.plan.calm || self.users[owner].over, "an undisturbed session expired");
                self.counts.bump("sessions expired by the clock");
                self.judge_expiry(id);
                self.ensemble.end_session(id, self.millis(), None);
                self.publish();
            }
        }
        self.at(self.now + self.plan.tick_us, Event::Tick);
    }

    /// Keeps the session alive, as every packet does.
    pub(super) fn touch(&mut self, conn: usize) {
        let now = self.now;
        let c = &self.conns[conn];
        if c.greeted && self.ensemble.quorum {
            if let Some(session) = self.ensemble.sessions.get_mut(&c.session).filter(|s| s.owner == conn) {
                session.deadline = now + session.timeout_us;
            }
        }
    }
}

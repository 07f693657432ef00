//! Drives sessions as an event loop does: bytes in, timers, bytes and answers out.

use super::conn::Conn;
use super::net::Way;
use super::op::Op;
use super::server::Manners;
use super::user::{Asked, End, Heard, Stage};
use super::{Event, Sim};
use std::time::Duration;
use zk_proto::chroot::Chroot;
use zk_proto::session::Action;
use zk_proto::time::Time;
use zk_proto::Code;

/// `jute_maxbuffer` of the users.
pub(super) const LONGEST_REQUEST: usize = 10_000;

/// Servers are called `s0`, `s1`, …
fn server_of(host: &str) -> usize {
    host.trim_start_matches('s').parse().expect("the name of a server")
}

impl Sim {
    /// The connection is up, or has brought something or its end.
    pub(super) fn user_hears(&mut self, conn: usize, bytes: Vec<u8>, end: bool) {
        if !bytes.is_empty() {
            self.hear(Heard::Bytes(conn, bytes));
        }
        if end {
            self.hear(Heard::End(conn));
        }
    }

    pub(super) fn hear(&mut self, heard: Heard) {
        let (Heard::Connected(conn) | Heard::Bytes(conn, _) | Heard::End(conn)) = heard;
        let user = self.conns[conn].user;
        if self.users[user].stopped {
            self.users[user].backlog.push(heard);
            return;
        }
        if self.users[user].conn != Some(conn) {
            return;
        }
        let at = self.time_of(user);
        let now = Time::from_micros(at);
        match heard {
            Heard::Connected(_) => {
                self.users[user].last_heard = at;
                self.conns[conn].hello_at = at;
                self.users[user].session.handle_connected(now);
            }
            Heard::Bytes(conn, bytes) => {
                self.users[user].last_heard = at;
                self.users[user].session.handle_bytes(now, &bytes);
                self.conns[conn].heard += bytes.len() as u64;
                self.collect(user);
                self.judge_notes(user, conn);
            }
            Heard::End(conn) => {
                self.trace(|_| format!("user {user}: conn {conn} has ended"));
                self.counts.bump("connections lost");
                assert!(!self.plan.calm || self.users[user].closing, "an undisturbed connection was lost");
                self.drop_conn(user);
                self.users[user].session.handle_closed(now);
            }
        }
        self.settle(user);
    }

    /// A timer of the session is due.
    pub(super) fn user_timer(&mut self, user: usize) {
        let at = self.time_of(user);
        let now = self.now;
        let u = &mut self.users[user];
        u.timers += 1;
        u.timers_now = if u.timers_now.0 == now { (now, u.timers_now.1 + 1) } else { (now, 1) };
        assert!(u.timers_now.1 < 10, "the session's timers spin");
        let untold = u.session.transmit().len();
        u.session.handle_timeout(Time::from_micros(at));
        self.note_pings(user, untold);
        self.settle(user);
    }

    pub(super) fn collect(&mut self, user: usize) {
        let u = &mut self.users[user];
        while let Some(output) = u.session.poll_output() {
            u.outputs.push_back(output);
        }
    }

    /// Drains the session as a driver does, and holds against the rules what comes out.
    pub(super) fn settle(&mut self, user: usize) {
        if self.users[user].timers_late > 0 {
            self.users[user].disturbed = self.time_of(user);
        }
        loop {
            self.collect(user);
            self.judge_rest(user);
            match self.users[user].session.poll_action() {
                Some(Action::Connect(host)) => self.connect(user, server_of(&host.host)),
                Some(Action::Probe(host)) => self.probe(user, server_of(&host.host)),
                Some(Action::EndProbe) => self.users[user].probe = None,
                Some(Action::Disconnect) => self.disconnect(user),
                None => {
                    self.flush(user);
                    break;
                }
            }
        }
        self.judge_state(user);
        let late = if self.rng.u32(0..4) == 0 { self.rng.u64(0..3_000) } else { 0 };
        let late = late + self.rng.u64(0..=self.users[user].timers_late);
        let u = &mut self.users[user];
        let base = 1_000_000_000 + u.offset;
        u.wake = u.session.poll_timeout().map(|t| (t.as_micros().saturating_sub(base) + late).max(self.now));
    }

    fn connect(&mut self, user: usize, server: usize) {
        self.judge_attempt(user);
        assert!(self.users[user].hosts.contains(&server), "server {server} is none of user {user}'s list");
        assert!(self.users[user].conn.is_none(), "two connections at a time");
        let conn = self.conns.len();
        self.trace(|_| format!("user {user}: conn {conn} to server {server}"));
        self.counts.bump("attempts to connect");
        self.conns.push(Conn::new(user, server, self.plan.one_mode));
        self.users[user].conn = Some(conn);
        let at = self.now + self.latency();
        let s = &self.servers[server];
        match s.manners {
            Manners::Unreachable => self.counts.bump("attempts that got no answer"),
            Manners::Refuses => self.at(at, Event::Refused(conn)),
            _ if !s.up => self.at(at, Event::Refused(conn)),
            _ => self.at(at, Event::Connected(conn)),
        }
    }

    /// The user's end of his connection is gone.
    fn drop_conn(&mut self, user: usize) {
        self.users[user].probe = None;
        self.leave_login(user);
        if let Some(conn) = self.users[user].conn.take() {
            self.conns[conn].client_open = false;
            if self.conns[conn].auths_answered < self.conns[conn].auths.len() && !self.users[user].closing {
                self.counts.bump("authentications whose answer was lost");
            }
            if self.rng.bool() {
                self.send_end(conn, Way::ToServer);
            } else {
                self.cut(conn, Way::ToServer);
            }
        }
    }

    fn disconnect(&mut self, user: usize) {
        self.trace(|sim| format!("user {user} drops conn {:?}", sim.users[user].conn));
        let over = self.users[user].session.over().is_some() || self.users[user].moving || self.plan.crowd;
        assert!(!self.plan.calm || over, "an undisturbed connection was dropped");
        self.drop_conn(user);
    }

    /// Writes what there is, as far as the kernel takes it.
    pub(super) fn flush(&mut self, user: usize) {
        let Some(conn) = self.users[user].conn else {
            assert!(self.users[user].session.transmit().is_empty(), "something to send and nowhere to");
            return;
        };
        while !self.users[user].stopped {
            let bytes = self.users[user].session.transmit().to_vec();
            if bytes.is_empty() || self.conns[conn].full_until > self.now {
                return;
            }
            let mut count = bytes.len();
            if self.rng.u32(0..30) == 0 && !self.quiet && !self.plan.calm {
                count = self.rng.usize(1..=count);
                let pause = self.rng.u64(1_000..200_000);
                self.conns[conn].full_until = self.now + pause;
                self.at(self.now + pause, Event::Flush(conn));
                self.counts.bump("writes that the kernel took in part");
            }
            self.conns[conn].written += count as u64;
            self.send_bytes(conn, Way::ToServer, &bytes[..count]);
            self.users[user].session.transmitted(count);
        }
    }

    pub(super) fn resume(&mut self, user: usize) {
        self.users[user].stopped = false;
        self.users[user].disturbed = self.time_of(user);
        self.trace(|_| format!("user {user} goes on"));
        for heard in std::mem::take(&mut self.users[user].backlog) {
            self.hear(heard);
        }
        self.settle(user);
    }

    /// Asks for something; returns the token.
    pub(super) fn ask(&mut self, user: usize, op: Op, watcher: Option<u64>, within: Option<Duration>) {
        let at = self.time_of(user);
        let in_flight = self.in_flight(user);
        let u = &mut self.users[user];
        let token = u.asked.len() as u64 + 1;
        let timeout = u.session.timeout().as_micros() as u64;
        let deadline = at + within.map_or(timeout * 3, |w| w.as_micros() as u64);
        let full = op.chrooted(u.chroot);
        let untold = u.session.transmit().len() as u64;
        let now = Time::from_micros(at);
        let waits = self.rng.bool();
        let result = op.with_request(|r| match waits {
            true => u.session.submit(now, r, token, watcher, within),
            false => u.session.try_submit(now, r, token, watcher, within),
        });
        if !waits && u.waits.len() + in_flight >= u.most_in_flight {
            let code = result.expect_err("more requests in flight than there may be").code;
            assert_eq!(code, Code::THROTTLED_OP);
            self.counts.bump("requests that were too many");
            return;
        }
        let length = full.with_request(|r| r.encode(1, &Chroot::none(), &mut Vec::new()));
        if length > LONGEST_REQUEST {
            let code = result.expect_err("a request that is too long").code;
            assert_eq!(code, Code::BAD_ARGUMENTS);
            self.counts.bump("requests that were too long");
            return;
        }
        let (mut stage, mut end) = (None, None);
        if matches!(op, Op::RemoveWatches { .. })
            && self.removed_at_once(user, token, &full, watcher, &result)
        {
            if result.is_err() {
                return;
            }
            (stage, end) = (Some(Stage::Done), Some(End::Answered { done: true }));
        }
        assert_eq!(result, Ok(()), "a session that is not over refused a request");
        self.note_mixture(user, &full);
        let u = &mut self.users[user];
        let (at_once, mut offset) = (stage.is_some(), None);
        let stage = stage.unwrap_or_else(|| match u.conn.filter(|_| u.session.is_connected()) {
            // It will wait for the next connection, but the model learns of that when this one is left.
            Some(conn) if u.moving || !u.waits.is_empty() || in_flight >= u.most_in_flight => {
                self.counts.bump("requests that waited for room");
                Stage::Crowded(conn)
            }
            Some(conn) => {
                let c = &self.conns[conn];
                offset = Some(c.written + untold);
                Stage::Handed(conn, c.handed.len())
            }
            None => Stage::Waits,
        });
        if !at_once && !matches!(stage, Stage::Handed(..)) {
            u.waits.push_back(token);
        }
        let connect_by = deadline.min(at + timeout);
        u.asked.push(Asked { op, full, watcher, at, deadline, connect_by, stage, offset, end });
        if let Stage::Handed(conn, _) = stage {
            self.note_handed(user, conn, token);
        }
        self.counts.bump("requests");
        self.trace(|sim| {
            let asked = &sim.users[user].asked[token as usize - 1];
            format!("user {user} asks {token}: {:?} watcher {watcher:?} {stage:?}", asked.op)
        });
    }
}

//! What a user may know of how long his session lives: from the sending of the youngest message that a server has
//! answered on, for the timeout. And what the ensemble knows.

use super::op::Op;
use super::Sim;
use zk_proto::time::Time;
use zk_proto::Code;

/// A whole frame.
const PING: [u8; 12] = [0, 0, 0, 8, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 11];

#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub(super) confirmed: u64,
    pub(super) lasts: u64,
    /// When the grant came, which may have been under way for longer than it lasts.
    pub(super) came: u64,
}

impl Lease {
    pub(super) fn ends(self) -> u64 {
        self.confirmed + self.lasts
    }
}

impl Sim {
    /// A timer of the session may have left a ping behind what there was to send.
    pub(super) fn note_pings(&mut self, user: usize, untold: usize) {
        let at = self.time_of(user);
        let u = &self.users[user];
        let more = u.session.transmit().get(untold..).unwrap_or_default();
        if more == PING {
            let conn = u.conn.expect("a ping needs a connection");
            self.conns[conn].pings.push_back(at);
        } else {
            assert!(more.is_empty(), "a timer sends {more:x?}");
        }
    }

    /// The session was granted.
    pub(super) fn judge_grant(&mut self, user: usize, conn: usize) {
        let (came, confirmed) = (self.time_of(user), self.conns[conn].hello_at);
        let u = &mut self.users[user];
        u.lease = Some(Lease { confirmed, lasts: u.session.timeout().as_micros() as u64, came });
    }

    pub(super) fn judge_pong(&mut self, user: usize, conn: usize) {
        let sent = self.conns[conn].pings.pop_front().expect("an answer to a ping");
        self.confirm(user, conn, sent);
    }

    /// The oldest request that was handed to the connection has its answer.
    pub(super) fn judge_confirmed(&mut self, user: usize, conn: usize, code: Code) {
        let c = &self.conns[conn];
        let sent = c.handed_at[c.replied];
        // A server that does not know addWatch is left at once.
        let op = &self.users[user].asked[c.handed[c.replied] as usize - 1].op;
        let leaves = code == Code::UNIMPLEMENTED && matches!(op, Op::AddWatch { .. });
        if !leaves && !matches!(code, Code::SESSION_EXPIRED | Code::SESSION_MOVED) {
            self.confirm(user, conn, sent);
        }
    }

    fn confirm(&mut self, user: usize, conn: usize, sent: u64) {
        if self.conns[conn].read_only {
            return;
        }
        if let Some(lease) = &mut self.users[user].lease {
            lease.confirmed = lease.confirmed.max(sent);
        }
    }

    /// The leader has heard nothing of this session for its timeout: whoever has it must not trust in it any more, and
    /// may have been told of its end. Of one that somebody else has taken over nothing is known: he may have been granted
    /// another timeout.
    pub(super) fn judge_expiry(&mut self, id: i64) {
        if self.users.iter().filter(|u| u.id == id).count() > 1 {
            return;
        }
        for user in 0..self.users.len() {
            let at = Time::from_micros(self.time_of(user));
            let u = &self.users[user];
            if u.id == id && u.lease.is_some() && !(u.twin || u.over || u.closing) {
                assert!(u.session.is_suspect(at), "user {user} trusts in a session that has expired");
                self.counts.bump("sessions expired by the clock whose users suspected it");
            }
        }
    }
}

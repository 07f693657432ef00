//! Sessions that change hands: left for whoever goes on with them, taken over, made up.

use super::user::Stage;
use super::Sim;

/// A session of which no server has heard.
const UNHEARD_OF: (i64, [u8; 16]) = (0x7123_4567_89ab_cdef, [9; 16]);

impl Sim {
    /// Id and password that a new user has from somewhere.
    pub(super) fn some_session(&mut self, twin: &mut bool) -> Option<(i64, [u8; 16])> {
        if self.plan.calm || self.users.is_empty() {
            return None;
        }
        if let Some(pair) = self.left.pop() {
            self.counts.bump("users who go on with a session that was left");
            return Some(pair);
        }
        let other = self.rng.usize(0..self.users.len());
        match (self.rng.u32(0..16), self.users[other].session.credentials()) {
            (0, Some((id, _))) => {
                self.counts.bump("users with a wrong password");
                Some((id, [1; 16]))
            }
            (1, Some(pair)) if !self.plan.keeper => {
                self.counts.bump("users with another's session");
                *twin = true;
                self.users[other].twin = true;
                Some(pair)
            }
            (2, _) => {
                self.counts.bump("users with the id of no session");
                Some(UNHEARD_OF)
            }
            _ => None,
        }
    }

    /// The user goes without a word to the server, and leaves his session to another.
    pub(super) fn leave(&mut self, user: usize) {
        self.trace(|_| format!("user {user} leaves his session to another"));
        let u = &mut self.users[user];
        let pair = u.session.credentials();
        u.closing = true;
        u.has_left = true;
        u.session.leave();
        self.settle(user);
        let u = &self.users[user];
        assert!(u.closed && u.conn.is_none(), "user {user} has left");
        assert!(u.asked.iter().all(|asked| asked.stage == Stage::Done), "left with requests unanswered");
        self.counts.bump("sessions left to another");
        if let Some(pair) = pair.filter(|_| !u.twin && !self.plan.keeper) {
            let alive = self.ensemble.sessions.get(&pair.0).is_some_and(|s| s.alive);
            if alive {
                self.left.push(pair);
            }
        }
    }
}

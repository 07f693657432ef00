//! `max_in_flight`: how many requests may be unanswered, and which wait until there is room.

use super::user::Stage;
use super::Sim;

impl Sim {
    /// How many requests of the user's connection have no reply yet, whoever still waits for it.
    pub(super) fn in_flight(&self, user: usize) -> usize {
        let u = &self.users[user];
        let conn = u.conn.filter(|_| u.session.is_connected());
        conn.map_or(0, |conn| self.conns[conn].handed.len() - self.conns[conn].replied)
    }

    /// Hands over what waits, in its order, as far as there is room.
    pub(super) fn hand_over(&mut self, user: usize, conn: usize) {
        loop {
            let (u, c) = (&mut self.users[user], &self.conns[conn]);
            if u.moving || c.handed.len() - c.replied >= u.most_in_flight {
                break;
            }
            let Some(token) = u.waits.pop_front() else { break };
            self.note_handed(user, conn, token);
        }
    }

    /// A reply has come.
    pub(super) fn note_room(&mut self, user: usize, conn: usize) {
        self.note_gap(conn);
        self.conns[conn].replied += 1;
        let before = self.conns[conn].handed.len();
        self.hand_over(user, conn);
        if self.conns[conn].handed.len() > before {
            self.counts.bump("requests that got room by a reply");
        }
    }

    /// A request needs nothing any more.
    pub(super) fn note_done(&mut self, user: usize, token: u64) {
        let u = &mut self.users[user];
        let asked = &mut u.asked[token as usize - 1];
        if !matches!(asked.stage, Stage::Handed(..)) {
            u.waits.retain(|waits| *waits != token);
        }
        asked.stage = Stage::Done;
    }
}

//! Everything that happens because time has passed.

use super::search::Search;
use super::{Phase, Session};
use crate::note::Expiry;
use crate::record::encode_ping;
use crate::time::Time;
use crate::Code;
use std::time::Duration;

/// Timers never come closer together than this, whatever timeout the server chose.
const LEAST_INTERVAL: Duration = Duration::from_millis(10);

impl Session {
    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, at the latest.
    pub fn poll_timeout(&self) -> Option<Time> {
        let phase = match self.phase {
            Phase::Pausing { until } => Some(until),
            Phase::Connecting { deadline, .. }
            | Phase::Handshaking { deadline }
            | Phase::Authenticating { deadline, .. } => Some(deadline),
            Phase::Established { .. } => {
                let search = self.search.as_ref().map(Search::at);
                earlier(earlier(self.moving, search), Some(self.ping_at().min(self.dead_at())))
            }
            Phase::Over(_) => None,
        };
        let auth = self.auth.next_deadline(self.is_connected());
        earlier(
            earlier(phase, self.expires_at()),
            earlier(auth, earlier(self.connect_by, self.pending.next_deadline())),
        )
    }

    /// Time has passed. Bytes that have arrived must be fed first: a process that was stopped for
    /// long finds the server's word in the socket, and it counts.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.expires_at().is_some_and(|at| at <= now) {
            self.note_expiry(Expiry::Clock(self.cut_off_for(now)));
            self.lose_for_good(Code::SESSION_EXPIRED);
            return;
        }
        self.note_suspicion(now);
        match self.phase {
            Phase::Pausing { until } if until <= now => self.connect(now),
            Phase::Connecting { deadline, .. }
            | Phase::Handshaking { deadline }
            | Phase::Authenticating { deadline, .. }
                if deadline <= now =>
            {
                self.note_silence(now);
                self.lose(now, true);
            }
            Phase::Established { .. } if self.dead_at() <= now => {
                self.note_silence(now);
                self.lose(now, true);
            }
            Phase::Established { .. } if self.moving.is_some_and(|at| at <= now) => self.lose(now, true),
            Phase::Established { .. } => {
                if self.ping_at() <= now {
                    encode_ping(&mut self.out);
                    self.last_write = now;
                    self.sent_ping(now);
                }
                self.search_on(now);
            }
            _ => {}
        }
        let late = self.pending.expire(now);
        self.note_unanswered(late.len(), Code::OPERATION_TIMEOUT);
        for (token, write) in late {
            self.fail(token, Code::OPERATION_TIMEOUT, write);
        }
        self.give_up_waiting(now);
        self.give_up_auth(now);
    }

    /// A third of the timeout after the last thing written, whatever was read since and whatever is
    /// under way: only what the server gets keeps the session alive.
    fn ping_at(&self) -> Time {
        self.last_write + (self.timeout / 3).max(LEAST_INTERVAL)
    }

    /// Two thirds of the timeout without a byte read: the server has stalled, and there is a third
    /// left to find another.
    fn dead_at(&self) -> Time {
        self.last_read + (self.timeout * 2 / 3).max(LEAST_INTERVAL * 2)
    }
}

/// The earlier of two moments that there may be. (Written out: an iterator's `min` over options
/// compiles to a comparison with what is not there, whose result is dropped, and Valgrind takes
/// offence.)
pub(super) fn earlier(one: Option<Time>, other: Option<Time>) -> Option<Time> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        _ => one.or(other),
    }
}

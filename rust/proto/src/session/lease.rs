//! For how long the session surely lives.
//!
//! A server renews it when a request or a ping comes, and the answer says that it has: not when, but surely not before
//! that was sent. The answer itself may have been long under way, or have lain in the socket of a process that stood
//! still; so it does not count when that came. Logins and authentications renew nothing, and their answers do not count.
//! Source: `ZooKeeperServer.processPacket` and `submitRequestNow` of Apache ZooKeeper.

use super::{Phase, Session};
use crate::time::Time;
use crate::Code;
use std::collections::VecDeque;
use std::time::Duration;

/// So many unanswered pings are told apart: a server that sends anything but answers must not make them grow for ever.
const MOST_PINGS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Lease {
    granted: Option<Granted>,
    /// Those that this connection's server has not answered; their answers come in this order.
    pings: VecDeque<Pings>,
}

/// By a server that can write: others renew nothing, and what they grant is no session that could expire.
#[derive(Debug)]
struct Granted {
    /// When the youngest that was answered had been sent.
    confirmed: Time,
    lasts: Duration,
}

/// The time of the first counts for all.
#[derive(Debug)]
struct Pings {
    sent: Time,
    count: u64,
}

impl Lease {
    fn pinged(&mut self, now: Time) {
        let full = self.pings.len() >= MOST_PINGS;
        match self.pings.back_mut() {
            Some(last) if full => last.count += 1,
            _ => self.pings.push_back(Pings { sent: now, count: 1 }),
        }
    }

    /// When the ping was sent whose answer has come.
    fn answered(&mut self) -> Option<Time> {
        let oldest = self.pings.front_mut()?;
        let sent = oldest.sent;
        oldest.count -= 1;
        if oldest.count == 0 {
            self.pings.pop_front();
        }
        Some(sent)
    }

    /// A lost connection answers nothing more.
    pub(super) fn connection_lost(&mut self) {
        self.pings.clear();
    }
}

impl Session {
    /// A server that can write has granted the session; the handshake was sent then.
    pub(super) fn lease(&mut self, sent: Time) {
        self.lease.granted = Some(Granted { confirmed: sent, lasts: self.timeout });
    }

    /// A request was answered that had been sent then.
    #[inline]
    pub(super) fn confirm(&mut self, sent: Time, answer: Code) {
        if matches!(answer, Code::SESSION_EXPIRED | Code::SESSION_MOVED) {
            return;
        }
        if let Phase::Established { read_only: false, .. } = self.phase {
            if let Some(granted) = &mut self.lease.granted {
                granted.confirmed = granted.confirmed.max(sent);
            }
        }
    }

    pub(super) fn sent_ping(&mut self, now: Time) {
        self.counted.sent += 1;
        self.lease.pinged(now);
        self.note_ping();
    }

    pub(super) fn answered_ping(&mut self, now: Time, answer: Code) {
        let sent = self.lease.answered();
        let took = sent.map(|sent| now.since(sent));
        if let Some(sent) = sent {
            self.counted.last_rtt = took;
            self.confirm(sent, answer);
            self.note_confirmed(now);
        }
        self.note_pong(took);
    }

    /// From when on the session may have expired.
    pub(super) fn suspect_at(&self) -> Option<Time> {
        self.lease.granted.as_ref().map(|granted| granted.confirmed + granted.lasts)
    }

    /// When it is taken as expired, whatever a server would say.
    pub(super) fn expires_at(&self) -> Option<Time> {
        let by_clock = self.config.expire_by_clock && self.over().is_none() && self.closing.is_none();
        self.suspect_at().filter(|_| by_clock)
    }

    /// For how long no server has confirmed it.
    pub(super) fn cut_off_for(&self, now: Time) -> Duration {
        self.lease.granted.as_ref().map_or(Duration::ZERO, |granted| now.since(granted.confirmed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_without_end_take_no_room_and_none_counts_from_later_than_it_was_sent() {
        let mut lease = Lease::default();
        for sent in 0..1_000 {
            lease.pinged(Time::from_micros(sent));
        }
        assert_eq!(lease.pings.len(), MOST_PINGS);
        for sent in 0..1_000 {
            let counts = lease.answered().unwrap();
            assert!(counts <= Time::from_micros(sent));
            assert!(counts == Time::from_micros(sent) || sent >= MOST_PINGS as u64);
        }
        assert_eq!(lease.answered(), None, "an answer to nothing");
    }
}

//! The search for a server that can write, while the session is connected to one that can't.
//!
//! As the Java and C clients do it: the other servers of the list are asked with the four-letter word `isro`,
//! each over a connection of its own, and the session goes to the first that can write.

use super::{Action, Phase, Session};
use crate::connect_string::HostPort;
use crate::note::{Level, Note};
use crate::time::Time;
use std::time::Duration;

/// What a probe sends. The answer is `rw`, `ro` or `null`, without a newline, and the end of the stream.
pub const QUESTION: &[u8] = b"isro";
/// The answer of a server that can write.
pub const CAN_WRITE: &[u8] = b"rw";

/// Before the first round through the list; each next one comes after twice that time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Pauses grow to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A search, which lives as long as its connection.
#[derive(Debug)]
pub(super) struct Search {
    /// When it goes on, whatever happens.
    at: Time,
    /// Between the end of this round and the next.
    pause: Duration,
    /// Servers that are still to be asked in this round.
    round: Vec<HostPort>,
    /// Who is being asked.
    asked: Option<HostPort>,
}

impl Search {
    pub(super) fn at(&self) -> Time {
        self.at
    }

    pub(super) fn is_probing(&self) -> bool {
        self.asked.is_some()
    }
}

impl Session {
    /// The probe that [`Action::Probe`] asked for has ended: the server can write (it said `rw`), or not
    /// (whatever else became of it).
    pub fn handle_probe(&mut self, now: Time, can_write: bool) {
        let Some(server) = self.search.as_mut().and_then(|search| search.asked.take()) else { return };
        if !can_write {
            return self.ask_next(now);
        }
        self.notes.leave(Level::Info, || Note::FoundWriter(server.clone()));
        self.search = None;
        if self.closing.is_none() {
            self.endpoints.prefer(&server);
            self.start_move(now);
        }
    }

    /// Begins, on a new connection.
    pub(super) fn search_from(&mut self, now: Time) {
        let (at, pause) = (now + FIRST_PAUSE, FIRST_PAUSE * 2);
        self.search = Some(Search { at, pause, round: Vec::new(), asked: None });
    }

    /// Begins anew, if there is one: there are other servers to be asked.
    pub(super) fn search_anew(&mut self, now: Time) {
        let Some(former) = self.search.take() else { return };
        if former.is_probing() {
            self.actions.push_back(Action::EndProbe);
        }
        self.search_from(now);
    }

    /// Time has passed.
    pub(super) fn search_on(&mut self, now: Time) {
        let Some(search) = self.search.as_mut().filter(|search| search.at <= now) else { return };
        if search.asked.take().is_some() {
            self.actions.push_back(Action::EndProbe);
        } else {
            let others = self.endpoints.others(self.server.as_ref(), &mut self.rng);
            search.round = others;
        }
        self.ask_next(now);
    }

    /// Asks the next server of this round, or waits for the next round.
    fn ask_next(&mut self, now: Time) {
        let limit = self.connect_limit();
        let Some(search) = &mut self.search else { return };
        let closing = self.closing.is_some() || !matches!(self.phase, Phase::Established { .. });
        match search.round.pop().filter(|_| !closing) {
            Some(host) => {
                search.at = now + limit;
                search.asked = Some(host.clone());
                self.notes.leave(Level::Debug, || Note::Probe(host.clone()));
                self.actions.push_back(Action::Probe(host));
            }
            None => {
                // Many clients that lost their servers together must not ask together.
                let jitter = Duration::from_micros(self.rng.u64(0..=search.pause.as_micros() as u64 / 4));
                search.at = now + search.pause + jitter;
                search.pause = (search.pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

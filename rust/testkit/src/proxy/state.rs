//! What the threads of a proxy share, under one lock.

use super::lane::Lane;
use super::link::{Ends, Link};
use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// In what pieces bytes arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Segments {
    /// As they come.
    #[default]
    Whole,
    /// So many bytes at a time.
    Of(usize),
    /// Frames that are longer are cut behind so many bytes (the four of the length count).
    FramesAt(usize),
}

/// A request, as a proxy knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// The next with this opcode.
    Opcode(i32),
    /// The one with this number among all that come, on whatever connections, from 1 on. Handshakes and pings do not
    /// count.
    Number(usize),
}

/// What is done with a connection to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Greeting {
    /// The server gets it. One that is not there makes a reset of it.
    #[default]
    Relay,
    /// It is accepted, and read, and no byte ever comes. The server does not hear of it.
    Silence,
    /// It is closed as soon as it is accepted.
    HangUp,
    /// It is reset as soon as it is accepted.
    Reset,
}

/// What a proxy has counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Connections that were accepted.
    pub connections: usize,
    /// Those of them that have not ended.
    pub open: usize,
    /// Bytes that clients have sent.
    pub from_clients: u64,
    /// Bytes that servers were given.
    pub to_servers: u64,
    /// Bytes that servers have sent.
    pub from_servers: u64,
    /// Bytes that clients were given.
    pub to_clients: u64,
    /// Requests that clients have sent, without handshakes and pings.
    pub requests: usize,
    /// Replies that were lost on request.
    pub lost_replies: usize,
}

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    Close,
    Reset,
}

/// What is set for a direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Settings {
    /// For connections to come; each lane has a hole of its own.
    pub(super) hole: bool,
    pub(super) latency: Duration,
    pub(super) segments: Segments,
    pub(super) gather: Option<usize>,
    pub(super) close_after: Option<u64>,
}

/// Replies that are to be lost.
#[derive(Debug)]
struct Losing {
    asked: Asked,
    times: usize,
    /// Requests seen since the last one that was hit.
    seen: usize,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) stopped: bool,
    pub(super) greeting: Greeting,
    pub(super) settings: [Settings; 2],
    pub(super) links: HashMap<usize, Link>,
    pub(super) counts: Counts,
    losing: Option<Losing>,
}

impl State {
    pub(super) fn counts(&self) -> Counts {
        Counts { open: self.links.len(), ..self.counts }
    }

    pub(super) fn lose(&mut self, asked: Asked, times: usize) {
        self.losing = (times > 0).then_some(Losing { asked, times, seen: 0 });
    }

    /// A request has come; whether its reply is to be lost.
    pub(super) fn is_hit(&mut self, opcode: i32) -> bool {
        self.counts.requests += 1;
        let Some(losing) = &mut self.losing else { return false };
        losing.seen += 1;
        let hit = match losing.asked {
            Asked::Opcode(wanted) => opcode == wanted,
            Asked::Number(number) => losing.seen == number,
        };
        if hit {
            losing.times -= 1;
            losing.seen = 0;
            if losing.times == 0 {
                self.losing = None;
            }
        }
        hit
    }

    /// Takes a new connection up.
    pub(super) fn open(&mut self, ends: Ends) -> usize {
        let lane = |settings: &Settings| Lane::new(settings.hole, settings.close_after);
        let [to_server, to_client] = &self.settings;
        let link = Link::new(ends, [lane(to_server), lane(to_client)]);
        self.counts.connections += 1;
        let number = self.counts.connections;
        self.links.insert(number, link);
        number
    }

    pub(super) fn end(&mut self, number: usize, end: End) {
        if let Some(link) = self.links.remove(&number) {
            link.end(end);
        }
    }

    pub(super) fn end_all(&mut self, end: End) {
        self.links.drain().for_each(|(_, link)| link.end(end));
    }
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, and lets everybody look again.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Waits for a change, for so long at most.
    pub(super) fn wait<'s>(
        &self,
        state: MutexGuard<'s, State>,
        within: Option<Duration>,
    ) -> MutexGuard<'s, State> {
        match within {
            Some(span) => self.changed.wait_timeout(state, span).unwrap_or_else(PoisonError::into_inner).0,
            None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
        }
    }
}

//! The network: two pipes for each connection, in which bytes are late, cut up, run together, held
//! back or lost.

use super::conn::Conn;
use super::{Event, Sim};
use std::collections::VecDeque;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    ToServer,
    ToClient,
}

#[derive(Debug)]
pub(super) enum Item {
    Bytes(Vec<u8>),
    /// Nothing more will come.
    End,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    queue: VecDeque<Item>,
    /// When the last of the queue arrives: nothing overtakes.
    last: u64,
    /// Nothing comes through for a while.
    pub(super) blocked: bool,
    /// Arrivals that fell into that while.
    stalled: usize,
    /// Its end is in the queue.
    ended: bool,
}

impl Sim {
    pub(super) fn pipe(&mut self, conn: usize, way: Way) -> &mut Pipe {
        let Conn { to_server, to_client, .. } = &mut self.conns[conn];
        match way {
            Way::ToServer => to_server,
            Way::ToClient => to_client,
        }
    }

    /// How long a packet takes.
    pub(super) fn latency(&mut self) -> u64 {
        let base = self.plan.latency_us;
        match self.rng.u32(0..200) {
            0 if !self.quiet && !self.plan.calm => self.rng.u64(0..400_000),
            _ => base + self.rng.u64(0..=base),
        }
    }

    /// Puts bytes on their way, in pieces.
    pub(super) fn send_bytes(&mut self, conn: usize, way: Way, bytes: &[u8]) {
        if self.pipe(conn, way).ended {
            return;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let length = match self.rng.u32(0..20) {
                0 => 1,
                1..=4 => self.rng.usize(1..=rest.len()),
                5 if rest.len() < 64 => {
                    self.counts.bump("segments of one byte each");
                    for byte in rest {
                        self.enqueue(conn, way, Item::Bytes(vec![*byte]));
                    }
                    return;
                }
                _ => rest.len(),
            };
            let (piece, tail) = rest.split_at(length);
            self.enqueue(conn, way, Item::Bytes(piece.to_vec()));
            rest = tail;
        }
    }

    /// The end of the stream, behind all that is on its way.
    pub(super) fn send_end(&mut self, conn: usize, way: Way) {
        if !std::mem::replace(&mut self.pipe(conn, way).ended, true) {
            self.enqueue(conn, way, Item::End);
        }
    }

    /// The direction breaks: some of what was on its way still arrives, perhaps half a segment.
    pub(super) fn cut(&mut self, conn: usize, way: Way) {
        if self.pipe(conn, way).ended {
            return;
        }
        let length = self.pipe(conn, way).queue.len();
        let keep = self.rng.usize(0..=length);
        let halve = self.rng.bool();
        let share = self.rng.usize(0..=100);
        let queue = &mut self.pipe(conn, way).queue;
        queue.truncate(keep);
        if let (true, Some(Item::Bytes(bytes))) = (halve, queue.back_mut()) {
            bytes.truncate(bytes.len() * share / 100);
        }
        self.send_end(conn, way);
    }

    fn enqueue(&mut self, conn: usize, way: Way, item: Item) {
        let at = self.now + self.latency();
        let pipe = self.pipe(conn, way);
        pipe.queue.push_back(item);
        let at = at.max(pipe.last);
        pipe.last = at;
        self.at(at, Event::Arrive(conn, way));
    }

    /// Something arrives, unless it is held back; what runs together with it arrives too.
    pub(super) fn arrive(&mut self, conn: usize, way: Way) {
        let together = if self.rng.u32(0..4) == 0 { usize::MAX } else { 1 };
        let pipe = self.pipe(conn, way);
        if pipe.blocked {
            pipe.stalled += 1;
            return;
        }
        let mut bytes = Vec::new();
        let mut end = false;
        for _ in 0..together {
            match pipe.queue.pop_front() {
                Some(Item::Bytes(more)) => bytes.extend(more),
                Some(Item::End) => end = true,
                None => break,
            }
        }
        match way {
            Way::ToServer => self.server_hears(conn, &bytes, end),
            Way::ToClient => self.user_hears(conn, bytes, end),
        }
    }

    pub(super) fn block(&mut self, conn: usize, way: Way, blocked: bool) {
        let pipe = self.pipe(conn, way);
        pipe.blocked = blocked;
        if !blocked {
            let stalled = std::mem::take(&mut pipe.stalled);
            for _ in 0..stalled {
                self.at(self.now, Event::Arrive(conn, way));
            }
        }
    }
}

//! One direction of a connection: what has come and what may go on.

use super::frames::{Frames, Head};
use super::state::{End, Segments, Settings};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Bytes that are delivered in one write, at most.
const MOST: usize = 1 << 20;

/// What is to be done now.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Due {
    /// These bytes go on, in these pieces.
    Bytes(Vec<Vec<u8>>),
    /// Nothing, until something changes or so much time has passed.
    Wait(Option<Duration>),
    /// The connection ends in both directions.
    End(End),
    /// The sender has ended his half, and the reader may hear of it.
    Finish,
}

#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) hole: bool,
    /// The answer to this request is to be lost.
    pub(super) doomed: Option<i32>,
    /// The connection ends when so many bytes have gone.
    limit: Option<(u64, End)>,
    queue: VecDeque<u8>,
    /// When what came, up to which offset.
    arrivals: VecDeque<(Instant, u64)>,
    frames: Frames,
    came: u64,
    gone: u64,
    /// The sender has ended his half.
    pub(super) ended: bool,
    /// The reader has been told of it.
    pub(super) finished: bool,
}

impl Lane {
    pub(super) fn new(hole: bool, close_after: Option<u64>) -> Lane {
        Lane { hole, limit: close_after.map(|bytes| (bytes, End::Close)), ..Lane::default() }
    }

    /// Bytes have come; the heads of frames in them.
    pub(super) fn take(&mut self, bytes: &[u8], now: Instant) -> Vec<Head> {
        let heads = self.frames.look(self.came, bytes);
        self.queue.extend(bytes);
        self.came += bytes.len() as u64;
        self.arrivals.push_back((now, self.came));
        if let Some(lost) = heads.iter().find(|head| self.doomed == Some(head.xid)) {
            self.limit = Some((lost.start, End::Reset));
        }
        heads
    }

    /// What may go on now. It is taken as delivered.
    pub(super) fn due(&mut self, settings: &mut Settings, now: Instant) -> Due {
        if self.hole {
            return Due::Wait(None);
        }
        if let Some(wanted) = settings.gather {
            if self.frames.whole(self.came) < wanted && !self.ended {
                return Due::Wait(None);
            }
            settings.gather = None;
        }
        while self.arrivals.front().is_some_and(|(_, end)| *end <= self.gone) {
            self.arrivals.pop_front();
        }
        let ready = |(at, _): &&(Instant, u64)| *at + settings.latency <= now;
        let mut end = self.arrivals.iter().take_while(ready).last().map_or(self.gone, |(_, end)| *end);
        if self.doomed.is_some() {
            // The next head might be that of the reply that is to be lost.
            end = end.min(self.frames.known(self.came));
        }
        if let Some((limit, kind)) = self.limit {
            end = end.min(limit);
            if self.gone >= limit {
                return Due::End(kind);
            }
        }
        if end > self.gone {
            let count = ((end - self.gone) as usize).min(MOST);
            return Due::Bytes(self.deliver(count, settings.segments));
        }
        match self.arrivals.front() {
            Some((at, _)) if *at + settings.latency > now => Due::Wait(Some(*at + settings.latency - now)),
            None if self.ended => Due::Finish,
            _ => Due::Wait(None),
        }
    }

    fn deliver(&mut self, count: usize, segments: Segments) -> Vec<Vec<u8>> {
        let bytes: Vec<u8> = self.queue.drain(..count).collect();
        let start = self.gone;
        self.gone += count as u64;
        let pieces = match segments {
            Segments::Whole => vec![bytes],
            Segments::Of(size) => bytes.chunks(size.max(1)).map(<[u8]>::to_vec).collect(),
            Segments::FramesAt(at) => {
                let mut pieces = Vec::new();
                let mut from = 0;
                let inside = |cut: &u64| (start + 1..self.gone).contains(cut);
                for cut in self.frames.cuts(at).filter(inside) {
                    let cut = (cut - start) as usize;
                    pieces.push(bytes[from..cut].to_vec());
                    from = cut;
                }
                pieces.push(bytes[from..].to_vec());
                pieces
            }
        };
        self.frames.forget(self.gone);
        pieces
    }
}

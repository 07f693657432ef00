//! Where the frames of a stream are, as far as it has come.

use std::collections::VecDeque;
use zk_proto::xid::reserved;

/// A length beyond this is none: the stream is not one of frames.
const LONGEST: u32 = 256 << 20;

/// The first numbers of a frame behind the handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    /// Offset of the frame's length in the stream.
    pub(super) start: u64,
    pub(super) xid: i32,
    /// The opcode of a request. Of a reply, which has none, the first half of its zxid.
    pub(super) opcode: i32,
}

impl Head {
    pub(super) fn is_request(&self) -> bool {
        self.xid != reserved::PING
    }
}

#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Bytes of the frame that is being looked at: up to length, xid and the number behind it.
    head: Vec<u8>,
    /// Where the next frame begins.
    next: u64,
    count: u64,
    /// It is no stream of frames.
    raw: bool,
    /// Offsets of the beginnings and ends of frames that were not yet [`forget`](Self::forget)-ed.
    bounds: VecDeque<(u64, u64)>,
}

impl Frames {
    /// Looks at what has come at this offset; the heads that it completes.
    pub(super) fn look(&mut self, mut at: u64, mut bytes: &[u8]) -> Vec<Head> {
        let mut heads = Vec::new();
        while !bytes.is_empty() && !self.raw {
            // Over the body of the frame before.
            let skip =
                usize::try_from(self.next.saturating_sub(at)).map_or(bytes.len(), |n| n.min(bytes.len()));
            if self.head.is_empty() && skip > 0 {
                bytes = &bytes[skip..];
                at += skip as u64;
                continue;
            }
            self.head.push(bytes[0]);
            bytes = &bytes[1..];
            at += 1;
            self.read_head(&mut heads);
        }
        heads
    }

    fn read_head(&mut self, heads: &mut Vec<Head>) {
        let Some((length, rest)) = self.head.split_first_chunk::<4>() else { return };
        let length = u32::from_be_bytes(*length);
        if length > LONGEST {
            self.raw = true;
            self.head.clear();
            return;
        }
        if rest.len() < length.min(8) as usize {
            return;
        }
        let start = self.next;
        let number = |at: usize| Some(i32::from_be_bytes(*rest.get(at..)?.first_chunk()?));
        // The first frame is a handshake, which has no such numbers.
        if let (true, Some(xid), Some(opcode)) = (self.count > 0, number(0), number(4)) {
            heads.push(Head { start, xid, opcode });
        }
        self.count += 1;
        self.next = start + 4 + u64::from(length);
        self.bounds.push_back((start, self.next));
        self.head.clear();
    }

    /// Up to where all heads have been read, of a stream that has come so far.
    pub(super) fn known(&self, came: u64) -> u64 {
        if self.head.is_empty() {
            came
        } else {
            self.next
        }
    }

    /// Frames that are whole in a stream that has come so far.
    pub(super) fn whole(&self, came: u64) -> usize {
        self.bounds.iter().filter(|(_, end)| *end <= came).count()
    }

    /// Where frames are to be cut behind their first `at` bytes.
    pub(super) fn cuts(&self, at: usize) -> impl Iterator<Item = u64> + '_ {
        self.bounds.iter().map(move |(start, end)| (start + at as u64).min(*end))
    }

    /// Nobody will ask about what is before this offset.
    pub(super) fn forget(&mut self, before: u64) {
        while self.bounds.front().is_some_and(|(_, end)| *end <= before) {
            self.bounds.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Vec<u8> {
        let frame = |body: &[u8]| [&(body.len() as u32).to_be_bytes(), body].concat();
        let request =
            |xid: i32, opcode: i32| [&xid.to_be_bytes()[..], &opcode.to_be_bytes(), b"rest"].concat();
        [frame(&[0; 45]), frame(&request(1, 4)), frame(b""), frame(&request(-2, 11)), frame(&request(2, 1))]
            .concat()
    }

    #[test]
    fn heads_are_found_however_the_stream_is_cut() {
        let stream = stream();
        for size in 1..=stream.len() {
            let mut frames = Frames::default();
            let mut heads = Vec::new();
            for (number, piece) in stream.chunks(size).enumerate() {
                heads.extend(frames.look((number * size) as u64, piece));
            }
            let head = |start, xid, opcode| Head { start, xid, opcode };
            assert_eq!(heads, [head(49, 1, 4), head(69, -2, 11), head(85, 2, 1)], "{size} bytes at a time");
            assert_eq!(frames.whole(stream.len() as u64), 5);
            assert_eq!(frames.whole(stream.len() as u64 - 1), 4);
            assert_eq!(frames.cuts(10).collect::<Vec<_>>(), [10, 59, 69, 79, 95]);
            frames.forget(65);
            assert_eq!(frames.whole(stream.len() as u64), 3);
        }
    }

    #[test]
    fn what_is_known_ends_before_a_head_that_has_not_come() {
        let stream = stream();
        for came in 0..=stream.len() {
            let mut frames = Frames::default();
            frames.look(0, &stream[..came]);
            let starts = [(0, 12), (49, 12), (65, 4), (69, 12), (85, 12)];
            let inside = starts.iter().find(|(start, head)| (start + 1..start + head).contains(&came));
            assert_eq!(frames.known(came as u64), inside.map_or(came, |(start, _)| *start) as u64, "{came}");
        }
    }

    #[test]
    fn four_letter_words_are_no_frames() {
        let mut frames = Frames::default();
        assert_eq!(frames.look(0, b"isro"), []);
        assert_eq!(frames.look(4, &[0; 100]), []);
        assert_eq!((frames.known(104), frames.whole(104)), (104, 0));
    }
}

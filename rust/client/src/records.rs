//! What happens to sessions, for the log of their user: beside the items of a queue, so that whoever looks for
//! items never meets a record, and whoever waits for none (a program of blocking calls) can take the records alone.
//! Taken before an item is, they are never told later than what they have led to.

use crate::log::{About, Level};
use crossbeam_channel::{unbounded, Receiver, Sender};
use std::sync::atomic::{AtomicU64, AtomicU8, Ordering::Relaxed};

/// So many are kept. What comes when nobody has taken these is not kept but counted: the first ones tell how it
/// began.
const MOST: usize = 1_000;
/// No longer than this, in bytes: paths may be of any length.
const LONGEST: usize = 4_000;

/// Something that has happened to a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// How much it matters.
    pub level: Level,
    /// Whom it is about.
    pub about: About,
    /// The server that is connected to or tried, as it stands in the connect string.
    pub server: Option<String>,
    /// What has happened, in one line of printable ASCII.
    pub text: String,
}

/// Records that the user has yet to take, oldest first.
#[derive(Debug)]
pub struct Records {
    sender: Sender<Record>,
    receiver: Receiver<Record>,
    /// [`Level`] as a number, 0 for none.
    wanted: AtomicU8,
    lost: AtomicU64,
}

impl Default for Records {
    fn default() -> Records {
        let (sender, receiver) = unbounded(); // of which nothing is there before the first record
        Records { sender, receiver, wanted: AtomicU8::new(0), lost: AtomicU64::new(0) }
    }
}

impl Records {
    /// Records up to this level are made from now on; none at first.
    pub fn want(&self, up_to: Option<Level>) {
        self.wanted.store(up_to.map_or(0, |level| level as u8), Relaxed);
    }

    /// Up to which level they are wanted.
    #[inline]
    pub fn wanted(&self) -> Option<Level> {
        Level::from_number(self.wanted.load(Relaxed))
    }

    /// How many there are. (One more than there is room for, or two, when several sessions have something to say
    /// in the same moment.)
    #[inline]
    pub fn len(&self) -> usize {
        self.receiver.len()
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// Takes the oldest.
    pub fn pop(&self) -> Option<Record> {
        self.receiver.try_recv().ok()
    }

    /// How many were not kept since the last call.
    pub fn take_lost(&self) -> u64 {
        self.lost.swap(0, Relaxed)
    }

    /// True if it was kept.
    pub(crate) fn push(&self, mut record: Record) -> bool {
        if self.len() >= MOST {
            self.lost.fetch_add(1, Relaxed);
            return false;
        }
        if record.text.len() > LONGEST {
            let end = (0..=LONGEST).rev().find(|at| record.text.is_char_boundary(*at));
            record.text.truncate(end.unwrap_or(0));
            record.text += "...";
        }
        // Cannot fail: a receiver is here.
        let _ = self.sender.send(record);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: String) -> Record {
        Record { level: Level::Info, about: About::default(), server: None, text }
    }

    #[test]
    fn the_first_ones_are_kept_and_the_others_counted() {
        let records = Records::default();
        for n in 0..MOST + 5 {
            assert_eq!(records.push(record(n.to_string())), n < MOST);
        }
        assert_eq!(records.take_lost(), 5);
        assert_eq!(records.take_lost(), 0);
        assert_eq!(records.pop().unwrap().text, "0");
        assert_eq!(records.len(), MOST - 1);
        assert!(records.push(record("again".into())), "there is room again");
    }

    #[test]
    fn a_long_one_is_cut() {
        let records = Records::default();
        records.push(record("x".repeat(LONGEST)));
        records.push(record("\u{e4}".repeat(LONGEST)));
        assert_eq!(records.pop().unwrap().text, "x".repeat(LONGEST));
        assert_eq!(records.pop().unwrap().text, "\u{e4}".repeat(LONGEST / 2) + "...");
    }

    #[test]
    fn none_is_wanted_at_first() {
        let records = Records::default();
        assert_eq!(records.wanted(), None);
        for level in [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace] {
            records.want(Some(level));
            assert_eq!(records.wanted(), Some(level));
        }
        records.want(None);
        assert_eq!(records.wanted(), None);
    }
}

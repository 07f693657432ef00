//! What happens, for whoever looks for a fault: one log for the process.
//!
//! What there is to tell is a [`Note`](zk_proto::note::Note) of a session, or of the socket below it.
//! As long as nobody wants to know, a step of a session costs one load of an atomic more.

mod utc;

use once_cell::sync::OnceCell;
use std::fmt::Arguments;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
pub use utc::Utc;
pub use zk_proto::note::{Level, Shown};

/// Who writes the lines.
pub trait Log: Send + Sync {
    /// Takes one line, which may hold any characters: to make one line of them is the writer's task. Called by any thread, often with a session's lock held: it must not block for
    /// long, nor call a [`Handle`](crate::Handle).
    fn write(&self, level: Level, about: About, line: Arguments<'_>);
}

/// What a line is about.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct About {
    /// The handle, by a number that counts those of an engine from 1 on; 0: none.
    pub handle: u64,
    /// The session's id, 0 as long as there is none.
    pub session: i64,
}

static LOG: OnceCell<&'static dyn Log> = OnceCell::new();
/// [`Level`] as a number, 0 for none.
static WANTED: AtomicU8 = AtomicU8::new(0);

/// Names the log of the process, once; later ones are not taken.
pub fn write_to(log: &'static dyn Log) {
    let _ = LOG.set(log);
}

/// Lines up to this level are written from now on; none at first.
pub fn set_level(up_to: Option<Level>) {
    WANTED.store(up_to.map_or(0, |level| level as u8), Relaxed);
}

/// Up to which level lines are wanted.
#[inline]
pub fn level() -> Option<Level> {
    Level::from_number(WANTED.load(Relaxed))
}

/// True when lines of this level are wanted. Ask before composing one.
#[inline]
pub fn wants(level: Level) -> bool {
    level as u8 <= WANTED.load(Relaxed)
}

/// Writes a line, if it is wanted.
pub fn write(level: Level, about: About, line: Arguments<'_>) {
    if let (true, Some(log)) = (wants(level), LOG.get()) {
        log.write(level, about, line);
    }
}

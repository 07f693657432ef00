//! One line of the trace, composed without memory of the heap.

use std::fmt::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};
use zk_client::log::{About, Level, Utc};

/// What a pipe takes in one piece (`PIPE_BUF` of Linux): longer lines could mix with others.
const LONGEST: usize = 4096;
/// How a line ends that had to be cut.
const CUT: &[u8] = b"...\n";

/// Time, process, level, handle and session as far as there are any, and what is to be said: in
/// printable ASCII, so that it is one line whatever it says.
pub(super) struct Line {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Line {
    pub(super) fn new(level: Level, about: About, words: fmt::Arguments<'_>) -> Line {
        let mut line = Line { bytes: [0; LONGEST], len: 0 };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // A line that is full refuses the rest, which is how it is cut.
        let _ = line.compose(Utc(now), level, about, words);
        let end: &[u8] = if line.len > LONGEST - CUT.len() { CUT } else { b"\n" };
        let at = line.len.min(LONGEST - CUT.len());
        line.bytes[at..at + end.len()].copy_from_slice(end);
        line.len = at + end.len();
        line
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn compose(&mut self, time: Utc, level: Level, about: About, words: fmt::Arguments<'_>) -> fmt::Result {
        // Its levels are four: the last includes everything.
        let level = level.min(Level::Debug).name();
        write!(self, "{time} ZooKeeper[{}] {level}", std::process::id())?;
        if about.handle != 0 {
            write!(self, " #{}", about.handle)?;
        }
        if about.session != 0 {
            write!(self, " {:#x}", about.session)?;
        }
        write!(self, ": {words}")
    }

    fn push(&mut self, byte: u8) -> fmt::Result {
        *self.bytes.get_mut(self.len).ok_or(fmt::Error)? = byte;
        self.len += 1;
        Ok(())
    }
}

/// What comes here is escaped already, where somebody thought of it.
impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if (b' '..=b'~').contains(&byte) {
                self.push(byte)?;
            } else {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                for byte in [b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]] {
                    self.push(byte)?;
                }
            }
        }
        Ok(())
    }
}

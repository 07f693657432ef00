//! The trace: lines that are written at once, for finding out what a program did.
//!
//! What they say comes from the engine (its `log`) and from the calls here. No lock is taken and
//! nothing of ours allocated on the way to the file: it works in signal handlers, in a forked child,
//! and from any thread.

mod file;
mod line;

use crate::args::{protect, settled};
use crate::boot::Sub;
use crate::guard::caught;
use crate::perl::{callback, Call, Perl};
use crate::thrown::{Raise, Thrown};
use crate::values;
use libperl_sys as sys;
use line::Line;
use std::ffi::CString;
use std::fmt::{self, Display};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
pub(crate) use zk_client::log::{wants, About, Level};
use zk_client::log::{Log, Shown};
use zk_proto::Code;

pub(crate) const SUBS: &[Sub] = &[(c"ZooKeeper::XS::_trace", Some(trace))];

/// At boot: the engine's lines go where ours do.
pub(crate) fn install() {
    zk_client::log::write_to(&Lines);
}

/// The trace as the engine sees it.
struct Lines;

impl Log for Lines {
    fn write(&self, level: Level, about: About, words: fmt::Arguments<'_>) {
        line(level, about, words);
    }
}

/// Writes a line. Ask [`wants`] before composing one.
pub(crate) fn line(level: Level, about: About, words: fmt::Arguments<'_>) {
    file::write(|| Line::new(level, about, words));
}

/// A call has failed.
pub(crate) fn failed(raise: &Raise) {
    if !wants(Level::Error) {
        return;
    }
    let path = raise.path;
    let path = path.is_defined().then(|| Shown(path.stored_bytes()));
    let detail = raise.detail;
    let detail = detail.is_defined().then(|| std::str::from_utf8(detail.stored_bytes()).unwrap_or_default());
    line(
        Level::Error,
        raise.about,
        format_args!(
            "{}{}: {}{}{}",
            raise.op,
            Optional(" '", path, "'"),
            Outcome(raise.code),
            Optional(": ", detail, ""),
            if raise.maybe_applied { "; it may have been carried out" } else { "" },
        ),
    );
}

/// A call has found a bug of ours.
pub(crate) fn panicked(words: &str) {
    if wants(Level::Error) {
        line(Level::Error, About::default(), format_args!("internal error: {words}"));
    }
}

/// A forked child has met a handle of its parent's. It is told when that happens and not at the fork,
/// which is most often followed by `exec`; and once for each generation of processes.
#[cold]
pub(crate) fn forked(generation: u32) {
    static NOTICED: AtomicU32 = AtomicU32::new(0);
    if wants(Level::Info) && NOTICED.swap(generation, Ordering::Relaxed) != generation {
        let words = format_args!("forked: the handles of the parent process have to be reopened here");
        line(Level::Info, About::default(), words);
    }
}

/// Something with what stands around it, if it is there.
struct Optional<'a, T>(&'a str, Option<T>, &'a str);

impl<T: Display> Display for Optional<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.1 {
            Some(it) => write!(f, "{}{it}{}", self.0, self.2),
            None => Ok(()),
        }
    }
}

/// A code of the protocol, or a positive number of the system.
struct Outcome(i32);

impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            errno @ 1.. => write!(f, "{}", io::Error::from_raw_os_error(errno)),
            code => write!(f, "{}", Code(code)),
        }
    }
}

callback! {
    /// `_trace($level, $file)`: levels above 4 are 4, a file of undef is standard error.
    fn trace(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        match set(perl, call) {
            Ok(()) => perl.leave(call, 0),
            Err(thrown) => thrown.throw(perl),
        }
    }
}

fn set(perl: Perl, call: Call) -> Result<(), Thrown> {
    protect(perl, call);
    let [level, file] = [0, 1].map(|index| settled(perl, perl.argument(call, index)));
    let level = values::integer(level).filter(|n| *n >= 0);
    let Some(level) = level else {
        return Err(Thrown::croak(perl, "trace: level is not a number from 0 to 4"));
    };
    let aimed = if file.is_defined() {
        let name = file.stringified(perl).stored_bytes();
        caught(|| CString::new(name).map_err(|_| libc::EINVAL).and_then(file::aim))
            .unwrap_or(Err(libc::EINVAL))
    } else {
        file::aim_at_stderr();
        Ok(())
    };
    if let Err(errno) = aimed {
        return Err(Thrown::raise(perl, "trace", errno, None));
    }
    zk_client::log::set_level(match level {
        0 => None,
        1 => Some(Level::Error),
        2 => Some(Level::Warn),
        3 => Some(Level::Info),
        _ => Some(Level::Trace),
    });
    Ok(())
}

//! The trace: lines that are written at once, for finding out what a program did.
//!
//! One `write` per line and no lock: it works in signal handlers, in a forked child, and from any
//! thread, and lines don't mix (the file is opened for appending).

use crate::args::{protect, settled};
use crate::boot::Sub;
use crate::perl::{callback, Call, Perl};
use crate::thrown::Thrown;
use crate::values;
use libperl_sys as sys;
use std::ffi::CString;
use std::fmt;
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Calls that failed.
pub(crate) const ERROR: u8 = 1;
/// Every call.
pub(crate) const DEBUG: u8 = 4;

static LEVEL: AtomicU8 = AtomicU8::new(0);
static FD: AtomicI32 = AtomicI32::new(libc::STDERR_FILENO);
/// The descriptor of the last trace file. It stays open for good and is only ever replaced by
/// `dup3`, so that a line which another thread is writing can't end in a stranger's file.
static FILE: AtomicI32 = AtomicI32::new(-1);

/// True when lines of this level are wanted. Costs one load: ask before composing a line.
#[inline]
pub(crate) fn wants(level: u8) -> bool {
    level <= LEVEL.load(Ordering::Relaxed)
}

/// Writes a line.
pub(crate) fn line(level: u8, text: fmt::Arguments<'_>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let name = ["none", "error", "warn", "info", "debug"].get(usize::from(level)).unwrap_or(&"debug");
    let line = format!(
        "{}.{:06} {} ZooKeeper {name}: {text}\n",
        now.as_secs(),
        now.subsec_micros(),
        std::process::id(),
    );
    // SAFETY: the bytes of the line. A full disk is not this program's problem.
    unsafe { libc::write(FD.load(Ordering::Relaxed), line.as_ptr().cast(), line.len()) };
}

/// Sends lines to a file, or with none to standard error.
fn aim(file: Option<&CString>) -> Result<(), i32> {
    let Some(file) = file else {
        FD.store(libc::STDERR_FILENO, Ordering::Relaxed);
        return Ok(());
    };
    // SAFETY: a path ending in NUL; descriptors that are ours.
    unsafe {
        let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_CLOEXEC;
        let fresh = libc::open(file.as_ptr(), flags, 0o666);
        if fresh < 0 {
            return Err(*libc::__errno_location());
        }
        if FILE.compare_exchange(-1, fresh, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            libc::dup3(fresh, FILE.load(Ordering::Relaxed), libc::O_CLOEXEC);
            libc::close(fresh);
        }
    }
    FD.store(FILE.load(Ordering::Relaxed), Ordering::Relaxed);
    Ok(())
}

pub(crate) const SUBS: &[Sub] = &[(c"ZooKeeper::XS::_trace", Some(trace))];

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
        let name = CString::new(file.stringified(perl).stored_bytes());
        name.map_err(|_| libc::EINVAL).and_then(|name| aim(Some(&name)))
    } else {
        aim(None)
    };
    if let Err(errno) = aimed {
        return Err(Thrown::raise(perl, "trace", errno, None));
    }
    LEVEL.store(level.min(i128::from(DEBUG)) as u8, Ordering::Relaxed);
    Ok(())
}

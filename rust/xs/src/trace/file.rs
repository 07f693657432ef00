//! Where the lines of the trace go: standard error, or a file.

use super::line::Line;
use crate::fork::is_still;
use std::ffi::{CString, OsStr};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use zk_client::forking::Identity;
use zk_client::log::{About, Level};

/// How long a line waits for a pipe that nobody reads. The program goes on without it then, for the
/// one who is to read may be the one who waits for us.
const PATIENCE_MS: i32 = 200;

/// An open file.
struct Target {
    /// Absolute: the program may change its directory.
    path: CString,
    fd: RawFd,
    /// What the number stood for. Daemons close all descriptors that they don't know, and others
    /// take the numbers: a line must not end in a database.
    identity: Identity,
}

/// The last file that was named. Targets are never freed, since another thread may be writing a line
/// to one; there are as many as files were named.
static TARGET: AtomicPtr<Target> = AtomicPtr::new(null_mut());
/// It is in use, and not standard error.
static TO_FILE: AtomicBool = AtomicBool::new(false);
/// Lines that could not be written since one was.
static LOST: AtomicUsize = AtomicUsize::new(0);

/// Lines go to standard error: to whatever descriptor 2 is.
pub(super) fn aim_at_stderr() {
    TO_FILE.store(false, Ordering::Relaxed);
}

/// Lines go to the end of a file. The error is the system's number.
pub(super) fn aim(name: CString) -> Result<(), i32> {
    let path = std::path::absolute(OsStr::from_bytes(name.as_bytes()))
        .ok()
        .and_then(|path| CString::new(path.into_os_string().into_vec()).ok())
        .unwrap_or(name);
    let mut fresh = Target::open(path)?;
    // SAFETY: targets are never freed.
    if let Some(former) = unsafe { TARGET.load(Ordering::Acquire).as_ref() } {
        if is_still(former.fd, former.identity) {
            // One number for all files, and never closed: what another thread is writing can't end
            // in a stranger's file.
            // SAFETY: both are ours.
            unsafe {
                if former.identity != fresh.identity {
                    libc::dup3(fresh.fd, former.fd, libc::O_CLOEXEC);
                }
                libc::close(fresh.fd);
            }
            fresh.fd = former.fd;
            if former.identity == fresh.identity && former.path == fresh.path {
                TO_FILE.store(true, Ordering::Relaxed);
                return Ok(());
            }
        }
    }
    TARGET.store(Box::into_raw(Box::new(fresh)), Ordering::Release);
    TO_FILE.store(true, Ordering::Relaxed);
    Ok(())
}

/// Writes a line with one system call, without waiting for long. One that can't be written is
/// counted, and the next one that can comes after a line about it.
pub(super) fn write(line: impl FnOnce() -> Line) {
    // The caller's `$!` is none of our business.
    // SAFETY: this thread's own.
    let errno = unsafe { *libc::__errno_location() };
    let lost = LOST.swap(0, Ordering::Relaxed);
    let fd = descriptor();
    let mut missing = lost;
    if fd.is_some_and(|fd| lost == 0 || put(fd, &about_lost(lost), 0)) {
        missing = 0;
    }
    if missing > 0 || !fd.is_some_and(|fd| put(fd, &line(), PATIENCE_MS)) {
        LOST.fetch_add(missing + 1, Ordering::Relaxed);
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

fn about_lost(count: usize) -> Line {
    Line::new(Level::Warn, About::default(), format_args!("lines of this trace that nobody took: {count}"))
}

/// One `write`, if the descriptor takes it within the time. Asking first also keeps us from writing
/// to a pipe whose reader has gone, which would kill the program.
fn put(fd: RawFd, line: &Line, patience_ms: i32) -> bool {
    let bytes = line.bytes();
    let mut entry = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one entry; the bytes of the line.
    unsafe {
        libc::poll(&mut entry, 1, patience_ms) == 1
            && entry.revents == libc::POLLOUT
            && libc::write(fd, bytes.as_ptr().cast(), bytes.len()) >= 0
    }
}

/// Where the next line goes. A file whose descriptor was closed behind our back is opened again.
fn descriptor() -> Option<RawFd> {
    if !TO_FILE.load(Ordering::Relaxed) {
        return Some(libc::STDERR_FILENO);
    }
    let current = TARGET.load(Ordering::Acquire);
    // SAFETY: targets are never freed.
    let target = unsafe { current.as_ref() }?;
    if is_still(target.fd, target.identity) {
        return Some(target.fd);
    }
    let fresh = Box::into_raw(Box::new(Target::open(target.path.clone()).ok()?));
    let swapped = TARGET.compare_exchange(current, fresh, Ordering::AcqRel, Ordering::Acquire);
    let target = match swapped {
        Ok(_) => fresh,
        Err(theirs) => {
            // Somebody was faster, or has named another file.
            // SAFETY: nobody has seen it.
            unsafe {
                libc::close((*fresh).fd);
                drop(Box::from_raw(fresh));
            }
            theirs
        }
    };
    // SAFETY: targets are never freed.
    unsafe { target.as_ref() }.map(|target| target.fd)
}

impl Target {
    fn open(path: CString) -> Result<Target, i32> {
        // SAFETY: a path ending in NUL; descriptors that are ours; fstat fills in what it is given
        // when it succeeds.
        unsafe {
            let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_CLOEXEC | libc::O_NOCTTY;
            let mut fd = libc::open(path.as_ptr(), flags, 0o666);
            if (0..=libc::STDERR_FILENO).contains(&fd) {
                // A program that runs without standard descriptors is about to open others there.
                let low = fd;
                fd = libc::fcntl(low, libc::F_DUPFD_CLOEXEC, libc::STDERR_FILENO + 1);
                libc::close(low);
            }
            let mut stat = MaybeUninit::<libc::stat>::uninit();
            if fd < 0 || libc::fstat(fd, stat.as_mut_ptr()) != 0 {
                return Err(*libc::__errno_location());
            }
            let stat = stat.assume_init();
            let identity = Identity { device: stat.st_dev, inode: stat.st_ino };
            Ok(Target { path, fd, identity })
        }
    }
}

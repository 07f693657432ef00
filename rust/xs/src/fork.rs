//! fork: which process a value belongs to, and what a child does with inherited descriptors.

use crate::engine;
use crate::guard::caught;
use crate::undisturbed;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Once;
use zk_client::forking::{self, Identity, Inherited};

/// Counts the forks between the first process and this one. Every value that holds a lock, a
/// descriptor or a thread's attention remembers the generation it was made in; an XSUB compares
/// before it touches any of them. (A child that took a lock which the parent's IO thread held at
/// the moment of the fork would wait for ever.)
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// This process's generation.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Registers the handlers that run around every `fork` of this process. Perl never unloads a
/// library, so that they stay valid.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: three functions of this library.
        unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
    });
}

extern "C" fn prepare() {
    let _ = caught(forking::prepare);
}

extern "C" fn parent() {
    let _ = caught(forking::parent);
}

/// Only what is safe in a child of a process with threads: atomics and system calls.
extern "C" fn child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    engine::forget();
    let _ = caught(|| forking::child(&mut inherited));
    undisturbed::forked();
}

fn inherited(what: Inherited, fd: RawFd, identity: Identity) -> Option<Identity> {
    if !is_still(fd, identity) {
        return None;
    }
    match what {
        // SAFETY: a descriptor that the engine opened, and that is still what it was. Closed, not shut
        // down: the connection is the parent's too.
        Inherited::Close => unsafe {
            libc::close(fd);
            None
        },
        // The event loop of the program watches this number: it must go on being a wake-up
        // descriptor, but not the parent's. Errors have nobody to be told to.
        Inherited::Wake => {
            // Closed first, for the table may be full: what then gets the number is the lowest that is
            // free, perhaps this one.
            // SAFETY: as above.
            unsafe { libc::close(fd) };
            let fresh = forking::wake_fd().ok()?;
            let identity = Identity::of(fresh.as_fd()).ok();
            if fresh.as_raw_fd() == fd {
                let _ = fresh.into_raw_fd();
            } else {
                // SAFETY: as above.
                unsafe { libc::dup3(fresh.as_raw_fd(), fd, libc::O_CLOEXEC) };
            }
            identity
        }
    }
}

/// Whether a number still stands for what the engine opened. Daemons close descriptors that they
/// don't know, and open files of their own under the numbers.
pub(crate) fn is_still(fd: RawFd, identity: Identity) -> bool {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: fstat fills it in when it succeeds.
    unsafe {
        if libc::fstat(fd, stat.as_mut_ptr()) != 0 {
            return false;
        }
        let stat = stat.assume_init();
        (stat.st_dev, stat.st_ino) == (identity.device, identity.inode)
    }
}

/// In a child: the wake-up descriptor of an object that the child has no use for.
pub(crate) fn close_unused(fd: RawFd) {
    if forking::disown(fd).is_some_and(|identity| is_still(fd, identity)) {
        // SAFETY: the atfork handler has put it there, and its owner is going.
        unsafe { libc::close(fd) };
    }
}

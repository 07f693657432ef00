//! Signals: kept out of the Rust part of a call, let in where it waits.
//!
//! A Perl signal handler may be "unsafe" (PERL_SIGNALS=unsafe, or POSIX::sigaction, whose default
//! is that): it runs at once, inside the C handler, and may leave by `longjmp`. In the middle of
//! Rust that would skip destructors and leave locks taken. So asynchronous signals are blocked
//! while Rust runs, and opened only inside `ppoll`, together with the wait: between a check of
//! flags and a plain `poll` a signal would be noticed only when the poll ends.

use super::Perl;
use libperl_sys as sys;
use once_cell::sync::OnceCell;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::time::Duration;

/// A set of blocked signals.
#[derive(Clone, Copy)]
pub(crate) struct Mask(libc::sigset_t);

/// Why a wait ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The descriptor is readable, or the time is over.
    Ready,
    /// A signal came.
    Interrupted,
    /// The system refuses to wait; its error number.
    Failed(i32),
}

/// Blocks every signal that is not about what this thread does itself, and gives the mask before.
pub(crate) fn block() -> Mask {
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets are valid; the call can only fail for a wrong first argument.
    unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, &asynchronous().0, before.as_mut_ptr());
        Mask(before.assume_init())
    }
}

impl Mask {
    /// Back to this mask. Signals that waited are delivered before this returns.
    pub(crate) fn restore(&self) {
        // SAFETY: a set that the kernel gave.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
    }

    /// Waits until `fd` is readable (-1: none), `timeout` is over, or a signal that this mask lets
    /// through has come. An unsafe handler may leave by `longjmp`: nothing with a destructor may
    /// be alive in the callers.
    pub(crate) fn wait(&self, fd: RawFd, timeout: Option<Duration>) -> Woken {
        poll(fd, timeout, &self.0)
    }
}

/// Waits without letting signals in: for what must not run Perl code.
pub(crate) fn wait_blocked(fd: RawFd, timeout: Option<Duration>) -> Woken {
    poll(fd, timeout, std::ptr::null())
}

fn poll(fd: RawFd, timeout: Option<Duration>, mask: *const libc::sigset_t) -> Woken {
    let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let time;
    let deadline = match timeout {
        None => std::ptr::null(),
        Some(t) => {
            time = libc::timespec {
                tv_sec: libc::time_t::try_from(t.as_secs()).unwrap_or(libc::time_t::MAX),
                tv_nsec: t.subsec_nanos().into(),
            };
            &raw const time
        }
    };
    // SAFETY: one entry (poll ignores a negative descriptor); deadline and mask are valid or null.
    let rc = unsafe { libc::ppoll(&mut entry, 1, deadline, mask) };
    if rc >= 0 {
        return Woken::Ready;
    }
    match Errno::now().0 {
        libc::EINTR => Woken::Interrupted,
        errno => Woken::Failed(errno),
    }
}

/// This thread's error number, for what must not change it.
pub(crate) struct Errno(i32);

impl Errno {
    /// As it is.
    pub(crate) fn now() -> Errno {
        // SAFETY: this thread's errno.
        Errno(unsafe { *libc::__errno_location() })
    }

    /// As it was.
    pub(crate) fn restore(self) {
        // SAFETY: this thread's errno.
        unsafe { *libc::__errno_location() = self.0 };
    }
}

/// All signals but those that a thread causes by its own doing: blocked, they would kill the
/// process without a word.
fn asynchronous() -> &'static Mask {
    static SET: OnceCell<Mask> = OnceCell::new();
    SET.get_or_init(|| {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigfillset initialises the set.
        unsafe {
            libc::sigfillset(set.as_mut_ptr());
            let mut set = set.assume_init();
            for signal in
                [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGABRT]
            {
                libc::sigdelset(&mut set, signal);
            }
            Mask(set)
        }
    })
}

impl Perl {
    /// True when a signal came whose Perl handler has yet to run.
    pub(crate) fn signal_pending(self) -> bool {
        // SAFETY: the C handler writes it at any time: a volatile read.
        unsafe { std::ptr::read_volatile(sys::PL_sig_pending_ptr!(self.raw())) != 0 }
    }

    /// Runs the Perl handlers of the signals that came. They may die: a `longjmp` out of here.
    pub(crate) fn dispatch_signals(self) {
        // SAFETY: perl's own function for this, as PERL_ASYNC_CHECK calls it.
        unsafe {
            if let Some(hook) = *sys::PL_signalhook_ptr!(self.raw()) {
                #[cfg(perl_multiplicity)]
                hook(self.raw());
                #[cfg(not(perl_multiplicity))]
                hook();
            }
        }
    }
}

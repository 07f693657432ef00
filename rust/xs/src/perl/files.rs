//! Descriptors that Perl's file handles share with us.

use std::os::fd::RawFd;
use std::os::raw::c_int;

extern "C" {
    fn PerlIOUnix_refcnt_inc(fd: c_int);
    fn PerlIOUnix_refcnt_dec(fd: c_int) -> c_int;
}

/// Counts us among the users of a descriptor. PerlIO counts the handles that it has opened on each
/// number, and closes the descriptor with the last of them: event loops want a handle, and one that
/// is opened on ours (`open '<&='`) must not close it when it goes.
pub(crate) fn hold(fd: RawFd) {
    // SAFETY: an open descriptor.
    unsafe { PerlIOUnix_refcnt_inc(fd) }
}

/// The opposite of [`hold`]; says whether nobody else has a handle on it, so that it may be closed.
/// Otherwise it is held for good: a handle that goes later would close whatever has the number then.
pub(crate) fn release(fd: RawFd) -> bool {
    // SAFETY: was held.
    unsafe {
        if PerlIOUnix_refcnt_dec(fd) <= 0 {
            return true;
        }
        PerlIOUnix_refcnt_inc(fd);
    }
    false
}

//! In the place of the client's module: no model forks, so that fds are registered nowhere.

use super::system::event::{eventfd, EventfdFlags};
use super::world::{Object, World};
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// As there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inherited {
    /// As there.
    Close,
    /// As there.
    Wake,
}

/// An fd whose object goes with it.
#[derive(Debug)]
pub struct Registered(OwnedFd);

impl Registered {
    /// As there.
    ///
    /// # Errors
    /// No fd.
    pub fn make(_: Inherited, make: impl FnOnce() -> Result<OwnedFd, Errno>) -> Result<Registered, Errno> {
        Ok(Registered(make()?))
    }
}

impl AsFd for Registered {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        World::current().close(self.0.as_raw_fd());
    }
}

/// The socket for notes, which keeps them apart; with `eventfd` see [`set_counting_wake_fds`].
///
/// # Errors
/// No fd.
pub fn wake_fd() -> Result<OwnedFd, Errno> {
    if COUNTING.get() {
        return eventfd(0, EventfdFlags::empty());
    }
    World::current().put(Object::Notes(0))
}

std::thread_local! {
    static COUNTING: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Whether a wake fd is an eventfd, as it is where such sockets are forbidden.
pub fn set_counting_wake_fds(counting: bool) {
    COUNTING.set(counting);
}

/// As there.
pub fn is_wake(_: BorrowedFd<'_>) -> bool {
    true
}

/// As there.
pub fn outside_of_forks<T>(resolve: impl FnOnce() -> T) -> T {
    resolve()
}

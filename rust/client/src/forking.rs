//! What `fork` must know of us: which fds a child inherits that are not its own, and that no name
//! resolution is in flight, because the C library's resolver locks would stay taken in the child for
//! ever.
//!
//! The owner of the process registers one `pthread_atfork` triple that calls [`prepare`], [`parent`]
//! and [`child`].

use rustix::event::{eventfd, EventfdFlags};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::cell::RefCell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a child must do with an inherited fd.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inherited {
    /// A socket or poller of the parent: close it, without shutdown.
    Close,
    /// A wake-up fd whose number event loops know: put a fresh one under the same number.
    Wake,
}

/// What a number stood for when we opened it: device and inode. A program may have closed our fds
/// behind our back (daemons close all they don't know) and opened others under their numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// As `st_dev` of fstat(2).
    pub device: u64,
    /// As `st_ino` of fstat(2).
    pub inode: u64,
}

impl Identity {
    /// That of an open fd.
    ///
    /// # Errors
    /// It is not open.
    pub fn of(fd: BorrowedFd<'_>) -> Result<Identity, Errno> {
        let stat = rustix::fs::fstat(fd)?;
        Ok(Identity { device: stat.st_dev, inode: stat.st_ino })
    }
}

type Registry = Vec<(RawFd, Inherited, Identity)>;

static REGISTRY: Mutex<Registry> = Mutex::new(Vec::new());

thread_local! {
    /// The registry's lock between `prepare` and `parent` or `child`, in the thread that forks.
    static HELD: RefCell<Option<MutexGuard<'static, Registry>>> = const { RefCell::new(None) };
}

/// Forks that are being prepared or carried out.
static FORKS: AtomicUsize = AtomicUsize::new(0);
/// Name resolutions under way.
static RESOLUTIONS: AtomicUsize = AtomicUsize::new(0);
/// A fork waits no longer than this for name resolutions under way.
const RESOLUTION_PATIENCE: Duration = Duration::from_millis(200);

/// Before the fork, in the parent.
pub fn prepare() {
    FORKS.fetch_add(1, SeqCst);
    let patience = Instant::now() + RESOLUTION_PATIENCE;
    while RESOLUTIONS.load(SeqCst) > 0 && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(1));
    }
    let guard = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    HELD.with(|held| *held.borrow_mut() = Some(guard));
}

/// After the fork, in the parent.
pub fn parent() {
    let _ = HELD.try_with(|held| held.borrow_mut().take());
    FORKS.fetch_sub(1, SeqCst);
}

/// After the fork, in the child: calls `each` for every fd of ours that it inherited. The child must
/// leave those alone that are not what they were, and say what the number of a wake fd stands for
/// from now on.
pub fn child(each: &mut dyn FnMut(Inherited, RawFd, Identity) -> Option<Identity>) {
    HELD.with(|held| {
        if let Some(mut registry) = held.borrow_mut().take() {
            for (fd, what, identity) in registry.iter_mut() {
                if let Some(fresh) = each(*what, *fd, *identity) {
                    *identity = fresh;
                }
            }
            // Wake fds keep their number, so a grandchild has to renew them again.
            registry.retain(|(_, what, _)| *what == Inherited::Wake);
        }
    });
    FORKS.store(0, SeqCst);
    RESOLUTIONS.store(0, SeqCst);
}

/// In a child: this wake fd, inherited and never used, is about to be closed by its owner, who must
/// leave it alone if it is not what it was.
pub fn disown(fd: RawFd) -> Option<Identity> {
    let mut registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    let at = registry.iter().position(|(known, ..)| *known == fd)?;
    Some(registry.swap_remove(at).2)
}

/// Whether this is a wake fd, inherited or not, and not what somebody else has opened under its
/// number.
pub(crate) fn is_wake(fd: BorrowedFd<'_>) -> bool {
    let registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((_, what, identity)) = registry.iter().find(|(known, ..)| *known == fd.as_raw_fd()) else {
        return false;
    };
    *what == Inherited::Wake && Identity::of(fd).is_ok_and(|now| now == *identity)
}

/// Runs a name resolution while no fork is under way.
pub(crate) fn outside_of_forks<T>(resolve: impl FnOnce() -> T) -> T {
    loop {
        RESOLUTIONS.fetch_add(1, SeqCst);
        if FORKS.load(SeqCst) == 0 {
            break;
        }
        RESOLUTIONS.fetch_sub(1, SeqCst);
        std::thread::sleep(Duration::from_millis(1));
    }
    let result = resolve();
    RESOLUTIONS.fetch_sub(1, SeqCst);
    result
}

/// A new wake fd, for notes of eight bytes: a datagram socket that is connected to itself. A pipe takes
/// two fds, and an eventfd is never `POLLRDNORM`, which is what some event loops poll for; where such
/// sockets are forbidden it has to do all the same. Nothing but system calls: a child may call it in
/// its atfork handler.
///
/// # Errors
/// No more fds.
pub fn wake_fd() -> Result<OwnedFd, Errno> {
    match own_socket() {
        Err(Errno::AFNOSUPPORT | Errno::PERM | Errno::ACCESS) => {
            eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)
        }
        made => made,
    }
}

fn own_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
    net::bind(&socket, &SocketAddrUnix::new_unnamed())?; // the kernel chooses a name
    net::connect(&socket, &net::getsockname(&socket)?)?;
    Ok(socket)
}

/// An fd that a forked child will be told of.
#[derive(Debug)]
pub(crate) struct Registered(Option<OwnedFd>);

impl Registered {
    /// Makes and registers an fd in one step, as far as a fork can see.
    pub(crate) fn make(
        what: Inherited,
        make: impl FnOnce() -> Result<OwnedFd, Errno>,
    ) -> Result<Registered, Errno> {
        let mut registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
        let fd = make()?;
        let number = fd.as_raw_fd();
        let identity = Identity::of(fd.as_fd())?;
        // A wake fd that a child took over is in the list already.
        registry.retain(|(known, ..)| *known != number);
        registry.push((number, what, identity));
        Ok(Registered(Some(fd)))
    }
}

impl AsFd for Registered {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Some(fd) => fd.as_fd(),
            None => unreachable!("the fd is taken in drop only"),
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fd) = self.0.take() {
            let number = fd.as_raw_fd();
            let known = registry.iter().position(|(known, ..)| *known == number);
            let identity = known.map(|at| registry.swap_remove(at).2);
            if identity.is_none_or(|identity| Identity::of(fd.as_fd()) != Ok(identity)) {
                let _ = fd.into_raw_fd(); // the program has closed it: whose the number is now nobody knows
                return;
            }
            // Closed while the lock is held: else a child could be told of a number that means
            // something else by then.
            drop(fd);
        }
    }
}

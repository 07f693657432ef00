//! The system that the models run on: fds, a clock, and sleep.
//!
//! One lock, and one place to sleep for all: whoever changes something wakes everybody, and each looks again
//! whether it has what it sleeps for, as the kernel's poll does. When nobody is left who could change anything, the
//! clock is put to the next moment that somebody sleeps until. So time passes only if a thread *waits* for it: a
//! wake-up that was missed shows as time that has passed, or, where there is no such moment, as the end of all.

use rustix::io::Errno;
use shuttle::sync::{Condvar, Mutex, MutexGuard};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

/// How many datagrams a socket keeps that is connected to itself.
const NOTES: usize = 10;
/// The clock as it starts: some time after the beginning, so that there is a "before".
const START: u64 = 1_000_000_000;

std::thread_local! {
    // All threads of a model are on one thread of the system.
    static WORLD: RefCell<Option<Arc<World>>> = const { RefCell::new(None) };
    static NOW: Cell<u64> = const { Cell::new(START) };
    static TRACED: Cell<bool> = const { Cell::new(false) };
}

/// What there is in one execution of a model.
pub struct World {
    state: Mutex<State>,
    changed: Condvar,
}

/// What an fd stands for.
#[derive(Debug)]
pub(crate) enum Object {
    /// An eventfd.
    Counter(u64),
    /// A datagram socket that is connected to itself, and how many are in it.
    Notes(usize),
    /// A poller: what it is to report, by fd.
    Poller(BTreeMap<RawFd, Interest>),
    /// A stream socket, with the number of its connection once it has one.
    Socket(Option<usize>),
}

/// An entry of a poller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interest {
    pub(crate) key: u64,
    pub(crate) flags: rustix::event::epoll::EventFlags,
    /// A one-shot entry that has been reported is not.
    pub(crate) armed: bool,
}

/// A connection, seen from outside.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) to_client: VecDeque<u8>,
    pub(crate) to_server: VecDeque<u8>,
    /// How much fits into `to_server`.
    pub(crate) room: usize,
    pub(crate) client_gone: bool,
    pub(crate) server_gone: bool,
    /// The server went without having read all, or was sent more when it had gone.
    pub(crate) reset: bool,
}

/// All that the lock guards.
#[derive(Debug, Default)]
pub(crate) struct State {
    objects: BTreeMap<RawFd, Object>,
    pub(crate) links: Vec<Link>,
    /// Links that nobody has accepted, and the room that new ones have.
    pub(crate) backlog: VecDeque<usize>,
    pub(crate) room: Option<usize>,
    /// Threads that run or sleep, and those that sleep: until when, if not for ever.
    threads: usize,
    asleep: Vec<Option<u64>>,
    /// Nobody will connect any more.
    pub(crate) closed: bool,
    /// How many waits for a poller have ended at once, up to now.
    pub(crate) in_a_row: usize,
    /// How often the clock has been put on because all slept.
    pub(crate) jumps: usize,
}

impl State {
    pub(crate) fn object(&mut self, fd: RawFd) -> Result<&mut Object, Errno> {
        self.objects.get_mut(&fd).ok_or(Errno::BADF)
    }

    pub(crate) fn link(&mut self, fd: RawFd) -> Result<&mut Link, Errno> {
        match self.objects.get(&fd) {
            Some(Object::Socket(Some(link))) => self.links.get_mut(*link).ok_or(Errno::NOTCONN),
            Some(Object::Socket(None)) => Err(Errno::NOTCONN),
            _ => Err(Errno::NOTSOCK),
        }
    }

    /// What poll would say: readable, writable.
    pub(crate) fn ready(&self, fd: RawFd) -> (bool, bool) {
        match self.objects.get(&fd) {
            Some(Object::Counter(count)) => (*count > 0, true),
            Some(Object::Notes(count)) => (*count > 0, *count < NOTES),
            Some(Object::Socket(Some(link))) => {
                let link = &self.links[*link];
                (
                    !link.to_client.is_empty() || link.server_gone,
                    link.to_server.len() < link.room || link.reset,
                )
            }
            _ => (false, false),
        }
    }

    /// Everybody sleeps: puts the clock on.
    fn let_time_pass(&mut self) {
        let next = self.asleep.iter().flatten().min();
        let Some(next) = next else { panic!("all threads sleep for ever") };
        NOW.set(NOW.get().max(*next));
        self.jumps += 1;
        self.asleep.clear();
    }

    fn all_asleep(&self) -> bool {
        self.threads > 0 && self.asleep.len() == self.threads
    }
}

impl World {
    /// A new one, with one thread: the caller.
    pub(crate) fn begin(traced: bool) {
        NOW.set(START);
        TRACED.set(traced);
        let state = Mutex::new(State { threads: 1, ..State::default() });
        WORLD.set(Some(Arc::new(World { state, changed: Condvar::new() })));
    }

    /// The one that the caller lives in.
    ///
    /// # Panics
    /// Outside of a model.
    pub(crate) fn current() -> Arc<World> {
        WORLD.with_borrow(|world| world.clone()).expect("not in a model")
    }

    /// Looks, or changes something that wakes nobody.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        match self.state.lock() {
            Ok(state) => state,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    /// Changes something: all who sleep look again.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        state.asleep.clear();
        self.changed.notify_all();
        result
    }

    /// Sleeps until there is what `ready` looks for, or until a moment (`None`: for ever); `None` if that has come.
    pub(crate) fn sleep<T>(
        &self,
        until: Option<u64>,
        mut ready: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(found) = ready(&mut state) {
                return Some(found);
            }
            if until.is_some_and(|until| until <= now()) {
                return None;
            }
            state.asleep.push(until);
            if state.all_asleep() {
                state.let_time_pass();
                trace(|| format!("all sleep; it is {} us later now", now() - START));
                self.changed.notify_all();
                continue;
            }
            state = match self.changed.wait(state) {
                Ok(state) => state,
                Err(poisoned) => poisoned.into_inner(),
            };
        }
    }

    /// A thread is about to begin.
    pub(crate) fn thread_begins(&self) {
        self.lock().threads += 1;
    }

    /// The calling thread is at its end; with `note`, what others may wait for.
    pub(crate) fn thread_ends(&self, note: impl FnOnce()) {
        self.change(|state| {
            state.threads -= 1;
            note();
        });
    }

    /// Waits until the caller is the only thread.
    pub(crate) fn wait_for_all(&self) {
        self.sleep(None, |state| (state.threads == 1).then_some(()));
    }

    /// Puts an object under the number of an fd.
    pub(crate) fn put(&self, object: Object) -> Result<OwnedFd, Errno> {
        // The number is the system's, so that safe code can own it.
        let fd = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC)?;
        let number = fd.as_raw_fd();
        trace(|| format!("fd {number} is a {object:?}"));
        self.change(|state| state.objects.insert(number, object));
        Ok(fd)
    }

    /// The fd is about to be closed.
    pub(crate) fn close(&self, fd: RawFd) {
        trace(|| format!("close({fd})"));
        self.change(|state| {
            if let Some(Object::Socket(Some(link))) = state.objects.remove(&fd) {
                state.links[link].client_gone = true;
            }
            for object in state.objects.values_mut() {
                if let Object::Poller(entries) = object {
                    entries.remove(&fd);
                }
            }
        });
    }
}

/// The clock, in microseconds.
pub fn now() -> u64 {
    NOW.get()
}

/// How long the model has run by its clock, in microseconds.
pub fn elapsed() -> u64 {
    now() - START
}

/// Puts the clock on while others run: they were slow.
pub fn let_time_pass(us: u64) {
    trace(|| format!("{us} us go by"));
    World::current().change(|_| NOW.set(NOW.get() + us));
}

/// How often all threads have slept at once.
pub fn times_asleep() -> usize {
    World::current().lock().jumps
}

/// Whether poll would call an fd readable. No other thread runs meanwhile.
pub fn is_readable(fd: impl AsFd) -> bool {
    readable(fd.as_fd().as_raw_fd())
}

/// The same by its number.
pub fn readable(fd: RawFd) -> bool {
    World::current().lock().ready(fd).0
}

/// read(2) of an eventfd, or of a socket for notes.
pub(crate) fn read(fd: RawFd) -> Result<usize, Errno> {
    let outcome = World::current().change(|state| match state.object(fd)? {
        Object::Counter(count) if *count > 0 => {
            *count = 0;
            Ok(8)
        }
        Object::Notes(count) if *count > 0 => {
            *count -= 1;
            Ok(8)
        }
        Object::Counter(_) | Object::Notes(_) => Err(Errno::AGAIN),
        _ => Err(Errno::INVAL),
    });
    trace(|| format!("read({fd}): {outcome:?}"));
    outcome
}

/// write(2) of the same.
pub(crate) fn write(fd: RawFd) -> Result<usize, Errno> {
    trace(|| format!("write({fd})"));
    World::current().change(|state| match state.object(fd)? {
        Object::Counter(count) => {
            *count += 1;
            Ok(8)
        }
        Object::Notes(count) => {
            assert!(*count < NOTES, "no room for another note");
            *count += 1;
            Ok(8)
        }
        _ => Err(Errno::INVAL),
    })
}

/// A line about a step, in a replay.
pub fn trace(line: impl FnOnce() -> String) {
    if TRACED.get() {
        let thread = shuttle::thread::current();
        println!("{:>12}  {}", thread.name().unwrap_or("user"), line());
    }
}

/// Something that interrupts a wait, as a signal does.
#[derive(Clone, Default)]
pub struct Signal(Arc<std::sync::atomic::AtomicBool>);

impl Signal {
    /// Sends it.
    pub fn raise(&self) {
        trace(|| "a signal".to_owned());
        World::current().change(|_| self.0.store(true, std::sync::atomic::Ordering::SeqCst));
    }

    /// Whether it came; it is as if it had not, then.
    pub fn take(&self) -> bool {
        World::current().change(|_| self.0.swap(false, std::sync::atomic::Ordering::SeqCst))
    }
}

/// Waits until an fd is readable (-1: none), or the time is over, or the signal comes.
pub fn wait_for(fd: RawFd, timeout: Option<std::time::Duration>, signal: Option<&Signal>) {
    trace(|| format!("ppoll({fd}, {timeout:?})"));
    let until = timeout.map(|timeout| now() + timeout.as_micros() as u64);
    World::current().sleep(until, |state| {
        let interrupted = signal.is_some_and(|signal| signal.0.load(std::sync::atomic::Ordering::SeqCst));
        (interrupted || state.ready(fd).0).then_some(())
    });
}

//! The IO thread that all handles of a process share.

use crate::clock;
use crate::core::{Core, MOMENT};
use crate::forking::{Inherited, Registered};
use crate::handle::{Handle, Ticket};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{eventfd, EventfdFlags, Timespec};
use rustix::io::Errno;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use zk_proto::time::Time;

/// Handles have ids from 1 on; 0 is the waker.
const WAKER: u64 = 0;
const EVENTS_AT_ONCE: usize = 64;
/// The lower bits of an event's key count the connections of a handle.
const CONNECTION_BITS: u32 = 24;
/// Nothing can be waited for: the program has closed our fds. Sessions then end by their timers.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// What the poller reports with the events of a handle's connection.
pub(crate) fn event_key(id: u64, connection: u32) -> u64 {
    (id << CONNECTION_BITS) | u64::from(connection & ((1 << CONNECTION_BITS) - 1))
}

pub(crate) type SharedCore = Arc<Mutex<Core>>;

/// A handle whose socket has something: with the event's key, and what it is.
type Signalled = (SharedCore, u64, EventFlags);

/// One IO thread, and the handles that it serves. It ends when the engine and its last
/// handle have gone.
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

/// What handles and the IO thread share.
pub(crate) struct Shared {
    poller: Registered,
    waker: Registered,
    agenda: Mutex<Agenda>,
}

/// Lock order: a handle's lock first, then this one.
#[derive(Default)]
struct Agenda {
    handles: HashMap<u64, Weak<Mutex<Core>>>,
    timers: BTreeSet<(Time, u64)>,
    last_id: u64,
    /// Until when the IO thread sleeps; `None` while it is awake and will look at `timers` anyway.
    sleeping_until: Option<Time>,
    stop: bool,
}

impl Engine {
    /// Starts the IO thread. It inherits the caller's signal mask: block all signals around this
    /// call, or the thread may be the one to run a handler that belongs to another.
    ///
    /// # Errors
    /// No more fds or threads.
    pub fn start() -> io::Result<Arc<Engine>> {
        // This may be one of many children of a fork: with the parent's random numbers, all of them
        // would begin with the same server.
        fastrand::seed(fastrand::u64(..) ^ u64::from(std::process::id()));
        let poller = Registered::make(Inherited::Close, || epoll::create(CreateFlags::CLOEXEC))?;
        let make = || eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC);
        let waker = Registered::make(Inherited::Close, make)?;
        epoll::add(&poller, &waker, EventData::new_u64(WAKER), EventFlags::IN)?;
        let shared = Arc::new(Shared { poller, waker, agenda: Mutex::default() });
        let thread = shared.clone();
        std::thread::Builder::new()
            .name("zookeeper".into())
            .stack_size(512 << 10)
            .spawn(move || thread.run())?;
        Ok(Arc::new(Engine { shared }))
    }

    /// Ends all live sessions, so that their ephemeral nodes go at once; waits at most `within` for
    /// the servers' answers, in all.
    pub fn shutdown(&self, within: Duration) {
        for (handle, ticket) in self.farewell(within) {
            // That it was closed is all there is to learn.
            let _ = handle.wait(ticket);
        }
    }

    /// The first half of [`shutdown`](Self::shutdown): tells the servers, and gives the calls to wait
    /// for. It works in threads whose local storage has gone, waiting doesn't.
    pub fn farewell(&self, within: Duration) -> Vec<(Handle, Ticket)> {
        let until = clock::now() + within;
        let cores: Vec<SharedCore> =
            self.shared.agenda().handles.values().filter_map(Weak::upgrade).collect();
        let close = |core| {
            let handle = Handle::of(core);
            let ticket = handle.close(until.since(clock::now()));
            (handle, ticket)
        };
        cores.into_iter().map(close).collect()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.agenda().stop = true;
        self.shared.wake();
    }
}

impl Shared {
    pub(crate) fn poller(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }

    /// Makes a core with an id of its own and has the IO thread look at it at once.
    pub(crate) fn adopt(self: &Arc<Self>, make: impl FnOnce(u64) -> Core) -> SharedCore {
        let mut agenda = self.agenda();
        agenda.last_id += 1;
        let id = agenda.last_id;
        let core = Arc::new(Mutex::new(make(id)));
        agenda.handles.insert(id, Arc::downgrade(&core));
        drop(agenda);
        self.nudge(id);
        core
    }

    /// The IO thread is to look at this handle then, and not at `instead_of`.
    pub(crate) fn schedule(&self, id: u64, instead_of: Option<Time>, at: Time) {
        let mut agenda = self.agenda();
        if let Some(old) = instead_of {
            agenda.timers.remove(&(old, id));
        }
        agenda.timers.insert((at, id));
        let wake = agenda.sleeping_until.is_some_and(|until| at < until);
        drop(agenda);
        if wake {
            self.wake();
        }
    }

    /// The IO thread is to look at this handle now.
    pub(crate) fn nudge(&self, id: u64) {
        self.schedule(id, None, Time::default());
    }

    pub(crate) fn forget(&self, id: u64, scheduled: Option<Time>) {
        let mut agenda = self.agenda();
        agenda.handles.remove(&id);
        if let Some(at) = scheduled {
            agenda.timers.remove(&(at, id));
        }
    }

    fn wake(&self) {
        let _ = rustix::io::write(&self.waker, &1u64.to_ne_bytes());
    }

    fn agenda(&self) -> MutexGuard<'_, Agenda> {
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS_AT_ONCE);
        loop {
            let Some(timeout) = self.fall_asleep() else { return };
            events.clear();
            match epoll::wait(&self.poller, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
                // An interruption is as good as a wake-up.
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => std::thread::sleep(PAUSE_AFTER_ERROR),
            }
            let now = clock::now();
            let (signalled, due) = self.wake_up(now, &events);
            let mut gathers = false;
            for (core, key, flags) in signalled {
                gathers |= drive(&core, |core| core.handle_io(now, key, flags), now).unwrap_or(false);
            }
            for core in due {
                drive(&core, |core| core.handle_timer(now), now);
            }
            if gathers {
                std::thread::sleep(MOMENT);
            }
        }
    }

    /// How long to sleep (`Some(None)`: until woken), or `None` when it is time to end.
    fn fall_asleep(&self) -> Option<Option<Timespec>> {
        let mut agenda = self.agenda();
        if agenda.stop {
            return None;
        }
        let next = agenda.timers.first().map(|(at, _)| *at);
        agenda.sleeping_until = Some(next.unwrap_or(Time::from_micros(u64::MAX)));
        Some(next.map(|at| {
            // To the next millisecond up: waking early only to find nothing due would be a spin.
            let ms = at.since(clock::now()).as_micros().div_ceil(1000) as i64;
            Timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 }
        }))
    }

    /// Which handles have something to do: those with an event, and those whose time has come.
    fn wake_up(&self, now: Time, events: &[Event]) -> (Vec<Signalled>, Vec<SharedCore>) {
        let mut agenda = self.agenda();
        agenda.sleeping_until = None;
        let mut signalled = Vec::new();
        for event in events {
            // Copied out of a packed struct.
            let (data, flags) = (event.data, event.flags);
            match data.u64() {
                WAKER => {
                    let _ = rustix::io::read(&self.waker, &mut [0; 8]);
                }
                key => {
                    let core = agenda.handles.get(&(key >> CONNECTION_BITS)).and_then(Weak::upgrade);
                    signalled.extend(core.map(|core| (core, key, flags)));
                }
            }
        }
        let mut due = Vec::new();
        while let Some((at, id)) = agenda.timers.pop_first() {
            if at > now {
                agenda.timers.insert((at, id));
                break;
            }
            due.extend(agenda.handles.get(&id).and_then(Weak::upgrade));
        }
        (signalled, due)
    }
}

/// Runs one step of one session. A panic (there should be none) ends that session, not the thread
/// that all others depend on.
fn drive<R>(core: &SharedCore, step: impl FnOnce(&mut Core) -> R, now: Time) -> Option<R> {
    let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
    core.want_notes();
    match catch_unwind(AssertUnwindSafe(|| step(&mut core))) {
        Ok(result) => Some(result),
        Err(panic) => {
            let _ = catch_unwind(AssertUnwindSafe(|| core.note_panic(&*panic)));
            let _ = catch_unwind(AssertUnwindSafe(|| core.fail(now)));
            None
        }
    }
}

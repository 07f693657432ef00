//! ZooKeeper::Channel: the queue between the engine and a dispatcher.
//!
//! One queue carries what the engine tells (watch events) and what Perl sends itself, so that both
//! come out in the order in which they went in. Perl takes one item per call: a callback that dies,
//! or that calls back into the dispatcher, always finds the rest.

use crate::args::argument;
use crate::boot::Sub;
use crate::fork::{close_unused, generation};
use crate::guard::guarded;
use crate::logging::{self, Attention};
use crate::perl::{attachable, callback, files, Call, Found, Key, Perl, Sv};
use crate::posted::{self, Answer, Calls};
use crate::thrown::Thrown;
use crate::values;
use libperl_sys as sys;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::c_void;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::raw::c_int;
use std::ptr::null_mut;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use zk_client::{Delivery, Notify, Queue, WatchedEvent};

/// What a queue carries.
pub(crate) enum Item {
    /// Told by the engine.
    Delivery(Delivery),
    /// Sent by Perl: the scalar itself, with one reference count.
    Scalar(QueuedSv),
}

impl From<Delivery> for Item {
    fn from(delivery: Delivery) -> Item {
        Item::Delivery(delivery)
    }
}

/// A scalar on its way through a queue.
pub(crate) struct QueuedSv(Sv);

// SAFETY: only the thread of the channel's object pushes and pops scalars (a clone in an ithread is
// inert), and it takes them all out before it lets go of the queue. Other threads move the item at
// most inside the queue.
unsafe impl Send for QueuedSv {}

/// A function to call for every item, and what to call it with: Async::Interrupt's `signal_func`,
/// which any thread may call at any time.
#[derive(Clone, Copy)]
struct Signal {
    function: unsafe extern "C" fn(*mut c_void, c_int),
    argument: usize,
}

impl Signal {
    fn notify(self) -> Notify {
        // SAFETY: the dispatcher takes the signal away before it lets go of what it stands for.
        Notify::new(move || unsafe { (self.function)(self.argument as *mut c_void, 0) })
    }
}

/// The Rust side of a ZooKeeper::Channel.
pub(crate) struct Channel {
    /// From `Arc::into_raw`: the engine's sessions hold the queue too.
    queue: Cell<*const Queue<Item>>,
    /// The item that was looked at and not dealt with yet, in a box; or null. It stands before all others.
    front: Cell<*mut Item>,
    /// Items that were taken out of the queue for others' sake; they stand before it. Borrowed with signals
    /// blocked only, so that no jump leaves it borrowed; how many they are is there for all to see.
    backlog: RefCell<VecDeque<Item>>,
    waiting: Cell<usize>,
    /// What completions are for.
    calls: Rc<Calls>,
    generation: Cell<u32>,
    /// What the queue was told of session events; a forked child's has to be told again.
    session_events: Cell<bool>,
    /// The same for whom it signals.
    signal: Cell<Option<Signal>>,
    fd: Cell<RawFd>,
    /// A file handle of Perl's shares the descriptor (see [`files`]).
    shared: Cell<bool>,
    /// Paths of events are text: set by a handle that was opened with `utf8`.
    utf8: Cell<bool>,
    /// What the program's log is told, and when.
    pub(crate) log: Attention,
}

impl Channel {
    fn new() -> std::io::Result<Channel> {
        let queue = Queue::new()?;
        let fd = queue.as_raw_fd();
        Ok(Channel {
            queue: Cell::new(Arc::into_raw(Arc::new(queue))),
            front: Cell::new(null_mut()),
            backlog: RefCell::default(),
            waiting: Cell::new(0),
            calls: Calls::new(),
            generation: Cell::new(generation()),
            session_events: Cell::new(false),
            signal: Cell::new(None),
            fd: Cell::new(fd),
            shared: Cell::new(false),
            utf8: Cell::new(false),
            log: Attention::default(),
        })
    }

    /// The queue of this process. In a forked child a fresh one, on the wake-up descriptor that the
    /// atfork handler has put under the old number; the parent's is left as it is, since one of its
    /// threads may have been at work in it.
    pub(crate) fn queue(&self) -> &Queue<Item> {
        if self.generation.get() != generation() {
            // SAFETY: as below; and the descriptor is nobody else's, as the old queue is never
            // dropped.
            let inherited = unsafe { Queue::on_fd(OwnedFd::from_raw_fd(self.fd.get())) };
            let fresh = inherited.or_else(|_| Queue::new()).expect("a descriptor to wake up by");
            fresh.set_wants_session_events(self.session_events.get());
            fresh.set_notify(self.signal.get().map(Signal::notify));
            fresh.records().want(self.log.level());
            if fresh.as_raw_fd() != self.fd.get() {
                self.is_unshared();
                self.shared.set(false);
                self.fd.set(fresh.as_raw_fd());
            }
            self.queue.set(Arc::into_raw(Arc::new(fresh)));
            self.generation.set(generation());
            // The others are answers to the parent's calls, and events of its sessions.
            let kept = std::iter::from_fn(|| self.take_aside());
            let kept = kept.filter(|item| matches!(item, Item::Scalar(_))).collect();
            self.with_backlog(|backlog| *backlog = kept);
            if self.waiting.get() > 0 {
                // SAFETY: just stored.
                unsafe { &*self.queue.get() }.prompt(); // of these the fresh descriptor knows nothing
            }
        }
        // SAFETY: the pointer holds a count, which `freed` alone gives back.
        unsafe { &*self.queue.get() }
    }

    /// What completions are for.
    pub(crate) fn calls(&self) -> &Rc<Calls> {
        &self.calls
    }

    /// The same, if there is one already.
    pub(crate) fn own_queue(&self) -> Option<&Queue<Item>> {
        (self.generation.get() == generation()).then(|| self.queue())
    }

    /// How many items there are.
    fn len(&self) -> usize {
        let queued = self.queue().len(); // which may look at the others, too
        self.waiting.get() + usize::from(!self.front.get().is_null()) + queued
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the oldest item and leaves the descriptor as it is.
    fn take(&self) -> Option<Item> {
        let queue = self.queue();
        self.take_aside().or_else(|| queue.take())
    }

    /// Takes the oldest of those that have left the queue.
    fn take_aside(&self) -> Option<Item> {
        let front = self.front.replace(null_mut());
        if !front.is_null() {
            // SAFETY: from Box::into_raw in `put_back`, and nobody else has it any more.
            return Some(*unsafe { Box::from_raw(front) });
        }
        let mut item = None;
        if self.waiting.get() == 0 {
            return item;
        }
        let _ = guarded(|| item = self.with_backlog(VecDeque::pop_front));
        item
    }

    /// Puts the item back that was just taken.
    fn put_back(&self, item: Item) {
        self.front.set(Box::into_raw(Box::new(item)));
    }

    /// Makes the descriptor unreadable if there is nothing.
    fn clear(&self) {
        let queue = self.queue();
        if self.waiting.get() == 0 && self.front.get().is_null() {
            queue.clear();
        }
    }

    /// Whether the oldest item is the answer to a posted call. It has left the queue then, and the
    /// descriptor is as it was.
    pub(crate) fn is_completion_next(&self) -> bool {
        let Some(item) = self.take() else { return false };
        let is_completion = matches!(item, Item::Delivery(Delivery::Completed { .. }));
        self.put_back(item);
        is_completion
    }

    /// Takes the oldest item if it is the answer to a posted call.
    pub(crate) fn next_completion(&self) -> Option<(u64, Answer)> {
        match self.take()? {
            Item::Delivery(Delivery::Completed { id, result }) => {
                self.clear();
                Some((id, result))
            }
            other => {
                self.put_back(other);
                None
            }
        }
    }

    /// Takes those items out that `take` does not give back. With signals blocked.
    pub(crate) fn extract(&self, take: impl FnMut(Item) -> Option<Item>) {
        let kept: VecDeque<Item> = std::iter::from_fn(|| self.take()).filter_map(take).collect();
        self.with_backlog(|backlog| *backlog = kept);
        self.clear();
    }

    /// Works on the backlog, which is not to be used otherwise meanwhile. With signals blocked.
    fn with_backlog<R>(&self, work: impl FnOnce(&mut VecDeque<Item>) -> R) -> R {
        let mut backlog = self.backlog.borrow_mut();
        let result = work(&mut backlog);
        self.waiting.set(backlog.len());
        result
    }

    /// Whether no file handle of Perl's is left on the descriptor.
    fn is_unshared(&self) -> bool {
        !self.shared.get() || files::release(self.fd.get())
    }

    /// The queue as the engine holds it.
    pub(crate) fn sink(&self) -> Arc<Queue<Item>> {
        let queue: *const _ = self.queue();
        // SAFETY: from Arc::into_raw, and the count that it holds is kept.
        unsafe {
            Arc::increment_strong_count(queue);
            Arc::from_raw(queue)
        }
    }

    /// Decode paths of events from now on.
    pub(crate) fn decode_paths(&self, yes: bool) {
        self.utf8.set(yes);
    }
}

attachable!(Channel, freed);

/// The object is gone. The engine may hold the queue for longer, but what it drops may be dropped
/// on any thread, so the scalars leave now.
fn freed(channel: Channel, perl: Perl) {
    channel.calls.drop_all(perl);
    if channel.generation.get() != generation() {
        // The parent's queue, never used here: its locks are not ours to touch, only the descriptor,
        // which is this process's own.
        if channel.is_unshared() {
            let _ = guarded(|| close_unused(channel.fd.get()));
        }
        return;
    }
    // SAFETY: the count that `new` or `queue` put there.
    let queue = unsafe { Arc::from_raw(channel.queue.get()) };
    let _ = guarded(|| queue.set_notify(None));
    while let Some(item) = channel.take() {
        if let Item::Scalar(QueuedSv(sv)) = item {
            sv.release(perl); // perl keeps what a destructor throws
        }
    }
    if !channel.is_unshared() {
        std::mem::forget(queue); // and with it the descriptor
    }
}

pub(crate) const SUBS: &[Sub] = &[
    (c"ZooKeeper::Channel::new", Some(new)),
    (c"ZooKeeper::Channel::send", Some(send)),
    (c"ZooKeeper::Channel::recv", Some(recv)),
    (c"ZooKeeper::Channel::_complete", Some(complete)),
    (c"ZooKeeper::Channel::size", Some(size)),
    (c"ZooKeeper::Channel::_fd", Some(fd)),
    (c"ZooKeeper::Channel::_clear", Some(clear)),
    (c"ZooKeeper::Channel::_session_events", Some(session_events)),
    (c"ZooKeeper::Channel::_signal", Some(signal)),
    (c"ZooKeeper::Channel::_signal_later", Some(signal_later)),
    (c"ZooKeeper::Channel::_share", Some(share)),
];

/// The object's channel; `None` in an ithread that inherited the object.
pub(crate) fn channel(perl: Perl, call: Call, method: &str) -> Option<&'static Channel> {
    let object = perl.argument(call, 0);
    match perl.attached::<Channel>(object) {
        Found::Live(channel) => {
            // SAFETY: the argument keeps the object alive; the methods that run Perl code with it in
            // hand don't use it afterwards.
            let channel = unsafe { &*channel };
            // A forked child's first use makes a queue, for which there may be no descriptor.
            if channel.generation.get() != generation() {
                if let Err(panicked) = guarded(|| _ = channel.queue()) {
                    Thrown::panic(perl, panicked).throw(perl)
                }
            }
            Some(channel)
        }
        Found::Inert => None,
        Found::Nothing => Thrown::not_initialised(perl, method, "ZooKeeper::Channel").throw(perl),
    }
}

/// The same for a method that has nothing to say in such an ithread, where nobody feeds the object.
pub(crate) fn own_channel(perl: Perl, call: Call, method: &str) -> &'static Channel {
    match channel(perl, call, method) {
        Some(channel) => channel,
        None => Thrown::of_another_thread(perl, method, "channel").throw(perl),
    }
}

callback! {
    /// `ZooKeeper::Channel->new`
    fn new(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        let class = perl.argument(call, 0);
        if class.is_reference() || !class.is_defined() {
            Thrown::croak(perl, "new: call it as ZooKeeper::Channel->new").throw(perl)
        }
        let object = perl.new_object(class);
        let made = guarded(|| {
            Channel::new()
                .map(|channel| Box::into_raw(Box::new(channel)))
                .map_err(|e| e.raw_os_error().unwrap_or(libc::EIO))
        });
        match made {
            Ok(Ok(channel)) => {
                // SAFETY: just made by Box::into_raw, and it keeps its place until `freed` takes it out.
                unsafe {
                    (*channel).calls.of_channel(channel);
                (*channel).log.of_object(object);
                    perl.attach(object, Box::from_raw(channel));
                }
                perl.leave_with(call, object);
            }
            Ok(Err(errno)) => Thrown::raise(perl, "new", errno, None).throw(perl),
            Err(panicked) => Thrown::panic(perl, panicked).throw(perl),
        }
    }
}

callback! {
    /// `$channel->send(@scalars)`
    fn send(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        let queue = own_channel(perl, call, "send").queue();
        // With signals blocked: a jump out of the middle of a push would block the queue for ever.
        let pushed = guarded(|| {
            for index in 1..call.items {
                let sv = perl.argument(call, index).retain();
                queue.push(Item::Scalar(QueuedSv(sv)));
            }
        });
        match pushed {
            Ok(()) => perl.leave(call, 0),
            Err(panicked) => Thrown::panic(perl, panicked).throw(perl),
        }
    }
}

callback! {
    /// `$channel->recv($limit)`: the oldest item, undef when there is none. Completions that stand before
    /// it are dealt with: their callbacks run, at most `$limit` of them (undef: those that are there now),
    /// and if none but completions were there, undef is all there is to give.
    fn recv(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        let limit = limit(perl, call); // first: reading it may run what frees the channel
        let channel = own_channel(perl, call, "recv");
        let here = channel.len();
        let limit = limit.map_or(here, |limit| limit.min(here));
        let ran = if channel.is_completion_next() { run(perl, call, channel, limit) } else { 0 };
        let mut item = if ran == 0 || ran < limit { channel.take() } else { None };
        if logging::is_due(channel) {
            keep(perl, call);
            // What has led to it is told first; and nothing is in our hands while the program's log is at work.
            if let Some(item) = item.take() {
                channel.put_back(item);
            }
            logging::attend(perl, channel);
            item = if ran == 0 || ran < limit { channel.take() } else { None };
        }
        // An answer that has come since, or from behind what a callback took out, has its turn at the next look:
        // the descriptor must not be told that it is gone.
        if let Some(completion @ Item::Delivery(Delivery::Completed { .. })) = item {
            channel.put_back(completion);
            item = None;
        }
        channel.clear();
        let sv = match item {
            None | Some(Item::Delivery(Delivery::Completed { .. })) => {
                channel.calls.flush();
                perl.undef()
            }
            Some(Item::Scalar(QueuedSv(sv))) => sv.mortal(perl),
            Some(Item::Delivery(Delivery::Watch { watcher, event, counted: _ })) => {
                event_hash(perl, watcher, &event, channel.utf8.get())
            }
        };
        perl.leave_with(call, sv);
    }
}

/// Keeps the object alive: Perl code is about to run that may let go of it.
fn keep(perl: Perl, call: Call) {
    if let Some(object) = perl.argument(call, 0).referent() {
        object.retain().mortal(perl);
    }
}

/// Deals with completions.
fn run(perl: Perl, call: Call, channel: &Channel, limit: usize) -> usize {
    keep(perl, call);
    match posted::run(perl, channel, limit) {
        Ok(ran) => ran,
        Err(panicked) => Thrown::panic(perl, panicked).throw(perl),
    }
}

/// Argument 1 as a number of items.
fn limit(perl: Perl, call: Call) -> Option<usize> {
    let number = values::integer(argument(perl, call, 1))?;
    usize::try_from(number).ok()
}

callback! {
    /// `$channel->_complete($limit)`: deals with the completions in front, at most so many; how many.
    fn complete(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        let limit = limit(perl, call).unwrap_or(1); // first, as in recv
        let channel = own_channel(perl, call, "_complete");
        let ran = if channel.is_completion_next() { run(perl, call, channel, limit) } else { 0 };
        if ran > 0 {
            channel.calls.flush();
        }
        logging::attend(perl, channel);
        let sv = perl.new_integer(ran as i64).mortal(perl);
        perl.leave_with(call, sv);
    }
}

callback! {
    /// `$channel->size`
    fn size(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        let len = channel(perl, call, "size").map_or(0, |channel| {
            if logging::is_due(channel) {
                keep(perl, call); // from the program's log
                logging::attend(perl, channel);
            }
            // A loop that was woken by a note that came after its item was taken asks no more than this.
            if channel.is_empty() {
                channel.clear();
                channel.calls.flush();
            }
            channel.len()
        });
        let sv = perl.new_integer(len as i64).mortal(perl);
        perl.leave_with(call, sv);
    }
}

callback! {
    /// `$channel->_fd`: readable while there is an item.
    fn fd(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        let channel = own_channel(perl, call, "_fd");
        let fd = channel.queue().as_raw_fd();
        let _ = guarded(|| channel.calls.disown_inherited());
        let sv = perl.new_integer(fd.into()).mortal(perl);
        perl.leave_with(call, sv);
    }
}

callback! {
    /// `$channel->_share`: the descriptor is about to be opened by a file handle, which must not close
    /// it; the same as `_fd`.
    fn share(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        let channel = own_channel(perl, call, "_share");
        let fd = channel.queue().as_raw_fd();
        if !channel.shared.replace(true) {
            files::hold(fd);
        }
        let sv = perl.new_integer(fd.into()).mortal(perl);
        perl.leave_with(call, sv);
    }
}

callback! {
    /// `$channel->_clear`: takes a wake-up note of the descriptor; it comes back if items are left.
    fn clear(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        if let Some(channel) = channel(perl, call, "_clear") {
            channel.clear();
        }
        perl.leave(call, 0);
    }
}

callback! {
    /// `$channel->_session_events($bool)`
    fn session_events(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        let yes = argument(perl, call, 1).is_true(perl);
        if let Some(channel) = channel(perl, call, "_session_events") {
            channel.session_events.set(yes);
            channel.queue().set_wants_session_events(yes);
        }
        perl.leave(call, 0);
    }
}

callback! {
    /// `$channel->_signal($function, $argument)`: whom to call for every item from now on, as two
    /// addresses; nobody if there are none. When it returns, the former one is not called any more.
    fn signal(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        let [function, address] = [1, 2].map(|index| {
            let number = values::integer(argument(perl, call, index)).unwrap_or_default();
            usize::try_from(number).unwrap_or_default()
        });
        let signal = (function != 0).then(|| Signal {
            // SAFETY: the address of a function of this type, as Async::Interrupt gives it.
            function: unsafe { std::mem::transmute::<usize, unsafe extern "C" fn(*mut c_void, c_int)>(function) },
            argument: address,
        });
        if let Some(channel) = channel(perl, call, "_signal") {
            let queue = channel.queue();
            channel.signal.set(signal);
            let _ = guarded(|| queue.set_notify(signal.map(Signal::notify)));
        }
        perl.leave(call, 0);
    }
}

/// How much later. What could not be interrupted is a few lines of Perl.
const LATER: Duration = Duration::from_millis(1);

callback! {
    /// `$channel->_signal_later`: signals again, in a moment, as if an item came. For whoever was signalled at a
    /// time when he could not take what there was.
    fn signal_later(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        if let Some(channel) = channel(perl, call, "_signal_later") {
            let queue = Arc::downgrade(&channel.sink());
            // All signals are blocked, and so they are in the thread, which must not run perl's handlers. Without
            // a thread the next item signals.
            let _ = guarded(|| {
                let later = std::thread::Builder::new().stack_size(64 << 10).spawn(move || {
                    std::thread::sleep(LATER);
                    if let Some(queue) = queue.upgrade() {
                        queue.notify();
                    }
                });
                drop(later);
            });
        }
        perl.leave(call, 0);
    }
}

static TYPE: Key = Key::new("type");
static STATE: Key = Key::new("state");
static PATH: Key = Key::new("path");
static WATCHER: Key = Key::new("watcher");

/// At boot.
pub(crate) fn prepare_keys(perl: Perl) {
    for key in [&TYPE, &STATE, &PATH, &WATCHER] {
        key.prepare(perl);
    }
}

/// Fresh plain values only: it can't die, and so may stand next to the event.
fn event_hash(perl: Perl, watcher: u64, event: &WatchedEvent, utf8: bool) -> Sv {
    let (hash, reference) = perl.new_hash(4);
    hash.store(perl, &TYPE, perl.new_integer(event.kind.0.into()));
    hash.store(perl, &STATE, perl.new_integer(event.state.0.into()));
    let path = match &event.path {
        Some(path) => perl.new_string(path, utf8),
        None => perl.new_undef(),
    };
    hash.store(perl, &PATH, path);
    hash.store(perl, &WATCHER, perl.new_unsigned(watcher));
    reference
}

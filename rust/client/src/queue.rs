//! What is to be told to a user's event loop: one channel per dispatcher, and one fd that is
//! readable while there is something in it.

use crate::backlog::Counted;
use crate::forking::{self, Inherited, Registered};
use crate::log::Level;
use crate::records::{Record, Records};
use crossbeam_channel::{unbounded, Receiver, Sender};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use zk_proto::op::Reply;
use zk_proto::session::{Failure, WatchedEvent};

/// Something for the user, made by the IO thread or by a caller that led.
#[derive(Debug)]
pub enum Delivery {
    /// A watcher is to be called.
    Watch {
        /// As given with the request.
        watcher: u64,
        /// What it hears.
        event: WatchedEvent,
        /// To be dropped when the event is taken: makes room for another of a persistent watch.
        counted: Option<Counted>,
    },
    /// A request was answered that nobody waits for.
    Completed {
        /// As given to [`Handle::post`](crate::Handle::post).
        id: u64,
        /// The answer.
        result: Result<Reply, Failure>,
    },
}

/// Where a handle puts what its user is to be told.
pub trait Sink: Send + Sync {
    /// Takes one item. Called with the session's lock held: it must not block.
    fn deliver(&self, delivery: Delivery);
    /// Whether watchers other than the default one are told of session events too.
    fn wants_session_events(&self) -> bool;
    /// Whether the user has yet to take some. Called with the session's lock held.
    fn has_items(&self) -> bool;
    /// Up to which level the user wants to be told what happens, beside what [`log`](crate::log) writes.
    fn wanted_records(&self) -> Option<Level> {
        None
    }
    /// Takes what has happened. Called with the session's lock held: it must not block.
    fn record(&self, _record: Record) {}
}

/// Told of every item that is pushed, on the thread that pushes it. It must not block, nor push.
pub struct Notify(Box<dyn Fn() + Send>);

impl Notify {
    /// Calls `told` for every item.
    pub fn new(told: impl Fn() + Send + 'static) -> Notify {
        Notify(Box::new(told))
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notify")
    }
}

/// First in, first out, without a bound: a bound that made the IO thread wait would keep it from the
/// reply that a blocked caller waits for. One-shot events are bounded by the watches that are armed.
#[derive(Debug)]
pub struct Queue<T> {
    sender: Sender<T>,
    receiver: Receiver<T>,
    wake: Registered,
    /// The fd is readable, or about to be.
    armed: AtomicBool,
    /// Notes that were looked for before their writer had written them: each comes, or has come.
    overdue: AtomicUsize,
    wants_session_events: AtomicBool,
    records: Records,
    /// Whether there is a `notify`: most queues have none, and don't take its lock.
    notifies: AtomicBool,
    notify: Mutex<Option<Notify>>,
}

impl<T: Send> Queue<T> {
    /// An empty queue with a wake fd of its own.
    ///
    /// # Errors
    /// No more fds.
    pub fn new() -> io::Result<Queue<T>> {
        Ok(Queue::with(Registered::make(Inherited::Wake, forking::wake_fd)?))
    }

    /// An empty queue that wakes through a wake fd that is there already: a forked child's, on the
    /// number that its event loop knows.
    ///
    /// # Errors
    /// The program has closed it: the number stands for nothing, or for what is not ours.
    pub fn on_fd(fd: OwnedFd) -> io::Result<Queue<T>> {
        if !forking::is_wake(fd.as_fd()) {
            let _ = fd.into_raw_fd(); // not ours to close
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Queue::with(Registered::make(Inherited::Wake, || Ok(fd))?))
    }

    fn with(wake: Registered) -> Queue<T> {
        let (sender, receiver) = unbounded();
        Queue {
            sender,
            receiver,
            wake,
            armed: AtomicBool::new(false),
            overdue: AtomicUsize::new(0),
            wants_session_events: AtomicBool::new(false),
            records: Records::default(),
            notifies: AtomicBool::new(false),
            notify: Mutex::new(None),
        }
    }

    /// Appends an item and makes the fd readable.
    pub fn push(&self, item: T) {
        // Cannot fail: this queue owns a receiver.
        let _ = self.sender.send(item);
        self.wake();
        self.notify();
    }

    /// Tells whoever is told of items, as if one had come.
    pub fn notify(&self) {
        if self.notifies.load(SeqCst) {
            if let Some(Notify(told)) = &*self.notify.lock().unwrap_or_else(PoisonError::into_inner) {
                told();
            }
        }
    }

    /// Who is told of every item from now on, beside the fd. When this returns, the former one is
    /// not being called and will not be.
    pub fn set_notify(&self, notify: Option<Notify>) {
        self.notifies.store(notify.is_some(), SeqCst);
        *self.notify.lock().unwrap_or_else(PoisonError::into_inner) = notify;
    }

    /// Makes the fd readable although nothing may be there: whoever listens to it is to look here soon, for
    /// a reason of its own.
    pub fn prompt(&self) {
        self.wake();
    }

    /// Takes the oldest item. The fd stops being readable with the last one.
    pub fn pop(&self) -> Option<T> {
        let item = self.take();
        if self.receiver.is_empty() {
            self.clear();
        }
        item
    }

    /// Takes the oldest item and leaves the fd as it is, for a consumer who is not done with what he has
    /// taken: he calls [`clear`](Self::clear) when he is.
    pub fn take(&self) -> Option<T> {
        self.receiver.try_recv().ok()
    }

    /// Makes the fd unreadable if the queue is empty. Nothing is lost to a producer at work in the
    /// same moment: it either sees `armed` false and wakes, or its item is seen here.
    pub fn clear(&self) {
        if !self.receiver.is_empty() {
            return;
        }
        self.take_overdue();
        if !self.armed.load(SeqCst) {
            return;
        }
        if !self.take_note() {
            self.overdue.fetch_add(1, SeqCst);
        }
        self.armed.store(false, SeqCst);
        if !self.receiver.is_empty() || !self.records.is_empty() {
            self.wake();
        }
    }

    /// A producer may have been between `armed` and its write when the note was looked for.
    fn take_overdue(&self) {
        while self.overdue.load(SeqCst) > 0 && self.take_note() {
            self.overdue.fetch_sub(1, SeqCst);
        }
    }

    fn take_note(&self) -> bool {
        rustix::io::read(&self.wake, &mut [0; 8]).is_ok()
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.receiver.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// The fd that is readable while there is something; it lives as long as the queue.
    pub fn as_raw_fd(&self) -> RawFd {
        self.wake.as_fd().as_raw_fd()
    }

    /// Whether watchers other than the default one are told of session events too.
    pub fn set_wants_session_events(&self, yes: bool) {
        self.wants_session_events.store(yes, SeqCst);
    }

    /// What has happened to the sessions, for the user's log: not items, but the fd says that there are some.
    pub fn records(&self) -> &Records {
        &self.records
    }

    fn wake(&self) {
        if !self.armed.swap(true, SeqCst) {
            // Can't be full: few are ever overdue.
            let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        }
    }
}

impl<T: From<Delivery> + Send> Sink for Queue<T> {
    fn deliver(&self, delivery: Delivery) {
        self.push(delivery.into());
    }

    fn wants_session_events(&self) -> bool {
        self.wants_session_events.load(SeqCst)
    }

    fn has_items(&self) -> bool {
        !self.is_empty()
    }

    fn wanted_records(&self) -> Option<Level> {
        self.records.wanted()
    }

    fn record(&self, record: Record) {
        if self.records.push(record) {
            self.prompt();
            self.notify();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{poll, PollFd, PollFlags, Timespec};
    use std::sync::Arc;

    fn readable(q: &Queue<u32>, ms: i64) -> bool {
        let mut fds = [PollFd::new(&q.wake, PollFlags::IN)];
        let limit = Timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 };
        poll(&mut fds, Some(&limit)).unwrap() == 1
    }

    #[test]
    fn the_fd_is_readable_exactly_while_there_is_something() {
        let q = Queue::new().unwrap();
        assert!(!readable(&q, 0));
        q.push(1);
        q.push(2);
        assert!(readable(&q, 0));
        assert_eq!(q.pop(), Some(1));
        assert!(readable(&q, 0));
        assert_eq!(q.pop(), Some(2));
        assert!(!readable(&q, 0));
        assert_eq!(q.pop(), None);
        q.push(3);
        assert!(readable(&q, 0));
        q.clear();
        assert!(readable(&q, 0), "clearing must not hide what is there");
        assert_eq!(q.pop(), Some(3));
    }

    #[test]
    fn the_fd_is_readable_in_every_way_that_event_loops_ask_for() {
        let q = Queue::new().unwrap();
        q.push(1);
        for how in [PollFlags::IN, PollFlags::RDNORM] {
            let mut fds = [PollFd::new(&q.wake, how)];
            assert_eq!(poll(&mut fds, Some(&Timespec::default())), Ok(1), "{how:?}");
            assert_eq!(fds[0].revents(), how);
        }
    }

    #[test]
    fn whoever_wants_to_is_told_of_every_item() {
        let q = Queue::new().unwrap();
        let (told, count) = std::sync::mpsc::channel();
        q.push(1);
        q.set_notify(Some(Notify::new(move || told.send(()).unwrap())));
        q.push(2);
        q.push(3);
        assert_eq!(count.try_iter().count(), 2, "from then on, also while the fd is readable");
        q.set_notify(None);
        q.push(4);
        assert!(count.try_recv().is_err_and(|e| e == std::sync::mpsc::TryRecvError::Disconnected));
        assert_eq!(q.len(), 4);
    }

    #[test]
    fn the_fd_does_not_stay_readable_after_the_last_item_however_a_producer_races() {
        let q = Arc::new(Queue::new().unwrap());
        for round in 0..200 {
            let producer = q.clone();
            let producer = std::thread::spawn(move || {
                for i in 0..2_000u32 {
                    producer.push(i);
                    (0..i % 64).for_each(|_| std::hint::spin_loop());
                }
            });
            let mut got = 0;
            while got < 2_000 {
                got += u32::from(q.pop().is_some());
            }
            producer.join().unwrap();
            q.clear(); // what a loop does that was woken
            assert!(!readable(&q, 0), "round {round}");
        }
    }

    #[test]
    fn a_consumer_that_takes_first_and_clears_later_finds_the_fd_readable_until_then() {
        let q = Queue::new().unwrap();
        q.push(1);
        assert_eq!(q.take(), Some(1));
        assert!(readable(&q, 0), "he is not done with it");
        q.push(2);
        q.clear();
        assert!(readable(&q, 0), "there is another");
        assert_eq!(q.take(), Some(2));
        assert_eq!(q.take(), None);
        assert!(readable(&q, 0));
        q.clear();
        assert!(!readable(&q, 0));
        q.clear();
        q.push(3);
        assert!(readable(&q, 0), "clearing twice is clearing once");
    }

    #[test]
    fn a_prompt_makes_the_fd_readable_until_it_is_cleared() {
        let q = Queue::<u32>::new().unwrap();
        for _ in 0..3 {
            q.prompt();
            q.prompt();
            assert!(readable(&q, 0));
            assert_eq!(q.take(), None);
            assert!(readable(&q, 0));
            q.clear();
            assert!(!readable(&q, 0), "two prompts are cleared as one");
        }
        q.prompt();
        q.push(1);
        q.clear();
        assert!(readable(&q, 0));
        assert_eq!(q.pop(), Some(1));
        assert!(!readable(&q, 0));
        q.prompt();
        assert_eq!(q.pop(), None);
        assert!(!readable(&q, 0), "popping from nothing clears, too");
    }

    /// A consumer as the channel is one: he listens to the fd, takes some items, has them lie about, and clears
    /// when he has dealt with all of them. Between the rounds he prompts himself now and then.
    #[test]
    fn a_consumer_with_a_backlog_loses_neither_an_item_nor_a_prompt_and_the_fd_tells_the_truth() {
        const ITEMS: u32 = 100_000;
        let q = Arc::new(Queue::new().unwrap());
        let producers: Vec<_> = (0..2)
            .map(|_| {
                let q = q.clone();
                std::thread::spawn(move || {
                    for i in 0..ITEMS {
                        q.push(i);
                        (0..i % 128).for_each(|_| std::hint::spin_loop());
                    }
                })
            })
            .collect();
        let (mut backlog, mut count, mut round) = (std::collections::VecDeque::new(), 0, 0_u32);
        while count < 2 * ITEMS {
            assert!(readable(&q, 10_000), "stuck at {count} of {}", 2 * ITEMS);
            backlog.extend((0..round % 5).map_while(|_| q.take()));
            let dealt_with = backlog.len().min(round as usize % 4);
            backlog.drain(..dealt_with);
            count += dealt_with as u32;
            if backlog.is_empty() {
                q.clear();
            }
            if round % 7 == 0 {
                q.prompt();
                assert!(readable(&q, 10_000), "a prompt was lost in round {round}");
            }
            round += 1;
        }
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        q.clear();
        q.clear(); // a loop that was woken by a note that came late
        assert!(!readable(&q, 0));
        q.push(0);
        assert!(readable(&q, 0));
    }

    #[test]
    fn a_consumer_that_only_listens_to_the_fd_loses_no_item() {
        const ITEMS: u32 = 200_000;
        let q = Arc::new(Queue::new().unwrap());
        let producer = {
            let q = q.clone();
            std::thread::spawn(move || (0..ITEMS).for_each(|i| q.push(i)))
        };
        let mut next = 0;
        while next < ITEMS {
            assert!(readable(&q, 10_000), "stuck at {next} of {ITEMS}");
            for _ in 0..100 {
                match q.pop() {
                    Some(i) => {
                        assert_eq!(i, next);
                        next += 1;
                    }
                    None => break,
                }
            }
        }
        producer.join().unwrap();
        assert_eq!(q.len(), 0);
    }
}

//! The queue of what is to be told to an event loop: nothing is lost, and its fd tells the truth.

use super::backlog::{Backlogs, Counted, Verdict};
use super::log::{About, Level};
use super::queue::{Delivery, Notify, Queue, Sink};
use super::records::Record;
use crate::scheduled::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use crate::scheduled::sync::{Arc, Mutex};
use crate::scheduled::thread::spawn;
use crate::scheduled::world::{elapsed, readable, wait_for};
use crate::scheduled::{crossbeam_channel, forking};
use std::collections::VecDeque;

/// By name.
pub const MODELS: &[(&str, fn())] = &[
    ("queue_loses_nothing", loses_nothing),
    ("queue_loses_nothing_on_an_eventfd", loses_nothing_on_an_eventfd),
    ("queue_is_quiet_after_the_last_item", is_quiet_after_the_last_item),
    ("queue_keeps_its_fd_for_what_is_in_hand", keeps_its_fd_for_what_is_in_hand),
    ("queue_loses_no_prompt", loses_no_prompt),
    ("queue_loses_no_record", loses_no_record),
    ("queue_does_not_call_a_former_notify", does_not_call_a_former_notify),
    ("queue_tells_of_every_item", tells_of_every_item),
    ("backlog_says_what_it_drops", says_what_it_drops),
];

/// An item of a queue: a number, or what the engine delivers.
#[derive(Debug)]
pub enum Item {
    Number(u32),
    Delivery(Delivery),
}

impl From<Delivery> for Item {
    fn from(delivery: Delivery) -> Item {
        Item::Delivery(delivery)
    }
}

fn queue() -> Arc<Queue<Item>> {
    forking::set_counting_wake_fds(false);
    Arc::new(Queue::new().unwrap())
}

/// A loop's wait: for ever, if the fd does not say that there is something.
fn wait(queue: &Queue<Item>) {
    wait_for(queue.as_raw_fd(), None, None);
    assert_eq!(elapsed(), 0);
}

/// Nobody is at work any more: after one round of a loop the fd is silent if nothing is there.
fn is_quiet(queue: &Queue<Item>) {
    queue.clear();
    queue.clear(); // a loop that was woken by a note that came late
    assert!(!readable(queue.as_raw_fd()), "the fd is readable, and nothing is there");
}

fn number(item: Item) -> u32 {
    match item {
        Item::Number(number) => number,
        Item::Delivery(delivery) => panic!("{delivery:?}"),
    }
}

/// Two that push, one that listens to the fd and pops.
fn loses_nothing() {
    pops_all(&queue(), usize::MAX);
}

/// The same, and one item at a time.
fn loses_nothing_on_an_eventfd() {
    forking::set_counting_wake_fds(true);
    pops_all(&Arc::new(Queue::new().unwrap()), 1);
}

fn pops_all(queue: &Arc<Queue<Item>>, at_once: usize) {
    let producers = [0, 10].map(|first| {
        let queue = queue.clone();
        spawn("producer", move || (first..first + 2).for_each(|n| queue.push(Item::Number(n))))
    });
    let mut got = Vec::new();
    while got.len() < 4 {
        wait(queue);
        got.extend(std::iter::from_fn(|| queue.pop()).take(at_once).map(number));
    }
    for first in [0, 10] {
        let of_one: Vec<u32> = got.iter().copied().filter(|n| n / 10 == first / 10).collect();
        assert_eq!(of_one, [first, first + 1]);
    }
    producers.map(|producer| producer.join());
    is_quiet(queue);
}

/// A consumer that does not wait for the fd may take an item before its producer has written the note.
fn is_quiet_after_the_last_item() {
    let queue = queue();
    let theirs = queue.clone();
    let producer = spawn("producer", move || (0..2).for_each(|n| theirs.push(Item::Number(n))));
    let mut count = (0..4).filter_map(|_| queue.pop()).count();
    producer.join();
    count += std::iter::from_fn(|| queue.pop()).count();
    assert_eq!(count, 2);
    is_quiet(&queue);
}

/// A consumer as the channel is one: he takes items, has them lie about, and clears when he has dealt with them.
fn keeps_its_fd_for_what_is_in_hand() {
    let queue = queue();
    let theirs = queue.clone();
    let producer = spawn("producer", move || (0..3).for_each(|n| theirs.push(Item::Number(n))));
    let mut in_hand = VecDeque::new();
    let mut count = 0;
    while count < 3 {
        wait(&queue);
        in_hand.extend(queue.take());
        wait(&queue); // he is not done with it: his loop has to come back
        count += usize::from(in_hand.pop_front().is_some());
        if in_hand.is_empty() {
            queue.clear();
        }
    }
    producer.join();
    is_quiet(&queue);
}

/// A consumer that prompts himself, while another pushes.
fn loses_no_prompt() {
    let queue = queue();
    let theirs = queue.clone();
    let producer = spawn("producer", move || (0..2).for_each(|n| theirs.push(Item::Number(n))));
    let mut count = 0;
    for _ in 0..3 {
        queue.prompt();
        wait(&queue);
        count += usize::from(queue.take().is_some());
        queue.clear();
    }
    producer.join();
    while count < 2 {
        wait(&queue);
        count += usize::from(queue.pop().is_some());
    }
    is_quiet(&queue);
}

/// Records come beside the items, and the fd tells of them as well.
fn loses_no_record() {
    let queue = queue();
    queue.records().want(Some(Level::Info));
    let record = |text: &str| {
        let (level, about) = (Level::Info, About::default());
        Record { level, about, server: None, text: text.to_owned() }
    };
    let theirs = queue.clone();
    let engine = spawn("engine", move || {
        theirs.record(record("1"));
        theirs.push(Item::Number(1));
        theirs.record(record("2"));
    });
    let mut got = Vec::new();
    while got.len() < 3 {
        wait(&queue);
        got.extend(std::iter::from_fn(|| queue.records().pop()).map(|record| record.text));
        got.extend(queue.take().map(|_| "item".to_owned()));
        queue.clear();
    }
    assert_eq!(got.iter().filter(|text| *text != "item").collect::<Vec<_>>(), ["1", "2"]);
    engine.join();
    is_quiet(&queue);
}

/// When `set_notify` has returned, the former one is not being called and will not be.
fn does_not_call_a_former_notify() {
    let queue = queue();
    let gone = Arc::new(AtomicBool::new(false));
    let seen = gone.clone();
    queue.set_notify(Some(Notify::new(move || {
        assert!(!seen.load(SeqCst), "called when it had gone");
        // It takes its time.
        assert!(!seen.load(SeqCst), "gone while it was called");
    })));
    let theirs = queue.clone();
    let producer = spawn("producer", move || (0..2).for_each(|n| theirs.push(Item::Number(n))));
    queue.set_notify(None);
    gone.store(true, SeqCst);
    producer.join();
    assert_eq!(queue.len(), 2);
}

/// Whoever is told of items misses none: what lies there when `set_notify` returns he can see for himself.
fn tells_of_every_item() {
    let queue = queue();
    let theirs = queue.clone();
    let producer = spawn("producer", move || (0..3).for_each(|n| theirs.push(Item::Number(n))));
    let told = Arc::new(AtomicUsize::new(0));
    let count = told.clone();
    queue.set_notify(Some(Notify::new(move || _ = count.fetch_add(1, SeqCst))));
    let seen = queue.len();
    producer.join();
    let told = told.load(SeqCst);
    assert!(told + seen >= 3, "{told} were told, {seen} were there before, of 3");
}

/// Events of a persistent watch: those that are dropped are dropped before the user has taken the one that says so,
/// so that what he reads then is later.
fn says_what_it_drops() {
    const EVENTS: usize = 4;
    let data = Arc::new(AtomicUsize::new(0));
    let (sender, receiver) = crossbeam_channel::unbounded::<(usize, bool, Counted)>();
    let node = data.clone();
    let engine = spawn("engine", move || {
        let mut backlogs = Backlogs::new(1);
        let mut resyncs = 0;
        for event in 1..=EVENTS {
            node.store(event, SeqCst);
            match backlogs.add(1) {
                Verdict::Deliver(counted) => sender.send((event, false, counted)).unwrap(),
                Verdict::Resync(counted) => {
                    resyncs += 1;
                    sender.send((event, true, counted)).unwrap();
                }
                Verdict::Drop => assert!(resyncs > 0, "an event was dropped, and nobody is told"),
            }
        }
        backlogs
    });
    let mut seen = 0;
    let mut take = |(event, resync, counted): (usize, bool, Counted)| {
        drop(counted);
        seen = seen.max(if resync { data.load(SeqCst) } else { event });
    };
    for _ in 0..3 {
        receiver.try_recv().into_iter().for_each(&mut take);
    }
    let mut backlogs = engine.join();
    std::iter::from_fn(|| receiver.try_recv().ok()).for_each(&mut take);
    assert_eq!(seen, EVENTS, "the user has old news, and will not hear of it");
    assert!(matches!(backlogs.add(1), Verdict::Deliver(_)), "all were taken, and there is no room");
}

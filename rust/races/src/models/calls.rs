//! Calls, events and timers: nobody sleeps while what he waits for is there.
//!
//! The model's server answers at once, so no time may pass before a call returns: a wake-up that is missed shows as
//! time that has passed, since the next timer brings what it should have brought.

use super::engine::Engine;
use super::handle::{Answer, Handle, Settings, Step, Ticket};
use super::queue::{Delivery, Queue};
use crate::scheduled::forking;
use crate::scheduled::server::{accept, set_room, Peer};
use crate::scheduled::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use crate::scheduled::sync::Arc;
use crate::scheduled::thread::{sleep, spawn, JoinHandle};
use crate::scheduled::world::{elapsed, let_time_pass, readable, wait_for, Signal};
use std::time::Duration;
use zk_proto::connect_string::ConnectString;
use zk_proto::op::Request;
use zk_proto::session::WatchedEvent;
use zk_proto::{Code, EventType};
use zk_testkit::{event_frame, reply_frame};

/// By name.
pub const MODELS: &[(&str, fn())] = &[
    ("calls_in_succession", calls_in_succession),
    ("calls_of_one_who_comes_back_late", calls_of_one_who_comes_back_late),
    ("call_with_a_name_to_be_resolved", call_with_a_name_to_be_resolved),
    ("calls_of_signal_handlers", calls_of_signal_handlers),
    ("call_that_a_signal_handler_ends", call_that_a_signal_handler_ends),
    ("posts_of_a_signal_handler", posts_of_a_signal_handler),
    ("calls_of_two_threads", calls_of_two_threads),
    ("calls_of_three_threads", calls_of_three_threads),
    ("events_when_nobody_waits", events_when_nobody_waits),
    ("posts_beside_a_call", posts_beside_a_call),
    ("posts_that_nobody_flushes", posts_that_nobody_flushes),
    ("write_that_blocks", write_that_blocks),
    ("loss_of_the_connection", loss_of_the_connection),
    ("hang_up_that_the_leader_does_not_look_at", hang_up_that_the_leader_does_not_look_at),
    ("close_while_another_waits", close_while_another_waits),
    ("timers_of_two_handles", timers_of_two_handles),
    ("engine_that_ends", engine_that_ends),
];

const GET: Request<'_> = Request::GetData { path: b"/n", watch: false };
/// As in the client's `core`, in microseconds: how long a lead is kept, and how long a request is held back; one
/// millisecond more, since the IO thread sleeps whole ones.
const KEEP: u64 = 5_000 + 1_000;
const HOLD: u64 = 2_000 + 1_000;

#[derive(Debug)]
struct Item(Delivery);

impl From<Delivery> for Item {
    fn from(delivery: Delivery) -> Item {
        Item(delivery)
    }
}

/// A handle with what it needs.
struct Client {
    handle: Handle,
    queue: Arc<Queue<Item>>,
}

impl Client {
    fn open(hosts: &str) -> Client {
        let engine = Engine::start().unwrap();
        fastrand::seed(1); // every execution is to take the same choices
        Client::on(&engine, hosts)
    }

    fn on(engine: &Arc<Engine>, hosts: &str) -> Client {
        forking::set_counting_wake_fds(false);
        let queue = Arc::new(Queue::new().unwrap());
        let mut settings = Settings::new(ConnectString::parse(hosts.as_bytes()).unwrap());
        settings.session_timeout = Duration::from_secs(30);
        let handle = Handle::open(engine, settings, queue.clone()).unwrap();
        Client { handle, queue }
    }

    /// One that is connected.
    fn connected() -> Client {
        let client = Client::open("127.0.0.1");
        client.connect();
        client
    }

    fn connect(&self) {
        self.handle.wait(self.handle.wait_connected(None)).unwrap();
    }

    fn submit(&self) -> Ticket {
        self.handle.submit(&GET, None, None).unwrap()
    }

    fn call(&self) {
        is_answered(self.handle.wait(self.submit()));
    }

    /// Waits as a loop does for the next item.
    fn item(&self) -> Delivery {
        loop {
            wait_for(self.queue.as_raw_fd(), None, None);
            if let Some(Item(delivery)) = self.queue.pop() {
                return delivery;
            }
        }
    }

    fn event(&self) -> WatchedEvent {
        match self.item() {
            Delivery::Watch { event, .. } => event,
            other => panic!("{other:?}"),
        }
    }

    fn completion(&self) -> u64 {
        match self.item() {
            Delivery::Completed { id, result } => {
                is_answered(result);
                id
            }
            other => panic!("{other:?}"),
        }
    }
}

fn is_answered(answer: Answer) {
    assert_eq!(answer.map_err(|failure| failure.code).unwrap_err(), Code::NO_NODE);
}

/// No more time than this has passed.
fn within(us: u64) {
    assert!(elapsed() <= us, "that took {} us", elapsed());
}

/// A server that does this with every connection, once it has granted the session.
fn serve(script: impl Fn(&mut Peer) + Send + 'static) -> JoinHandle<()> {
    spawn("server", move || {
        while let Some(mut peer) = accept() {
            peer.shake_hands(30_000);
            script(&mut peer);
        }
    })
}

/// The caller waits for the connection as a follower, leads, and leads again while the lead is kept for him.
fn calls_in_succession() {
    serve(Peer::serve);
    let client = Client::connected();
    for _ in 0..3 {
        client.call();
        within(0);
    }
}

/// The IO thread takes the lead that was kept in the very moment in which the caller comes back.
fn calls_of_one_who_comes_back_late() {
    serve(Peer::serve);
    let client = Client::connected();
    client.call();
    let clock = spawn("clock", || {
        let_time_pass(KEEP / 2);
        let_time_pass(KEEP / 2);
    });
    client.call();
    client.call();
    client.call();
    clock.join();
    // What the clock has done, and what the IO thread may sleep from then on; and not a second.
    within(2 * KEEP);
}

/// The thread that resolves it has the IO thread look.
fn call_with_a_name_to_be_resolved() {
    serve(Peer::serve);
    let client = Client::open("localhost");
    client.connect();
    client.call();
    within(0);
}

/// Waits as the Perl layer does, and runs the handler when the signal has come.
fn wait_with_signal(handle: &Handle, ticket: Ticket, signal: &Signal, handler: &mut dyn FnMut()) -> Answer {
    loop {
        let (fd, timeout) = match handle.step(ticket) {
            Step::Done(answer) => return answer,
            Step::Wait { fd, timeout } => (fd, timeout),
        };
        wait_for(fd, timeout, Some(signal));
        if signal.take() {
            handle.release_lead();
            handler();
        }
    }
}

/// A handler makes a call on the same handle, and is interrupted as well, by one that does so.
fn calls_of_signal_handlers() {
    serve(Peer::serve);
    let client = Client::connected();
    let (first, second) = (Signal::default(), Signal::default());
    let signals = (first.clone(), second.clone());
    let sender = spawn("signals", move || {
        signals.0.raise();
        signals.1.raise();
    });
    let answer = wait_with_signal(&client.handle, client.submit(), &first, &mut || {
        client.handle.release_lead();
        let ticket = client.submit();
        is_answered(wait_with_signal(&client.handle, ticket, &second, &mut || {
            client.handle.release_lead();
            client.call();
        }));
    });
    is_answered(answer);
    client.call();
    sender.join();
    within(0);
}

/// A handler dies: the call that it has interrupted is given up, while its answer comes.
fn call_that_a_signal_handler_ends() {
    serve(Peer::serve);
    let client = Client::connected();
    let signal = Signal::default();
    let theirs = signal.clone();
    let sender = spawn("signals", move || theirs.raise());
    let ticket = client.submit();
    if let Step::Wait { fd, timeout } = client.handle.step(ticket) {
        wait_for(fd, timeout, Some(&signal));
    }
    client.handle.abandon(ticket);
    client.call();
    sender.join();
    within(0);
}

/// A handler posts a request and returns. The server answers neither call before it has both.
fn posts_of_a_signal_handler() {
    serve(|peer| {
        let (Some(first), Some(second)) = (peer.request(), peer.request()) else { return };
        peer.answer(&first);
        peer.answer(&second);
        peer.serve();
    });
    let client = Client::connected();
    let signal = Signal::default();
    let theirs = signal.clone();
    spawn("signals", move || theirs.raise());
    let answer = wait_with_signal(&client.handle, client.submit(), &signal, &mut || {
        client.handle.post(&GET, 1, None, None).unwrap();
    });
    is_answered(answer);
    within(0);
    assert_eq!(client.completion(), 1);
    within(KEEP); // the lead is kept, although an answer is to come that nobody leads for
}

/// One leads, the other sleeps until it is answered.
fn calls_of_two_threads() {
    serve(Peer::serve);
    let client = Client::connected();
    let handle = client.handle.clone();
    let other = spawn("other", move || {
        for _ in 0..2 {
            is_answered(handle.wait(handle.submit(&GET, None, None).unwrap()));
        }
    });
    client.call();
    client.call();
    other.join();
    within(0);
}

/// One leads, and two sleep on one fd. The note that wakes one of them may be taken by the other, who looks in vain:
/// then the first one finds his answer when he looks again, after a second. (The Perl layer has no such callers: those
/// that wait on one handle are in one thread, and the innermost one takes the notes for all.)
fn calls_of_three_threads() {
    serve(|peer| {
        let Some(first) = peer.request() else { return };
        peer.answer(&first);
        sleep(Duration::from_secs(5)); // the others are not answered soon
        peer.serve();
    });
    let client = Client::connected();
    let others = ["second", "third"].map(|name| {
        let handle = client.handle.clone();
        spawn(name, move || {
            is_answered(handle.wait(handle.submit(&GET, None, None).unwrap()));
            elapsed()
        })
    });
    client.call();
    let of_one = elapsed();
    let first = others.map(JoinHandle::join).into_iter().fold(of_one, u64::min);
    assert!(first <= 1_000_000, "the first was answered after {first} us");
}

/// An event comes after the last call, while the lead is kept, or given to the IO thread, or on its way there.
fn events_when_nobody_waits() {
    serve(|peer| {
        let mut calls = 0;
        while let Some(request) = peer.request() {
            calls += 1;
            if calls < 3 {
                peer.answer(&request);
                continue;
            }
            let body = [&[0xff; 4][..], &[0; 68]].concat();
            peer.send(&reply_frame(request.xid, 1, Code::OK, &body));
            peer.send(&event_frame(EventType::CHANGED, b"/n"));
        }
    });
    let client = Client::connected();
    client.call();
    client.call();
    let_time_pass(KEEP / 2); // the IO thread will look when the lead has been kept for long, which this one was not
    let watch = Request::GetData { path: b"/n", watch: true };
    client.handle.wait(client.handle.submit(&watch, Some(5), None).unwrap()).unwrap();
    within(KEEP / 2);
    assert_eq!(client.event().kind, EventType::CHANGED);
    within(KEEP / 2 + KEEP);
    assert!(!readable(client.queue.as_raw_fd()));
}

/// Answers for a loop come by whoever reads: the caller that leads, or the IO thread.
fn posts_beside_a_call() {
    serve(Peer::serve);
    let client = Client::connected();
    client.call();
    client.call(); // the lead is kept
    client.handle.post(&GET, 1, None, None).unwrap();
    client.handle.post(&GET, 2, None, None).unwrap();
    client.call(); // takes along what was held back
    client.handle.post(&GET, 3, None, None).unwrap();
    client.handle.flush();
    assert_eq!([client.completion(), client.completion(), client.completion()], [1, 2, 3]);
    within(0);
}

/// The IO thread sends what was held back, in time.
fn posts_that_nobody_flushes() {
    serve(Peer::serve);
    let client = Client::connected();
    for id in 1..=3 {
        client.handle.post(&GET, id, None, None).unwrap();
    }
    assert_eq!([client.completion(), client.completion(), client.completion()], [1, 2, 3]);
    within(HOLD);
}

/// The server reads slowly. Writing that blocked is the IO thread's work, whoever leads.
fn write_that_blocks() {
    set_room(60); // a connect request fits
    serve(Peer::serve);
    let client = Client::connected();
    let data = [b'x'; 100];
    let set = Request::SetData { path: b"/n", data: Some(&data), version: -1 };
    for _ in 0..2 {
        is_answered(client.handle.wait(client.handle.submit(&set, None, None).unwrap()));
    }
    within(0);
}

/// A connection ends under a call; the next one is made at once.
fn loss_of_the_connection() {
    let connections = Arc::new(AtomicUsize::new(0));
    serve(move |peer| {
        let count = connections.fetch_add(1, SeqCst);
        while let Some(request) = peer.request() {
            if count == 0 {
                return;
            }
            peer.answer(&request);
        }
    });
    let client = Client::connected();
    let answer = client.handle.wait(client.submit());
    assert_eq!(answer.map_err(|failure| failure.code).unwrap_err(), Code::CONNECTION_LOSS);
    within(0);
    client.connect();
    client.call();
    // The pause before the second attempt; and not the second after which a follower looks again.
    within(500_000);
}

/// A caller leads and is busy otherwise, say in an unsafe signal handler, when the server hangs up: the IO thread, which
/// hears of it as well, must not do so again and again until he looks.
fn hang_up_that_the_leader_does_not_look_at() {
    serve(|_| sleep(Duration::from_secs(1))); // and the request is not read: a reset
    let client = Client::connected();
    let ticket = client.submit();
    assert!(matches!(client.handle.step(ticket), Step::Wait { .. }));
    sleep(Duration::from_secs(5));
    within(5_000_000);
    match client.handle.step(ticket) {
        Step::Done(Err(failure)) => assert_eq!(failure.code, Code::CONNECTION_LOSS),
        other => panic!("{other:?}"),
    }
}

/// What is under way is answered when another thread closes the session, whoever leads.
fn close_while_another_waits() {
    serve(|peer| {
        peer.request(); // and no answer
        peer.request();
    });
    let client = Client::connected();
    let handle = client.handle.clone();
    let ticket = client.submit();
    let other = spawn("other", move || handle.wait(ticket));
    client.handle.wait(client.handle.close(Duration::from_secs(10))).unwrap();
    assert_eq!(other.join().map_err(|failure| failure.code).unwrap_err(), Code::CLOSING);
    within(0);
}

/// The IO thread sleeps until the earlier of two moments, however late it hears of it.
fn timers_of_two_handles() {
    spawn("server", || {
        let mut kept = Vec::new();
        while let Some(peer) = accept() {
            kept.push(peer); // and no word
        }
    });
    let engine = Engine::start().unwrap();
    fastrand::seed(1);
    let (first, second) = (Client::on(&engine, "127.0.0.1"), Client::on(&engine, "127.0.0.1"));
    drop(engine);
    let other = spawn("other", move || {
        let answer = first.handle.wait(first.handle.wait_connected(Some(Duration::from_millis(70))));
        assert_eq!(answer.map_err(|failure| failure.code).unwrap_err(), Code::CONNECTION_LOSS);
        elapsed()
    });
    let answer = second.handle.wait(second.handle.wait_connected(Some(Duration::from_millis(30))));
    assert_eq!(answer.map_err(|failure| failure.code).unwrap_err(), Code::CONNECTION_LOSS);
    assert!((30_000..=31_000).contains(&elapsed()), "that took {} us", elapsed());
    let elapsed = other.join();
    assert!((70_000..=71_000).contains(&elapsed), "that took {elapsed} us");
}

/// The IO thread ends with the last handle, whenever that goes.
fn engine_that_ends() {
    serve(Peer::serve);
    let engine = Engine::start().unwrap();
    fastrand::seed(1);
    let client = Client::on(&engine, "127.0.0.1");
    let other = spawn("other", move || drop(Client::on(&engine, "127.0.0.1")));
    client.handle.wait_connected(None);
    drop(client);
    other.join();
    within(0);
}

//! Requests that are held back so that others can share their packet: none for longer than it may.

use crate::common::{no_node, Client, GET, SET};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use zk_client::{Delivery, Step};
use zk_proto::op::Request;
use zk_proto::{opcode, Code};
use zk_testkit::{reply_frame, Server};

/// A server that answers pings by itself, tells of each request by its number, and answers one whenever it
/// is told to.
struct Gate {
    server: Server,
    requests: Receiver<i32>,
    answers: Sender<()>,
}

impl Gate {
    fn start(timeout_ms: i32) -> Gate {
        let (asked, requests) = channel();
        let (answers, wanted) = channel::<()>();
        let (asked, wanted) = (Mutex::new(asked), Mutex::new(wanted));
        let server = Server::start(move |peer, _| {
            peer.shake_hands(timeout_ms, 7);
            // Answers are given by the thread that reads, so a request is awaited before each.
            while let Some(request) = peer.request() {
                if request.opcode == opcode::PING {
                    peer.send(&reply_frame(request.xid, 1, Code::OK, b""));
                    continue;
                }
                let _ = asked.lock().unwrap().send(request.xid);
                if wanted.lock().unwrap().try_recv().is_ok() {
                    peer.send(&reply_frame(request.xid, 1, Code::NO_NODE, b""));
                }
            }
        });
        Gate { server, requests, answers }
    }

    /// The next request has come, within ten seconds.
    fn expect(&self, xid: i32) {
        assert_eq!(self.requests.recv_timeout(Duration::from_secs(10)), Ok(xid));
    }
}

fn post(client: &Client, id: u64) -> bool {
    client.handle.post(&GET, id, None, None).unwrap()
}

#[test]
fn the_first_goes_out_at_once_and_the_next_when_they_are_told_to() {
    let gate = Gate::start(90_000);
    let client = Client::connect(&gate.server.hosts());
    client.connected();
    assert!(!post(&client, 1));
    gate.expect(1);
    assert!(post(&client, 2));
    client.handle.flush();
    gate.expect(2);
    client.handle.flush();
}

#[test]
fn a_call_that_waits_takes_them_along() {
    let gate = Gate::start(90_000);
    let client = Client::connect(&gate.server.hosts());
    client.connected();
    post(&client, 1);
    assert!(post(&client, 2));
    let ticket = client.handle.submit(&GET, None, None).unwrap();
    (1..=3).for_each(|xid| gate.expect(xid));
    client.handle.abandon(ticket);
}

#[test]
fn a_call_that_goes_on_waiting_does_not_keep_back_what_a_signal_handler_has_asked_for() {
    let gate = Gate::start(90_000);
    let client = Client::connect(&gate.server.hosts());
    client.connected();
    let ticket = client.handle.submit(&GET, None, None).unwrap();
    gate.expect(1);
    assert!(matches!(client.handle.step(ticket), Step::Wait { .. }));
    client.handle.release_lead(); // as before the handler runs
    assert!(post(&client, 2));
    assert!(matches!(client.handle.step(ticket), Step::Wait { .. }));
    gate.expect(2);
    client.handle.abandon(ticket);
}

#[test]
fn an_authentication_takes_them_along() {
    let gate = Gate::start(90_000);
    let client = Client::connect(&gate.server.hosts());
    client.connected();
    post(&client, 1);
    assert!(post(&client, 2));
    client.handle.add_auth(b"digest", b"a:1", None).unwrap();
    [1, 2, -4].into_iter().for_each(|xid| gate.expect(xid));
}

#[test]
fn the_answer_to_what_is_under_way_sends_them() {
    // The server answers the first when the test has asked for the second.
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let server = Server::start(move |peer, _| {
        peer.shake_hands(30_000, 7);
        let mut count = 0;
        peer.serve(|_, _| {
            count += 1;
            if count == 1 {
                wait.lock().unwrap().recv().unwrap();
            }
            (Code::NO_NODE, Vec::new())
        });
    });
    let client = Client::connect(&server.hosts());
    client.connected();
    assert!(!post(&client, 1));
    (2..=20).for_each(|id| assert!(post(&client, id)));
    go.send(()).unwrap();
    (1..=20).for_each(|id| assert_eq!(client.answer(), (id, Code::NO_NODE)));
}

#[test]
fn the_answer_that_a_leading_caller_reads_sends_them() {
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let server = Server::start(move |peer, _| {
        peer.shake_hands(30_000, 7);
        let mut count = 0;
        peer.serve(|_, _| {
            count += 1;
            if count == 1 {
                wait.lock().unwrap().recv().unwrap();
            }
            (Code::NO_NODE, Vec::new())
        });
    });
    let client = Client::connect(&server.hosts());
    client.connected();
    let ticket = client.handle.submit(&GET, None, None).unwrap();
    assert!(matches!(client.handle.step(ticket), Step::Wait { .. }));
    assert!(post(&client, 2), "as a signal handler might do it, while the caller leads");
    go.send(()).unwrap();
    assert_eq!(client.handle.wait(ticket).unwrap_err().code, Code::NO_NODE);
    assert_eq!(client.answer(), (2, Code::NO_NODE));
}

#[test]
fn the_answer_comes_although_the_lead_was_kept_for_another_call() {
    let server = Server::start(|peer, _| {
        peer.shake_hands(30_000, 7);
        peer.serve(no_node);
    });
    let client = Client::connect(&server.hosts());
    client.connected();
    for id in 0..20 {
        (0..20).for_each(|_| _ = client.call(&GET));
        assert!(!post(&client, id));
        assert_eq!(client.answer(), (id, Code::NO_NODE));
    }
}

#[test]
fn a_ping_sends_them_if_nothing_is_ever_answered() {
    let gate = Gate::start(1_500);
    let client = Client::connect(&gate.server.hosts());
    client.connected();
    // What it stands behind is a tombstone, at which nobody looks any more.
    client.handle.post(&GET, 1, None, Some(Duration::from_millis(20))).unwrap();
    gate.expect(1);
    assert_eq!(client.answer(), (1, Code::OPERATION_TIMEOUT));
    assert!(post(&client, 2));
    gate.expect(2);
    assert_eq!(gate.server.connections(), 1);
}

#[test]
fn those_that_have_been_held_back_for_long_go_out_with_the_next() {
    let gate = Gate::start(90_000);
    let client = Client::connect(&gate.server.hosts());
    client.connected();
    for id in 1..=6 {
        post(&client, id);
        std::thread::sleep(Duration::from_millis(20)); // longer than anything is held back while others come
    }
    (1..=5).for_each(|xid| gate.expect(xid));
}

#[test]
fn while_answers_lie_there_more_may_come_and_is_held_back_for_a_moment_only() {
    let server = Server::start(|peer, _| {
        peer.shake_hands(30_000, 7);
        peer.serve(no_node);
    });
    let client = Client::connect(&server.hosts());
    client.connected();
    assert!(!post(&client, 1));
    let give_up = Instant::now() + Duration::from_secs(10);
    while client.queue.is_empty() {
        assert!(Instant::now() < give_up);
        std::thread::yield_now();
    }
    assert!(post(&client, 2), "nothing is under way, but the first answer was not looked at");
    // Nobody flushes, and no answer takes it along.
    (1..=2).for_each(|id| assert_eq!(client.answer(), (id, Code::NO_NODE)));
    assert!(!post(&client, 3), "all have been looked at");
}

#[test]
fn more_than_a_packet_is_not_held_back() {
    let gate = Gate::start(90_000);
    let client = Client::connect(&gate.server.hosts());
    client.connected();
    let data = [b'x'; 5_000];
    let set = Request::SetData { path: b"/n", data: Some(&data), version: -1 };
    let held: Vec<bool> = (1..=9).map(|id| client.handle.post(&set, id, None, None).unwrap()).collect();
    assert!(held.contains(&false) && !held[0], "{held:?}");
    let all = held.iter().rposition(|held| !held).unwrap() as i32;
    (1..=all + 1).for_each(|xid| gate.expect(xid));
}

#[test]
fn a_socket_that_takes_nothing_for_a_while_gets_all_of_them_later() {
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let server = Server::start(move |peer, _| {
        peer.shake_hands(30_000, 7);
        wait.lock().unwrap().recv().unwrap();
        peer.serve(no_node);
    });
    let client = Client::connect(&server.hosts());
    client.connected();
    let data = vec![b'x'; 1_000_000];
    let set = Request::SetData { path: b"/n", data: Some(&data), version: -1 };
    (1..=12).for_each(|id| _ = client.handle.post(&set, id, None, None).unwrap());
    (13..=40).for_each(|id| _ = post(&client, id));
    go.send(()).unwrap();
    (1..=40).for_each(|id| assert_eq!(client.answer(), (id, Code::NO_NODE)));
}

#[test]
fn a_write_that_was_held_back_when_the_connection_went_was_surely_not_done() {
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let server = Server::start(move |peer, _| {
        peer.shake_hands(30_000, 7);
        while let Some(request) = peer.request() {
            if request.opcode == opcode::SET_DATA {
                wait.lock().unwrap().recv().unwrap();
                return peer.hang_up();
            }
            let (code, body) = no_node(peer, &request);
            peer.send(&reply_frame(request.xid, 1, code, &body));
        }
    });
    let client = Client::connect(&server.hosts());
    client.connected();
    // It is held back for two milliseconds. A busy machine may take longer than that to end the connection.
    for attempt in 0..50 {
        let (sent, held) = (2 * attempt + 1, 2 * attempt + 2);
        client.handle.post(&SET, sent, None, None).unwrap();
        assert!(client.handle.post(&SET, held, None, None).unwrap());
        go.send(()).unwrap();
        let [first, second] = [sent, held].map(|expected| match client.delivery() {
            Delivery::Completed { id, result: Err(f) } => {
                assert_eq!((id, f.code), (expected, Code::CONNECTION_LOSS));
                f.maybe_applied
            }
            other => panic!("{other:?}"),
        });
        assert!(first);
        client.handle.flush();
        assert_eq!(
            client.call(&GET),
            Code::NO_NODE,
            "on the next connection, to which nothing was handed on"
        );
        if !second {
            return;
        }
    }
    panic!("each time it went out");
}

#[test]
fn flushing_does_no_harm_before_the_connection_nor_after_the_end() {
    let gate = Gate::start(90_000);
    gate.answers.send(()).unwrap();
    let client = Client::connect(&gate.server.hosts());
    client.handle.flush();
    client.connected();
    client.handle.flush();
    assert_eq!(client.call(&GET), Code::NO_NODE);
    let ticket = client.handle.close(Duration::from_millis(50));
    client.handle.flush();
    client.handle.wait(ticket).unwrap();
    client.handle.flush();
}

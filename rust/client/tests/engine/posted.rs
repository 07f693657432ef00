//! Requests that nobody waits for: each is answered once, in the server's order.

use crate::common::{is_in_a_process_of_its_own, no_node, sleeps_of_the_io_thread, Client, GET, SET};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::Arc;
use std::time::Duration;
use zk_client::{Delivery, Engine};
use zk_proto::op::{AddWatchMode, Request};
use zk_proto::{Code, EventType};
use zk_testkit::{event_frame, handshake, reply_frame, Server};

#[test]
fn each_is_answered_once_and_in_its_place_among_the_events() {
    const COUNT: u64 = 2_000;
    let server = Server::start(|peer, _| {
        peer.shake_hands(30_000, 7);
        let mut count = 0;
        peer.serve(|peer, _| {
            count += 1;
            // An event before each seventh answer.
            if count % 7 == 0 {
                peer.send(&event_frame(EventType::CHANGED, b"/n"));
            }
            match count {
                1 => (Code::OK, 0i32.to_be_bytes().to_vec()),
                _ => (Code::NO_NODE, Vec::new()),
            }
        });
    });
    let client = Client::connect(&server.hosts());
    client.connected();
    let watch = Request::AddWatch { path: b"/n", mode: AddWatchMode::Persistent };
    client.handle.post(&watch, 1, Some(5), None).unwrap();
    for id in 2..=COUNT {
        client.handle.post(&GET, id, None, None).unwrap();
    }
    client.handle.flush();
    let mut events = 0;
    for id in 1..=COUNT {
        if id % 7 == 0 {
            match client.delivery() {
                Delivery::Watch { watcher: 5, .. } => events += 1,
                other => panic!("before the answer to {id}: {other:?}"),
            }
        }
        let code = if id == 1 { Code::OK } else { Code::NO_NODE };
        match client.delivery() {
            Delivery::Completed { id: answered, result } => {
                let found = result.map_or_else(|failure| failure.code, |_| Code::OK);
                assert_eq!((answered, found), (id, code));
            }
            other => panic!("instead of the answer to {id}: {other:?}"),
        }
    }
    assert_eq!(events, COUNT / 7);
    assert_eq!(client.call(&GET), Code::NO_NODE);
    assert!(client.queue.is_empty(), "nothing is told twice");
}

#[test]
fn the_io_thread_is_not_woken_for_each_of_the_answers_that_come_one_by_one() {
    const COUNT: u64 = 2_000;
    if !is_in_a_process_of_its_own(
        "posted::the_io_thread_is_not_woken_for_each_of_the_answers_that_come_one_by_one",
    ) {
        return;
    }
    let server = Server::start(|peer, _| {
        peer.shake_hands(30_000, 7);
        peer.serve(|peer, frame| {
            peer.delay(Duration::from_micros(20));
            no_node(peer, frame)
        });
    });
    let client = Client::connect(&server.hosts());
    client.connected();
    for id in 1..=COUNT {
        client.handle.post(&GET, id, None, None).unwrap();
    }
    let before = sleeps_of_the_io_thread();
    client.handle.flush();
    for id in 1..=COUNT {
        assert_eq!(client.answer(), (id, Code::NO_NODE));
    }
    let sleeps = sleeps_of_the_io_thread() - before;
    assert!(sleeps < COUNT * 2 / 3, "{sleeps} for {COUNT}");
}

#[test]
fn a_call_that_waits_has_its_own_answer_and_all_before_it_are_queued_when_it_returns() {
    let server = Server::start(|peer, _| {
        peer.shake_hands(30_000, 7);
        peer.serve(no_node);
    });
    let client = Client::connect(&server.hosts());
    client.connected();
    for round in 0..50 {
        for id in 0..20 {
            client.handle.post(&GET, round * 20 + id, None, None).unwrap();
        }
        assert_eq!(client.call(&GET), Code::NO_NODE);
        assert_eq!(client.queue.len(), 20, "in round {round}");
        for id in 0..20 {
            assert_eq!(client.answer(), (round * 20 + id, Code::NO_NODE));
        }
    }
}

#[test]
fn one_that_was_posted_before_the_connection_goes_out_with_it() {
    let server = Server::start(|peer, _| {
        peer.delay(Duration::from_millis(50));
        peer.shake_hands(30_000, 7);
        peer.serve(no_node);
    });
    let client = Client::connect(&server.hosts());
    assert!(!client.handle.post(&GET, 1, None, None).unwrap(), "there is nothing to hold it back from");
    assert!(!client.handle.post(&GET, 2, None, None).unwrap());
    assert_eq!(client.answer(), (1, Code::NO_NODE));
    assert_eq!(client.answer(), (2, Code::NO_NODE));
}

#[test]
fn one_for_which_there_is_never_a_connection_is_answered_once() {
    let gone = {
        let server = Server::start(|_, _| ());
        server.hosts()
    };
    let client = Client::connect(&gone);
    client.handle.post(&GET, 1, None, None).unwrap();
    client.handle.post(&GET, 2, None, Some(Duration::from_millis(50))).unwrap();
    assert_eq!(client.answer(), (2, Code::OPERATION_TIMEOUT));
    assert_eq!(client.answer(), (1, Code::CONNECTION_LOSS));
    assert!(client.queue.is_empty());
}

#[test]
fn too_many_are_refused_and_not_answered() {
    let release = Arc::new(AtomicBool::new(false));
    let released = release.clone();
    let server = Server::start(move |peer, _| {
        peer.shake_hands(30_000, 7);
        peer.serve(|peer, _| {
            while !released.load(SeqCst) {
                peer.delay(Duration::from_millis(1));
            }
            (Code::NO_NODE, Vec::new())
        });
    });
    let client = Client::with(&Engine::start().unwrap(), &server.hosts(), |s| s.max_in_flight = 3);
    client.connected();
    for id in 1..=3 {
        client.handle.post(&GET, id, None, None).unwrap();
    }
    for id in 4..=6 {
        assert_eq!(client.handle.post(&GET, id, None, None).unwrap_err().code, Code::THROTTLED_OP);
    }
    // One that can wait does.
    let ticket = client.handle.submit(&GET, None, None).unwrap();
    release.store(true, SeqCst);
    assert_eq!(client.handle.wait(ticket).unwrap_err().code, Code::NO_NODE);
    let answered: Vec<u64> = (1..=3).map(|_| client.answer().0).collect();
    assert_eq!(answered, [1, 2, 3]);
    assert!(client.queue.is_empty());
    client.handle.post(&GET, 7, None, None).unwrap();
    assert_eq!(client.answer(), (7, Code::NO_NODE));
}

#[test]
fn closing_answers_them_before_it_ends_itself() {
    let server = Server::start(|peer, _| {
        peer.shake_hands(30_000, 7);
        peer.serve(|peer, _| {
            peer.swallow();
            (Code::OK, Vec::new())
        });
    });
    let client = Client::connect(&server.hosts());
    client.connected();
    for id in 1..=3 {
        client.handle.post(&SET, id, None, None).unwrap();
    }
    client.handle.post_auth(b"digest", b"a:1", 4, None, None).unwrap();
    let ticket = client.handle.close(Duration::from_millis(100));
    assert_eq!(client.queue.len(), 4, "at once");
    client.handle.wait(ticket).unwrap();
    for id in 1..=4 {
        assert_eq!(client.answer(), (id, Code::CLOSING));
    }
    assert!(client.queue.is_empty());
    assert_eq!(client.handle.post(&GET, 9, None, None).unwrap_err().code, Code::INVALID_STATE);
    let refused = client.handle.post_auth(b"digest", b"a:1", 9, None, None).unwrap_err();
    assert_eq!(refused.code, Code::INVALID_STATE);
}

#[test]
fn an_authentication_is_answered_by_the_server() {
    let server = Server::start(|peer, _| {
        peer.next_frame();
        peer.send(&handshake(30_000, 7));
        while let Some(request) = peer.request() {
            let bad = request.body.ends_with(b"wrong");
            let code = if bad { Code::AUTH_FAILED } else { Code::OK };
            peer.send(&reply_frame(request.xid, 0, code, b""));
            if bad {
                return;
            }
        }
    });
    let client = Client::connect(&server.hosts());
    client.handle.post_auth(b"digest", b"right", 1, Some(8), None).unwrap();
    assert_eq!(client.event().0, 1, "connected");
    assert_eq!(client.event().0, 8, "the watcher first");
    assert_eq!(client.answer(), (1, Code::OK));
    client.handle.post_auth(b"digest", b"wrong", 2, None, None).unwrap();
    // The refusal may be here before the next one is asked.
    let next = client.handle.post_auth(b"digest", b"right", 3, None, None);
    assert_eq!(client.answer(), (2, Code::AUTH_FAILED));
    match next {
        Ok(()) => assert_eq!(client.answer(), (3, Code::AUTH_FAILED)),
        Err(failure) => assert_eq!(failure.code, Code::AUTH_FAILED),
    }
}

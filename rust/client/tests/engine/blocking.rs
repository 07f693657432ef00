//! Blocking calls: the caller drives its own socket, others help, and nobody waits for ever.

use crate::common::{is_in_a_process_of_its_own, no_node, sleeps_of_the_io_thread, Client, GET, SET};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zk_client::Step;
use zk_proto::op::{Reply, Request};
use zk_proto::{opcode, Code, EventType, KeeperState};
use zk_testkit::script::{event, expect, grant, handshake, hang_up, reply, send, serve, swallow, Script};
use zk_testkit::{event_frame, reply_frame, Server};

#[test]
fn calls_in_succession_leave_the_io_thread_asleep() {
    if !is_in_a_process_of_its_own("blocking::calls_in_succession_leave_the_io_thread_asleep") {
        return;
    }
    let server = Server::start(|peer, _| {
        peer.shake_hands(30_000, 7);
        peer.serve(no_node);
    });
    let client = Client::connect(&server.hosts());
    client.call(&GET);
    let before = sleeps_of_the_io_thread();
    let start = Instant::now();
    for _ in 0..2_000 {
        assert_eq!(client.call(&GET), Code::NO_NODE);
    }
    let sleeps = sleeps_of_the_io_thread() - before;
    // It may look every five milliseconds whether the lead is still used.
    let looks = start.elapsed().as_millis() as u64 / 5 + 200;
    assert!(sleeps < looks.min(1_500), "{sleeps} wake-ups in 2,000 calls and {:?}", start.elapsed());
}

#[test]
fn an_event_is_delivered_although_the_lead_was_kept_for_the_next_call() {
    let server = Server::start(|peer, _| {
        peer.shake_hands(30_000, 7);
        let mut calls = 0;
        peer.serve(|peer, _| {
            calls += 1;
            if calls == 20 {
                // Behind the reply, when nobody waits any more.
                let mut last = reply_frame(20, 1, Code::OK, &[[0xff; 4].as_slice(), &[0; 68]].concat());
                last.extend(event_frame(EventType::CHANGED, b"/n"));
                let (head, tail) = last.split_at(last.len() - 5);
                peer.send(head);
                peer.delay(Duration::from_millis(30));
                peer.send(tail);
                peer.swallow();
            }
            (Code::NO_NODE, Vec::new())
        });
    });
    let client = Client::connect(&server.hosts());
    for _ in 0..19 {
        client.call(&GET);
    }
    let watch = Request::GetData { path: b"/n", watch: true };
    let ticket = client.handle.submit(&watch, Some(5), None).unwrap();
    assert!(client.handle.wait(ticket).is_ok());
    assert_eq!(client.event().1.kind, EventType::SESSION);
    let (watcher, event) = client.event();
    assert_eq!((watcher, event.kind), (5, EventType::CHANGED));
}

#[test]
fn events_before_a_reply_are_queued_when_the_call_returns() {
    let server = Script::new()
        .connection([
            handshake(),
            grant(30_000, 7),
            expect(opcode::EXISTS),
            reply(Code::OK, &[0; 68]),
            expect(opcode::GET_DATA),
            event(EventType::CHANGED, b"/n"),
            reply(Code::NO_NODE, b""),
            serve(Code::NO_NODE),
        ])
        .start();
    let client = Client::connect(&server.hosts());
    let exists = Request::Exists { path: b"/n", watch: true };
    let ticket = client.handle.submit(&exists, Some(5), None).unwrap();
    assert!(matches!(client.handle.wait(ticket), Ok(Reply::Stat(_))));
    assert_eq!(client.event().0, 1);
    assert_eq!(client.call(&GET), Code::NO_NODE);
    assert_eq!(client.queue.len(), 1, "queued before the call returned");
    assert_eq!(client.event().0, 5);
}

#[test]
fn threads_that_share_a_handle_each_get_their_own_answer() {
    let server = Server::start(|peer, _| {
        peer.shake_hands(30_000, 7);
        // Answers with the path that was asked for.
        peer.serve(|_, request| (Code::OK, request.body.to_vec()));
    });
    let client = Client::connect(&server.hosts());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let handle = client.handle.clone();
            scope.spawn(move || {
                for i in 0..500 {
                    let path = format!("/{thread}/{i}");
                    let ticket = handle.submit(&Request::Sync { path: path.as_bytes() }, None, None).unwrap();
                    match handle.wait(ticket) {
                        Ok(Reply::Path(p)) => assert_eq!(p, path),
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
    });
}

#[test]
fn a_caller_that_gave_the_lead_up_gets_its_answer_from_the_io_thread() {
    let server = Server::start(|peer, _| {
        peer.shake_hands(30_000, 7);
        peer.serve(|peer, _| {
            peer.delay(Duration::from_millis(50));
            (Code::NO_NODE, Vec::new())
        });
    });
    let client = Client::connect(&server.hosts());
    client.call(&GET);
    let ticket = client.handle.submit(&GET, None, None).unwrap();
    assert!(matches!(client.handle.step(ticket), Step::Wait { .. }));
    client.handle.release_lead();
    // A call made in between, as by a signal handler, does not wait for the first.
    assert_eq!(client.call(&GET), Code::NO_NODE);
    assert_eq!(client.handle.wait(ticket).unwrap_err().code, Code::NO_NODE);
}

#[test]
fn an_abandoned_call_leaves_the_handle_usable() {
    let server = Server::start(|peer, _| {
        peer.shake_hands(30_000, 7);
        peer.serve(no_node);
    });
    let client = Client::connect(&server.hosts());
    for _ in 0..3 {
        let ticket = client.handle.submit(&GET, None, None).unwrap();
        let _ = client.handle.step(ticket);
        client.handle.abandon(ticket);
        client.handle.abandon(ticket);
        assert!(matches!(client.handle.step(ticket), Step::Done(Err(_))));
        assert_eq!(client.call(&GET), Code::NO_NODE);
    }
}

#[test]
fn a_server_that_is_not_there_is_connection_loss_within_the_session_timeout() {
    let gone = {
        let server = Server::start(|_, _| ());
        server.hosts()
    };
    let client = Client::connect(&gone);
    let start = Instant::now();
    assert_eq!(client.call(&GET), Code::CONNECTION_LOSS);
    assert!(start.elapsed() >= Duration::from_millis(1_400), "{:?}", start.elapsed());
    assert_eq!(client.handle.state(), KeeperState::CONNECTING);
    assert!(client.handle.client_id().is_none());
}

#[test]
fn a_server_that_accepts_and_says_nothing_is_connection_loss_too() {
    let server = Server::start(|peer, _| peer.swallow());
    let client = Client::connect(&server.hosts());
    assert_eq!(client.call(&GET), Code::CONNECTION_LOSS);
    assert!(server.connections() >= 2, "it is tried again");
}

#[test]
fn a_server_that_stalls_is_left_and_the_next_call_works() {
    let server = Script::new()
        .connection([handshake(), grant(900, 7), expect(opcode::SET_DATA), swallow()])
        .connection([handshake(), grant(900, 7), serve(Code::NO_NODE)])
        .and_so_on()
        .start();
    let client = Client::connect(&server.hosts());
    let ticket = client.handle.submit(&SET, None, None).unwrap();
    let failure = client.handle.wait(ticket).unwrap_err();
    assert_eq!((failure.code, failure.maybe_applied), (Code::CONNECTION_LOSS, true));
    assert_eq!(client.call(&GET), Code::NO_NODE);
    let states: Vec<KeeperState> = (0..3).map(|_| client.event().1.state).collect();
    assert_eq!(states, [KeeperState::CONNECTED, KeeperState::CONNECTING, KeeperState::CONNECTED]);
}

#[test]
fn a_connection_that_ends_between_request_and_reply_is_connection_loss() {
    let server = Script::new()
        .connection([handshake(), grant(30_000, 7), expect(opcode::SET_DATA), hang_up()])
        .connection([handshake(), grant(30_000, 7), serve(Code::NO_NODE)])
        .and_so_on()
        .start();
    let client = Client::connect(&server.hosts());
    let ticket = client.handle.submit(&SET, None, None).unwrap();
    assert!(client.handle.wait(ticket).unwrap_err().maybe_applied);
    assert_eq!(client.call(&GET), Code::NO_NODE);
}

#[test]
fn a_server_that_talks_rubbish_is_tried_again_and_survived() {
    let server = Script::new()
        .connection([send(b"HTTP/1.1 400 Bad Request\r\n\r\n")])
        .connection([send(&[0xff; 10_000])])
        .connection([handshake(), grant(30_000, 7), send(&[0; 4_000])])
        .connection([handshake(), grant(30_000, 7), serve(Code::NO_NODE)])
        .and_so_on()
        .start();
    let client = Client::connect(&server.hosts());
    let give_up = Instant::now() + Duration::from_secs(20);
    while client.call(&GET) != Code::NO_NODE {
        assert!(Instant::now() < give_up);
    }
    assert_eq!(server.connections(), 4);
}

#[test]
fn large_requests_and_replies_pass_through_full_socket_buffers() {
    let server = Server::start(|peer, _| {
        peer.shake_hands(30_000, 7);
        peer.serve(|peer, request| {
            if request.opcode == opcode::SET_DATA {
                // Slow to read, so that the client finds its socket full.
                peer.delay(Duration::from_millis(20));
                return (Code::OK, vec![0; 68]);
            }
            let mut body = (5i32 << 20).to_be_bytes().to_vec();
            body.resize(body.len() + (5 << 20) + 68, b'x');
            (Code::OK, body)
        });
    });
    let client = Client::connect(&server.hosts());
    let data = vec![b'x'; 1_000_000];
    let set = Request::SetData { path: b"/n", data: Some(&data), version: -1 };
    let tickets: Vec<_> = (0..10).map(|_| client.handle.submit(&set, None, None).unwrap()).collect();
    for ticket in tickets {
        assert!(matches!(client.handle.wait(ticket), Ok(Reply::Stat(_))));
    }
    let ticket = client.handle.submit(&GET, None, None).unwrap();
    match client.handle.wait(ticket) {
        Ok(Reply::Data(Some(data), _)) => assert_eq!(data.len(), 5 << 20),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_idle_session_is_kept_alive_by_the_io_thread() {
    let pings = Arc::new(AtomicUsize::new(0));
    let seen = pings.clone();
    let server = Server::start(move |peer, _| {
        peer.shake_hands(1_500, 7); // which a busy machine does not miss
        while let Some(request) = peer.request() {
            seen.fetch_add(usize::from(request.opcode == opcode::PING), SeqCst);
            peer.send(&reply_frame(request.xid, 1, Code::OK, b""));
        }
    });
    let client = Client::connect(&server.hosts());
    let give_up = Instant::now() + Duration::from_secs(10);
    while pings.load(SeqCst) < 5 {
        assert!(Instant::now() < give_up, "{} pings", pings.load(SeqCst));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(server.connections(), 1);
    drop(client);
}

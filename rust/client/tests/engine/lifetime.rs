//! Closing, waiting for a connection, many handles, the end of the process.

use crate::common::{no_node, Client, GET};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zk_client::Engine;
use zk_proto::{opcode, Code, KeeperState};
use zk_testkit::script::{self, delay, expect, grant, hang_up, Script};
use zk_testkit::{handshake, reply_frame, Server};

/// A server that counts the sessions that were closed in so many words.
pub(crate) fn counting_server() -> (Server, Arc<AtomicUsize>) {
    let closed = Arc::new(AtomicUsize::new(0));
    let count = closed.clone();
    let server = Server::start(move |peer, number| {
        peer.shake_hands(30_000, number as i64 + 1);
        while let Some(request) = peer.request() {
            let closes = request.opcode == opcode::CLOSE_SESSION;
            // Before the answer: the test looks as soon as that is there.
            count.fetch_add(closes.into(), SeqCst);
            peer.send(&reply_frame(request.xid, 1, Code::OK, b""));
            if closes {
                return;
            }
        }
    });
    (server, closed)
}

#[test]
fn closing_tells_the_server_and_answers_later_calls() {
    let (server, closed) = counting_server();
    let client = Client::connect(&server.hosts());
    let connected = client.handle.wait_connected(None);
    client.handle.wait(connected).unwrap();
    assert_eq!(client.handle.server(), Some(server.hosts()));
    for _ in 0..2 {
        let ticket = client.handle.close(Duration::from_secs(5));
        client.handle.wait(ticket).unwrap();
        assert_eq!(closed.load(SeqCst), 1);
    }
    assert_eq!(client.handle.state(), KeeperState::NOT_CONNECTED);
    assert_eq!(client.call(&GET), Code::INVALID_STATE);
    assert!(client.handle.is_unrecoverable());
    let connected = client.handle.wait_connected(None);
    assert_eq!(client.handle.wait(connected).unwrap_err().code, Code::INVALID_STATE);
}

#[test]
fn closing_does_not_wait_for_a_silent_server_longer_than_asked() {
    let server = Server::start(|peer, _| {
        peer.shake_hands(30_000, 7);
        peer.swallow();
    });
    let client = Client::connect(&server.hosts());
    let connected = client.handle.wait_connected(None);
    client.handle.wait(connected).unwrap();
    let pending = client.handle.submit(&GET, None, None).unwrap();
    let start = Instant::now();
    let ticket = client.handle.close(Duration::from_millis(200));
    client.handle.wait(ticket).unwrap();
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!(client.handle.wait(pending).unwrap_err().code, Code::CLOSING);
}

#[test]
fn waiting_for_a_connection_ends_with_it_with_time_or_with_the_session() {
    let steps = [delay(Duration::from_millis(50)), script::handshake(), grant(30_000, 7)];
    let server = Script::new()
        .connection(steps.into_iter().chain([expect(opcode::GET_DATA), hang_up()]))
        .connection([script::handshake_for(7), grant(0, 7)])
        .start();
    let client = Client::connect(&server.hosts());
    let early = client.handle.wait_connected(Some(Duration::from_millis(1)));
    assert_eq!(client.handle.wait(early).unwrap_err().code, Code::CONNECTION_LOSS);
    let in_time = client.handle.wait_connected(Some(Duration::from_secs(10)));
    client.handle.wait(in_time).unwrap();
    // The server drops this connection, and the next one says that the session has expired.
    assert_eq!(client.call(&GET), Code::CONNECTION_LOSS);
    let expired = client.handle.wait_connected(Some(Duration::from_secs(10)));
    assert_eq!(client.handle.wait(expired).unwrap_err().code, Code::SESSION_EXPIRED);
    assert_eq!(client.handle.state(), KeeperState::EXPIRED);
}

#[test]
fn the_end_of_the_process_closes_all_sessions_of_one_thread() {
    let (server, closed) = counting_server();
    let engine = Engine::start().unwrap();
    let clients: Vec<Client> = (0..50).map(|_| Client::on(&engine, &server.hosts())).collect();
    for client in &clients {
        let connected = client.handle.wait_connected(Some(Duration::from_secs(20)));
        client.handle.wait(connected).unwrap();
    }
    engine.shutdown(Duration::from_secs(20));
    assert_eq!(closed.load(SeqCst), 50);
}

#[test]
fn a_name_is_resolved_and_an_unknown_one_passed_over() {
    let server = Server::start(|peer, _| {
        peer.shake_hands(30_000, 7);
        peer.serve(no_node);
    });
    let port = server.hosts().rsplit(':').next().unwrap().to_string();
    let hosts = format!("no-such-host.invalid:1,localhost:{port}");
    let client = Client::connect(&hosts);
    let connected = client.handle.wait_connected(Some(Duration::from_secs(30)));
    client.handle.wait(connected).unwrap();
    assert_eq!(client.handle.server(), Some(format!("localhost:{port}")));
    assert_eq!(client.call(&GET), Code::NO_NODE);
}

#[test]
fn authentication_is_told_to_its_watcher() {
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
    client.handle.add_auth(b"digest", b"right", Some(8)).unwrap();
    assert_eq!(client.event().0, 1, "connected");
    let (watcher, event) = client.event();
    assert_eq!((watcher, event.kind.0, event.state.0, event.path), (8, 0, 0, None));
    client.handle.add_auth(b"digest", b"wrong", Some(9)).unwrap();
    let (watcher, event) = client.event();
    assert_eq!((watcher, event.state.0), (9, Code::AUTH_FAILED.0));
    assert_eq!(client.event().1.state, KeeperState::AUTH_FAILED);
    assert_eq!(client.call(&GET), Code::AUTH_FAILED);
}

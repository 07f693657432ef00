//! Planned moves on real sockets: nobody who calls meanwhile loses anything.

use crate::common::{no_node, Client, GET, SET};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use zk_client::Engine;
use zk_proto::connect_string::ConnectString;
use zk_proto::{opcode, Code, KeeperState};
use zk_testkit::{ClientFrame, Peer, Server};

fn set_hosts(client: &Client, hosts: &str) {
    client.handle.set_hosts(ConnectString::parse(hosts.as_bytes()).unwrap()).unwrap();
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < give_up, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A server that takes a moment for each answer.
fn slow() -> Server {
    Server::start(|peer, _| {
        peer.shake_hands(30_000, 7);
        peer.serve(|peer: &mut Peer, request: &ClientFrame| {
            peer.delay(Duration::from_micros(300));
            no_node(peer, request)
        });
    })
}

#[test]
fn calls_from_several_threads_succeed_while_the_session_moves_to_and_fro() {
    const MOVES: usize = 40;
    let (a, b) = (slow(), slow());
    let client = Client::connect(&a.hosts());
    client.connected();
    let (done, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for request in [&GET, &SET, &GET] {
            let (client, done, calls) = (&client, &done, &calls);
            scope.spawn(move || {
                while !done.load(SeqCst) {
                    assert_eq!(client.call(request), Code::NO_NODE);
                    calls.fetch_add(1, SeqCst);
                }
            });
        }
        for number in 0..MOVES {
            set_hosts(&client, &[&b, &a][number % 2].hosts());
            let before = calls.load(SeqCst);
            wait_until("calls at the other server", || calls.load(SeqCst) >= before + 10);
        }
        done.store(true, SeqCst);
    });
    assert_eq!(client.handle.metrics().reconnects(), MOVES as u64);
    assert_eq!(a.connections() + b.connections(), MOVES + 1);
}

#[test]
fn what_was_posted_is_answered_in_order_over_a_move() {
    let (a, b) = (slow(), slow());
    let client = Client::connect(&a.hosts());
    client.connected();
    for id in 0..300 {
        if id % 100 == 50 {
            set_hosts(&client, &[&b, &a][id as usize / 100 % 2].hosts());
        }
        client.handle.post(&SET, id, None, None).unwrap();
    }
    client.handle.flush();
    for id in 0..300 {
        assert_eq!(client.answer(), (id, Code::NO_NODE));
    }
    assert_eq!(client.handle.server(), Some(b.hosts()));
}

#[test]
fn a_session_that_is_left_is_not_closed() {
    let told = Arc::new(AtomicUsize::new(0));
    let seen = told.clone();
    let ended = Arc::new(AtomicBool::new(false));
    let end = ended.clone();
    let server = Server::start(move |peer, _| {
        peer.shake_hands(30_000, 7);
        while let Some(request) = peer.request() {
            seen.fetch_add(usize::from(request.opcode == opcode::CLOSE_SESSION), SeqCst);
        }
        end.store(true, SeqCst);
    });
    let client = Client::connect(&server.hosts());
    client.connected();
    client.handle.post(&SET, 5, None, None).unwrap();
    let ticket = client.handle.leave();
    client.handle.wait(ticket).unwrap();
    assert_eq!(client.answer(), (5, Code::CLOSING));
    assert_eq!(client.handle.client_id().unwrap().0, 7);
    wait_until("the end of the connection", || ended.load(SeqCst));
    assert_eq!(told.load(SeqCst), 0);
}

#[test]
fn a_server_that_can_write_is_found_over_a_connection_of_its_own() {
    let read_only = Server::start(|peer, _| {
        peer.next_frame();
        let mut answer = zk_testkit::handshake(30_000, 99);
        *answer.last_mut().unwrap() = 1;
        peer.send(&answer);
        peer.serve(no_node);
    });
    // Plain bytes and no frame come first to the one that is asked; then the session.
    let writer = Arc::new(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let hosts = writer.local_addr().unwrap().to_string();
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, listener) = (asked.clone(), writer.clone());
    thread::spawn(move || {
        use std::io::{Read, Write};
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut first = [0; 4];
            if stream.read_exact(&mut first).is_ok() && &first == b"isro" {
                // In two pieces, the first time with another answer.
                let before = count.fetch_add(1, SeqCst);
                let _ = stream.write_all(b"r");
                thread::sleep(Duration::from_millis(5));
                let _ = stream.write_all(if before == 0 { b"o" } else { b"w" });
            }
        }
    });
    let client = Client::with(&Engine::start().unwrap(), &read_only.hosts(), |s| s.read_only = true);
    client.connected();
    assert_eq!(client.handle.state(), KeeperState::CONNECTED_READ_ONLY);
    // The dice may send it to the new one at once; it comes back from there, which grants nothing.
    set_hosts(&client, &format!("{},{hosts}", read_only.hosts()));
    wait_until("two questions", || asked.load(SeqCst) >= 2);
    wait_until("the move", || client.handle.state() != KeeperState::CONNECTED_READ_ONLY);
}

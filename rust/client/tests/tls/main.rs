//! Connections by TLS: a front that speaks it, before a scripted server that does not.
//!
//! `certificate.pem` and `key.pem` beside this file serve no other purpose.

#![cfg(feature = "tls")]

#[path = "../engine/common.rs"]
#[allow(dead_code)]
mod common;
mod front;

use common::{no_node, Client, Item, GET};
use front::{Front, Manner};
use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use zk_client::log::Level;
use zk_client::tls::{Options, Tls};
use zk_client::{Delivery, Engine, Settings};
use zk_proto::connect_string::ConnectString;
use zk_proto::op::{Reply, Request};
use zk_proto::{Code, EventType, KeeperState};
use zk_testkit::{event_frame, reply_frame, Peer, Server};

const LONG: Duration = Duration::from_secs(60);

fn file(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

fn connect(hosts: &str) -> Client {
    connect_with(hosts, |_| ())
}

fn connect_with(hosts: &str, change: impl FnOnce(&mut Settings)) -> Client {
    let options = Options { ca_file: Some(file("certificate.pem")), ..Options::default() };
    let tls = Tls::new(&options).unwrap();
    Client::with(&Engine::start().unwrap(), hosts, |settings| {
        settings.session_timeout = Duration::from_secs(30);
        settings.jute_maxbuffer = 64 << 20;
        settings.tls = Some(tls);
        change(settings);
    })
}

/// A server that does what the script says, behind TLS.
fn serve(manner: Manner, script: impl Fn(&mut Peer, usize) + Send + Sync + 'static) -> (Front, Server) {
    let server = Server::start(script);
    (Front::start(&server.hosts(), manner), server)
}

fn data(client: &Client) -> usize {
    let ticket = client.handle.submit(&GET, None, Some(LONG)).unwrap();
    match client.handle.wait(ticket).unwrap() {
        Reply::Data(data, _) => data.map_or(0, |data| data.len()),
        other => panic!("{other:?}"),
    }
}

/// The reply to a get: as much data, and a stat of zeros.
fn with_data(xid: i32, size: usize) -> Vec<u8> {
    let length = i32::try_from(size).unwrap().to_be_bytes();
    reply_frame(xid, 1, Code::OK, &[&length[..], &vec![b'x'; size], &[0; 68]].concat())
}

#[test]
fn calls() {
    let (front, _server) = serve(Manner::AsItIs, |peer, _| {
        peer.shake_hands(30_000, 7);
        peer.serve(no_node);
        peer.swallow(); // the client is the first to close
    });
    let client = connect(&front.hosts());
    for _ in 0..100 {
        assert_eq!(client.call(&GET), Code::NO_NODE);
    }
    assert_eq!(client.handle.state(), KeeperState::CONNECTED);
    let closed = client.handle.close(LONG);
    client.handle.wait(closed).unwrap();
    assert!(front.said_goodbye(), "no close_notify");
}

#[test]
fn a_server_that_says_goodbye_with_its_last_answer_is_no_connection_that_was_lost() {
    let (front, _server) = serve(Manner::LastWords, |peer, _| {
        peer.shake_hands(30_000, 7);
        peer.serve(no_node);
    });
    let client = connect(&front.hosts());
    client.connected();
    client.queue.records().want(Some(Level::Warn));
    let closed = client.handle.close(LONG);
    client.handle.wait(closed).unwrap();
    assert_eq!(client.queue.records().pop(), None);
}

#[test]
fn bytes_that_come_one_by_one() {
    let (front, _server) = serve(Manner::ByteByByte, |peer, _| {
        peer.shake_hands(30_000, 7);
        while let Some(request) = peer.request() {
            peer.send(&with_data(request.xid, 300));
        }
    });
    let client = connect(&front.hosts());
    for _ in 0..20 {
        assert_eq!(data(&client), 300);
    }
}

#[test]
fn what_comes_at_once_is_delivered_at_once() {
    // Nothing else comes after it that could wake anybody.
    const EVENTS: usize = 3_000;
    for size in [10, 16_300, 16_384, 70_000, 5 << 20] {
        let (front, _server) = serve(Manner::AsItIs, move |peer, _| {
            peer.shake_hands(30_000, 7);
            let request = peer.request().unwrap();
            let mut all = with_data(request.xid, size);
            for _ in 0..EVENTS {
                all.extend(event_frame(EventType::CHANGED, b"/n"));
            }
            let next = peer.request().unwrap();
            all.extend(with_data(next.xid, size));
            peer.send(&all);
            peer.swallow();
        });
        let client = connect(&front.hosts());
        client.connected();
        client.handle.post(&GET, 1, None, Some(LONG)).unwrap();
        assert_eq!(data(&client), size, "the last of it");
        let give_up = Instant::now() + LONG;
        let mut answers = 0;
        while answers == 0 && Instant::now() < give_up {
            match client.queue.pop() {
                Some(Item(Delivery::Completed { .. })) => answers += 1,
                Some(_) => {}
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        assert_eq!(answers, 1, "the first of it");
    }
}

#[test]
fn keys_that_change_while_it_is_used() {
    let (front, _server) = serve(Manner::NewKeys, |peer, _| {
        peer.shake_hands(30_000, 7);
        peer.serve(no_node);
    });
    let client = connect(&front.hosts());
    for _ in 0..200 {
        assert_eq!(client.call(&GET), Code::NO_NODE);
    }
}

#[test]
fn a_server_that_reads_only_later() {
    const COUNT: u64 = 100;
    let (go, wait) = channel();
    let wait = Mutex::new(wait);
    let (front, _server) = serve(Manner::AsItIs, move |peer, _| {
        peer.shake_hands(30_000, 7);
        wait.lock().unwrap().recv().unwrap();
        peer.serve(no_node);
    });
    let client = connect(&front.hosts());
    client.connected();
    let data = vec![b'x'; 500_000];
    for id in 0..COUNT {
        let set = Request::SetData { path: b"/n", data: Some(&data), version: -1 };
        client.handle.post(&set, id, None, Some(LONG)).unwrap();
    }
    go.send(()).unwrap();
    for id in 0..COUNT {
        assert_eq!(client.answer(), (id, Code::NO_NODE));
    }
    assert_eq!(client.call(&GET), Code::NO_NODE, "a blocking call behind them");
}

#[test]
fn a_handshake_that_stalls_shows_in_the_state_and_ends_in_time() {
    let silent = Server::start(|peer, _| peer.swallow());
    let (front, _server) = serve(Manner::AsItIs, |peer, _| {
        peer.shake_hands(30_000, 7);
        peer.serve(no_node);
    });
    let tls = Tls::new(&Options { ca_file: Some(file("certificate.pem")), ..Options::default() }).unwrap();
    let open = |hosts: &str, timeout| {
        Client::with(&Engine::start().unwrap(), hosts, |settings| {
            settings.session_timeout = timeout;
            settings.tls = Some(tls.clone());
        })
    };
    let client = open(&silent.hosts(), LONG);
    let give_up = Instant::now() + LONG;
    while client.handle.state() != KeeperState::SSL_CONNECTING {
        assert!(Instant::now() < give_up, "{:?}", client.handle.state());
        std::thread::sleep(Duration::from_millis(1));
    }
    // Whichever it begins with.
    let client = open(&format!("{},{}", silent.hosts(), front.hosts()), Duration::from_secs(3));
    let connected = client.handle.wait_connected(Some(LONG));
    client.handle.wait(connected).unwrap();
}

#[test]
fn a_caller_that_leads_needs_nobody_else() {
    if !common::is_in_a_process_of_its_own("a_caller_that_leads_needs_nobody_else") {
        return;
    }
    let (front, _server) = serve(Manner::AsItIs, |peer, _| {
        peer.shake_hands(30_000, 7);
        peer.serve(no_node);
    });
    let client = connect(&front.hosts());
    client.call(&GET);
    let before = common::sleeps_of_the_io_thread();
    let start = Instant::now();
    for _ in 0..2_000 {
        assert_eq!(client.call(&GET), Code::NO_NODE);
    }
    let sleeps = common::sleeps_of_the_io_thread() - before;
    // As without TLS: see there.
    let looks = start.elapsed().as_millis() as u64 / 5 + 200;
    assert!(sleeps < looks.min(1_500), "{sleeps} wake-ups in 2,000 calls and {:?}", start.elapsed());
}

#[test]
fn other_servers_are_asked_by_tls_too_whether_they_can_write() {
    let (read_only, _server) = serve(Manner::AsItIs, |peer, _| {
        peer.next_frame();
        let mut answer = zk_testkit::handshake(30_000, 99);
        *answer.last_mut().unwrap() = 1;
        peer.send(&answer);
        peer.serve(no_node);
    });
    // Plain bytes and no frame come first to the one that is asked; whatever else comes is turned away.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let writer = Front::start(&listener.local_addr().unwrap().to_string(), Manner::ByteByByte);
    let (asked, questions) = channel();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        let mut answers = [b"ro", b"rw"].into_iter().chain(std::iter::repeat(b"rw"));
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut first = [0; 4];
            if stream.read_exact(&mut first).is_ok() && &first == b"isro" {
                let _ = stream.write_all(answers.next().unwrap());
                let _ = asked.send(());
            }
        }
    });
    let client = connect_with(&read_only.hosts(), |settings| settings.read_only = true);
    client.connected();
    assert_eq!(client.handle.state(), KeeperState::CONNECTED_READ_ONLY);
    let both = format!("{},{}", read_only.hosts(), writer.hosts());
    client.handle.set_hosts(ConnectString::parse(both.as_bytes()).unwrap()).unwrap();
    for _ in 0..2 {
        questions.recv_timeout(LONG).expect("a question");
    }
    let give_up = Instant::now() + LONG;
    while client.handle.state() == KeeperState::CONNECTED_READ_ONLY {
        assert!(Instant::now() < give_up, "it has found one and does not go there");
        std::thread::sleep(Duration::from_millis(1));
    }
}

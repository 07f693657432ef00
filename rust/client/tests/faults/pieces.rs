//! Bytes that come late, one by one, cut anywhere, or all at once.

use crate::common::{Client, GET};
use crate::keeper::Keeper;
use crate::{alone, close, patient, LONG};
use std::time::Duration;
use zk_client::Engine;
use zk_proto::op::{AddWatchMode, Reply, Request};
use zk_proto::{opcode, Code, EventType, KeeperState};
use zk_testkit::proxy::{Segments, Way};
use zk_testkit::{event_frame, handshake, Proxy, Server};

const DATA: &[u8] = b"some data of a node";
const WATCH: Request<'_> = Request::GetData { path: b"/n", watch: true };

/// The body of the answer to getData.
fn data() -> Vec<u8> {
    [&(DATA.len() as i32).to_be_bytes()[..], DATA, &[0; 68]].concat()
}

/// Says that the node has changed, and then what is in it.
fn talkative() -> Keeper {
    Keeper::answering(30_000, |peer, _, _| {
        peer.send(&event_frame(EventType::CHANGED, b"/n"));
        (Code::OK, data())
    })
}

/// Two answers with data, the first of which leaves a watch, and between them its event.
fn answers_and_events_come_whole(client: &Client, what: &str) {
    for (request, watcher) in [(&WATCH, Some(5)), (&GET, None)] {
        let ticket = client.handle.submit(request, watcher, None).unwrap();
        match client.handle.wait(ticket) {
            Ok(Reply::Data(Some(read), _)) => assert_eq!(read, DATA, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
    let (watcher, event) = client.event();
    assert_eq!(
        (watcher, event.kind, event.path.as_deref()),
        (5, EventType::CHANGED, Some(&b"/n"[..])),
        "{what}"
    );
    assert!(client.queue.is_empty(), "{what}");
}

#[test]
fn a_second_of_latency_each_way_costs_time_and_no_connection() {
    let keeper = Keeper::start(9_000, Code::NO_NODE);
    let proxy = Proxy::start(&keeper.server.hosts());
    for way in [Way::ToServer, Way::ToClient] {
        proxy.latency(way, Duration::from_secs(1));
    }
    let engine = Engine::start().unwrap();
    let client = Client::with(&engine, &proxy.hosts(), |s| s.session_timeout = Duration::from_secs(9));
    client.connected();
    for id in 0..100 {
        client.handle.post(&GET, id, None, None).unwrap();
    }
    client.handle.flush();
    for id in 0..100 {
        assert_eq!(client.answer(), (id, Code::NO_NODE));
    }
    assert_eq!(proxy.counts().connections, 1);
}

#[test]
fn a_session_byte_by_byte_in_both_directions() {
    let keeper = talkative();
    let proxy = Proxy::start(&keeper.server.hosts());
    for way in [Way::ToServer, Way::ToClient] {
        proxy.segments(way, Segments::Of(1));
    }
    let client = alone(&proxy.hosts());
    client.connected();
    answers_and_events_come_whole(&client, "byte by byte");
    close(&client);
    assert_eq!((keeper.asked(opcode::GET_DATA), proxy.counts().connections), (2, 1));
}

#[test]
fn every_frame_of_a_session_may_be_cut_anywhere() {
    let keeper = talkative();
    let proxy = Proxy::start(&keeper.server.hosts());
    let engine = Engine::start().unwrap();
    let longest = zk_testkit::reply_frame(1, 1, Code::OK, &data()).len();
    assert!(longest > handshake(1, 7).len());
    for at in 1..longest {
        proxy.segments(Way::ToClient, Segments::FramesAt(at));
        let client = patient(&engine, &proxy.hosts());
        client.connected();
        answers_and_events_come_whole(&client, &format!("frames cut behind {at} bytes"));
        assert_eq!(proxy.counts().connections, at);
        let _ = client.handle.leave();
    }
}

/// The answer to the connect request, its last byte changed.
fn greeting(read_only: Option<u8>) -> Vec<u8> {
    let mut greeting = handshake(30_000, 7);
    let last = greeting.pop().unwrap();
    match read_only {
        Some(byte) => greeting.push(last | byte),
        None => greeting[3] -= 1,
    }
    greeting
}

#[test]
fn a_handshake_cut_anywhere_says_whether_the_server_is_read_only() {
    let engine = Engine::start().unwrap();
    for (last, state) in [
        (Some(0), KeeperState::CONNECTED),
        (Some(1), KeeperState::CONNECTED_READ_ONLY),
        (None, KeeperState::CONNECTED),
    ] {
        let server = Server::start(move |peer, number| {
            peer.next_frame();
            peer.send_split(&greeting(last), number + 1);
            peer.serve(|_, _| (Code::NO_NODE, Vec::new()));
        });
        for at in 1..greeting(last).len() {
            let client = Client::with(&engine, &server.hosts(), |settings| settings.read_only = true);
            client.connected();
            assert_eq!(client.handle.state(), state, "{last:?} cut behind {at} bytes");
            assert_eq!(client.call(&GET), Code::NO_NODE);
            assert_eq!(server.connections(), at);
            let _ = client.handle.leave();
        }
    }
}

#[test]
fn a_thousand_answers_in_one_packet_come_in_order() {
    let keeper = Keeper::start(30_000, Code::NO_NODE);
    let proxy = Proxy::start(&keeper.server.hosts());
    let client = alone(&proxy.hosts());
    client.connected();
    proxy.gather(Way::ToClient, 1_000);
    for id in 0..999 {
        client.handle.post(&GET, id, None, None).unwrap();
    }
    client.handle.flush();
    proxy.wait_until(LONG, |counts| counts.requests == 999).unwrap();
    assert!(client.queue.is_empty(), "none before the last");
    client.handle.post(&GET, 999, None, None).unwrap();
    client.handle.flush();
    for id in 0..1_000 {
        assert_eq!(client.answer(), (id, Code::NO_NODE));
    }
    assert_eq!(client.call(&GET), Code::NO_NODE);
}

#[test]
fn a_thousand_events_in_one_packet_come_in_order_and_before_the_answer_behind_them() {
    let keeper = Keeper::answering(30_000, |peer, request, _| {
        if request.opcode == opcode::ADD_WATCH {
            return (Code::OK, vec![0; 4]);
        }
        let event = |number| event_frame(EventType::CREATED, format!("/n/{number}").as_bytes());
        peer.send(&(0..1_000).flat_map(event).collect::<Vec<u8>>());
        (Code::NO_NODE, Vec::new())
    });
    let proxy = Proxy::start(&keeper.server.hosts());
    let client = alone(&proxy.hosts());
    client.connected();
    proxy.gather(Way::ToClient, 1_002);
    let watch = Request::AddWatch { path: b"/n", mode: AddWatchMode::PersistentRecursive };
    client.handle.post(&watch, 1, Some(5), None).unwrap();
    client.handle.post(&GET, 2, None, None).unwrap();
    client.handle.flush();
    assert_eq!(client.answer(), (1, Code::OK));
    for number in 0..1_000 {
        let (watcher, event) = client.event();
        assert_eq!((watcher, event.path.as_deref()), (5, Some(format!("/n/{number}").as_bytes())));
    }
    assert_eq!(client.answer(), (2, Code::NO_NODE));
}

//! A proxy that harms nobody unless it is asked to; and then it does.

use crate::raw::{connect_request, ping, reply, request, End, Raw, GET, LONG, SET};
use std::time::{Duration, Instant};
use zk_proto::{opcode, Code};
use zk_testkit::proxy::{Asked, Counts, Greeting, Reach, Segments, Way};
use zk_testkit::{handshake, Proxy, Server};

/// A server that answers everything with "no node", and a proxy before it.
fn stage() -> (Server, Proxy) {
    let server = Server::start(|peer, _| {
        peer.shake_hands(30_000, 7);
        peer.serve(|_, _| (Code::NO_NODE, Vec::new()));
    });
    let proxy = Proxy::start(&server.hosts());
    (server, proxy)
}

const NO_NODE: i32 = Code::NO_NODE.0;

fn ask(raw: &mut Raw, xid: i32) {
    raw.send(&request(xid, &GET));
}

/// The connection takes requests and answers them.
fn works(raw: &mut Raw, xid: i32) {
    ask(raw, xid);
    assert_eq!(raw.bytes(20), reply(xid, NO_NODE));
}

#[test]
fn nothing_is_harmed_and_everything_counted() {
    let (server, proxy) = stage();
    assert_eq!(proxy.counts(), Counts::default());
    let mut raw = Raw::greeted(&proxy.hosts());
    for xid in 1..=100 {
        works(&mut raw, xid);
    }
    raw.send(&ping());
    assert_eq!(raw.bytes(20), reply(-2, 0));
    let sent = (connect_request(0).len() + 100 * request(1, &GET).len() + ping().len()) as u64;
    let heard = (handshake(1, 7).len() + 101 * 20) as u64;
    let expected = Counts {
        connections: 1,
        open: 1,
        from_clients: sent,
        to_servers: sent,
        from_servers: heard,
        to_clients: heard,
        requests: 100,
        lost_replies: 0,
    };
    assert_eq!(proxy.wait_until(LONG, |counts| *counts == expected), Ok(expected));
    raw.shut();
    assert_eq!(raw.rest(), (Vec::new(), End::Closed), "the end goes through, to and fro");
    proxy.wait_until(LONG, |counts| counts.open == 0).unwrap();
    assert_eq!(server.connections(), 1);
}

#[test]
fn megabytes_go_through_both_ways() {
    let server = Server::start(|peer, _| {
        let frame = peer.next_frame().unwrap();
        peer.send(&frame);
    });
    let proxy = Proxy::start(&server.hosts());
    let mut raw = Raw::connect(&proxy.hosts());
    let body: Vec<u8> = (0..10u32 << 20).map(|n| (n % 251) as u8).collect();
    raw.send(&zk_testkit::frame(&body));
    assert!(raw.rest().0 == body);
}

#[test]
fn what_are_no_frames_goes_through_too() {
    let server = Server::start(|peer, _| {
        peer.send(b"rw");
        peer.swallow();
    });
    let proxy = Proxy::start(&server.hosts());
    let mut raw = Raw::connect(&proxy.hosts());
    raw.send(b"isro");
    assert_eq!(raw.bytes(2), b"rw");
    proxy.wait_until(LONG, |counts| counts.to_servers == 4 && counts.requests == 0).unwrap();
}

#[test]
fn a_black_hole_holds_back_one_direction_until_it_is_healed() {
    let (_server, proxy) = stage();
    let mut raw = Raw::greeted(&proxy.hosts());
    proxy.black_hole(Way::ToClient, Reach::All);
    ask(&mut raw, 1);
    proxy.wait_until(LONG, |counts| counts.from_servers == 41 + 20).expect("the server answers");
    raw.hears_nothing();
    proxy.heal();
    assert_eq!(raw.bytes(20), reply(1, NO_NODE));

    let before = proxy.counts().to_servers;
    proxy.black_hole(Way::ToServer, Reach::All);
    ask(&mut raw, 2);
    proxy.wait_until(LONG, |counts| counts.requests == 2).expect("the request comes");
    raw.hears_nothing();
    assert_eq!(proxy.counts().to_servers, before, "and does not arrive");
    proxy.heal();
    assert_eq!(raw.bytes(20), reply(2, NO_NODE));
    works(&mut raw, 3);
}

#[test]
fn a_black_hole_hides_the_end_of_a_connection() {
    let (_server, proxy) = stage();
    let mut raw = Raw::greeted(&proxy.hosts());
    proxy.black_hole(Way::ToServer, Reach::Existing);
    raw.shut();
    raw.hears_nothing();
    proxy.heal();
    assert_eq!(raw.rest(), (Vec::new(), End::Closed));
}

#[test]
fn a_black_hole_takes_the_connections_that_are_meant() {
    let (_server, proxy) = stage();
    let mut old = Raw::greeted(&proxy.hosts());
    proxy.black_hole(Way::ToClient, Reach::Existing);
    works(&mut Raw::greeted(&proxy.hosts()), 1);
    ask(&mut old, 1);
    old.hears_nothing();
    proxy.heal();
    assert_eq!(old.bytes(20), reply(1, NO_NODE));

    proxy.black_hole(Way::ToClient, Reach::New);
    let mut new = Raw::connect(&proxy.hosts());
    new.send(&connect_request(0));
    new.hears_nothing();
    works(&mut old, 2);
    proxy.heal();
    assert_eq!(new.frame().len(), 37);
}

#[test]
fn latency_adds_up_over_directions_and_not_over_requests() {
    let (_server, proxy) = stage();
    let mut raw = Raw::greeted(&proxy.hosts());
    let each = Duration::from_millis(60);
    proxy.latency(Way::ToServer, each);
    proxy.latency(Way::ToClient, each);
    let start = Instant::now();
    for xid in 1..=200 {
        ask(&mut raw, xid);
        std::thread::sleep(Duration::from_micros(100));
    }
    for xid in 1..=200 {
        assert_eq!(raw.bytes(20), reply(xid, NO_NODE));
        assert!(start.elapsed() >= 2 * each, "answer {xid} after {:?}", start.elapsed());
    }
    assert!(start.elapsed() < 200 * each, "they wait for each other");
    proxy.latency(Way::ToServer, Duration::ZERO);
    proxy.latency(Way::ToClient, Duration::ZERO);
    works(&mut raw, 201);
}

#[test]
fn segments_have_the_size_that_is_asked_for() {
    let (_server, proxy) = stage();
    let mut raw = Raw::greeted(&proxy.hosts());
    for size in [1, 7, 19, 20] {
        proxy.segments(Way::ToClient, Segments::Of(size));
        ask(&mut raw, 1);
        let mut left = 20;
        while left > 0 {
            let piece = raw.piece();
            assert_eq!(piece.len(), size.min(left), "{left} bytes of 20 in pieces of {size}");
            left -= piece.len();
        }
    }
}

#[test]
fn frames_are_cut_where_it_is_asked_for() {
    let (_server, proxy) = stage();
    for at in 1..41 {
        proxy.segments(Way::ToClient, Segments::FramesAt(at));
        let mut raw = Raw::connect(&proxy.hosts());
        raw.send(&connect_request(0));
        assert_eq!(raw.piece().len(), at);
        assert_eq!(raw.piece().len(), 41 - at);
        ask(&mut raw, 1);
        assert_eq!(raw.piece().len(), at.min(20));
        if at < 20 {
            assert_eq!(raw.piece().len(), 20 - at);
        }
        proxy.segments(Way::ToClient, Segments::Whole);
    }
}

#[test]
fn frames_are_gathered_into_one_write() {
    let (_server, proxy) = stage();
    let mut raw = Raw::greeted(&proxy.hosts());
    proxy.gather(Way::ToClient, 1_000);
    for xid in 1..=999 {
        ask(&mut raw, xid);
    }
    raw.hears_nothing();
    assert!(proxy.wait_until(LONG, |counts| counts.from_servers == 41 + 999 * 20).is_ok());
    ask(&mut raw, 1_000);
    assert_eq!(raw.piece().len(), 20_000);
    works(&mut raw, 1_001);

    proxy.gather(Way::ToServer, 10);
    ask(&mut raw, 1_002);
    raw.hears_nothing();
    raw.shut();
    assert_eq!(raw.rest().0, reply(1_002, NO_NODE), "no more frames will come");
}

#[test]
fn a_reply_is_lost_by_a_reset_when_the_server_has_given_it() {
    let (server, proxy) = stage();
    let mut raw = Raw::greeted(&proxy.hosts());
    proxy.lose_reply(Asked::Opcode(opcode::SET_DATA), 2);
    for round in 1..=2 {
        works(&mut raw, 1);
        raw.send(&[request(2, &GET), request(3, &SET), request(4, &GET)].concat());
        assert_eq!(raw.rest(), (reply(2, NO_NODE), End::Reset));
        let counts = proxy.counts();
        assert_eq!((counts.lost_replies, counts.open), (round, 0));
        let per_connection = 41 + 3 * 20;
        assert!(counts.from_servers >= per_connection * round as u64, "the server had answered: {counts:?}");
        raw = Raw::greeted(&proxy.hosts());
    }
    raw.send(&request(1, &SET));
    assert_eq!(raw.bytes(20), reply(1, NO_NODE), "that is over");
    assert_eq!(server.connections(), 3);
}

#[test]
fn requests_are_counted_over_connections_without_pings() {
    let (_server, proxy) = stage();
    proxy.lose_reply(Asked::Number(5), 1);
    let mut first = Raw::greeted(&proxy.hosts());
    works(&mut first, 1);
    works(&mut first, 2);
    let mut second = Raw::greeted(&proxy.hosts());
    second.send(&ping());
    assert_eq!(second.bytes(20), reply(-2, 0));
    works(&mut second, 1);
    works(&mut second, 2);
    ask(&mut second, 3);
    assert_eq!(second.rest(), (Vec::new(), End::Reset));
    works(&mut first, 3);
}

#[test]
fn a_reply_cut_up_is_lost_to_its_last_byte() {
    let server = Server::start(|peer, _| {
        peer.shake_hands(30_000, 7);
        while let Some(request) = peer.request() {
            let reply = [reply(-1, 0), reply(request.xid, 0)].concat();
            peer.send_in_pieces(&reply, 1);
        }
    });
    let proxy = Proxy::start(&server.hosts());
    proxy.lose_reply(Asked::Number(2), 1);
    let mut raw = Raw::greeted(&proxy.hosts());
    ask(&mut raw, 1);
    assert_eq!(raw.bytes(40), [reply(-1, 0), reply(1, 0)].concat());
    ask(&mut raw, 2);
    assert_eq!(raw.rest(), (reply(-1, 0), End::Reset));
}

#[test]
fn a_connection_is_closed_behind_so_many_bytes() {
    let (_server, proxy) = stage();
    for bytes in [0, 1, 20, 41, 50] {
        proxy.close_after(Way::ToClient, Some(bytes));
        let mut raw = Raw::connect(&proxy.hosts());
        raw.send(&[connect_request(0), request(1, &GET)].concat());
        assert_eq!(raw.rest().0.len() as u64, bytes);
    }
    proxy.close_after(Way::ToClient, None);
    proxy.close_after(Way::ToServer, Some(60));
    let mut raw = Raw::greeted(&proxy.hosts());
    ask(&mut raw, 1);
    assert_eq!(raw.rest().0, b"", "eleven bytes of it arrived");
    proxy.close_after(Way::ToServer, None);
    works(&mut Raw::greeted(&proxy.hosts()), 1);
}

#[test]
fn connections_are_greeted_as_it_is_asked_for() {
    let (server, proxy) = stage();
    let mut old = Raw::greeted(&proxy.hosts());
    proxy.greet(Greeting::Silence);
    let mut silent = Raw::connect(&proxy.hosts());
    silent.send(&connect_request(0));
    silent.hears_nothing();
    let sent = 2 * connect_request(0).len() as u64;
    proxy.wait_until(LONG, |counts| counts.from_clients == sent).unwrap();
    proxy.greet(Greeting::HangUp);
    assert_eq!(Raw::connect(&proxy.hosts()).rest(), (Vec::new(), End::Closed));
    proxy.greet(Greeting::Reset);
    assert_eq!(Raw::connect(&proxy.hosts()).rest(), (Vec::new(), End::Reset));
    works(&mut old, 1);
    assert_eq!(server.connections(), 1, "the server heard of none of them");
    proxy.greet(Greeting::Relay);
    works(&mut Raw::greeted(&proxy.hosts()), 1);
}

#[test]
fn connections_are_closed_and_reset_at_will() {
    let (_server, proxy) = stage();
    let mut raw = Raw::greeted(&proxy.hosts());
    proxy.close();
    assert_eq!(raw.rest(), (Vec::new(), End::Closed));
    let mut raw = Raw::greeted(&proxy.hosts());
    proxy.reset();
    assert_eq!(raw.rest(), (Vec::new(), End::Reset));
    let mut raw = Raw::greeted(&proxy.hosts());
    drop(proxy);
    assert_eq!(raw.rest(), (Vec::new(), End::Closed));
}

#[test]
fn a_server_that_is_not_there_is_a_reset() {
    let gone = Server::start(|_, _| ()).hosts();
    // Until the one that listened there has gone too.
    let give_up = Instant::now() + LONG;
    while std::net::TcpStream::connect(&gone).is_ok() {
        assert!(Instant::now() < give_up);
    }
    let proxy = Proxy::start(&gone);
    assert_eq!(Raw::connect(&proxy.hosts()).rest(), (Vec::new(), End::Reset));
}

#[test]
fn waiting_for_a_count_has_a_limit() {
    let (_server, proxy) = stage();
    assert_eq!(proxy.wait_until(Duration::ZERO, |counts| counts.open > 0), Err(Counts::default()));
}

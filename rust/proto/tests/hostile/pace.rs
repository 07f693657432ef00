//! Whatever is wrong with the servers: the first retry follows at once, the next after pauses that
//! grow from a fifth of a second to one, and no two clients keep time.

use crate::GET;
use std::collections::HashSet;
use std::time::Duration;
use zk_proto::op::Request;
use zk_proto::session::{Action, Config};
use zk_proto::{Code, KeeperState};
use zk_testkit::{config, frame, handshake, reply_frame, Pair};

/// What a server does with a connection that has sent its connect request; the connection must be
/// over when it returns.
type Server = fn(&mut Pair);

fn hang_up_half_way(pair: &mut Pair) {
    pair.feed(&handshake(3_000, 7)[..20]);
    pair.cut();
}

fn greet_and(pair: &mut Pair, bytes: &[u8]) {
    pair.feed(&handshake(3_000, 7));
    assert_eq!(pair.session.state(), KeeperState::CONNECTED);
    pair.feed(bytes);
}

const SERVERS: [(&str, Server); 16] = [
    ("hangs up", Pair::cut),
    ("hangs up half way through the handshake", hang_up_half_way),
    ("says nothing", |pair| {
        pair.now = pair.now + Duration::from_secs(1);
        pair.session.handle_timeout(pair.now);
    }),
    ("sends a negative length", |pair| pair.feed(&[0xff; 4])),
    ("sends a length of 2 GiB", |pair| pair.feed(&[0x7f, 0xff, 0xff, 0xff])),
    ("sends a short handshake", |pair| pair.feed(&frame(&[0; 20]))),
    ("speaks another protocol", |pair| pair.feed(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
    ("refuses a session that was not asked for", |pair| pair.feed(&handshake(0, 0))),
    ("is read-only", |pair| {
        let mut bytes = handshake(3_000, 7);
        *bytes.last_mut().unwrap() = 1;
        pair.feed(&bytes);
    }),
    ("greets and hangs up", |pair| {
        greet_and(pair, b"");
        pair.cut();
    }),
    ("greets and sends a negative length", |pair| greet_and(pair, &[0xff; 4])),
    ("greets and sends a frame without a header", |pair| greet_and(pair, &frame(b"short"))),
    ("greets and answers what nobody asked", |pair| greet_and(pair, &reply_frame(9, 1, Code::OK, b""))),
    ("greets and sends half an event", |pair| greet_and(pair, &reply_frame(-1, 1, Code::OK, &[0; 5]))),
    ("greets and refuses the watches", |pair| {
        greet_and(pair, &reply_frame(-8, 1, Code::MARSHALLING_ERROR, b""));
    }),
    ("greets, answers, and then with rubbish", |pair| {
        greet_and(pair, b"");
        pair.sent();
        for body in [&[0; 72][..], &[0xff; 72]] {
            pair.submit(&Request::GetData { path: b"/n", watch: true }, Some(1));
            // Not the oldest, if one has waited for this connection: that is rubbish enough.
            let Some(request) = pair.sent().pop() else { return };
            // Null data and a stat of zeros; then a length of -1 and a stat too short.
            let body = if body[0] == 0 { body } else { &body[..71] };
            pair.feed(&reply_frame(request.xid, 1, Code::OK, body));
        }
    }),
];

/// Pauses between the end of a connection and the next attempt.
fn pauses(server: Server, seed: u64) -> Vec<Duration> {
    let mut pair = Pair::new(Config { seed, ..config("a,b,c") });
    let mut pauses = Vec::new();
    pair.accept();
    for _ in 0..12 {
        server(&mut pair);
        assert_eq!(pair.session.state(), KeeperState::CONNECTING);
        let actions = pair.actions();
        assert!(actions.iter().all(|(_, action)| *action == Action::Disconnect), "{actions:?}");
        let dropped = pair.now;
        pair.accept();
        pauses.push(pair.now.since(dropped));
    }
    pauses
}

#[test]
fn every_kind_of_failure_is_tried_again_at_the_same_pace() {
    for (what, server) in SERVERS {
        let pauses: Vec<u128> = pauses(server, 1).iter().map(Duration::as_millis).collect();
        assert_eq!(pauses[0], 0, "a server that {what}: {pauses:?}");
        assert!(pauses[1..].iter().all(|ms| (200..=1_500).contains(ms)), "a server that {what}: {pauses:?}");
        assert!(pauses[4..].iter().all(|ms| *ms >= 1_000), "a server that {what}: {pauses:?}");
    }
}

#[test]
fn clients_do_not_come_back_in_step() {
    let third = |seed| pauses(Pair::cut, seed)[2];
    let different: HashSet<Duration> = (0..50).map(third).collect();
    assert!(different.len() >= 25, "{different:?}");
}

#[test]
fn a_request_that_waits_is_given_up_in_time_however_often_servers_fail() {
    for (what, server) in SERVERS {
        let mut pair = Pair::new(config("a,b"));
        pair.accept();
        server(&mut pair);
        pair.outputs();
        let token = pair.submit(&GET, None);
        let asked = pair.now;
        while crate::answers(&pair.outputs()).iter().all(|(answered, _)| *answered != token) {
            pair.accept();
            server(&mut pair);
            assert!(pair.now.since(asked) < Duration::from_secs(6), "a server that {what}");
        }
    }
}

#[test]
fn a_connection_that_held_for_a_second_is_followed_by_one_at_once() {
    let mut pair = Pair::new(config("a"));
    for _ in 0..5 {
        pair.connect();
        pair.advance(Duration::from_secs(1));
        let start = pair.now;
        pair.feed(&[0xff; 4]);
        pair.accept();
        assert_eq!(pair.now, start, "the first retry is at once");
        pair.feed(&[0xff; 4]);
        pair.accept();
        assert!(pair.now.since(start) >= Duration::from_millis(200));
        pair.feed(&[0xff; 4]);
    }
}

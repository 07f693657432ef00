//! From when on a session is suspect: a timeout after the sending of the youngest message that a server has answered,
//! whenever the answer came.

use std::time::Duration;
use zk_proto::connect_string::ConnectString;
use zk_proto::note::Level;
use zk_proto::op::Request;
use zk_proto::record::ConnectResponse;
use zk_proto::session::Config;
use zk_proto::{Code, EventType, KeeperState};
use zk_testkit::{config, event_frame, handshake, Pair};

const GET: Request<'_> = Request::GetData { path: b"/n", watch: false };
const MS: fn(u64) -> Duration = Duration::from_millis;

fn by_clock() -> Config {
    Config { expire_by_clock: true, ..config("a,b") }
}

/// Three seconds after this moment, and no sooner.
#[track_caller]
fn suspect_from(pair: &Pair, confirmed: Duration, start: zk_proto::time::Time) {
    let at = start + confirmed + MS(3_000);
    assert!(!pair.session.is_suspect(at - Duration::from_micros(1)), "too early");
    assert!(pair.session.is_suspect(at), "too late");
}

/// Lets time pass, with a word of the server now and then that is no answer.
fn chatter(pair: &mut Pair, span: Duration) {
    let end = pair.now + span;
    while pair.now < end {
        pair.advance(MS(100));
        pair.feed(&event_frame(EventType::CHANGED, b"/x"));
    }
}

#[test]
fn an_answer_that_was_long_under_way_counts_from_when_its_request_was_sent() {
    for length in [0, 1] {
        let mut pair = Pair::connected();
        let start = pair.now;
        pair.advance(MS(500));
        pair.submit(&GET, None);
        chatter(&mut pair, MS(400 + length * 2_000));
        pair.reply(1, 1, Code::NO_NODE, b"");
        suspect_from(&pair, MS(500), start);
        pair.cut();
        suspect_from(&pair, MS(500), start);
    }
}

#[test]
fn each_answer_to_a_ping_counts_from_when_that_ping_was_sent() {
    let mut pair = Pair::connected();
    let start = pair.now;
    chatter(&mut pair, MS(2_500));
    for second in [1_000, 2_000] {
        pair.reply(-2, 0, Code::OK, b"");
        suspect_from(&pair, MS(second), start);
    }
    pair.reply(-2, 0, Code::OK, b"");
    suspect_from(&pair, MS(2_000), start);
    pair.cut();
    pair.connect();
    // The pings of the connection before say nothing of this one's.
    let again = pair.now;
    pair.reply(-2, 0, Code::OK, b"");
    suspect_from(&pair, MS(0), again);
}

#[test]
fn a_handshake_counts_from_when_it_was_sent() {
    let mut pair = Pair::new(config("a"));
    pair.accept();
    let start = pair.now;
    pair.advance(MS(900));
    pair.feed(&handshake(3_000, 7));
    suspect_from(&pair, MS(0), start);
    pair.cut();
    suspect_from(&pair, MS(0), start);
}

#[test]
fn a_server_that_answers_nothing_but_sends_events_lets_the_session_expire_by_the_clock() {
    let mut pair = Pair::new(by_clock());
    pair.connect();
    chatter(&mut pair, MS(2_900));
    assert_eq!(pair.session.state(), KeeperState::CONNECTED);
    chatter(&mut pair, MS(100));
    assert_eq!(pair.session.state(), KeeperState::EXPIRED);

    let mut pair = Pair::connected();
    chatter(&mut pair, MS(20_000));
    assert_eq!(pair.session.state(), KeeperState::CONNECTED, "any byte counts as life of the server");
    assert!(pair.session.is_suspect(pair.now));
}

#[test]
fn answers_that_lay_in_the_socket_of_a_process_that_stood_still_renew_nothing() {
    let mut pair = Pair::connected();
    pair.submit(&GET, None);
    pair.sent();
    pair.now = pair.now + MS(3_500);
    pair.reply(1, 1, Code::NO_NODE, b"");
    assert!(pair.session.is_suspect(pair.now), "what it had read first was old");
    pair.session.handle_timeout(pair.now);
    assert_eq!(pair.sent().len(), 1, "a ping");
    let sent = pair.now;
    pair.advance(MS(10));
    pair.reply(-2, 0, Code::OK, b"");
    suspect_from(&pair, MS(0), sent);

    let mut pair = Pair::new(by_clock());
    pair.connect();
    pair.submit(&GET, None);
    pair.now = pair.now + MS(3_500);
    pair.reply(1, 1, Code::NO_NODE, b"");
    pair.session.handle_timeout(pair.now);
    assert_eq!(pair.session.state(), KeeperState::EXPIRED, "by the clock");
}

#[test]
fn what_servers_do_not_renew_sessions_for_confirms_nothing() {
    let mut pair = Pair::connected();
    let start = pair.now;
    pair.advance(MS(500));
    pair.session.add_auth(b"digest", b"u:p", None).unwrap();
    pair.reply(-4, 0, Code::OK, b"");
    suspect_from(&pair, MS(0), start);
    for (xid, code) in [(1, Code::SESSION_MOVED), (2, Code::SESSION_EXPIRED)] {
        pair.submit(&GET, None);
        pair.reply(xid, 1, code, b"");
        suspect_from(&pair, MS(0), start);
    }
    pair.submit(&GET, None);
    pair.reply(3, 1, Code::NO_AUTH, b"");
    suspect_from(&pair, MS(500), start);
}

#[test]
fn a_move_does_not_make_a_session_younger() {
    let mut pair = Pair::new(config("a"));
    pair.connect();
    let start = pair.now;
    pair.advance(MS(200));
    pair.submit(&GET, None);
    pair.advance(MS(700));
    pair.session.set_servers(pair.now, ConnectString::parse(b"b").unwrap()).unwrap();
    pair.reply(1, 1, Code::NO_NODE, b"");
    assert!(!pair.session.is_connected());
    suspect_from(&pair, MS(200), start);
    // The next server has the handshake and does not answer in time.
    pair.accept();
    pair.advance(MS(1_100));
    suspect_from(&pair, MS(200), start);
}

#[test]
fn a_read_only_server_confirms_nothing_and_its_timeout_is_another_ones() {
    let mut pair = Pair::new(Config { read_only: true, ..config("a") });
    pair.connect();
    let start = pair.now;
    pair.cut();
    pair.accept();
    let response = ConnectResponse {
        protocol_version: 0,
        timeout_ms: 9_000,
        session_id: 7,
        passwd: [0; 16],
        read_only: true,
    };
    let mut frame = Vec::new();
    response.encode(&mut frame);
    pair.feed(&frame);
    assert_eq!(pair.session.state(), KeeperState::CONNECTED_READ_ONLY);
    pair.advance(MS(100));
    pair.submit(&GET, None);
    pair.reply(1, 1, Code::NO_NODE, b"");
    suspect_from(&pair, MS(0), start);

    // What such a server makes up can't expire.
    let mut pair = Pair::new(Config { read_only: true, ..by_clock() });
    pair.accept();
    pair.feed(&frame);
    chatter(&mut pair, MS(30_000));
    assert_eq!(pair.session.state(), KeeperState::CONNECTED_READ_ONLY);
    assert!(!pair.session.is_suspect(pair.now));
}

#[test]
fn a_session_that_is_resumed_is_not_suspect_before_a_server_has_granted_it() {
    let mut pair = Pair::new(Config { resume: Some((7, [1; 16])), ..by_clock() });
    pair.advance(MS(60_000));
    assert!(!pair.session.is_suspect(pair.now));
    pair.connect();
    let start = pair.now;
    suspect_from(&pair, MS(0), start);
}

#[test]
fn a_close_that_takes_longer_than_the_session_lasts_is_still_a_close() {
    let mut pair = Pair::new(by_clock());
    pair.connect();
    pair.session.close(pair.now);
    pair.outputs();
    chatter(&mut pair, MS(4_000));
    assert!(pair.session.is_closing() && pair.session.over().is_none());
}

#[test]
fn suspicion_that_was_lifted_and_comes_back_is_told_again() {
    let mut pair = Pair::connected();
    pair.session.want_notes(Some(Level::Warn));
    let told = |pair: &mut Pair| {
        let notes = std::iter::from_fn(|| pair.session.poll_note());
        notes.filter(|(_, note)| note.to_string().ends_with("probably expired")).count()
    };
    for _ in 0..2 {
        chatter(&mut pair, MS(6_000));
        assert_eq!(told(&mut pair), 1);
        pair.reply(-2, 0, Code::OK, b"");
        assert!(pair.session.is_suspect(pair.now), "that was an old one");
        chatter(&mut pair, MS(1_000));
        assert_eq!(told(&mut pair), 0);
        (0..7).for_each(|_| pair.reply(-2, 0, Code::OK, b""));
        assert!(!pair.session.is_suspect(pair.now));
    }
}

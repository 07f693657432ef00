//! What a session says for a log: each thing at its level, and no secret at any.

use std::time::Duration;
use zk_proto::note::Level;
use zk_proto::op::{Create, CreateMode, MultiOp, Request};
use zk_proto::record::Acl;
use zk_proto::session::Session;
use zk_proto::{Code, EventType};
use zk_testkit::{config, event_frame, handshake, Pair};

const GET: Request<'_> = Request::GetData { path: b"/n", watch: true };
const SET: Request<'_> = Request::SetData { path: b"/n", data: Some(b"visible"), version: 3 };
const CREDENTIALS: &[u8] = b"alice:s3cret-password";

fn drain(session: &mut Session) -> Vec<String> {
    std::iter::from_fn(|| session.poll_note()).map(|(l, note)| format!("{}: {note}", l.name())).collect()
}

/// A pair that leaves notes up to `level`, not connected yet.
fn noted(level: Level) -> Pair {
    let mut pair = Pair::new(config("a"));
    pair.session.want_notes(Some(level));
    pair.session.note_opened();
    pair
}

#[test]
fn nobody_is_told_who_does_not_ask() {
    let mut pair = Pair::new(config("a"));
    pair.session.note_opened();
    pair.connect();
    pair.submit(&GET, Some(1));
    pair.feed(b"\xff\xff\xff\xff");
    assert_eq!(drain(&mut pair.session), [""; 0]);
}

#[test]
fn a_session_that_fares_well_has_a_life_and_no_errors() {
    let live = |level| {
        let mut pair = noted(level);
        pair.session.add_auth(b"digest", CREDENTIALS, None).unwrap();
        pair.connect();
        pair.reply(-4, 0, Code::OK, b"");
        pair.submit(&GET, Some(1));
        pair.reply(1, 5, Code::NO_NODE, b"");
        pair.session.close(pair.now);
        pair.reply(2, 6, Code::OK, b"");
        drain(&mut pair.session)
    };
    assert_eq!(live(Level::Error), [""; 0]);
    assert_eq!(live(Level::Warn), [""; 0]);
    assert_eq!(
        live(Level::Info),
        [
            "info: opened for a:2181, timeout 3000 ms",
            "info: session 0x7 granted by a:2181, timeout 3000 ms",
            "info: authentication of scheme 'digest' sent",
            "info: authentication of scheme 'digest' accepted",
            "info: closing the session",
            "info: session closed",
        ]
    );
    let handshake = "debug: handshake sent: session 0x0, last zxid 0x0, timeout 3000 ms";
    assert!(live(Level::Debug).iter().any(|line| line == handshake));
    assert!(!live(Level::Debug).iter().any(|line| line.starts_with("trace: ")));
    let all = live(Level::Trace);
    let more: Vec<&str> = all.iter().filter_map(|line| line.strip_prefix("trace: ")).collect();
    assert_eq!(
        more,
        [
            "request 1, 15 bytes: getData '/n', watch",
            "reply 1, 16 bytes, zxid 0x5, 0 us: getData '/n': no node (-101)",
            "request 2, 8 bytes: closeSession",
            "reply 2, 16 bytes, zxid 0x6, 0 us: closeSession: ok",
        ]
    );
}

#[test]
fn a_connection_that_falls_silent_and_the_session_that_survives_it() {
    let mut pair = noted(Level::Info);
    pair.connect();
    pair.submit(&GET, Some(1));
    let mut stat = vec![0, 0, 0, 0];
    stat.resize(4 + 68, 0);
    pair.reply(1, 5, Code::OK, &stat);
    drain(&mut pair.session);
    pair.submit(&SET, None);
    pair.sent();
    pair.advance(Duration::from_secs(2));
    assert_eq!(
        drain(&mut pair.session),
        [
            "warn: connection to a:2181 lost: no answer for 2000 ms",
            "warn: requests answered with connection loss (-4): 1",
        ]
    );
    pair.connect();
    assert_eq!(
        drain(&mut pair.session),
        ["info: session 0x7 resumed by a:2181, timeout 3000 ms", "info: watches set again: 1 data"]
    );
}

#[test]
fn servers_that_do_not_answer_an_attempt() {
    let mut pair = noted(Level::Warn);
    pair.advance(Duration::from_secs(1));
    assert_eq!(drain(&mut pair.session), ["warn: cannot connect to a:2181: no answer for 1000 ms"]);
    pair.accept();
    pair.advance(Duration::from_secs(1));
    let said = "warn: no session from a:2181: no answer for 1000 ms; connection dropped";
    assert_eq!(drain(&mut pair.session), [said]);
}

#[test]
fn the_moment_at_which_the_session_has_probably_expired_is_told_once() {
    let mut pair = noted(Level::Warn);
    pair.connect();
    pair.cut();
    pair.advance(Duration::from_secs(20));
    let lines = drain(&mut pair.session);
    let suspect = |line: &&String| line.ends_with("the session has probably expired");
    assert_eq!(lines.iter().filter(suspect).count(), 1, "{lines:?}");
    // Back, and away again: another story.
    pair.connect();
    pair.cut();
    pair.advance(Duration::from_secs(20));
    assert_eq!(drain(&mut pair.session).iter().filter(suspect).count(), 1);
}

#[test]
fn why_a_session_ended() {
    let mut pair = noted(Level::Error);
    pair.connect();
    pair.cut();
    pair.accept();
    pair.feed(&handshake(0, 0));
    assert_eq!(drain(&mut pair.session), ["error: session expired: a:2181 does not know it any more"]);

    let mut pair = noted(Level::Error);
    pair.connect();
    pair.cut();
    pair.accept();
    pair.feed(&handshake(3_000, 8));
    assert_eq!(drain(&mut pair.session), ["error: session expired: a:2181 gave another one in its place"]);

    let mut pair = Pair::new(zk_proto::session::Config { expire_by_clock: true, ..config("a") });
    pair.session.want_notes(Some(Level::Error));
    pair.connect();
    pair.cut();
    pair.advance(Duration::from_secs(4));
    let said = "error: session expired: cut off for 3000 ms, longer than its timeout";
    assert_eq!(drain(&mut pair.session), [said]);

    let mut pair = noted(Level::Error);
    pair.connect();
    pair.session.add_auth(b"digest", CREDENTIALS, None).unwrap();
    pair.reply(-4, 0, Code::AUTH_FAILED, b"");
    let said = "error: authentication of scheme 'digest' was refused by a:2181: authentication failed (-115)";
    assert_eq!(drain(&mut pair.session), [said]);
}

#[test]
fn what_was_wrong_with_what_a_server_sent() {
    let says = |bytes: &[u8]| {
        let mut pair = noted(Level::Error);
        pair.connect();
        pair.feed(bytes);
        drain(&mut pair.session).join("\n")
    };
    let rubbish = |what: &str| format!("error: rubbish from a:2181: {what}; connection dropped");
    assert_eq!(says(b"\xff\xff\xff\xfe"), rubbish("frame of negative length -2"));
    assert_eq!(says(b"\0\0\0\x01x"), rubbish("reply header xid: 4 bytes needed, 1 left"));
    let stray = zk_testkit::reply_frame(77, 0, Code::OK, b"");
    assert_eq!(says(&stray), rubbish("reply with xid 77, which is not the oldest request's"));

    let mut pair = noted(Level::Error);
    pair.accept();
    pair.feed(&handshake(3_000, 0));
    assert_eq!(drain(&mut pair.session), ["error: a:2181 grants no session; connection dropped"]);
}

#[test]
fn a_close_that_nobody_confirms() {
    let mut pair = noted(Level::Warn);
    pair.connect();
    pair.session.close(pair.now);
    pair.cut();
    assert_eq!(drain(&mut pair.session), ["warn: session closed, but a:2181 has not confirmed it"]);

    let mut pair = noted(Level::Info);
    pair.connect();
    pair.cut();
    drain(&mut pair.session);
    pair.session.close(pair.now);
    let said = "info: session closed without a connection: on the servers it lives until it expires";
    assert_eq!(drain(&mut pair.session), [said]);
}

#[test]
fn pings_events_and_requests_with_their_data() {
    let mut pair = noted(Level::Trace);
    pair.connect();
    drain(&mut pair.session);
    pair.advance(Duration::from_secs(1));
    pair.now = pair.now + Duration::from_micros(250);
    pair.reply(-2, 0, Code::OK, b"");
    pair.feed(&event_frame(EventType::CHANGED, b"/a\nb"));
    pair.submit(&SET, None);
    let acl = [Acl { perms: 31, scheme: b"digest".to_vec(), id: b"bob:HASH".to_vec() }];
    let create = Create { path: b"/c", data: None, acl: &acl, mode: CreateMode::Ephemeral, with_stat: false };
    pair.submit(
        &Request::Multi(&[MultiOp::Create(create), MultiOp::Delete { path: b"/d", version: 2 }]),
        None,
    );
    assert_eq!(
        drain(&mut pair.session),
        [
            "trace: ping sent",
            "trace: ping answered, 250 us",
            r"trace: event changed (3) '/a\nb', state connected (3), watchers: 0",
            "trace: request 1, 29 bytes: setData '/n', data 'visible' (7 bytes), version 3",
            "trace: request 2, 89 bytes: multi, 2: create '/c', data null, acl [digest 0x1f], Ephemeral; \
             delete '/d', version 2",
        ]
    );
}

#[test]
fn a_level_that_rises_while_a_request_is_under_way() {
    let mut pair = noted(Level::Error);
    pair.connect();
    pair.submit(&GET, None);
    pair.session.want_notes(Some(Level::Trace));
    pair.reply(1, 9, Code::NO_NODE, b"");
    assert_eq!(drain(&mut pair.session), ["trace: reply 1, 16 bytes, zxid 0x9: no node (-101)"]);
}

#[test]
fn neither_credentials_nor_the_password_of_the_session_are_in_any_note() {
    let mut pair = noted(Level::Trace);
    let passwd = *b"\x01pass'word\\\n\xff\0xy";
    let response = zk_proto::record::ConnectResponse {
        protocol_version: 0,
        timeout_ms: 3_000,
        session_id: 7,
        passwd,
        read_only: false,
    };
    let mut granted = Vec::new();
    response.encode(&mut granted);
    pair.session.add_auth(b"digest", CREDENTIALS, Some(1)).unwrap();
    for _ in 0..2 {
        pair.accept();
        pair.feed(&granted);
        pair.reply(-4, 0, Code::OK, b"");
        pair.submit(&SET, None);
        pair.cut();
    }
    pair.session.close(pair.now);
    let said = drain(&mut pair.session).join("\n");
    assert!(said.contains("visible"), "{said}");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for secret in ["s3cret", "alice", "pass", "word", &hex(CREDENTIALS), &hex(&passwd), &hex(b"pass")] {
        assert!(!said.contains(secret), "{secret} in {said}");
    }
}

#[test]
fn a_read_only_server_that_starts_no_sessions_is_not_said_to_talk_rubbish() {
    let mut pair = noted(Level::Error);
    pair.accept();
    pair.reply(0, 5, Code::NOT_READ_ONLY, b"");
    assert_eq!(drain(&mut pair.session), ["error: a:2181 grants no session; connection dropped"]);
    pair.connect();
    assert!(pair.session.is_connected());
}

#[test]
fn moves_and_what_leads_to_them() {
    let mut pair = Pair::new(zk_proto::session::Config { read_only: true, ..config("a,b") });
    pair.session.want_notes(Some(Level::Debug));
    pair.accept();
    let mut read_only = handshake(3_000, 7);
    *read_only.last_mut().unwrap() = 1;
    pair.feed(&read_only);
    let here = pair.session.server().unwrap().clone();
    let there = if here.host == "a" { "b:2181" } else { "a:2181" };
    drain(&mut pair.session);
    pair.advance(Duration::from_millis(100));
    assert_eq!(drain(&mut pair.session), [format!("debug: asking {there} whether it can write")]);
    pair.session.handle_probe(pair.now, true);
    assert_eq!(
        drain(&mut pair.session),
        [format!("info: {there} can write"), format!("info: moving from {here} to {there}")]
    );
    pair.connect();
    drain(&mut pair.session);
    let set = |pair: &mut Pair, hosts: &str| {
        let servers = zk_proto::connect_string::ConnectString::parse(hosts.as_bytes()).unwrap();
        pair.session.set_servers(pair.now, servers).unwrap();
        drain(&mut pair.session)
    };
    assert_eq!(set(&mut pair, "b,a"), ["info: new list of servers: b:2181,a:2181; the session stays"]);
    assert_eq!(
        set(&mut pair, "c"),
        [
            "info: new list of servers: c:2181; the session moves",
            &format!("info: moving from {there} to c:2181")
        ]
    );
    pair.session.leave();
    assert_eq!(drain(&mut pair.session), ["info: session left, to be resumed"]);
}

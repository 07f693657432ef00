//! The login by SASL: on every connection, before anything else; and how it fails.

use bytes::Bytes;
use std::time::Duration;
use zk_proto::op::Request;
use zk_proto::record::decode_token;
use zk_proto::sasl::Login;
use zk_proto::session::{Action, Config, Failure, Output};
use zk_proto::{opcode, Code, KeeperState};
use zk_testkit::{config, handshake, sasl, Pair};

const GET: Request<'_> = Request::GetData { path: b"/n", watch: false };
const WATCH: Request<'_> = Request::GetData { path: b"/n", watch: true };
const SET: Request<'_> = Request::SetData { path: b"/n", data: None, version: -1 };
const MS: fn(u64) -> Duration = Duration::from_millis;
const NONCE: &str = "an/on+ce";

fn with_login(hosts: &str) -> Config {
    let login = Login { username: "bob".to_owned(), password: "sesame".to_owned(), entropy: [3; 32] };
    Config { sasl: Some(login), ..config(hosts) }
}

fn token(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as i32).to_be_bytes()[..], bytes].concat()
}

const NULL: &[u8] = &[0xff; 4];

/// The xid of the only thing that was sent, a step of the login, and its token.
#[track_caller]
fn step(pair: &mut Pair) -> (i32, Bytes) {
    let sent = pair.sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(sent[0].opcode, opcode::SASL);
    (sent[0].xid, decode_token(sent[0].body.clone()).unwrap().expect("a token that is not null"))
}

/// As the server: the challenge. Returns the xid and the token of the response.
#[track_caller]
fn challenge(pair: &mut Pair) -> (i32, Bytes) {
    let (xid, first) = step(pair);
    assert_eq!(*first, *b"");
    pair.reply(xid, 0, Code::OK, &token(&sasl::challenge(NONCE)));
    step(pair)
}

/// The proof that a server with bob's password has for this response.
fn proof(response: &[u8]) -> Option<Vec<u8>> {
    sasl::verify(NONCE, response, |user| (user == "bob").then(|| b"sesame".to_vec()))
}

#[track_caller]
fn log_in(pair: &mut Pair) {
    let (xid, response) = challenge(pair);
    let proof = proof(&response).expect("the right response");
    pair.reply(xid, 0, Code::OK, &token(&proof));
    assert_eq!(pair.session.state(), KeeperState::CONNECTED);
}

fn order(pair: &mut Pair) -> Vec<i32> {
    pair.sent().iter().map(|frame| frame.opcode).collect()
}

/// With a login that has got as far as the response; xid of that.
fn responded() -> (Pair, i32) {
    let mut pair = Pair::new(with_login("a"));
    pair.connect();
    let (xid, _) = challenge(&mut pair);
    (pair, xid)
}

/// The session is over, all have their answers, and that is all that happens.
#[track_caller]
fn refused(pair: &mut Pair, waiting: &[u64], why: &str) {
    let outputs = pair.outputs();
    let (last, answers) = outputs.split_last().expect("outputs");
    assert_eq!(last, &Output::State(KeeperState::AUTH_FAILED), "one session event, at the end");
    assert_eq!(answers.len(), waiting.len(), "{answers:?}");
    let failure = Failure { code: Code::AUTH_FAILED, maybe_applied: false, detail: Some(why.to_owned()) };
    for (answer, token) in answers.iter().zip(waiting) {
        assert_eq!(answer, &Output::Completed { token: *token, result: Err(failure.clone()) });
    }
    assert_eq!(pair.session.state(), KeeperState::AUTH_FAILED);
    assert_eq!(pair.actions().last().map(|(_, action)| action), Some(&Action::Disconnect));
    assert_eq!(pair.session.poll_timeout(), None, "it is not tried again");
    assert!(pair.sent().is_empty());
    assert_eq!(pair.session.submit(pair.now, &GET, 99, None, None), Err(failure));
}

#[test]
fn nothing_overtakes_the_login_and_then_comes_auth_and_then_requests() {
    let mut pair = Pair::new(with_login("a"));
    pair.submit(&GET, None);
    pair.session.add_auth(b"digest", b"a:1", None).unwrap();
    pair.submit(&SET, None);
    pair.connect();
    assert_eq!(pair.session.state(), KeeperState::ASSOCIATING);
    assert!(!pair.session.is_connected());
    let (xid, first) = step(&mut pair);
    assert_eq!((xid, &first[..]), (1, &b""[..]), "an ordinary xid");
    pair.session.add_auth(b"digest", b"b:2", None).unwrap();
    pair.submit(&GET, None);
    assert!(pair.sent().is_empty());
    pair.reply(xid, 0, Code::OK, &token(&sasl::challenge(NONCE)));
    let (xid, response) = step(&mut pair);
    pair.submit(&SET, None);
    assert!(pair.sent().is_empty());
    assert!(pair.outputs().is_empty(), "nobody hears of a connection before the end of the login");
    pair.reply(xid, 0, Code::OK, &token(&proof(&response).unwrap()));
    assert_eq!(pair.outputs(), [Output::State(KeeperState::CONNECTED)]);
    let sent = pair.sent();
    let order: Vec<_> = sent.iter().map(|frame| frame.opcode).collect();
    let [get, set] = [opcode::GET_DATA, opcode::SET_DATA];
    assert_eq!(order, [opcode::AUTH, opcode::AUTH, get, set, get, set]);
    assert!(sent[0].body.ends_with(b"a:1") && sent[1].body.ends_with(b"b:2"));
    let xids: Vec<_> = sent[2..].iter().map(|frame| frame.xid).collect();
    assert_eq!(xids, [3, 4, 5, 6]);
}

#[test]
fn every_connection_begins_with_it_and_watches_follow_behind_auth() {
    let mut pair = Pair::new(with_login("a,b"));
    pair.session.add_auth(b"digest", b"a:1", None).unwrap();
    pair.connect();
    log_in(&mut pair);
    pair.reply(-4, 0, Code::OK, b"");
    pair.submit(&WATCH, Some(1));
    let xid = pair.sent().last().unwrap().xid;
    pair.reply(xid, 0x10, Code::OK, &[NULL, &[0; 68]].concat());
    for _ in 0..3 {
        pair.cut();
        assert_eq!(pair.outputs().last(), Some(&Output::State(KeeperState::CONNECTING)));
        let waits = pair.submit(&SET, None);
        pair.connect();
        assert!(pair.outputs().is_empty());
        log_in(&mut pair);
        assert_eq!(order(&mut pair), [opcode::AUTH, opcode::SET_WATCHES, opcode::SET_DATA]);
        pair.cut();
        let lost = Failure { maybe_applied: true, ..Failure::new(Code::CONNECTION_LOSS) };
        let outputs = pair.outputs();
        assert_eq!(outputs[0], Output::State(KeeperState::CONNECTED));
        assert_eq!(outputs[1], Output::Completed { token: waits, result: Err(lost) });
        pair.connect();
        log_in(&mut pair);
        assert_eq!(order(&mut pair), [opcode::AUTH, opcode::SET_WATCHES]);
        pair.outputs();
    }
}

#[test]
fn each_login_has_its_own_nonce() {
    let mut pair = Pair::new(with_login("a"));
    let mut responses = Vec::new();
    for _ in 0..3 {
        pair.connect();
        responses.push(challenge(&mut pair).1);
        pair.cut();
    }
    assert!(responses[0] != responses[1] && responses[1] != responses[2] && responses[0] != responses[2]);
    assert!(responses.iter().all(|response| proof(response).is_some()));
}

#[test]
fn a_refusal_ends_the_session() {
    for code in [Code::AUTH_FAILED, Code::SESSION_CLOSED_REQUIRE_SASL_AUTH, Code(-999)] {
        for body in [NULL, b"", b"\0\0"] {
            let (mut pair, xid) = responded();
            let waiting = [pair.submit(&SET, None), pair.submit(&GET, None)];
            pair.reply(xid, 0, code, body);
            refused(&mut pair, &waiting, &format!("the server refused the SASL login ({})", code.0));
        }
    }
    // At the first step, too.
    let mut pair = Pair::new(with_login("a"));
    pair.connect();
    let (xid, _) = step(&mut pair);
    pair.reply(xid, 0, Code::AUTH_FAILED, NULL);
    refused(&mut pair, &[], "the server refused the SASL login (-115)");
}

#[test]
fn a_refusal_on_a_later_connection_ends_it_as_well() {
    let mut pair = Pair::new(with_login("a"));
    pair.connect();
    log_in(&mut pair);
    pair.cut();
    pair.outputs();
    pair.session.authenticate(pair.now, b"digest", b"a:1", None, 50, None).unwrap();
    pair.connect();
    let (xid, _) = challenge(&mut pair);
    pair.reply(xid, 0, Code::AUTH_FAILED, NULL);
    refused(&mut pair, &[50], "the server refused the SASL login (-115)");
}

#[test]
fn a_server_that_cannot_prove_that_it_knows_the_password_gets_nothing() {
    let wrong = token(b"rspauth=00000000000000000000000000000000");
    for body in [NULL, &token(b""), &wrong, &token(b"\xff\xfe")] {
        let (mut pair, xid) = responded();
        let waiting = pair.submit(&SET, None);
        pair.reply(xid, 0, Code::OK, body);
        refused(&mut pair, &[waiting], "the server did not prove that it knows the password");
    }
}

#[test]
fn the_proof_of_another_exchange_is_none() {
    let (mut pair, _) = responded();
    pair.cut();
    pair.connect();
    let (_, response) = challenge(&mut pair);
    let recorded = token(&proof(&response).unwrap());
    pair.cut();
    pair.connect();
    let (xid, _) = challenge(&mut pair);
    pair.reply(xid, 0, Code::OK, &recorded);
    refused(&mut pair, &[], "the server did not prove that it knows the password");
}

#[test]
fn a_server_without_sasl_is_told_from_one_that_refuses() {
    // 3.8.0 and 3.9.3 answer with a null token: see the golden frames `sasl_not_configured`.
    for body in [NULL, &token(b"")] {
        let mut pair = Pair::new(with_login("a"));
        let waiting = pair.submit(&GET, None);
        pair.connect();
        let (xid, _) = step(&mut pair);
        pair.reply(xid, 0, Code::OK, body);
        refused(&mut pair, &[waiting], "the server has no SASL configuration");
    }
}

#[test]
fn a_challenge_that_makes_no_sense_ends_the_session() {
    for (challenge, why) in [
        (&b"nonce=\"x\""[..], "the server's SASL challenge makes no sense: it has no algorithm"),
        (&[b'x'; 5_000], "the server's SASL challenge makes no sense: it is too long"),
        (
            b"algorithm=md5-sess,nonce=n,qop=\"auth-conf\"",
            "the server's SASL challenge demands something else than qop=auth",
        ),
    ] {
        let mut pair = Pair::new(with_login("a"));
        pair.connect();
        let (xid, _) = step(&mut pair);
        pair.reply(xid, 0, Code::OK, &token(challenge));
        refused(&mut pair, &[], why);
    }
}

#[test]
fn a_reply_that_is_none_drops_the_connection_and_the_next_one_begins_anew() {
    let truncated = [0, 0, 0, 9, b'x'];
    for body in [&truncated[..], b"", &[0x80, 0, 0, 0]] {
        let mut pair = Pair::new(with_login("a"));
        pair.submit(&GET, None);
        pair.connect();
        let (xid, _) = step(&mut pair);
        pair.reply(xid, 0, Code::OK, body);
        assert_eq!(pair.session.state(), KeeperState::CONNECTING);
        assert!(pair.outputs().is_empty(), "nobody has heard of a connection");
        pair.connect();
        log_in(&mut pair);
        assert_eq!(order(&mut pair), [opcode::GET_DATA]);
    }
    // An answer that nobody asked for.
    let (mut pair, xid) = responded();
    pair.reply(xid + 1, 0, Code::OK, b"");
    assert_eq!(pair.session.state(), KeeperState::CONNECTING);
}

#[test]
fn no_ping_is_sent_before_its_end_and_a_server_that_stalls_is_given_up() {
    for steps in [0, 1] {
        let mut pair = Pair::new(with_login("a,b,c"));
        pair.submit(&GET, None);
        pair.connect();
        let (xid, _) = step(&mut pair);
        if steps == 1 {
            pair.advance(MS(600));
            pair.reply(xid, 0, Code::OK, &token(&sasl::challenge(NONCE)));
            step(&mut pair);
        }
        pair.actions();
        pair.advance(MS(999 - 600 * steps));
        assert!(pair.sent().is_empty() && pair.actions().is_empty());
        pair.advance(MS(1));
        assert_eq!(pair.actions().remove(0).1, Action::Disconnect, "a third of the timeout for all of it");
        assert!(pair.outputs().is_empty());
        pair.connect();
        log_in(&mut pair);
        assert_eq!(order(&mut pair), [opcode::GET_DATA]);
        assert_eq!(pair.outputs(), [Output::State(KeeperState::CONNECTED)]);
        // From now on there are pings.
        pair.advance(MS(1_000));
        assert_eq!(order(&mut pair), [opcode::PING]);
    }
}

#[test]
fn a_login_takes_no_longer_than_a_third_of_what_was_granted() {
    let mut pair = Pair::new(with_login("a"));
    pair.accept();
    pair.feed(&handshake(600, 7));
    step(&mut pair);
    pair.actions();
    pair.advance(MS(199));
    assert!(pair.actions().is_empty());
    pair.advance(MS(1));
    assert_eq!(pair.actions().remove(0).1, Action::Disconnect);
}

#[test]
fn what_waits_for_a_login_that_never_ends_is_given_up_in_time() {
    let mut pair = Pair::new(with_login("a,b"));
    let waiting = pair.submit(&GET, None);
    let end = pair.now + MS(3_000);
    let outputs = loop {
        pair.connect();
        pair.advance(MS(100));
        pair.cut();
        let outputs = pair.outputs();
        assert_eq!(outputs.is_empty(), pair.now < end);
        if !outputs.is_empty() {
            break outputs;
        }
    };
    let lost = Err(Failure::new(Code::CONNECTION_LOSS));
    assert_eq!(outputs, [Output::Completed { token: waiting, result: lost }]);
}

#[test]
fn a_session_whose_login_gets_stuck_is_suspect_from_then_on() {
    let mut pair = Pair::new(with_login("a"));
    pair.connect();
    log_in(&mut pair);
    pair.cut();
    pair.advance(MS(2_000));
    pair.connect();
    // The server has renewed it, and that is when its time starts anew.
    pair.cut();
    pair.advance(MS(2_900));
    assert!(!pair.session.is_suspect(pair.now));
    pair.advance(MS(101));
    assert!(pair.session.is_suspect(pair.now));
}

#[test]
fn a_close_amid_the_login_tells_the_server_and_its_answers_harm_nobody() {
    let (mut pair, xid) = responded();
    let waiting = pair.submit(&GET, None);
    pair.session.close(pair.now);
    assert_eq!(order(&mut pair), [opcode::CLOSE_SESSION]);
    let closing = Err(Failure::new(Code::CLOSING));
    assert_eq!(pair.outputs(), [Output::Completed { token: waiting, result: closing }]);
    pair.reply(xid, 0, Code::AUTH_FAILED, NULL);
    assert!(pair.outputs().is_empty());
    pair.reply(xid + 1, 1, Code::OK, b"");
    assert_eq!(pair.outputs(), [Output::Closed]);
    assert!(pair.sent().is_empty());
    // A server that does not answer is not waited for longer than for the login.
    let (mut pair, _) = responded();
    pair.session.close(pair.now);
    pair.advance(MS(1_000));
    assert_eq!(pair.outputs(), [Output::Closed]);
}

#[test]
fn an_expired_session_is_told_so_before_any_login() {
    let mut pair = Pair::new(with_login("a"));
    pair.connect();
    log_in(&mut pair);
    pair.cut();
    pair.outputs();
    pair.accept();
    pair.feed(&handshake(0, 0));
    assert_eq!(pair.outputs(), [Output::State(KeeperState::EXPIRED)]);
    assert!(pair.sent().is_empty());
}

#[test]
fn a_response_beyond_jute_maxbuffer_is_not_sent() {
    // Header and length count.
    let length = responded_with(0xf_ffff).expect("a response") + 12;
    assert_eq!(responded_with(length), Ok(length - 12));
    let why = format!("the SASL response of {} bytes is too long", length - 12);
    assert_eq!(responded_with(length - 1), Err(why));
}

fn responded_with(jute_maxbuffer: usize) -> Result<usize, String> {
    let mut pair = Pair::new(Config { jute_maxbuffer, ..with_login("a") });
    pair.connect();
    let (xid, _) = step(&mut pair);
    pair.reply(xid, 0, Code::OK, &token(&sasl::challenge(NONCE)));
    match pair.sent().pop() {
        Some(frame) => Ok(frame.body.len() - 4),
        None => Err(pair.session.submit(pair.now, &GET, 9, None, None).unwrap_err().detail.unwrap()),
    }
}

#[test]
fn what_comes_in_pieces_is_put_together() {
    let mut pair = Pair::new(with_login("a"));
    pair.connect();
    let (xid, _) = step(&mut pair);
    for byte in zk_testkit::reply_frame(xid, 0, Code::OK, &token(&sasl::challenge(NONCE))) {
        pair.feed(&[byte]);
    }
    let (xid, response) = step(&mut pair);
    for byte in zk_testkit::reply_frame(xid, 0, Code::OK, &token(&proof(&response).unwrap())) {
        pair.feed(&[byte]);
    }
    assert_eq!(pair.outputs(), [Output::State(KeeperState::CONNECTED)]);
}

#[test]
fn neither_password_nor_tokens_are_in_debug_output_or_notes() {
    let mut pair = Pair::new(with_login("a"));
    pair.session.want_notes(Some(zk_proto::note::Level::Debug));
    pair.connect();
    let (xid, response) = challenge(&mut pair);
    let proof = proof(&response).unwrap();
    let mut shown = format!("{:?} {:?}", pair.session, with_login("a"));
    pair.reply(xid, 0, Code::OK, &token(&proof));
    shown += &format!("{:?}", pair.session);
    pair.cut();
    pair.connect();
    let (xid, second) = challenge(&mut pair);
    pair.reply(xid, 0, Code::OK, &token(b"rspauth=00"));
    shown += &format!("{:?}", pair.session);
    while let Some((_, note)) = pair.session.poll_note() {
        shown += &format!("{note}\n{note:?}\n");
    }
    assert!(shown.contains("SASL login begun") && shown.contains("SASL login accepted"), "{shown}");
    assert!(shown.contains("no login at a:2181: the server did not prove"), "{shown}");
    let secrets = [b"sesame".to_vec(), proof[8..].to_vec()];
    let values = [response, second].map(|r| {
        let at = r.windows(9).position(|w| w == b"response=").unwrap() + 9;
        r[at..at + 32].to_vec()
    });
    for secret in secrets.iter().chain(&values) {
        let text = String::from_utf8(secret.clone()).unwrap();
        assert!(!shown.contains(&text) && !shown.contains(&format!("{secret:?}")), "{text}");
    }
}

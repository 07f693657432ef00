//! Moves that are planned: nothing is lost by them.

use std::time::Duration;
use zk_proto::connect_string::ConnectString;
use zk_proto::op::Request;
use zk_proto::session::{Action, Output};
use zk_proto::{opcode, Code, KeeperState};
use zk_testkit::{config, Pair};

const GET: Request<'_> = Request::GetData { path: b"/n", watch: false };
const SET: Request<'_> = Request::SetData { path: b"/n", data: None, version: -1 };
const MS: fn(u64) -> Duration = Duration::from_millis;

fn set_servers(pair: &mut Pair, hosts: &str) -> Result<(), zk_proto::session::Failure> {
    let servers = ConnectString::parse(hosts.as_bytes()).unwrap();
    pair.session.set_servers(pair.now, servers)
}

/// Connected to server a.
fn at_a() -> Pair {
    let mut pair = Pair::new(config("a"));
    pair.connect();
    pair.outputs();
    pair.sent();
    pair
}

#[test]
fn a_session_whose_server_stays_in_the_list_is_not_disturbed() {
    let mut pair = at_a();
    pair.submit(&SET, None);
    set_servers(&mut pair, "a").unwrap();
    assert_eq!(pair.actions(), []);
    assert_eq!(pair.outputs(), []);
    pair.reply(1, 1, Code::OK, &[0; 68]);
    assert!(matches!(pair.outputs()[..], [Output::Completed { result: Ok(_), .. }]));
    assert_eq!(pair.session.server().unwrap().host, "a");
}

#[test]
fn what_is_under_way_is_answered_before_a_move_and_what_is_asked_then_comes_along() {
    let mut pair = at_a();
    let first = pair.submit(&SET, None);
    set_servers(&mut pair, "b").unwrap();
    let second = pair.submit(&SET, None);
    assert_eq!(pair.sent().len(), 1, "the second one waits");
    assert_eq!(pair.actions(), [], "the first one is under way");
    pair.reply(1, 1, Code::OK, &[0; 68]);
    let outputs = pair.outputs();
    assert!(matches!(outputs[0], Output::Completed { token, result: Ok(_) } if token == first));
    assert_eq!(outputs[1..], [Output::State(KeeperState::CONNECTING)]);
    assert_eq!(pair.actions()[0].1, Action::Disconnect);
    let start = pair.now;
    let (_, id, ..) = pair.accept();
    assert_eq!((id, pair.now), (7, start), "the same session, at once");
    pair.feed(&zk_testkit::handshake(3_000, 7));
    assert_eq!(pair.session.server().unwrap().host, "b");
    assert_eq!(pair.sent()[0].opcode, opcode::SET_DATA);
    pair.reply(2, 2, Code::OK, &[0; 68]);
    let outputs = pair.outputs();
    assert!(matches!(outputs[1], Output::Completed { token, result: Ok(_) } if token == second));
}

#[test]
fn a_server_that_does_not_answer_holds_a_move_up_for_a_third_of_the_timeout() {
    let mut pair = at_a();
    let first = pair.submit(&SET, None);
    pair.sent();
    set_servers(&mut pair, "b").unwrap();
    let second = pair.submit(&SET, None);
    pair.advance(MS(999));
    assert_eq!(pair.actions(), []);
    pair.advance(MS(1));
    let lost: Vec<(u64, Code, bool)> = pair
        .outputs()
        .into_iter()
        .filter_map(|output| match output {
            Output::Completed { token, result: Err(f) } => Some((token, f.code, f.maybe_applied)),
            _ => None,
        })
        .collect();
    let loss = Code::CONNECTION_LOSS;
    assert_eq!(lost, [(first, loss, true), (second, loss, false)], "in order, and not one without the other");
    pair.connect();
    assert_eq!(pair.session.server().unwrap().host, "b");
}

#[test]
fn a_reply_that_nobody_waits_for_any_more_is_waited_for_too() {
    let mut pair = at_a();
    let token = pair.submit(&SET, None);
    pair.session.abandon(token);
    set_servers(&mut pair, "b").unwrap();
    assert_eq!(pair.actions(), [], "the write may still be on its way");
    pair.reply(1, 1, Code::OK, &[0; 68]);
    assert_eq!(pair.actions()[0].1, Action::Disconnect);
}

#[test]
fn what_waited_for_room_waits_for_the_next_connection() {
    let mut pair = Pair::new(zk_proto::session::Config { max_in_flight: 1, ..config("a") });
    pair.connect();
    pair.submit(&GET, None);
    let waits = pair.submit(&GET, None);
    set_servers(&mut pair, "b").unwrap();
    pair.reply(1, 1, Code::NO_NODE, b"");
    pair.outputs();
    // But not for longer than any other request does.
    pair.advance(MS(2_999));
    assert!(!pair.outputs().iter().any(|o| matches!(o, Output::Completed { .. })));
    pair.advance(MS(1));
    let outputs = pair.outputs();
    assert!(outputs.iter().any(|o| matches!(o, Output::Completed { token, result: Err(f) }
        if *token == waits && f.code == Code::CONNECTION_LOSS && !f.maybe_applied)));
}

#[test]
fn close_does_not_wait_for_a_move() {
    let mut pair = at_a();
    pair.submit(&GET, None);
    set_servers(&mut pair, "b").unwrap();
    pair.session.close(pair.now);
    assert_eq!(pair.sent().last().unwrap().opcode, opcode::CLOSE_SESSION);
    pair.reply(1, 1, Code::NO_NODE, b"");
    pair.advance(MS(1_500));
    assert_eq!(pair.actions(), [], "no move");
    pair.reply(2, 2, Code::OK, b"");
    assert_eq!(pair.outputs().last(), Some(&Output::Closed));
    assert_eq!(set_servers(&mut pair, "b").unwrap_err().code, Code::INVALID_STATE);
}

#[test]
fn a_list_with_another_chroot_is_refused_and_nothing_changes() {
    let mut pair = Pair::new(config("a/app"));
    pair.connect();
    for hosts in ["b", "b/other", "b/app/x"] {
        let failure = set_servers(&mut pair, hosts).unwrap_err();
        assert_eq!(failure.code, Code::BAD_ARGUMENTS, "{hosts}");
        assert!(failure.detail.unwrap().contains("chroot"));
    }
    assert_eq!(pair.session.server().unwrap().host, "a");
    set_servers(&mut pair, "b/app").unwrap();
    assert_eq!(pair.actions()[0].1, Action::Disconnect);
}

#[test]
fn an_attempt_at_a_server_that_is_not_listed_any_more_is_given_up_at_once() {
    let mut pair = Pair::new(config("a"));
    pair.session.handle_timeout(pair.now);
    assert!(matches!(pair.actions()[..], [(_, Action::Connect(_))]));
    set_servers(&mut pair, "b").unwrap();
    assert_eq!(pair.actions()[0].1, Action::Disconnect);
    let start = pair.now;
    pair.connect();
    assert_eq!(pair.now, start);
    assert_eq!(pair.session.server().unwrap().host, "b");
    // Nobody is told of a loss that was none.
    assert_eq!(pair.outputs(), [Output::State(KeeperState::CONNECTED)]);
}

#[test]
fn a_session_left_to_others_tells_the_server_nothing() {
    let mut pair = at_a();
    let token = pair.submit(&SET, None);
    let sent = pair.sent();
    assert_eq!(sent.len(), 1);
    pair.session.leave();
    assert_eq!(pair.sent(), [], "no closeSession");
    assert_eq!(pair.actions()[0].1, Action::Disconnect);
    let outputs = pair.outputs();
    assert!(matches!(&outputs[..], [Output::Completed { token: t, result: Err(f) }, Output::Closed]
        if *t == token && f.code == Code::CLOSING && f.maybe_applied));
    assert_eq!(pair.session.credentials().unwrap().0, 7, "for whoever resumes it");
    pair.session.leave();
    pair.session.close(pair.now);
    assert_eq!(pair.outputs(), [], "once");
}

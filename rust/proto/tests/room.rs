//! max_in_flight: requests that are refused while too many are unanswered, and requests that wait for room.

use std::time::Duration;
use zk_proto::op::Request;
use zk_proto::session::{Config, Failure, Output};
use zk_proto::{Code, KeeperState};
use zk_testkit::{config, Pair};

const GET: Request<'_> = Request::GetData { path: b"/n", watch: false };
const DELETE: Request<'_> = Request::Delete { path: b"/n", version: -1 };
const MS: fn(u64) -> Duration = Duration::from_millis;

fn narrow(max_in_flight: usize) -> Pair {
    Pair::new(Config { max_in_flight, ..config("a,b,c") })
}

fn narrow_and_connected(max_in_flight: usize) -> Pair {
    let mut pair = narrow(max_in_flight);
    pair.connect();
    pair.outputs();
    pair
}

/// Asks with a number that is no other token of the test.
fn try_submit(pair: &mut Pair, token: u64) -> Result<(), Failure> {
    pair.session.try_submit(pair.now, &GET, token, None, None)
}

fn submit_within(pair: &mut Pair, token: u64, ms: u64) {
    pair.session.submit(pair.now, &GET, token, None, Some(MS(ms))).unwrap();
}

/// The xids of what was sent since the last look.
fn sent(pair: &mut Pair) -> Vec<i32> {
    pair.sent().iter().map(|frame| frame.xid).collect()
}

/// Which requests were answered since the last look, with what, and whether they may have been carried out.
fn answers(pair: &mut Pair) -> Vec<(u64, Code, bool)> {
    let outputs = pair.outputs().into_iter();
    outputs
        .filter_map(|output| match output {
            Output::Completed { token, result: Err(f) } => Some((token, f.code, f.maybe_applied)),
            Output::Completed { token, result: Ok(_) } => Some((token, Code::OK, false)),
            _ => None,
        })
        .collect()
}

#[test]
fn who_can_not_wait_is_refused_while_too_many_are_unanswered() {
    let mut pair = narrow_and_connected(2);
    try_submit(&mut pair, 101).unwrap();
    try_submit(&mut pair, 102).unwrap();
    let refused = try_submit(&mut pair, 103).unwrap_err();
    assert_eq!((refused.code, refused.maybe_applied), (Code::THROTTLED_OP, false));
    assert!(refused.detail.unwrap().contains("max_in_flight"));
    assert_eq!(sent(&mut pair), [1, 2]);
    pair.reply(1, 1, Code::NO_NODE, b"");
    try_submit(&mut pair, 104).unwrap();
    assert_eq!(sent(&mut pair), [3], "the refused one has cost no number");
    assert_eq!(answers(&mut pair), [(101, Code::NO_NODE, false)], "and gets no answer beside the refusal");
}

#[test]
fn who_can_not_wait_is_refused_without_a_connection_too() {
    let mut pair = narrow(2);
    try_submit(&mut pair, 101).unwrap();
    try_submit(&mut pair, 102).unwrap();
    assert_eq!(try_submit(&mut pair, 103).unwrap_err().code, Code::THROTTLED_OP);
    pair.connect();
    assert_eq!(sent(&mut pair), [1, 2]);
}

#[test]
fn who_can_not_wait_does_not_overtake_who_waits_for_room() {
    let mut pair = narrow_and_connected(1);
    submit_within(&mut pair, 101, 2_500);
    submit_within(&mut pair, 102, 2_500);
    assert_eq!(try_submit(&mut pair, 103).unwrap_err().code, Code::THROTTLED_OP);
    pair.reply(1, 1, Code::NO_NODE, b"");
    assert_eq!(try_submit(&mut pair, 104).unwrap_err().code, Code::THROTTLED_OP, "102 has the room");
    assert_eq!(sent(&mut pair), [1, 2]);
}

#[test]
fn an_ended_session_refuses_with_the_reason_of_its_end_and_not_for_want_of_room() {
    let mut pair = narrow_and_connected(1);
    try_submit(&mut pair, 101).unwrap();
    pair.session.close(pair.now);
    assert_eq!(try_submit(&mut pair, 102).unwrap_err().code, Code::INVALID_STATE);
    pair.session.end(Code::SESSION_EXPIRED);
    assert_eq!(try_submit(&mut pair, 103).unwrap_err().code, Code::SESSION_EXPIRED);
}

#[test]
fn a_request_waits_for_room_and_is_handed_over_by_the_reply_that_makes_it() {
    let mut pair = narrow_and_connected(2);
    let tokens: Vec<u64> = (0..5).map(|_| pair.submit(&GET, None)).collect();
    assert_eq!(sent(&mut pair), [1, 2]);
    for (replied, token) in (1..=5).zip(&tokens) {
        pair.reply(replied, 1, Code::NO_NODE, b"");
        assert_eq!(answers(&mut pair), [(*token, Code::NO_NODE, false)]);
        let next: Vec<i32> = (replied + 2..=5).take(1).collect();
        assert_eq!(sent(&mut pair), next, "one for one, in order");
    }
    assert_eq!(pair.session.outstanding(), 0);
}

#[test]
fn several_replies_in_one_packet_make_room_for_as_many() {
    let mut pair = narrow_and_connected(3);
    (0..7).for_each(|_| _ = pair.submit(&GET, None));
    assert_eq!(sent(&mut pair), [1, 2, 3]);
    let packet: Vec<u8> =
        (1..=3).flat_map(|xid| zk_testkit::reply_frame(xid, 1, Code::NO_NODE, b"")).collect();
    pair.feed(&packet);
    assert_eq!(sent(&mut pair), [4, 5, 6]);
}

#[test]
fn what_was_given_up_takes_its_room_until_its_reply_comes() {
    let mut pair = narrow_and_connected(2);
    submit_within(&mut pair, 101, 10);
    let gone = pair.submit(&GET, None);
    pair.session.abandon(gone);
    pair.advance(MS(10));
    assert_eq!(answers(&mut pair), [(101, Code::OPERATION_TIMEOUT, false)]);
    submit_within(&mut pair, 103, 2_500);
    assert_eq!(try_submit(&mut pair, 104).unwrap_err().code, Code::THROTTLED_OP);
    assert_eq!(sent(&mut pair), [1, 2], "a tombstone and an abandoned request are still with the server");
    pair.reply(1, 1, Code::NO_NODE, b"");
    assert_eq!(sent(&mut pair), [3]);
    assert!(answers(&mut pair).is_empty(), "for nobody");
    pair.reply(2, 1, Code::NO_NODE, b"");
    pair.reply(3, 1, Code::NO_NODE, b"");
    assert_eq!(answers(&mut pair), [(103, Code::NO_NODE, false)]);
}

#[test]
fn who_waits_for_room_is_given_up_at_his_own_deadline() {
    let mut pair = narrow_and_connected(1);
    let first = pair.submit(&GET, None);
    // The later one has less time, and less than the one that waits before it.
    submit_within(&mut pair, 102, 300);
    submit_within(&mut pair, 103, 200);
    pair.advance(MS(199));
    assert!(answers(&mut pair).is_empty());
    pair.advance(MS(1));
    assert_eq!(answers(&mut pair), [(103, Code::OPERATION_TIMEOUT, false)]);
    pair.advance(MS(100));
    assert_eq!(answers(&mut pair), [(102, Code::OPERATION_TIMEOUT, false)]);
    pair.reply(1, 1, Code::NO_NODE, b"");
    assert_eq!(answers(&mut pair), [(first, Code::NO_NODE, false)]);
    assert_eq!(sent(&mut pair), [1], "what was given up is not sent");
}

#[test]
fn a_write_that_waited_for_room_in_vain_was_surely_not_done() {
    let mut pair = narrow_and_connected(1);
    pair.submit(&DELETE, None);
    pair.session.submit(pair.now, &DELETE, 102, None, Some(MS(100))).unwrap();
    pair.sent();
    pair.advance(MS(100));
    assert_eq!(answers(&mut pair), [(102, Code::OPERATION_TIMEOUT, false)]);
}

#[test]
fn who_waits_for_room_has_his_whole_time_for_it_and_not_just_the_session_timeout() {
    let mut pair = narrow_and_connected(1);
    pair.submit(&GET, None);
    submit_within(&mut pair, 102, 8_000);
    for _ in 0..7 {
        pair.advance(MS(1_000));
        pair.reply(-2, 0, Code::OK, b"");
    }
    assert!(answers(&mut pair).is_empty(), "seven seconds, with a session timeout of three");
    assert_eq!(pair.session.state(), KeeperState::CONNECTED);
    pair.reply(1, 1, Code::NO_NODE, b"");
    assert_eq!(sent(&mut pair).last(), Some(&2));
}

#[test]
fn who_waited_for_a_connection_and_then_waits_for_room_has_his_whole_time_as_well() {
    let mut pair = narrow(1);
    submit_within(&mut pair, 101, 20_000);
    submit_within(&mut pair, 102, 6_000);
    pair.advance(MS(500));
    pair.connect();
    pair.outputs();
    assert_eq!(sent(&mut pair), [1]);
    for _ in 0..5 {
        pair.advance(MS(1_000));
        pair.reply(-2, 0, Code::OK, b"");
    }
    assert!(answers(&mut pair).is_empty(), "the session timeout was for the connection");
    pair.advance(MS(500));
    assert_eq!(answers(&mut pair), [(102, Code::OPERATION_TIMEOUT, false)]);
}

#[test]
fn more_requests_than_there_is_room_for_wait_for_the_connection_and_then_for_room() {
    let mut pair = narrow(3);
    let tokens: Vec<u64> = (0..8).map(|_| pair.submit(&GET, None)).collect();
    pair.connect();
    pair.outputs();
    assert_eq!(sent(&mut pair), [1, 2, 3]);
    assert_eq!(pair.session.outstanding(), 8);
    for (xid, token) in (1..=8).zip(tokens) {
        pair.reply(xid, 1, Code::NO_NODE, b"");
        assert_eq!(answers(&mut pair), [(token, Code::NO_NODE, false)]);
        assert!(sent(&mut pair).len() <= 1);
    }
}

#[test]
fn a_lost_connection_answers_who_waits_for_room_after_those_before_him_and_sends_him_nowhere() {
    let mut pair = narrow_and_connected(2);
    let tokens: Vec<u64> = (0..4).map(|_| pair.submit(&DELETE, None)).collect();
    assert_eq!(sent(&mut pair), [1, 2]);
    pair.cut();
    let lost: Vec<_> = tokens.iter().zip([true, true, false, false]).collect();
    let lost: Vec<_> = lost.into_iter().map(|(t, sent)| (*t, Code::CONNECTION_LOSS, sent)).collect();
    assert_eq!(answers(&mut pair), lost, "in order, and only what was sent may have been done");
    pair.connect();
    assert!(sent(&mut pair).is_empty());
    assert_eq!(pair.session.outstanding(), 0);
}

#[test]
fn a_reply_that_makes_no_sense_does_not_let_those_who_wait_slip_through() {
    let mut pair = narrow_and_connected(1);
    let tokens = [pair.submit(&GET, None), pair.submit(&DELETE, None)];
    assert_eq!(sent(&mut pair), [1]);
    pair.reply(1, 1, Code::OK, b"no data and stat");
    assert_eq!(answers(&mut pair), tokens.map(|token| (token, Code::CONNECTION_LOSS, false)));
    assert!(sent(&mut pair).is_empty());
}

#[test]
fn closing_answers_who_waits_for_room_and_sends_him_nowhere() {
    let mut pair = narrow_and_connected(1);
    let tokens: Vec<u64> = (0..3).map(|_| pair.submit(&GET, None)).collect();
    assert_eq!(sent(&mut pair), [1]);
    pair.session.close(pair.now);
    let closing: Vec<_> = tokens.iter().map(|token| (*token, Code::CLOSING, false)).collect();
    assert_eq!(answers(&mut pair), closing);
    assert_eq!(sent(&mut pair), [2], "closeSession alone, which needs no room");
    pair.reply(1, 1, Code::NO_NODE, b"");
    pair.reply(2, 1, Code::OK, b"");
    assert_eq!(pair.outputs(), [Output::Closed]);
    assert!(sent(&mut pair).is_empty());
}

#[test]
fn an_expired_session_answers_who_waits_for_room() {
    let mut pair = narrow_and_connected(1);
    let tokens: Vec<u64> = (0..2).map(|_| pair.submit(&GET, None)).collect();
    pair.session.end(Code::SESSION_EXPIRED);
    let expired: Vec<_> = tokens.iter().map(|token| (*token, Code::SESSION_EXPIRED, false)).collect();
    assert_eq!(answers(&mut pair), expired);
}

#[test]
fn who_is_abandoned_while_he_waits_for_room_is_never_sent_nor_answered() {
    let mut pair = narrow_and_connected(1);
    let tokens: Vec<u64> = (0..3).map(|_| pair.submit(&GET, None)).collect();
    assert_eq!(sent(&mut pair), [1]);
    pair.session.abandon(tokens[1]);
    assert_eq!(pair.session.outstanding(), 2, "he takes no room");
    pair.reply(1, 1, Code::NO_NODE, b"");
    pair.reply(2, 1, Code::NO_NODE, b"");
    let answered = answers(&mut pair);
    assert_eq!(answered.iter().map(|a| a.0).collect::<Vec<_>>(), [tokens[0], tokens[2]]);
    assert_eq!(sent(&mut pair), [2]);
}

#[test]
fn a_watcher_forgotten_while_its_request_waits_for_room_is_not_armed() {
    let mut pair = narrow_and_connected(1);
    pair.submit(&GET, None);
    pair.submit(&Request::Exists { path: b"/n", watch: true }, Some(7));
    pair.session.forget_watcher(7);
    pair.reply(1, 1, Code::NO_NODE, b"");
    pair.reply(2, 1, Code::NO_NODE, b"");
    assert!(pair.session.armed_watchers().is_empty());
}

/// Steps from timer to timer; each must be due for something.
fn moments(pair: &mut Pair, until_ms: u64) -> Vec<u128> {
    let start = pair.now;
    let mut moments = Vec::new();
    while let Some(next) = pair.session.poll_timeout().filter(|t| *t <= start + MS(until_ms)) {
        pair.now = pair.now.max(next);
        pair.session.handle_timeout(pair.now);
        moments.push(pair.now.since(start).as_millis());
        assert!(moments.len() < 100, "the timers spin: {moments:?}");
    }
    moments
}

#[test]
fn the_timer_of_who_waits_for_room_comes_once() {
    let mut pair = narrow_and_connected(1);
    submit_within(&mut pair, 101, 800);
    submit_within(&mut pair, 102, 250);
    submit_within(&mut pair, 103, 250);
    assert_eq!(moments(&mut pair, 900), [250, 800]);
    assert_eq!(answers(&mut pair).len(), 3);
}

#[test]
fn an_abandoned_one_leaves_no_more_than_one_vain_timer() {
    let mut pair = narrow_and_connected(1);
    submit_within(&mut pair, 101, 800);
    submit_within(&mut pair, 102, 250);
    submit_within(&mut pair, 103, 500);
    pair.session.abandon(102);
    let moments = moments(&mut pair, 900);
    assert!(moments == [500, 800] || moments == [250, 500, 800], "{moments:?}");
    assert_eq!(answers(&mut pair).iter().map(|a| a.0).collect::<Vec<_>>(), [103, 101]);
}

#[test]
fn a_deadline_that_passed_while_the_process_stood_still_counts_before_room_does() {
    let mut pair = narrow_and_connected(1);
    pair.submit(&DELETE, None);
    pair.session.submit(pair.now, &DELETE, 102, None, Some(MS(100))).unwrap();
    pair.sent();
    // The process was stopped: the reply is read before the timers are looked at.
    pair.now = pair.now + MS(1_000);
    pair.reply(1, 1, Code::OK, b"");
    pair.session.handle_timeout(pair.now);
    let answered = answers(&mut pair);
    assert_eq!(answered.len(), 2);
    assert_eq!((answered[1].0, answered[1].1), (102, Code::OPERATION_TIMEOUT));
    // Either it was sent, and then it may have been done, or it was not.
    assert_eq!(answered[1].2, !sent(&mut pair).is_empty());
}

//! authenticate: add_auth as a request, which is answered exactly once.

use std::time::Duration;
use zk_proto::op::{Reply, Request};
use zk_proto::session::{Config, Output};
use zk_proto::{Code, KeeperState};
use zk_testkit::{config, handshake, Pair};

const GET: Request<'_> = Request::GetData { path: b"/n", watch: false };
const MS: fn(u64) -> Duration = Duration::from_millis;

fn authenticate(pair: &mut Pair, token: u64) {
    authenticate_within(pair, token, None);
}

fn authenticate_within(pair: &mut Pair, token: u64, ms: Option<u64>) {
    pair.session.authenticate(pair.now, b"digest", b"a:1", None, token, ms.map(MS)).unwrap();
}

fn answered(token: u64, code: Code) -> Output {
    let failure = zk_proto::session::Failure::new(code);
    Output::Completed { token, result: if code == Code::OK { Ok(Reply::Nothing) } else { Err(failure) } }
}

fn completed(pair: &mut Pair) -> Vec<Output> {
    pair.outputs().into_iter().filter(|o| matches!(o, Output::Completed { .. })).collect()
}

#[test]
fn the_servers_word_answers_it_behind_the_watcher_and_in_order() {
    let mut pair = Pair::connected();
    pair.session.authenticate(pair.now, b"digest", b"a:1", Some(5), 1, None).unwrap();
    pair.session.add_auth(b"digest", b"b:2", Some(6)).unwrap();
    authenticate(&mut pair, 2);
    assert_eq!(pair.sent().len(), 3);
    pair.reply(-4, 0, Code::OK, b"");
    assert_eq!(pair.outputs(), [Output::Auth { watcher: 5, code: Code::OK }, answered(1, Code::OK)]);
    pair.reply(-4, 0, Code::OK, b"");
    assert_eq!(pair.outputs(), [Output::Auth { watcher: 6, code: Code::OK }]);
    pair.reply(-4, 0, Code::OK, b"");
    assert_eq!(pair.outputs(), [answered(2, Code::OK)]);
}

#[test]
fn a_refusal_answers_it_and_then_all_others_with_the_end_of_the_session() {
    let mut pair = Pair::connected();
    authenticate(&mut pair, 1);
    pair.session.submit(pair.now, &GET, 2, None, None).unwrap();
    authenticate(&mut pair, 3);
    pair.reply(-4, 0, Code::AUTH_FAILED, b"");
    let told = [1, 2, 3].map(|token| answered(token, Code::AUTH_FAILED));
    let outputs = pair.outputs();
    assert_eq!(outputs[..3], told);
    assert_eq!(outputs[3..], [Output::State(KeeperState::AUTH_FAILED)]);
    let refused = pair.session.authenticate(pair.now, b"digest", b"a:1", None, 4, None).unwrap_err();
    assert_eq!(refused.code, Code::AUTH_FAILED);
    assert!(pair.outputs().is_empty(), "what was refused at once is not answered again");
}

#[test]
fn a_lost_connection_does_not_answer_it_but_the_next_one_does_and_a_third_not_again() {
    let mut pair = Pair::connected();
    authenticate(&mut pair, 1);
    pair.cut();
    assert!(completed(&mut pair).is_empty());
    pair.connect();
    assert!(completed(&mut pair).is_empty());
    pair.reply(-4, 0, Code::OK, b"");
    assert_eq!(completed(&mut pair), [answered(1, Code::OK)]);
    pair.cut();
    pair.connect();
    pair.reply(-4, 0, Code::OK, b"");
    assert!(completed(&mut pair).is_empty(), "a replay answers nobody again");
}

#[test]
fn asked_before_the_connection_it_is_answered_by_it() {
    let mut pair = Pair::new(config("a"));
    authenticate(&mut pair, 1);
    pair.connect();
    pair.reply(-4, 0, Code::OK, b"");
    assert_eq!(completed(&mut pair), [answered(1, Code::OK)]);
}

#[test]
fn without_a_connection_it_is_given_up_after_the_session_timeout() {
    let mut pair = Pair::new(config("a"));
    authenticate(&mut pair, 1);
    authenticate_within(&mut pair, 2, Some(500));
    authenticate_within(&mut pair, 3, Some(60_000));
    pair.advance(MS(499));
    assert!(completed(&mut pair).is_empty());
    pair.advance(MS(1));
    assert_eq!(completed(&mut pair), [answered(2, Code::OPERATION_TIMEOUT)]);
    pair.advance(MS(2_499));
    assert!(completed(&mut pair).is_empty());
    pair.advance(MS(1));
    let lost = [1, 3].map(|token| answered(token, Code::CONNECTION_LOSS));
    assert_eq!(completed(&mut pair), lost);
    // The credentials stay: the next connection sends them, the same three only once, and answers nobody again.
    pair.connect();
    assert_eq!(pair.sent().len(), 1);
    pair.reply(-4, 0, Code::OK, b"");
    assert!(completed(&mut pair).is_empty());
}

#[test]
fn a_process_that_stood_still_over_both_limits_is_told_of_the_one_that_came_first() {
    let mut pair = Pair::new(config("a"));
    authenticate_within(&mut pair, 1, Some(60_000));
    authenticate_within(&mut pair, 2, Some(500));
    for (token, ms) in [(3, 60_000), (4, 500)] {
        pair.session.submit(pair.now, &GET, token, None, Some(MS(ms))).unwrap();
    }
    pair.now = pair.now + MS(600_000);
    pair.advance(MS(0));
    let mut codes: Vec<_> = completed(&mut pair)
        .into_iter()
        .filter_map(|o| match o {
            Output::Completed { token, result } => Some((token, result.unwrap_err().code)),
            _ => None,
        })
        .collect();
    codes.sort_unstable_by_key(|(token, _)| *token);
    let (lost, late) = (Code::CONNECTION_LOSS, Code::OPERATION_TIMEOUT);
    assert_eq!(codes, [(1, lost), (2, late), (3, lost), (4, late)]);
}

#[test]
fn a_connection_stops_the_time_for_it_and_leaves_the_deadline() {
    let mut pair = Pair::new(config("a"));
    authenticate_within(&mut pair, 1, Some(6_000));
    pair.advance(MS(2_900));
    pair.connect();
    for _ in 0..6 {
        pair.advance(MS(500));
        pair.reply(-2, 0, Code::OK, b"");
    }
    assert!(completed(&mut pair).is_empty(), "there has been a connection in time");
    pair.advance(MS(99));
    assert!(completed(&mut pair).is_empty());
    pair.advance(MS(1));
    assert_eq!(completed(&mut pair), [answered(1, Code::OPERATION_TIMEOUT)]);
    pair.session.add_auth(b"digest", b"b:2", Some(9)).unwrap();
    pair.reply(-4, 0, Code::OK, b"");
    assert!(pair.outputs().is_empty(), "the late answer is nobody's, and not the next one's");
    pair.reply(-4, 0, Code::OK, b"");
    assert_eq!(pair.outputs(), [Output::Auth { watcher: 9, code: Code::OK }]);
}

#[test]
fn closing_answers_it_once_whatever_the_server_says_later() {
    let mut pair = Pair::connected();
    authenticate(&mut pair, 1);
    pair.session.close(pair.now);
    assert_eq!(completed(&mut pair), [answered(1, Code::CLOSING)]);
    pair.reply(-4, 0, Code::OK, b"");
    pair.reply(1, 1, Code::OK, b"");
    assert_eq!(pair.outputs(), [Output::Closed]);
    let refused = pair.session.authenticate(pair.now, b"digest", b"a:1", None, 2, None).unwrap_err();
    assert_eq!(refused.code, Code::INVALID_STATE);
}

#[test]
fn closing_without_a_connection_answers_it() {
    let mut pair = Pair::new(config("a"));
    authenticate(&mut pair, 1);
    pair.session.close(pair.now);
    assert_eq!(pair.outputs(), [answered(1, Code::CLOSING), Output::Closed]);
    assert!(pair.session.poll_timeout().is_none());
}

#[test]
fn expiry_answers_it() {
    let mut pair = Pair::connected();
    authenticate(&mut pair, 1);
    pair.cut();
    pair.accept();
    pair.feed(&handshake(0, 0));
    let outputs = completed(&mut pair);
    assert_eq!(outputs, [answered(1, Code::SESSION_EXPIRED)]);
    assert!(pair.session.poll_timeout().is_none());
}

#[test]
fn expiry_by_the_clock_answers_it() {
    let mut pair = Pair::new(Config { expire_by_clock: true, ..config("a") });
    pair.connect();
    pair.cut();
    authenticate_within(&mut pair, 1, Some(60_000));
    pair.advance(MS(3_000));
    assert_eq!(completed(&mut pair), [answered(1, Code::SESSION_EXPIRED)]);
}

#[test]
fn one_that_is_too_long_is_refused_and_not_kept() {
    let mut pair = Pair::new(Config { jute_maxbuffer: 100, ..config("a") });
    let refused = pair.session.authenticate(pair.now, b"digest", &[b'x'; 100], None, 1, None);
    assert_eq!(refused.unwrap_err().code, Code::BAD_ARGUMENTS);
    pair.connect();
    assert!(pair.sent().is_empty());
    assert!(completed(&mut pair).is_empty());
}

#[test]
fn abandoned_it_is_not_answered_and_the_authentication_stays() {
    let mut pair = Pair::new(config("a"));
    authenticate(&mut pair, 1);
    authenticate(&mut pair, 2);
    pair.session.abandon(1);
    pair.connect();
    (0..2).for_each(|_| pair.reply(-4, 0, Code::OK, b""));
    assert_eq!(completed(&mut pair), [answered(2, Code::OK)]);
}

#[test]
fn its_timers_come_once_and_a_loss_that_finds_it_late_is_acted_on_at_once() {
    let mut pair = Pair::connected();
    authenticate_within(&mut pair, 1, Some(20_000));
    for _ in 0..8 {
        pair.advance(MS(500));
        pair.reply(-2, 0, Code::OK, b"");
    }
    pair.cut();
    // Four seconds without an answer, three of which are all that it may take without a connection.
    assert!(pair.session.poll_timeout().is_some_and(|at| at <= pair.now));
    pair.session.handle_timeout(pair.now);
    assert_eq!(completed(&mut pair), [answered(1, Code::CONNECTION_LOSS)]);
    pair.session.handle_timeout(pair.now);
    assert!(pair.session.poll_timeout().is_none_or(|at| at > pair.now), "nothing is due any more");
}

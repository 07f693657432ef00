//! Pings, dead servers and pauses, by a virtual clock.

use std::time::Duration;
use zk_proto::op::Request;
use zk_proto::session::{Action, Output};
use zk_proto::{opcode, Code, EventType, KeeperState};
use zk_testkit::{config, event_frame, Pair};

const GET: Request<'_> = Request::GetData { path: b"/n", watch: false };
const MS: fn(u64) -> Duration = Duration::from_millis;

fn pings(pair: &mut Pair) -> usize {
    pair.sent().iter().filter(|f| f.opcode == opcode::PING).count()
}

#[test]
fn an_idle_session_pings_after_a_third_of_its_timeout() {
    let mut pair = Pair::connected();
    pair.advance(MS(999));
    assert_eq!(pings(&mut pair), 0);
    pair.advance(MS(1));
    assert_eq!(pings(&mut pair), 1);
    pair.reply(-2, 0, Code::OK, b"");
    pair.advance(MS(1_000));
    assert_eq!(pings(&mut pair), 1);
}

#[test]
fn neither_events_nor_a_request_under_way_hold_the_ping_back() {
    let mut pair = Pair::connected();
    pair.submit(&GET, None);
    for _ in 0..9 {
        pair.advance(MS(100));
        pair.feed(&event_frame(EventType::CHANGED, b"/x"));
    }
    assert_eq!(pings(&mut pair), 0);
    pair.advance(MS(100));
    assert_eq!(pings(&mut pair), 1);
}

/// The moments of the pings in thirty seconds, in milliseconds, while something happens ten times a second.
fn pings_of_half_a_minute(mut happens: impl FnMut(&mut Pair, u64)) -> Vec<u128> {
    let mut pair = Pair::connected();
    let start = pair.now;
    let mut moments = Vec::new();
    for tenth in 1..=300 {
        pair.advance(MS(100));
        for _ in 0..pings(&mut pair) {
            moments.push(pair.now.since(start).as_millis());
            pair.reply(-2, 0, Code::OK, b"");
        }
        happens(&mut pair, tenth);
        assert_eq!(pair.session.state(), KeeperState::CONNECTED);
    }
    moments
}

#[test]
fn pings_keep_time_over_events_over_late_answers_and_over_requests_that_are_given_up() {
    let every_second: Vec<u128> = (1..=30).map(|second| second * 1_000).collect();
    assert_eq!(pings_of_half_a_minute(|_, _| ()), every_second);
    let event = event_frame(EventType::CHANGED, b"/x");
    assert_eq!(pings_of_half_a_minute(|pair, _| pair.feed(&event)), every_second);
    // Servers don't renew a session because of it.
    let authenticates = |pair: &mut Pair, tenth| {
        if tenth % 3 == 0 {
            pair.session.add_auth(b"digest", b"a:1", None).unwrap();
            pair.sent();
            pair.reply(-4, 0, Code::OK, b"");
        }
    };
    assert_eq!(pings_of_half_a_minute(authenticates), every_second);
    // Asked at the moment of the ping, and answered at any moment, or never.
    for answered in [1, 5, 9, 11] {
        let asked = pings_of_half_a_minute(|pair, tenth| {
            if tenth % 10 == 0 {
                pair.submit(&GET, None);
                pair.sent();
            }
            if tenth % 10 == answered && tenth > 10 {
                pair.reply((tenth / 10) as i32, 1, Code::NO_NODE, b"");
            }
        });
        assert_eq!(asked, every_second, "answered after {answered} tenths of a second");
    }
}

#[test]
fn pings_and_patience_go_by_the_timeout_that_was_granted_and_not_by_the_wish() {
    for granted in [300, 1_500, 30_000, 3_600_000] {
        let mut pair = Pair::new(config("a")); // which wishes for three seconds
        pair.accept();
        pair.feed(&zk_testkit::handshake(granted, 7));
        pair.actions();
        let (start, third) = (pair.now, MS(granted as u64) / 3);
        pair.advance(third - MS(1));
        assert_eq!(pings(&mut pair), 0, "{granted} ms were granted");
        pair.advance(MS(1));
        assert_eq!(pings(&mut pair), 1, "{granted} ms were granted");
        pair.advance(third - MS(1));
        assert_eq!(pair.session.state(), KeeperState::CONNECTED, "{granted} ms were granted");
        pair.advance(MS(1));
        assert_eq!(pair.actions()[0], (start + third * 2, Action::Disconnect), "{granted} ms were granted");
    }
}

#[test]
fn writing_does_hold_it_back() {
    let mut pair = Pair::connected();
    for xid in 1..=6 {
        pair.advance(MS(500));
        pair.submit(&GET, None);
        pair.reply(xid, 1, Code::NO_NODE, b"");
    }
    assert_eq!(pings(&mut pair), 0);
}

#[test]
fn a_silent_server_is_left_after_two_thirds_of_the_timeout() {
    let mut pair = Pair::connected();
    let start = pair.now;
    pair.submit(&GET, None);
    pair.advance(MS(1_999));
    assert_eq!(pair.session.state(), KeeperState::CONNECTED);
    pair.advance(MS(1));
    assert_eq!(pair.actions()[0], (start + MS(2_000), Action::Disconnect));
}

#[test]
fn any_byte_counts_as_life() {
    let mut pair = Pair::connected();
    for _ in 0..5 {
        pair.advance(MS(1_900));
        pair.feed(&event_frame(EventType::CHANGED, b"/x"));
    }
    assert_eq!(pair.session.state(), KeeperState::CONNECTED);
}

#[test]
fn servers_that_refuse_are_tried_at_growing_intervals_for_ever() {
    let mut pair = Pair::new(config("a,b,c"));
    let mut attempts = Vec::new();
    for _ in 0..20 {
        pair.accept();
        attempts.push(pair.now);
        pair.cut();
    }
    let pauses: Vec<u128> = attempts.windows(2).map(|w| w[1].since(w[0]).as_millis()).collect();
    assert_eq!(pauses[0], 0, "the first retry is at once");
    assert!(pauses[1..].iter().all(|p| (200..=1_500).contains(p)), "{pauses:?}");
    assert!(pauses[5..].iter().all(|p| *p >= 1_000), "{pauses:?}");
}

#[test]
fn a_server_that_greets_and_drops_is_not_called_in_a_loop() {
    let mut pair = Pair::new(config("a"));
    let start = pair.now;
    for _ in 0..20 {
        pair.connect();
        pair.feed(&[0xff; 8]);
        assert_eq!(pair.session.state(), KeeperState::CONNECTING);
    }
    assert!(pair.now.since(start) > Duration::from_secs(15), "{:?}", pair.now.since(start));
}

#[test]
fn a_tiny_timeout_does_not_make_the_timers_spin() {
    let mut pair = Pair::new(config("a"));
    pair.accept();
    pair.feed(&zk_testkit::handshake(1, 7));
    pair.advance(Duration::from_secs(1));
}

#[test]
fn a_session_cut_off_for_its_timeout_is_suspect_but_not_over() {
    let mut pair = Pair::connected();
    pair.advance(MS(500));
    pair.cut();
    assert!(!pair.session.is_suspect(pair.now + MS(2_499)));
    assert!(pair.session.is_suspect(pair.now + MS(2_500)), "three seconds after the handshake was sent");
    pair.advance(MS(10_000));
    assert!(pair.session.over().is_none());
    pair.connect();
    assert!(!pair.session.is_suspect(pair.now));
}

#[test]
fn a_process_that_stood_still_does_not_take_its_session_for_alive_until_it_has_looked() {
    for by_clock in [false, true] {
        let mut pair = Pair::new(zk_proto::session::Config { expire_by_clock: by_clock, ..config("a") });
        pair.connect();
        assert!(!pair.session.is_suspect(pair.now + MS(2_999)));
        let late = pair.now + MS(3_000);
        assert!(pair.session.is_connected());
        assert!(pair.session.is_suspect(late), "nothing has told it of the time that has passed");
        pair.session.handle_timeout(late);
        assert!(!pair.session.is_connected(), "then it is cut off, or over, and what was under way is lost");
        pair.session.handle_timeout(late);
        assert_eq!(pair.session.over(), by_clock.then_some(Code::SESSION_EXPIRED));
        assert_eq!(pair.session.is_suspect(late), !by_clock);
    }
}

#[test]
fn a_session_that_goes_by_the_clock_expires_with_it() {
    let by_clock = zk_proto::session::Config { expire_by_clock: true, ..config("a") };
    let mut pair = Pair::new(by_clock.clone());
    pair.advance(MS(10_000));
    assert!(pair.session.over().is_none(), "there is no session yet that could expire");
    let mut pair = Pair::new(by_clock);
    pair.connect();
    pair.cut();
    pair.outputs();
    pair.advance(MS(2_999));
    assert!(pair.session.over().is_none());
    let token = pair.submit(&GET, None);
    pair.advance(MS(1));
    assert_eq!(pair.session.state(), KeeperState::EXPIRED);
    match &pair.outputs()[..] {
        [Output::Completed { token: t, result: Err(f) }, Output::State(KeeperState::EXPIRED)] => {
            assert_eq!((*t, f.code), (token, Code::SESSION_EXPIRED));
        }
        other => panic!("{other:?}"),
    }
}

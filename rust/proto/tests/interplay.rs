//! What several parts of a session have to do with each other.

use std::time::Duration;
use zk_proto::connect_string::ConnectString;
use zk_proto::op::{AddWatchMode, Request, WatcherType};
use zk_proto::record::SetWatches;
use zk_proto::sasl::Login;
use zk_proto::session::{Config, Output, Sent};
use zk_proto::{opcode, Code, EventType, KeeperState};
use zk_testkit::{config, event_frame, ClientFrame, Pair};

const MS: fn(u64) -> Duration = Duration::from_millis;
const OUTCOME_OK: &[u8] = &[0; 4];

/// What a get of a node without data is answered with.
fn no_data() -> Vec<u8> {
    [&[0xff; 4][..], &[0; 68]].concat()
}

fn with_login(hosts: &str) -> Config {
    let login = Login { username: "bob".to_owned(), password: "sesame".to_owned(), entropy: [3; 32] };
    Config { sasl: Some(login), ..config(hosts) }
}

#[test]
fn a_session_that_moves_amid_its_login_is_suspect_when_no_other_server_takes_it() {
    let mut pair = Pair::new(Config { expire_by_clock: true, ..with_login("a") });
    pair.connect();
    assert_eq!(pair.session.state(), KeeperState::ASSOCIATING);
    let servers = ConnectString::parse(b"b").unwrap();
    pair.session.set_servers(pair.now, servers).unwrap();
    pair.advance(MS(2_999));
    assert!(!pair.session.is_suspect(pair.now));
    pair.advance(MS(2));
    assert_eq!(pair.session.state(), KeeperState::EXPIRED, "by the clock");
}

/// With a persistent watch on `/n` (watcher 1) and a get under way that leaves one (watcher 2).
fn with_spared_watch() -> Pair {
    let mut pair = Pair::connected();
    pair.submit(&Request::AddWatch { path: b"/n", mode: AddWatchMode::Persistent }, Some(1));
    pair.reply(1, 1, Code::OK, OUTCOME_OK);
    pair.submit(&Request::GetData { path: b"/n", watch: true }, Some(2));
    pair.reply(2, 1, Code::OK, &no_data());
    pair.sent();
    pair
}

#[test]
fn watches_that_are_armed_again_on_the_same_connection_count_as_sent() {
    let mut pair = with_spared_watch();
    let before = pair.session.metrics();
    assert_eq!((before.sent, before.received), (2, 2));
    let kind = WatcherType::Persistent;
    pair.submit(&Request::RemoveWatches { path: b"/n", kind, local: false }, Some(1));
    pair.reply(3, 2, Code::OK, b"");
    let frames = pair.sent();
    assert_eq!(frames.last().unwrap().opcode, opcode::SET_WATCHES);
    pair.reply(-8, 2, Code::OK, b"");
    let after = pair.session.metrics();
    assert_eq!((after.sent, after.received), (4, 4));
}

#[test]
fn a_removal_that_needs_no_server_was_not_sent() {
    let mut pair = Pair::new(config("a"));
    pair.connect();
    for watcher in [1, 2] {
        pair.submit(&Request::GetData { path: b"/n", watch: true }, Some(watcher));
        pair.reply(watcher as i32, 1, Code::OK, &no_data());
    }
    let request = Request::RemoveWatches { path: b"/n", kind: WatcherType::Data, local: false };
    pair.session.submit(pair.now, &request, 101, Some(1), None).unwrap();
    assert_eq!(pair.session.last_sent(), Sent::default());
}

#[test]
fn watches_that_are_armed_again_fit_into_the_servers_limit() {
    let path = format!("/{}", "n".repeat(400));
    let path = path.as_bytes();
    let limit = 1_000;
    let mut pair = Pair::new(Config { jute_maxbuffer: limit, ..config("a") });
    pair.connect();
    pair.submit(&Request::AddWatch { path, mode: AddWatchMode::Persistent }, Some(1));
    pair.reply(1, 1, Code::OK, OUTCOME_OK);
    pair.submit(&Request::GetData { path, watch: true }, Some(2));
    pair.reply(2, 1, Code::OK, &no_data());
    pair.submit(&Request::GetChildren { path, watch: true }, Some(3));
    pair.reply(3, 1, Code::OK, OUTCOME_OK);
    pair.submit(&Request::Exists { path, watch: true }, Some(4));
    pair.reply(4, 1, Code::NO_NODE, b"");
    pair.sent();
    let kind = WatcherType::Persistent;
    pair.submit(&Request::RemoveWatches { path, kind, local: false }, Some(1));
    pair.reply(5, 2, Code::OK, b"");
    let armed: Vec<_> = pair.sent().into_iter().filter(|f| f.opcode == opcode::SET_WATCHES).collect();
    assert!(!armed.is_empty());
    for frame in &armed {
        assert!(8 + frame.body.len() <= limit, "{} bytes", 8 + frame.body.len());
    }
    for _ in &armed {
        pair.reply(-8, 2, Code::OK, b"");
    }
    assert_eq!(pair.session.state(), KeeperState::CONNECTED);
}

#[test]
fn a_second_address_is_connected_to_before_it_is_secured() {
    let mut pair = Pair::new(config("a"));
    pair.session.handle_timeout(pair.now);
    pair.session.handle_securing();
    assert_eq!(pair.session.state(), KeeperState::SSL_CONNECTING);
    pair.session.handle_next_address();
    assert_eq!(pair.session.state(), KeeperState::CONNECTING);
}

#[test]
fn servers_that_are_not_in_the_list_any_more_are_no_reason_for_a_failure() {
    let mut pair = Pair::new(config("a"));
    pair.session.handle_timeout(pair.now);
    pair.session.blame("refused");
    pair.cut();
    assert_eq!(pair.session.trouble().as_deref(), Some("a:2181: refused"));
    pair.session.set_servers(pair.now, ConnectString::parse(b"a,b").unwrap()).unwrap();
    assert_eq!(pair.session.trouble().as_deref(), Some("a:2181: refused"));
    pair.session.set_servers(pair.now, ConnectString::parse(b"b").unwrap()).unwrap();
    assert_eq!(pair.session.trouble(), None);
}

#[test]
fn the_configuration_is_no_part_of_what_a_recursive_watch_on_a_chroot_hears_of() {
    for (hosts, heard) in [("a/app", vec![2]), ("a", vec![2, 1])] {
        let mut pair = Pair::new(config(hosts));
        pair.connect();
        pair.submit(&Request::AddWatch { path: b"/", mode: AddWatchMode::PersistentRecursive }, Some(1));
        pair.reply(1, 1, Code::OK, OUTCOME_OK);
        pair.submit(&Request::GetConfig { watch: true }, Some(2));
        pair.reply(2, 1, Code::OK, &no_data());
        pair.outputs();
        pair.feed(&event_frame(EventType::CHANGED, b"/zookeeper/config"));
        let watchers = pair.outputs().into_iter().filter_map(|output| match output {
            Output::Watch { watcher, .. } => Some(watcher),
            _ => None,
        });
        assert_eq!(watchers.collect::<Vec<_>>(), heard, "{hosts}");
    }
}

/// The zxid from which each setWatches among these arms its watches.
fn armed_from(sent: Vec<ClientFrame>) -> Vec<i64> {
    let sets = sent.into_iter().filter(|frame| frame.xid == -8);
    sets.map(|frame| SetWatches::decode(frame.opcode, frame.body).unwrap().0).collect()
}

#[test]
fn a_watch_whose_arming_is_lost_with_the_connection_misses_nothing_that_came_before_the_last_reply() {
    let mut pair = with_spared_watch();
    let kind = WatcherType::Persistent;
    pair.submit(&Request::RemoveWatches { path: b"/n", kind, local: false }, Some(1));
    pair.submit(&Request::Exists { path: b"/other", watch: false }, None);
    pair.sent();
    pair.reply(3, 2, Code::OK, b"");
    assert_eq!(armed_from(pair.sent()), [2]);
    // The server, which had not got it, changes /n with zxid 3.
    pair.reply(4, 5, Code::OK, &[0; 68]);
    pair.cut();
    pair.connect();
    assert_eq!(armed_from(pair.sent()), [5, 2]);
    pair.reply(-8, 5, Code::OK, b"");
    pair.cut();
    pair.connect();
    assert_eq!(armed_from(pair.sent()), [5, 2], "no answer to the second one");
    pair.reply(-8, 5, Code::OK, b"");
    pair.reply(-8, 5, Code::OK, b"");
    pair.cut();
    pair.connect();
    assert_eq!(armed_from(pair.sent()), [5]);
}

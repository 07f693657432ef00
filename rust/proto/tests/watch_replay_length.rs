//! Watches are replayed in packets that servers accept: one that is too long is answered by the end of
//! the connection, so that a session which repeats it never comes back.

use std::collections::HashSet;
use zk_proto::op::{AddWatchMode, Request};
use zk_proto::record::SetWatches;
use zk_proto::session::Config;
use zk_proto::{opcode, Code, EventType, KeeperState};
use zk_testkit::{config, event_frame, handshake, ClientFrame, Pair};

fn limited(jute_maxbuffer: usize) -> Config {
    Config { jute_maxbuffer, ..config("a,b,c/root") }
}

/// A session with a data watch on each path.
fn watching(config: Config, paths: &[String]) -> Pair {
    let mut pair = Pair::new(config);
    pair.connect();
    let data: Vec<u8> = [&[0xff; 4][..], &[0; 68]].concat();
    for (i, path) in paths.iter().enumerate() {
        pair.submit(&Request::GetData { path: path.as_bytes(), watch: true }, Some(i as u64));
        pair.reply(i as i32 + 1, 1, Code::OK, &data);
    }
    pair.outputs();
    pair.sent();
    pair
}

fn paths(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("/a/path/of/some/length/{i:08}")).collect()
}

/// The watches of all packets, sorted, as the session knows them.
fn replayed(sent: &[ClientFrame]) -> Vec<String> {
    let mut all = Vec::new();
    for frame in sent {
        assert_eq!((frame.xid, frame.opcode), (-8, opcode::SET_WATCHES));
        let (_, kinds) = SetWatches::decode(frame.opcode, frame.body.clone()).unwrap();
        all.extend(kinds[0].iter().map(|p| String::from_utf8(p.to_vec()).unwrap()));
    }
    all.sort();
    all.iter().map(|path| path.strip_prefix("/root").unwrap().to_owned()).collect()
}

/// Without the four bytes of the length, as servers count.
fn length(frame: &ClientFrame) -> usize {
    8 + frame.body.len()
}

#[test]
fn many_watches_are_replayed_in_packets_of_128_kib() {
    let paths = paths(10_000);
    let mut pair = watching(limited(0xf_ffff), &paths);
    pair.cut();
    pair.connect();
    let sent = pair.sent();
    assert_eq!(sent.len(), 4, "(5 + 31 + 4) bytes x 10,000");
    assert!(sent.iter().all(|frame| length(frame) <= 128 << 10));
    assert_eq!(replayed(&sent), paths);
}

#[test]
fn no_packet_of_a_replay_is_longer_than_jute_maxbuffer() {
    for limit in [100, 1_000, 10_000, 64 << 10] {
        let mut paths = paths(1_000);
        // As long as can be watched: alone in its packet.
        paths.push(format!("/long{}", "x".repeat(limit - 40 - 10)));
        paths.sort();
        let mut pair = watching(limited(limit), &paths);
        pair.cut();
        pair.connect();
        let sent = pair.sent();
        for frame in &sent {
            assert!(length(frame) <= limit, "{} bytes with a limit of {limit}", length(frame));
        }
        assert_eq!(replayed(&sent), paths, "limit {limit}");
    }
}

#[test]
fn a_watch_that_could_not_be_replayed_is_refused() {
    let path = vec![b'x'; 1_000 - 13 - 5];
    let path = [b"/", &path[1..]].concat();
    let mut pair = watching(limited(1_000), &[]);
    pair.submit(&Request::GetData { path: &path, watch: true }, None);
    let request = Request::GetData { path: &path, watch: true };
    let failure = pair.session.submit(pair.now, &request, 9, Some(1), None).unwrap_err();
    assert_eq!(failure.code, Code::BAD_ARGUMENTS);
    assert!(failure.detail.unwrap().contains("jute_maxbuffer (1000)"));
}

#[test]
fn a_server_that_drops_long_packets_gets_shorter_ones_until_it_accepts_them() {
    let paths = paths(10_000);
    for server_limit in [100_000, 20_000, 2_000] {
        let mut pair = watching(limited(0xf_ffff), &paths);
        pair.cut();
        let mut attempts = 0;
        let sent = loop {
            attempts += 1;
            assert!(attempts <= 8, "limit {server_limit}: the session does not come back");
            pair.connect();
            let sent = pair.sent();
            match sent.iter().position(|frame| length(frame) > server_limit) {
                None => break sent,
                Some(accepted) => {
                    (0..accepted).for_each(|_| pair.reply(-8, 0, Code::OK, b""));
                    pair.cut();
                }
            }
        };
        assert!(attempts > 1);
        assert_eq!(replayed(&sent), paths);
        sent.iter().for_each(|_| pair.reply(-8, 0, Code::OK, b""));
        pair.outputs();
        pair.feed(&event_frame(EventType::CHANGED, format!("/root{}", paths[7]).as_bytes()));
        assert_eq!(pair.outputs().len(), 1);

        // What was learnt is kept, and an ordinary loss changes nothing.
        for _ in 0..3 {
            pair.cut();
            pair.connect();
            let again = pair.sent();
            assert_eq!(again.len(), sent.len());
            again.iter().for_each(|_| pair.reply(-8, 0, Code::OK, b""));
        }
    }
}

#[test]
fn packets_do_not_shrink_without_end() {
    let paths = paths(1_000);
    let mut pair = watching(limited(0xf_ffff), &paths);
    for _ in 0..40 {
        pair.cut();
        pair.connect();
        assert_eq!(replayed(&pair.sent()), paths);
    }
    pair.cut();
    pair.accept();
    pair.feed(&handshake(3_000, 7));
    let sent = pair.sent();
    let distinct: HashSet<usize> = sent.iter().map(length).collect();
    assert!(distinct.iter().all(|length| *length <= 1 << 10), "{distinct:?}");
    assert!(distinct.iter().any(|length| *length > 900), "{distinct:?}");
    assert_eq!(pair.session.state(), KeeperState::CONNECTED);
}

#[test]
fn persistent_watches_are_counted_with_the_longer_header() {
    let mut pair = Pair::new(limited(200));
    pair.connect();
    for i in 0..50 {
        let path = format!("/p/{i:02}");
        let request = Request::AddWatch { path: path.as_bytes(), mode: AddWatchMode::Persistent };
        pair.submit(&request, Some(i));
        pair.reply(i as i32 + 1, 1, Code::OK, b"\0\0\0\0");
    }
    pair.cut();
    pair.sent();
    pair.connect();
    let sent = pair.sent();
    assert!(sent.len() > 1);
    for frame in sent {
        assert_eq!(frame.opcode, opcode::SET_WATCHES2);
        assert!(length(&frame) <= 200);
    }
}

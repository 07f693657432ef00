//! Watches that are armed again, byte by byte as the protocol has them, for more of them than fit into a packet.

use std::collections::BTreeSet;
use zk_proto::op::{AddWatchMode, Request};
use zk_proto::record::SetWatches;
use zk_proto::{opcode, Code};
use zk_testkit::{ClientFrame, Pair};

/// The longest packet.
const LIMIT: usize = 128 << 10;
const ZXID: i64 = 0x1_0000_0005;

/// Which list of a packet a watch goes to.
const DATA: usize = 0;
const EXIST: usize = 1;
const CHILD: usize = 2;
const PERSISTENT: usize = 3;
const RECURSIVE: usize = 4;

fn path(kind: usize, number: usize) -> String {
    format!("/watched/as/{kind}/{number:05}")
}

/// Leaves a watch of this kind, by an answer to the request that the session's number `xid` is.
fn watch(pair: &mut Pair, xid: i32, kind: usize, path: &str) {
    let path = path.as_bytes();
    let add = |mode| Request::AddWatch { path, mode };
    let (request, code, body) = match kind {
        DATA => (Request::Exists { path, watch: true }, Code::OK, &[0; 68][..]),
        EXIST => (Request::Exists { path, watch: true }, Code::NO_NODE, &b""[..]),
        CHILD => (Request::GetChildren { path, watch: true }, Code::OK, &[0; 4][..]),
        PERSISTENT => (add(AddWatchMode::Persistent), Code::OK, &[0; 4][..]),
        _ => (add(AddWatchMode::PersistentRecursive), Code::OK, &[0; 4][..]),
    };
    pair.submit(&request, Some(kind as u64));
    pair.reply(xid, ZXID, code, body);
}

fn watching(counts: [usize; 5]) -> Pair {
    let mut pair = Pair::connected();
    let all = counts.into_iter().enumerate().flat_map(|(kind, count)| (0..count).map(move |n| (kind, n)));
    for (xid, (kind, number)) in (1..).zip(all) {
        watch(&mut pair, xid, kind, &path(kind, number));
    }
    pair.outputs();
    pair
}

/// What the session sends on its next connection.
fn replayed(pair: &mut Pair) -> Vec<ClientFrame> {
    pair.cut();
    pair.connect();
    pair.sent()
}

/// The body of a packet with these paths, made by hand.
fn body(lists: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let number = |n: usize| u32::try_from(n).unwrap().to_be_bytes();
    let mut out = ZXID.to_be_bytes().to_vec();
    for list in lists {
        out.extend(number(list.len()));
        for path in list {
            out.extend(number(path.len()));
            out.extend(path);
        }
    }
    out
}

/// The paths of each kind in a packet, whose bytes are looked at.
fn lists(packet: &ClientFrame) -> Vec<Vec<Vec<u8>>> {
    assert_eq!(packet.xid, -8);
    let (_, kinds) = SetWatches::decode(packet.opcode, packet.body.clone()).unwrap();
    let mut lists: Vec<Vec<Vec<u8>>> =
        kinds.iter().map(|paths| paths.iter().map(<[u8]>::to_vec).collect()).collect();
    if packet.opcode == opcode::SET_WATCHES {
        // The older packet ends behind the three kinds that fire once.
        assert!(lists.drain(3..).all(|list| list.is_empty()));
    }
    assert_eq!(packet.body, body(&lists));
    lists
}

fn check(counts: [usize; 5]) {
    let mut pair = watching(counts);
    let packets = replayed(&mut pair);
    let length = |packet: &ClientFrame| 8 + packet.body.len();
    let mut seen: [BTreeSet<Vec<u8>>; 5] = Default::default();
    for (number, packet) in packets.iter().enumerate() {
        assert!(length(packet) <= LIMIT, "{} bytes", length(packet));
        if number + 1 < packets.len() {
            assert!(length(packet) + 4 + path(0, 0).len() + 8 > LIMIT, "there was room for one more");
        }
        let lists = lists(packet);
        // Servers before 3.6 know the older one only.
        let newer = lists.iter().skip(3).any(|list| !list.is_empty());
        let expected = if newer { opcode::SET_WATCHES2 } else { opcode::SET_WATCHES };
        assert_eq!(packet.opcode, expected, "packet {number}");
        for (kind, list) in lists.into_iter().enumerate() {
            for path in list {
                assert!(seen[kind].insert(path), "each once");
            }
        }
    }
    for (kind, count) in counts.into_iter().enumerate() {
        assert!(seen[kind].iter().cloned().eq((0..count).map(|n| path(kind, n).into_bytes())), "kind {kind}");
    }
}

#[test]
fn ten_thousand_watches_that_fire_once_go_in_the_older_packet() {
    check([4_000, 3_000, 3_000, 0, 0]);
}

#[test]
fn ten_thousand_watches_of_all_kinds() {
    check([2_000, 2_000, 2_000, 2_000, 2_000]);
}

#[test]
fn one_persistent_watch_makes_the_packet_that_it_is_in_the_newer_one() {
    check([1, 1, 1, 1, 0]);
    check([1, 1, 1, 0, 1]);
    check([1, 1, 1, 0, 0]);
    check([0, 0, 0, 1, 0]);
}

#[test]
fn when_the_last_persistent_watch_is_gone_the_packet_is_the_older_one_again() {
    let mut pair = watching([1, 1, 1, 1, 1]);
    assert_eq!(replayed(&mut pair)[0].opcode, opcode::SET_WATCHES2);
    pair.session.forget_watcher(PERSISTENT as u64);
    assert_eq!(replayed(&mut pair)[0].opcode, opcode::SET_WATCHES2);
    pair.session.forget_watcher(RECURSIVE as u64);
    let packets = replayed(&mut pair);
    assert_eq!((packets.len(), packets[0].opcode), (1, opcode::SET_WATCHES));
    assert_eq!(lists(&packets[0]), [DATA, EXIST, CHILD].map(|kind| vec![path(kind, 0).into_bytes()]));
}

//! The search for a server that can write, from a connection to one that can't.

use std::time::Duration;
use zk_proto::op::Request;
use zk_proto::session::{Action, Config, Output};
use zk_proto::{opcode, Code, KeeperState};
use zk_testkit::{config, handshake, Pair};

const GET: Request<'_> = Request::GetData { path: b"/n", watch: true };
const MS: fn(u64) -> Duration = Duration::from_millis;

fn read_only(id: i64) -> Vec<u8> {
    let mut answer = handshake(3_000, id);
    *answer.last_mut().unwrap() = 1;
    answer
}

/// Connected to a read-only server. With `real` there was a session before, of id 7.
fn reading(hosts: &str, real: bool) -> Pair {
    let mut pair = Pair::new(Config { read_only: true, ..config(hosts) });
    if real {
        pair.connect();
        pair.cut();
    }
    pair.accept();
    pair.feed(&read_only(if real { 7 } else { 99 }));
    assert_eq!(pair.session.state(), KeeperState::CONNECTED_READ_ONLY);
    pair.outputs();
    pair.actions();
    pair.sent();
    pair
}

/// Answers pings, so that the connection stays.
fn pass(pair: &mut Pair, span: Duration) -> Vec<(u128, Action)> {
    let start = pair.now;
    let mut actions = Vec::new();
    while pair.now < start + span {
        pair.advance(MS(10).min((start + span).since(pair.now)));
        for frame in pair.sent() {
            if frame.opcode == opcode::PING {
                pair.reply(-2, 0, Code::OK, b"");
            }
        }
        actions.extend(pair.actions().into_iter().map(|(at, action)| (at.since(start).as_millis(), action)));
    }
    actions
}

fn probed(action: &Action) -> Option<&str> {
    match action {
        Action::Probe(host) => Some(&host.host),
        _ => None,
    }
}

#[test]
fn the_others_are_asked_in_rounds_with_pauses_that_double() {
    let mut pair = reading("a,b,c", false);
    let here = pair.session.server().unwrap().host.clone();
    let start = pair.now;
    let mut asked = Vec::new();
    while pair.now.since(start) < Duration::from_secs(20) {
        for (_, action) in pass(&mut pair, MS(10)) {
            if let Some(host) = probed(&action) {
                asked.push((pair.now.since(start).as_millis(), host.to_owned()));
                pair.session.handle_probe(pair.now, false);
            }
        }
        // The second of a round is asked as soon as the first has answered.
        while let Some((_, action)) = pair.actions().pop() {
            asked.push((pair.now.since(start).as_millis(), probed(&action).unwrap().to_owned()));
            pair.session.handle_probe(pair.now, false);
        }
    }
    let rounds: Vec<u128> = asked.chunks(2).map(|round| round[0].0).collect();
    assert!(asked.iter().all(|(_, host)| *host != here), "{asked:?}");
    for round in asked.chunks_exact(2) {
        assert_ne!(round[0].1, round[1].1, "each once a round");
    }
    let pauses: Vec<u128> = rounds.windows(2).map(|w| w[1] - w[0]).collect();
    assert!((100..=110).contains(&rounds[0]), "{rounds:?}");
    for (n, least) in [200, 400, 800, 1_600, 3_200].into_iter().enumerate() {
        assert!((least..=least * 5 / 4 + 20).contains(&pauses[n]), "{pauses:?}");
    }
}

#[test]
fn pauses_grow_to_a_minute_and_no_further() {
    let mut pair = reading("a,b", false);
    let (mut last, mut pauses) = (pair.now, Vec::new());
    while pauses.len() < 16 {
        for (_, action) in pass(&mut pair, MS(100)) {
            assert!(probed(&action).is_some(), "{action:?}");
            pauses.push(pair.now.since(last));
            last = pair.now;
            pair.session.handle_probe(pair.now, false);
        }
    }
    assert!(pauses[12..].iter().all(|p| (MS(60_000)..MS(75_200)).contains(p)), "{pauses:?}");
}

#[test]
fn the_session_goes_to_the_server_that_can_write_and_is_the_same_one_there() {
    let mut pair = reading("a,b,c", true);
    pair.submit(&GET, Some(5));
    let mut stat = vec![0, 0, 0, 0];
    stat.resize(4 + 68, 0);
    pair.reply(1, 5, Code::OK, &stat);
    pair.sent();
    let found = pass(&mut pair, MS(120));
    let host = probed(&found[0].1).unwrap().to_owned();
    let under_way = pair.submit(&GET, None);
    pair.outputs();
    pair.session.handle_probe(pair.now, true);
    assert_eq!(pair.actions(), [], "what is under way is answered first");
    pair.reply(2, 5, Code::NO_NODE, b"");
    let outputs = pair.outputs();
    assert!(matches!(outputs[0], Output::Completed { token, .. } if token == under_way));
    assert_eq!(outputs[1], Output::State(KeeperState::CONNECTING));
    let (zxid, id, passwd, _) = pair.accept();
    assert_eq!((zxid, id, passwd[7]), (5, 7, 7), "the session of the servers that can write");
    pair.feed(&handshake(3_000, 7));
    assert_eq!(pair.session.server().unwrap().host, host);
    assert_eq!(pair.outputs(), [Output::State(KeeperState::CONNECTED)]);
    assert_eq!(pair.sent()[0].opcode, opcode::SET_WATCHES, "with its watches");
    assert!(pass(&mut pair, Duration::from_secs(10)).is_empty(), "nothing is searched any more");
}

#[test]
fn a_session_that_began_read_only_becomes_a_new_one() {
    let mut pair = reading("a,b", false);
    assert_eq!(pair.session.credentials(), None);
    pass(&mut pair, MS(120));
    pair.session.handle_probe(pair.now, true);
    let (_, id, passwd, _) = pair.accept();
    assert_eq!((id, passwd), (0, [0; 16]), "what a read-only server gave is known nowhere else");
    pair.feed(&handshake(3_000, 8));
    assert_eq!(pair.session.state(), KeeperState::CONNECTED);
    assert_eq!(pair.session.credentials().unwrap().0, 8);
}

#[test]
fn a_session_that_was_seen_by_servers_that_can_write_shows_its_id_to_read_only_ones() {
    let mut pair = Pair::new(Config { read_only: true, ..config("a,b") });
    pair.connect();
    pair.cut();
    assert_eq!(pair.accept().1, 7);
    // It does not know the session, and makes one up.
    pair.feed(&read_only(99));
    assert_eq!(pair.session.state(), KeeperState::CONNECTED_READ_ONLY);
    assert_eq!(pair.session.credentials().unwrap().0, 7);
    pair.cut();
    assert_eq!(pair.accept().1, 7);
}

#[test]
fn a_probe_without_an_answer_ends_and_the_next_server_is_asked() {
    let mut pair = reading("a,b,c", false);
    let actions = pass(&mut pair, MS(1_300));
    let (first, then) = (probed(&actions[0].1).unwrap(), &actions[1..]);
    assert_eq!(then[0].1, Action::EndProbe);
    assert!(then[0].0 >= 1_100, "{then:?}");
    assert_ne!(probed(&then[1].1).unwrap(), first);
    // An answer that comes when nobody is asked means nothing.
    pair.cut();
    pair.session.handle_probe(pair.now, true);
    assert_eq!(pair.session.state(), KeeperState::CONNECTING);
}

#[test]
fn a_server_that_says_that_it_can_write_and_then_cannot_is_not_called_in_a_loop() {
    let mut pair = reading("a,b", false);
    let start = pair.now;
    let mut moves = 0;
    while pair.now.since(start) < Duration::from_secs(30) {
        for (_, action) in pass(&mut pair, MS(10)) {
            if probed(&action).is_some() {
                pair.session.handle_probe(pair.now, true);
            }
        }
        if !pair.session.is_connected() {
            pair.accept();
            pair.feed(&read_only(99));
            pair.sent();
            moves += 1;
        }
    }
    assert!((10..=40).contains(&moves), "{moves} in half a minute");
}

#[test]
fn the_only_server_of_a_list_is_not_asked_about_others() {
    let mut pair = reading("a", false);
    assert!(pass(&mut pair, Duration::from_secs(30)).is_empty());
    // Others may come.
    let servers = zk_proto::connect_string::ConnectString::parse(b"a,a:1").unwrap();
    for _ in 0..20 {
        pair.session.set_servers(pair.now, servers.clone()).unwrap();
        if !pair.session.is_connected() {
            return; // the dice said so
        }
        let actions = pass(&mut pair, MS(150));
        assert!(actions.iter().any(|(_, action)| probed(action).is_some()), "{actions:?}");
    }
}

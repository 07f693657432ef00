//! Connections that go silent without an end: in one direction or both, for less than the timeout and for more.

use crate::common::{Client, GET, SET};
use crate::keeper::{Keeper, ID};
use crate::LONG;
use std::thread;
use std::time::{Duration, Instant};
use zk_client::{Delivery, Engine};
use zk_proto::{Code, KeeperState};
use zk_testkit::proxy::{Reach, Way};
use zk_testkit::Proxy;

const HOLES: [&[Way]; 3] = [&[Way::ToServer], &[Way::ToClient], &[Way::ToServer, Way::ToClient]];

/// A session with this timeout through a proxy, connected. The server's first connection answers with "not empty", all
/// others with "no node".
struct Stage {
    keeper: Keeper,
    proxy: Proxy,
    client: Client,
}

impl Stage {
    fn new(timeout: Duration) -> Stage {
        let keeper = Keeper::start(timeout.as_millis() as i32, Code::NOT_EMPTY);
        let proxy = Proxy::start(&keeper.server.hosts());
        let engine = Engine::start().unwrap();
        let client = Client::with(&engine, &proxy.hosts(), |settings| settings.session_timeout = timeout);
        client.connected();
        assert_eq!(client.call(&GET), Code::NOT_EMPTY);
        Stage { keeper, proxy, client }
    }

    fn open(&self, ways: &[Way], reach: Reach) {
        ways.iter().for_each(|way| self.proxy.black_hole(*way, reach));
    }
}

/// Runs the same with each kind of hole, side by side.
fn with_each_hole(test: impl Fn(&[Way]) + Sync) {
    thread::scope(|scope| {
        let test = &test;
        for ways in HOLES {
            scope.spawn(move || test(ways));
        }
    });
}

#[test]
fn silence_for_half_of_the_timeout_delays_answers_and_costs_nothing_else() {
    let timeout = Duration::from_secs(8);
    with_each_hole(|ways| {
        let stage = Stage::new(timeout);
        stage.open(ways, Reach::All);
        stage.client.handle.post(&SET, 5, None, None).unwrap();
        stage.client.handle.flush();
        thread::sleep(timeout / 2);
        assert!(stage.client.queue.is_empty(), "{ways:?}");
        assert_eq!(stage.client.handle.state(), KeeperState::CONNECTED, "{ways:?}");
        stage.proxy.heal();
        match stage.client.delivery() {
            Delivery::Completed { id: 5, result: Err(failure) } => assert_eq!(failure.code, Code::NOT_EMPTY),
            other => panic!("{ways:?}: {other:?}"),
        }
        assert_eq!(stage.client.call(&GET), Code::NOT_EMPTY);
        assert_eq!(stage.proxy.counts().connections, 1, "{ways:?}");
    });
}

#[test]
fn a_silent_connection_is_left_for_another_and_its_late_answers_come_to_nobody() {
    with_each_hole(|ways| {
        let stage = Stage::new(Duration::from_millis(1_500));
        let client = &stage.client;
        stage.open(ways, Reach::Existing);
        let ids = [(1, &SET, true), (2, &GET, false), (3, &SET, true)];
        for (id, request, _) in ids {
            client.handle.post(request, id, None, None).unwrap();
        }
        client.handle.flush();
        for (id, _, write) in ids {
            match client.delivery() {
                Delivery::Completed { id: answered, result: Err(failure) } => {
                    assert_eq!((answered, failure.code), (id, Code::CONNECTION_LOSS), "{ways:?}");
                    assert_eq!(failure.maybe_applied, write, "{ways:?}");
                }
                other => panic!("{ways:?}: {other:?}"),
            }
        }
        assert_eq!(client.event().1.state, KeeperState::CONNECTING);
        assert_eq!(client.event().1.state, KeeperState::CONNECTED);
        assert_eq!(stage.keeper.handshakes(), [0, ID], "{ways:?}");
        // While numbers of requests go on as on the old connection, that one finds its way again.
        stage.proxy.heal();
        stage.proxy.wait_until(LONG, |counts| counts.open == 1).expect("the end of the old connection");
        for _ in 0..20 {
            assert_eq!(client.call(&GET), Code::NO_NODE, "{ways:?}");
        }
        assert!(client.queue.is_empty(), "{ways:?}");
        assert_eq!(stage.proxy.counts().connections, 2, "{ways:?}");
    });
}

#[test]
fn while_every_connection_is_silent_attempts_grow_few_and_the_session_comes_back() {
    let timeout = Duration::from_millis(900);
    with_each_hole(|ways| {
        let stage = Stage::new(timeout);
        let client = &stage.client;
        stage.open(ways, Reach::All);
        let start = Instant::now();
        client.handle.post(&SET, 1, None, None).unwrap();
        assert_eq!(client.answer(), (1, Code::CONNECTION_LOSS), "{ways:?}");
        // A third of the timeout each, and pauses: none, 200 ms, 400 ms.
        stage.proxy.wait_until(LONG, |counts| counts.connections == 5).expect("four attempts");
        assert!(start.elapsed() >= timeout + Duration::from_millis(600), "{ways:?}: {:?}", start.elapsed());
        // Who asks meanwhile waits for a connection, as long as a session lives.
        assert_eq!(client.call(&GET), Code::CONNECTION_LOSS, "{ways:?}");
        stage.proxy.heal();
        let waited = client.handle.wait_connected(Some(LONG));
        client.handle.wait(waited).unwrap();
        assert_eq!(client.handle.client_id().unwrap().0, ID);
        assert_eq!(client.handle.state(), KeeperState::CONNECTED);
        let asked = stage.keeper.handshakes();
        assert!(asked[1..].iter().all(|id| *id == ID), "{ways:?}: {asked:?}");
    });
}

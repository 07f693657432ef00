//! What several parts of a session have to do with each other.

use std::time::Duration;
use zk_proto::connect_string::ConnectString;
use zk_proto::sasl::Login;
use zk_proto::session::Config;
use zk_proto::KeeperState;
use zk_testkit::{config, Pair};

const MS: fn(u64) -> Duration = Duration::from_millis;

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

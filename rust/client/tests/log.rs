//! What the engine tells of connections, and that it tells it to the log in order.

#[path = "engine/common.rs"]
#[allow(dead_code)]
mod common;

use common::{no_node, Client, GET};
use std::fmt::Arguments;
use std::net::TcpListener;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use zk_client::log::{self, About, Level, Log};
use zk_proto::Code;
use zk_testkit::Server;

/// Keeps the lines. There is one log for the process, so that one test at a time may listen.
struct Kept {
    lines: Mutex<Vec<(Level, About, String)>>,
    turn: Mutex<()>,
}

static KEPT: Kept = Kept { lines: Mutex::new(Vec::new()), turn: Mutex::new(()) };

impl Log for Kept {
    fn write(&self, level: Level, about: About, line: Arguments<'_>) {
        self.lines.lock().unwrap().push((level, about, line.to_string()));
    }
}

struct Turn(#[allow(dead_code)] MutexGuard<'static, ()>);

impl Drop for Turn {
    fn drop(&mut self) {
        log::set_level(None);
        KEPT.lines.lock().unwrap().clear();
    }
}

fn listen(level: Level) -> Turn {
    let turn = KEPT.turn.lock().unwrap_or_else(PoisonError::into_inner);
    log::write_to(&KEPT);
    log::set_level(Some(level));
    Turn(turn)
}

/// The lines so far, once there is one that contains this.
fn lines_until(end: &str) -> Vec<String> {
    let give_up = Instant::now() + Duration::from_secs(60);
    loop {
        let lines: Vec<String> = KEPT
            .lines
            .lock()
            .unwrap()
            .iter()
            .map(|(level, about, line)| {
                format!("{} #{} {:#x}: {line}", level.name(), about.handle, about.session)
            })
            .collect();
        if lines.iter().any(|line| line.contains(end)) {
            return lines;
        }
        assert!(Instant::now() < give_up, "no line with '{end}' in {lines:#?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// With ports and spans of time as N, which differ from run to run.
fn masked(lines: &[String]) -> Vec<String> {
    let mask = |line: &String| {
        let mut out = String::new();
        let mut rest = line.as_str();
        while let Some(at) = rest.find("127.0.0.1:") {
            let port = at + "127.0.0.1:".len();
            let end = rest[port..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |n| port + n);
            out += &rest[..port];
            out.push('N');
            rest = &rest[end..];
        }
        out + rest
    };
    lines.iter().map(mask).collect()
}

#[test]
fn a_life_of_a_session_in_its_order() {
    let server = Server::start(|peer, number| {
        peer.shake_hands(5_000, 0x1234);
        match number {
            0 => peer.hang_up(),
            _ => peer.serve(no_node),
        }
    });
    let _turn = listen(Level::Info);
    let client = Client::connect(&server.hosts());
    lines_until("resumed");
    let closed = client.handle.close(Duration::from_secs(10));
    client.handle.wait(closed).unwrap();
    let mut lines = lines_until("session closed");
    // Another test's thread may have had a last word.
    let port = server.hosts().replace("127.0.0.1", "");
    lines.retain(|line| line.contains(&port) || line.contains("0x1234"));
    let lines = masked(&lines);
    assert_eq!(
        lines,
        [
            "info #1 0x0: opened for 127.0.0.1:N, timeout 1500 ms",
            "info #1 0x0: connecting to 127.0.0.1:N",
            "info #1 0x0: connected to 127.0.0.1:N from 127.0.0.1:N",
            "info #1 0x1234: session 0x1234 granted by 127.0.0.1:N, timeout 5000 ms",
            "warn #1 0x1234: connection to 127.0.0.1:N lost: closed by the server",
            "info #1 0x1234: connecting to 127.0.0.1:N",
            "info #1 0x1234: connected to 127.0.0.1:N from 127.0.0.1:N",
            "info #1 0x1234: session 0x1234 resumed by 127.0.0.1:N, timeout 5000 ms",
            "info #1 0x1234: closing the session",
            "info #1 0x1234: session closed",
        ]
    );
}

#[test]
fn servers_that_cannot_be_reached() {
    let _turn = listen(Level::Warn);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refused = Client::connect(&format!("127.0.0.1:{port}"));
    lines_until(&format!("warn #1 0x0: cannot connect to 127.0.0.1:{port}: Connection refused"));
    drop(refused);
    let nameless = Client::connect("no-such-host.invalid");
    lines_until("warn #1 0x0: cannot resolve no-such-host.invalid:2181: ");
    drop(nameless);
}

#[test]
fn a_server_that_hangs_up_before_it_grants_a_session() {
    let server = Server::start(|peer, _| {
        peer.next_frame();
        peer.hang_up();
    });
    let _turn = listen(Level::Warn);
    let _client = Client::connect(&server.hosts());
    lines_until("lost before a session was granted: closed by the server");
}

#[test]
fn a_call_and_the_loss_of_its_connection() {
    let server = Server::start(|peer, _| {
        peer.shake_hands(5_000, 7);
        peer.request();
    });
    let _turn = listen(Level::Trace);
    let client = Client::connect(&server.hosts());
    let connected = client.handle.wait_connected(Some(Duration::from_secs(20)));
    client.handle.wait(connected).unwrap();
    assert_eq!(client.call(&GET), Code::CONNECTION_LOSS);
    let lines = lines_until("requests answered");
    let at = |text: &str| lines.iter().position(|line| line.contains(text)).unwrap();
    assert!(at("request 1, 15 bytes: getData '/n'") < at(" lost: "));
    assert!(at(" lost: ") < at("warn #1 0x7: requests answered with connection loss (-4): 1"));
}

#[test]
fn nothing_is_told_when_nobody_listens() {
    let server = Server::start(|peer, _| {
        peer.shake_hands(5_000, 7);
        peer.serve(no_node);
    });
    let _turn = listen(Level::Error);
    log::set_level(None);
    let client = Client::connect(&server.hosts());
    assert_eq!(client.call(&GET), Code::NO_NODE);
    assert!(KEPT.lines.lock().unwrap().is_empty());
}

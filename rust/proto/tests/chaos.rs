//! Everything at once, by chance: logins, moves, searches, removals, losses, closing; and what holds all the same.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;
use zk_proto::connect_string::ConnectString;
use zk_proto::op::{AddWatchMode, Request, WatcherType};
use zk_proto::record::decode_token;
use zk_proto::sasl::Login;
use zk_proto::session::{Action, Config, Output};
use zk_proto::{opcode, Code, EventType};
use zk_testkit::{config, event_frame, handshake, reply_frame, sasl, ClientFrame, Pair};

const PATHS: [&[u8]; 3] = [b"/n", b"/n/m", b"/"];
const NONCE: &str = "once";

/// A connection as its server sees it.
#[derive(Default)]
struct Link {
    /// The handshake has been answered.
    greeted: bool,
    logged_in: bool,
    unanswered: VecDeque<ClientFrame>,
    /// There was a request of the user.
    asked: bool,
}

struct Play {
    rng: fastrand::Rng,
    pair: Pair,
    log_in: bool,
    link: Option<Link>,
    granted: bool,
    asked: HashSet<u64>,
    token: u64,
    probing: bool,
    closing: bool,
    zxid: i64,
    /// What has happened, and how often.
    seen: BTreeMap<&'static str, usize>,
}

impl Play {
    fn new(seed: u64) -> Play {
        let mut rng = fastrand::Rng::with_seed(seed);
        let log_in = rng.bool();
        let login = Login { username: "bob".to_owned(), password: "sesame".to_owned(), entropy: [3; 32] };
        let pair = Pair::new(Config {
            sasl: log_in.then_some(login),
            read_only: rng.bool(),
            max_in_flight: rng.usize(1..8),
            expire_by_clock: rng.u8(..4) == 0,
            seed,
            ..config("a,b,c")
        });
        Play {
            rng,
            pair,
            log_in,
            link: None,
            granted: false,
            asked: HashSet::new(),
            token: 0,
            probing: false,
            closing: false,
            zxid: 0,
            seen: BTreeMap::new(),
        }
    }

    fn bump(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    fn step(&mut self) {
        let now = self.pair.now;
        match self.rng.u8(..40) {
            0..=7 => self.ask(),
            8 => {
                let _ = self.pair.session.add_auth(b"digest", b"a:b", Some(9));
            }
            9 => {
                self.token += 1;
                let token = self.token;
                if self.pair.session.authenticate(now, b"digest", b"c:d", None, token, None).is_ok() {
                    self.asked.insert(token);
                }
            }
            10..=11 => {
                let hosts = ["a", "a,b", "b,c,d", "d", "a,b,c,d,e,f"][self.rng.usize(..5)];
                let servers = ConnectString::parse(hosts.as_bytes()).unwrap();
                let amid = self.pair.session.is_logging_in();
                let _ = self.pair.session.set_servers(now, servers);
                if self.pair.session.is_moving() {
                    self.bump("moves");
                } else if amid && !self.pair.session.is_logging_in() {
                    self.bump("moves amid a login");
                }
            }
            12 => {
                if let Some(token) = self.asked.iter().min().copied() {
                    self.asked.remove(&token);
                    self.pair.session.abandon(token);
                }
            }
            13 => self.pair.session.forget_watcher(self.rng.u64(1..6)),
            14 if self.rng.u8(..32) == 0 => {
                self.pair.session.close(now);
                self.closing = true;
            }
            14 if self.rng.u8(..32) == 0 => {
                self.pair.session.leave();
                self.closing = true;
            }
            15..=16 if self.link.is_some() => {
                self.pair.cut();
                self.link = None;
            }
            17..=18 if self.probing => {
                self.probing = false;
                let can_write = self.rng.bool();
                self.pair.session.handle_probe(now, can_write);
            }
            19..=21 => {
                let span = [1, 10, 300, 1_000, 2_500][self.rng.usize(..5)];
                self.pair.advance(Duration::from_millis(span));
            }
            22 if self.link.as_ref().is_some_and(|link| link.greeted && link.logged_in) => {
                let path = PATHS[self.rng.usize(..3)];
                let kind = EventType(self.rng.i32(1..5));
                self.pair.feed(&event_frame(kind, path));
            }
            _ => self.serve(),
        }
        self.look();
    }

    fn ask(&mut self) {
        let path = PATHS[self.rng.usize(..3)];
        let (watch, local) = (self.rng.bool(), self.rng.bool());
        let kind = [
            WatcherType::Any,
            WatcherType::Data,
            WatcherType::Children,
            WatcherType::Persistent,
            WatcherType::PersistentRecursive,
        ][self.rng.usize(..5)];
        let request = match self.rng.u8(..8) {
            0 => Request::GetData { path, watch },
            1 => Request::Exists { path, watch },
            2 => Request::GetChildren { path, watch },
            3 => Request::AddWatch { path, mode: AddWatchMode::Persistent },
            4 => Request::AddWatch { path, mode: AddWatchMode::PersistentRecursive },
            5 => Request::SetData { path, data: None, version: -1 },
            _ => Request::RemoveWatches { path, kind, local },
        };
        self.token += 1;
        let watcher = self.rng.bool().then(|| self.rng.u64(1..6));
        let within = (self.rng.u8(..4) == 0).then_some(Duration::from_millis(200));
        let (now, token, session) = (self.pair.now, self.token, &mut self.pair.session);
        let taken = match self.rng.bool() {
            true => session.submit(now, &request, token, watcher, within),
            false => session.try_submit(now, &request, token, watcher, within),
        };
        if taken.is_ok() {
            self.asked.insert(token);
            let sent = session.last_sent();
            if sent.xid.is_none() {
                session.follow(token);
                match sent.bytes {
                    0 => self.bump("removals without a server"),
                    _ if self.pair.session.is_connected() && !self.pair.session.is_moving() => {
                        self.bump("requests that waited for room");
                    }
                    _ => {}
                }
            }
        }
    }

    /// What the session wants, and what has become of it.
    fn look(&mut self) {
        for (_, action) in self.pair.actions() {
            match action {
                Action::Connect(_) => {
                    assert!(self.link.is_none(), "two connections");
                    self.link = Some(Link::default());
                    self.pair.session.handle_securing();
                }
                Action::Disconnect => {
                    // One that is lost while the session is closed is dropped all the same.
                    assert!(self.link.take().is_some() || self.closing, "no connection to drop");
                    self.probing = false;
                }
                Action::Probe(_) => {
                    assert!(self.link.is_some() && !self.probing, "two probes");
                    self.probing = true;
                    self.bump("probes");
                }
                Action::EndProbe => {
                    assert!(std::mem::take(&mut self.probing), "no probe to end");
                    self.bump("probes that end before their answer");
                }
            }
        }
        if self.link.is_none() {
            self.probing = false;
        }
        for output in self.pair.outputs() {
            match output {
                Output::Completed { token, .. } => {
                    self.pair.session.fetch_xid(token);
                    let known = self.asked.remove(&token);
                    assert!(known, "request {token} is answered twice, or after it was abandoned");
                }
                Output::Closed => assert!(self.closing),
                Output::Watch { event, .. } if event.kind == EventType::RESYNC => self.bump("resyncs"),
                _ => {}
            }
        }
        let session = &self.pair.session;
        let metrics = session.metrics();
        assert!(metrics.received <= metrics.sent, "{metrics:?}");
        if session.over().is_some() {
            assert!(self.asked.is_empty(), "{:?} have no answer", self.asked);
            assert_eq!(session.poll_timeout(), None);
            assert!(session.transmit().is_empty());
        } else {
            let next = session.poll_timeout().expect("a timer");
            let late = self.pair.now + Duration::from_secs(100);
            assert!(next <= late, "nothing happens for long");
            let cut_off = self.link.as_ref().is_none_or(|link| !link.greeted);
            if self.granted && cut_off {
                assert!(session.is_suspect(late), "cut off, and never suspect");
            }
        }
    }

    /// A step of the server.
    fn serve(&mut self) {
        let Some(link) = &mut self.link else { return };
        if !link.greeted && self.pair.session.transmit().is_empty() {
            self.pair.session.handle_connected(self.pair.now);
            return;
        }
        if !link.greeted {
            let bytes = self.pair.session.transmit().len();
            self.pair.session.transmitted(bytes);
            link.greeted = true;
            link.logged_in = !self.log_in;
            let mut answer = match self.rng.u16(..300) {
                0 => handshake(0, 0),
                _ => handshake(3_000, 7),
            };
            let read_only = self.rng.u8(..3) == 0;
            if read_only {
                *answer.last_mut().unwrap() = 1;
            }
            self.pair.feed(&answer);
            self.granted |= self.pair.session.credentials().is_some();
            return;
        }
        let frames = self.sent();
        let Some(link) = &mut self.link else { return };
        for frame in frames {
            if frame.opcode == opcode::SET_WATCHES && frame.xid == -8 && link.asked {
                *self.seen.entry("watches set again in between").or_default() += 1;
            }
            link.asked |= frame.opcode == opcode::GET_DATA;
            let first = matches!(frame.opcode, opcode::SASL | opcode::CLOSE_SESSION);
            assert!(link.logged_in || first, "{frame:?} before the login");
            link.unanswered.push_back(frame);
        }
        let Some(frame) = link.unanswered.pop_front() else { return };
        self.zxid += i64::from(self.rng.bool());
        let ok_body: Vec<u8> = match frame.opcode {
            opcode::GET_DATA => [&[0xff; 4][..], &[0; 68]].concat(),
            opcode::EXISTS | opcode::SET_DATA => vec![0; 68],
            opcode::SASL => match decode_token(frame.body.clone()).unwrap().unwrap_or_default() {
                token if token.is_empty() => with_length(&sasl::challenge(NONCE)),
                token => {
                    link.logged_in = true;
                    *self.seen.entry("logins").or_default() += 1;
                    let proof = sasl::verify(NONCE, &token, |_| Some(b"sesame".to_vec())).unwrap();
                    with_length(&proof)
                }
            },
            _ => vec![0; 4],
        };
        let code = match (frame.opcode, self.rng.u8(..)) {
            (opcode::PING | opcode::SET_WATCHES | opcode::SET_WATCHES2 | opcode::CLOSE_SESSION, _) => {
                Code::OK
            }
            (opcode::REMOVE_WATCHES, 1..=80) => Code::NO_WATCHER,
            (opcode::REMOVE_WATCHES, 81..=120) => Code::MARSHALLING_ERROR,
            (opcode::ADD_WATCH | opcode::GET_DATA, 1..=3) => Code::UNIMPLEMENTED,
            (opcode::AUTH | opcode::SASL, 1) if self.rng.u8(..8) == 0 => Code::AUTH_FAILED,
            (opcode::AUTH | opcode::SASL, _) => Code::OK,
            (_, 0) if self.rng.u8(..8) == 0 => Code::SESSION_CLOSED_REQUIRE_SASL_AUTH,
            (_, 1..=60) => Code::NO_NODE,
            _ => Code::OK,
        };
        let body = if code == Code::OK { ok_body } else { Vec::new() };
        self.pair.feed(&reply_frame(frame.xid, self.zxid, code, &body));
    }

    fn sent(&mut self) -> Vec<ClientFrame> {
        let mut rest = self.pair.session.transmit().to_vec();
        self.pair.session.transmitted(rest.len());
        let mut frames = Vec::new();
        while !rest.is_empty() {
            let length = u32::from_be_bytes(*rest.first_chunk().unwrap()) as usize;
            let tail = rest.split_off(4 + length);
            frames.push(ClientFrame::parse(bytes::Bytes::from(rest).slice(4..)));
            rest = tail;
        }
        frames
    }
}

fn with_length(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as i32).to_be_bytes()[..], bytes].concat()
}

/// More of them: `CHAOS_SEEDS=1000000 CHAOS_FROM=2000 cargo test --release -p zk-proto --test chaos`.
#[test]
fn each_request_has_one_answer_and_no_timer_spins_whatever_happens() {
    let number = |name: &str, or| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(or);
    let mut seen = BTreeMap::<&str, usize>::new();
    let (from, count) = (number("CHAOS_FROM", 0), number("CHAOS_SEEDS", 2_000));
    for seed in from..from + count {
        let play = std::panic::catch_unwind(|| {
            let mut play = Play::new(seed);
            for _ in 0..1_000 {
                play.step();
                if play.pair.session.over().is_some() {
                    break;
                }
            }
            play.pair.session.close(play.pair.now);
            play.closing = true;
            play.pair.advance(Duration::from_secs(60));
            play.look();
            assert!(play.pair.session.over().is_some(), "it does not end");
            play.seen
        });
        for (what, count) in play.unwrap_or_else(|_| panic!("seed {seed}")) {
            *seen.entry(what).or_default() += count;
        }
    }
    for what in [
        "moves",
        "moves amid a login",
        "logins",
        "probes",
        "probes that end before their answer",
        "resyncs",
        "watches set again in between",
        "requests that waited for room",
        "removals without a server",
    ] {
        assert!(seen.contains_key(what), "never: {what}");
    }
}

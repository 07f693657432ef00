//! A session, and all that must hold whatever is done to it.

use super::super::input::Input;
use super::server::Peer;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use zk_proto::connect_string::ConnectString;
use zk_proto::note::Level;
use zk_proto::op::Request;
use zk_proto::session::{Action, Config, Output, Session};
use zk_proto::time::Time;
use zk_proto::{opcode, Code, KeeperState};

/// Rounds of timers that one step may take; scripts with the smallest timeouts would go on for long.
const MOST_ROUNDS: usize = 400;

/// Length of a connect request with its head.
const CONNECT_REQUEST: usize = 49;

/// What there is of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Link {
    Down,
    Trying,
    Up,
}

/// A request that is to be answered.
#[derive(Debug)]
struct Call {
    write: bool,
    deadline: Time,
}

pub(super) struct World {
    pub(super) session: Session,
    pub(super) now: Time,
    pub(super) link: Link,
    /// A server is asked whether it can write.
    probing: bool,
    /// The server of this connection.
    pub(super) peer: Peer,
    /// Credentials that every new connection begins with.
    auths: BTreeSet<Vec<u8>>,
    request_timeout: Option<Duration>,
    max_in_flight: usize,
    calls: BTreeMap<u64, Call>,
    last_token: u64,
    forgotten: BTreeSet<u64>,
    /// How often the end was asked for, and told.
    closes: usize,
    closed: usize,
    pace: Pace,
}

impl World {
    pub(super) fn new(config: Config, notes: Option<Level>) -> World {
        let now = Time::from_micros(1_000_000_000);
        let (request_timeout, max_in_flight) = (config.request_timeout, config.max_in_flight);
        let mut world = World {
            session: Session::new(config, now),
            now,
            link: Link::Down,
            probing: false,
            peer: Peer::new(),
            auths: BTreeSet::new(),
            request_timeout,
            max_in_flight,
            calls: BTreeMap::new(),
            last_token: 0,
            forgotten: BTreeSet::new(),
            closes: 0,
            closed: 0,
            pace: Pace::default(),
        };
        world.session.want_notes(notes);
        world.settle();
        world
    }

    // What users do.

    /// `waits`: for room, if there is none.
    pub(super) fn submit(
        &mut self,
        request: &Request<'_>,
        watcher: Option<u64>,
        within: Option<Duration>,
        waits: bool,
    ) {
        self.last_token += 1;
        let full = self.session.outstanding() >= self.max_in_flight;
        let (over, deadline) = (self.session.over(), self.deadline(within));
        let result = match waits {
            true => self.session.submit(self.now, request, self.last_token, watcher, within),
            false => self.session.try_submit(self.now, request, self.last_token, watcher, within),
        };
        if over.is_none() && self.closes == 0 && full && !waits {
            assert_eq!(result.as_ref().unwrap_err().code, Code::THROTTLED_OP);
        }
        match result {
            Ok(()) => {
                assert_eq!(over, None, "a session that is over took a request");
                let write = opcode::is_write(request.opcode());
                self.calls.insert(self.last_token, Call { write, deadline });
                self.remember(watcher);
            }
            Err(failure) => {
                assert!(!failure.maybe_applied);
                let too_many = failure.code == Code::THROTTLED_OP && full && !waits;
                let too_long = failure.code == Code::BAD_ARGUMENTS && failure.detail.is_some();
                let none_set =
                    failure.code == Code::NO_WATCHER && matches!(request, Request::RemoveWatches { .. });
                let said = too_many || too_long || none_set;
                assert!(said || over == Some(failure.code) || self.closes > 0, "{failure:?}");
            }
        }
        self.settle();
    }

    fn deadline(&self, within: Option<Duration>) -> Time {
        self.now + within.or(self.request_timeout).unwrap_or(self.session.timeout() * 3)
    }

    /// An authentication whose outcome somebody waits for.
    pub(super) fn authenticate(
        &mut self,
        credentials: &[u8],
        watcher: Option<u64>,
        within: Option<Duration>,
    ) {
        self.last_token += 1;
        let (token, deadline) = (self.last_token, self.deadline(within));
        let result = self.session.authenticate(self.now, b"digest", credentials, watcher, token, within);
        if result.is_ok() {
            self.calls.insert(token, Call { write: false, deadline });
            self.auths.insert(credentials.to_vec());
            self.remember(watcher);
        }
        self.settle();
    }

    pub(super) fn add_auth(&mut self, credentials: &[u8], watcher: Option<u64>) {
        if self.session.add_auth(b"digest", credentials, watcher).is_ok() {
            self.auths.insert(credentials.to_vec());
            self.remember(watcher);
        }
        self.settle();
    }

    pub(super) fn abandon(&mut self, token: u64) {
        self.session.abandon(token);
        self.calls.remove(&token);
        self.settle();
    }

    pub(super) fn forget(&mut self, watcher: u8) {
        self.session.forget_watcher(watcher.into());
        self.forgotten.insert(watcher.into());
        self.settle();
    }

    pub(super) fn close(&mut self) {
        self.closes += 1;
        self.session.close(self.now);
        self.settle();
        assert!(self.calls.is_empty(), "close left requests without an answer: {:?}", self.calls);
    }

    pub(super) fn end(&mut self, code: Code) {
        self.closes += usize::from(code == Code::INVALID_STATE);
        self.session.end(code);
        self.settle();
        assert_eq!(self.session.over(), Some(code));
    }

    /// A new request, or authentication, may call a watcher that was forgotten.
    fn remember(&mut self, watcher: Option<u64>) {
        if let Some(id) = watcher {
            self.forgotten.remove(&id);
        }
    }

    // What time does.

    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        let mut rounds = 0;
        let calls = self.calls.len();
        let start = self.now;
        while self.session.poll_timeout().is_some_and(|t| t <= end) && rounds < MOST_ROUNDS {
            self.next_timer();
            rounds += 1;
        }
        let spent = self.now.since(start).as_millis() / 5;
        assert!(rounds as u128 <= 16 + spent + 2 * calls as u128, "{rounds} timers in {spent} x 5 ms");
        if rounds < MOST_ROUNDS {
            self.now = end;
        }
    }

    /// Goes to the moment of the next timer, and on until that moment has nothing more to do.
    pub(super) fn next_timer(&mut self) {
        if let Some(next) = self.session.poll_timeout() {
            self.now = self.now.max(next);
            for _ in 0..8 {
                self.timeout();
                if self.session.poll_timeout().is_none_or(|t| t > self.now) {
                    return;
                }
            }
            panic!("the timers spin at {:?}: {:?}", self.now, self.session);
        }
    }

    pub(super) fn stop_for(&mut self, span: Duration) {
        self.now = self.now + span;
        self.timeout();
    }

    fn timeout(&mut self) {
        self.session.handle_timeout(self.now);
        self.settle();
        for (token, call) in &self.calls {
            assert!(call.deadline > self.now, "request {token} was not given up in time");
        }
    }

    /// Lets time pass, with a network that gives no sign of life, until all have their answers.
    pub(super) fn wait_for_all(&mut self) {
        for _ in 0..2_000 {
            if self.calls.is_empty() {
                return;
            }
            self.next_timer();
        }
    }

    // What the network does.

    pub(super) fn connected(&mut self) {
        if self.link == Link::Trying {
            self.link = Link::Up;
            self.session.handle_connected(self.now);
            self.settle();
        }
    }

    pub(super) fn lost(&mut self) {
        if self.link != Link::Down {
            self.unlink();
            self.session.handle_closed(self.now);
            self.settle();
        }
    }

    /// The network takes up to `most` bytes.
    pub(super) fn flush(&mut self, most: usize) {
        let bytes = self.session.transmit();
        let count = bytes.len().min(most);
        self.peer.receive(&bytes[..count]);
        self.session.transmitted(count);
        self.settle();
    }

    /// Bytes from the server, in pieces of this length (0: all at once).
    pub(super) fn deliver(&mut self, bytes: &[u8], piece: u8) {
        let piece = if piece == 0 { bytes.len().max(1) } else { piece.into() };
        for bytes in bytes.chunks(piece) {
            let heard = self.session.wants_bytes();
            assert_eq!(heard, self.link == Link::Up);
            self.session.handle_bytes(self.now, bytes);
            self.settle();
        }
    }

    pub(super) fn out_of_turn(&mut self, which: u8) {
        match which % 4 {
            0 if self.link != Link::Trying => self.session.handle_connected(self.now),
            1 if self.link == Link::Down => self.session.handle_closed(self.now),
            2 if self.link != Link::Up => self.session.handle_bytes(self.now, &[0, 0, 0, 0, 1]),
            3 => self.session.handle_timeout(self.now),
            _ => {}
        }
        self.settle();
    }

    /// A server has said whether it can write, if one was asked.
    pub(super) fn probed(&mut self, can_write: bool) {
        if std::mem::take(&mut self.probing) {
            self.session.handle_probe(self.now, can_write);
            self.settle();
        }
    }

    /// Another list of servers.
    pub(super) fn set_hosts(&mut self, hosts: &str) {
        let servers = ConnectString::parse(hosts.as_bytes()).expect("a connect string");
        let over = self.session.over();
        // What was learnt of the former servers says nothing of these.
        self.pace.failures = 0;
        self.pace.recent.clear();
        let connected = self.session.is_connected();
        if let Err(failure) = self.session.set_servers(self.now, servers) {
            let ended = self.closes > 0 || over == Some(failure.code);
            assert!(ended || failure.code == Code::BAD_ARGUMENTS, "{failure:?}");
        }
        self.settle();
        if !connected {
            // An attempt that was given up for the new list is no loss.
            self.pace.failures = 0;
        }
    }

    fn unlink(&mut self) {
        self.link = Link::Down;
        self.probing = false;
        self.peer = Peer::new();
        self.pace.lost(self.now);
    }

    // What must hold.

    fn settle(&mut self) {
        while let Some((_, note)) = self.session.poll_note() {
            let line = note.to_string();
            assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
        }
        while let Some(output) = self.session.poll_output() {
            self.hear(output);
        }
        while let Some(action) = self.session.poll_action() {
            match action {
                Action::Connect(_) => {
                    assert_eq!(self.link, Link::Down, "a second connection");
                    self.link = Link::Trying;
                    self.pace.connect(self.now);
                }
                Action::Probe(_) => {
                    assert!(self.link == Link::Up && !self.probing, "a probe out of turn");
                    self.probing = true;
                }
                Action::EndProbe => self.probing = false,
                Action::Disconnect => {
                    assert!(self.link != Link::Down || self.closes > 0, "there is nothing to drop");
                    if self.link != Link::Down {
                        self.unlink();
                    }
                }
            }
        }
        self.check_link();
        self.check_stream();
        if self.session.over().is_some() {
            self.assert_all_answered();
        } else {
            let next = self.session.poll_timeout().expect("a session that is not over waits for something");
            if self.link == Link::Down {
                self.pace.check_next(next.max(self.now), self.now);
            }
        }
    }

    fn hear(&mut self, output: Output) {
        match output {
            Output::Completed { token, result } => {
                let call = self.calls.remove(&token);
                let call = call.unwrap_or_else(|| panic!("request {token} was answered: {result:?}"));
                if let Err(failure) = result {
                    assert_ne!(failure.code, Code::OK);
                    assert!(call.write || !failure.maybe_applied, "a read can't have changed anything");
                }
            }
            Output::Watch { watcher, event, .. } => {
                assert!(!self.forgotten.contains(&watcher), "{watcher} was forgotten and hears {event:?}");
            }
            Output::Auth { watcher, code } => {
                assert!(!self.forgotten.contains(&watcher), "{watcher} was forgotten");
                assert!([Code::OK, Code::AUTH_FAILED].contains(&code));
            }
            Output::State(_) => {}
            Output::Closed => {
                self.closed += 1;
                assert!(self.closed <= self.closes, "closed without being asked to");
            }
        }
    }

    fn check_link(&mut self) {
        let state = self.session.state();
        let expected = match (self.session.over(), self.link) {
            (Some(Code::SESSION_EXPIRED), Link::Down) => vec![KeeperState::EXPIRED],
            (Some(Code::AUTH_FAILED), Link::Down) => vec![KeeperState::AUTH_FAILED],
            (Some(_), Link::Down) => vec![KeeperState::NOT_CONNECTED],
            (None, Link::Down | Link::Trying) => vec![KeeperState::CONNECTING],
            (None, Link::Up) => {
                vec![KeeperState::ASSOCIATING, KeeperState::CONNECTED, KeeperState::CONNECTED_READ_ONLY]
            }
            (Some(code), link) => panic!("over with {code:?}, and the link is {link:?}"),
        };
        assert!(expected.contains(&state), "{state:?} with the link {:?}", self.link);
        if self.session.is_connected() {
            self.pace.established.get_or_insert(self.now);
            self.peer.greeted(self.auths.len());
        }
    }

    fn check_stream(&self) {
        let waiting = self.session.transmit().len();
        if self.link != Link::Up {
            assert_eq!(waiting, 0, "bytes for no connection");
        } else if !self.session.is_connected() {
            assert_eq!(self.peer.received() + waiting, CONNECT_REQUEST, "sent before the handshake");
        }
        self.peer.check_unanswered(self.max_in_flight);
    }

    pub(super) fn assert_all_answered(&self) {
        assert!(self.calls.is_empty(), "over, and without an answer: {:?}", self.calls);
        assert_eq!(self.session.poll_timeout(), None, "over, and a timer runs");
        assert_eq!(self.link, Link::Down, "over, and connected");
        assert!(self.closes == 0 || self.closed > 0, "nobody was told that it is closed");
    }

    /// Whether the end was asked for.
    pub(super) fn is_closing(&self) -> bool {
        self.closes > 0
    }
}

/// When connections are tried: the first retry at once, then after pauses that grow to a second.
#[derive(Default)]
struct Pace {
    established: Option<Time>,
    lost: Option<Time>,
    /// Losses since the last connection that held for a second.
    failures: u32,
    recent: VecDeque<Time>,
}

impl Pace {
    fn lost(&mut self, now: Time) {
        if self.established.take().is_some_and(|since| now.since(since) >= Duration::from_secs(1)) {
            self.failures = 0;
        }
        self.failures += 1;
        self.lost = Some(now);
    }

    fn connect(&mut self, now: Time) {
        let least_ms = match self.failures {
            0 | 1 => 0,
            2..=4 => 200,
            _ => 1_000,
        };
        if let Some(lost) = self.lost {
            let pause = now.since(lost);
            assert!(pause >= Duration::from_millis(least_ms), "{pause:?} after {} losses", self.failures);
        }
        self.recent.push_back(now);
        if self.recent.len() > 5 {
            let before = self.recent.pop_front().expect("six of them");
            assert!(now.since(before) >= Duration::from_secs(1), "six connections in a second");
        }
    }

    fn check_next(&self, next: Time, now: Time) {
        let by = self.lost.map_or(now, |lost| lost + Duration::from_millis(1_500)).max(now);
        assert!(next <= by, "the next attempt, or something before it, is too far away");
    }
}

/// Used by scripts that pick a path.
pub(super) fn path<'a>(input: &mut Input<'_>) -> &'a [u8] {
    input.choose(&[&b"/n"[..], b"/n/m", b"/", b"/app/n", b"/zookeeper/config", b"/deep/er/and/deeper"])
}

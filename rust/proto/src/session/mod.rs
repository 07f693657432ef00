//! A session with an ensemble, as a value that is fed and drained.
//!
//! Feed it: [`handle_connected`](Session::handle_connected), [`handle_bytes`](Session::handle_bytes), [`handle_closed`](Session::handle_closed),
//! [`handle_timeout`](Session::handle_timeout), [`handle_probe`](Session::handle_probe), [`submit`](Session::submit).
//! Then drain it, in this order, until each has nothing more: [`poll_note`](Session::poll_note) (if
//! any are wanted), [`poll_output`](Session::poll_output),
//! [`poll_action`](Session::poll_action), [`transmit`](Session::transmit) (followed by
//! [`transmitted`](Session::transmitted)), [`poll_timeout`](Session::poll_timeout).
//!
//! The session survives its connections: it reconnects over its list of servers, resumes with id and
//! password, logs in by SASL, replays authentication and then watches before any request of the user,
//! and ends only by the server's word (expiry, refused authentication) or by [`close`](Session::close).

mod auth;
mod connection;
mod covered;
mod incoming;
mod lease;
mod metrics;
mod moving;
mod notes;
mod removal;
mod requests;
mod sasl;
pub mod search;
mod sent;
mod timers;
mod troubles;

pub use metrics::Metrics;

use crate::chroot::Chroot;
use crate::connect_string::{ConnectString, HostPort};
use crate::endpoints::Endpoints;
use crate::event::{EventType, KeeperState};
use crate::frame::FrameBuffer;
use crate::note::{Level, Note, Notes};
use crate::op::Reply;
use crate::pending::PendingQueue;
use crate::sasl::Login;
use crate::time::Time;
use crate::watches::Watches;
use crate::xid::XidCounter;
use crate::Code;
use auth::AuthList;
use bytes::Bytes;
use lease::Lease;
use requests::Waiting;
use sasl::Sasl;
pub use sent::Sent;
use sent::SentLog;
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;
use troubles::Troubles;

/// Replies are accepted up to this length even when `jute_maxbuffer` is smaller: servers do not
/// limit what they send, and a list of children may be long.
const LEAST_FRAME_LIMIT: usize = 64 << 20;

/// What a session is made with.
#[derive(Clone)]
pub struct Config {
    /// Servers and chroot.
    pub servers: ConnectString,
    /// The session timeout to ask for; the server may choose another.
    pub session_timeout: Duration,
    /// Id and password of a session to resume.
    pub resume: Option<(i64, [u8; 16])>,
    /// Accept read-only servers.
    pub read_only: bool,
    /// How long an answer may take, once connected. `None`: three session timeouts.
    pub request_timeout: Option<Duration>,
    /// The longest request, and the longest reply where it is over 64 MiB, in bytes without the
    /// four of the length.
    pub jute_maxbuffer: usize,
    /// How many requests may be unanswered; more wait, or are refused.
    pub max_in_flight: usize,
    /// Take a session as expired once it is [suspect](Session::is_suspect), without the server's word for it.
    pub expire_by_clock: bool,
    /// Log in by SASL on every connection. A server that refuses, or can't prove that it knows the
    /// password, ends the session.
    pub sasl: Option<Login>,
    /// Seed of the order of servers and of the jitter of pauses.
    pub seed: u64,
}

/// What the session wants done to its connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Connect to this server; then call `handle_connected` or `handle_closed`.
    Connect(HostPort),
    /// Ask this server, over a connection of its own, whether it can write (`isro`); then call
    /// [`handle_probe`](Session::handle_probe). There is one probe at a time: the one before has ended.
    Probe(HostPort),
    /// Drop the probe; `handle_probe` is not called for it any more. A connection that is dropped takes it along.
    EndProbe,
    /// Drop the connection or the attempt. `handle_closed` is not called for it.
    Disconnect,
}

/// What the session tells its users, in the order in which the server said it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// The answer to the request with this token: exactly one for each that was submitted, but for
    /// those abandoned.
    Completed {
        /// As given to [`Session::submit`].
        token: u64,
        /// The answer.
        result: Result<Reply, Failure>,
    },
    /// A watch fired.
    Watch {
        /// As given to [`Session::submit`].
        watcher: u64,
        /// What happened.
        event: WatchedEvent,
        /// The watch is a persistent one, and will fire again: it is on a path that is so many bytes of the
        /// event's.
        stays: Option<usize>,
    },
    /// The state of the session changed in a way that users hear of.
    State(KeeperState),
    /// An authentication was accepted ([`Code::OK`]) or refused ([`Code::AUTH_FAILED`]).
    Auth {
        /// As given to [`Session::add_auth`].
        watcher: u64,
        /// The outcome.
        code: Code,
    },
    /// [`Session::close`] has come to its end.
    Closed,
}

/// A watch event as its watcher hears of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatchedEvent {
    /// What happened.
    pub kind: EventType,
    /// The state of the session as the server put it into the event.
    pub state: KeeperState,
    /// Path without the chroot; empty for session events, `None` for the outcome of an
    /// authentication.
    pub path: Option<Bytes>,
}

/// Why a request failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The error code.
    pub code: Code,
    /// A write that the server may have executed all the same.
    pub maybe_applied: bool,
    /// What was wrong, where the code does not say it.
    pub detail: Option<String>,
}

impl Failure {
    /// A failure of which it is sure that nothing was changed.
    pub fn new(code: Code) -> Failure {
        Failure { code, maybe_applied: false, detail: None }
    }
}

/// Where the session stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// No connection; the next attempt starts then.
    Pausing { until: Time },
    /// An attempt is under way; `securing`: the TLS handshake.
    Connecting { deadline: Time, securing: bool },
    /// Connected; the connect request is out.
    Handshaking { deadline: Time },
    /// There is a session; the login by SASL is under way.
    Authenticating { deadline: Time, read_only: bool },
    /// The session is usable on this connection.
    Established { since: Time, read_only: bool },
    /// Over: every request is answered with this code.
    Over(Code),
}

/// See the [module](self).
pub struct Session {
    config: Config,
    rng: fastrand::Rng,
    endpoints: Endpoints,
    phase: Phase,
    /// The server that is tried or connected to.
    server: Option<HostPort>,

    id: i64,
    passwd: [u8; 16],
    timeout: Duration,
    last_zxid: i64,
    lease: Lease,

    sasl: Sasl,
    auth: AuthList,
    watches: Watches,
    /// How long a setWatches packet may be, as far as is known of the servers.
    replay_bytes: usize,
    /// setWatches packets that this connection's server has not answered.
    replaying: usize,
    arming: covered::Arming,
    xids: XidCounter,
    /// Handed to the connection and not answered.
    pending: PendingQueue,
    /// Waiting for a connection, or for room among the pending.
    waiting: VecDeque<Waiting>,
    /// Not later than the moment at which the first of them is given up.
    connect_by: Option<Time>,
    /// xid of the closeSession that is under way.
    closing: Option<i32>,
    /// The connection is to be given up for another server's: as soon as nothing is under way, or then.
    moving: Option<Time>,
    /// The search for a server that can write, on a connection to one that can't.
    search: Option<search::Search>,
    counted: Metrics,

    frames: FrameBuffer,
    out: Vec<u8>,
    out_start: usize,
    /// Bytes of this connection's stream that were transmitted.
    transmitted: u64,
    last_read: Time,
    /// When something was written last that renews the session. Authentications don't: servers look at those before
    /// they look for the session (`ZooKeeperServer.processPacket`).
    last_write: Time,

    /// Why there is no connection.
    troubles: Troubles,

    outputs: VecDeque<Output>,
    actions: VecDeque<Action>,
    notes: Notes,
    sent: SentLog,
}

impl Session {
    /// A session that wants its first connection at once.
    pub fn new(config: Config, now: Time) -> Session {
        let mut rng = fastrand::Rng::with_seed(config.seed);
        let (id, passwd) = config.resume.unwrap_or((0, [0; 16]));
        Session {
            endpoints: Endpoints::new(config.servers.hosts.clone(), &mut rng),
            rng,
            phase: Phase::Pausing { until: now },
            server: None,
            id,
            passwd,
            timeout: config.session_timeout,
            last_zxid: 0,
            lease: Lease::default(),
            sasl: Sasl::default(),
            auth: AuthList::default(),
            watches: Watches::default(),
            replay_bytes: connection::SET_WATCHES_BYTES,
            replaying: 0,
            arming: covered::Arming::default(),
            xids: XidCounter::default(),
            pending: PendingQueue::default(),
            waiting: VecDeque::new(),
            connect_by: None,
            closing: None,
            moving: None,
            search: None,
            counted: Metrics::default(),
            frames: FrameBuffer::new(config.jute_maxbuffer.max(LEAST_FRAME_LIMIT)),
            out: Vec::new(),
            out_start: 0,
            transmitted: 0,
            last_read: now,
            last_write: now,
            troubles: Troubles::default(),
            outputs: VecDeque::new(),
            actions: VecDeque::new(),
            notes: Notes::default(),
            sent: SentLog::default(),
            config,
        }
    }

    /// What happened since the last call, oldest first.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What is to be done to the connection, oldest first.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Leave notes up to this level from now on; none at first.
    pub fn want_notes(&mut self, up_to: Option<Level>) {
        self.notes.want(up_to);
    }

    /// Leaves a note of what the session was made with.
    pub fn note_opened(&mut self) {
        self.notes.leave(Level::Info, || Note::Opened {
            hosts: self.config.servers.to_string(),
            timeout: self.timeout,
            resume: self.id,
            read_only: self.config.read_only,
        });
    }

    /// What there is to say about what happened since the last call, oldest first.
    pub fn poll_note(&mut self) -> Option<(Level, Note)> {
        self.notes.poll()
    }

    /// Bytes to be written to the connection.
    pub fn transmit(&self) -> &[u8] {
        self.out.get(self.out_start..).unwrap_or_default()
    }

    /// The first `count` bytes of [`transmit`](Self::transmit) have been handed to the system.
    pub fn transmitted(&mut self, count: usize) {
        self.out_start += count;
        self.transmitted += count as u64;
        self.counted.bytes_sent += count as u64;
        if self.out_start >= self.out.len() {
            self.out_start = 0;
            self.out.clear();
            // One large write must not cost its memory for the rest of the session.
            if self.out.capacity() > 64 << 10 {
                self.out = Vec::new();
            }
        } else if self.out_start > (64 << 10).max(self.out.len() / 2) {
            // A server that reads slowly, so that something is always left, must not make this keep
            // all that was ever sent. The rest is the smaller part: moving it is paid for.
            self.out.drain(..self.out_start);
            self.out_start = 0;
        }
    }

    /// The state in the C client's numbers.
    pub fn state(&self) -> KeeperState {
        match self.phase {
            Phase::Connecting { securing: true, .. } => KeeperState::SSL_CONNECTING,
            Phase::Pausing { .. } | Phase::Connecting { .. } => KeeperState::CONNECTING,
            Phase::Handshaking { .. } | Phase::Authenticating { .. } => KeeperState::ASSOCIATING,
            Phase::Established { read_only: false, .. } => KeeperState::CONNECTED,
            Phase::Established { read_only: true, .. } => KeeperState::CONNECTED_READ_ONLY,
            Phase::Over(Code::SESSION_EXPIRED) => KeeperState::EXPIRED,
            Phase::Over(Code::AUTH_FAILED) => KeeperState::AUTH_FAILED,
            Phase::Over(_) => KeeperState::NOT_CONNECTED,
        }
    }

    /// Whether there is a connection with a session on it that takes requests.
    pub fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Established { .. })
    }

    /// Whether bytes that arrive are of use.
    pub fn wants_bytes(&self) -> bool {
        use Phase::{Authenticating, Established, Handshaking};
        matches!(self.phase, Handshaking { .. } | Authenticating { .. } | Established { .. })
    }

    /// Whether requests go straight to the server.
    fn is_established(&self) -> bool {
        self.is_connected() && self.closing.is_none()
    }

    /// Whether the last request or ping that a server has answered was sent longer ago than the timeout: servers
    /// have probably expired the session, and what depends on it (a lock) must be taken as lost. It may still turn
    /// out to live: only a server's word ends it (or [`Config::expire_by_clock`]).
    pub fn is_suspect(&self, now: Time) -> bool {
        self.over().is_none() && self.suspect_at().is_some_and(|at| at <= now)
    }

    /// Whether [`close`](Self::close) is under way.
    pub fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// The code that every further request is answered with, once the session is over.
    pub fn over(&self) -> Option<Code> {
        match self.phase {
            Phase::Over(code) => Some(code),
            _ => None,
        }
    }

    /// Session id and password, once a server has given them.
    pub fn credentials(&self) -> Option<(i64, [u8; 16])> {
        (self.id != 0).then_some((self.id, self.passwd))
    }

    /// The negotiated session timeout; before the first connection the one that is asked for.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The greatest transaction id seen in a reply.
    pub fn last_zxid(&self) -> i64 {
        self.last_zxid
    }

    /// The server that is connected to, or tried.
    pub fn peer(&self) -> Option<&HostPort> {
        self.server.as_ref()
    }

    /// The server that the session is connected to.
    pub fn server(&self) -> Option<&HostPort> {
        self.server.as_ref().filter(|_| self.is_connected())
    }

    /// Requests that are with the session: waiting for a connection or for room, or for their replies (those that
    /// were given up too, as long as a reply may still come).
    pub fn outstanding(&self) -> usize {
        self.waiting.len() + self.pending.len()
    }

    /// All watchers that are armed, each once: those whom a session event concerns beside the
    /// default one.
    pub fn armed_watchers(&self) -> Vec<u64> {
        self.watches.all()
    }

    /// Takes a watcher off: its events are not reported any more, and it is not armed again, not even
    /// by a request that is under way.
    pub fn forget_watcher(&mut self, watcher: u64) {
        let mixed = self.watches.mixed_of(watcher);
        self.watches.forget(watcher);
        mixed.iter().for_each(|path| self.check_left(path));
        self.forget_wishes(watcher);
        self.auth.forget(watcher);
    }

    /// Chroot of the connect string.
    fn chroot(&self) -> &Chroot {
        &self.config.servers.chroot
    }
}

// Neither shows the password: it is worth a takeover of the session.

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("servers", &self.servers)
            .field("session_timeout", &self.session_timeout)
            .field("resume", &self.resume.map(|(id, _)| id))
            .field("read_only", &self.read_only)
            .field("request_timeout", &self.request_timeout)
            .field("jute_maxbuffer", &self.jute_maxbuffer)
            .field("max_in_flight", &self.max_in_flight)
            .field("expire_by_clock", &self.expire_by_clock)
            .field("sasl", &self.sasl)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("config", &self.config)
            .field("phase", &self.phase)
            .field("server", &self.server)
            .field("id", &self.id)
            .field("timeout", &self.timeout)
            .field("last_zxid", &self.last_zxid)
            .field("auth", &self.auth)
            .field("outstanding", &self.outstanding())
            .finish_non_exhaustive()
    }
}

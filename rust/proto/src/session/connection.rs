//! The life of a connection: attempt, handshake, loss; and what is replayed on a new one.

use super::{Action, Output, Phase, Session, WatchedEvent};
use crate::event::{EventType, KeeperState};
use crate::note::{Expiry, Level, Note};
use crate::pending::{WatchRule, WatchWish};
use crate::record::{ConnectRequest, ConnectResponse, SetWatches};
use crate::time::Time;
use crate::watches::WatchKind;
use crate::Code;
use bytes::Bytes;
use std::time::Duration;

/// The longest setWatches packet: a longer one might be over the server's limit for requests.
/// Source: ZOOKEEPER-706 (`SET_WATCHES_MAX_LENGTH` of the Java client).
pub(super) const SET_WATCHES_BYTES: usize = 128 << 10;
/// Packets are not made shorter than this (a path that is longer has one of its own).
const LEAST_SET_WATCHES_BYTES: usize = 1 << 10;

impl Session {
    /// The connection that [`Action::Connect`] asked for is there, and is being secured (TLS) before it
    /// can be used: [`handle_connected`](Self::handle_connected) follows.
    pub fn handle_securing(&mut self) {
        if let Phase::Connecting { securing, .. } = &mut self.phase {
            *securing = true;
        }
    }

    /// It could not be secured, and is tried with another address of the server.
    pub fn handle_next_address(&mut self) {
        if let Phase::Connecting { securing, .. } = &mut self.phase {
            *securing = false;
        }
    }

    /// The connection that [`Action::Connect`] asked for is up.
    pub fn handle_connected(&mut self, now: Time) {
        let Phase::Connecting { deadline, .. } = self.phase else { return };
        self.phase = Phase::Handshaking { deadline };
        self.last_read = now;
        self.last_write = now;
        ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.last_zxid,
            timeout_ms: self.config.session_timeout.as_millis().try_into().unwrap_or(i32::MAX),
            session_id: self.id,
            passwd: &self.passwd,
            read_only: self.config.read_only,
        }
        .encode(&mut self.out);
        self.note_handshake();
    }

    /// The attempt failed, or the connection has ended.
    pub fn handle_closed(&mut self, now: Time) {
        if !matches!(self.phase, Phase::Pausing { .. } | Phase::Over(_)) {
            self.lose(now, false);
        }
    }

    /// Starts an attempt.
    pub(super) fn connect(&mut self, now: Time) {
        let Some(host) = self.endpoints.next() else { return };
        self.server = Some(host.clone());
        self.phase = Phase::Connecting { deadline: now + self.connect_limit(), securing: false };
        self.actions.push_back(Action::Connect(host));
    }

    /// A third of the session timeout for connection and handshake together, as the C client gives
    /// it: two dead servers can be passed before the session is in danger. What a server granted
    /// beyond the wish is no reason to wait longer for another: it may be weeks.
    pub(super) fn connect_limit(&self) -> Duration {
        (self.timeout.min(self.config.session_timeout) / 3).max(Duration::from_millis(100))
    }

    /// Drops the connection (`ours`: it is still there and the caller must close it) and plans the
    /// next attempt. All that was handed to it is answered; what waits goes on waiting.
    pub(super) fn lose(&mut self, now: Time, ours: bool) {
        if self.closing.is_some() {
            self.end(Code::INVALID_STATE);
            return;
        }
        if ours {
            self.actions.push_back(Action::Disconnect);
        }
        let up_since = match self.phase {
            Phase::Established { since, .. } => Some(since),
            _ => None,
        };
        // A server whose limit is lower than the one known here drops the connection without a word,
        // and would do so for ever. When something else was the reason, shorter packets do no harm.
        if self.replaying > 0 {
            self.replay_bytes = (self.replay_bytes / 2).max(LEAST_SET_WATCHES_BYTES);
        }
        self.answer_pending(Code::CONNECTION_LOSS);
        if up_since.is_some() {
            // It stood behind requests that were sent, and must not run without them.
            self.fail_waiting(Code::CONNECTION_LOSS);
        }
        self.reset_stream();
        let until = self.endpoints.failed(now, up_since, &mut self.rng);
        self.phase = Phase::Pausing { until };
        self.notes.leave(Level::Debug, || Note::Pause(until.since(now)));
        if up_since.is_some() {
            self.outputs.push_back(Output::State(KeeperState::CONNECTING));
        }
    }

    /// The session is over by the server's word.
    pub(super) fn lose_for_good(&mut self, code: Code) {
        if self.closing.is_some() {
            // The user wants no session any more: that it is closed is the last he hears.
            self.end(Code::INVALID_STATE);
            return;
        }
        let armed = std::mem::take(&mut self.watches);
        self.end(code);
        // Users of armed watches still hear of the end (they are listed when the state is told).
        self.watches = armed;
        self.outputs.push_back(Output::State(self.state()));
    }

    /// Nothing of a connection's stream has a meaning on the next.
    pub(super) fn reset_stream(&mut self) {
        self.pending.clear();
        self.lease.connection_lost();
        self.sasl.connection_lost();
        self.auth.connection_lost();
        self.moving = None;
        self.search = None;
        self.replaying = 0;
        self.arming.connection_lost();
        self.frames.clear();
        self.out.clear();
        self.out_start = 0;
        self.transmitted = 0;
    }

    /// The server's answer to the connect request.
    pub(super) fn handle_connect_response(&mut self, now: Time, response: &ConnectResponse) {
        let Phase::Handshaking { deadline } = self.phase else { return };
        // Each client tests another of the three; a server that hands out a new id instead of
        // refusing the old one (ClickHouse Keeper does) has lost the session all the same.
        let refused = response.timeout_ms <= 0 || response.session_id == 0;
        if refused && self.id == 0 {
            // Nothing to refuse: not a server that we can talk to.
            self.notes.leave(Level::Error, || Note::NoSession(self.server.clone()));
            self.blame("it grants no session");
            self.lose(now, true);
            return;
        }
        // Ids of read-only servers say nothing about the session that they can't renew.
        let another = self.id != 0 && response.session_id != self.id && !response.read_only;
        if refused || another {
            self.note_expiry(if refused { Expiry::Refused } else { Expiry::Replaced });
            self.lose_for_good(Code::SESSION_EXPIRED);
            return;
        }
        if response.read_only && !self.config.read_only {
            self.notes.leave(Level::Warn, || Note::ReadOnly(self.server.clone()));
            self.blame("it is read-only, being cut off from its ensemble");
            self.lose(now, true);
            return;
        }
        let resumed = self.id != 0 && !response.read_only;
        self.timeout = Duration::from_millis(response.timeout_ms.unsigned_abs().into());
        if !response.read_only {
            // The id that a read-only server gives is valid nowhere else.
            self.id = response.session_id;
            self.passwd = response.passwd;
            self.lease(self.last_write); // the handshake was written last
        }
        self.counted.connections += 1;
        self.note_granted(response, resumed);
        if !self.start_sasl(now, deadline, response.read_only) {
            self.establish(now, response.read_only);
        }
    }

    /// The session is usable from now on: what it was is restored, and users' requests follow.
    pub(super) fn establish(&mut self, now: Time, read_only: bool) {
        self.phase = Phase::Established { since: now, read_only };
        self.troubles.clear();
        if read_only {
            self.search_from(now);
        }
        // Authentication first: without it the server would not report events on protected nodes.
        self.replay_auth();
        self.note_replay();
        self.replay_watches(now);
        self.arm_owed();
        self.hand_over_waiting(now);
        self.outputs.push_back(Output::State(self.state()));
        self.tell_of_missed_changes();
    }

    /// The server arms persistent watches again, but does not say what they have missed. Whoever looks for
    /// himself from now on does so after they are armed. Source: `DataTree.setWatches` of Apache ZooKeeper.
    fn tell_of_missed_changes(&mut self) {
        let state = self.state();
        for (watcher, path) in self.watches.staying() {
            let stays = Some(path.len());
            let path = Some(Bytes::from(path.into_vec()));
            let event = WatchedEvent { kind: EventType::RESYNC, state, path };
            self.outputs.push_back(Output::Watch { watcher, event, stays });
        }
    }

    /// Arms all watches again. The server compares with the last zxid that this client saw and sends
    /// at once the events that were missed.
    fn replay_watches(&mut self, now: Time) {
        use WatchKind::{Child, Data, Exist, Persistent, Recursive};
        if self.watches.is_empty() {
            return;
        }
        let chroot = &self.config.servers.chroot;
        let limit = self.replay_bytes.min(self.config.jute_maxbuffer);
        let watches = &self.watches;
        let mut packets = Vec::new();
        let mut batch = SetWatches::new(self.last_zxid);
        let mut add = |kind: WatchKind, path: &[u8], batch: &mut SetWatches| {
            let path = chroot.prefix(path);
            if !batch.is_empty() && batch.length_with(path.len()) > limit {
                packets.push(std::mem::replace(batch, SetWatches::new(self.last_zxid)));
            }
            batch.add(kind as usize, &path);
        };
        // A recursive watch takes the place of a child watch that comes before it: see `covered`.
        let is_displaced = |kind: WatchKind, path: &[u8]| kind == Child && watches.has(Recursive, path);
        for kind in [Data, Exist, Child, Persistent, Recursive] {
            for path in watches.paths(kind).filter(|path| !is_displaced(kind, path)) {
                add(kind, path, &mut batch);
            }
        }
        let mut last = SetWatches::new(self.last_zxid);
        for path in watches.paths(Child).filter(|path| is_displaced(Child, path)) {
            add(Child, path, &mut last);
        }
        packets.extend([batch, last].into_iter().filter(|batch| !batch.is_empty()));
        self.replaying += packets.len();
        self.counted.sent += packets.len() as u64;
        for packet in packets {
            packet.encode(&mut self.out);
        }
        self.last_write = now;
    }

    /// Registers the watch that a reply says the server has set. Source: `WatchRegistration` of the
    /// Java client.
    pub(super) fn register_watch(&mut self, wish: &WatchWish, code: Code) {
        let Some(watcher) = wish.watcher else { return };
        let kind = match (wish.rule, code) {
            (WatchRule::Data | WatchRule::Exists, Code::OK) => WatchKind::Data,
            (WatchRule::Exists, Code::NO_NODE) => WatchKind::Exist,
            (WatchRule::Child, Code::OK) => WatchKind::Child,
            (WatchRule::Persistent, Code::OK | Code::NO_NODE) => WatchKind::Persistent,
            (WatchRule::Recursive, Code::OK | Code::NO_NODE) => WatchKind::Recursive,
            _ => return,
        };
        self.watches.add(kind, &wish.path, watcher);
    }
}

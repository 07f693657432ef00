//! Requests of the user: in, out to the server, given up, and the end of all.

use super::{Action, Failure, Output, Phase, Session};
use crate::note::{Level, Note};
use crate::op::{AddWatchMode, Reply, ReplyKind, Request};
use crate::opcode;
use crate::pending::{Pending, WatchRule, WatchWish};
use crate::record::SetWatches;
use crate::time::Time;
use crate::Code;
use std::collections::VecDeque;
use std::time::Duration;

/// A request that waits for a connection, or for room: encoded, with a place for its xid.
#[derive(Debug)]
pub(super) struct Waiting {
    frame: Vec<u8>,
    /// Given up if there is no connection by then.
    connect_by: Time,
    pub(super) pending: Pending,
}

/// What becomes of a request when `max_in_flight` others are unanswered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WhenFull {
    Wait,
    Refuse,
}

impl Session {
    /// Asks for an operation. The answer comes as [`Output::Completed`] with `token`.
    ///
    /// `watcher` is who hears of the watch that the request leaves; of a
    /// [`RemoveWatches`](Request::RemoveWatches) the one whose watches are taken off (`None`: everybody's). `within` overrides the
    /// configured request timeout. While [`Config::max_in_flight`](super::Config::max_in_flight)
    /// requests are unanswered this one waits until there is room.
    ///
    /// # Errors
    /// At once, with nothing sent and nothing to come: the session is over, or the request is longer
    /// than `jute_maxbuffer`.
    pub fn submit(
        &mut self,
        now: Time,
        request: &Request<'_>,
        token: u64,
        watcher: Option<u64>,
        within: Option<Duration>,
    ) -> Result<(), Failure> {
        self.take(now, request, token, watcher, within, WhenFull::Wait)
    }

    /// [`submit`](Self::submit) for callers that can't wait.
    ///
    /// # Errors
    /// As there; and [`Code::THROTTLED_OP`] while
    /// [`Config::max_in_flight`](super::Config::max_in_flight) requests are unanswered.
    pub fn try_submit(
        &mut self,
        now: Time,
        request: &Request<'_>,
        token: u64,
        watcher: Option<u64>,
        within: Option<Duration>,
    ) -> Result<(), Failure> {
        self.take(now, request, token, watcher, within, WhenFull::Refuse)
    }

    fn take(
        &mut self,
        now: Time,
        request: &Request<'_>,
        token: u64,
        watcher: Option<u64>,
        within: Option<Duration>,
        when_full: WhenFull,
    ) -> Result<(), Failure> {
        self.usable()?;
        if when_full == WhenFull::Refuse && self.outstanding() >= self.config.max_in_flight {
            let detail = format!("{} requests are in flight (max_in_flight)", self.outstanding());
            return Err(Failure { detail: Some(detail), ..Failure::new(Code::THROTTLED_OP) });
        }
        let watch = match (watcher, watch_rule(request), request.path()) {
            (Some(watcher), Some(rule), Some(path)) => {
                self.check_replay(path)?;
                Some(WatchWish { rule, path: path.into(), watcher: Some(watcher), spared: false })
            }
            _ => None,
        };
        let mut asked_for = *request;
        let removal = match &mut asked_for {
            Request::RemoveWatches { path, kind, local } => {
                match self.plan_removal(path, *kind, watcher, *local)? {
                    Some(removal) => {
                        *kind = removal.asked_for;
                        Some(Box::new(removal))
                    }
                    None => {
                        self.sent.note_none();
                        self.outputs.push_back(Output::Completed { token, result: Ok(Reply::Nothing) });
                        return Ok(());
                    }
                }
            }
            _ => None,
        };
        let request = &asked_for;
        let pending = Pending {
            xid: 0,
            kind: request.reply_kind(),
            token: Some(token),
            watch,
            removal,
            write: opcode::is_write(request.opcode()),
            deadline: self.deadline(now, within),
            sent: now,
            offset: 0,
            asked: self.asked(request, now),
        };
        if self.has_room() && self.waiting.is_empty() {
            let start = self.out.len();
            let xid = self.xids.next();
            request.encode(xid, &self.config.servers.chroot, &mut self.out);
            if let Err(failure) = self.check_length(self.out.len() - start) {
                self.out.truncate(start);
                return Err(failure);
            }
            self.handed_over(now, xid, start, pending);
        } else {
            let mut frame = Vec::new();
            request.encode(0, &self.config.servers.chroot, &mut frame);
            self.check_length(frame.len())?;
            let connect_by = match self.is_established() && self.moving.is_none() {
                true => pending.deadline, // it is room that this one waits for
                false => (now + self.timeout).min(pending.deadline),
            };
            self.connect_by = Some(self.connect_by.map_or(connect_by, |t| t.min(connect_by)));
            self.note_waiting(&pending);
            self.sent.note(pending.token, None, frame.len());
            self.waiting.push_back(Waiting { frame, connect_by, pending });
        }
        Ok(())
    }

    /// Until when a request may take that is asked now.
    pub(super) fn deadline(&self, now: Time, within: Option<Duration>) -> Time {
        now + within.or(self.config.request_timeout).unwrap_or(self.timeout.saturating_mul(3))
    }

    /// Nobody will ask for the answer to this request any more. A request that is not with the
    /// server yet is not sent; another's reply is dropped when it comes. An authentication stays.
    pub fn abandon(&mut self, token: u64) {
        self.sent.forget(token);
        if !self.pending.abandon(token) {
            self.waiting.retain(|w| w.pending.token != Some(token));
            self.auth.abandon(token);
        }
    }

    /// No request that is under way leaves a watch for `watcher`.
    pub(super) fn forget_wishes(&mut self, watcher: u64) {
        self.pending.forget_watcher(watcher);
        for waiting in &mut self.waiting {
            waiting.pending.forget_watcher(watcher);
        }
    }

    /// Ends the session: requests under way are answered with [`Code::CLOSING`], the server is told,
    /// and [`Output::Closed`] comes when it has answered or the connection has gone.
    pub fn close(&mut self, now: Time) {
        if self.closing.is_some() || self.over() == Some(Code::INVALID_STATE) {
            return;
        }
        // The tombstones stay: the server will answer them before it answers closeSession.
        if self.is_connected() {
            // What stands before closeSession in the stream still goes out.
            self.answer_sent(Code::CLOSING, u64::MAX);
        }
        self.fail_waiting(Code::CLOSING);
        self.fail_auth(Code::CLOSING);
        self.moving = None;
        // While the login is under way it is sent as well: most servers take it, and those that demand
        // the login first drop the connection for it, as would be done here.
        if matches!(self.phase, Phase::Authenticating { .. } | Phase::Established { .. }) {
            let start = self.out.len();
            let xid = self.xids.next();
            Request::CloseSession.encode(xid, &self.config.servers.chroot, &mut self.out);
            let pending = Pending {
                xid,
                kind: ReplyKind::Nothing,
                token: None,
                watch: None,
                removal: None,
                write: false,
                deadline: now,
                sent: now,
                offset: 0,
                asked: self.asked(&Request::CloseSession, now),
            };
            self.notes.leave(Level::Info, || Note::Closing);
            self.handed_over(now, xid, start, pending);
            self.closing = Some(xid);
        } else {
            self.end(Code::INVALID_STATE);
            self.notes.leave(Level::Info, || if self.id == 0 { Note::Closed } else { Note::LeftBehind });
        }
    }

    /// Ends the session here and leaves it to whoever resumes it with its id and password: requests under way
    /// are answered with [`Code::CLOSING`] and the connection is dropped, but the server is told nothing.
    pub fn leave(&mut self) {
        if self.over() != Some(Code::INVALID_STATE) {
            self.notes.leave(Level::Info, || Note::Left);
            self.end(Code::INVALID_STATE);
        }
    }

    /// Ends the session without a word to the server (close took too long, or somebody else is to go on with it).
    pub fn end(&mut self, code: Code) {
        let unconfirmed = self.closing.take().is_some();
        if unconfirmed {
            self.notes.leave(Level::Warn, || Note::NotClosed(self.server.clone()));
        }
        let closing = unconfirmed || code == Code::INVALID_STATE;
        if self.over().is_none() {
            if !matches!(self.phase, Phase::Pausing { .. }) {
                self.actions.push_back(Action::Disconnect);
            }
            let answer = if code == Code::INVALID_STATE { Code::CLOSING } else { code };
            self.answer_pending(answer);
            self.fail_waiting(answer);
            self.fail_auth(answer);
        }
        self.phase = Phase::Over(code);
        self.reset_stream();
        self.watches.clear();
        if closing {
            self.outputs.push_back(Output::Closed);
        }
    }

    /// Whether a request may go to the server now.
    fn has_room(&self) -> bool {
        self.is_established() && self.moving.is_none() && self.pending.len() < self.config.max_in_flight
    }

    /// Hands what waits to the server, in the order in which it was asked, as far as there is room.
    pub(super) fn hand_over_waiting(&mut self, now: Time) {
        if self.waiting.is_empty() || self.moving.is_some() {
            return;
        }
        while self.has_room() {
            let Some(mut waiting) = self.waiting.pop_front() else { break };
            let start = self.out.len();
            let xid = self.xids.next();
            if let Some(place) = waiting.frame.get_mut(4..8) {
                place.copy_from_slice(&xid.to_be_bytes());
            }
            self.out.extend_from_slice(&waiting.frame);
            self.handed_over(now, xid, start, waiting.pending);
        }
        // There is a connection: what is left waits for room, and has its whole time for it.
        for waiting in &mut self.waiting {
            waiting.connect_by = waiting.pending.deadline;
        }
        self.connect_by = self.waiting.iter().map(|w| w.connect_by).min();
    }

    /// Notes a request that was put into `out` at `start`.
    pub(super) fn handed_over(&mut self, now: Time, xid: i32, start: usize, mut pending: Pending) {
        pending.xid = xid;
        pending.sent = now;
        self.counted.sent += 1;
        self.spare_covered(&mut pending);
        pending.offset = self.transmitted + (start - self.out_start) as u64;
        self.note_request(now, &mut pending, self.out.len() - start);
        self.sent.note(pending.token, Some(xid), self.out.len() - start);
        self.pending.push(pending);
        self.last_write = now;
    }

    /// What waits for room waits for another connection from now on, and no longer than any request does.
    pub(super) fn wait_for_connection(&mut self, now: Time) {
        let latest = now + self.timeout;
        for waiting in &mut self.waiting {
            waiting.connect_by = latest.min(waiting.pending.deadline);
        }
        self.connect_by = self.waiting.iter().map(|w| w.connect_by).min();
    }

    /// Answers all that was handed to the connection, in order, and leaves tombstones.
    pub(super) fn answer_pending(&mut self, code: Code) {
        self.answer_sent(code, self.transmitted);
    }

    /// As [`answer_pending`](Self::answer_pending), where the server may get that much of the stream.
    fn answer_sent(&mut self, code: Code, sent: u64) {
        if code == Code::CONNECTION_LOSS {
            self.remove_without_server();
        }
        let tokens = self.pending.take_tokens(sent);
        self.note_unanswered(tokens.len(), code);
        for (token, maybe_applied) in tokens {
            self.fail(token, code, maybe_applied);
        }
    }

    /// Answers all that waits, in order.
    pub(super) fn fail_waiting(&mut self, code: Code) {
        self.connect_by = None;
        self.note_unanswered(self.waiting.len(), code);
        for waiting in std::mem::take(&mut self.waiting) {
            self.fail_unsent(waiting.pending, code, None);
        }
    }

    /// Answers a request that no server has got.
    fn fail_unsent(&mut self, pending: Pending, code: Code, detail: Option<String>) {
        match (pending.token, pending.removal) {
            (Some(token), Some(removal)) if removal.local && code == Code::CONNECTION_LOSS => {
                self.removed_without_server(token, &removal);
            }
            (Some(token), _) => {
                let detail = detail.or_else(|| self.sasl.detail(code));
                let result = Err(Failure { detail, ..Failure::new(code) });
                self.outputs.push_back(Output::Completed { token, result });
            }
            (None, _) => {}
        }
    }

    /// Gives up what has waited long enough.
    pub(super) fn give_up_waiting(&mut self, now: Time) {
        if self.connect_by.is_none_or(|t| t > now) {
            return;
        }
        let (late, waiting): (VecDeque<_>, _) =
            std::mem::take(&mut self.waiting).into_iter().partition(|w| w.connect_by <= now);
        self.connect_by = waiting.iter().map(|w| w.connect_by).min();
        self.waiting = waiting;
        for Waiting { connect_by, pending, .. } in late {
            // Whichever limit came first: a process that stood still may find that both are over.
            let had_time = connect_by < pending.deadline;
            let code = if had_time { Code::CONNECTION_LOSS } else { Code::OPERATION_TIMEOUT };
            self.note_unanswered(usize::from(pending.token.is_some()), code);
            let detail = self.trouble().filter(|_| had_time);
            self.fail_unsent(pending, code, detail);
        }
    }

    pub(super) fn fail(&mut self, token: u64, code: Code, maybe_applied: bool) {
        let result = Err(Failure { code, maybe_applied, detail: self.sasl.detail(code) });
        self.outputs.push_back(Output::Completed { token, result });
    }

    pub(super) fn usable(&self) -> Result<(), Failure> {
        match self.end_of_session() {
            Some(failure) => Err(failure),
            None if self.closing.is_some() => Err(Failure::new(Code::INVALID_STATE)),
            None => Ok(()),
        }
    }

    /// The server drops the connection without a word when a request is too long for it, and would
    /// do so again at every retry, so it must not get that far.
    pub(super) fn check_length(&self, frame: usize) -> Result<(), Failure> {
        let length = frame.saturating_sub(4);
        if length <= self.config.jute_maxbuffer {
            return Ok(());
        }
        Err(self.too_long("request", length))
    }

    /// A watch that could be set but, the other packet being a little longer, not set again: with it
    /// every connection after the first would be dropped.
    fn check_replay(&self, path: &[u8]) -> Result<(), Failure> {
        let length = SetWatches::new(0).length_with(self.chroot().as_bytes().len() + path.len());
        if length <= self.config.jute_maxbuffer {
            return Ok(());
        }
        Err(self.too_long("setWatches request", length))
    }

    fn too_long(&self, what: &str, length: usize) -> Failure {
        let limit = self.config.jute_maxbuffer;
        let detail = format!("{what} of {length} bytes is longer than jute_maxbuffer ({limit})");
        Failure { detail: Some(detail), ..Failure::new(Code::BAD_ARGUMENTS) }
    }
}

/// The watch that a request may leave; none if it does not ask for one.
fn watch_rule(request: &Request<'_>) -> Option<WatchRule> {
    match request {
        Request::GetData { watch: true, .. } | Request::GetConfig { watch: true } => Some(WatchRule::Data),
        Request::Exists { watch: true, .. } => Some(WatchRule::Exists),
        Request::GetChildren { watch: true, .. } | Request::GetChildren2 { watch: true, .. } => {
            Some(WatchRule::Child)
        }
        Request::AddWatch { mode: AddWatchMode::Persistent, .. } => Some(WatchRule::Persistent),
        Request::AddWatch { mode: AddWatchMode::PersistentRecursive, .. } => Some(WatchRule::Recursive),
        _ => None,
    }
}

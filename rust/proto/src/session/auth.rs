//! Authentication data of the session: kept, and replayed in order on every connection.

use super::timers::earlier;
use super::{Failure, Output, Session};
use crate::note::{Level, Note};
use crate::op::Reply;
use crate::record::AuthPacket;
use crate::time::Time;
use crate::Code;
use std::collections::VecDeque;
use std::time::Duration;

/// One `add_auth`. The credentials are as good as a password: never in a log.
struct Entry {
    scheme: Vec<u8>,
    credentials: Vec<u8>,
    /// Who is to hear of the outcome; taken when told, so that replays tell nobody again.
    watcher: Option<u64>,
    /// The request that the first outcome answers; likewise.
    asked: Option<Asked>,
    /// It was sent on this connection, and the server has yet to answer.
    is_sent: bool,
}

impl Entry {
    /// Nobody is to hear of it any more.
    fn is_settled(&self) -> bool {
        self.watcher.is_none() && self.asked.is_none()
    }

    fn is_same(&self, other: &Entry) -> bool {
        self.scheme == other.scheme && self.credentials == other.credentials
    }
}

/// Somebody waits for the outcome of an authentication.
struct Asked {
    token: u64,
    /// Given up if there is no connection by then.
    connect_by: Time,
    /// Given up in any case.
    deadline: Time,
}

impl Asked {
    fn until(&self, connected: bool) -> Time {
        if connected {
            self.deadline
        } else {
            self.connect_by.min(self.deadline)
        }
    }
}

/// All that was added, oldest first, and which of them the server has yet to answer: auth replies
/// all carry the same xid, so only their order tells them apart.
#[derive(Default)]
pub(super) struct AuthList {
    entries: Vec<Entry>,
    unanswered: VecDeque<usize>,
}

impl std::fmt::Debug for AuthList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthList")
            .field("entries", &self.entries.len())
            .field("unanswered", &self.unanswered)
            .finish()
    }
}

impl AuthList {
    pub(super) fn forget(&mut self, watcher: u64) {
        for e in &mut self.entries {
            if e.watcher == Some(watcher) {
                e.watcher = None;
            }
        }
    }

    /// Nobody will ask for this outcome any more.
    pub(super) fn abandon(&mut self, token: u64) {
        for e in &mut self.entries {
            e.asked.take_if(|asked| asked.token == token);
        }
    }

    /// A lost connection answers nothing more; the next one replays all.
    pub(super) fn connection_lost(&mut self) {
        self.unanswered.clear();
        self.entries.iter_mut().for_each(|e| e.is_sent = false);
    }

    /// Adds one, and says where. Programs add theirs again and again, before each request even: it takes the
    /// place of the same one then, if that is done with.
    fn place(&mut self, entry: Entry) -> usize {
        let same = |e: &Entry| e.is_settled() && !e.is_sent && e.is_same(&entry);
        let index = self.entries.iter().position(same).unwrap_or(self.entries.len());
        match self.entries.get_mut(index) {
            Some(former) => *former = entry,
            None => self.entries.push(entry),
        }
        index
    }

    /// Of those that are the same one is enough, and those that somebody is to hear of.
    fn drop_repetitions(&mut self) {
        let mut kept: Vec<Entry> = Vec::new();
        for entry in std::mem::take(&mut self.entries) {
            if !entry.is_settled() || !kept.iter().any(|k| k.is_same(&entry)) {
                kept.push(entry);
            }
        }
        self.entries = kept;
    }

    /// When the first of those who wait for an outcome is given up.
    pub(super) fn next_deadline(&self, connected: bool) -> Option<Time> {
        let asked = self.entries.iter().filter_map(|e| e.asked.as_ref());
        asked.map(|a| a.until(connected)).fold(None, |first, at| earlier(first, Some(at)))
    }
}

impl Session {
    /// Adds authentication: sent at once when connected, and again on every later connection before
    /// anything else. The outcome comes as [`Output::Auth`].
    ///
    /// # Errors
    /// The session is over, or the packet is longer than `jute_maxbuffer`.
    pub fn add_auth(
        &mut self,
        scheme: &[u8],
        credentials: &[u8],
        watcher: Option<u64>,
    ) -> Result<(), Failure> {
        self.add(scheme, credentials, watcher, None)
    }

    /// [`add_auth`](Self::add_auth) as a request: the outcome is also its answer, which comes as
    /// [`Output::Completed`] with `token`. A connection that is lost meanwhile does not answer it, for the
    /// next one repeats the question; time does, as with [`submit`](Self::submit).
    ///
    /// # Errors
    /// As those of `add_auth`.
    pub fn authenticate(
        &mut self,
        now: Time,
        scheme: &[u8],
        credentials: &[u8],
        watcher: Option<u64>,
        token: u64,
        within: Option<Duration>,
    ) -> Result<(), Failure> {
        let deadline = self.deadline(now, within);
        let asked = Asked { token, connect_by: now + self.timeout, deadline };
        self.add(scheme, credentials, watcher, Some(asked))
    }

    fn add(
        &mut self,
        scheme: &[u8],
        credentials: &[u8],
        watcher: Option<u64>,
        asked: Option<Asked>,
    ) -> Result<(), Failure> {
        self.usable()?;
        // Header, type, two lengths.
        self.check_length(4 + 8 + 4 + 8 + scheme.len() + credentials.len())?;
        let (scheme, credentials) = (scheme.to_vec(), credentials.to_vec());
        let index = self.auth.place(Entry { scheme, credentials, watcher, asked, is_sent: false });
        if self.is_connected() {
            self.send_auth(index);
        }
        Ok(())
    }

    /// On a fresh connection: all of it, in the order in which it was added.
    pub(super) fn replay_auth(&mut self) {
        self.auth.drop_repetitions();
        for index in 0..self.auth.entries.len() {
            self.send_auth(index);
        }
    }

    /// The server answered the oldest unanswered auth packet. False if there is none.
    pub(super) fn auth_answered(&mut self, answer: Code) -> bool {
        let Some(index) = self.auth.unanswered.pop_front() else {
            return false;
        };
        let code = if answer == Code::OK { Code::OK } else { Code::AUTH_FAILED };
        let entry = self.auth.entries.get_mut(index);
        let (watcher, asked) = entry.map_or((None, None), |e| {
            e.is_sent = false;
            (e.watcher.take(), e.asked.take())
        });
        if let Some(watcher) = watcher {
            self.outputs.push_back(Output::Auth { watcher, code });
        }
        if let Some(Asked { token, .. }) = asked {
            let result = if code == Code::OK { Ok(Reply::Nothing) } else { Err(Failure::new(code)) };
            self.outputs.push_back(Output::Completed { token, result });
        }
        self.note_auth(index, answer);
        if code != Code::OK {
            self.lose_for_good(Code::AUTH_FAILED);
        }
        true
    }

    /// Answers those who wait for an outcome that won't come.
    pub(super) fn fail_auth(&mut self, code: Code) {
        let asked: Vec<Asked> = self.auth.entries.iter_mut().filter_map(|e| e.asked.take()).collect();
        self.note_unanswered(asked.len(), code);
        for Asked { token, .. } in asked {
            self.fail(token, code, false);
        }
    }

    /// Answers those who have waited long enough for an outcome. The authentication stays.
    pub(super) fn give_up_auth(&mut self, now: Time) {
        let connected = self.is_connected();
        for index in 0..self.auth.entries.len() {
            let Some(entry) = self.auth.entries.get_mut(index) else { return };
            let Some(asked) = entry.asked.take_if(|a| a.until(connected) <= now) else { continue };
            // As of requests, it is the limit that came first.
            let had_time = asked.until(connected) < asked.deadline;
            let code = if had_time { Code::CONNECTION_LOSS } else { Code::OPERATION_TIMEOUT };
            self.note_unanswered(1, code);
            self.fail(asked.token, code, false);
        }
    }

    /// The credentials have no place in a note.
    fn note_auth(&mut self, index: usize, code: Code) {
        let Some(entry) = self.auth.entries.get(index) else { return };
        if code == Code::OK {
            self.notes.leave(Level::Info, || Note::AuthAccepted(lossy(&entry.scheme)));
        } else {
            let note = || Note::AuthRefused(self.server.clone(), lossy(&entry.scheme), code);
            self.notes.leave(Level::Error, note);
        }
    }

    fn send_auth(&mut self, index: usize) {
        let Some(entry) = self.auth.entries.get_mut(index) else { return };
        entry.is_sent = true;
        AuthPacket { scheme: &entry.scheme, credentials: &entry.credentials }.encode(&mut self.out);
        self.notes.leave(Level::Info, || Note::AuthSent(lossy(&entry.scheme)));
        self.auth.unanswered.push_back(index);
        self.counted.sent += 1;
    }
}

fn lossy(scheme: &[u8]) -> String {
    String::from_utf8_lossy(scheme).into_owned()
}

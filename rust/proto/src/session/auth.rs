//! Authentication data of the session: kept, and replayed in order on every connection.

use super::{Failure, Output, Session};
use crate::note::{Level, Note};
use crate::record::AuthPacket;
use crate::time::Time;
use crate::Code;
use std::collections::VecDeque;

/// One `add_auth`. The credentials are as good as a password: never in a log.
struct Entry {
    scheme: Vec<u8>,
    credentials: Vec<u8>,
    /// Who is to hear of the outcome; taken when told, so that replays tell nobody again.
    watcher: Option<u64>,
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

    /// A lost connection answers nothing more; the next one replays all.
    pub(super) fn connection_lost(&mut self) {
        self.unanswered.clear();
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
        now: Time,
        scheme: &[u8],
        credentials: &[u8],
        watcher: Option<u64>,
    ) -> Result<(), Failure> {
        self.usable()?;
        // Header, type, two lengths.
        self.check_length(4 + 8 + 4 + 8 + scheme.len() + credentials.len())?;
        self.auth.entries.push(Entry { scheme: scheme.to_vec(), credentials: credentials.to_vec(), watcher });
        if self.is_connected() {
            self.send_auth(now, self.auth.entries.len() - 1);
        }
        Ok(())
    }

    /// On a fresh connection: all of it, in the order in which it was added.
    pub(super) fn replay_auth(&mut self, now: Time) {
        for index in 0..self.auth.entries.len() {
            self.send_auth(now, index);
        }
    }

    /// The server answered the oldest unanswered auth packet. False if there is none.
    pub(super) fn auth_answered(&mut self, answer: Code) -> bool {
        let Some(index) = self.auth.unanswered.pop_front() else {
            return false;
        };
        let code = if answer == Code::OK { Code::OK } else { Code::AUTH_FAILED };
        if let Some(watcher) = self.auth.entries.get_mut(index).and_then(|e| e.watcher.take()) {
            self.outputs.push_back(Output::Auth { watcher, code });
        }
        self.note_auth(index, answer);
        if code != Code::OK {
            self.lose_for_good(Code::AUTH_FAILED);
        }
        true
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

    fn send_auth(&mut self, now: Time, index: usize) {
        let Some(entry) = self.auth.entries.get(index) else { return };
        AuthPacket { scheme: &entry.scheme, credentials: &entry.credentials }.encode(&mut self.out);
        self.notes.leave(Level::Info, || Note::AuthSent(lossy(&entry.scheme)));
        self.auth.unanswered.push_back(index);
        self.last_write = now;
    }
}

fn lossy(scheme: &[u8]) -> String {
    String::from_utf8_lossy(scheme).into_owned()
}

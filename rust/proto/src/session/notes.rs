//! The longer ones of the notes that the session leaves.

use super::{Failure, Phase, Session};
use crate::event::{EventType, KeeperState};
use crate::note::{Answered, Asked, Expiry, Level, Note, Silence};
use crate::op::{Reply, Request};
use crate::pending::Pending;
use crate::record::{ConnectResponse, ReplyHeader};
use crate::time::Time;
use crate::watches::WatchKind;
use crate::Code;
use bytes::Bytes;
use std::time::Duration;

impl Session {
    pub(super) fn note_handshake(&mut self) {
        self.notes.leave(Level::Debug, || Note::Handshake {
            id: self.id,
            zxid: self.last_zxid,
            timeout: self.config.session_timeout,
        });
    }

    pub(super) fn note_granted(&mut self, response: &ConnectResponse, resumed: bool) {
        self.notes.suspected = false;
        self.notes.leave(Level::Info, || Note::Granted {
            server: self.server.clone(),
            id: response.session_id,
            timeout: self.timeout,
            resumed,
            read_only: response.read_only,
        });
    }

    pub(super) fn note_expiry(&mut self, how: Expiry) {
        self.notes.leave(Level::Error, || Note::Expired(self.server.clone(), how));
    }

    /// A server that was waited for has not answered, and is about to be given up.
    pub(super) fn note_silence(&mut self, now: Time) {
        let (what, span) = match self.phase {
            Phase::Connecting { securing: true, .. } => (Silence::Securing, self.connect_limit()),
            Phase::Connecting { .. } => (Silence::Connection, self.connect_limit()),
            Phase::Handshaking { .. } => (Silence::Handshake, now.since(self.last_read)),
            Phase::Authenticating { .. } => (Silence::Sasl, now.since(self.last_read)),
            _ => (Silence::Established, now.since(self.last_read)),
        };
        self.notes.leave(Level::Warn, || Note::Silent(self.server.clone(), what, span));
        self.blame(what.blamed());
    }

    /// Tells once that the session is suspect.
    pub(super) fn note_suspicion(&mut self, now: Time) {
        if self.notes.wants(Level::Warn) && !self.notes.suspected && self.is_suspect(now) {
            self.notes.suspected = true;
            let span = self.cut_off_for(now);
            self.notes.leave(Level::Warn, || Note::Suspect(span));
        }
    }

    /// A server has answered a ping: if that came in time, suspicion would be another story.
    pub(super) fn note_confirmed(&mut self, now: Time) {
        self.notes.suspected &= self.is_suspect(now);
    }

    pub(super) fn note_unanswered(&mut self, count: usize, code: Code) {
        if count > 0 {
            self.notes.leave(Level::Warn, || Note::Unanswered(count, code));
        }
    }

    /// The watches that are about to be set again.
    pub(super) fn note_replay(&mut self) {
        use WatchKind::{Child, Data, Exist, Persistent, Recursive};
        if !self.watches.is_empty() {
            let kinds = [Data, Exist, Child, Persistent, Recursive];
            self.notes
                .leave(Level::Info, || Note::Replayed(kinds.map(|kind| self.watches.paths(kind).count())));
        }
    }

    /// What is kept of a request for the notes about it; nothing, unless they are wanted.
    #[inline]
    pub(super) fn asked(&self, request: &Request<'_>, now: Time) -> Option<Box<Asked>> {
        self.notes.wants(Level::Trace).then(|| Asked::of(request, now))
    }

    pub(super) fn note_waiting(&mut self, pending: &Pending) {
        if let Some(asked) = &pending.asked {
            self.notes.leave(Level::Trace, || Note::Waits(asked.to_string()));
        }
    }

    /// `length` counts the four bytes before the frame; lengths in notes don't, as `jute.maxbuffer`.
    #[inline]
    pub(super) fn note_request(&mut self, now: Time, pending: &mut Pending, length: usize) {
        if let Some(asked) = &mut pending.asked {
            asked.sent = now;
            self.notes.leave(Level::Trace, || Note::Request {
                xid: pending.xid,
                bytes: length.saturating_sub(4),
                text: asked.to_string(),
            });
        }
    }

    #[inline]
    pub(super) fn note_reply(
        &mut self,
        now: Time,
        asked: Option<&Asked>,
        header: ReplyHeader,
        bytes: usize,
        result: &Result<Reply, Failure>,
    ) {
        self.notes.leave(Level::Trace, || Note::Reply {
            xid: header.xid,
            bytes,
            zxid: header.zxid,
            took: asked.map(|asked| now.since(asked.sent)),
            text: match asked {
                Some(asked) => format!("{}: {}", asked.what, Answered(result)),
                // It was sent before anybody wanted to know.
                None => Answered(result).to_string(),
            },
        });
    }

    pub(super) fn note_ping(&mut self) {
        self.notes.leave(Level::Trace, || Note::Ping);
    }

    pub(super) fn note_pong(&mut self, took: Option<Duration>) {
        self.notes.leave(Level::Trace, || Note::Pong(took));
    }

    pub(super) fn note_event(
        &mut self,
        kind: EventType,
        state: KeeperState,
        path: Option<&Bytes>,
        watchers: usize,
    ) {
        self.notes.leave(Level::Trace, || Note::Event { kind, state, path: path.cloned(), watchers });
    }
}

//! Bytes from the server, frame by frame. All of it is hostile until proved otherwise: whatever
//! does not fit drops the connection, and the next attempt follows at its usual pace.

use super::{Failure, Output, Phase, Session, WatchedEvent};
use crate::chroot::CONFIG_NODE;
use crate::frame::FrameError;
use crate::note::{Level, Note};
use crate::op::{Reply, ReplyKind};
use crate::pending::Pending;
use crate::record::{ConnectResponse, ReplyHeader, WatcherEvent};
use crate::time::Time;
use crate::watches::Fired;
use crate::wire::DecodeError;
use crate::xid::reserved;
use crate::Code;
use bytes::Bytes;

/// An alert of TLS begins with these two bytes: a server that speaks it sends one when it does not get
/// what it expects. Source: RFC 8446, 5.1.
const TLS_ALERT: usize = 0x1503;

/// What came that makes no sense; the connection is dropped for it.
#[derive(Debug, thiserror::Error)]
enum Nonsense {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Record(#[from] DecodeError),
    #[error("reply with xid {0}, which is not the oldest request's")]
    Xid(i32),
    #[error("setWatches was refused with {0:?}")]
    SetWatches(Code),
    #[error("the server does not know an operation, and is about to close the connection")]
    Unimplemented,
}

impl Session {
    /// Bytes have arrived on the connection.
    pub fn handle_bytes(&mut self, now: Time, bytes: &[u8]) {
        if !self.wants_bytes() {
            return;
        }
        self.last_read = now;
        self.counted.bytes_received += bytes.len() as u64;
        self.frames.extend(bytes);
        loop {
            let frame = match self.frames.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return self.move_when_idle(now),
                Err(error) => return self.drop_for(now, &error.into()),
            };
            let result = match self.phase {
                // A read-only server that has no sessions of its own answers as it would to a write: with the
                // header of a reply (measured on 3.8.0 and 3.9.3).
                Phase::Handshaking { .. } if frame.len() == ReplyHeader::LEN => {
                    self.notes.leave(Level::Error, || Note::NoSession(self.server.clone()));
                    return self.lose(now, true);
                }
                Phase::Handshaking { .. } => ConnectResponse::decode(frame)
                    .map(|response| self.handle_connect_response(now, &response))
                    .map_err(Nonsense::from),
                Phase::Authenticating { .. } | Phase::Established { .. } => self.handle_frame(now, frame),
                // The frame before ended the connection or the session.
                _ => return,
            };
            if let Err(nonsense) = result {
                return self.drop_for(now, &nonsense);
            }
        }
    }

    fn drop_for(&mut self, now: Time, nonsense: &Nonsense) {
        let told = match nonsense {
            Nonsense::Frame(FrameError::TooLong { length, .. }) if length >> 16 == TLS_ALERT => {
                "a TLS alert: it speaks TLS on this port, and the client does not".to_owned()
            }
            _ => nonsense.to_string(),
        };
        self.blame(format!("sent rubbish: {told}"));
        self.notes.leave(Level::Error, || Note::Rubbish(self.server.clone(), told));
        self.lose(now, true);
    }

    fn handle_frame(&mut self, now: Time, mut frame: Bytes) -> Result<(), Nonsense> {
        let header = ReplyHeader::decode(&mut frame)?;
        match header.xid {
            reserved::EVENT => self.counted.events += 1,
            _ => self.counted.received += 1,
        }
        if self.sasl.is_answer(header.xid) {
            return Ok(self.handle_sasl(now, header, frame)?);
        }
        let demands_sasl = header.code == Code::SESSION_CLOSED_REQUIRE_SASL_AUTH;
        match header.xid {
            reserved::PING | reserved::SET_WATCHES if demands_sasl => {
                self.sasl_demanded();
                Ok(())
            }
            reserved::PING => {
                self.answered_ping(now, header.code);
                Ok(())
            }
            reserved::EVENT => self.handle_event(frame),
            reserved::AUTH if self.auth_answered(header.code) => Ok(()),
            reserved::SET_WATCHES if header.code == Code::OK => {
                self.arming.answered(self.replaying);
                self.replaying = self.replaying.saturating_sub(1);
                self.notes.leave(Level::Debug, || Note::ReplayDone);
                Ok(())
            }
            reserved::SET_WATCHES => Err(Nonsense::SetWatches(header.code)),
            xid => match self.pending.pop(xid) {
                Some(pending) => {
                    self.counted.last_rtt = Some(now.since(pending.sent));
                    let sent = pending.sent;
                    let done = self.handle_reply(now, pending, header, frame);
                    if done.is_ok() {
                        self.confirm(sent, header.code);
                    }
                    if demands_sasl {
                        self.sasl_demanded();
                    }
                    self.hand_over_waiting(now);
                    done
                }
                // A server that does not know an operation says so at once, before it has answered what came
                // earlier.
                None if header.code == Code::UNIMPLEMENTED => match self.pending.take(xid) {
                    Some(pending) => self.handle_reply(now, pending, header, frame),
                    None => Err(Nonsense::Xid(xid)),
                },
                None => Err(Nonsense::Xid(xid)),
            },
        }
    }

    fn handle_event(&mut self, frame: Bytes) -> Result<(), Nonsense> {
        let event = WatcherEvent::decode(frame)?;
        // A path outside the chroot is nothing that this session can have asked for.
        let Some(path) = self.chroot().strip(event.path) else {
            self.note_event(event.kind, event.state, None, 0);
            return Ok(());
        };
        let mut watchers = self.watches.fire(event.kind, &path);
        if path == CONFIG_NODE && !self.chroot().is_none() {
            // It has the same name for everybody, but lies below no other node of this client.
            watchers.retain(|fired| fired.stays.is_none_or(|watched| watched == path.len()));
        }
        self.note_event(event.kind, event.state, Some(&path), watchers.len());
        for Fired { watcher, stays } in watchers {
            let event = WatchedEvent { kind: event.kind, state: event.state, path: Some(path.clone()) };
            self.outputs.push_back(Output::Watch { watcher, event, stays });
        }
        Ok(())
    }

    fn handle_reply(
        &mut self,
        now: Time,
        pending: Pending,
        header: ReplyHeader,
        body: Bytes,
    ) -> Result<(), Nonsense> {
        let bytes = ReplyHeader::LEN + body.len();
        if self.closing == Some(pending.xid) {
            self.note_reply(now, pending.asked.as_deref(), header, bytes, &Ok(Reply::Nothing));
            self.notes.leave(Level::Info, || Note::Closed);
            self.closing = None; // it has been answered
            self.end(Code::INVALID_STATE);
            return Ok(());
        }
        let unknown = header.code == Code::UNIMPLEMENTED && is_of_later_servers(&pending.kind);
        let result = if header.code == Code::OK {
            // What addWatch came to decides whether there is a watch, whoever waits for it.
            let counts = pending.token.is_some() || pending.kind == ReplyKind::Outcome;
            let kind = if counts { pending.kind } else { ReplyKind::Nothing };
            match Reply::decode(kind, body, self.chroot()) {
                // addWatch has a code of its own in the body.
                Ok(Reply::Outcome(code)) if code != Code::OK => Err(Failure::new(code)),
                Ok(reply) => Ok(reply),
                Err(error) => {
                    if let Some(token) = pending.token {
                        self.fail(token, Code::CONNECTION_LOSS, pending.write);
                    }
                    return Err(error.into());
                }
            }
        } else {
            Err(Failure::new(header.code))
        };
        self.note_reply(now, pending.asked.as_deref(), header, bytes, &result);
        // Only ordinary replies that make sense raise it: every server that is behind it refuses this
        // client. That goes for an event's zxid, which a lagging server may not know, and more so for
        // one out of rubbish.
        self.last_zxid = self.last_zxid.max(header.zxid);
        if let Some(wish) = pending.watch {
            let code = result.as_ref().map_or_else(|failure| failure.code, |_| Code::OK);
            self.register_watch(&wish, code);
            self.check_spared(&wish, header.zxid);
            self.check_displaced(&wish, code, header.zxid);
        }
        if let Some(removal) = pending.removal {
            self.removal_answered(&removal, pending.token, header.code);
            self.check_uncovered(&removal, header.code, header.zxid);
        } else if let Some(token) = pending.token {
            self.outputs.push_back(Output::Completed { token, result });
        }
        // What is asked next had better wait for the next connection. Source: `UnimplementedRequestProcessor`
        // of Apache ZooKeeper.
        if unknown {
            return Err(Nonsense::Unimplemented);
        }
        Ok(())
    }
}

/// Whether an operation that is answered so is "unimplemented" only where the server does not know it at all. (Others
/// are refused with that code by servers that know them, but are not configured for them, and go on.)
fn is_of_later_servers(kind: &ReplyKind) -> bool {
    matches!(
        kind,
        ReplyKind::MultiRead(_)
            | ReplyKind::Paths
            | ReplyKind::Count
            | ReplyKind::Identities
            | ReplyKind::Outcome
    )
}

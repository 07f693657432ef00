//! How the steps are done on a connection.

use super::step::{Do, Step};
use super::{Departure, Progress};
use crate::frames::{event_frame, handshake, reply_frame};
use crate::server::Peer;
use bytes::Bytes;
use std::collections::VecDeque;
use zk_proto::record::{ConnectRequest, RequestHeader};
use zk_proto::xid::reserved;
use zk_proto::{opcode, Code};

/// What came instead of what was expected, in words.
type Surprise = String;

pub(super) struct Player<'p> {
    peer: &'p mut Peer,
    connection: usize,
    progress: &'p Progress,
    /// Numbers of the requests that were expected and have no answer yet.
    unanswered: VecDeque<i32>,
    pieces: Option<usize>,
    split: Option<usize>,
}

impl<'p> Player<'p> {
    pub(super) fn new(peer: &'p mut Peer, connection: usize, progress: &'p Progress) -> Player<'p> {
        Player { peer, connection, progress, unanswered: VecDeque::new(), pieces: None, split: None }
    }

    pub(super) fn play(mut self, steps: &[Step]) {
        for (number, step) in steps.iter().enumerate() {
            self.progress.note(self.connection, number, false);
            if let Err(came) = self.act(&step.0) {
                let (connection, expected) = (self.connection, step.to_string());
                self.progress.depart(Departure { connection, step: number, expected, came });
                break;
            }
            if step.0 == Do::Reset {
                return self.progress.note(self.connection, number, true);
            }
            if step.0 == Do::HangUp {
                break;
            }
        }
        self.peer.hang_up();
        self.progress.note(self.connection, steps.len(), true);
    }

    fn act(&mut self, what: &Do) -> Result<(), Surprise> {
        match what {
            Do::Handshake(id) => return self.handshake(*id),
            Do::Expect(opcode) => {
                let frame = self.frame(*opcode == opcode::PING)?;
                let header = header(&frame)?;
                if header.opcode != *opcode {
                    return Err(shown(&frame));
                }
                self.unanswered.push_back(header.xid);
            }
            Do::ExpectFrame(expected) => {
                let frame = self.frame(is_ping(expected))?;
                if frame != expected[..] {
                    return Err(shown(&frame));
                }
                // One without a header is a handshake, and answered by other steps.
                self.unanswered.extend(header(&frame).map(|header| header.xid));
            }
            Do::ExpectEnd => match self.read(false)? {
                Some(frame) => return Err(shown(&frame)),
                None => return Ok(()),
            },
            Do::Grant { timeout_ms, session_id } => self.send(&handshake(*timeout_ms, *session_id)),
            Do::Reply(code, body) => {
                let xid = self.unanswered.pop_front().ok_or("there is none that has no answer")?;
                self.send(&reply_frame(xid, 1, *code, body));
            }
            Do::Event(kind, path) => self.send(&event_frame(*kind, path)),
            Do::Send(bytes) => self.send(bytes),
            Do::Pieces(size) => self.pieces = Some(*size),
            Do::Split(at) => self.split = Some(*at),
            Do::Delay(span) => self.peer.delay(*span),
            Do::Serve(code) => return self.serve(*code),
            Do::Swallow => self.peer.swallow(),
            Do::HangUp => {}
            Do::Reset => self.peer.reset(),
        }
        Ok(())
    }

    fn handshake(&mut self, id: Option<i64>) -> Result<(), Surprise> {
        let frame = self.frame(true)?;
        let asked = ConnectRequest::decode(frame.clone(), |request| request.session_id);
        match asked {
            Ok(asked) if id.is_none_or(|id| id == asked) => Ok(()),
            Ok(asked) => Err(format!("one for session {asked:#x} came")),
            Err(_) => Err(shown(&frame)),
        }
    }

    fn serve(&mut self, code: Code) -> Result<(), Surprise> {
        while let Some(frame) = self.read(false)? {
            let header = header(&frame)?;
            let closes = header.opcode == opcode::CLOSE_SESSION;
            self.send(&reply_frame(header.xid, 1, if closes { Code::OK } else { code }, b""));
            if closes {
                break;
            }
        }
        Ok(())
    }

    fn frame(&mut self, wants_ping: bool) -> Result<Bytes, Surprise> {
        self.read(wants_ping)?.ok_or_else(|| "the end of the connection came".into())
    }

    /// The next frame; pings only if they are wanted.
    fn read(&mut self, wants_ping: bool) -> Result<Option<Bytes>, Surprise> {
        loop {
            let frame = self.peer.read_frame().map_err(|error| format!("no frame came: {error}"))?;
            match frame {
                Some(frame) if is_ping(&frame) && !wants_ping => {
                    self.send(&reply_frame(reserved::PING, 1, Code::OK, b""));
                }
                other => return Ok(other),
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        match (self.split.take(), self.pieces) {
            (Some(at), _) => self.peer.send_split(bytes, at),
            (None, Some(size)) => self.peer.send_in_pieces(bytes, size),
            (None, None) => self.peer.send(bytes),
        }
    }
}

fn header(frame: &Bytes) -> Result<RequestHeader, Surprise> {
    RequestHeader::decode(&mut frame.clone()).map_err(|_| shown(frame))
}

fn is_ping(frame: &[u8]) -> bool {
    let (xid, opcode) = (reserved::PING.to_be_bytes(), opcode::PING.to_be_bytes());
    frame == [xid, opcode].concat()
}

fn shown(frame: &Bytes) -> Surprise {
    match RequestHeader::decode(&mut frame.clone()) {
        Ok(header) => {
            format!("the frame {frame:?} came (xid {}, opcode {})", header.xid, header.opcode)
        }
        Err(_) => format!("the frame {frame:?} came"),
    }
}

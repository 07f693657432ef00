//! Servers that send rubbish, and requests that are too long for them.

use super::conn::Note;
use super::Sim;

/// What comes in place of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spoil {
    /// Instead of its length.
    Length(i32),
    /// Too short to be a reply.
    Short,
    /// The number of another request.
    Number,
}

/// Beyond what a session takes: 64 MiB, as its own `jute_maxbuffer` is less.
const TOO_LONG: i32 = (64 << 20) + 1;

impl Sim {
    pub(super) fn some_spoil(&mut self) -> Spoil {
        let lengths = [-1, i32::MIN, i32::MAX, TOO_LONG];
        match self.rng.usize(0..6) {
            n @ 0..4 => Spoil::Length(lengths[n]),
            4 => Spoil::Short,
            _ => Spoil::Number,
        }
    }

    /// The frame as the client is to get it: the next reply on a connection may be due to be spoilt.
    pub(super) fn spoilt(&mut self, conn: usize, note: Note, frame: &[u8]) -> (Note, Vec<u8>) {
        let mut frame = frame.to_vec();
        let spoil = self.conns[conn].spoil.take_if(|_| matches!(note, Note::Reply { .. }));
        match spoil {
            None => return (note, frame),
            Some(Spoil::Length(length)) => {
                self.counts.bump(if length == TOO_LONG {
                    "replies beyond the client's limit"
                } else {
                    "replies of a length that cannot be"
                });
                frame[..4].copy_from_slice(&length.to_be_bytes());
            }
            Some(Spoil::Short) => {
                self.counts.bump("replies too short for a header");
                frame = [&[0, 0, 0, 3][..], &frame[4..7]].concat();
            }
            Some(Spoil::Number) => {
                self.counts.bump("replies with the number of another request");
                frame[4] ^= 0x10;
            }
        }
        (Note::Rubbish, frame)
    }

    /// Rubbish has come to the user in whole: he has left, and for long, if it goes on so.
    pub(super) fn judge_rubbish(&mut self, user: usize, conn: usize) {
        let u = &self.users[user];
        let leaves = u.session.over().is_some() || !u.session.wants_bytes();
        assert!(leaves, "user {user} goes on after rubbish on conn {conn}");
        self.counts.bump("connections left for rubbish");
    }

    /// A frame that is longer than the server takes. It says nothing, and hangs up.
    pub(super) fn is_too_long(&mut self, conn: usize) -> bool {
        let Some(head) = self.conns[conn].frames.first_chunk::<4>() else { return false };
        let length = i32::from_be_bytes(*head);
        if length as usize <= self.plan.server_limit {
            return false;
        }
        self.counts.bump("requests beyond the server's limit");
        self.hang_up(conn);
        true
    }
}

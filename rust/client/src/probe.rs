//! A question to a server over a connection of its own: can it write?

use crate::conn::Conn;
use rustix::io::Errno;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use zk_proto::connect_string::HostPort;
use zk_proto::session::search::{CAN_WRITE, QUESTION};

/// An answer of so many bytes is none that is known.
const LONGEST_ANSWER: usize = 16;

/// How far it has got.
#[derive(Debug)]
pub(crate) enum Probe {
    /// The name is being resolved.
    Resolving(HostPort),
    /// There is a connection, or an attempt at one.
    Asking(Asking),
}

/// A probe that has a socket.
#[derive(Debug)]
pub(crate) struct Asking {
    conn: Conn,
    asked: bool,
    answer: Vec<u8>,
}

impl Asking {
    /// Starts to connect. The poller reports under `key`.
    pub(crate) fn open(poller: BorrowedFd<'_>, key: u64, peer: SocketAddr) -> Result<Asking, Errno> {
        let conn = Conn::open(poller, key, peer)?;
        Ok(Asking { conn, asked: false, answer: Vec::new() })
    }

    /// Whether an event of the poller is about this one.
    pub(crate) fn reported(&mut self, key: u64) -> bool {
        self.conn.reported(key)
    }

    /// The poller has reported something: goes on as far as it can, and says at the end what was found out.
    pub(crate) fn go_on(&mut self, poller: BorrowedFd<'_>) -> Option<bool> {
        match self.advance() {
            Ok(can_write) => Some(can_write),
            Err(Errno::AGAIN) => {
                self.conn.listen(poller, self.asked, !self.asked);
                None
            }
            Err(_) => Some(false),
        }
    }

    fn advance(&mut self) -> Result<bool, Errno> {
        if self.conn.connecting {
            self.conn.connected()?;
        }
        if !self.asked {
            // So few bytes go out together or not at all.
            if self.conn.send(QUESTION)? < QUESTION.len() {
                return Ok(false);
            }
            self.asked = true;
        }
        let mut buffer = [0; LONGEST_ANSWER];
        loop {
            match self.conn.recv(&mut buffer)? {
                0 => return Ok(self.answer.trim_ascii_end() == CAN_WRITE),
                count => self.answer.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            }
            if self.answer.len() > LONGEST_ANSWER {
                return Ok(false);
            }
        }
    }
}

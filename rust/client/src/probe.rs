//! A question to a server over a connection of its own: can it write?

use crate::conn::{Conn, Progress, Trouble};
use crate::tls::Tls;
use rustix::io::Errno;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use zk_proto::connect_string::HostPort;
use zk_proto::session::search::{CAN_WRITE, QUESTION};

/// An answer of so many bytes is none that is known.
const LONGEST_ANSWER: usize = 16;
/// Nor is what takes so many reads at once, which may be records of TLS with nothing in them.
const MOST_READS: usize = 16;
/// Room for what TLS adds.
const READ_BUFFER: usize = 4 << 10;

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
    /// What the server is known as.
    pub(crate) host: HostPort,
    pub(crate) peer: SocketAddr,
    asked: bool,
    answer: Vec<u8>,
}

impl Asking {
    /// Starts to connect. The poller reports under `key`.
    pub(crate) fn open(
        poller: BorrowedFd<'_>,
        key: u64,
        host: &HostPort,
        peer: SocketAddr,
    ) -> Result<Asking, Errno> {
        let conn = Conn::open(poller, key, peer)?;
        Ok(Asking { conn, host: host.clone(), peer, asked: false, answer: Vec::new() })
    }

    /// Whether an event of the poller is about this one.
    pub(crate) fn reported(&mut self, key: u64) -> bool {
        self.conn.reported(key)
    }

    /// The poller has reported something: goes on as far as it can, and says at the end what was found out.
    /// `secure` is as for [`Conn::advance`].
    pub(crate) fn go_on(&mut self, poller: BorrowedFd<'_>, secure: Option<&Tls>) -> Option<bool> {
        match self.advance(poller, secure) {
            Ok(Some(can_write)) => Some(can_write),
            Ok(None) => None,
            Err(Trouble::System(Errno::AGAIN)) => {
                self.conn.listen(poller, self.asked, !self.asked || self.conn.wants_write());
                None
            }
            Err(_) => Some(false),
        }
    }

    /// `None` while the connection is not secure yet: what is listened to then is known already.
    fn advance(&mut self, poller: BorrowedFd<'_>, secure: Option<&Tls>) -> Result<Option<bool>, Trouble> {
        if self.conn.connecting {
            let secure = secure.map(|settings| (settings, self.host.host.as_str()));
            if self.conn.advance(poller, secure)? == Progress::Securing {
                return Ok(None);
            }
        }
        if !self.asked {
            // So few bytes are taken together or not at all.
            if self.conn.send(QUESTION)? < QUESTION.len() {
                return Ok(Some(false));
            }
            self.asked = true;
        }
        if self.conn.wants_write() {
            self.conn.send(b"")?;
        }
        let mut buffer = [0; READ_BUFFER];
        for _ in 0..MOST_READS {
            let answer = &mut self.answer;
            if self.conn.recv(&mut buffer, &mut |bytes| answer.extend_from_slice(bytes))? == 0 {
                return Ok(Some(self.answer.trim_ascii_end() == CAN_WRITE));
            }
            if self.answer.len() > LONGEST_ANSWER {
                break;
            }
        }
        Ok(Some(false))
    }
}

//! One connection: a non-blocking socket, plain or with TLS, and which of its events the IO thread is told of.

use crate::forking::{Inherited, Registered};
use crate::tls::{Stream, Tls};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{sockopt, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::{fmt, io};

/// A connection, or an attempt at one.
#[derive(Debug)]
pub(crate) struct Conn {
    /// What the poller reports with its events.
    key: u64,
    peer: SocketAddr,
    socket: Arc<Registered>,
    /// What the IO thread's poller is set to; `None` after a one-shot event.
    interest: Option<EventFlags>,
    /// `connect` has not answered yet, or the TLS handshake is not done.
    pub(crate) connecting: bool,
    /// What makes it a secure one.
    tls: Option<Box<Stream>>,
}

/// How far an attempt has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// The TLS handshake is under way.
    Securing,
    /// It is there.
    Up,
}

/// What is wrong with a connection.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The system's word for it.
    System(Errno),
    /// TLS can't be had, or failed: in words.
    Tls(String),
}

impl Trouble {
    #[cfg(feature = "tls")]
    pub(crate) fn tls(words: &str) -> Trouble {
        Trouble::Tls(words.to_owned())
    }
}

impl From<Errno> for Trouble {
    fn from(error: Errno) -> Trouble {
        Trouble::System(error)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        match Errno::from_io_error(&error) {
            Some(errno) => Trouble::System(errno),
            None => Trouble::Tls(error.to_string()),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::System(errno) => write!(f, "{}", io::Error::from(*errno)),
            Trouble::Tls(words) => write!(f, "TLS: {words}"),
        }
    }
}

impl Conn {
    /// Starts to connect, and registers with the poller under `key`, which no other connection has:
    /// an event of the connection before, already on its way, must not be taken for this one's.
    pub(crate) fn open(poller: BorrowedFd<'_>, key: u64, peer: SocketAddr) -> Result<Conn, Errno> {
        let family = if peer.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = Registered::make(Inherited::Close, || {
            rustix::net::socket_with(family, SocketType::STREAM, flags, None)
        })?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        match rustix::net::connect(&socket, &peer) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error),
        }
        let interest = EventFlags::OUT;
        epoll::add(poller, &socket, EventData::new_u64(key), interest)?;
        Ok(Conn {
            key,
            peer,
            socket: Arc::new(socket),
            interest: Some(interest),
            connecting: true,
            tls: None,
        })
    }

    /// What became of `connect`, once the socket is writable or in error; and with `secure` (settings, and
    /// what the server is known as) of the handshake that follows, once there is something of it.
    pub(crate) fn advance(
        &mut self,
        poller: BorrowedFd<'_>,
        secure: Option<(&Tls, &str)>,
    ) -> Result<Progress, Trouble> {
        if self.tls.is_none() {
            sockopt::socket_error(&self.socket).and_then(|outcome| outcome)?;
            let open = |(settings, host)| Stream::open(settings, host).map(Box::new);
            self.tls = secure.map(open).transpose()?;
        }
        if let Some(tls) = &mut self.tls {
            if !tls.shake_hands(&self.socket)? {
                let write = tls.wants_write();
                self.listen(poller, true, write);
                return Ok(Progress::Securing);
            }
        }
        self.connecting = false;
        Ok(Progress::Up)
    }

    /// Sets what the IO thread is told of. While a caller leads (`read` false) the entry is one-shot,
    /// so that an error or hang-up, which can't be masked, is reported once and not for ever.
    pub(crate) fn listen(&mut self, poller: BorrowedFd<'_>, read: bool, write: bool) {
        let mut interest = if read { EventFlags::IN } else { EventFlags::ONESHOT };
        if write {
            interest |= EventFlags::OUT;
        }
        if self.interest != Some(interest) {
            // Fails only if the socket is not registered, and it is as long as it is open.
            let _ = epoll::modify(poller, &self.socket, EventData::new_u64(self.key), interest);
            self.interest = Some(interest);
        }
    }

    /// The poller has reported an event under `key`: a one-shot entry is spent by it. False if it is
    /// not this connection's.
    pub(crate) fn reported(&mut self, key: u64) -> bool {
        if key != self.key {
            return false;
        }
        if self.interest.is_some_and(|i| i.contains(EventFlags::ONESHOT)) {
            self.interest = None;
        }
        true
    }

    /// Reads what is there, with `buffer` as room for it, and hands it on: as many bytes of the stream as it
    /// returns, or with TLS what is in them. `Ok(0)` is the end of the stream; [`Errno::AGAIN`]: nothing
    /// now. Less than the buffer has room for: nothing more now, neither in the socket nor in here.
    pub(crate) fn recv(&mut self, buffer: &mut [u8], take: &mut dyn FnMut(&[u8])) -> Result<usize, Trouble> {
        if let Some(tls) = &mut self.tls {
            return tls.recv(&self.socket, buffer, take);
        }
        let count = rustix::io::retry_on_intr(|| {
            rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::empty()).map(|(count, _)| count)
        })?;
        if count > 0 {
            take(buffer.get(..count).unwrap_or_default());
        }
        Ok(count)
    }

    /// Writes what fits. No SIGPIPE: that would kill a Perl program whose server went away.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<usize, Trouble> {
        if let Some(tls) = &mut self.tls {
            return tls.send(&self.socket, bytes);
        }
        Ok(rustix::io::retry_on_intr(|| rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL))?)
    }

    /// Not all of what [`send`](Self::send) has taken is written: call it again, with no bytes if there are
    /// none.
    pub(crate) fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// The connection is about to be closed from this side.
    pub(crate) fn say_goodbye(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.say_goodbye(&self.socket);
        }
    }

    /// What TLS has agreed upon; nothing for a plain connection.
    pub(crate) fn secured(&self) -> Option<String> {
        self.tls.as_ref().map(|tls| tls.parameters())
    }

    /// The server's address.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Our own address, by which the server's log names us.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        rustix::net::getsockname(&self.socket).ok()?.try_into().ok()
    }

    pub(crate) fn socket(&self) -> &Arc<Registered> {
        &self.socket
    }
}

//! One connection: a non-blocking socket, and which of its events the IO thread is told of.

use crate::forking::{Inherited, Registered};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{sockopt, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// A connection, or an attempt at one.
#[derive(Debug)]
pub(crate) struct Conn {
    /// What the poller reports with its events.
    key: u64,
    peer: SocketAddr,
    socket: Arc<Registered>,
    /// What the IO thread's poller is set to; `None` after a one-shot event.
    interest: Option<EventFlags>,
    /// `connect` has not answered yet.
    pub(crate) connecting: bool,
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
        Ok(Conn { key, peer, socket: Arc::new(socket), interest: Some(interest), connecting: true })
    }

    /// What became of `connect`, once the socket is writable or in error.
    pub(crate) fn connected(&mut self) -> Result<(), Errno> {
        sockopt::socket_error(&self.socket)??;
        self.connecting = false;
        Ok(())
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

    /// Reads what is there. `Ok(0)` is the end of the stream; [`Errno::AGAIN`]: nothing now.
    pub(crate) fn recv(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        rustix::io::retry_on_intr(|| {
            rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::empty()).map(|(count, _)| count)
        })
    }

    /// Writes what fits. No SIGPIPE: that would kill a Perl program whose server went away.
    pub(crate) fn send(&self, bytes: &[u8]) -> Result<usize, Errno> {
        rustix::io::retry_on_intr(|| rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL))
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

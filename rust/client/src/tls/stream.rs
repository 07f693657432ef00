//! TLS on a non-blocking socket.
//!
//! Nothing stays behind in here that a poll of the socket would not tell of: every call of
//! [`recv`](Stream::recv) hands out all that the bytes it has read amount to, and what is left over is less
//! than a record of TLS, whose rest has yet to come.

use super::{words, Tls};
use crate::conn::Trouble;
use crate::forking::Registered;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ProtocolVersion};
use std::io::{self, BufRead, Read, Write};

/// The client's side of one connection.
#[derive(Debug)]
pub(crate) struct Stream {
    tls: ClientConnection,
    /// There is a certificate of our own to show.
    has_certificate: bool,
}

impl Stream {
    /// To a server that is known as `host`: a name, or an address (IPv6 perhaps with a zone).
    pub(crate) fn open(settings: &Tls, host: &str) -> Result<Stream, Trouble> {
        let name = match &settings.server_name {
            Some(name) => name.clone(),
            None => {
                let host = host.split('%').next().unwrap_or_default();
                ServerName::try_from(host.to_owned())
                    .map_err(|_| Trouble::tls("certificates can't be for such a name; see server_name"))?
            }
        };
        let tls = ClientConnection::new(settings.config.clone(), name)
            .map_err(|error| Trouble::Tls(error.to_string()))?;
        Ok(Stream { tls, has_certificate: settings.has_certificate })
    }

    /// Goes on with the handshake. True when it is done, false if the socket has to be waited for: to be
    /// readable, and if [`wants_write`](Self::wants_write), also to be writable.
    pub(crate) fn shake_hands(&mut self, socket: &Registered) -> Result<bool, Trouble> {
        loop {
            match self.flush(socket) {
                Ok(()) | Err(Trouble::System(Errno::AGAIN)) => {}
                Err(error) => return Err(self.last_words(socket).unwrap_or(error)),
            }
            if !self.tls.is_handshaking() {
                return Ok(true);
            }
            match self.tls.read_tls(&mut Socket(socket)) {
                Ok(0) => return Err(Trouble::tls(words::CUT)),
                Ok(_) => self.process(socket)?,
                Err(error) => {
                    return match Trouble::from(error) {
                        Trouble::System(Errno::AGAIN) => Ok(false),
                        Trouble::System(Errno::CONNRESET) => Err(Trouble::tls(words::CUT)),
                        error => Err(error),
                    }
                }
            }
        }
    }

    /// Reads what is there, and hands on what is in it, which may be nothing. `Ok(0)` is the end of the
    /// stream; [`Errno::AGAIN`]: nothing now. A count below the buffer's length: there is no more for now.
    pub(crate) fn recv(
        &mut self,
        socket: &Registered,
        buffer: &mut [u8],
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<usize, Trouble> {
        // What came together with the end of the handshake.
        if self.hand_out(take) {
            return Ok(0);
        }
        // Many records in one system call: rustls itself would read a quarter of one at a time.
        let count = rustix::io::retry_on_intr(|| {
            rustix::net::recv(socket, &mut *buffer, RecvFlags::empty()).map(|(count, _)| count)
        })?;
        let mut rest = buffer.get(..count).unwrap_or_default();
        while !rest.is_empty() {
            let taken = self.tls.read_tls(&mut rest)?;
            let processed = self.process(socket);
            let ended = self.hand_out(take);
            processed?;
            if ended || taken == 0 {
                return Ok(0);
            }
        }
        Ok(count)
    }

    /// Encrypts and writes what fits: how much was taken. Some of that may wait to be written, and then
    /// [`wants_write`](Self::wants_write); this writes it as well, also when there are no more bytes.
    pub(crate) fn send(&mut self, socket: &Registered, bytes: &[u8]) -> Result<usize, Trouble> {
        self.flush(socket)?;
        if bytes.is_empty() {
            return Ok(0);
        }
        let taken = self.tls.writer().write(bytes)?;
        if taken == 0 {
            return Err(Trouble::tls("the connection is closed for writing"));
        }
        match self.flush(socket) {
            Ok(()) | Err(Trouble::System(Errno::AGAIN)) => Ok(taken),
            Err(error) => Err(error),
        }
    }

    /// The socket has not taken all that there is to write.
    pub(crate) fn wants_write(&self) -> bool {
        self.tls.wants_write()
    }

    /// Tells the server that nothing more will come, if the socket takes it.
    pub(crate) fn say_goodbye(&mut self, socket: &Registered) {
        // Behind a half-written record it would be no record.
        if !self.tls.is_handshaking() && !self.tls.wants_write() {
            self.tls.send_close_notify();
            let _ = self.flush(socket);
        }
    }

    /// What was agreed upon, for the log.
    pub(crate) fn parameters(&self) -> String {
        let version = match self.tls.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            _ => "TLS",
        };
        match self.tls.negotiated_cipher_suite() {
            Some(suite) => format!("{version}, {:?}", suite.suite()),
            None => version.to_owned(),
        }
    }

    fn flush(&mut self, socket: &Registered) -> Result<(), Trouble> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut Socket(socket))?;
        }
        Ok(())
    }

    /// Makes what it can of what was read.
    fn process(&mut self, socket: &Registered) -> Result<(), Trouble> {
        match self.tls.process_new_packets() {
            Ok(_) => Ok(()),
            Err(error) => {
                let _ = self.flush(socket); // the alert that says what we don't like
                Err(Trouble::Tls(words::failure(&error, self.has_certificate)))
            }
        }
    }

    /// A write has failed: what the server may have said before it closed.
    fn last_words(&mut self, socket: &Registered) -> Option<Trouble> {
        match self.tls.read_tls(&mut Socket(socket)) {
            Ok(count) if count > 0 => self.process(socket).err(),
            _ => Some(Trouble::tls(words::CUT)),
        }
    }

    /// Hands on what is decrypted. True: the server has said that nothing more will come.
    fn hand_out(&mut self, take: &mut dyn FnMut(&[u8])) -> bool {
        let mut reader = self.tls.reader();
        loop {
            match reader.fill_buf() {
                Ok([]) => return true,
                Ok(bytes) => {
                    let count = bytes.len();
                    take(bytes);
                    reader.consume(count);
                }
                // Nothing more now: no other error is possible, for rustls is not told of a stream's end.
                Err(_) => return false,
            }
        }
    }
}

/// The socket as rustls wants it.
struct Socket<'a>(&'a Registered);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let recv = || rustix::net::recv(self.0, &mut *buffer, RecvFlags::empty()).map(|(count, _)| count);
        Ok(rustix::io::retry_on_intr(recv)?)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::retry_on_intr(|| rustix::net::send(self.0, bytes, SendFlags::NOSIGNAL))?)
    }

    fn write_vectored(&mut self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        if let [one] = parts {
            return self.write(one);
        }
        Ok(rustix::io::retry_on_intr(|| {
            rustix::net::sendmsg(self.0, parts, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)
        })?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

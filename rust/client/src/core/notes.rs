//! What is told of a session and its connection.

use super::Core;
use crate::conn::Trouble;
use crate::log::{self, About, Level};
use crate::records::Record;
use std::fmt::Arguments;
use std::net::SocketAddr;

impl Core {
    /// Who this is, for the log.
    pub(crate) fn about(&self) -> About {
        About { handle: self.id, session: self.session.credentials().map_or(0, |(id, _)| id) }
    }

    /// The session leaves the notes that are wanted now. Before every step: the level may change at
    /// any time.
    #[inline]
    pub(crate) fn want_notes(&mut self) {
        self.session.want_notes(self.wanted());
    }

    /// Up to which level somebody wants to be told.
    #[inline]
    pub(super) fn wanted(&self) -> Option<Level> {
        log::level().max(self.sink.wanted_records())
    }

    /// Writes what the session has left.
    #[inline]
    pub(super) fn write_notes(&mut self) {
        while let Some((level, note)) = self.session.poll_note() {
            self.write(level, format_args!("{note}"));
        }
    }

    /// Tells all who want to be told.
    fn write(&self, level: Level, line: Arguments<'_>) {
        log::write(level, self.about(), line);
        if Some(level) <= self.sink.wanted_records() {
            let server = self.session.peer().map(ToString::to_string);
            self.sink.record(Record { level, about: self.about(), server, text: line.to_string() });
        }
    }

    /// Writes a line of our own, behind what the session had to say before.
    pub(super) fn note(&mut self, level: Level, line: Arguments<'_>) {
        if Some(level) <= self.wanted() {
            self.write_notes();
            self.write(level, line);
        }
    }

    /// An attempt has begun.
    pub(super) fn note_connecting(&mut self, peer: SocketAddr) {
        let server = self.server(Some(peer));
        self.note(Level::Info, format_args!("connecting to {server}"));
    }

    /// An attempt has succeeded.
    pub(super) fn note_connected(&mut self) {
        if Some(Level::Info) <= self.wanted() {
            let server = self.server(None);
            match self.conn.as_ref().and_then(|conn| conn.local()) {
                Some(local) => self.note(Level::Info, format_args!("connected to {server} from {local}")),
                None => self.note(Level::Info, format_args!("connected to {server}")),
            }
            if let Some(secured) = self.conn.as_ref().and_then(|conn| conn.secured()) {
                self.note(Level::Info, format_args!("connection to {server} secured: {secured}"));
            }
        }
    }

    /// An attempt has failed.
    pub(super) fn note_refused(&mut self, peer: Option<SocketAddr>, trouble: &Trouble) {
        self.session.blame(trouble.to_string());
        let server = self.server(peer);
        self.note(Level::Warn, format_args!("cannot connect to {server}: {trouble}"));
    }

    /// A name has no address.
    pub(super) fn note_unresolved(&mut self, why: &str) {
        self.session.blame(format!("cannot resolve it: {why}"));
        let server = self.server(None);
        self.note(Level::Warn, format_args!("cannot resolve {server}: {why}"));
    }

    /// A step has panicked: the last line of this session.
    pub(crate) fn note_panic(&mut self, panic: &(dyn std::any::Any + Send)) {
        let words = panic.downcast_ref::<&str>().copied();
        let words = words.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let words = words.unwrap_or("a panic");
        self.note(Level::Error, format_args!("internal error, which ends the session: {words}"));
    }

    /// The connection has ended, by our or the system's word or (`None`) the server's.
    pub(super) fn note_lost(&mut self, error: Option<&Trouble>) {
        match error {
            Some(trouble) => self.session.blame(trouble.to_string()),
            // What servers do that are not serving, and those that find no TLS where they expect it.
            None if self.tls.is_none() => self.session.blame(
                "closed by the server before it granted a session (it may not be serving, or want TLS on this port)",
            ),
            None => self.session.blame("closed by the server before it granted a session"),
        }
        let server = self.server(None);
        let lost = match (self.session.is_connected(), self.session.is_closing()) {
            (true, false) => "lost",
            (true, true) => "lost while closing the session",
            (false, _) if self.session.is_logging_in() => "lost amid the SASL login",
            (false, _) => "lost before a session was granted",
        };
        match error {
            Some(error) => {
                self.note(Level::Warn, format_args!("connection to {server} {lost}: {error}"));
            }
            None => {
                self.note(Level::Warn, format_args!("connection to {server} {lost}: closed by the server"))
            }
        }
    }

    /// The server that is tried or connected to, as it stands in the connect string, and its address.
    fn server(&self, peer: Option<SocketAddr>) -> String {
        let peer = peer.or(self.conn.as_ref().map(|conn| conn.peer()));
        let name = self.session.peer().map(ToString::to_string).unwrap_or_default();
        let shown = log::Shown::text(&name);
        match peer.map(|peer| peer.to_string()) {
            Some(peer) if peer != name => format!("{shown} ({peer})"),
            _ => shown.to_string(),
        }
    }
}

//! What a session has to say to whoever looks for a fault: for a log, not for the program.
//!
//! Notes are values that the session leaves to be drained ([`Session::poll_note`]), as many as are
//! wanted ([`Session::want_notes`]; none at first). Nothing in them is secret: the credentials of an
//! authentication, the session's password and SASL tokens have no place in any note, and of access
//! lists only such ids are shown as prove nothing. Data of nodes is shown at [`Level::Trace`] only,
//! and shortened. All texts are printable ASCII, whatever a path or a server holds.
//!
//! [`Session::poll_note`]: crate::session::Session::poll_note
//! [`Session::want_notes`]: crate::session::Session::want_notes

mod asked;
mod shown;

pub(crate) use asked::{Answered, Asked};
pub use shown::{Shortened, Shown, Zxid};

use crate::connect_string::HostPort;
use crate::event::{EventType, KeeperState};
use crate::Code;
use bytes::Bytes;
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// How much somebody wants to know: each level includes those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Level {
    /// What failed for good, or must not happen at all.
    Error = 1,
    /// What is lost and may come back: connections, and the requests on them.
    Warn = 2,
    /// The life of the session.
    Info = 3,
    /// What is done for the session, step by step.
    Debug = 4,
    /// Everything that is said: every request and reply, with data.
    Trace = 5,
}

impl Level {
    /// The level of this number; none below the first, the last above it.
    #[inline]
    pub const fn from_number(number: u8) -> Option<Level> {
        match number {
            0 => None,
            1 => Some(Level::Error),
            2 => Some(Level::Warn),
            3 => Some(Level::Info),
            4 => Some(Level::Debug),
            _ => Some(Level::Trace),
        }
    }

    /// `error`, `warn`, `info`, `debug`, `trace`.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }
}

/// How a session came to expire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expiry {
    /// The server does not know it any more.
    Refused,
    /// The server gave another one in its place.
    Replaced,
    /// It was cut off for that long, and the configuration says that this is enough.
    Clock(Duration),
}

/// What a server was waited for in vain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Silence {
    /// A connection.
    Connection,
    /// The end of the TLS handshake.
    Securing,
    /// An answer to the connect request.
    Handshake,
    /// The next step of a login by SASL.
    Sasl,
    /// Anything at all, on a connection that worked.
    Established,
}

impl Silence {
    /// What a server is blamed for with it.
    pub(crate) fn blamed(self) -> &'static str {
        match self {
            Silence::Connection => "no answer to the connection",
            Silence::Securing => "TLS: no answer in the handshake",
            Silence::Sasl => "SASL: no answer in the login",
            Silence::Handshake | Silence::Established => "connected, but no answer from the server",
        }
    }
}

/// Kinds of watches, in the order in which setWatches has them.
const KINDS: [&str; 5] = ["data", "exist", "child", "persistent", "recursive"];

/// Something that happened to a session. Its `Display` is a line without an end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// What a server sent makes no sense; its connection was dropped.
    Rubbish(Option<HostPort>, String),
    /// A server grants no new session; its connection was dropped.
    NoSession(Option<HostPort>),
    /// Authentication was refused, which ends the session: scheme and the server's code.
    AuthRefused(Option<HostPort>, String, Code),
    /// The login by SASL failed, or a server demands one: why. It ends the session.
    SaslFailed(Option<HostPort>, String),
    /// The session has expired.
    Expired(Option<HostPort>, Expiry),

    /// A server gave no sign of life for so long; its connection was dropped.
    Silent(Option<HostPort>, Silence, Duration),
    /// The server is read-only, and such are not wanted; its connection was dropped.
    ReadOnly(Option<HostPort>),
    /// So many requests were answered with this code, and not by a server.
    Unanswered(usize, Code),
    /// The session has been cut off for so long, which is more than its timeout.
    Suspect(Duration),
    /// The connection ended, but not by a reply to closeSession.
    NotClosed(Option<HostPort>),

    /// A handle was opened.
    Opened {
        /// The connect string.
        hosts: String,
        /// The session timeout that will be asked for.
        timeout: Duration,
        /// The session to resume, 0 for a new one.
        resume: i64,
        /// Read-only servers will do.
        read_only: bool,
    },
    /// The server has granted a session.
    Granted {
        /// Who.
        server: Option<HostPort>,
        /// Its number.
        id: i64,
        /// The negotiated timeout.
        timeout: Duration,
        /// It is the one that was there before.
        resumed: bool,
        /// The server is read-only.
        read_only: bool,
    },
    /// Watches were set again on a new connection: how many of each kind.
    Replayed([usize; 5]),
    /// Authentication was sent: its scheme.
    AuthSent(String),
    /// Authentication was accepted: its scheme.
    AuthAccepted(String),
    /// The login by SASL was begun.
    SaslSent,
    /// The login by SASL was accepted.
    SaslAccepted,
    /// closeSession is on its way.
    Closing,
    /// The session was closed in good order.
    Closed,
    /// The session was closed without a connection: no server knows.
    LeftBehind,
    /// The session was left to whoever resumes it.
    Left,
    /// There is another list of servers: the connect string, and whether the session stays where it is.
    Hosts(String, bool),
    /// The connection is given up for another server's.
    Moves(Option<HostPort>, Option<HostPort>),
    /// A server that can write was found.
    FoundWriter(HostPort),

    /// A server is asked whether it can write.
    Probe(HostPort),
    /// The next attempt to connect comes after this time.
    Pause(Duration),
    /// The connect request was sent.
    Handshake {
        /// The session to resume, 0 for a new one.
        id: i64,
        /// The greatest transaction id seen.
        zxid: i64,
        /// The session timeout that is asked for.
        timeout: Duration,
    },
    /// A request waits for a connection.
    Waits(String),
    /// A request was handed to the connection.
    Request {
        /// Its number on this connection.
        xid: i32,
        /// Its length.
        bytes: usize,
        /// What it asks for.
        text: String,
    },
    /// A reply came.
    Reply {
        /// The number of its request.
        xid: i32,
        /// Its length.
        bytes: usize,
        /// The transaction id in it.
        zxid: i64,
        /// From request to reply, where that is known.
        took: Option<Duration>,
        /// What was asked for, and what the answer is.
        text: String,
    },
    /// A ping was sent.
    Ping,
    /// A ping was answered, after this time.
    Pong(Option<Duration>),
    /// Watches that were set again are in place.
    ReplayDone,
    /// A watch event came.
    Event {
        /// What happened.
        kind: EventType,
        /// The state that it carries.
        state: KeeperState,
        /// Where, as the user knows it; `None` for a path outside of the chroot.
        path: Option<Bytes>,
        /// How many watchers hear of it.
        watchers: usize,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DROPPED: &str = "connection dropped";
        match self {
            Note::Rubbish(server, what) => {
                write!(f, "rubbish from {}: {}; {DROPPED}", At(server), what)
            }
            Note::NoSession(server) => write!(f, "{} grants no session; {DROPPED}", At(server)),
            Note::AuthRefused(server, scheme, code) => {
                let scheme = shown_scheme(scheme);
                write!(f, "authentication of scheme '{scheme}' was refused by {}: {code}", At(server))
            }
            Note::SaslFailed(server, why) => write!(f, "no login at {}: {why}", At(server)),
            Note::Expired(server, Expiry::Refused) => {
                write!(f, "session expired: {} does not know it any more", At(server))
            }
            Note::Expired(server, Expiry::Replaced) => {
                write!(f, "session expired: {} gave another one in its place", At(server))
            }
            Note::Expired(_, Expiry::Clock(span)) => {
                write!(f, "session expired: cut off for {} ms, longer than its timeout", span.as_millis())
            }
            Note::Silent(server, what, span) => {
                let (server, ms) = (At(server), span.as_millis());
                match what {
                    Silence::Connection => write!(f, "cannot connect to {server}: no answer for {ms} ms"),
                    Silence::Securing => {
                        write!(f, "cannot connect to {server}: no TLS handshake within {ms} ms")
                    }
                    Silence::Handshake => {
                        write!(f, "no session from {server}: no answer for {ms} ms; {DROPPED}")
                    }
                    Silence::Sasl => {
                        write!(f, "SASL login at {server} got stuck: no answer for {ms} ms; {DROPPED}")
                    }
                    Silence::Established => {
                        write!(f, "connection to {server} lost: no answer for {ms} ms")
                    }
                }
            }
            Note::ReadOnly(server) => write!(f, "{} is read-only; {DROPPED}", At(server)),
            Note::Unanswered(count, code) => write!(f, "requests answered with {code}: {count}"),
            Note::Suspect(span) => write!(
                f,
                "cut off for {} ms, longer than the session timeout: the session has probably expired",
                span.as_millis()
            ),
            Note::NotClosed(server) => {
                write!(f, "session closed, but {} has not confirmed it", At(server))
            }
            Note::Opened { hosts, timeout, resume, read_only } => {
                write!(f, "opened for {}, timeout {} ms", Shown::text(hosts), timeout.as_millis())?;
                if *resume != 0 {
                    write!(f, ", to resume session {resume:#x}")?;
                }
                f.write_str(if *read_only { ", read-only servers will do" } else { "" })
            }
            Note::Granted { server, id, timeout, resumed, read_only } => write!(
                f,
                "session {id:#x} {} by {}{}, timeout {} ms",
                if *resumed { "resumed" } else { "granted" },
                At(server),
                if *read_only { ", which is read-only" } else { "" },
                timeout.as_millis()
            ),
            Note::Replayed(counts) => {
                f.write_str("watches set again:")?;
                for (count, name) in counts.iter().zip(KINDS).filter(|(count, _)| **count > 0) {
                    write!(f, " {count} {name}")?;
                }
                Ok(())
            }
            Note::AuthSent(scheme) => {
                write!(f, "authentication of scheme '{}' sent", shown_scheme(scheme))
            }
            Note::AuthAccepted(scheme) => {
                write!(f, "authentication of scheme '{}' accepted", shown_scheme(scheme))
            }
            Note::SaslSent => f.write_str("SASL login begun"),
            Note::SaslAccepted => f.write_str("SASL login accepted"),
            Note::Closing => f.write_str("closing the session"),
            Note::Closed => f.write_str("session closed"),
            Note::LeftBehind => {
                f.write_str("session closed without a connection: on the servers it lives until it expires")
            }
            Note::Left => f.write_str("session left, to be resumed"),
            Note::Hosts(hosts, stays) => {
                let stays = if *stays { "stays" } else { "moves" };
                write!(f, "new list of servers: {}; the session {stays}", Shown::text(hosts))
            }
            Note::Moves(from, to) => write!(f, "moving from {} to {}", At(from), At(to)),
            Note::FoundWriter(server) => {
                write!(f, "{} can write", Shown::text(&server.to_string()))
            }
            Note::Probe(server) => {
                write!(f, "asking {} whether it can write", Shown::text(&server.to_string()))
            }
            Note::Pause(span) => write!(f, "next attempt to connect in {} ms", span.as_millis()),
            Note::Handshake { id, zxid, timeout } => write!(
                f,
                "handshake sent: session {id:#x}, last zxid {}, timeout {} ms",
                Zxid(*zxid),
                timeout.as_millis()
            ),
            Note::Waits(text) => write!(f, "request waits for a connection: {text}"),
            Note::Request { xid, bytes, text } => write!(f, "request {xid}, {bytes} bytes: {text}"),
            Note::Reply { xid, bytes, zxid, took, text } => {
                write!(f, "reply {xid}, {bytes} bytes, zxid {}", Zxid(*zxid))?;
                if let Some(span) = took {
                    write!(f, ", {} us", span.as_micros())?;
                }
                write!(f, ": {text}")
            }
            Note::Ping => f.write_str("ping sent"),
            Note::Pong(None) => f.write_str("ping answered"),
            Note::Pong(Some(span)) => write!(f, "ping answered, {} us", span.as_micros()),
            Note::ReplayDone => f.write_str("watches that were set again are in place"),
            Note::Event { kind, state, path, watchers } => {
                write!(f, "event {} ({})", kind.text(), kind.0)?;
                match path {
                    Some(path) => write!(f, " '{}'", Shown(path))?,
                    None => f.write_str(" outside of the chroot")?,
                }
                write!(f, ", state {} ({}), watchers: {watchers}", state.text(), state.0)
            }
        }
    }
}

/// The server that a note is about.
struct At<'a>(&'a Option<HostPort>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(server) => write!(f, "{}", Shown::text(&server.to_string())),
            None => f.write_str("the server"),
        }
    }
}

/// The notes of a session that were not drained yet. Whoever wants them drains them after each step,
/// as the outputs, which keeps them few.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    wanted: Option<Level>,
    list: VecDeque<(Level, Note)>,
    /// That the session is suspect was told since it was confirmed.
    pub(crate) suspected: bool,
}

impl Notes {
    pub(crate) fn want(&mut self, up_to: Option<Level>) {
        self.wanted = up_to;
    }

    /// Ask before composing anything.
    #[inline]
    pub(crate) fn wants(&self, level: Level) -> bool {
        Some(level) <= self.wanted
    }

    /// Leaves a note, if it is wanted.
    #[inline]
    pub(crate) fn leave(&mut self, level: Level, note: impl FnOnce() -> Note) {
        if self.wants(level) {
            self.list.push_back((level, note()));
        }
    }

    pub(crate) fn poll(&mut self) -> Option<(Level, Note)> {
        self.list.pop_front()
    }
}

/// The name of a scheme. What is no name may be credentials that somebody has put in the wrong place.
fn shown_scheme(scheme: &str) -> Shown<'_> {
    let is_name = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    Shown::text(if is_name { scheme } else { "(no name)" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_includes_those_before_it() {
        let mut notes = Notes::default();
        assert!(!notes.wants(Level::Error), "none are wanted at first");
        notes.want(Some(Level::Info));
        let wanted: Vec<bool> =
            [Level::Error, Level::Warn, Level::Info, Level::Debug].map(|level| notes.wants(level)).into();
        assert_eq!(wanted, [true, true, true, false]);
        notes.leave(Level::Debug, || panic!("composed a note that nobody wants"));
        notes.leave(Level::Warn, || Note::Closed);
        assert_eq!(notes.poll(), Some((Level::Warn, Note::Closed)));
        assert_eq!(notes.poll(), None);
    }

    #[test]
    fn only_kinds_of_watches_that_there_are_are_counted() {
        assert_eq!(Note::Replayed([2, 0, 1, 0, 0]).to_string(), "watches set again: 2 data 1 child");
    }

    #[test]
    fn a_server_can_forge_no_line() {
        let server = HostPort { host: "a\nb".into(), port: 1 };
        let text = Note::Rubbish(Some(server), "x".into()).to_string();
        assert_eq!(text, r"rubbish from a\nb:1: x; connection dropped");
    }
}

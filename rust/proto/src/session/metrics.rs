//! What a session counts.

use super::Session;
use std::time::Duration;

/// Counters since the session was made, and how things stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Metrics {
    /// Requests that were handed to a connection, of every kind: those of users, pings, authentication, watches
    /// that are set again, closeSession. The handshake is none.
    pub sent: u64,
    /// Answers to them. What is missing is still to come, or was lost with its connection.
    pub received: u64,
    /// Bytes that were handed to the system, handshakes and lengths included.
    pub bytes_sent: u64,
    /// Bytes that were received.
    pub bytes_received: u64,
    /// Requests of users that are with the session: what `max_in_flight` limits.
    pub in_flight: usize,
    /// How often a server has granted or resumed the session.
    pub connections: u64,
    /// Watches that servers are asked to keep: by path and kind, however many watchers share one.
    pub watches: usize,
    /// Watch events that servers have sent.
    pub events: u64,
    /// From the request or ping that was answered last to its answer.
    pub last_rtt: Option<Duration>,
}

impl Metrics {
    /// How often the session has got another connection.
    pub fn reconnects(&self) -> u64 {
        self.connections.saturating_sub(1)
    }
}

impl Session {
    /// The counters now.
    pub fn metrics(&self) -> Metrics {
        Metrics { in_flight: self.outstanding(), watches: self.watches.count(), ..self.counted }
    }
}

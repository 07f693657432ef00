//! What a watch event says: its type and the state of the session, both as numbers that survive.

/// The type of a watch event. Unknown types are kept as numbers.
/// Source: `Watcher.Event.EventType` of Apache ZooKeeper, and its C client for the negative ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EventType(pub i32);

impl EventType {
    /// The state of the session changed; the path is empty.
    pub const SESSION: EventType = EventType(-1);
    /// The server does not watch any more. Made by the C client.
    pub const NOT_WATCHING: EventType = EventType(-2);
    /// A persistent watch may have missed changes: look again. Made by this client.
    pub const RESYNC: EventType = EventType(-3);
    /// The node was created.
    pub const CREATED: EventType = EventType(1);
    /// The node was deleted.
    pub const DELETED: EventType = EventType(2);
    /// The node's data changed.
    pub const CHANGED: EventType = EventType(3);
    /// The node's children changed.
    pub const CHILD: EventType = EventType(4);
    /// A data watch was taken off. Made by clients.
    pub const DATA_WATCH_REMOVED: EventType = EventType(5);
    /// A child watch was taken off. Made by clients.
    pub const CHILD_WATCH_REMOVED: EventType = EventType(6);
    /// A persistent watch was taken off. Made by clients.
    pub const PERSISTENT_WATCH_REMOVED: EventType = EventType(7);

    /// The name of the type: `created`, `not watching`, …; `unknown event` for other numbers.
    pub const fn text(self) -> &'static str {
        match self {
            EventType::SESSION => "session",
            EventType::NOT_WATCHING => "not watching",
            EventType::RESYNC => "resync",
            EventType::CREATED => "created",
            EventType::DELETED => "deleted",
            EventType::CHANGED => "changed",
            EventType::CHILD => "child",
            EventType::DATA_WATCH_REMOVED => "data watch removed",
            EventType::CHILD_WATCH_REMOVED => "child watch removed",
            EventType::PERSISTENT_WATCH_REMOVED => "persistent watch removed",
            _ => "unknown event",
        }
    }
}

/// The state that an event carries, or that a handle is in, in the C client's numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct KeeperState(pub i32);

impl KeeperState {
    /// The session is over by the server's word.
    pub const EXPIRED: KeeperState = KeeperState(-112);
    /// Authentication was refused.
    pub const AUTH_FAILED: KeeperState = KeeperState(-113);
    /// No connection; one is looked for.
    pub const CONNECTING: KeeperState = KeeperState(1);
    /// Connected, the session's handshake under way.
    pub const ASSOCIATING: KeeperState = KeeperState(2);
    /// Connected with a session.
    pub const CONNECTED: KeeperState = KeeperState(3);
    /// Connected to a read-only server.
    pub const CONNECTED_READ_ONLY: KeeperState = KeeperState(5);
    /// TLS handshake under way.
    pub const SSL_CONNECTING: KeeperState = KeeperState(7);
    /// Closed, or never opened.
    pub const NOT_CONNECTED: KeeperState = KeeperState(999);

    /// The name of the state: `expired session`, `connecting`, …; `unknown state` for other
    /// numbers.
    pub const fn text(self) -> &'static str {
        match self {
            KeeperState::EXPIRED => "expired session",
            KeeperState::AUTH_FAILED => "auth failed",
            KeeperState::CONNECTING => "connecting",
            KeeperState::ASSOCIATING => "associating",
            KeeperState::CONNECTED => "connected",
            KeeperState::CONNECTED_READ_ONLY => "read-only",
            KeeperState::SSL_CONNECTING => "ssl connecting",
            KeeperState::NOT_CONNECTED => "not connected",
            _ => "unknown state",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_events() {
        let names: Vec<_> = (-4..=8).map(|n| EventType(n).text()).collect();
        assert_eq!(
            names,
            [
                "unknown event",
                "resync",
                "not watching",
                "session",
                "unknown event",
                "created",
                "deleted",
                "changed",
                "child",
                "data watch removed",
                "child watch removed",
                "persistent watch removed",
                "unknown event"
            ]
        );
    }

    #[test]
    fn names_of_states() {
        for (state, text) in [
            (-112, "expired session"),
            (-113, "auth failed"),
            (1, "connecting"),
            (2, "associating"),
            (3, "connected"),
            (5, "read-only"),
            (7, "ssl connecting"),
            (999, "not connected"),
            (0, "unknown state"),
            (4, "unknown state"),
        ] {
            assert_eq!(KeeperState(state).text(), text);
        }
    }
}

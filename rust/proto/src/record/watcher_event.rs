//! What the server sends when a watch fires.

use crate::event::{EventType, KeeperState};
use crate::wire::{put_int, put_string, DecodeError, Reader};
use bytes::Bytes;

/// What the server sends when a watch fires, behind a reply header with a reserved xid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatcherEvent {
    /// What happened.
    pub kind: EventType,
    /// State of the session; servers always send [`KeeperState::CONNECTED`].
    pub state: KeeperState,
    /// The server's path of the node.
    pub path: Bytes,
}

impl WatcherEvent {
    /// Appends the record, without header.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_int(out, self.kind.0);
        put_int(out, self.state.0);
        put_string(out, &self.path);
    }

    /// Reads the body (what follows the header).
    pub fn decode(body: Bytes) -> Result<WatcherEvent, DecodeError> {
        let mut from = Reader::new(body);
        Ok(WatcherEvent {
            kind: EventType(from.int("watcher event type")?),
            state: KeeperState(from.int("watcher event state")?),
            path: from.string("watcher event path")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watcher_event_both_ways() {
        let bytes = b"\0\0\0\x04\0\0\0\x03\0\0\0\x02/a";
        let event = WatcherEvent::decode(Bytes::from_static(bytes)).unwrap();
        assert_eq!(event.kind, EventType::CHILD);
        assert_eq!(event.state, KeeperState::CONNECTED);
        assert_eq!(event.path, b"/a"[..]);
        let mut out = Vec::new();
        event.encode(&mut out);
        assert_eq!(out, bytes);
    }

    #[test]
    fn unknown_types_and_states_survive() {
        let event = WatcherEvent::decode(Bytes::from_static(b"\0\0\0\x63\x7f\xff\xff\xff\xff\xff\xff\xff"));
        let event = event.unwrap();
        assert_eq!(event.kind, EventType(99));
        assert_eq!(event.state, KeeperState(i32::MAX));
        assert_eq!(event.path, b""[..]);
    }
}

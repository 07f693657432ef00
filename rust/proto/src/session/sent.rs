//! How requests went to the server, for whoever traces them.

use super::Session;
use crate::xid::reserved;
use std::collections::HashMap;

/// How a request went to the server.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sent {
    /// Its number on its connection; `None` as long as it waits for one, or for room, and if it needed no server.
    pub xid: Option<i32>,
    /// The length of its frame, without the four bytes that tell it.
    pub bytes: usize,
}

impl Sent {
    /// An authentication, of which every connection gets a copy with the same number.
    pub fn authentication(scheme: &[u8], credentials: &[u8]) -> Sent {
        // Header, type, two lengths.
        Sent { xid: Some(reserved::AUTH), bytes: 8 + 4 + 8 + scheme.len() + credentials.len() }
    }
}

/// What is kept of it.
#[derive(Default, Debug)]
pub(super) struct SentLog {
    last: Sent,
    /// The numbers of those that waited and that somebody has asked for, by token. As many as are asked for and
    /// not fetched yet.
    followed: HashMap<u64, Option<i32>>,
}

impl SentLog {
    /// A request of so many bytes, with the four, waits or is handed over.
    #[inline]
    pub(super) fn note(&mut self, token: Option<u64>, xid: Option<i32>, length: usize) {
        self.last = Sent { xid, bytes: length.saturating_sub(4) };
        if !self.followed.is_empty() {
            if let Some(number) = token.and_then(|token| self.followed.get_mut(&token)) {
                *number = xid;
            }
        }
    }

    /// A request was answered without a server.
    pub(super) fn note_none(&mut self) {
        self.last = Sent::default();
    }

    pub(super) fn forget(&mut self, token: u64) {
        self.followed.remove(&token);
    }
}

impl Session {
    /// About the request that was submitted last. Ask right after [`submit`](Self::submit).
    pub fn last_sent(&self) -> Sent {
        self.sent.last
    }

    /// The number of this request, which waits, will be asked for: call [`fetch_xid`](Self::fetch_xid), once, or
    /// [`abandon`](Self::abandon).
    pub fn follow(&mut self, token: u64) {
        self.sent.followed.insert(token, None);
    }

    /// The number that a request has got which was followed; `None` if it was never handed to a connection.
    pub fn fetch_xid(&mut self, token: u64) -> Option<i32> {
        self.sent.followed.remove(&token).flatten()
    }
}

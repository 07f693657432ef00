//! The numbers that tie replies to requests.

/// Reserved xids that the server uses for what is not an answer to an ordinary request.
/// Source: `ClientCnxn` of Apache ZooKeeper.
pub mod reserved {
    /// A watch event.
    pub const EVENT: i32 = -1;
    /// A ping and its reply.
    pub const PING: i32 = -2;
    /// An auth packet and its reply: only their order tells several apart.
    pub const AUTH: i32 = -4;
    /// setWatches and its reply.
    pub const SET_WATCHES: i32 = -8;
}

/// Hands out 1, 2, … `i32::MAX - 1`, and then 1 again: never zero, never a reserved number.
#[derive(Debug, Default)]
pub(crate) struct XidCounter(i32);

impl XidCounter {
    pub(crate) fn next(&mut self) -> i32 {
        self.0 = if self.0 >= i32::MAX - 1 { 1 } else { self.0 + 1 };
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_to_one() {
        let mut x = XidCounter(i32::MAX - 2);
        assert_eq!(x.next(), i32::MAX - 1);
        assert_eq!(x.next(), 1);
        assert_eq!(XidCounter::default().next(), 1);
    }
}

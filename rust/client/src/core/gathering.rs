//! Answers that come one by one, gathered.
//!
//! Real servers send each answer by itself. A client that has many requests under way is then woken for each, the IO thread
//! and whoever it tells, which takes several times what the answer itself does. So the IO thread waits for a moment, as
//! network cards do with their interrupts: what it finds then goes to the user in one go, and what he asks for because of
//! it goes to the server in one packet.

use std::time::Duration;
use zk_proto::time::Time;

/// With so many requests under way nobody minds [`MOMENT`].
const MANY: usize = 64;
/// Not where more than one in so many came at once: they are gathered already, and the server must not run out of requests
/// meanwhile.
const SHARE: usize = 8;
/// Nor where they come more seldom than that.
const STREAM: Duration = Duration::from_micros(1_200);
/// For how long the IO thread waits; the kernel adds something. The other handles' events wait, too; callers that lead
/// don't.
pub(crate) const MOMENT: Duration = Duration::from_micros(300);

/// When the IO thread read answers last.
#[derive(Default)]
pub(super) struct Gathering {
    last: Option<Time>,
}

impl Gathering {
    /// Whether it pays to wait before the next are read: so many were under way, of which so many were answered now.
    pub(super) fn pays(&mut self, now: Time, under_way: usize, answered: usize) -> bool {
        let is_stream = self.last.is_some_and(|last| now.since(last) < STREAM);
        self.last = Some(now);
        is_stream && under_way >= MANY && answered * SHARE <= under_way
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_single_answers_to_many_requests_is_gathered_and_nothing_else() {
        let after = |us, under_way, answered| {
            let start = Time::from_micros(1_000_000);
            let mut gathering = Gathering::default();
            assert!(!gathering.pays(start, 1_000, 1), "the first may be the only one");
            gathering.pays(start + Duration::from_micros(us), under_way, answered)
        };
        assert!(after(30, 1_000, 1));
        assert!(after(400, 1_000, 12));
        assert!(after(400, 64, 8));
        assert!(!after(30, 63, 1), "few requests are in a hurry");
        assert!(!after(30, 1_000, 126), "they come together anyway");
        assert!(!after(1_200, 1_000, 1), "they come seldom");
    }
}

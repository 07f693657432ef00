//! Events of persistent watches that their user has yet to take: counted, and bounded.
//!
//! Reading never stops (a reply that somebody waits for may stand behind the events), so what is too much is not
//! kept: from then on there is one event that says so, and none follows it until the user has taken that one. What he
//! reads for himself then is later than all that was dropped.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

/// The watchers of one handle, by number.
#[derive(Debug)]
pub(crate) struct Backlogs {
    limit: usize,
    by_watcher: HashMap<u64, Arc<Backlog>>,
}

#[derive(Debug, Default)]
struct Backlog {
    queued: AtomicUsize,
    /// The event that says so is queued.
    overflowed: AtomicBool,
}

/// Goes along with an event, and notes that it was taken when it is dropped.
#[derive(Debug)]
pub struct Counted {
    backlog: Arc<Backlog>,
    says_so: bool,
}

/// What is to be done with an event.
#[derive(Debug)]
pub(crate) enum Verdict {
    Deliver(Counted),
    /// In its place, one that says that events are missing.
    Resync(Counted),
    Drop,
}

impl Backlogs {
    /// At most so many events are kept for each watcher.
    pub(crate) fn new(limit: usize) -> Backlogs {
        Backlogs { limit, by_watcher: HashMap::new() }
    }

    /// An event has come for this watcher.
    pub(crate) fn add(&mut self, watcher: u64) -> Verdict {
        let backlog = self.by_watcher.entry(watcher).or_default();
        if backlog.overflowed.load(SeqCst) {
            return Verdict::Drop;
        }
        let says_so = backlog.queued.load(SeqCst) >= self.limit;
        let counted = Counted { backlog: backlog.clone(), says_so };
        if says_so {
            backlog.overflowed.store(true, SeqCst);
            return Verdict::Resync(counted);
        }
        backlog.queued.fetch_add(1, SeqCst);
        Verdict::Deliver(counted)
    }

    /// There will be no more events for it.
    pub(crate) fn forget(&mut self, watcher: u64) {
        self.by_watcher.remove(&watcher);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.says_so {
            self.backlog.overflowed.store(false, SeqCst);
        } else {
            self.backlog.queued.fetch_sub(1, SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(verdict: Verdict) -> Counted {
        match verdict {
            Verdict::Deliver(counted) => counted,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_too_much_becomes_one_event_and_nothing_follows_it_until_that_is_taken() {
        let mut backlogs = Backlogs::new(3);
        let mut queued: Vec<_> = (0..3).map(|_| delivered(backlogs.add(7))).collect();
        let Verdict::Resync(resync) = backlogs.add(7) else { panic!("there is room for three") };
        assert!(matches!(backlogs.add(7), Verdict::Drop));
        queued.clear();
        assert!(matches!(backlogs.add(7), Verdict::Drop), "it would come after the one that says so");
        drop(resync);
        delivered(backlogs.add(7));
    }

    #[test]
    fn each_watcher_has_room_of_its_own() {
        let mut backlogs = Backlogs::new(1);
        let _first = delivered(backlogs.add(1));
        let _second = delivered(backlogs.add(2));
        assert!(matches!(backlogs.add(1), Verdict::Resync(_)));
    }

    #[test]
    fn events_that_are_taken_make_room() {
        let mut backlogs = Backlogs::new(2);
        for _ in 0..10 {
            let _both = (delivered(backlogs.add(1)), delivered(backlogs.add(1)));
        }
    }
}

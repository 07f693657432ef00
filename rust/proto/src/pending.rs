//! Requests under way, in the order in which the server will answer them.

use crate::note::Asked;
use crate::op::{ReplyKind, WatcherType};
use crate::time::Time;
use std::collections::VecDeque;

/// Which watch a request leaves, depending on its reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WatchRule {
    /// getData: on success.
    Data,
    /// exists: another kind when the node is not there.
    Exists,
    /// getChildren: on success.
    Child,
    /// addWatch: whether there is a node or not.
    Persistent,
    /// addWatch of the recursive mode.
    Recursive,
}

/// The watch that a request leaves when its reply says so.
#[derive(Debug)]
pub(crate) struct WatchWish {
    pub(crate) rule: WatchRule,
    pub(crate) path: Box<[u8]>,
    /// Who is to hear of it; `None`: nobody any more, but the server may set it all the same.
    pub(crate) watcher: Option<u64>,
    /// The server was not asked for it: another watch hears the same.
    pub(crate) spared: bool,
}

/// The watches that a request takes off when its reply says so.
#[derive(Debug)]
pub(crate) struct Removal {
    pub(crate) path: Box<[u8]>,
    pub(crate) kind: WatcherType,
    /// Only this one's.
    pub(crate) watcher: Option<u64>,
    /// The kind that the server is asked for.
    pub(crate) asked_for: WatcherType,
    /// Without the server, if it can't be had.
    pub(crate) local: bool,
}

/// What is known of a request until its answer comes.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) xid: i32,
    pub(crate) kind: ReplyKind,
    /// Who asked; `None` is a tombstone: the caller has its answer or has gone, and the reply,
    /// which will still come, is dropped.
    pub(crate) token: Option<u64>,
    pub(crate) watch: Option<WatchWish>,
    pub(crate) removal: Option<Box<Removal>>,
    /// Whether it changes the tree: only then can its outcome be unknown after a loss.
    pub(crate) write: bool,
    pub(crate) deadline: Time,
    /// When it was handed to the connection.
    pub(crate) sent: Time,
    /// Where its first byte stands in the stream of this connection.
    pub(crate) offset: u64,
    /// For the notes about it, when such are wanted.
    pub(crate) asked: Option<Box<Asked>>,
}

impl Pending {
    fn is_about_persistent(&self) -> bool {
        let adds = |wish: &WatchWish| matches!(wish.rule, WatchRule::Persistent | WatchRule::Recursive);
        self.watch.as_ref().is_some_and(adds) || self.removal.as_ref().is_some_and(|r| r.takes_persistent())
    }

    pub(crate) fn forget_watcher(&mut self, watcher: u64) {
        if let Some(wish) = &mut self.watch {
            wish.watcher.take_if(|id| *id == watcher);
        }
    }
}

/// A queue that answers in order, with a lower bound of its deadlines.
#[derive(Debug, Default)]
pub(crate) struct PendingQueue {
    items: VecDeque<Pending>,
    /// Not later than any deadline in the queue. It may be too early (the item it stems from has
    /// been answered since): then a timeout finds nothing and computes it anew.
    earliest: Option<Time>,
    /// The last one that may leave a watch. Who looks for such ones for each request that comes would else pass
    /// thousands in vain.
    last_wish: Option<i32>,
    /// The last one that is about persistent watches.
    last_lasting: Option<i32>,
}

impl PendingQueue {
    pub(crate) fn push(&mut self, item: Pending) {
        if item.token.is_some() {
            self.earliest = Some(self.earliest.map_or(item.deadline, |t| t.min(item.deadline)));
        }
        if item.watch.is_some() {
            self.last_wish = Some(item.xid);
        }
        if item.is_about_persistent() {
            self.last_lasting = Some(item.xid);
        }
        self.items.push_back(item);
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Takes the oldest, if the reply's xid is its own. Replies come in the order of requests, so
    /// anything else means that the stream is broken.
    pub(crate) fn pop(&mut self, xid: i32) -> Option<Pending> {
        if self.items.front()?.xid != xid {
            return None;
        }
        let item = self.items.pop_front();
        if self.items.is_empty() {
            self.earliest = None;
        }
        self.gone(xid);
        item
    }

    fn gone(&mut self, xid: i32) {
        self.last_wish.take_if(|last| *last == xid);
        self.last_lasting.take_if(|last| *last == xid);
    }

    /// Takes one out of its turn.
    pub(crate) fn take(&mut self, xid: i32) -> Option<Pending> {
        let index = self.items.iter().position(|p| p.xid == xid)?;
        let item = self.items.remove(index);
        // Those before it may be such ones, too: they are looked for until all have gone.
        let last = self.items.back().map(|p| p.xid);
        for mark in [&mut self.last_wish, &mut self.last_lasting] {
            if *mark == Some(xid) {
                *mark = last;
            }
        }
        item
    }

    /// Takes every token with whether the request may have been carried out, and leaves tombstones.
    /// `transmitted` is how far the stream of this connection has got.
    pub(crate) fn take_tokens(&mut self, transmitted: u64) -> Vec<(u64, bool)> {
        self.earliest = None;
        self.items
            .iter_mut()
            .filter_map(|p| Some((p.token.take()?, p.write && p.offset < transmitted)))
            .collect()
    }

    /// Takes the tokens of those that take watches off and can do without the server.
    pub(crate) fn take_local_removals(&mut self) -> Vec<(u64, Box<Removal>)> {
        let local = self.items.iter_mut().filter(|p| p.removal.as_ref().is_some_and(|r| r.local));
        local.filter_map(|p| Some((p.token.take()?, p.removal.take()?))).collect()
    }

    /// All, if there are some that are about persistent watches.
    pub(crate) fn about_persistent(&self) -> impl Iterator<Item = &Pending> {
        self.items.iter().take(all_or_none(self.last_lasting))
    }

    /// All, if there are some that may leave a watch.
    pub(crate) fn wishing_mut(&mut self) -> impl Iterator<Item = &mut Pending> {
        self.items.iter_mut().take(all_or_none(self.last_wish))
    }

    /// The watches that requests under way may leave.
    pub(crate) fn wishes(&self) -> impl Iterator<Item = &WatchWish> {
        self.items.iter().take(all_or_none(self.last_wish)).filter_map(|p| p.watch.as_ref())
    }

    /// Forgets all: their connection is gone.
    pub(crate) fn clear(&mut self) {
        self.last_wish = None;
        self.last_lasting = None;
        self.earliest = None;
        self.items.clear();
    }

    /// Leaves a tombstone for a caller that has gone.
    pub(crate) fn abandon(&mut self, token: u64) -> bool {
        match self.items.iter_mut().find(|p| p.token == Some(token)) {
            Some(p) => {
                p.token = None;
                true
            }
            None => false,
        }
    }

    /// Nobody is to hear of the watches that this one has asked for.
    pub(crate) fn forget_watcher(&mut self, watcher: u64) {
        for p in &mut self.items {
            p.forget_watcher(watcher);
        }
    }

    /// Turns those whose time is over into tombstones and returns their tokens.
    pub(crate) fn expire(&mut self, now: Time) -> Vec<(u64, bool)> {
        if self.earliest.is_none_or(|t| t > now) {
            return Vec::new();
        }
        let mut late = Vec::new();
        let mut earliest = None;
        for p in &mut self.items {
            let Some(token) = p.token else { continue };
            if p.deadline <= now {
                p.token = None;
                late.push((token, p.write));
            } else {
                earliest = Some(earliest.map_or(p.deadline, |t: Time| t.min(p.deadline)));
            }
        }
        self.earliest = earliest;
        late
    }

    /// When [`expire`](Self::expire) wants to be called, at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.earliest
    }
}

fn all_or_none(mark: Option<i32>) -> usize {
    mark.map_or(0, |_| usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(xid: i32, deadline: u64) -> Pending {
        Pending {
            xid,
            kind: ReplyKind::Nothing,
            token: Some(xid as u64),
            watch: None,
            removal: None,
            write: false,
            deadline: Time::from_micros(deadline),
            sent: Time::default(),
            offset: 0,
            asked: None,
        }
    }

    #[test]
    fn only_the_oldest_may_be_answered() {
        let mut q = PendingQueue::default();
        q.push(item(1, 10));
        q.push(item(2, 10));
        assert!(q.pop(2).is_none());
        assert!(q.pop(1).is_some());
        assert!(q.pop(2).is_some());
        assert!(q.pop(2).is_none());
    }

    #[test]
    fn a_late_request_becomes_a_tombstone_that_its_reply_still_finds() {
        let mut q = PendingQueue::default();
        q.push(item(1, 10));
        q.push(item(2, 30));
        assert_eq!(q.next_deadline(), Some(Time::from_micros(10)));
        assert!(q.expire(Time::from_micros(9)).is_empty());
        assert_eq!(q.expire(Time::from_micros(10)), [(1, false)]);
        assert_eq!(q.next_deadline(), Some(Time::from_micros(30)));
        assert!(q.pop(1).unwrap().token.is_none());
        assert_eq!(q.pop(2).unwrap().token, Some(2));
        assert_eq!(q.next_deadline(), None);
    }

    #[test]
    fn a_caller_that_has_gone_is_not_timed() {
        let mut q = PendingQueue::default();
        q.push(item(1, 10));
        assert!(q.abandon(1));
        assert!(!q.abandon(1));
        assert!(q.expire(Time::from_micros(50)).is_empty());
        assert_eq!(q.next_deadline(), None);
    }

    #[test]
    fn those_that_leave_watches_are_found_as_long_as_there_are_any() {
        let wishing = |xid, rule| Pending {
            watch: Some(WatchWish { rule, path: Box::from(&b"/n"[..]), watcher: Some(1), spared: false }),
            ..item(xid, 10)
        };
        let found = |q: &PendingQueue| (q.wishes().count(), q.about_persistent().count() > 0);
        let mut q = PendingQueue::default();
        q.push(wishing(1, WatchRule::Data));
        q.push(item(2, 10));
        assert_eq!(found(&q), (1, false));
        q.push(wishing(3, WatchRule::Persistent));
        q.push(wishing(4, WatchRule::Recursive));
        assert_eq!(found(&q), (3, true));
        q.take(4);
        assert_eq!(found(&q), (2, true));
        q.pop(1);
        q.pop(2);
        assert_eq!(found(&q), (1, true));
        q.push(item(5, 10));
        q.pop(3);
        assert_eq!(found(&q), (0, false));
        q.take(5);
        q.push(wishing(6, WatchRule::Recursive));
        q.take(6);
        assert_eq!(found(&q), (0, false));
        q.push(wishing(7, WatchRule::Recursive));
        q.clear();
        assert_eq!(found(&q), (0, false));
    }
}

//! The watches that this session has set, by path and kind.
//!
//! Kinds and rules follow `ZKWatchManager` of Apache ZooKeeper: which maps an event fires and
//! clears, and which kind a reply registers. Paths here are the user's, without the chroot.

use crate::event::EventType;
use std::collections::{HashMap, HashSet};

/// What a watch listens to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WatchKind {
    /// Left by getData, and by exists on a node that is there.
    Data,
    /// Left by exists on a node that is not there.
    Exist,
    /// Left by getChildren.
    Child,
    /// Left by addWatch: stays.
    Persistent,
    /// Left by addWatch: stays, and hears of the whole subtree.
    Recursive,
}

impl WatchKind {
    pub(crate) const ALL: [WatchKind; 5] =
        [WatchKind::Data, WatchKind::Exist, WatchKind::Child, WatchKind::Persistent, WatchKind::Recursive];

    /// Whether it is one that stays.
    pub(crate) fn stays(self) -> bool {
        matches!(self, WatchKind::Persistent | WatchKind::Recursive)
    }
}

/// A watcher that an event calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fired {
    pub(crate) watcher: u64,
    /// It will be called again: it is on a path that is so many bytes of the event's.
    pub(crate) stays: Option<usize>,
}

/// Several watchers may share one watch of the server.
type Map = HashMap<Box<[u8]>, Vec<u64>>;

/// The registry.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    maps: [Map; 5],
    /// No path of a recursive watch is longer.
    longest: usize,
}

impl Watches {
    /// Registers `watcher`; the same one twice for a path and kind is one.
    pub(crate) fn add(&mut self, kind: WatchKind, path: &[u8], watcher: u64) {
        if kind == WatchKind::Recursive {
            self.longest = self.longest.max(path.len());
        }
        let map = &mut self.maps[kind as usize];
        if let Some(ids) = map.get_mut(path) {
            if !ids.contains(&watcher) {
                ids.push(watcher);
            }
        } else {
            map.insert(path.into(), vec![watcher]);
        }
    }

    /// Takes `watcher` off everywhere.
    pub(crate) fn forget(&mut self, watcher: u64) {
        for map in &mut self.maps {
            map.retain(|_, ids| {
                ids.retain(|id| *id != watcher);
                !ids.is_empty()
            });
        }
    }

    /// The watchers that an event calls, each once, one-shot ones taken off.
    pub(crate) fn fire(&mut self, event: EventType, path: &[u8]) -> Vec<Fired> {
        use WatchKind::{Child, Data, Exist, Persistent, Recursive};
        let one_shot: &[WatchKind] = match event {
            EventType::CREATED | EventType::CHANGED => &[Data, Exist],
            EventType::DELETED => &[Data, Exist, Child],
            EventType::CHILD => &[Child],
            _ => &[],
        };
        let mut called = Vec::new();
        for kind in one_shot {
            let gone = self.maps[*kind as usize].remove(path).unwrap_or_default();
            called.extend(gone.into_iter().map(|watcher| Fired { watcher, stays: None }));
        }
        if one_shot.is_empty() {
            return called;
        }
        let staying = |kind: WatchKind, path: &[u8]| {
            let ids = self.maps[kind as usize].get(path).into_iter().flatten();
            ids.map(|&watcher| Fired { watcher, stays: Some(path.len()) }).collect::<Vec<_>>()
        };
        called.extend(staying(Persistent, path));
        // A recursive watch never hears of childrenChanged: such an event stems from a standard
        // child watch of this session further down.
        if event != EventType::CHILD && !self.maps[Recursive as usize].is_empty() {
            // Whatever the server says, which may have a million ancestors: to look for each takes as long as its
            // name is.
            for prefix in self_and_ancestors(path).skip_while(|prefix| prefix.len() > self.longest) {
                called.extend(staying(Recursive, prefix));
            }
        }
        if called.len() > 1 {
            let mut seen = HashSet::with_capacity(called.len());
            called.retain(|fired| seen.insert(fired.watcher));
        }
        called
    }

    /// Every watcher of every kind, each once: those whom a session event concerns.
    pub(crate) fn all(&self) -> Vec<u64> {
        let ids: HashSet<u64> = self.maps.iter().flat_map(|m| m.values().flatten().copied()).collect();
        let mut ids: Vec<u64> = ids.into_iter().collect();
        ids.sort_unstable(); // the order in which they were made
        ids
    }

    /// The watchers that stay, each with its path, in the order in which they were made.
    pub(crate) fn staying(&self) -> Vec<(u64, Box<[u8]>)> {
        let kinds = WatchKind::ALL.into_iter().filter(|kind| kind.stays());
        let entries = kinds.flat_map(|kind| &self.maps[kind as usize]);
        let mut all: Vec<_> =
            entries.flat_map(|(path, ids)| ids.iter().map(|id| (*id, path.clone()))).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The kinds of the watches on a path, with their watchers.
    pub(crate) fn on(&self, path: &[u8]) -> Vec<(WatchKind, u64)> {
        let of = |kind: WatchKind| self.maps[kind as usize].get(path).into_iter().flatten();
        WatchKind::ALL.into_iter().flat_map(|kind| of(kind).map(move |id| (kind, *id))).collect()
    }

    /// The paths with persistent watches of both kinds of which one is this watcher's.
    pub(crate) fn mixed_of(&self, watcher: u64) -> Vec<Box<[u8]>> {
        let [.., plain, recursive] = &self.maps;
        let both = plain.iter().filter_map(|(path, ids)| Some((path, ids, recursive.get(path)?)));
        let mut paths: Vec<_> = both
            .filter(|(_, a, b)| a.contains(&watcher) || b.contains(&watcher))
            .map(|b| b.0.clone())
            .collect();
        paths.sort_unstable(); // what is sent must not depend on the order of a hash map
        paths
    }

    /// Whether there is one of this kind on a path.
    pub(crate) fn has(&self, kind: WatchKind, path: &[u8]) -> bool {
        self.maps[kind as usize].contains_key(path)
    }

    /// Takes one watcher off one path.
    pub(crate) fn remove(&mut self, kind: WatchKind, path: &[u8], watcher: u64) {
        let map = &mut self.maps[kind as usize];
        if let Some(ids) = map.get_mut(path) {
            ids.retain(|id| *id != watcher);
            if ids.is_empty() {
                map.remove(path);
            }
        }
    }

    /// The paths of one kind, in no particular order.
    pub(crate) fn paths(&self, kind: WatchKind) -> impl Iterator<Item = &[u8]> {
        self.maps[kind as usize].keys().map(|p| &**p)
    }

    /// How many there are: one for each path and kind, however many watchers share it.
    pub(crate) fn count(&self) -> usize {
        self.maps.iter().map(HashMap::len).sum()
    }

    pub(crate) fn clear(&mut self) {
        *self = Watches::default();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.maps.iter().all(HashMap::is_empty)
    }
}

/// `/a/b`, `/a`, `/` for `/a/b`.
fn self_and_ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(path);
    std::iter::from_fn(move || {
        let this = rest?;
        rest = match this.iter().rposition(|b| *b == b'/') {
            _ if this.len() <= 1 => None,
            Some(0) => this.get(..1),
            Some(slash) => this.get(..slash),
            None => None,
        };
        Some(this)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use WatchKind::*;

    /// Which of five watchers, one of each kind on `/n`, an event calls and which it takes off.
    fn fired_and_left(event: EventType) -> (Vec<u64>, Vec<u64>) {
        let mut w = Watches::default();
        for (id, kind) in [(1, Data), (2, Exist), (3, Child), (4, Persistent), (5, Recursive)] {
            w.add(kind, b"/n", id);
        }
        let mut fired = fired(&mut w, event, b"/n");
        fired.sort_unstable();
        (fired, w.all())
    }

    fn fired(w: &mut Watches, event: EventType, path: &[u8]) -> Vec<u64> {
        w.fire(event, path).iter().map(|fired| fired.watcher).collect()
    }

    #[test]
    fn events_fire_and_clear_the_kinds_that_the_java_client_does() {
        assert_eq!(fired_and_left(EventType::CREATED), (vec![1, 2, 4, 5], vec![3, 4, 5]));
        assert_eq!(fired_and_left(EventType::CHANGED), (vec![1, 2, 4, 5], vec![3, 4, 5]));
        assert_eq!(fired_and_left(EventType::DELETED), (vec![1, 2, 3, 4, 5], vec![4, 5]));
        assert_eq!(fired_and_left(EventType::CHILD), (vec![3, 4], vec![1, 2, 4, 5]));
        assert_eq!(fired_and_left(EventType(99)), (vec![], vec![1, 2, 3, 4, 5]));
        assert_eq!(fired_and_left(EventType::SESSION), (vec![], vec![1, 2, 3, 4, 5]));
    }

    #[test]
    fn a_watcher_in_two_maps_is_called_once() {
        let mut w = Watches::default();
        w.add(Data, b"/n", 7);
        w.add(Child, b"/n", 7);
        w.add(Child, b"/n", 7);
        assert_eq!(fired(&mut w, EventType::DELETED, b"/n"), [7]);
        assert!(w.is_empty());
    }

    #[test]
    fn recursive_watches_hear_of_the_subtree_at_component_borders() {
        let mut w = Watches::default();
        w.add(Recursive, b"/", 1);
        w.add(Recursive, b"/a", 2);
        w.add(Recursive, b"/a/b", 3);
        assert_eq!(fired(&mut w, EventType::CREATED, b"/a/b/c"), [3, 2, 1]);
        assert_eq!(fired(&mut w, EventType::CREATED, b"/ab"), [1]);
        assert_eq!(fired(&mut w, EventType::DELETED, b"/"), [1]);
    }

    /// A server can say so, and with each of its ancestors looked for by its whole name the IO thread would be busy for
    /// hours.
    #[test]
    fn an_event_far_below_a_recursive_watch_is_told_before_long() {
        let mut w = Watches::default();
        w.add(Recursive, b"/n", 1);
        w.add(Recursive, b"/n/n/n", 2);
        w.add(Recursive, b"/m", 3);
        assert_eq!(fired(&mut w, EventType::CREATED, &b"/n".repeat(1 << 20)), [2, 1]);
    }

    #[test]
    fn forgetting_a_watcher_leaves_the_others_of_its_path() {
        let mut w = Watches::default();
        w.add(Data, b"/n", 1);
        w.add(Data, b"/n", 2);
        w.forget(1);
        assert_eq!(fired(&mut w, EventType::CHANGED, b"/n"), [2]);
        w.add(Data, b"/n", 3);
        w.forget(3);
        assert!(w.is_empty());
    }
}

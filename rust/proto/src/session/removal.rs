//! Watches taken off before their time: on this side, and on the server's where it is safe.
//!
//! Sources: `removeWatches` of `ZooKeeper.java` and `ZKWatchManager` of Apache ZooKeeper. What differs: the server is
//! asked for one of the kinds that it knows since 3.9 only if the session has other watches on the path. Before, a
//! server has no such kinds, and takes every watch of the session off the path when asked for any: then this side
//! alone forgets the watch, and drops what the server still says of it.

use super::{Failure, Output, Session, WatchedEvent};
use crate::event::EventType;
use crate::op::{Reply, WatcherType};
use crate::pending::{Removal, WatchRule, WatchWish};
use crate::watches::WatchKind;
use crate::Code;
use bytes::Bytes;

impl Session {
    /// What is to be done about a wish to take watches off: nothing with a server (`None`: it is done), or to ask
    /// it for [`Removal::asked_for`].
    pub(super) fn plan_removal(
        &mut self,
        path: &[u8],
        kind: WatcherType,
        watcher: Option<u64>,
        local: bool,
    ) -> Result<Option<Removal>, Failure> {
        let mut removal = Removal { path: path.into(), kind, watcher, asked_for: kind, local };
        let (meant, others): (Vec<_>, Vec<_>) =
            self.watches.on(path).into_iter().partition(|(kind, id)| removal.concerns(*kind, *id));
        // Replies that come before that of the removal may leave more.
        let waiting = self.waiting.iter().filter_map(|w| w.pending.watch.as_ref());
        let wishes = self.pending.wishes().chain(waiting);
        let wishes = wishes.filter(|wish| *wish.path == *path && wish.watcher.is_some());
        let (wished, rivals): (Vec<_>, Vec<_>) = wishes.partition(|wish| removal.concerns_wish(wish));
        if meant.is_empty() && wished.is_empty() {
            return Err(Failure::new(Code::NO_WATCHER));
        }
        let kinds_of = |wishes: &[&WatchWish]| wishes.iter().flat_map(|w| kinds(w.rule)).collect::<Vec<_>>();
        let first = |watches: &[(WatchKind, u64)]| watches.iter().map(|w| w.0).collect::<Vec<_>>();
        let leaving = [first(&meant), kinds_of(&wished)].concat();
        let staying = [first(&others), kinds_of(&rivals)].concat();
        if (local && !self.is_connected()) || !can_ask(&leaving, &staying) {
            self.drop_wishes(&removal);
            let done = self.take_off(&removal);
            if done && leaving.iter().any(|kind| kind.stays() && !self.watches.has(*kind, path)) {
                self.check_left(path);
            }
            return Ok(None);
        }
        removal.asked_for = if staying.is_empty() { WatcherType::Any } else { narrowest(&leaving) };
        Ok(Some(removal))
    }

    /// The server has answered.
    pub(super) fn removal_answered(&mut self, removal: &Removal, token: Option<u64>, code: Code) {
        // A server before 3.9: see above. It has other watches of this session on the path.
        let kind_unknown = code == Code::MARSHALLING_ERROR
            && matches!(removal.asked_for, WatcherType::Persistent | WatcherType::PersistentRecursive);
        let done = code == Code::OK || code == Code::NO_WATCHER || kind_unknown || removal.local;
        let mut result = Err(Failure::new(code));
        // Somebody who has given up waiting can't know: what the server has taken off must not be armed again.
        if done && (self.take_off(removal) || code == Code::OK) {
            result = Ok(Reply::Nothing);
        }
        if let Some(token) = token {
            self.outputs.push_back(Output::Completed { token, result });
        }
    }

    /// The connection is lost, and with it the server's side of the matter.
    pub(super) fn remove_without_server(&mut self) {
        for (token, removal) in self.pending.take_local_removals() {
            self.removed_without_server(token, &removal);
        }
    }

    /// Takes off what the server was not asked about, or has not answered.
    pub(super) fn removed_without_server(&mut self, token: u64, removal: &Removal) {
        self.take_off(removal);
        self.outputs.push_back(Output::Completed { token, result: Ok(Reply::Nothing) });
    }

    /// Requests under way leave no such watch; their watchers are told.
    fn drop_wishes(&mut self, removal: &Removal) {
        let state = self.state();
        let waiting = self.waiting.iter_mut().map(|w| &mut w.pending);
        for wish in self.pending.wishing_mut().chain(waiting).filter_map(|p| p.watch.as_mut()) {
            let concerned = *wish.path == *removal.path && removal.concerns_wish(wish);
            let Some(watcher) = wish.watcher.take_if(|_| concerned) else { continue };
            let path = Some(Bytes::copy_from_slice(&wish.path));
            let kind = kinds(wish.rule).first().map_or(EventType::DATA_WATCH_REMOVED, |kind| said_of(*kind));
            let event = WatchedEvent { kind, state, path };
            self.outputs.push_back(Output::Watch { watcher, event, stays: None });
        }
    }

    /// Takes off what there is on this side, and tells the watchers. True if there was anything.
    fn take_off(&mut self, removal: &Removal) -> bool {
        let found =
            self.watches.on(&removal.path).into_iter().filter(|(kind, id)| removal.concerns(*kind, *id));
        let found: Vec<_> = found.collect();
        let state = self.state();
        for &(kind, watcher) in &found {
            self.watches.remove(kind, &removal.path, watcher);
            let path = Some(Bytes::copy_from_slice(&removal.path));
            let event = WatchedEvent { kind: said_of(kind), state, path };
            self.outputs.push_back(Output::Watch { watcher, event, stays: None });
        }
        !found.is_empty()
    }
}

impl Removal {
    fn concerns(&self, kind: WatchKind, watcher: u64) -> bool {
        self.watcher.is_none_or(|id| id == watcher) && covers(self.kind, kind)
    }

    /// Whether a server that does as it is asked forgets persistent watches.
    pub(crate) fn takes_persistent(&self) -> bool {
        matches!(
            self.asked_for,
            WatcherType::Any | WatcherType::Persistent | WatcherType::PersistentRecursive
        )
    }

    fn concerns_wish(&self, wish: &WatchWish) -> bool {
        wish.watcher
            .is_some_and(|watcher| kinds(wish.rule).into_iter().any(|kind| self.concerns(kind, watcher)))
    }
}

/// Whether a server that takes off what it knows of the kinds that leave spares those that stay.
fn can_ask(leaving: &[WatchKind], staying: &[WatchKind]) -> bool {
    use WatchKind::{Data, Exist};
    // For the server those of getData and exists are the same.
    let same = |a: WatchKind, b: WatchKind| a == b || matches!((a, b), (Data, Exist) | (Exist, Data));
    let shared = leaving.iter().any(|a| staying.iter().any(|b| same(*a, *b)));
    // Before 3.9 it has one watch per path and session, whatever its mode.
    let mixed = leaving.iter().any(|a| !a.stays()) && staying.iter().any(|b| b.stays());
    !shared && !mixed
}

/// The kind that covers these and as little else as possible.
fn narrowest(leaving: &[WatchKind]) -> WatcherType {
    use WatcherType::{Any, Children, Data, Persistent, PersistentRecursive};
    let fits = |kind: &WatcherType| leaving.iter().all(|l| covers(*kind, *l));
    [Data, Children, Persistent, PersistentRecursive].into_iter().find(fits).unwrap_or(Any)
}

fn covers(asked: WatcherType, kind: WatchKind) -> bool {
    match asked {
        WatcherType::Any => true,
        WatcherType::Children => kind == WatchKind::Child,
        WatcherType::Data => matches!(kind, WatchKind::Data | WatchKind::Exist),
        WatcherType::Persistent => kind == WatchKind::Persistent,
        WatcherType::PersistentRecursive => kind == WatchKind::Recursive,
    }
}

/// What a request may leave.
fn kinds(rule: WatchRule) -> Vec<WatchKind> {
    match rule {
        WatchRule::Data => vec![WatchKind::Data],
        WatchRule::Exists => vec![WatchKind::Data, WatchKind::Exist],
        WatchRule::Child => vec![WatchKind::Child],
        WatchRule::Persistent => vec![WatchKind::Persistent],
        WatchRule::Recursive => vec![WatchKind::Recursive],
    }
}

/// What its watcher hears last. Source: `ZKWatchManager.removeWatcher` of the Java client.
fn said_of(kind: WatchKind) -> EventType {
    match kind {
        WatchKind::Data | WatchKind::Exist => EventType::DATA_WATCH_REMOVED,
        WatchKind::Child => EventType::CHILD_WATCH_REMOVED,
        WatchKind::Persistent | WatchKind::Recursive => EventType::PERSISTENT_WATCH_REMOVED,
    }
}

//! One-shot watches on a path where the session has a persistent one, too.
//!
//! Up to 3.8 a server keeps one mode for each path and session, the last that was asked for (ZOOKEEPER-4466): a
//! one-shot watch takes the place of a persistent one, which then ends with the first event; a recursive one takes the
//! place of a child watch, which then is never told. So the server is not asked for a one-shot watch where a
//! persistent one hears all that it would hear: this side fires both. Where that comes to an end, or a watch has
//! been displaced, the one-shot watches are armed again with setWatches, from the zxid of the reply that said so: what
//! changes later is told, also to a watch that was left in between and knows it. (The server has two such tables,
//! one for data and one for children.)

use super::Session;
use crate::pending::{Pending, Removal, WatchRule, WatchWish};
use crate::record::SetWatches;
use crate::watches::WatchKind;
use crate::Code;
use std::collections::VecDeque;

/// Paths of watches that were armed again on a connection, in the order of the answers to come, and from which zxid.
#[derive(Default, Debug)]
pub(super) struct Arming {
    under_way: VecDeque<UnderWay>,
    /// Those that had no answer when their connection was lost. Replies may have come behind the zxid: what the next
    /// connection arms from the last one is too late for them.
    owed: Vec<(Box<[u8]>, i64)>,
    /// Those that wait for the answer to an addWatch.
    put_off: Vec<(Box<[u8]>, i64)>,
}

#[derive(Debug)]
struct UnderWay {
    path: Box<[u8]>,
    zxid: i64,
    kinds: Vec<WatchKind>,
}

impl Arming {
    /// One of so many setWatches packets was answered: the oldest. Those of the connection's beginning come first.
    pub(super) fn answered(&mut self, unanswered: usize) {
        if unanswered == self.under_way.len() {
            self.under_way.pop_front();
        }
    }

    /// Whether the last that was armed on a path may have taken the place of a one-shot watch: not if it was armed
    /// itself. (Else each request of many that follow each other would have others armed behind those after it.)
    fn may_displace(&self, path: &[u8], rule: WatchRule) -> bool {
        let last = self.under_way.iter().rev().find(|other| *other.path == *path);
        last.is_some_and(|last| !last.kinds.iter().any(|kind| leaves(rule, *kind)))
    }

    pub(super) fn connection_lost(&mut self) {
        self.owed.extend(self.under_way.drain(..).map(|arming| (arming.path, arming.zxid)));
        self.owed.append(&mut self.put_off);
    }
}

impl Session {
    /// On a new connection: what was not armed for sure on the last.
    pub(super) fn arm_owed(&mut self) {
        for (path, zxid) in std::mem::take(&mut self.arming.owed) {
            if zxid < self.last_zxid {
                self.arm_one_shots(&path, zxid);
            }
        }
    }

    /// Lets a request do without a watch that is covered, or that nobody is to hear of any more. Its frame stands at
    /// the end of what goes out.
    pub(super) fn spare_covered(&mut self, pending: &mut Pending) {
        let Some(wish) = &mut pending.watch else { return };
        let one_shot = matches!(wish.rule, WatchRule::Data | WatchRule::Exists | WatchRule::Child);
        if !one_shot || wish.watcher.is_some() && !covers(&self.coming(&wish.path), wish.rule) {
            return;
        }
        // Of these requests the last byte is whether there is to be a watch.
        if let Some(flag) = self.out.last_mut() {
            *flag = 0;
            wish.spared = true;
        }
    }

    /// A reply has registered a watch that the server was not asked for; or others that were armed again behind its
    /// request may have displaced it.
    pub(super) fn check_spared(&mut self, wish: &WatchWish, zxid: i64) {
        if wish.watcher.is_none() || matches!(wish.rule, WatchRule::Persistent | WatchRule::Recursive) {
            return;
        }
        let stays: Vec<_> = self.watches.on(&wish.path).into_iter().map(|(kind, _)| kind).collect();
        let in_doubt = wish.spared || self.arming.may_displace(&wish.path, wish.rule);
        if in_doubt && !covers(&stays, wish.rule) {
            self.arm_one_shots(&wish.path, zxid);
        }
    }

    /// Persistent watches of one kind were taken off a path on this side alone, where there may be one of the other
    /// kind: the server may have kept those that have gone in its place.
    pub(super) fn check_left(&mut self, path: &[u8]) {
        if self.watches.on(path).iter().any(|(kind, _)| kind.stays()) {
            self.arm_one_shots(path, self.last_zxid);
        }
    }

    /// A recursive watch was added: it has displaced child watches. A persistent one that nobody is to hear of any
    /// more has displaced whatever there was.
    pub(super) fn check_displaced(&mut self, wish: &WatchWish, code: Code, zxid: i64) {
        let stays = matches!(wish.rule, WatchRule::Persistent | WatchRule::Recursive);
        if let Some(at) = self.arming.put_off.iter().position(|(path, _)| stays && *path == wish.path) {
            let (path, zxid) = self.arming.put_off.swap_remove(at);
            if !self.puts_off(&path, zxid) {
                self.arm_all(&path, zxid, wish.rule == WatchRule::Persistent && code == Code::OK);
            }
            return;
        }
        if stays && wish.watcher.is_none() && code == Code::OK {
            self.arm_one_shots(&wish.path, zxid);
        } else if wish.rule == WatchRule::Recursive && !self.puts_off(&wish.path, zxid) {
            self.arm_again(&wish.path, &[WatchKind::Child], zxid);
        }
    }

    /// Persistent watches were taken off: others on the path may have relied on them, or been displaced by them.
    /// (The latter also where an old server has said that it knows no such kind, and keeps them.)
    pub(super) fn check_uncovered(&mut self, removal: &Removal, code: Code, zxid: i64) {
        let gone = matches!(code, Code::OK | Code::NO_WATCHER);
        if !removal.takes_persistent() || !gone && code != Code::MARSHALLING_ERROR {
            return;
        }
        let stays = self.watches.on(&removal.path).iter().any(|(kind, _)| kind.stays());
        if gone || stays {
            self.arm_one_shots(&removal.path, zxid);
        }
    }

    /// The persistent kinds that the server will have on a path when it gets the next request.
    fn coming(&self, path: &[u8]) -> Vec<WatchKind> {
        let mut kinds: Vec<_> = self.watches.on(path).into_iter().map(|(kind, _)| kind).collect();
        for pending in self.pending.about_persistent() {
            match &pending.watch {
                Some(wish) if *wish.path == *path && wish.rule == WatchRule::Persistent => {
                    kinds.push(WatchKind::Persistent);
                }
                Some(wish) if *wish.path == *path && wish.rule == WatchRule::Recursive => {
                    kinds.push(WatchKind::Recursive);
                }
                _ => {}
            }
            if pending.removal.as_ref().is_some_and(|r| *r.path == *path && r.takes_persistent()) {
                kinds.clear();
            }
        }
        kinds
    }

    /// Arms the one-shot watches on a path, and behind them the persistent ones, which they would displace.
    fn arm_one_shots(&mut self, path: &[u8], zxid: i64) {
        if !self.puts_off(path, zxid) {
            self.arm_all(path, zxid, false);
        }
    }

    /// Whether nothing is armed again on a path now, but with the answer to an addWatch that is under way: the server may
    /// have that watch already, and would have none until its answer is here.
    fn puts_off(&mut self, path: &[u8], zxid: i64) -> bool {
        let is_added = |rule| matches!(rule, WatchRule::Persistent | WatchRule::Recursive);
        let mut wishes = self.pending.about_persistent().filter_map(|pending| pending.watch.as_ref());
        let is_under_way = wishes.any(|wish| is_added(wish.rule) && *wish.path == *path);
        if is_under_way && !self.arming.put_off.iter().any(|(other, _)| **other == *path) {
            self.arming.put_off.push((path.into(), zxid));
        }
        is_under_way
    }

    /// A child watch, which a recursive one would displace, goes behind that; and so does a plain persistent one if it
    /// was added last, as the server has it.
    fn arm_all(&mut self, path: &[u8], zxid: i64, plain_is_last: bool) {
        let last: &[WatchKind] = match (self.watches.has(WatchKind::Recursive, path), plain_is_last) {
            (true, true) => &[WatchKind::Child, WatchKind::Persistent],
            (true, false) => &[WatchKind::Child],
            (false, _) => &[],
        };
        let first = WatchKind::ALL.into_iter().filter(|kind| !last.contains(kind));
        self.arm_again(path, &first.collect::<Vec<_>>(), zxid);
        self.arm_again(path, last, zxid);
    }

    /// Arms the watches of these kinds on a path.
    fn arm_again(&mut self, path: &[u8], kinds: &[WatchKind], zxid: i64) {
        if self.closing.is_some() || !self.is_established() {
            return;
        }
        let on_path = self.watches.on(path);
        let full = self.config.servers.chroot.prefix(path);
        let limit = self.config.jute_maxbuffer;
        let mut batches = vec![(SetWatches::new(zxid), Vec::new())];
        for kind in kinds.iter().filter(|kind| on_path.iter().any(|(on, _)| on == *kind)) {
            // A path may be so long that the server takes it once in a packet, but not twice.
            if batches.last().is_some_and(|(batch, _)| batch.length_with(full.len()) > limit) {
                batches.push((SetWatches::new(zxid), Vec::new()));
            }
            if let Some((batch, kinds)) = batches.last_mut() {
                batch.add(*kind as usize, &full);
                kinds.push(*kind);
            }
        }
        for (batch, kinds) in batches.into_iter().filter(|(batch, _)| !batch.is_empty()) {
            batch.encode(&mut self.out);
            self.arming.under_way.push_back(UnderWay { path: path.into(), zxid, kinds });
            self.replaying += 1;
            self.counted.sent += 1;
        }
    }
}

/// Whether a request may leave a watch of this kind.
fn leaves(rule: WatchRule, kind: WatchKind) -> bool {
    match rule {
        WatchRule::Child => kind == WatchKind::Child,
        _ => matches!(kind, WatchKind::Data | WatchKind::Exist),
    }
}

/// Whether one of these hears all that a one-shot watch would.
fn covers(kinds: &[WatchKind], rule: WatchRule) -> bool {
    let has = |kind: WatchKind| kinds.contains(&kind);
    match rule {
        // Of a plain one that was displaced by a recursive one no server reports children.
        WatchRule::Child => has(WatchKind::Persistent) && !has(WatchKind::Recursive),
        _ => has(WatchKind::Persistent) || has(WatchKind::Recursive),
    }
}

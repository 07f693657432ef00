//! What the servers have in common: the log of transactions, the sessions, and the leader's verdict
//! on writes.

use super::op::{acl_for, parent_of, Op};
use super::tree::{Effect, Tree};
use super::verdict::{part_of, verdict, TakeWhileInclusive};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::rc::Rc;
use zk_proto::op::{OpResult, Reply};
use zk_proto::Code;

/// A committed transaction.
#[derive(Debug)]
pub(super) struct Txn {
    pub(super) zxid: i64,
    pub(super) time: i64,
    pub(super) effects: Vec<Effect>,
    /// User and token of the request that it stems from, if that had its will.
    pub(super) origin: Option<(usize, u64)>,
    /// The session that it ends.
    pub(super) ends: Option<i64>,
}

#[derive(Debug)]
pub(super) struct SessionRecord {
    pub(super) passwd: [u8; 16],
    pub(super) timeout_us: u64,
    pub(super) deadline: u64,
    /// The connection on which it was opened or resumed last.
    pub(super) owner: usize,
    pub(super) alive: bool,
}

/// What could be seen of a node at some point of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Seen {
    pub(super) exists: bool,
    pub(super) mzxid: i64,
    pub(super) pzxid: i64,
}

pub(super) struct Ensemble {
    pub(super) log: Vec<Rc<Txn>>,
    /// The tree with all of the log.
    pub(super) tree: Tree,
    /// By path: the position in the log from which on it looked like this.
    history: BTreeMap<String, Vec<(usize, Seen)>>,
    pub(super) sessions: BTreeMap<i64, SessionRecord>,
    pub(super) quorum: bool,
    /// A network partition among the servers.
    pub(super) split: bool,
    epoch: i64,
    count: i64,
    next_id: i64,
}

/// Who asks for a write.
pub(super) struct Asker<'a> {
    pub(super) session: i64,
    pub(super) ids: &'a [Bytes],
    /// The servers answer create2 in transactions with a stat (3.8 does not).
    pub(super) stat_in_multi: bool,
}

impl Ensemble {
    pub(super) fn new() -> Ensemble {
        let mut ensemble = Ensemble {
            log: Vec::new(),
            tree: Tree::new(),
            history: BTreeMap::new(),
            sessions: BTreeMap::new(),
            quorum: true,
            split: false,
            epoch: 1,
            count: 0,
            next_id: 0x1000_0000_0000_0001,
        };
        let effects = ["/a", "/b", "/c", "/c/a", "/c/q", "/q"].map(|path| Effect::Create {
            path: path.to_owned(),
            data: None,
            acl: acl_for(path),
            owner: 0,
        });
        let zxid = ensemble.next_zxid();
        for effect in &effects {
            ensemble.tree.apply(effect, zxid, 0);
        }
        ensemble.commit(zxid, 0, effects.into(), None, None);
        ensemble
    }

    /// A new leader counts from the start of a new epoch.
    pub(super) fn new_epoch(&mut self) {
        self.epoch += 1;
        self.count = 0;
    }

    pub(super) fn new_id(&mut self) -> i64 {
        self.next_id += 1;
        self.next_id
    }

    /// How the node looked to a server that had applied so many transactions.
    pub(super) fn seen(&self, path: &str, applied: usize) -> Seen {
        let versions = self.history.get(path).map_or(&[][..], Vec::as_slice);
        versions.iter().rev().find(|(from, _)| *from < applied).map_or(Seen::default(), |(_, seen)| *seen)
    }

    /// Opens a session and says at which position of the log.
    pub(super) fn open_session(&mut self, id: i64, record: SessionRecord) -> usize {
        self.sessions.insert(id, record);
        let zxid = self.next_zxid();
        self.commit(zxid, 0, Vec::new(), None, None)
    }

    /// Ends a session with its ephemeral nodes.
    pub(super) fn end_session(&mut self, id: i64, time: i64, origin: Option<(usize, u64)>) -> usize {
        let zxid = self.next_zxid();
        let mut owned = self.tree.owned_by(id);
        owned.reverse();
        let effects: Vec<Effect> = owned.into_iter().map(|path| Effect::Delete { path }).collect();
        for effect in &effects {
            self.tree.apply(effect, zxid, time);
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            session.alive = false;
        }
        self.commit(zxid, time, effects, origin, Some(id))
    }

    /// The leader's verdict on a write: the transaction (a failure is one too) and the answer.
    pub(super) fn write(
        &mut self,
        op: &Op,
        asker: &Asker<'_>,
        time: i64,
        origin: (usize, u64),
    ) -> (usize, Code, Reply) {
        let zxid = self.next_zxid();
        let mut effects = Vec::new();
        let before = matches!(op, Op::Multi(_)).then(|| self.tree.clone());
        let mut step = |op: &Op, tree: &mut Tree| {
            let (effect, result) = verdict(tree, op, asker)?;
            if let Some(effect) = effect {
                tree.apply(&effect, zxid, time);
                effects.push(effect);
            }
            Ok(result.answer(tree))
        };
        let (code, reply) = match op {
            Op::Multi(ops) => {
                let results: Vec<Result<Reply, Code>> =
                    ops.iter().map(|op| step(op, &mut self.tree)).take_while_inclusive(Result::is_ok);
                match results.last() {
                    Some(Err(code)) => {
                        let culprit = results.len() - 1;
                        let errors = (0..ops.len()).map(|i| match i.cmp(&culprit) {
                            std::cmp::Ordering::Less => OpResult::Error(Code::OK),
                            std::cmp::Ordering::Equal => OpResult::Error(*code),
                            std::cmp::Ordering::Greater => OpResult::Error(Code::RUNTIME_INCONSISTENCY),
                        });
                        // The header says 0 all the same.
                        (*code, Reply::Multi(errors.collect()))
                    }
                    _ => {
                        let parts = ops.iter().zip(results.into_iter().flatten());
                        let parts = parts.map(|(op, reply)| part_of(op, reply, asker.stat_in_multi));
                        (Code::OK, Reply::Multi(parts.collect()))
                    }
                }
            }
            op => match step(op, &mut self.tree) {
                Ok(reply) => (Code::OK, reply),
                Err(code) => (code, Reply::Nothing),
            },
        };
        if code != Code::OK {
            effects.clear();
            if let Some(before) = before {
                self.tree = before;
            }
        }
        let origin = (code == Code::OK).then_some(origin);
        let header = if matches!(op, Op::Multi(_)) { Code::OK } else { code };
        (self.commit(zxid, time, effects, origin, None), header, reply)
    }

    fn next_zxid(&mut self) -> i64 {
        self.count += 1;
        (self.epoch << 32) | self.count
    }

    fn commit(
        &mut self,
        zxid: i64,
        time: i64,
        effects: Vec<Effect>,
        origin: Option<(usize, u64)>,
        ends: Option<i64>,
    ) -> usize {
        let at = self.log.len();
        for effect in &effects {
            for path in [effect.path(), parent_of(effect.path())] {
                let seen = self.tree.get(path).map_or(Seen::default(), |node| Seen {
                    exists: true,
                    mzxid: node.mzxid,
                    pzxid: node.pzxid,
                });
                self.history.entry(path.to_owned()).or_default().push((at, seen));
            }
        }
        self.log.push(Rc::new(Txn { zxid, time, effects, origin, ends }));
        at
    }
}

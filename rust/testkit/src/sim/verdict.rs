//! The leader's verdict on one write.

use super::ensemble::Asker;
use super::op::{parent_of, Op};
use super::tree::{Effect, Node, Tree};
use bytes::Bytes;
use zk_proto::op::{OpResult, Reply};
use zk_proto::record::Acl;
use zk_proto::Code;

/// What is answered once the effect is in the tree.
pub(super) enum Outcome {
    Created { path: String, stat: bool },
    Deleted,
    Changed { path: String },
    Checked,
}

impl Outcome {
    pub(super) fn answer(self, tree: &Tree) -> Reply {
        let stat = |path: &str| tree.get(path).map(Node::stat).expect("just changed");
        match self {
            Outcome::Created { path, stat: true } => {
                let stat = stat(&path);
                Reply::PathStat(path.into(), stat)
            }
            Outcome::Created { path, .. } => Reply::Path(path.into()),
            Outcome::Deleted | Outcome::Checked => Reply::Nothing,
            Outcome::Changed { path } => Reply::Stat(stat(&path)),
        }
    }
}

/// Whether the list lets them in; the model's lists permit all or nothing.
pub(super) fn permits(acl: &[Acl], ids: &[Bytes]) -> bool {
    // The root and what was there from the start have none.
    acl.is_empty() || acl.iter().any(|a| a.scheme == b"world" || ids.iter().any(|id| a.id == id[..]))
}

/// What a write does, and what is to be said of it; or why it may not be.
pub(super) fn verdict(tree: &Tree, op: &Op, asker: &Asker<'_>) -> Result<(Option<Effect>, Outcome), Code> {
    let node = |path: &str| tree.get(path).ok_or(Code::NO_NODE);
    let allowed = |node: &Node| permits(&node.acl, asker.ids).then_some(()).ok_or(Code::NO_AUTH);
    let version =
        |wanted: i32, is: i32| (wanted == -1 || wanted == is).then_some(()).ok_or(Code::BAD_VERSION);
    match op {
        Op::Create { path, data, acl, flags, stat } => {
            let mut path = path.clone();
            let parent = node(parent_of(&path))?;
            if flags & 2 != 0 {
                path = format!("{path}{:010}", parent.creates);
            }
            allowed(parent)?;
            if tree.get(&path).is_some() {
                return Err(Code::NODE_EXISTS);
            }
            if parent.owner != 0 {
                return Err(Code::NO_CHILDREN_FOR_EPHEMERALS);
            }
            let owner = if flags & 1 != 0 { asker.session } else { 0 };
            let effect = Effect::Create { path: path.clone(), data: data.clone(), acl: acl.clone(), owner };
            Ok((Some(effect), Outcome::Created { path, stat: *stat }))
        }
        Op::Delete { path, version: wanted } => {
            if path == "/" {
                return Err(Code::BAD_ARGUMENTS);
            }
            let found = node(path)?;
            allowed(node(parent_of(path))?)?;
            version(*wanted, found.version)?;
            if !found.children.is_empty() {
                return Err(Code::NOT_EMPTY);
            }
            Ok((Some(Effect::Delete { path: path.clone() }), Outcome::Deleted))
        }
        Op::Set { path, data, version: wanted } => {
            let found = node(path)?;
            allowed(found)?;
            version(*wanted, found.version)?;
            let effect = Effect::Set { path: path.clone(), data: data.clone() };
            Ok((Some(effect), Outcome::Changed { path: path.clone() }))
        }
        Op::SetAcl { path, acl, version: wanted } => {
            let found = node(path)?;
            allowed(found)?;
            version(*wanted, found.aversion)?;
            let effect = Effect::SetAcl { path: path.clone(), acl: acl.clone() };
            Ok((Some(effect), Outcome::Changed { path: path.clone() }))
        }
        Op::Check { path, version: wanted } => {
            let found = node(path)?;
            allowed(found)?;
            version(*wanted, found.version)?;
            Ok((None, Outcome::Checked))
        }
        other => unreachable!("{other:?} is no write"),
    }
}

/// The result of a write as one of a transaction.
pub(super) fn part_of(op: &Op, reply: Reply, stat_in_multi: bool) -> OpResult {
    match (op, reply) {
        (_, Reply::Path(path)) => OpResult::Create(path, None),
        (_, Reply::PathStat(path, stat)) => OpResult::Create(path, stat_in_multi.then_some(stat)),
        (_, Reply::Stat(stat)) => OpResult::SetData(stat),
        (Op::Check { .. }, _) => OpResult::Check,
        _ => OpResult::Delete,
    }
}

/// Up to the first that does not satisfy, and that one.
pub(super) trait TakeWhileInclusive: Iterator + Sized {
    fn take_while_inclusive(self, mut good: impl FnMut(&Self::Item) -> bool) -> Vec<Self::Item> {
        let mut taken = Vec::new();
        for item in self {
            let go_on = good(&item);
            taken.push(item);
            if !go_on {
                break;
            }
        }
        taken
    }
}

impl<I: Iterator> TakeWhileInclusive for I {}

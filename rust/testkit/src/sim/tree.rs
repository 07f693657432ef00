//! The tree of nodes, as each server has one: what a transaction does to it, and what stats say.

use super::op::{name_of, parent_of};
use std::collections::{BTreeMap, BTreeSet};
use zk_proto::record::{Acl, Stat};
use zk_proto::EventType;

#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) data: Option<Vec<u8>>,
    pub(super) acl: Vec<Acl>,
    pub(super) owner: i64,
    pub(super) children: BTreeSet<String>,
    /// Children ever created: the next sequence number.
    pub(super) creates: i32,
    deletes: i32,
    czxid: i64,
    pub(super) mzxid: i64,
    pub(super) pzxid: i64,
    ctime: i64,
    mtime: i64,
    pub(super) version: i32,
    pub(super) aversion: i32,
}

impl Node {
    pub(super) fn stat(&self) -> Stat {
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.creates + self.deletes,
            aversion: self.aversion,
            ephemeral_owner: self.owner,
            data_length: self.data.as_ref().map_or(0, Vec::len) as i32,
            num_children: self.children.len() as i32,
            pzxid: self.pzxid,
        }
    }
}

/// What a transaction does to one node, once the leader has found it lawful.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    Create { path: String, data: Option<Vec<u8>>, acl: Vec<Acl>, owner: i64 },
    Delete { path: String },
    Set { path: String, data: Option<Vec<u8>> },
    SetAcl { path: String, acl: Vec<Acl> },
}

impl Effect {
    pub(super) fn path(&self) -> &str {
        match self {
            Effect::Create { path, .. }
            | Effect::Delete { path }
            | Effect::Set { path, .. }
            | Effect::SetAcl { path, .. } => path,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Tree(BTreeMap<String, Node>);

impl Tree {
    pub(super) fn new() -> Tree {
        Tree([("/".to_owned(), Node::default())].into())
    }

    pub(super) fn get(&self, path: &str) -> Option<&Node> {
        self.0.get(path)
    }

    /// The paths of a session's ephemeral nodes.
    pub(super) fn owned_by(&self, session: i64) -> Vec<String> {
        self.0.iter().filter(|(_, n)| n.owner == session).map(|(path, _)| path.clone()).collect()
    }

    /// Carries it out and says what watchers of the node would hear, `None` for nothing.
    pub(super) fn apply(&mut self, effect: &Effect, zxid: i64, time: i64) -> Option<EventType> {
        match effect {
            Effect::Create { path, data, acl, owner } => {
                let node = Node {
                    data: data.clone(),
                    acl: acl.clone(),
                    owner: *owner,
                    czxid: zxid,
                    mzxid: zxid,
                    pzxid: zxid,
                    ctime: time,
                    mtime: time,
                    ..Node::default()
                };
                self.0.insert(path.clone(), node);
                let parent = self.node(parent_of(path));
                parent.children.insert(name_of(path).to_owned());
                parent.creates += 1;
                parent.pzxid = zxid;
                Some(EventType::CREATED)
            }
            Effect::Delete { path } => {
                self.0.remove(path);
                let parent = self.node(parent_of(path));
                parent.children.remove(name_of(path));
                parent.deletes += 1;
                parent.pzxid = zxid;
                Some(EventType::DELETED)
            }
            Effect::Set { path, data } => {
                let node = self.node(path);
                node.data = data.clone();
                node.version += 1;
                node.mzxid = zxid;
                node.mtime = time;
                Some(EventType::CHANGED)
            }
            Effect::SetAcl { path, acl } => {
                let node = self.node(path);
                node.acl = acl.clone();
                node.aversion += 1;
                None
            }
        }
    }

    fn node(&mut self, path: &str) -> &mut Node {
        self.0.get_mut(path).expect("the leader let only lawful transactions through")
    }
}

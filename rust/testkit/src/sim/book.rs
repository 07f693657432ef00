//! The watches that a server keeps for a connection, in the manner of its version.
//!
//! There are two tables, one for changes of nodes and one for changes of their lists of children, and a watch of any
//! kind is a mode of a path in one or both. Servers from 3.9 on keep modes side by side; before, the last that was
//! asked for takes the place of the former (ZOOKEEPER-4466), and whatever is taken off takes all of it along.
//! Source: `WatchManager` and `DataTree` of Apache ZooKeeper.

use super::user::Kind;
use std::collections::BTreeMap;
use zk_proto::op::WatcherType;
use zk_proto::{Code, EventType};

const STANDARD: u8 = 1;
const PERSISTENT: u8 = 2;
const RECURSIVE: u8 = 4;

type Table = BTreeMap<String, u8>;

#[derive(Debug, Default)]
pub(super) struct Book {
    /// A path has but one mode in each table.
    pub(super) one_mode: bool,
    nodes: Table,
    children: Table,
    /// A watch has taken the place of one of another kind.
    pub(super) displaced: u64,
}

impl Book {
    pub(super) fn new(one_mode: bool) -> Book {
        Book { one_mode, ..Book::default() }
    }

    pub(super) fn clear(&mut self) {
        *self = Book::new(self.one_mode);
    }

    pub(super) fn add(&mut self, kind: Kind, path: &str) {
        let (mode, nodes, children) = match kind {
            Kind::Data | Kind::Exist => (STANDARD, true, false),
            Kind::Child => (STANDARD, false, true),
            Kind::Persistent => (PERSISTENT, true, true),
            Kind::Recursive => (RECURSIVE, true, self.one_mode),
        };
        for (table, wanted) in [(&mut self.nodes, nodes), (&mut self.children, children)] {
            if wanted {
                let modes = table.entry(path.to_owned()).or_default();
                self.displaced += u64::from(self.one_mode && *modes & !mode != 0);
                *modes = if self.one_mode { mode } else { *modes | mode };
            }
        }
    }

    /// The answer to removeWatches, which has been carried out.
    pub(super) fn remove(&mut self, kind: WatcherType, path: &str) -> Code {
        let all = STANDARD | PERSISTENT | RECURSIVE;
        let standard = if self.one_mode { all } else { STANDARD };
        let (modes, nodes, children) = match kind {
            WatcherType::Children => (standard, false, true),
            WatcherType::Data => (standard, true, false),
            WatcherType::Any => (all, true, true),
            // Numbers that an old server can't read.
            _ if self.one_mode => return Code::MARSHALLING_ERROR,
            WatcherType::Persistent => (PERSISTENT, true, true),
            WatcherType::PersistentRecursive => (RECURSIVE, true, false),
        };
        let mut found = false;
        for (table, wanted) in [(&mut self.nodes, nodes), (&mut self.children, children)] {
            if let Some(left) = table.get_mut(path).filter(|_| wanted) {
                found |= *left & modes != 0;
                *left &= !modes;
                if *left == 0 {
                    table.remove(path);
                }
            }
        }
        if found {
            Code::OK
        } else {
            Code::NO_WATCHER
        }
    }

    /// Whether a change of a node is to be told; what is told once is taken off.
    pub(super) fn node_changed(&mut self, kind: EventType, path: &str) -> bool {
        let told = trigger(&mut self.nodes, kind, path);
        (kind == EventType::DELETED && trigger(&mut self.children, kind, path)) | told
    }

    /// Whether a change of a node's list of children is to be told.
    pub(super) fn children_changed(&mut self, path: &str) -> bool {
        trigger(&mut self.children, EventType::CHILD, path)
    }

    /// Whether a watch of this kind hears what it is to hear, if need be by another's name.
    pub(super) fn serves(&self, kind: Kind, path: &str, mixed: bool) -> bool {
        let [nodes, children] = [&self.nodes, &self.children].map(|t| t.get(path).copied().unwrap_or(0));
        // Of two persistent ones an old server has one, and nobody knows which.
        let one = PERSISTENT | RECURSIVE;
        let either = mixed && self.one_mode && nodes & one != 0;
        match kind {
            Kind::Data | Kind::Exist => nodes != 0,
            Kind::Child => children & (STANDARD | PERSISTENT) != 0,
            Kind::Persistent => either || nodes & PERSISTENT != 0 && children & PERSISTENT != 0,
            Kind::Recursive => either || nodes & RECURSIVE != 0,
        }
    }
}

fn trigger(table: &mut Table, kind: EventType, path: &str) -> bool {
    let mut told = false;
    for local in super::server::upwards(path) {
        let Some(modes) = table.get_mut(local) else { continue };
        // No recursive watch hears of lists of children.
        told |= *modes & RECURSIVE != 0 && kind != EventType::CHILD;
        if local == path {
            told |= *modes & (STANDARD | PERSISTENT) != 0;
            *modes &= !STANDARD;
            if *modes == 0 {
                table.remove(local);
            }
        }
    }
    told
}

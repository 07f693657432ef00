//! What a client asks.

use super::multi::{encode_ops, encode_reads};
use super::{Create, MultiOp, ReadOp, ReplyKind};
use crate::chroot::{Chroot, CONFIG_NODE};
use crate::opcode;
use crate::record::{Acl, RequestHeader};
use crate::wire::{put_bool, put_buffer, put_frame, put_int, put_long};

/// A request of the user. Paths are without the chroot.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// create, create2, createContainer or createTTL, by mode.
    Create(Create<'a>),
    /// delete
    Delete {
        /// Path of the node.
        path: &'a [u8],
        /// Expected version, -1 for any.
        version: i32,
    },
    /// exists
    Exists {
        /// Path of the node.
        path: &'a [u8],
        /// Leave a watch.
        watch: bool,
    },
    /// getData
    GetData {
        /// Path of the node.
        path: &'a [u8],
        /// Leave a watch.
        watch: bool,
    },
    /// setData
    SetData {
        /// Path of the node.
        path: &'a [u8],
        /// `None` stores null data.
        data: Option<&'a [u8]>,
        /// Expected version, -1 for any.
        version: i32,
    },
    /// getACL
    GetAcl {
        /// Path of the node.
        path: &'a [u8],
    },
    /// setACL
    SetAcl {
        /// Path of the node.
        path: &'a [u8],
        /// The new access list.
        acl: &'a [Acl],
        /// Expected ACL version, -1 for any.
        version: i32,
    },
    /// getChildren
    GetChildren {
        /// Path of the parent.
        path: &'a [u8],
        /// Leave a watch.
        watch: bool,
    },
    /// getChildren2
    GetChildren2 {
        /// Path of the parent.
        path: &'a [u8],
        /// Leave a watch.
        watch: bool,
    },
    /// sync
    Sync {
        /// Path; servers sync the whole tree whatever it is.
        path: &'a [u8],
    },
    /// multi: all or nothing.
    Multi(&'a [MultiOp<'a>]),
    /// multiRead: each for itself.
    MultiRead(&'a [ReadOp<'a>]),
    /// getEphemerals
    GetEphemerals {
        /// Only nodes of this session whose paths begin so (by characters, not by names); `/` for
        /// all.
        prefix: &'a [u8],
    },
    /// getAllChildrenNumber
    GetAllChildrenNumber {
        /// Path of the topmost node.
        path: &'a [u8],
    },
    /// whoAmI
    WhoAmI,
    /// addWatch
    AddWatch {
        /// Path of the node, which need not exist.
        path: &'a [u8],
        /// How far the watch reaches.
        mode: AddWatchMode,
    },
    /// removeWatches: the server takes them off. A session asks only for what it has set itself, and takes
    /// them off on its own side too.
    RemoveWatches {
        /// Path of the node.
        path: &'a [u8],
        /// Which of its watches.
        kind: WatcherType,
        /// Never sent: where no server can be reached, or it does not answer, the session's side alone will do.
        local: bool,
    },
    /// checkWatches: fails if the server has none; changes nothing.
    CheckWatches {
        /// Path of the node.
        path: &'a [u8],
        /// Which of its watches.
        kind: WatcherType,
    },
    /// getData of the ensemble's configuration, which no chroot applies to.
    GetConfig {
        /// Leave a watch.
        watch: bool,
    },
    /// reconfig
    Reconfig {
        /// Servers to add, in the form of the configuration file; comma separated.
        joining: Option<&'a [u8]>,
        /// Numbers of the servers to take out; comma separated.
        leaving: Option<&'a [u8]>,
        /// All servers, instead of the two above.
        members: Option<&'a [u8]>,
        /// Expected version of the configuration, -1 for any.
        config_version: i64,
    },
    /// closeSession; the server closes the connection after its reply.
    CloseSession,
}

/// How far a persistent watch reaches. Source: `AddWatchMode` of Apache ZooKeeper.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(i32)]
pub enum AddWatchMode {
    /// The node and its children.
    Persistent = 0,
    /// The node and everything below it.
    PersistentRecursive = 1,
}

/// A kind of watches. Source: `Watcher.WatcherType` of Apache ZooKeeper.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(i32)]
pub enum WatcherType {
    /// Left by getChildren.
    Children = 1,
    /// Left by getData and exists.
    Data = 2,
    /// All.
    Any = 3,
    /// Left by addWatch; servers know it from 3.9 on.
    Persistent = 4,
    /// Left by addWatch; servers know it from 3.9 on.
    PersistentRecursive = 5,
}

impl Request<'_> {
    /// The operation's number.
    pub fn opcode(&self) -> i32 {
        match self {
            Request::Create(create) => create.opcode(),
            Request::Delete { .. } => opcode::DELETE,
            Request::Exists { .. } => opcode::EXISTS,
            Request::GetData { .. } | Request::GetConfig { .. } => opcode::GET_DATA,
            Request::SetData { .. } => opcode::SET_DATA,
            Request::GetAcl { .. } => opcode::GET_ACL,
            Request::SetAcl { .. } => opcode::SET_ACL,
            Request::GetChildren { .. } => opcode::GET_CHILDREN,
            Request::GetChildren2 { .. } => opcode::GET_CHILDREN2,
            Request::Sync { .. } => opcode::SYNC,
            Request::Multi(_) => opcode::MULTI,
            Request::MultiRead(_) => opcode::MULTI_READ,
            Request::GetEphemerals { .. } => opcode::GET_EPHEMERALS,
            Request::GetAllChildrenNumber { .. } => opcode::GET_ALL_CHILDREN_NUMBER,
            Request::WhoAmI => opcode::WHO_AM_I,
            Request::AddWatch { .. } => opcode::ADD_WATCH,
            Request::RemoveWatches { .. } => opcode::REMOVE_WATCHES,
            Request::CheckWatches { .. } => opcode::CHECK_WATCHES,
            Request::Reconfig { .. } => opcode::RECONFIG,
            Request::CloseSession => opcode::CLOSE_SESSION,
        }
    }

    /// How the reply is to be read.
    pub fn reply_kind(&self) -> ReplyKind {
        match self {
            Request::Create(create) if create.with_stat => ReplyKind::PathStat,
            Request::Create(_) | Request::Sync { .. } => ReplyKind::Path,
            Request::Exists { .. } | Request::SetData { .. } | Request::SetAcl { .. } => ReplyKind::Stat,
            Request::GetData { .. } | Request::GetConfig { .. } | Request::Reconfig { .. } => ReplyKind::Data,
            Request::GetAcl { .. } => ReplyKind::Acl,
            Request::GetChildren { .. } => ReplyKind::Children,
            Request::GetChildren2 { .. } => ReplyKind::ChildrenStat,
            Request::Multi(ops) => ReplyKind::Multi(ops.iter().map(MultiOp::result_type).collect()),
            Request::MultiRead(ops) => ReplyKind::MultiRead(ops.iter().map(ReadOp::opcode).collect()),
            Request::GetEphemerals { .. } => ReplyKind::Paths,
            Request::GetAllChildrenNumber { .. } => ReplyKind::Count,
            Request::WhoAmI => ReplyKind::Identities,
            Request::AddWatch { .. } => ReplyKind::Outcome,
            Request::Delete { .. }
            | Request::RemoveWatches { .. }
            | Request::CheckWatches { .. }
            | Request::CloseSession => ReplyKind::Nothing,
        }
    }

    /// The path that the request is about, as the user gave it. Watches that it leaves are on it.
    pub fn path(&self) -> Option<&[u8]> {
        match *self {
            Request::Create(Create { path, .. })
            | Request::Delete { path, .. }
            | Request::Exists { path, .. }
            | Request::GetData { path, .. }
            | Request::SetData { path, .. }
            | Request::GetAcl { path }
            | Request::SetAcl { path, .. }
            | Request::GetChildren { path, .. }
            | Request::GetChildren2 { path, .. }
            | Request::Sync { path }
            | Request::GetEphemerals { prefix: path }
            | Request::GetAllChildrenNumber { path }
            | Request::AddWatch { path, .. }
            | Request::RemoveWatches { path, .. }
            | Request::CheckWatches { path, .. } => Some(path),
            Request::GetConfig { .. } => Some(CONFIG_NODE),
            Request::Multi(_)
            | Request::MultiRead(_)
            | Request::WhoAmI
            | Request::Reconfig { .. }
            | Request::CloseSession => None,
        }
    }

    /// Appends the request as one frame, its four bytes of length included, and returns that
    /// length (which does not count the four), to be held against `jute.maxbuffer`.
    pub fn encode(&self, xid: i32, chroot: &Chroot, out: &mut Vec<u8>) -> usize {
        put_frame(out, |out| {
            let header = RequestHeader { xid, opcode: self.opcode() };
            header.encode(out);
            self.encode_body(chroot, out);
        })
    }

    fn encode_body(&self, chroot: &Chroot, out: &mut Vec<u8>) {
        match *self {
            Request::Create(create) => create.encode(chroot, out),
            Request::Delete { path, version } => {
                chroot.put(path, out);
                put_int(out, version);
            }
            Request::Exists { path, watch }
            | Request::GetData { path, watch }
            | Request::GetChildren { path, watch }
            | Request::GetChildren2 { path, watch } => {
                chroot.put(path, out);
                put_bool(out, watch);
            }
            Request::SetData { path, data, version } => {
                chroot.put(path, out);
                put_buffer(out, data);
                put_int(out, version);
            }
            Request::GetAcl { path }
            | Request::Sync { path }
            | Request::GetEphemerals { prefix: path }
            | Request::GetAllChildrenNumber { path } => chroot.put(path, out),
            Request::SetAcl { path, acl, version } => {
                chroot.put(path, out);
                Acl::encode_list(acl, out);
                put_int(out, version);
            }
            Request::Multi(ops) => encode_ops(ops, chroot, out),
            Request::MultiRead(ops) => encode_reads(ops, chroot, out),
            Request::AddWatch { path, mode } => {
                chroot.put(path, out);
                put_int(out, mode as i32);
            }
            Request::RemoveWatches { path, kind, .. } | Request::CheckWatches { path, kind } => {
                chroot.put(path, out);
                put_int(out, kind as i32);
            }
            Request::GetConfig { watch } => {
                chroot.put(CONFIG_NODE, out);
                put_bool(out, watch);
            }
            Request::Reconfig { joining, leaving, members, config_version } => {
                put_buffer(out, joining);
                put_buffer(out, leaving);
                put_buffer(out, members);
                put_long(out, config_version);
            }
            Request::WhoAmI | Request::CloseSession => {}
        }
    }
}

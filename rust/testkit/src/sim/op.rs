//! Requests as the model has them: owned, to be made at random, sent, decoded and compared.

use bytes::Bytes;
use zk_proto::op::{AddWatchMode, Create, CreateMode, MultiOp, ReadOp, Request, WatcherType};
use zk_proto::opcode;
use zk_proto::record::{Acl, MultiHeader};
use zk_proto::wire::Reader;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Op {
    Create { path: String, data: Option<Vec<u8>>, acl: Vec<Acl>, flags: i32, stat: bool },
    Delete { path: String, version: i32 },
    Set { path: String, data: Option<Vec<u8>>, version: i32 },
    Check { path: String, version: i32 },
    Exists { path: String, watch: bool },
    Get { path: String, watch: bool },
    Children { path: String, watch: bool, stat: bool },
    GetAcl { path: String },
    SetAcl { path: String, acl: Vec<Acl>, version: i32 },
    Sync { path: String },
    Multi(Vec<Op>),
    MultiRead(Vec<Op>),
    AddWatch { path: String, recursive: bool },
    RemoveWatches { path: String, kind: WatcherType, local: bool },
    Close,
}

impl Op {
    pub(super) fn is_write(&self) -> bool {
        matches!(
            self,
            Op::Create { .. } | Op::Delete { .. } | Op::Set { .. } | Op::SetAcl { .. } | Op::Multi(_)
        )
    }

    /// The path, where there is one.
    pub(super) fn path(&self) -> &str {
        match self {
            Op::Create { path, .. }
            | Op::Delete { path, .. }
            | Op::Set { path, .. }
            | Op::Check { path, .. }
            | Op::Exists { path, .. }
            | Op::Get { path, .. }
            | Op::Children { path, .. }
            | Op::GetAcl { path }
            | Op::SetAcl { path, .. }
            | Op::Sync { path }
            | Op::AddWatch { path, .. }
            | Op::RemoveWatches { path, .. } => path,
            Op::Multi(_) | Op::MultiRead(_) | Op::Close => "",
        }
    }

    /// The same, leaving no watch.
    pub(super) fn without_watch(&self) -> Op {
        let mut op = self.clone();
        if let Op::Exists { watch, .. } | Op::Get { watch, .. } | Op::Children { watch, .. } = &mut op {
            *watch = false;
        }
        op
    }

    /// The same with the server's paths.
    pub(super) fn chrooted(&self, chroot: &str) -> Op {
        let mut op = self.clone();
        match &mut op {
            // The server completes the name: below the chroot, not beside it.
            Op::Create { path, flags, .. } if *flags & 2 != 0 => *path = format!("{chroot}{path}"),
            Op::Create { path, .. }
            | Op::Delete { path, .. }
            | Op::Set { path, .. }
            | Op::Check { path, .. }
            | Op::Exists { path, .. }
            | Op::Get { path, .. }
            | Op::Children { path, .. }
            | Op::GetAcl { path }
            | Op::SetAcl { path, .. }
            | Op::Sync { path }
            | Op::AddWatch { path, .. }
            | Op::RemoveWatches { path, .. } => *path = inside(chroot, path),
            Op::Multi(ops) | Op::MultiRead(ops) => ops.iter_mut().for_each(|op| *op = op.chrooted(chroot)),
            Op::Close => {}
        }
        op
    }

    /// Calls `then` with the request that the session is asked for.
    pub(super) fn with_request<R>(&self, then: impl FnOnce(&Request<'_>) -> R) -> R {
        let path = self.path().as_bytes();
        match self {
            Op::Create { .. } => then(&Request::Create(self.as_create())),
            Op::Delete { version, .. } => then(&Request::Delete { path, version: *version }),
            Op::Set { data, version, .. } => {
                then(&Request::SetData { path, data: data.as_deref(), version: *version })
            }
            Op::Exists { watch, .. } => then(&Request::Exists { path, watch: *watch }),
            Op::Get { watch, .. } => then(&Request::GetData { path, watch: *watch }),
            Op::Children { watch, stat: true, .. } => then(&Request::GetChildren2 { path, watch: *watch }),
            Op::Children { watch, .. } => then(&Request::GetChildren { path, watch: *watch }),
            Op::GetAcl { .. } => then(&Request::GetAcl { path }),
            Op::SetAcl { acl, version, .. } => then(&Request::SetAcl { path, acl, version: *version }),
            Op::Sync { .. } => then(&Request::Sync { path }),
            Op::Multi(ops) => then(&Request::Multi(&ops.iter().map(Op::as_part).collect::<Vec<_>>())),
            Op::MultiRead(ops) => then(&Request::MultiRead(&ops.iter().map(Op::as_read).collect::<Vec<_>>())),
            Op::AddWatch { recursive, .. } => {
                let mode =
                    if *recursive { AddWatchMode::PersistentRecursive } else { AddWatchMode::Persistent };
                then(&Request::AddWatch { path, mode })
            }
            Op::RemoveWatches { kind, local, .. } => {
                then(&Request::RemoveWatches { path, kind: *kind, local: *local })
            }
            Op::Check { .. } | Op::Close => unreachable!("never asked for alone"),
        }
    }

    fn as_create(&self) -> Create<'_> {
        let Op::Create { path, data, acl, flags, stat } = self else { unreachable!("a create") };
        let mode = match flags {
            0 => CreateMode::Persistent,
            1 => CreateMode::Ephemeral,
            2 => CreateMode::PersistentSequential,
            _ => CreateMode::EphemeralSequential,
        };
        Create { path: path.as_bytes(), data: data.as_deref(), acl, mode, with_stat: *stat }
    }

    fn as_part(&self) -> MultiOp<'_> {
        let path = self.path().as_bytes();
        match self {
            Op::Delete { version, .. } => MultiOp::Delete { path, version: *version },
            Op::Set { data, version, .. } => {
                MultiOp::SetData { path, data: data.as_deref(), version: *version }
            }
            Op::Check { version, .. } => MultiOp::Check { path, version: *version },
            _ => MultiOp::Create(self.as_create()),
        }
    }

    fn as_read(&self) -> ReadOp<'_> {
        let path = self.path().as_bytes();
        match self {
            Op::Get { .. } => ReadOp::GetData { path },
            _ => ReadOp::GetChildren { path },
        }
    }

    /// Reads a request as a server does; all of it must be there, and nothing more.
    pub(super) fn decode(opcode: i32, body: Bytes) -> Op {
        let mut from = Reader::new(body);
        let op = Op::decode_one(opcode, &mut from);
        assert_eq!(from.left(), 0, "bytes behind {op:?}");
        op
    }

    fn decode_one(opcode: i32, from: &mut Reader) -> Op {
        if opcode == opcode::CLOSE_SESSION {
            return Op::Close;
        }
        if matches!(opcode, opcode::MULTI | opcode::MULTI_READ) {
            let mut ops = Vec::new();
            loop {
                let header = MultiHeader::decode(from).expect("a multi header");
                match (header.done, opcode) {
                    (true, opcode::MULTI) => return Op::Multi(ops),
                    (true, _) => return Op::MultiRead(ops),
                    (false, _) => ops.push(Op::decode_one(header.opcode, from)),
                }
            }
        }
        let path = String::from_utf8(from.string("path").expect("a path").to_vec()).expect("ASCII");
        let int = |from: &mut Reader| from.int("number").expect("a number");
        let watch = |from: &mut Reader| from.boolean("watch").expect("a watch flag");
        let data = |from: &mut Reader| from.buffer("data").expect("data").map(|d| d.to_vec());
        let acl = |from: &mut Reader| Acl::decode_list(from).expect("an acl");
        match opcode {
            opcode::CREATE | opcode::CREATE2 => Op::Create {
                path,
                data: data(from),
                acl: acl(from),
                flags: int(from),
                stat: opcode == opcode::CREATE2,
            },
            opcode::DELETE => Op::Delete { path, version: int(from) },
            opcode::SET_DATA => Op::Set { path, data: data(from), version: int(from) },
            opcode::CHECK => Op::Check { path, version: int(from) },
            opcode::EXISTS => Op::Exists { path, watch: watch(from) },
            opcode::GET_DATA => Op::Get { path, watch: watch(from) },
            opcode::GET_CHILDREN => Op::Children { path, watch: watch(from), stat: false },
            opcode::GET_CHILDREN2 => Op::Children { path, watch: watch(from), stat: true },
            opcode::GET_ACL => Op::GetAcl { path },
            opcode::SET_ACL => Op::SetAcl { path, acl: acl(from), version: int(from) },
            opcode::SYNC => Op::Sync { path },
            opcode::ADD_WATCH => Op::AddWatch { path, recursive: int(from) == 1 },
            opcode::REMOVE_WATCHES => {
                Op::RemoveWatches { path, kind: super::removal::kind_of(int(from)), local: false }
            }
            _ => panic!("a request with the unexpected opcode {opcode}"),
        }
    }
}

/// The server's path for a client's.
pub(super) fn inside(chroot: &str, path: &str) -> String {
    match (chroot, path) {
        ("", path) => path.to_owned(),
        (chroot, "/") => chroot.to_owned(),
        (chroot, path) => format!("{chroot}{path}"),
    }
}

/// The client's path for a server's.
pub(super) fn outside(chroot: &str, path: &str) -> String {
    let rest = path.strip_prefix(chroot).unwrap_or_else(|| panic!("{path} lies outside {chroot}"));
    if rest.is_empty() { "/" } else { rest }.to_owned()
}

pub(super) fn parent_of(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(slash) => &path[..slash],
    }
}

pub(super) fn name_of(path: &str) -> &str {
    &path[path.rfind('/').map_or(0, |slash| slash + 1)..]
}

/// Whom the model's access lists let at a node: a function of its name, so that nobody loses a
/// permission that he had when he set his watch. `None` is everybody.
pub(super) fn reserved_for(path: &str) -> Option<&'static str> {
    match name_of(path) {
        "p1" => Some("u1"),
        "p2" => Some("u2"),
        _ => None,
    }
}

/// The access list that goes with [`reserved_for`].
pub(super) fn acl_for(path: &str) -> Vec<Acl> {
    let (scheme, id) = match reserved_for(path) {
        Some(user) => ("sim", user),
        None => ("world", "anyone"),
    };
    vec![Acl { perms: 31, scheme: scheme.into(), id: id.into() }]
}

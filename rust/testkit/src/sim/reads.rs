//! What a server answers by itself, from what it has applied; and the watches that this leaves.

use super::conn::{Conn, Note};
use super::op::{acl_for, Op};
use super::tree::Node;
use super::user::Kind;
use super::verdict::permits;
use super::Sim;
use zk_proto::op::{ReadResult, Reply};
use zk_proto::xid::reserved;
use zk_proto::{Code, EventType};

impl Sim {
    /// A read, from what this server has applied; it may leave a watch with the connection.
    pub(super) fn read(&mut self, conn: usize, op: &Op) -> (Code, Reply) {
        let Conn { ids, watches, server, .. } = &mut self.conns[conn];
        let tree = &self.servers[*server].tree;
        self.counts.bump("reads");
        let find = |path: &str| -> Result<&Node, Code> {
            let node = tree.get(path).ok_or(Code::NO_NODE)?;
            permits(&node.acl, ids).then_some(node).ok_or(Code::NO_AUTH)
        };
        let read = |op: &Op| -> Result<Reply, Code> {
            Ok(match op {
                // Whoever is not let in is told so even if there is no node: he would wait in vain for
                // the events of his watch.
                Op::Exists { path, .. } => {
                    permits(&acl_for(path), ids).then_some(()).ok_or(Code::NO_AUTH)?;
                    Reply::Stat(find(path)?.stat())
                }
                Op::Get { path, .. } => {
                    let node = find(path)?;
                    Reply::Data(node.data.clone().map(Into::into), node.stat())
                }
                Op::Children { path, stat, .. } => {
                    let node = find(path)?;
                    let names = node.children.iter().collect();
                    if *stat {
                        Reply::ChildrenStat(names, node.stat())
                    } else {
                        Reply::Children(names)
                    }
                }
                Op::GetAcl { path } => {
                    let node = find(path)?;
                    Reply::Acl(node.acl.clone(), node.stat())
                }
                Op::AddWatch { .. } => Reply::Outcome(Code::OK),
                Op::MultiRead(_) => Reply::Nothing,
                other => unreachable!("{other:?} is no read"),
            })
        };
        if let Op::RemoveWatches { path, kind, .. } = op {
            let code = watches.remove(*kind, path);
            return (code, Reply::Nothing);
        }
        if let Op::MultiRead(ops) = op {
            let results = ops.iter().map(|op| match read(op) {
                Ok(Reply::Data(data, stat)) => ReadResult::Data(data, stat),
                Ok(Reply::Children(names)) => ReadResult::Children(names),
                Ok(other) => unreachable!("{other:?}"),
                Err(code) => ReadResult::Error(code),
            });
            return (Code::OK, Reply::MultiRead(results.collect()));
        }
        let result = read(op);
        let displaced = watches.displaced;
        match (op, &result) {
            (Op::Exists { path, watch: true }, Ok(_) | Err(Code::NO_NODE))
            | (Op::Get { path, watch: true }, Ok(_)) => watches.add(Kind::Data, path),
            (Op::Children { path, watch: true, .. }, Ok(_)) => watches.add(Kind::Child, path),
            (Op::AddWatch { path, recursive: false }, _) => watches.add(Kind::Persistent, path),
            (Op::AddWatch { path, recursive: true }, _) => watches.add(Kind::Recursive, path),
            _ => {}
        }
        if watches.displaced > displaced {
            self.counts.bump("watches that took another's place on an old server");
        }
        match result {
            Ok(reply) => (Code::OK, reply),
            Err(code) => (code, Reply::Nothing),
        }
    }

    pub(super) fn set_watches(&mut self, conn: usize, relative_zxid: i64, kinds: [Vec<String>; 5]) {
        self.counts.bump("setWatches");
        let server = self.conns[conn].server;
        let mut missed = Vec::new();
        let mut armed = Vec::new();
        let [data, exist, child, persistent, recursive] = kinds;
        {
            let tree = &self.servers[server].tree;
            let mut check = |path: &String, there: EventType, changed: bool, gone: bool| {
                match tree.get(path) {
                    None if gone => missed.push((EventType::DELETED, path.clone())),
                    Some(_) if changed => missed.push((there, path.clone())),
                    _ => return true,
                }
                false
            };
            for path in data {
                let newer = tree.get(&path).is_some_and(|node| node.mzxid > relative_zxid);
                if check(&path, EventType::CHANGED, newer, true) {
                    armed.push((Kind::Data, path));
                }
            }
            for path in exist {
                if check(&path, EventType::CREATED, true, false) {
                    armed.push((Kind::Exist, path));
                }
            }
            for path in child {
                let newer = tree.get(&path).is_some_and(|node| node.pzxid > relative_zxid);
                if check(&path, EventType::CHILD, newer, true) {
                    armed.push((Kind::Child, path));
                }
            }
        }
        armed.extend(persistent.into_iter().map(|path| (Kind::Persistent, path)));
        armed.extend(recursive.into_iter().map(|path| (Kind::Recursive, path)));
        for (kind, path) in armed {
            self.conns[conn].watches.add(kind, &path);
        }
        for (kind, path) in missed {
            self.counts.bump("events made up for at setWatches");
            self.tell(conn, kind, &path);
        }
        self.simple_reply(conn, reserved::SET_WATCHES, Code::OK, Note::Quiet);
    }
}

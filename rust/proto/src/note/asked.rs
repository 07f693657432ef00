//! Requests and replies as a line of a log shows them.

use super::shown::{AccessList, Id, Shortened, Shown};
use crate::op::{Create, MultiOp, OpResult, ReadOp, ReadResult, Reply, Request};
use crate::record::Stat;
use crate::session::Failure;
use crate::time::Time;
use crate::{opcode, Code};
use std::fmt::{self, Display, Write as _};

/// Operations of a transaction, or names of children, that are shown.
const ENOUGH: usize = 16;

/// What is kept of a request for the notes about it: the request itself is gone once it is encoded.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Operation and path.
    pub(crate) what: String,
    /// The rest of it.
    pub(crate) arguments: String,
    /// When it was handed to the connection.
    pub(crate) sent: Time,
}

impl Asked {
    pub(crate) fn of(request: &Request<'_>, now: Time) -> Box<Asked> {
        let mut what = opcode::name(request.opcode()).to_owned();
        if let Some(path) = request.path() {
            let _ = write!(what, " '{}'", Shown(path));
        }
        Box::new(Asked { what, arguments: Arguments(request).to_string(), sent: now })
    }
}

impl Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.what, self.arguments)
    }
}

/// What follows operation and path.
struct Arguments<'a>(&'a Request<'a>);

impl Display for Arguments<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Request::Create(create) => write!(f, "{}", Creation(create)),
            Request::Delete { version, .. } => write!(f, ", version {version}"),
            Request::SetData { data, version, .. } => {
                write!(f, ", data {}, version {version}", Shortened(*data))
            }
            Request::SetAcl { acl, version, .. } => {
                write!(f, ", acl {}, version {version}", AccessList(acl))
            }
            Request::Exists { watch: true, .. }
            | Request::GetData { watch: true, .. }
            | Request::GetChildren { watch: true, .. }
            | Request::GetChildren2 { watch: true, .. }
            | Request::GetConfig { watch: true } => f.write_str(", watch"),
            Request::AddWatch { mode, .. } => write!(f, ", {mode:?}"),
            Request::RemoveWatches { kind, .. } | Request::CheckWatches { kind, .. } => {
                write!(f, ", {kind:?}")
            }
            Request::Multi(ops) => list(f, ops, |op, f| write!(f, "{}", Operation(op))),
            Request::MultiRead(ops) => list(f, ops, |op, f| match op {
                ReadOp::GetData { path } | ReadOp::GetChildren { path } => {
                    write!(f, "{} '{}'", opcode::name(op.opcode()), Shown(path))
                }
            }),
            Request::Reconfig { config_version, .. } => write!(f, ", version {config_version}"),
            Request::Exists { .. }
            | Request::GetData { .. }
            | Request::GetAcl { .. }
            | Request::GetChildren { .. }
            | Request::GetChildren2 { .. }
            | Request::GetConfig { .. }
            | Request::Sync { .. }
            | Request::GetEphemerals { .. }
            | Request::GetAllChildrenNumber { .. }
            | Request::WhoAmI
            | Request::CloseSession => Ok(()),
        }
    }
}

/// What follows the path of a node that is to be made.
struct Creation<'a>(&'a Create<'a>);

impl Display for Creation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Create { data, acl, mode, .. } = self.0;
        write!(f, ", data {}, acl {}, {mode:?}", Shortened(*data), AccessList(acl))
    }
}

/// An operation of a transaction.
struct Operation<'a>(&'a MultiOp<'a>);

impl Display for Operation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(opcode::name(self.0.opcode()))?;
        match self.0 {
            MultiOp::Create(create) => write!(f, " '{}'{}", Shown(create.path), Creation(create)),
            MultiOp::Delete { path, version } | MultiOp::Check { path, version } => {
                write!(f, " '{}', version {version}", Shown(path))
            }
            MultiOp::SetData { path, data, version } => {
                write!(f, " '{}', data {}, version {version}", Shown(path), Shortened(*data))
            }
        }
    }
}

/// How a request was answered.
pub(crate) struct Answered<'a>(pub(crate) &'a Result<Reply, Failure>);

impl Display for Answered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reply = match self.0 {
            Ok(reply) => reply,
            Err(failure) => return write!(f, "{}", failure.code),
        };
        f.write_str(Code::OK.text())?;
        match reply {
            Reply::Nothing => Ok(()),
            Reply::Path(path) => write!(f, ", path '{}'", Shown(path)),
            Reply::PathStat(path, stat) => write!(f, ", path '{}'{}", Shown(path), Version(stat)),
            Reply::Stat(stat) => write!(f, "{}", Version(stat)),
            Reply::Data(data, stat) => {
                write!(f, ", data {}{}", Shortened(data.as_deref()), Version(stat))
            }
            Reply::Acl(acl, stat) => write!(f, ", acl {}, version {}", AccessList(acl), stat.aversion),
            Reply::Children(names) | Reply::ChildrenStat(names, _) | Reply::Paths(names) => {
                list_of(f, names.len(), names.iter(), |name, f| write!(f, "'{}'", Shown(name)))
            }
            Reply::Multi(results) => list(f, results, |result, f| match result {
                OpResult::Create(path, _) => write!(f, "create '{}'", Shown(path)),
                OpResult::Delete => f.write_str("delete"),
                OpResult::SetData(stat) => write!(f, "setData{}", Version(stat)),
                OpResult::Check => f.write_str("check"),
                OpResult::Error(code) => write!(f, "{code}"),
            }),
            Reply::MultiRead(results) => list(f, results, |result, f| match result {
                ReadResult::Data(data, stat) => {
                    write!(f, "getData {}{}", Shortened(data.as_deref()), Version(stat))
                }
                ReadResult::Children(names) => write!(f, "getChildren {} names", names.len()),
                ReadResult::Error(code) => write!(f, "{code}"),
            }),
            Reply::Count(count) => write!(f, ", {count}"),
            Reply::Identities(ids) => list(f, ids, |id, f| write!(f, "{}", Id(&id.scheme, &id.user))),
            Reply::Outcome(code) => write!(f, ", outcome {code}"),
        }
    }
}

struct Version<'a>(&'a Stat);

impl Display for Version<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ", version {}", self.0.version)
    }
}

fn list<T>(
    f: &mut fmt::Formatter<'_>,
    items: &[T],
    each: impl Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    list_of(f, items.len(), items.iter(), each)
}

/// `, 3: a; b; c`: the first of them.
fn list_of<T>(
    f: &mut fmt::Formatter<'_>,
    len: usize,
    items: impl Iterator<Item = T>,
    each: impl Fn(T, &mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    write!(f, ", {len}")?;
    for (index, item) in items.take(ENOUGH).enumerate() {
        f.write_str(if index == 0 { ": " } else { "; " })?;
        each(item, f)?;
    }
    if len > ENOUGH {
        f.write_str("; ...")?;
    }
    Ok(())
}

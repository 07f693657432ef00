//! What servers answer, read by what was asked.

use super::multi::{decode_reads, decode_results};
use super::{ByteStrings, Identity, OpResult, ReadResult};
use crate::chroot::Chroot;
use crate::record::{Acl, MultiHeader, Stat};
use crate::wire::{put_buffer, put_int, put_string, DecodeError, Reader};
use crate::Code;
use bytes::Bytes;

/// How the body of a reply is to be read: what was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReplyKind {
    /// No body, or one that nobody wants.
    Nothing,
    /// A path (create, sync; the other kinds of create if nobody wants their stat).
    Path,
    /// A path and a stat (create2, createContainer, createTTL).
    PathStat,
    /// A stat (exists, setData, setACL).
    Stat,
    /// Data and a stat (getData, reconfig).
    Data,
    /// Access list and stat.
    Acl,
    /// Names.
    Children,
    /// Names and a stat.
    ChildrenStat,
    /// Results of a transaction, of these types in this order.
    Multi(Vec<i32>),
    /// Results of a multiRead, of these types in this order.
    MultiRead(Vec<i32>),
    /// Paths (getEphemerals).
    Paths,
    /// A number (getAllChildrenNumber).
    Count,
    /// Who the session is (whoAmI).
    Identities,
    /// An error code in the body (addWatch).
    Outcome,
}

/// The result of a request that succeeded. Paths are without the chroot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// Nothing but success.
    Nothing,
    /// The path of a created node.
    Path(Bytes),
    /// The path and stat of a created node.
    PathStat(Bytes, Stat),
    /// A stat.
    Stat(Stat),
    /// Data (`None`: null) and stat.
    Data(Option<Bytes>, Stat),
    /// Access list and stat.
    Acl(Vec<Acl>, Stat),
    /// Names of children.
    Children(ByteStrings),
    /// Names of children and the parent's stat.
    ChildrenStat(ByteStrings, Stat),
    /// Results of a transaction, one for each operation. That it failed shows in
    /// [`OpResult::Error`] entries only: the server's header says 0 then.
    Multi(Vec<OpResult>),
    /// Results of a multiRead, one for each operation.
    MultiRead(Vec<ReadResult>),
    /// Paths of ephemeral nodes.
    Paths(ByteStrings),
    /// The number of all descendants.
    Count(i32),
    /// Who the session is, one for each of its authentications.
    Identities(Vec<Identity>),
    /// What became of addWatch, beside the header: [`Code::OK`] from all known servers.
    Outcome(Code),
}

impl Reply {
    /// Reads the body of a reply whose header says [`Code::OK`].
    ///
    /// Paths lose the chroot; one from outside of it is kept as it is.
    pub fn decode(kind: ReplyKind, body: Bytes, chroot: &Chroot) -> Result<Reply, DecodeError> {
        let from = &mut Reader::new(body);
        Ok(match kind {
            ReplyKind::Nothing => Reply::Nothing,
            ReplyKind::Path => Reply::Path(chroot.strip_or_keep(from.string("path")?)),
            ReplyKind::PathStat => {
                let path = chroot.strip_or_keep(from.string("path")?);
                Reply::PathStat(path, Stat::decode(from)?)
            }
            ReplyKind::Stat => Reply::Stat(Stat::decode(from)?),
            ReplyKind::Data => Reply::Data(from.buffer("data")?, Stat::decode(from)?),
            ReplyKind::Acl => Reply::Acl(Acl::decode_list(from)?, Stat::decode(from)?),
            ReplyKind::Children => Reply::Children(from.strings("children")?),
            ReplyKind::ChildrenStat => Reply::ChildrenStat(from.strings("children")?, Stat::decode(from)?),
            ReplyKind::Multi(types) => Reply::Multi(decode_results(&types, from, chroot)?),
            ReplyKind::MultiRead(types) => Reply::MultiRead(decode_reads(&types, from)?),
            ReplyKind::Paths => Reply::Paths(inside(from.strings("ephemerals")?, chroot)),
            ReplyKind::Count => Reply::Count(from.int("total number")?),
            ReplyKind::Identities => Reply::Identities(Identity::decode_list(from)?),
            ReplyKind::Outcome => Reply::Outcome(Code(from.int("error response err")?)),
        })
    }

    /// Appends the body as a server would send it (with the paths as they are): for scripted
    /// servers and tests.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Reply::Nothing => {}
            Reply::Path(path) => put_string(out, path),
            Reply::PathStat(path, stat) => {
                put_string(out, path);
                stat.encode(out);
            }
            Reply::Stat(stat) => stat.encode(out),
            Reply::Data(data, stat) => {
                put_buffer(out, data.as_deref());
                stat.encode(out);
            }
            Reply::Acl(acl, stat) => {
                Acl::encode_list(acl, out);
                stat.encode(out);
            }
            Reply::Children(names) | Reply::Paths(names) => names.encode(out),
            Reply::ChildrenStat(names, stat) => {
                names.encode(out);
                stat.encode(out);
            }
            Reply::Multi(results) => {
                results.iter().for_each(|result| result.encode(out));
                MultiHeader::END.encode(out);
            }
            Reply::MultiRead(results) => {
                results.iter().for_each(|result| result.encode(out));
                MultiHeader::END.encode(out);
            }
            Reply::Count(number) => put_int(out, *number),
            Reply::Identities(list) => Identity::encode_list(list, out),
            Reply::Outcome(code) => put_int(out, code.0),
        }
    }
}

/// The paths that lie inside the chroot, without it. Others can only stem from a session that was
/// used with another chroot before.
fn inside(paths: ByteStrings, chroot: &Chroot) -> ByteStrings {
    if chroot.is_none() {
        return paths;
    }
    paths.iter().filter_map(|path| chroot.strip(Bytes::copy_from_slice(path))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chroot() -> Chroot {
        Chroot::new(b"/app").unwrap()
    }

    fn decode(kind: ReplyKind, reply: &Reply) -> Reply {
        let mut body = Vec::new();
        reply.encode(&mut body);
        Reply::decode(kind, body.into(), &chroot()).unwrap()
    }

    #[test]
    fn paths_lose_the_chroot() {
        let path = |text: &'static str| Bytes::from_static(text.as_bytes());
        let stat = Stat::default();
        let read = decode(ReplyKind::Path, &Reply::Path(path("/app/x")));
        assert_eq!(read, Reply::Path(path("/x")));
        let read = decode(ReplyKind::Path, &Reply::Path(path("/app")));
        assert_eq!(read, Reply::Path(path("/")));
        let read = decode(ReplyKind::Path, &Reply::Path(path("/apple")));
        assert_eq!(read, Reply::Path(path("/apple")));
        let read = decode(ReplyKind::PathStat, &Reply::PathStat(path("/app/x"), stat));
        assert_eq!(read, Reply::PathStat(path("/x"), stat));
        let results = |one, two| {
            Reply::Multi(vec![OpResult::Create(path(one), None), OpResult::Create(path(two), Some(stat))])
        };
        let read = decode(ReplyKind::Multi(vec![1, 15]), &results("/app/1", "/app/2"));
        assert_eq!(read, results("/1", "/2"));
    }

    #[test]
    fn ephemerals_outside_the_chroot_are_not_listed() {
        let paths = |list: &[&str]| Reply::Paths(list.iter().collect());
        let read = decode(ReplyKind::Paths, &paths(&["/app/x", "/apple", "/b", "/app"]));
        assert_eq!(read, paths(&["/x", "/"]));
    }

    #[test]
    fn a_stat_that_nobody_asked_for_is_passed_over() {
        let created = Reply::PathStat(Bytes::from_static(b"/app/c"), Stat::default());
        let read = decode(ReplyKind::Path, &created);
        assert_eq!(read, Reply::Path(Bytes::from_static(b"/c")));
        assert_eq!(decode(ReplyKind::Nothing, &created), Reply::Nothing);
    }

    #[test]
    fn create2_in_a_transaction_may_be_answered_without_a_stat() {
        let created = Reply::Multi(vec![OpResult::Create(Bytes::from_static(b"/x"), None)]);
        assert_eq!(decode(ReplyKind::Multi(vec![15]), &created), created);
    }
}

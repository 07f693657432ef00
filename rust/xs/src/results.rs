//! Replies as Perl values.
//!
//! Everything here makes fresh, plain scalars: nothing of it runs Perl code or dies, so it may read
//! the reply where it stands, in the frame.

use crate::acl::{ID, PERMS, SCHEME};
use crate::blocking::Held;
use crate::perl::{Call, Key, Perl, Sv};
use crate::thrown::Thrown;
use zk_client::Failure;
use zk_proto::op::{ByteStrings, Identity, OpResult, ReadResult, Reply};
use zk_proto::record::{Acl, Stat};
use zk_proto::Code;

/// What a command returns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Nothing.
    Nothing,
    /// A path.
    Path,
    /// A path; in list context also the stat.
    PathStat,
    /// A stat.
    Stat,
    /// A stat, or undef for a node that isn't there.
    StatOrUndef,
    /// Data; in list context also the stat.
    Data,
    /// Names; in scalar context how many.
    Children,
    /// An array ref of names; in list context also the stat.
    ChildrenStat,
    /// A number.
    Count,
    /// A hash for each identity; in scalar context how many.
    Identities,
    /// Access list; in list context also the stat.
    Acl,
    /// A hash for each operation of a transaction.
    Multi,
    /// A hash for each of several reads.
    MultiRead,
}

static STAT_KEYS: [Key; 11] = [
    Key::new("czxid"),
    Key::new("mzxid"),
    Key::new("ctime"),
    Key::new("mtime"),
    Key::new("version"),
    Key::new("cversion"),
    Key::new("aversion"),
    Key::new("ephemeralOwner"),
    Key::new("dataLength"),
    Key::new("numChildren"),
    Key::new("pzxid"),
];
static TYPE: Key = Key::new("type");
static PATH: Key = Key::new("path");
static STAT: Key = Key::new("stat");
static CODE: Key = Key::new("code");
static VALUE: Key = Key::new("value");
static CHILDREN: Key = Key::new("children");

/// At boot.
pub(crate) fn prepare_keys(perl: Perl) {
    for key in STAT_KEYS.iter().chain([&TYPE, &PATH, &STAT, &CODE, &VALUE, &CHILDREN]) {
        key.prepare(perl);
    }
}

/// Puts the results of a call on the stack; how many, or what to throw.
pub(crate) fn give(perl: Perl, call: Call, shape: Shape, held: Held) -> Result<usize, Thrown> {
    let frame = held.frame();
    let utf8 = frame.client.utf8;
    let reply = match frame.reply.as_ref() {
        Some(Ok(reply)) => reply,
        Some(Err(failure)) if is_answer(shape, failure) => {
            perl.leave_with(call, perl.undef());
            return Ok(1);
        }
        Some(Err(failure)) => return Err(failed(perl, held, failure)),
        None => return Err(held.raise(perl, Code::SYSTEM_ERROR.0, None, true)),
    };
    let mut out = Out { perl, call, list: perl.wants_list(), count: 0 };
    if answer(&mut out, shape, reply, utf8) {
        return Ok(out.count);
    }
    Err(failed(perl, held, &unexpected()))
}

/// A reply as values; false if it is not of the kind that was asked for.
pub(crate) fn answer(out: &mut Out, shape: Shape, reply: &Reply, utf8: bool) -> bool {
    let perl = out.perl;
    match (shape, reply) {
        (Shape::Nothing, _) => {}
        (Shape::Path, Reply::Path(path) | Reply::PathStat(path, _)) => {
            out.push(perl.new_string(path, utf8).mortal(perl));
        }
        (Shape::Stat | Shape::StatOrUndef, Reply::Stat(stat)) => out.push(stat_hash(perl, stat)),
        (Shape::Data, Reply::Data(data, stat)) => {
            out.push(data_scalar(perl, data.as_deref()).mortal(perl));
            out.push_for_list(|| stat_hash(perl, stat));
        }
        (Shape::Children, Reply::Children(names) | Reply::ChildrenStat(names, _)) => {
            children(out, names, utf8);
        }
        (Shape::PathStat, Reply::PathStat(path, stat)) => {
            out.push(perl.new_string(path, utf8).mortal(perl));
            out.push_for_list(|| stat_hash(perl, stat));
        }
        (Shape::Children, Reply::Paths(paths)) => children(out, paths, utf8),
        (Shape::ChildrenStat, Reply::ChildrenStat(names, stat)) => {
            let (array, reference) = perl.new_array();
            for name in names.iter() {
                array.push(perl, perl.new_string(name, utf8));
            }
            out.push(reference);
            out.push_for_list(|| stat_hash(perl, stat));
        }
        (Shape::Count, Reply::Count(number)) => out.push(perl.new_integer((*number).into()).mortal(perl)),
        (Shape::Identities, Reply::Identities(list)) => identities(out, list, utf8),
        (Shape::Acl, Reply::Acl(acl, stat)) => {
            out.push(acl_array(perl, acl, utf8));
            out.push_for_list(|| stat_hash(perl, stat));
        }
        (Shape::Multi, Reply::Multi(results)) => {
            perl.reserve(out.call, results.len());
            for result in results {
                out.push(result_hash(perl, result, utf8));
            }
        }
        (Shape::MultiRead, Reply::MultiRead(results)) => {
            perl.reserve(out.call, results.len());
            for result in results {
                out.push(read_hash(perl, result, utf8));
            }
        }
        _ => return false,
    }
    true
}

/// The reply to `exists` of a node that isn't there is an answer, not an error.
pub(crate) fn is_answer(shape: Shape, failure: &Failure) -> bool {
    shape == Shape::StatOrUndef && failure.code == Code::NO_NODE
}

/// Of a reply that is no answer to what was asked.
pub(crate) fn unexpected() -> Failure {
    let detail = Some("the reply is not of the kind that was asked for".to_owned());
    Failure { code: Code::MARSHALLING_ERROR, maybe_applied: true, detail }
}

/// The error of a call that was answered by one.
pub(crate) fn failed(perl: Perl, held: Held, failure: &Failure) -> Thrown {
    let detail = failure.detail.as_deref();
    held.raise(perl, failure.code.0, detail, failure.maybe_applied)
}

/// Results on their way to the stack.
pub(crate) struct Out {
    perl: Perl,
    call: Call,
    /// All of them are wanted.
    list: bool,
    count: usize,
}

impl Out {
    /// All that there are.
    pub(crate) fn of_list(perl: Perl, call: Call) -> Out {
        Out { perl, call, list: true, count: 0 }
    }

    /// How many have been put there.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    fn push(&mut self, sv: Sv) {
        self.perl.reserve(self.call, self.count + 1);
        self.perl.result(self.call, self.count, sv);
        self.count += 1;
    }

    /// A second result costs only those who take it.
    fn push_for_list(&mut self, sv: impl FnOnce() -> Sv) {
        if self.list {
            self.push(sv());
        }
    }
}

fn children(out: &mut Out, names: &ByteStrings, utf8: bool) {
    let perl = out.perl;
    if !out.list {
        out.push(perl.new_integer(names.len() as i64).mortal(perl));
        return;
    }
    perl.reserve(out.call, names.len());
    for name in names.iter() {
        out.push(perl.new_string(name, utf8).mortal(perl));
    }
}

fn identities(out: &mut Out, list: &[Identity], utf8: bool) {
    let perl = out.perl;
    if !out.list {
        out.push(perl.new_integer(list.len() as i64).mortal(perl));
        return;
    }
    perl.reserve(out.call, list.len());
    for identity in list {
        let (hash, reference) = perl.new_hash(2);
        hash.store(perl, &SCHEME, perl.new_string(&identity.scheme, utf8));
        hash.store(perl, &ID, perl.new_string(&identity.user, utf8));
        out.push(reference);
    }
}

/// Null data is undef.
fn data_scalar(perl: Perl, data: Option<&[u8]>) -> Sv {
    data.map_or_else(|| perl.new_undef(), |data| perl.new_bytes(data))
}

fn stat_hash(perl: Perl, stat: &Stat) -> Sv {
    let (hash, reference) = perl.new_hash(STAT_KEYS.len());
    let values = [
        stat.czxid,
        stat.mzxid,
        stat.ctime,
        stat.mtime,
        stat.version.into(),
        stat.cversion.into(),
        stat.aversion.into(),
        stat.ephemeral_owner,
        stat.data_length.into(),
        stat.num_children.into(),
        stat.pzxid,
    ];
    for (key, value) in STAT_KEYS.iter().zip(values) {
        hash.store(perl, key, perl.new_integer(value));
    }
    reference
}

fn acl_array(perl: Perl, acl: &[Acl], utf8: bool) -> Sv {
    let (array, reference) = perl.new_array();
    for entry in acl {
        let (hash, element) = perl.new_hash(3);
        array.push(perl, element.retain());
        hash.store(perl, &ID, perl.new_string(&entry.id, utf8));
        hash.store(perl, &SCHEME, perl.new_string(&entry.scheme, utf8));
        hash.store(perl, &PERMS, perl.new_integer(entry.perms.into()));
    }
    reference
}

/// The text of an error's code is Perl's to add: it has the table.
fn result_hash(perl: Perl, result: &OpResult, utf8: bool) -> Sv {
    let (hash, reference) = perl.new_hash(3);
    let kind = match result {
        OpResult::Create(path, stat) => {
            hash.store(perl, &PATH, perl.new_string(path, utf8));
            if let Some(stat) = stat {
                hash.store(perl, &STAT, stat_hash(perl, stat).retain());
            }
            "create"
        }
        OpResult::Delete => "delete",
        OpResult::SetData(stat) => {
            hash.store(perl, &STAT, stat_hash(perl, stat).retain());
            "set"
        }
        OpResult::Check => "check",
        OpResult::Error(code) => {
            hash.store(perl, &CODE, perl.new_integer(code.0.into()));
            "error"
        }
    };
    hash.store(perl, &TYPE, perl.new_text(kind));
    reference
}

fn read_hash(perl: Perl, result: &ReadResult, utf8: bool) -> Sv {
    let (hash, reference) = perl.new_hash(3);
    let kind = match result {
        ReadResult::Data(data, stat) => {
            hash.store(perl, &VALUE, data_scalar(perl, data.as_deref()));
            hash.store(perl, &STAT, stat_hash(perl, stat).retain());
            "get"
        }
        ReadResult::Children(names) => {
            let (array, list) = perl.new_array();
            for name in names.iter() {
                array.push(perl, perl.new_string(name, utf8));
            }
            hash.store(perl, &CHILDREN, list.retain());
            "get_children"
        }
        ReadResult::Error(code) => {
            hash.store(perl, &CODE, perl.new_integer(code.0.into()));
            "error"
        }
    };
    hash.store(perl, &TYPE, perl.new_text(kind));
    reference
}

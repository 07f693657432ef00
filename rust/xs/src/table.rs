//! The commands: one row each, and one trampoline for all of them.
//!
//! A row says what Perl calls it, what its arguments are, which request they make and what the
//! reply becomes. To add a command, add a row here (and one in lib/ZooKeeper/Commands.pm).

use crate::args::{Operands, Reader};
use crate::blocking::Held;
use crate::boot::define;
use crate::guard::caught;
use crate::handle::Client;
use crate::logging;
use crate::perl::{callback, Call, Perl};
use crate::results::{self, Shape};
use crate::thrown::Thrown;
use crate::wish::Wish;
use libperl_sys as sys;
use std::ffi::CStr;
use zk_proto::op::{AddWatchMode, Create, MultiOp, ReadOp, Request};
use zk_proto::record::Acl;

/// What stands at one position of the argument list, after the handle.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arg {
    /// The path of a node.
    Path,
    /// Bytes, or undef for null data.
    Data,
    /// An array ref of hash refs.
    Acl,
    /// The kind of node, in the C client's numbers.
    Flags,
    /// An expected version; not given or undef is -1, any.
    Version,
    /// An expected version that has to be given: a check of any version checks nothing.
    ExactVersion,
    /// The number of a watcher, or undef.
    Watcher,
    /// How long a node lives without being touched, in milliseconds, or undef; behind the flags.
    Ttl,
    /// The beginning of paths.
    Prefix,
    /// Servers that a reconfiguration adds, or undef.
    Joining,
    /// Servers that it takes out, or undef.
    Leaving,
    /// All servers instead, or undef.
    Members,
    /// An expected version of the configuration; undef is any.
    ConfigVersion,
    /// Which watches: a word, undef for any.
    WatcherType,
    /// True or false.
    Switch,
    /// The operations of a transaction.
    Operations,
    /// Those of a multi_read.
    Reads,
}

/// Arguments as the request builders see them.
#[derive(Clone, Copy)]
pub(crate) struct Values<'a> {
    /// What was read.
    pub(crate) given: Operands,
    /// `given.acl` of the frame.
    pub(crate) acl: &'a [Acl],
    /// The operations of a transaction.
    pub(crate) operations: &'a [MultiOp<'a>],
    /// The operations of a multi_read.
    pub(crate) reads: &'a [ReadOp<'a>],
}

impl<'a> Values<'a> {
    const NONE: Values<'static> = Values { given: Operands::NONE, acl: &[], operations: &[], reads: &[] };

    fn path(&self) -> &'a [u8] {
        // SAFETY: the scalar is stable until the request is encoded (see `args`).
        unsafe { self.given.path.bytes() }
    }

    fn data(&self) -> Option<&'a [u8]> {
        // SAFETY: as for the path.
        self.given.data.map(|data| unsafe { data.bytes() })
    }

    fn watch(&self) -> bool {
        self.given.watcher.is_some()
    }

    fn servers(&self, index: usize) -> Option<&'a [u8]> {
        // SAFETY: as for the path.
        self.given.servers.get(index).copied().flatten().map(|servers| unsafe { servers.bytes() })
    }

    fn watch_mode(&self) -> AddWatchMode {
        if self.given.switch {
            AddWatchMode::PersistentRecursive
        } else {
            AddWatchMode::Persistent
        }
    }

    fn create(&self, with_stat: bool) -> Create<'a> {
        Create { path: self.path(), data: self.data(), acl: self.acl, mode: self.given.mode, with_stat }
    }
}

/// A command of the handle.
pub(crate) struct Command {
    /// The XSUB.
    sub: &'static CStr,
    /// The method's name, in errors.
    op: &'static str,
    /// Its arguments after the handle.
    args: &'static [Arg],
    /// The request.
    request: for<'a> fn(&Values<'a>) -> Request<'a>,
    /// What becomes of the reply.
    shape: Shape,
}

/// Of all kinds of create.
const CREATE: &[Arg] = &[Arg::Path, Arg::Data, Arg::Acl, Arg::Flags, Arg::Ttl];

static COMMANDS: &[Command] = &[
    Command {
        sub: c"ZooKeeper::_create",
        op: "create",
        args: CREATE,
        request: |v| Request::Create(v.create(false)),
        shape: Shape::Path,
    },
    Command {
        sub: c"ZooKeeper::_create2",
        op: "create2",
        args: CREATE,
        request: |v| Request::Create(v.create(true)),
        shape: Shape::PathStat,
    },
    Command {
        sub: c"ZooKeeper::_delete",
        op: "delete",
        args: &[Arg::Path, Arg::Version],
        request: |v| Request::Delete { path: v.path(), version: v.given.version },
        shape: Shape::Nothing,
    },
    Command {
        sub: c"ZooKeeper::_exists",
        op: "exists",
        args: &[Arg::Path, Arg::Watcher],
        request: |v| Request::Exists { path: v.path(), watch: v.watch() },
        shape: Shape::StatOrUndef,
    },
    Command {
        sub: c"ZooKeeper::_get",
        op: "get",
        args: &[Arg::Path, Arg::Watcher],
        request: |v| Request::GetData { path: v.path(), watch: v.watch() },
        shape: Shape::Data,
    },
    Command {
        sub: c"ZooKeeper::_set",
        op: "set",
        args: &[Arg::Path, Arg::Data, Arg::Version],
        request: |v| Request::SetData { path: v.path(), data: v.data(), version: v.given.version },
        shape: Shape::Stat,
    },
    Command {
        sub: c"ZooKeeper::_get_children",
        op: "get_children",
        args: &[Arg::Path, Arg::Watcher],
        request: |v| Request::GetChildren { path: v.path(), watch: v.watch() },
        shape: Shape::Children,
    },
    Command {
        sub: c"ZooKeeper::_get_acl",
        op: "get_acl",
        args: &[Arg::Path],
        request: |v| Request::GetAcl { path: v.path() },
        shape: Shape::Acl,
    },
    Command {
        sub: c"ZooKeeper::_set_acl",
        op: "set_acl",
        args: &[Arg::Path, Arg::Acl, Arg::Version],
        request: |v| Request::SetAcl { path: v.path(), acl: v.acl, version: v.given.version },
        shape: Shape::Nothing,
    },
    Command {
        sub: c"ZooKeeper::_get_children2",
        op: "get_children2",
        args: &[Arg::Path, Arg::Watcher],
        request: |v| Request::GetChildren2 { path: v.path(), watch: v.watch() },
        shape: Shape::ChildrenStat,
    },
    Command {
        sub: c"ZooKeeper::_sync",
        op: "sync",
        args: &[Arg::Path],
        request: |v| Request::Sync { path: v.path() },
        shape: Shape::Path,
    },
    Command {
        sub: c"ZooKeeper::_get_config",
        op: "get_config",
        args: &[Arg::Watcher],
        request: |v| Request::GetConfig { watch: v.watch() },
        shape: Shape::Data,
    },
    Command {
        sub: c"ZooKeeper::_reconfig",
        op: "reconfig",
        args: &[Arg::Joining, Arg::Leaving, Arg::Members, Arg::ConfigVersion],
        request: |v| Request::Reconfig {
            joining: v.servers(0),
            leaving: v.servers(1),
            members: v.servers(2),
            config_version: v.given.config_version,
        },
        shape: Shape::Data,
    },
    Command {
        sub: c"ZooKeeper::_add_watch",
        op: "add_watch",
        args: &[Arg::Path, Arg::Watcher, Arg::Switch],
        request: |v| Request::AddWatch { path: v.path(), mode: v.watch_mode() },
        shape: Shape::Nothing,
    },
    Command {
        sub: c"ZooKeeper::_remove_watches",
        op: "remove_watches",
        args: &[Arg::Path, Arg::WatcherType, Arg::Watcher, Arg::Switch],
        request: |v| Request::RemoveWatches { path: v.path(), kind: v.given.kind, local: v.given.switch },
        shape: Shape::Nothing,
    },
    Command {
        sub: c"ZooKeeper::_whoami",
        op: "whoami",
        args: &[],
        request: |_| Request::WhoAmI,
        shape: Shape::Identities,
    },
    Command {
        sub: c"ZooKeeper::_get_ephemerals",
        op: "get_ephemerals",
        args: &[Arg::Prefix],
        request: |v| Request::GetEphemerals { prefix: v.path() },
        shape: Shape::Children,
    },
    Command {
        sub: c"ZooKeeper::_get_all_children_number",
        op: "get_all_children_number",
        args: &[Arg::Path],
        request: |v| Request::GetAllChildrenNumber { path: v.path() },
        shape: Shape::Count,
    },
    Command {
        sub: c"ZooKeeper::_multi",
        op: "commit",
        args: &[Arg::Operations],
        request: |v| Request::Multi(v.operations),
        shape: Shape::Multi,
    },
    Command {
        sub: c"ZooKeeper::_multi_read",
        op: "multi_read",
        args: &[Arg::Reads],
        request: |v| Request::MultiRead(v.reads),
        shape: Shape::MultiRead,
    },
];

/// An operation of a transaction or a multi_read: an array ref that begins with `name`.
pub(crate) struct Operation {
    /// What it is called, in the array and in errors.
    pub(crate) name: &'static str,
    /// The rest of the array.
    pub(crate) args: &'static [Arg],
    /// The record.
    pub(crate) build: Build,
}

/// Makes a record of arguments.
#[derive(Clone, Copy)]
pub(crate) enum Build {
    /// Of a transaction.
    Write(for<'a> fn(&Values<'a>) -> MultiOp<'a>),
    /// Of a multi_read.
    Read(for<'a> fn(&Values<'a>) -> ReadOp<'a>),
}

/// What a transaction can hold.
pub(crate) static OPERATIONS: &[Operation] = &[
    Operation { name: "create", args: CREATE, build: Build::Write(|v| MultiOp::Create(v.create(false))) },
    Operation { name: "create2", args: CREATE, build: Build::Write(|v| MultiOp::Create(v.create(true))) },
    Operation {
        name: "delete",
        args: &[Arg::Path, Arg::Version],
        build: Build::Write(|v| MultiOp::Delete { path: v.path(), version: v.given.version }),
    },
    Operation {
        name: "set",
        args: &[Arg::Path, Arg::Data, Arg::Version],
        build: Build::Write(|v| MultiOp::SetData {
            path: v.path(),
            data: v.data(),
            version: v.given.version,
        }),
    },
    Operation {
        name: "check",
        args: &[Arg::Path, Arg::ExactVersion],
        build: Build::Write(|v| MultiOp::Check { path: v.path(), version: v.given.version }),
    },
];

/// What a multi_read can hold.
pub(crate) static READS: &[Operation] = &[
    Operation { name: "get", args: &[Arg::Path], build: Build::Read(|v| ReadOp::GetData { path: v.path() }) },
    Operation {
        name: "get_children",
        args: &[Arg::Path],
        build: Build::Read(|v| ReadOp::GetChildren { path: v.path() }),
    },
];

/// At boot: one sub for each row, all of the same function, told apart by `XSANY`.
pub(crate) fn define_commands(perl: Perl) {
    for (index, command) in COMMANDS.iter().enumerate() {
        let cv = define(perl, command.sub, Some(trampoline));
        // SAFETY: an XSUB that was just made; its XSANY is for us.
        unsafe {
            let body = (*cv.cast::<sys::SV>()).sv_any.cast::<sys::xpvcv>();
            (*body).xcv_start_u.xcv_xsubany.any_iv = index as sys::IV;
        }
    }
}

callback! {
    /// Every command. What can throw is done when it throws, and this frame holds `Copy` values only.
    fn trampoline(perl, cv: *mut sys::CV) {
        let call = perl.enter();
        // SAFETY: perl passes the CV it calls; define_commands stored the index.
        let index = unsafe {
            let body = (*cv.cast::<sys::SV>()).sv_any.cast::<sys::xpvcv>();
            (*body).xcv_start_u.xcv_xsubany.any_iv
        };
        match COMMANDS.get(index as usize) {
            None => Thrown::croak(perl, "ZooKeeper: unknown command").throw(perl),
            Some(command) => match run(perl, call, command) {
                Ok(results) => perl.leave(call, results),
                Err(thrown) => thrown.throw(perl),
            },
        }
    }
}

/// From arguments to results on the stack; how many, or what to throw. Everything that has a
/// destructor is in the frame, which the savestack owns.
///
/// Behind the arguments of the row stand those that all commands have: how many seconds it may take, a
/// callback (then nobody waits, and the answer is for it), what the callback is given first, and who traces the call.
fn run(perl: Perl, call: Call, command: &'static Command) -> Result<usize, Thrown> {
    let client =
        Client::of(perl, call, command.op).map_err(|thrown| about_path(perl, call, command, thrown))?;
    let held = Held::open(perl, client, command.op);
    let more = 1 + command.args.len();
    let outcome = match Wish::read(perl, call, more, held) {
        Err(thrown) => Err(about_path(perl, call, command, thrown)),
        Ok(wish) => ask(perl, call, command, held, wish).and_then(|()| {
            wish.begun(perl, held)?;
            if wish.callback.is_some() {
                return Ok(0);
            }
            held.wait(perl)?;
            wish.answered(perl, held);
            logging::after_call(perl, held);
            results::give(perl, call, command.shape, held)
        }),
    };
    held.close(perl);
    outcome
}

/// What is thrown before the arguments are read names the path all the same.
fn about_path(perl: Perl, call: Call, command: &'static Command, thrown: Thrown) -> Thrown {
    match command.args.first() {
        Some(Arg::Path | Arg::Prefix) => thrown.about(perl, perl.argument(call, 1)),
        _ => thrown,
    }
}

fn ask(perl: Perl, call: Call, command: &'static Command, held: Held, wish: Wish) -> Result<(), Thrown> {
    let given = Reader::new(perl, call, held, command.op).arguments(command.args)?;
    held.block_signals();
    match caught(|| submit(held, command, given, wish)) {
        Err(panicked) => Err(Thrown::panic(perl, panicked)),
        Ok(()) if wish.callback.is_some() => held.if_refused(perl),
        Ok(()) => Ok(()),
    }
}

/// Pure Rust. A refusal becomes the reply, so that errors have one way out.
fn submit(held: Held, command: &'static Command, given: Operands, wish: Wish) {
    let frame = held.frame();
    let buffers = &frame.buffers;
    let values = |given: Operands| Values { given, acl: given.acl.of(&buffers.acls), ..Values::NONE };
    let (mut operations, mut reads) = (Vec::new(), Vec::new());
    for (operation, given) in &buffers.operations {
        match operation.build {
            Build::Write(build) => operations.push(build(&values(*given))),
            Build::Read(build) => reads.push(build(&values(*given))),
        }
    }
    let request = (command.request)(&Values { operations: &operations, reads: &reads, ..values(given) });
    let (client, watcher, within) = (&frame.client, given.watcher, wish.within);
    let is_traced = wish.span.is_some();
    let mut traced = None;
    let outcome = match wish.callback {
        Some(callback) => {
            let posted = callback.posted(client, buffers, command.op, command.shape, is_traced);
            let post = |id| {
                if !is_traced {
                    return client.handle().post(&request, id, watcher, within);
                }
                let (is_held_back, sent) = client.handle().post_traced(&request, id, watcher, within)?;
                traced = Some((sent, None));
                Ok(is_held_back)
            };
            client.post(posted, post).map(|()| None)
        }
        None if is_traced => {
            client.handle().submit_traced(&request, watcher, within).map(|(ticket, sent)| {
                traced = Some((sent, Some(ticket)));
                Some(ticket)
            })
        }
        None => client.handle().submit(&request, watcher, within).map(Some),
    };
    frame.traced = traced;
    match outcome {
        Ok(ticket) => frame.ticket = ticket,
        Err(failure) => frame.reply = Some(Err(failure)),
    }
}

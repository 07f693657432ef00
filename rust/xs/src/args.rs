//! Reading arguments.
//!
//! Two passes, because a scalar may run Perl code when it is read (tied, overloaded), and that code
//! may change or free any other argument: first every argument is settled, that is, replaced by one
//! that runs nothing when read; then pointers to the bytes are taken, and nothing of Perl runs any
//! more until the request is encoded. Plain scalars, the usual case, are not copied at all.

use crate::acl::AclRange;
use crate::blocking::Held;
use crate::perl::{Call, Kind, Perl, Sv};
use crate::reconfig;
use crate::table::{Arg, OPERATIONS, READS};
use crate::thrown::{Raise, Thrown};
use crate::values::{self, Raw};
use std::fmt;
use zk_proto::op::{CreateMode, WatcherType};
use zk_proto::{path, Code};

/// No command has more arguments after the handle.
const MOST: usize = 5;
/// The longest time to live, in milliseconds. Source: `EphemeralType.TTL` of Apache ZooKeeper.
const LONGEST_TTL: i64 = 0xFF_FFFF_FFFF;

/// The values of the arguments of a command, or of an operation in a transaction.
#[derive(Clone, Copy)]
pub(crate) struct Operands {
    /// Validated.
    pub(crate) path: Raw,
    /// `None` is null data.
    pub(crate) data: Option<Raw>,
    /// Where in the frame the access list is.
    pub(crate) acl: AclRange,
    /// Kind of node.
    pub(crate) mode: CreateMode,
    /// Expected version.
    pub(crate) version: i32,
    /// Who is told of the watch.
    pub(crate) watcher: Option<u64>,
    /// In milliseconds.
    ttl: Option<i64>,
    /// Of a reconfiguration: servers that join, that leave, or all.
    pub(crate) servers: [Option<Raw>; 3],
    /// The expected version of the configuration.
    pub(crate) config_version: i64,
    /// Which watches to take off.
    pub(crate) kind: WatcherType,
    /// A switch of the command.
    pub(crate) switch: bool,
}

impl Operands {
    /// Before anything is read.
    pub(crate) const NONE: Operands = Operands {
        path: Raw::EMPTY,
        data: None,
        acl: AclRange::NONE,
        mode: CreateMode::Persistent,
        version: -1,
        watcher: None,
        ttl: None,
        servers: [None; 3],
        config_version: -1,
        kind: WatcherType::Any,
        switch: false,
    };
}

/// Arguments after the first pass.
#[derive(Clone, Copy)]
pub(crate) struct Settled {
    scalars: [Sv; MOST],
    acl: AclRange,
}

/// Which call, and which operation of it, an error is about.
#[derive(Clone, Copy)]
pub(crate) struct Label {
    op: &'static str,
    operation: Option<(usize, &'static str)>,
}

impl Label {
    /// What precedes the words about an argument in a ZooKeeper::Error.
    fn detail(self, words: impl fmt::Display) -> String {
        match self.operation {
            None => words.to_string(),
            Some((index, name)) => format!("operation {} ({name}): {words}", index + 1),
        }
    }
}

/// True when reading the scalar may run Perl code.
fn is_active(sv: Sv) -> bool {
    sv.has_get_magic() || sv.is_reference()
}

/// A scalar that runs nothing when it is read: the same one, or a mortal copy of its value. May
/// run Perl code and die. See [`protect`].
pub(crate) fn settled(perl: Perl, sv: Sv) -> Sv {
    if !is_active(sv) {
        return sv;
    }
    let sv = sv.retain().mortal(perl);
    sv.get_magic(perl);
    let copy = sv.copy(perl);
    if copy.overloads_string(perl) {
        copy.stringified(perl)
    } else {
        copy
    }
}

/// Argument `index` of a call, settled.
pub(crate) fn argument(perl: Perl, call: Call, index: usize) -> Sv {
    let sv = perl.argument(call, index);
    if is_active(sv) {
        protect(perl, call);
    }
    settled(perl, sv)
}

/// Keeps the arguments of a call alive until its statement ends. For when Perl code is about to
/// run: it may free them (`undef @array` of what was passed), and the stack owns nothing.
pub(crate) fn protect(perl: Perl, call: Call) {
    for index in 0..call.items {
        perl.argument(call, index).retain().mortal(perl);
    }
}

/// Reads the arguments of one call.
pub(crate) struct Reader {
    pub(crate) perl: Perl,
    pub(crate) call: Call,
    pub(crate) held: Held,
    label: Label,
    pub(crate) utf8: bool,
    /// The path that an error names: settled, or undef as long as it wasn't met.
    path: Sv,
    protected: bool,
}

impl Reader {
    /// For the call that `held` is about.
    pub(crate) fn new(perl: Perl, call: Call, held: Held, op: &'static str) -> Reader {
        Reader {
            perl,
            call,
            held,
            label: Label { op, operation: None },
            utf8: held.frame().client.utf8,
            path: perl.undef(),
            protected: false,
        }
    }

    /// From here on errors are about this operation of a transaction.
    pub(crate) fn about(&mut self, operation: Option<(usize, &'static str)>) {
        self.label.operation = operation;
        self.path = self.perl.undef();
    }

    /// Reads what the command wants. May run Perl code and die in the first pass.
    pub(crate) fn arguments(&mut self, args: &'static [Arg]) -> Result<Operands, Thrown> {
        match args {
            [Arg::Operations] => return self.operations(OPERATIONS),
            [Arg::Reads] => return self.operations(READS),
            _ => {}
        }
        let (perl, call) = (self.perl, self.call);
        let settled = self.settle_all(args, |index| perl.argument(call, 1 + index))?;
        self.read(args, settled, true)
    }

    /// First pass over one list of arguments.
    pub(crate) fn settle_all(
        &mut self,
        args: &'static [Arg],
        get: impl Fn(usize) -> Sv,
    ) -> Result<Settled, Thrown> {
        let mut settled = Settled { scalars: [self.perl.undef(); MOST], acl: AclRange::NONE };
        for (index, (arg, slot)) in args.iter().zip(&mut settled.scalars).enumerate() {
            if *arg == Arg::Acl {
                settled.acl = self.acl(get(index))?;
            } else {
                *slot = self.settle(get(index));
            }
            if *arg == Arg::Switch {
                *slot = self.perl.boolean(slot.is_true(self.perl)); // which runs what an object overloads
            }
            if matches!(arg, Arg::Path | Arg::Prefix) {
                self.path = *slot;
            }
        }
        Ok(settled)
    }

    /// A scalar that runs nothing when it is read: the same one, or a mortal copy of its value.
    pub(crate) fn settle(&mut self, sv: Sv) -> Sv {
        if is_active(sv) {
            self.protect();
        }
        settled(self.perl, sv)
    }

    /// What a scalar refers to, kept alive.
    pub(crate) fn settle_reference(&mut self, sv: Sv) -> Kind {
        let perl = self.perl;
        let sv = if sv.has_get_magic() {
            self.protect();
            let sv = sv.retain().mortal(perl);
            sv.get_magic(perl);
            sv
        } else {
            sv
        };
        if let Some(referent) = sv.referent() {
            referent.retain().mortal(perl);
        }
        sv.kind()
    }

    fn protect(&mut self) {
        if !std::mem::replace(&mut self.protected, true) {
            protect(self.perl, self.call);
        }
    }

    /// Second pass: no Perl code runs from here on.
    pub(crate) fn read(
        &mut self,
        args: &'static [Arg],
        settled: Settled,
        only: bool,
    ) -> Result<Operands, Thrown> {
        let mut given = Operands { acl: settled.acl, ..Operands::NONE };
        for (arg, sv) in args.iter().zip(settled.scalars) {
            match arg {
                Arg::Path => {
                    self.path = sv;
                    given.path = self.text(sv, only)?;
                }
                Arg::Data => given.data = self.data(sv)?,
                Arg::Flags => given.mode = self.mode(sv)?,
                Arg::Version | Arg::ExactVersion if sv.is_defined() => {
                    given.version = self.int32("version", sv)?;
                }
                Arg::ExactVersion => return Err(self.bad("version is undefined")),
                Arg::Watcher => given.watcher = self.watcher(sv)?,
                Arg::Ttl => given.ttl = self.ttl(sv)?,
                Arg::Prefix => {
                    self.path = sv;
                    given.path = self.prefix(sv)?;
                }
                Arg::Joining => given.servers[0] = self.servers("joining", sv)?,
                Arg::Leaving => given.servers[1] = self.servers("leaving", sv)?,
                Arg::Members => given.servers[2] = self.servers("members", sv)?,
                Arg::ConfigVersion if sv.is_defined() => given.config_version = self.config_version(sv)?,
                Arg::WatcherType => given.kind = self.watcher_type(sv)?,
                Arg::Switch => given.switch = sv.is_true(self.perl),
                Arg::Version | Arg::ConfigVersion | Arg::Acl | Arg::Operations | Arg::Reads => {}
            }
        }
        if let Some(ttl) = given.ttl {
            given.mode = match given.mode {
                CreateMode::Persistent => CreateMode::PersistentWithTtl(ttl),
                CreateMode::PersistentSequential => CreateMode::PersistentSequentialWithTtl(ttl),
                _ => return Err(self.bad("ttl goes with neither ephemeral nor container")),
            };
        }
        if args.first() == Some(&Arg::Joining) {
            // SAFETY: nothing has run since the pointers were taken.
            let [joining, leaving, members] = given.servers.map(|raw| raw.map(|raw| unsafe { raw.bytes() }));
            if let Some(words) = reconfig::refusal(joining, leaving, members) {
                return Err(self.bad(words));
            }
        }
        if args.first() != Some(&Arg::Path) {
            return Ok(given);
        }
        let sequential = matches!(
            given.mode,
            CreateMode::PersistentSequential
                | CreateMode::EphemeralSequential
                | CreateMode::PersistentSequentialWithTtl(_)
        );
        // SAFETY: nothing has run since the pointer was taken.
        path::validate(unsafe { given.path.bytes() }, sequential).map_err(|error| self.bad(error))?;
        Ok(given)
    }

    fn text(&self, sv: Sv, only: bool) -> Result<Raw, Thrown> {
        if sv.is_reference() {
            return Err(self.croak("path must be a string, not a reference"));
        }
        if !sv.is_defined() {
            return Err(self.bad("path is undefined"));
        }
        let (raw, is_text) = values::text(self.perl, sv, self.utf8);
        if only {
            // SAFETY: just taken.
            self.held.buffers().note_path(unsafe { raw.bytes() }, is_text);
        }
        Ok(raw)
    }

    fn data(&self, sv: Sv) -> Result<Option<Raw>, Thrown> {
        if sv.is_reference() {
            return Err(self.croak("value must be a string, not a reference"));
        }
        if !sv.is_defined() {
            return Ok(None);
        }
        match values::bytes(self.perl, sv) {
            Some(raw) => Ok(Some(raw)),
            None => Err(self.croak("value contains characters above 255; encode it first")),
        }
    }

    fn mode(&self, sv: Sv) -> Result<CreateMode, Thrown> {
        if !sv.is_defined() {
            return Ok(CreateMode::Persistent);
        }
        Ok(match self.int32("flags", sv)? {
            0 => CreateMode::Persistent,
            1 => CreateMode::Ephemeral,
            2 => CreateMode::PersistentSequential,
            3 => CreateMode::EphemeralSequential,
            4 => CreateMode::Container,
            5..=7 => return Err(self.bad("container goes with neither ephemeral nor sequential")),
            flags => return Err(self.bad(format_args!("flags {flags} are not known"))),
        })
    }

    fn ttl(&self, sv: Sv) -> Result<Option<i64>, Thrown> {
        if !sv.is_defined() {
            return Ok(None);
        }
        match values::integer(sv) {
            Some(ms) if (1..=LONGEST_TTL.into()).contains(&ms) => Ok(i64::try_from(ms).ok()),
            _ => Err(self.bad(format_args!(
                "ttl '{}' is no whole number of milliseconds from 1 to {LONGEST_TTL}",
                values::shown(self.perl, sv)
            ))),
        }
    }

    /// The beginning of a path: it may end with a slash, or in the middle of a name. Without one: of all.
    fn prefix(&self, sv: Sv) -> Result<Raw, Thrown> {
        if !sv.is_defined() {
            return Ok(Raw::ROOT);
        }
        let raw = self.text(sv, true)?;
        // SAFETY: just taken.
        match unsafe { raw.bytes() } {
            [b'/', rest @ ..] if !rest.contains(&0) => Ok(raw),
            _ => Err(self.bad("the prefix does not start with /, or has a NUL in it")),
        }
    }

    /// Servers in the form of the configuration file.
    fn servers(&self, name: &str, sv: Sv) -> Result<Option<Raw>, Thrown> {
        if sv.is_reference() {
            return Err(self.croak(format_args!("{name} must be a string or an array ref of strings")));
        }
        Ok(sv.is_defined().then(|| values::text(self.perl, sv, self.utf8).0))
    }

    fn config_version(&self, sv: Sv) -> Result<i64, Thrown> {
        let number = values::integer(sv).and_then(|number| i64::try_from(number).ok());
        number.ok_or_else(|| {
            self.bad(format_args!("version '{}' is not an integer", values::shown(self.perl, sv)))
        })
    }

    fn watcher_type(&self, sv: Sv) -> Result<WatcherType, Thrown> {
        if !sv.is_defined() {
            return Ok(WatcherType::Any);
        }
        let word = if sv.has_string() { sv } else { sv.stringified(self.perl) };
        Ok(match word.stored_bytes() {
            b"any" => WatcherType::Any,
            b"data" => WatcherType::Data,
            b"children" => WatcherType::Children,
            b"persistent" => WatcherType::Persistent,
            b"persistent_recursive" => WatcherType::PersistentRecursive,
            _ => {
                return Err(self.bad(format_args!(
                    "type '{}' is none of any, data, children, persistent, persistent_recursive",
                    values::shown(self.perl, sv)
                )))
            }
        })
    }

    fn watcher(&self, sv: Sv) -> Result<Option<u64>, Thrown> {
        values::watcher(self.perl, sv).map_err(|words| self.bad(words))
    }

    /// A number of 32 bits.
    pub(crate) fn int32(&self, name: &str, sv: Sv) -> Result<i32, Thrown> {
        values::int32(self.perl, name, sv).map_err(|words| self.bad(words))
    }

    /// Wrong Perl types.
    pub(crate) fn croak(&self, words: impl fmt::Display) -> Thrown {
        let op = self.label.op;
        Thrown::croak(self.perl, &format!("{op}: {}", self.label.detail(words)))
    }

    /// A value that no server would take.
    fn bad(&self, words: impl fmt::Display) -> Thrown {
        self.refused(Code::BAD_ARGUMENTS, words)
    }

    /// A ZooKeeper::Error about an argument.
    pub(crate) fn refused(&self, code: Code, words: impl fmt::Display) -> Thrown {
        let detail = self.label.detail(words);
        Thrown::Raise(Raise {
            op: self.label.op,
            about: self.held.frame().client.about(),
            path: if self.path.is_defined() { self.path.copy(self.perl) } else { self.path },
            code: code.0,
            detail: self.perl.new_text(&detail).mortal(self.perl),
            maybe_applied: false,
        })
    }
}

//! Transactions, and reads in one round trip.

use super::{ByteStrings, Create};
use crate::chroot::Chroot;
use crate::record::{MultiHeader, Stat};
use crate::wire::{put_bool, put_buffer, put_int, put_string, DecodeError, Reader};
use crate::{opcode, Code};
use bytes::Bytes;

/// One operation of a transaction.
#[derive(Clone, Copy, Debug)]
pub enum MultiOp<'a> {
    /// create, create2, createContainer or createTTL, by mode.
    Create(Create<'a>),
    /// delete
    Delete {
        /// Path of the node.
        path: &'a [u8],
        /// Expected version, -1 for any.
        version: i32,
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
    /// check
    Check {
        /// Path of the node.
        path: &'a [u8],
        /// Expected version, -1 for any.
        version: i32,
    },
}

impl MultiOp<'_> {
    /// The operation's number.
    pub fn opcode(&self) -> i32 {
        match self {
            MultiOp::Create(create) => create.opcode(),
            MultiOp::Delete { .. } => opcode::DELETE,
            MultiOp::SetData { .. } => opcode::SET_DATA,
            MultiOp::Check { .. } => opcode::CHECK,
        }
    }

    /// The type that its result has, unless it is an error.
    pub(super) fn result_type(&self) -> i32 {
        match self {
            MultiOp::Create(create) => create.result_type(),
            _ => self.opcode(),
        }
    }

    fn encode(&self, chroot: &Chroot, out: &mut Vec<u8>) {
        match *self {
            MultiOp::Create(create) => create.encode(chroot, out),
            MultiOp::Delete { path, version } | MultiOp::Check { path, version } => {
                chroot.put(path, out);
                put_int(out, version);
            }
            MultiOp::SetData { path, data, version } => {
                chroot.put(path, out);
                put_buffer(out, data);
                put_int(out, version);
            }
        }
    }
}

/// One operation of a multiRead. They leave no watches.
#[derive(Clone, Copy, Debug)]
pub enum ReadOp<'a> {
    /// getData
    GetData {
        /// Path of the node.
        path: &'a [u8],
    },
    /// getChildren
    GetChildren {
        /// Path of the parent.
        path: &'a [u8],
    },
}

impl ReadOp<'_> {
    /// The operation's number, and the type that its result has, unless it is an error.
    pub fn opcode(&self) -> i32 {
        match self {
            ReadOp::GetData { .. } => opcode::GET_DATA,
            ReadOp::GetChildren { .. } => opcode::GET_CHILDREN,
        }
    }

    fn encode(&self, chroot: &Chroot, out: &mut Vec<u8>) {
        match *self {
            ReadOp::GetData { path } | ReadOp::GetChildren { path } => {
                chroot.put(path, out);
                put_bool(out, false); // servers refuse watches here
            }
        }
    }
}

pub(super) fn encode_ops(ops: &[MultiOp<'_>], chroot: &Chroot, out: &mut Vec<u8>) {
    for op in ops {
        MultiHeader::request(op.opcode()).encode(out);
        op.encode(chroot, out);
    }
    MultiHeader::END.encode(out);
}

pub(super) fn encode_reads(ops: &[ReadOp<'_>], chroot: &Chroot, out: &mut Vec<u8>) {
    for op in ops {
        MultiHeader::request(op.opcode()).encode(out);
        op.encode(chroot, out);
    }
    MultiHeader::END.encode(out);
}

/// The result of one operation of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OpResult {
    /// A node was created. The stat comes with containers, TTL nodes and create2; for the latter
    /// servers of 3.8 leave it out.
    Create(Bytes, Option<Stat>),
    /// A node was deleted.
    Delete,
    /// Data was set.
    SetData(Stat),
    /// The version was as expected.
    Check,
    /// The operation failed (or was not tried: [`Code::RUNTIME_INCONSISTENCY`], or was fine but
    /// undone: [`Code::OK`]).
    Error(Code),
}

impl OpResult {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            OpResult::Create(path, stat) => {
                let opcode = stat.map_or(opcode::CREATE, |_| opcode::CREATE2);
                put_result_header(opcode, out);
                put_string(out, path);
                if let Some(stat) = stat {
                    stat.encode(out);
                }
            }
            OpResult::Delete => put_result_header(opcode::DELETE, out),
            OpResult::SetData(stat) => {
                put_result_header(opcode::SET_DATA, out);
                stat.encode(out);
            }
            OpResult::Check => put_result_header(opcode::CHECK, out),
            OpResult::Error(code) => put_error(*code, out),
        }
    }

    fn decode(opcode: i32, from: &mut Reader, chroot: &Chroot) -> Result<OpResult, DecodeError> {
        Ok(match opcode {
            opcode::CREATE => OpResult::Create(chroot.strip_or_keep(from.string("path")?), None),
            opcode::CREATE2 => {
                let path = chroot.strip_or_keep(from.string("path")?);
                OpResult::Create(path, Some(Stat::decode(from)?))
            }
            opcode::DELETE => OpResult::Delete,
            opcode::SET_DATA => OpResult::SetData(Stat::decode(from)?),
            opcode::CHECK => OpResult::Check,
            opcode::ERROR => OpResult::Error(Code(from.int("multi result err")?)),
            value => return Err(unexpected_type(value)),
        })
    }
}

/// The result of one operation of a multiRead. Each fails alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReadResult {
    /// Data (`None`: null) and stat.
    Data(Option<Bytes>, Stat),
    /// Names of children.
    Children(ByteStrings),
    /// The operation failed.
    Error(Code),
}

impl ReadResult {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            ReadResult::Data(data, stat) => {
                put_result_header(opcode::GET_DATA, out);
                put_buffer(out, data.as_deref());
                stat.encode(out);
            }
            ReadResult::Children(names) => {
                put_result_header(opcode::GET_CHILDREN, out);
                names.encode(out);
            }
            ReadResult::Error(code) => put_error(*code, out),
        }
    }

    fn decode(opcode: i32, from: &mut Reader) -> Result<ReadResult, DecodeError> {
        Ok(match opcode {
            opcode::GET_DATA => ReadResult::Data(from.buffer("data")?, Stat::decode(from)?),
            opcode::GET_CHILDREN => ReadResult::Children(from.strings("children")?),
            opcode::ERROR => ReadResult::Error(Code(from.int("multi result err")?)),
            value => return Err(unexpected_type(value)),
        })
    }
}

/// Reads the results of a transaction; `types` are those that its operations ask for.
pub(super) fn decode_results(
    types: &[i32],
    from: &mut Reader,
    chroot: &Chroot,
) -> Result<Vec<OpResult>, DecodeError> {
    decode_list(types, from, |opcode, from| OpResult::decode(opcode, from, chroot))
}

/// Reads the results of a multiRead; `types` are those that its operations ask for.
pub(super) fn decode_reads(types: &[i32], from: &mut Reader) -> Result<Vec<ReadResult>, DecodeError> {
    decode_list(types, from, ReadResult::decode)
}

/// As many results as there are types, each of its type or an error, and then the end.
fn decode_list<T>(
    types: &[i32],
    from: &mut Reader,
    read: impl Fn(i32, &mut Reader) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let room = from.left() / MultiHeader::LEN;
    let mut results = Vec::with_capacity(types.len().min(room));
    for expected in types {
        let header = MultiHeader::decode(from)?;
        if header.done {
            return Err(DecodeError::Value { what: "multi header done, with results missing", value: 1 });
        }
        match (*expected, header.opcode) {
            (_, opcode::ERROR) => {}
            // 3.8.0 turns create2 into create when it unpacks a transaction; 3.9.3 does not.
            (opcode::CREATE2, opcode::CREATE) => {}
            (expected, found) if expected == found => {}
            (_, found) => return Err(unexpected_type(found)),
        }
        results.push(read(header.opcode, from)?);
    }
    if !MultiHeader::decode(from)?.done {
        return Err(DecodeError::Value { what: "multi header done, behind the last result", value: 0 });
    }
    Ok(results)
}

fn unexpected_type(value: i32) -> DecodeError {
    DecodeError::Value { what: "multi result type", value }
}

/// Servers repeat a result's own code in its header: 0 if it is no error.
fn put_result_header(opcode: i32, out: &mut Vec<u8>) {
    let header = MultiHeader { opcode, done: false, err: 0 };
    header.encode(out);
}

fn put_error(code: Code, out: &mut Vec<u8>) {
    let header = MultiHeader { opcode: opcode::ERROR, done: false, err: code.0 };
    header.encode(out);
    put_int(out, code.0);
}

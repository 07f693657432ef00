//! The four kinds of create, alone and in transactions.

use crate::chroot::Chroot;
use crate::opcode;
use crate::record::Acl;
use crate::wire::{put_buffer, put_int, put_long};

/// What kind of node `create` makes. Source: `CreateMode` of Apache ZooKeeper.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CreateMode {
    /// Flags 0.
    Persistent,
    /// Flags 1: the node goes with its session.
    Ephemeral,
    /// Flags 2: the server appends a counter to the name.
    PersistentSequential,
    /// Flags 3.
    EphemeralSequential,
    /// Flags 4: the server removes the node some time after its last child has gone.
    Container,
    /// Flags 5, with the time to live in milliseconds, 1 to 2^40 - 1.
    PersistentWithTtl(i64),
    /// Flags 6, with the time to live in milliseconds, 1 to 2^40 - 1.
    PersistentSequentialWithTtl(i64),
}

impl CreateMode {
    /// The number of the mode on the wire.
    pub fn flags(self) -> i32 {
        match self {
            CreateMode::Persistent => 0,
            CreateMode::Ephemeral => 1,
            CreateMode::PersistentSequential => 2,
            CreateMode::EphemeralSequential => 3,
            CreateMode::Container => 4,
            CreateMode::PersistentWithTtl(_) => 5,
            CreateMode::PersistentSequentialWithTtl(_) => 6,
        }
    }

    /// Whether the server completes the name.
    pub fn is_sequential(self) -> bool {
        matches!(
            self,
            CreateMode::PersistentSequential
                | CreateMode::EphemeralSequential
                | CreateMode::PersistentSequentialWithTtl(_)
        )
    }

    fn ttl_ms(self) -> Option<i64> {
        match self {
            CreateMode::PersistentWithTtl(ttl) | CreateMode::PersistentSequentialWithTtl(ttl) => Some(ttl),
            _ => None,
        }
    }
}

/// The arguments of the four kinds of create.
#[derive(Clone, Copy, Debug)]
pub struct Create<'a> {
    /// Path as the user gave it, without the chroot.
    pub path: &'a [u8],
    /// `None` stores null data.
    pub data: Option<&'a [u8]>,
    /// Access list, at least one entry.
    pub acl: &'a [Acl],
    /// Kind of node; container and TTL modes choose their own opcodes.
    pub mode: CreateMode,
    /// Ask for the stat too (`create2`).
    pub with_stat: bool,
}

impl Create<'_> {
    /// create, create2, createContainer or createTTL.
    pub fn opcode(&self) -> i32 {
        match self.mode {
            CreateMode::Container => opcode::CREATE_CONTAINER,
            CreateMode::PersistentWithTtl(_) | CreateMode::PersistentSequentialWithTtl(_) => {
                opcode::CREATE_TTL
            }
            _ if self.with_stat => opcode::CREATE2,
            _ => opcode::CREATE,
        }
    }

    /// The type of the result in a transaction: all but plain create answer as create2 does.
    pub(super) fn result_type(&self) -> i32 {
        match self.opcode() {
            opcode::CREATE => opcode::CREATE,
            _ => opcode::CREATE2,
        }
    }

    pub(super) fn encode(&self, chroot: &Chroot, out: &mut Vec<u8>) {
        if self.mode.is_sequential() {
            chroot.put_sequential(self.path, out);
        } else {
            chroot.put(self.path, out);
        }
        put_buffer(out, self.data);
        Acl::encode_list(self.acl, out);
        put_int(out, self.mode.flags());
        if let Some(ttl) = self.mode.ttl_ms() {
            put_long(out, ttl);
        }
    }
}

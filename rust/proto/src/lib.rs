//! ZooKeeper's wire protocol and session rules as plain values.
//!
//! Nothing in this crate opens a socket, starts a thread, reads a clock or draws a random number of
//! its own: bytes, time and randomness come in as arguments, bytes and events go out by polling.

#![forbid(unsafe_code)]

pub mod chroot;
pub mod code;
pub mod connect_string;
pub mod event;
pub mod frame;
pub mod note;
pub mod op;
pub mod opcode;
pub mod path;
pub mod record;
pub mod sasl;
pub mod session;
pub mod time;
pub mod wire;
pub mod xid;

mod endpoints;
mod pending;
mod rebalance;
mod watches;

pub use code::Code;
pub use event::{EventType, KeeperState};

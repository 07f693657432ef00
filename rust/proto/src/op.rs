//! The operations that a user can ask for, and their results.
//!
//! A [`Request`] borrows everything: it is encoded at once and then forgotten. A [`Reply`] owns its
//! bytes as slices of the frame they came in.

mod create;
mod multi;
mod reply;
mod request;

pub use crate::record::Identity;
pub use crate::wire::{ByteStrings, ByteStringsIter};
pub use create::{Create, CreateMode};
pub use multi::{MultiOp, OpResult, ReadOp, ReadResult};
pub use reply::{Reply, ReplyKind};
pub use request::{AddWatchMode, Request, WatcherType};

//! The engine under the Perl layer: sockets, one IO thread, timers and wake-ups for
//! [`zk_proto::session::Session`]s.
//!
//! - [`Engine`]: one per process and fork generation, with the IO thread that all handles share.
//! - [`Handle`]: a session. A blocking call is [`Handle::submit`] and then [`Handle::step`] until it
//!   is done: the waiting caller reads and writes the session's own socket (it "leads"), so that a
//!   call makes no thread switch; the IO thread takes over when nobody waits.
//! - [`Queue`]: what is to be told to a user's event loop, with coalesced wake-ups of one fd.
//! - [`forking`]: what a fork must know of us.
//! - [`tls`]: settings for connections by TLS.
//! - [`log`]: what happens, for whoever looks for a fault.
//!
//! The crate neither blocks signals nor polls on behalf of a caller: it says what to poll for how
//! long, and the caller does it in the way that its language needs.

#![forbid(unsafe_code)]

mod backlog;
mod clock;
mod conn;
mod core;
mod engine;
pub mod forking;
mod handle;
pub mod log;
mod probe;
mod queue;
mod records;
mod resolver;
mod sasl;
mod slots;
pub mod tls;
mod traced;

pub use backlog::Counted;
pub use engine::Engine;
pub use handle::{Answer, Handle, Settings, Step, Ticket};
pub use queue::{Delivery, Notify, Queue, Sink};
pub use records::{Record, Records};
pub use zk_proto::session::{Failure, Metrics, Sent, WatchedEvent};

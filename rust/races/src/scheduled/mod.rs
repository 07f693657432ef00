//! What the client takes from the system and from other crates, over a scheduler: locks, atomics and threads are
//! shuttle's, fds and the clock those of a small system of our own ([`world`]).

pub mod forking;
pub mod server;
pub mod thread;
pub mod world;

mod channel;
mod system;

pub use shuttle::{sync, thread_local};

/// In the place of the crate of that name.
pub mod crossbeam_channel {
    pub use super::channel::{unbounded, Receiver, Sender};
}

/// In the place of the crate of that name, as far as the client uses it.
pub mod rustix {
    pub use super::system::{buffer, event, io, net};
    pub use rustix::rand;
}

/// In the place of the client's module.
pub mod clock {
    use zk_proto::time::Time;

    /// The model's clock.
    pub fn now() -> Time {
        Time::from_micros(super::world::now())
    }
}

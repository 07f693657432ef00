//! Tools for the tests of this workspace: a session with a scripted server in memory and a virtual
//! clock ([`Pair`]), and a scripted server on a real socket ([`Server`]).

#![forbid(unsafe_code)]

mod frames;
mod pair;
pub mod sasl;
mod server;
pub mod sim;

pub use frames::{event_frame, frame, handshake, reply_frame, ClientFrame};
pub use pair::{config, Pair};
pub use server::{Peer, Server};

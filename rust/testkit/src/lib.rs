//! Tools for the tests of this workspace.
//!
//! In memory, where time is a number: a session with a test that plays the server ([`Pair`]), and a whole ensemble with
//! its network and users ([`sim`]). On real sockets of 127.0.0.1: a server that is a closure ([`Server`]) or a list of
//! steps ([`script`]), and a proxy that harms the connections between a client and any server ([`proxy`]).

#![forbid(unsafe_code)]

mod frames;
mod pair;
pub mod proxy;
pub mod sasl;
pub mod script;
mod server;
pub mod sim;
mod unread;

pub use frames::{event_frame, frame, handshake, reply_frame, ClientFrame};
pub use pair::{config, Pair};
pub use proxy::Proxy;
pub use script::Script;
pub use server::{Peer, Server};

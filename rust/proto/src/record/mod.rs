//! The records of the protocol, one a file: encode and decode side by side.
//!
//! A record is its fields in order, without tags or padding. Readers don't insist that a record
//! ends where they stop: newer servers append fields. Those that travel alone encode a whole frame,
//! length included, and decode one without it. Source: `zookeeper.jute` of Apache ZooKeeper.

mod acl;
mod auth;
mod connect;
mod header;
mod identity;
mod multi_header;
mod sasl;
mod set_watches;
mod stat;
mod watcher_event;

pub use acl::Acl;
pub use auth::AuthPacket;
pub use connect::{ConnectRequest, ConnectResponse};
pub use header::{encode_ping, ReplyHeader, RequestHeader};
pub use identity::Identity;
pub use multi_header::MultiHeader;
pub use sasl::{decode_token, SaslToken};
pub use set_watches::SetWatches;
pub use stat::Stat;
pub use watcher_event::WatcherEvent;

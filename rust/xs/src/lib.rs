//! The border between Perl and the engine: everything that knows Perl, and everything that is
//! unsafe.
//!
//! An XSUB here has three phases (`blocking` has the whole story):
//! 1. read the arguments: may run Perl code and die, so only [`Copy`] values and what the savestack
//!    owns are alive;
//! 2. pure Rust inside `catch_unwind`, with signals blocked, giving a `Copy` outcome;
//! 3. give the results to Perl, or throw as the very last act.

mod acl;
mod args;
mod blocking;
mod boot;
mod channel;
mod connect;
mod engine;
mod fork;
mod guard;
mod handle;
mod life;
mod logging;
mod perl;
mod posted;
mod reconfig;
mod results;
mod sasl;
mod secure;
mod session;
mod table;
mod thrown;
mod trace;
mod transaction;
mod undisturbed;
mod values;
mod wish;

//! The tools on real sockets: that they do what they say, and that they do harm when they are asked to.

mod proxy;
mod raw;
mod script;

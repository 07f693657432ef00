//! The engine against scripted servers on real sockets.

mod blocking;
mod common;
mod forking;
mod lifetime;

//! The engine against scripted servers on real sockets.

mod blocking;
mod common;
mod forking;
mod held_back;
mod lifetime;
mod moving;
mod posted;

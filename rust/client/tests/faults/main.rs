//! The engine behind a network that fails, and with servers that do: on real sockets.

// Shared with other programs, which use other parts of it.
#[allow(dead_code)]
#[path = "../engine/common.rs"]
mod common;
mod holes;
mod keeper;
mod lost_replies;
mod pieces;
mod replay;
mod strange_servers;

use common::Client;
use std::sync::Arc;
use std::time::Duration;
use zk_client::Engine;

/// For what is to come: a test that waits for so long has failed.
const LONG: Duration = Duration::from_secs(20);

/// A handle that gives a server ten seconds for its handshake: a busy machine must not leave a script for that.
fn patient(engine: &Arc<Engine>, hosts: &str) -> Client {
    Client::with(engine, hosts, |settings| settings.session_timeout = Duration::from_secs(30))
}

/// The same with an engine of its own.
fn alone(hosts: &str) -> Client {
    patient(&Engine::start().unwrap(), hosts)
}

/// Closes the session in so many words, so that a script can come to its end.
fn close(client: &Client) {
    let closed = client.handle.close(LONG);
    client.handle.wait(closed).unwrap();
}

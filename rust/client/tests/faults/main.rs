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
use std::time::Duration;

/// For what is to come: a test that waits for so long has failed.
const LONG: Duration = Duration::from_secs(20);

/// Closes the session in so many words, so that a script can come to its end.
fn close(client: &Client) {
    let closed = client.handle.close(LONG);
    client.handle.wait(closed).unwrap();
}

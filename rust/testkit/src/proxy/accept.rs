//! Connections as they come.

use super::link::{self, Ends};
use super::state::{End, Greeting, Shared};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// Accepts until the proxy is dropped.
pub(super) fn all(listener: &TcpListener, server: &str, shared: &Arc<Shared>) {
    for client in listener.incoming().map_while(Result::ok) {
        if shared.lock().stopped {
            return;
        }
        let (server, shared) = (server.to_owned(), shared.clone());
        thread::spawn(move || take(client, &server, &shared));
    }
}

fn take(client: TcpStream, server: &str, shared: &Arc<Shared>) {
    let greeting = shared.lock().greeting;
    let backend = match greeting {
        Greeting::Relay => TcpStream::connect(server).ok(),
        _ => None,
    };
    let ends = Ends::new(client, backend);
    let number = shared.change(|state| state.open(ends.clone()));
    let end = match greeting {
        Greeting::Relay if ends.server.is_some() => return link::run(number, &ends, shared),
        Greeting::Silence => {
            let mut client = &*ends.client;
            let mut buffer = vec![0; 4096];
            while let Ok(count @ 1..) = client.read(&mut buffer) {
                shared.change(|state| state.counts.from_clients += count as u64);
            }
            End::Close
        }
        Greeting::HangUp => End::Close,
        Greeting::Relay | Greeting::Reset => End::Reset,
    };
    shared.change(|state| state.end(number, end));
}

//! A server that keeps sessions, whatever becomes of their connections, and writes down what it is asked.

use std::sync::{Arc, Mutex};
use zk_proto::record::ConnectRequest;
use zk_proto::{opcode, Code};
use zk_testkit::{handshake, ClientFrame, Peer, Server};

/// The one session that it gives.
pub(crate) const ID: i64 = 7;

/// What it was asked, over all connections.
#[derive(Default)]
pub(crate) struct Seen {
    /// Ids of the sessions in handshakes.
    pub(crate) handshakes: Vec<i64>,
    /// Requests but pings: the number of the connection, and the opcode.
    pub(crate) requests: Vec<(usize, i32)>,
}

pub(crate) struct Keeper {
    pub(crate) server: Server,
    seen: Arc<Mutex<Seen>>,
}

impl Keeper {
    /// Grants a timeout, and answers on the first connection as `first` says and on the others with "no node".
    pub(crate) fn start(timeout_ms: i32, first: Code) -> Keeper {
        Keeper::answering(timeout_ms, move |_, _, number| {
            (if number == 0 { first } else { Code::NO_NODE }, Vec::new())
        })
    }

    /// Grants a timeout, and answers as it is told; the last argument is the number of the connection.
    pub(crate) fn answering(
        timeout_ms: i32,
        answer: impl Fn(&mut Peer, &ClientFrame, usize) -> (Code, Vec<u8>) + Send + Sync + 'static,
    ) -> Keeper {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let notes = seen.clone();
        let server = Server::start(move |peer, number| {
            let Some(frame) = peer.next_frame() else { return };
            let asked = ConnectRequest::decode(frame, |request| request.session_id).unwrap();
            notes.lock().unwrap().handshakes.push(asked);
            peer.send(&handshake(timeout_ms, ID));
            peer.serve(|peer, request| {
                notes.lock().unwrap().requests.push((number, request.opcode));
                answer(peer, request, number)
            });
        });
        Keeper { server, seen }
    }

    /// Ids of the sessions in handshakes so far.
    pub(crate) fn handshakes(&self) -> Vec<i64> {
        self.seen.lock().unwrap().handshakes.clone()
    }

    /// How often something was asked.
    pub(crate) fn asked(&self, opcode: i32) -> usize {
        self.seen.lock().unwrap().requests.iter().filter(|(_, asked)| *asked == opcode).count()
    }

    /// What was asked on this connection, without watches that are set again.
    pub(crate) fn asked_on(&self, connection: usize) -> Vec<i32> {
        let seen = self.seen.lock().unwrap();
        let on = seen.requests.iter().filter(|(number, _)| *number == connection);
        on.map(|(_, opcode)| *opcode).filter(|opcode| *opcode != opcode::SET_WATCHES).collect()
    }
}

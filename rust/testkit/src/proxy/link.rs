//! A connection: two sockets, and for each direction a thread that reads and one that writes.

use super::lane::{Due, Lane};
use super::state::{End, Segments, Shared, State, Way};
use crate::unread::wait_until_read;
use rustix::net::sockopt::set_socket_linger;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// A writer whose reader does not read looks so often whether it is needed any more.
const LOOKS: Duration = Duration::from_millis(20);

/// The sockets of a connection. They are closed when the last of its threads lets go.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    pub(super) client: Arc<TcpStream>,
    pub(super) server: Option<Arc<TcpStream>>,
    over: Arc<AtomicBool>,
}

impl Ends {
    pub(super) fn new(client: TcpStream, server: Option<TcpStream>) -> Ends {
        for stream in [Some(&client), server.as_ref()].into_iter().flatten() {
            let _ = stream.set_nodelay(true);
            let _ = stream.set_write_timeout(Some(LOOKS));
        }
        Ends { client: Arc::new(client), server: server.map(Arc::new), over: Arc::default() }
    }

    pub(super) fn end(&self, end: End) {
        self.over.store(true, SeqCst);
        for stream in [Some(&self.client), self.server.as_ref()].into_iter().flatten() {
            // Whoever reads is woken by it. A reset is sent when the socket is closed.
            let _ = match end {
                End::Close => stream.shutdown(Shutdown::Both),
                End::Reset => {
                    let _ = set_socket_linger(stream, Some(Duration::ZERO));
                    stream.shutdown(Shutdown::Read)
                }
            };
        }
    }
}

/// What a proxy knows of a connection.
#[derive(Debug)]
pub(super) struct Link {
    ends: Ends,
    lanes: [Lane; 2],
}

impl Link {
    pub(super) fn new(ends: Ends, lanes: [Lane; 2]) -> Link {
        Link { ends, lanes }
    }

    pub(super) fn lane(&mut self, way: Way) -> &mut Lane {
        &mut self.lanes[way as usize]
    }

    pub(super) fn end(self, end: End) {
        self.ends.end(end);
    }
}

/// Starts the threads.
pub(super) fn run(number: usize, ends: &Ends, shared: &Arc<Shared>) {
    let Some(server) = &ends.server else { return };
    for (way, from, to) in [(Way::ToServer, &ends.client, server), (Way::ToClient, server, &ends.client)] {
        let (from, to, over) = (from.clone(), to.clone(), ends.over.clone());
        let (here, there) = (shared.clone(), shared.clone());
        thread::spawn(move || read(number, way, &from, &here));
        thread::spawn(move || write(number, way, &to, &over, &there));
    }
}

fn read(number: usize, way: Way, mut from: &TcpStream, shared: &Shared) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let came = match from.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            came => came,
        };
        let goes_on = shared.change(|state| match came {
            Ok(count @ 1..) => take(state, number, way, &buffer[..count]),
            Ok(_) => {
                if let Some(link) = state.links.get_mut(&number) {
                    link.lane(way).ended = true;
                }
                false
            }
            // One side has reset the connection: so does the other hear of it.
            Err(_) => {
                match state.links.get_mut(&number).map(|link| link.lane(way)) {
                    Some(lane) if lane.hole => lane.ended = true,
                    _ => state.end(number, End::Reset),
                }
                false
            }
        });
        if !goes_on {
            return;
        }
    }
}

/// Bytes have come.
fn take(state: &mut State, number: usize, way: Way, bytes: &[u8]) -> bool {
    let Some(link) = state.links.get_mut(&number) else { return false };
    let heads = link.lane(way).take(bytes, Instant::now());
    match way {
        Way::ToClient => state.counts.from_servers += bytes.len() as u64,
        Way::ToServer => {
            state.counts.from_clients += bytes.len() as u64;
            for head in heads.iter().filter(|head| head.is_request()) {
                if state.is_hit(head.opcode) {
                    if let Some(link) = state.links.get_mut(&number) {
                        link.lane(Way::ToClient).doomed.get_or_insert(head.xid);
                    }
                }
            }
        }
    }
    true
}

fn write(number: usize, way: Way, to: &TcpStream, over: &AtomicBool, shared: &Shared) {
    let mut state = shared.lock();
    loop {
        let State { links, settings, .. } = &mut *state;
        let Some(link) = links.get_mut(&number) else { return };
        let settings = &mut settings[way as usize];
        let lane = link.lane(way);
        let waits_for_read = settings.segments != Segments::Whole;
        match lane.due(settings, Instant::now()) {
            Due::Wait(span) => state = shared.wait(state, span),
            Due::End(end) => {
                state.counts.lost_replies += usize::from(end == End::Reset);
                state.end(number, end);
                drop(state);
                return shared.change(|_| ());
            }
            Due::Finish => {
                let _ = to.shutdown(Shutdown::Write);
                lane.finished = true;
                if link.lanes.iter().all(|lane| lane.finished) {
                    state.end(number, End::Close);
                }
                drop(state);
                return shared.change(|_| ());
            }
            Due::Bytes(pieces) => {
                drop(state);
                for piece in pieces {
                    if !write_all(to, &piece, over) {
                        return shared.change(|state| state.end(number, End::Reset));
                    }
                    shared.change(|state| match way {
                        Way::ToServer => state.counts.to_servers += piece.len() as u64,
                        Way::ToClient => state.counts.to_clients += piece.len() as u64,
                    });
                    if waits_for_read {
                        wait_until_read(to, || over.load(SeqCst));
                    }
                }
                state = shared.lock();
            }
        }
    }
}

fn write_all(mut to: &TcpStream, mut bytes: &[u8], over: &AtomicBool) -> bool {
    while !bytes.is_empty() && !over.load(SeqCst) {
        match to.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                _ => return false,
            },
        }
    }
    bytes.is_empty()
}

//! A scripted server on a real socket of 127.0.0.1: the test says what it does with a connection.

use crate::frames::{handshake, reply_frame, ClientFrame};
use crate::unread::wait_until_read;
use bytes::Bytes;
use rustix::net::sockopt::set_socket_linger;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use zk_proto::frame::{FrameBuffer, FrameError};
use zk_proto::{opcode, Code};

/// Listens until it is dropped; each connection runs the script in a thread of its own.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    stopped: Arc<AtomicUsize>,
}

impl Server {
    /// Starts one. The script gets the connection and its number, from 0 on; the connection is
    /// closed when it returns.
    ///
    /// # Panics
    /// No socket can be had.
    pub fn start(script: impl Fn(&mut Peer, usize) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let stopped = Arc::new(AtomicUsize::new(0));
        let script = Arc::new(script);
        let (count, stop) = (connections.clone(), stopped.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(SeqCst) > 0 {
                    return;
                }
                let number = count.fetch_add(1, SeqCst);
                let script = script.clone();
                thread::spawn(move || script(&mut Peer::new(stream), number));
            }
        });
        Server { address, connections, stopped }
    }

    /// `127.0.0.1:port`
    pub fn hosts(&self) -> String {
        self.address.to_string()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(1, SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

/// One connection, seen from the server.
pub struct Peer {
    stream: TcpStream,
    frames: FrameBuffer,
}

impl Peer {
    fn new(stream: TcpStream) -> Peer {
        stream.set_nodelay(true).expect("a socket");
        Peer { stream, frames: FrameBuffer::new(64 << 20) }
    }

    /// The next frame from the client, `None` at the end of the connection.
    pub fn next_frame(&mut self) -> Option<Bytes> {
        self.read_frame().expect("a frame")
    }

    pub(crate) fn read_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let mut buffer = [0; 64 << 10];
        loop {
            if let Some(frame) = self.frames.next_frame()? {
                return Ok(Some(frame));
            }
            match self.stream.read(&mut buffer) {
                Ok(count) if count > 0 => self.frames.extend(&buffer[..count]),
                _ => return Ok(None),
            }
        }
    }

    /// The next request behind the handshake.
    pub fn request(&mut self) -> Option<ClientFrame> {
        self.next_frame().map(ClientFrame::parse)
    }

    /// Takes the connect request and grants the session.
    pub fn shake_hands(&mut self, timeout_ms: i32, session_id: i64) {
        if self.next_frame().is_some() {
            self.send(&handshake(timeout_ms, session_id));
        }
    }

    /// Answers requests with `reply` until the connection ends: pings, and closeSession by ending.
    pub fn serve(&mut self, mut reply: impl FnMut(&mut Peer, &ClientFrame) -> (Code, Vec<u8>)) {
        while let Some(request) = self.request() {
            let (code, body) = match request.opcode {
                opcode::PING | opcode::CLOSE_SESSION => (Code::OK, Vec::new()),
                _ => reply(self, &request),
            };
            self.send(&reply_frame(request.xid, 1, code, &body));
            if request.opcode == opcode::CLOSE_SESSION {
                return;
            }
        }
    }

    /// Writes bytes; a client that has gone is the test's own business.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Reads and throws away until the client ends the connection.
    pub fn swallow(&mut self) {
        let mut buffer = [0; 4096];
        while self.stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
    }

    /// Lets this thread wait; for delays that are part of a script.
    pub fn delay(&self, span: Duration) {
        thread::sleep(span);
    }

    /// Writes bytes with TCP_NODELAY, so many at a time, and each lot when the client has read the one before: it
    /// sees them in these pieces. (One that does not read for a second gets the next all the same.)
    pub fn send_in_pieces(&mut self, bytes: &[u8], size: usize) {
        for piece in bytes.chunks(size.max(1)) {
            self.send(piece);
            wait_until_read(&self.stream, || false);
        }
    }

    /// Writes bytes in two pieces, as [`send_in_pieces`](Self::send_in_pieces) does: `at` of them first.
    pub fn send_split(&mut self, bytes: &[u8], at: usize) {
        let (head, tail) = bytes.split_at(at.min(bytes.len()));
        self.send_in_pieces(head, head.len());
        self.send(tail);
    }

    /// Makes the end of the connection, which comes when the script returns, a reset (RST instead of FIN).
    pub fn reset(&mut self) {
        let _ = set_socket_linger(&self.stream, Some(Duration::ZERO));
    }

    /// Ends the connection in both directions.
    pub fn hang_up(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

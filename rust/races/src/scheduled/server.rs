//! The other end of the model's connections.

use super::world::{trace, World};
use bytes::Bytes;
use std::sync::Arc;
use zk_proto::frame::FrameBuffer;
use zk_proto::{opcode, Code};
use zk_testkit::{handshake, reply_frame, ClientFrame};

/// A connection that was accepted; it ends when this is dropped.
pub struct Peer {
    world: Arc<World>,
    link: usize,
    frames: FrameBuffer,
}

/// Waits for the next connection; `None` when the engine has gone, which is said with [`stop_listening`].
pub fn accept() -> Option<Peer> {
    let world = World::current();
    let link = world.sleep(None, |state| {
        let next = state.backlog.pop_front();
        next.map(Some).or_else(|| state.closed.then_some(None))
    })?;
    Some(Peer { world, link: link?, frames: FrameBuffer::new(1 << 20) })
}

/// Nobody will connect any more.
pub fn stop_listening() {
    World::current().change(|state| state.closed = true);
}

/// So much fits into later connections, towards the server, until it reads.
pub fn set_room(bytes: usize) {
    World::current().change(|state| state.room = Some(bytes));
}

impl Peer {
    /// The next frame, `None` at the end of the connection.
    ///
    /// # Panics
    /// The client sends rubbish.
    pub fn next_frame(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.frames.next_frame().expect("a frame") {
                return Some(frame);
            }
            let link = self.link;
            let bytes: Vec<u8> = self.world.sleep(None, |state| {
                let link = &mut state.links[link];
                (!link.to_server.is_empty() || link.client_gone).then(|| link.to_server.drain(..).collect())
            })?;
            if bytes.is_empty() {
                return None;
            }
            self.world.change(|_| ()); // there is room again
            self.frames.extend(&bytes);
        }
    }

    /// The next request behind the handshake; pings are answered.
    pub fn request(&mut self) -> Option<ClientFrame> {
        loop {
            let request = ClientFrame::parse(self.next_frame()?);
            trace(|| format!("asked for {} as {}", request.opcode, request.xid));
            match request.opcode {
                opcode::PING => self.send(&reply_frame(request.xid, 1, Code::OK, b"")),
                opcode::CLOSE_SESSION => {
                    self.send(&reply_frame(request.xid, 1, Code::OK, b""));
                    return None;
                }
                _ => return Some(request),
            }
        }
    }

    /// Grants the session.
    pub fn shake_hands(&mut self, timeout_ms: i32) {
        if self.next_frame().is_some() {
            self.send(&handshake(timeout_ms, 7));
        }
    }

    /// Answers that there is no node.
    pub fn answer(&mut self, request: &ClientFrame) {
        self.send(&reply_frame(request.xid, 1, Code::NO_NODE, b""));
    }

    /// Answers so until the connection ends.
    pub fn serve(&mut self) {
        while let Some(request) = self.request() {
            self.answer(&request);
        }
    }

    /// Writes bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        trace(|| format!("sends {} bytes", bytes.len()));
        let link = self.link;
        self.world.change(|state| state.links[link].to_client.extend(bytes));
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        trace(|| "hangs up".to_owned());
        let link = self.link;
        self.world.change(|state| {
            let link = &mut state.links[link];
            link.server_gone = true;
            link.reset = !link.to_server.is_empty();
        });
    }
}

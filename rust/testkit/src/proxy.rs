//! A proxy between a client and a server that harms their connections when it is told to. It passes everything on as it
//! comes until then.
//!
//! It knows where frames begin, so that harm can be done at a request, a reply or between frames. A stream that can't be
//! one of frames (TLS, four-letter words) is passed on too; harm to frames does not touch it.
//!
//! All that is set holds for connections that there are and for those to come, unless it is said otherwise.

mod accept;
mod frames;
mod lane;
mod link;
mod state;

pub use state::{Asked, Counts, Greeting, Segments, Way};

use state::{End, Shared};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Which connections are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// Those that there are.
    Existing,
    /// Those to come.
    New,
    /// Both.
    All,
}

/// Listens on 127.0.0.1 until it is dropped; then all its connections are closed.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// A proxy to a server, `host:port`. It is connected to anew for each client.
    ///
    /// # Panics
    /// No socket can be had.
    pub fn start(server: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let (state, server) = (shared.clone(), server.to_owned());
        thread::spawn(move || accept::all(&listener, &server, &state));
        Proxy { address, shared }
    }

    /// `127.0.0.1:port`
    pub fn hosts(&self) -> String {
        self.address.to_string()
    }

    // ---- what is late

    /// Opens a black hole: what one side sends does not come to the other any more, and neither side is told, not even
    /// of the other's end. As in a network without TCP's patience, nothing is lost that [`heal`](Self::heal) would not
    /// bring.
    pub fn black_hole(&self, way: Way, reach: Reach) {
        self.shared.change(|state| {
            if reach != Reach::New {
                state.links.values_mut().for_each(|link| link.lane(way).hole = true);
            }
            if reach != Reach::Existing {
                state.settings[way as usize].hole = true;
            }
        });
    }

    /// Closes all black holes. What each held back is delivered, in one piece if nothing else is asked for.
    pub fn heal(&self) {
        self.shared.change(|state| {
            for way in [Way::ToServer, Way::ToClient] {
                state.links.values_mut().for_each(|link| link.lane(way).hole = false);
                state.settings[way as usize].hole = false;
            }
        });
    }

    /// All that one side sends comes to the other so much later; how much of it is under way does not matter.
    pub fn latency(&self, way: Way, span: Duration) {
        self.shared.change(|state| state.settings[way as usize].latency = span);
    }

    /// In what pieces bytes arrive. Each is sent when the reader has taken the one before, or has not for a second.
    pub fn segments(&self, way: Way, segments: Segments) {
        self.shared.change(|state| state.settings[way as usize].segments = segments);
    }

    /// Holds back what one side sends until so many whole frames of a connection (handshakes count) have come, or the
    /// sender has ended it; then delivers all in one write, and passes everything on again, on all connections.
    pub fn gather(&self, way: Way, frames: usize) {
        self.shared.change(|state| state.settings[way as usize].gather = Some(frames));
    }

    // ---- what is lost

    /// The connection whose client asks this is reset, on both sides, when the server has answered it. The answer is
    /// lost, and so is what comes behind it; what comes before is delivered.
    ///
    /// This happens so many times, on whatever connections; for a number, requests are counted anew each time.
    pub fn lose_reply(&self, asked: Asked, times: usize) {
        self.shared.change(|state| state.lose(asked, times));
    }

    /// A connection to come is closed, on both sides, when so many bytes have gone one way. `None`: none is.
    pub fn close_after(&self, way: Way, bytes: Option<u64>) {
        self.shared.change(|state| state.settings[way as usize].close_after = bytes);
    }

    /// Closes all connections (FIN), with what is under way.
    pub fn close(&self) {
        self.shared.change(|state| state.end_all(End::Close));
    }

    /// Resets all connections (RST).
    pub fn reset(&self) {
        self.shared.change(|state| state.end_all(End::Reset));
    }

    /// What is done with connections to come.
    pub fn greet(&self, greeting: Greeting) {
        self.shared.change(|state| state.greeting = greeting);
    }

    // ---- what has been seen

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        self.shared.lock().counts()
    }

    /// Waits until what was counted is as wished.
    ///
    /// # Errors
    /// What it was after `within`.
    pub fn wait_until(&self, within: Duration, wished: impl Fn(&Counts) -> bool) -> Result<Counts, Counts> {
        let give_up = Instant::now() + within;
        let mut state = self.shared.lock();
        loop {
            let counts = state.counts();
            if wished(&counts) {
                return Ok(counts);
            }
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(counts);
            }
            state = self.shared.wait(state, Some(left));
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.change(|state| {
            state.stopped = true;
            state.end_all(End::Close);
        });
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

use crate::frames::{handshake, reply_frame, ClientFrame};
use bytes::Bytes;
use std::time::Duration;
use zk_proto::connect_string::ConnectString;
use zk_proto::frame::FrameBuffer;
use zk_proto::op::Request;
use zk_proto::record::ConnectRequest;
use zk_proto::session::{Action, Config, Output, Session};
use zk_proto::time::Time;
use zk_proto::Code;

/// A configuration with a session timeout of three seconds.
///
/// # Panics
/// The connect string is not one.
pub fn config(hosts: &str) -> Config {
    Config {
        servers: ConnectString::parse(hosts.as_bytes()).expect("connect string"),
        session_timeout: Duration::from_secs(3),
        resume: None,
        read_only: false,
        request_timeout: None,
        jute_maxbuffer: 0xf_ffff,
        max_in_flight: 10_000,
        expire_by_clock: false,
        sasl: None,
        seed: 1,
    }
}

/// A session and, instead of a network, a test that plays the server; time is a number.
pub struct Pair {
    /// The session under test.
    pub session: Session,
    /// The virtual clock: the session knows no other. [`advance`](Pair::advance) moves it on with every timer at its
    /// moment, [`accept`](Pair::accept) up to the next attempt; a test that sets it ahead is a process that was stopped.
    pub now: Time,
    from_client: FrameBuffer,
    outputs: Vec<Output>,
    actions: Vec<(Time, Action)>,
    last_token: u64,
}

impl Pair {
    /// A session that has not been asked for anything yet.
    pub fn new(config: Config) -> Pair {
        let now = Time::from_micros(1_000_000_000);
        Pair {
            session: Session::new(config, now),
            now,
            from_client: FrameBuffer::new(64 << 20),
            outputs: Vec::new(),
            actions: Vec::new(),
            last_token: 0,
        }
    }

    /// A session that is connected with id 7 and a timeout of three seconds.
    pub fn connected() -> Pair {
        let mut pair = Pair::new(config("a,b,c"));
        pair.connect();
        pair.outputs();
        pair
    }

    /// Lets the session connect, and answers its handshake with id 7 and three seconds.
    pub fn connect(&mut self) {
        self.accept();
        self.feed(&handshake(3_000, 7));
    }

    /// Waits until the session wants a connection, gives it, and returns the handshake as
    /// (last zxid seen, session id, password, timeout in milliseconds).
    ///
    /// # Panics
    /// It wants none within a minute.
    pub fn accept(&mut self) -> (i64, i64, [u8; 16], i32) {
        let give_up = self.now + Duration::from_secs(60);
        loop {
            self.collect();
            if let Some((_, Action::Connect(_))) = self.actions.last() {
                self.actions.clear();
                break;
            }
            let next = self.session.poll_timeout().expect("a session that wants to connect");
            assert!(next < give_up, "no attempt to connect within a minute");
            self.now = self.now.max(next);
            self.session.handle_timeout(self.now);
        }
        self.from_client.clear();
        self.session.handle_connected(self.now);
        let frame = self.frames().pop().expect("a connect request");
        ConnectRequest::decode(frame, |r| (r.last_zxid_seen, r.session_id, *r.passwd, r.timeout_ms))
            .expect("a connect request")
    }

    /// Lets time pass, with every timer at its moment.
    pub fn advance(&mut self, span: Duration) {
        let end = self.now + span;
        let mut rounds = 0;
        while let Some(next) = self.session.poll_timeout().filter(|t| *t <= end) {
            // A timer that is due again and again at the same moment would be a spin.
            rounds += 1;
            assert!(rounds < 10_000, "the session spins at {:?}", self.now);
            self.now = self.now.max(next);
            self.session.handle_timeout(self.now);
            self.collect();
        }
        self.now = end;
    }

    /// Asks for something; returns the token.
    ///
    /// # Panics
    /// It is refused at once.
    pub fn submit(&mut self, request: &Request<'_>, watcher: Option<u64>) -> u64 {
        self.last_token += 1;
        self.session.submit(self.now, request, self.last_token, watcher, None).expect("submitted");
        self.last_token
    }

    /// Bytes from the server.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.session.handle_bytes(self.now, bytes);
        self.collect();
    }

    /// A reply of the server.
    pub fn reply(&mut self, xid: i32, zxid: i64, code: Code, body: &[u8]) {
        self.feed(&reply_frame(xid, zxid, code, body));
    }

    /// The connection breaks.
    pub fn cut(&mut self) {
        self.session.handle_closed(self.now);
        self.collect();
    }

    /// What the session told its users since the last call.
    pub fn outputs(&mut self) -> Vec<Output> {
        self.collect();
        std::mem::take(&mut self.outputs)
    }

    /// What the session wanted done to its connection since the last call, and when.
    pub fn actions(&mut self) -> Vec<(Time, Action)> {
        self.collect();
        std::mem::take(&mut self.actions)
    }

    /// What the session sent since the last call.
    pub fn sent(&mut self) -> Vec<ClientFrame> {
        self.frames().into_iter().map(ClientFrame::parse).collect()
    }

    fn frames(&mut self) -> Vec<Bytes> {
        let bytes = self.session.transmit().to_vec();
        self.session.transmitted(bytes.len());
        self.from_client.extend(&bytes);
        std::iter::from_fn(|| self.from_client.next_frame().expect("a frame")).collect()
    }

    fn collect(&mut self) {
        self.outputs.extend(std::iter::from_fn(|| self.session.poll_output()));
        while let Some(action) = self.session.poll_action() {
            self.actions.push((self.now, action));
        }
    }
}

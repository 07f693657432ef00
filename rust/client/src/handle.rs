//! A session as its user holds it.

use crate::clock;
use crate::core::{Core, Waiting};
use crate::engine::{Engine, SharedCore};
use crate::log::{self, About};
use crate::queue::Sink;
use crate::sasl::login;
use crate::slots::Awaited;
use crate::tls::Tls;
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;
use zk_proto::connect_string::ConnectString;
use zk_proto::op::{Reply, Request};
use zk_proto::session::{Config, Failure, Metrics, Session};
use zk_proto::{Code, KeeperState};

/// How a call ended.
pub type Answer = Result<Reply, Failure>;

/// What a handle is opened with.
#[derive(Clone)]
pub struct Settings {
    /// Servers and chroot.
    pub hosts: ConnectString,
    /// The session timeout to ask for.
    pub session_timeout: Duration,
    /// Id and password of a session to resume.
    pub resume: Option<(i64, [u8; 16])>,
    /// Accept read-only servers.
    pub read_only: bool,
    /// How long an answer may take, once connected. `None`: three session timeouts.
    pub request_timeout: Option<Duration>,
    /// The longest request, in bytes.
    pub jute_maxbuffer: usize,
    /// How many requests may be unanswered. More are refused, or wait if their caller does.
    pub max_in_flight: usize,
    /// Take a session as expired once it has been cut off for longer than its timeout.
    pub expire_by_clock: bool,
    /// Log in by SASL, with DIGEST-MD5: user name and password.
    pub sasl: Option<(String, String)>,
    /// Connect by TLS.
    pub tls: Option<Tls>,
    /// Who hears of session events.
    pub default_watcher: Option<u64>,
}

impl Settings {
    /// Ten seconds of session timeout, `jute_maxbuffer` as servers have it, and nothing else.
    pub fn new(hosts: ConnectString) -> Settings {
        Settings {
            hosts,
            session_timeout: Duration::from_secs(10),
            resume: None,
            read_only: false,
            request_timeout: None,
            jute_maxbuffer: 0xf_ffff,
            max_in_flight: 10_000,
            expire_by_clock: false,
            sasl: None,
            tls: None,
            default_watcher: None,
        }
    }
}

/// Names one blocking call of a handle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket(pub(crate) u64);

impl Ticket {
    pub(crate) fn next() -> Ticket {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Ticket(LAST.fetch_add(1, Relaxed) + 1)
    }
}

/// Tokens with this bit are of requests that nobody waits for; the others are tickets.
pub(crate) const POSTED: u64 = 1 << 63;

/// The `id` of a request that was posted, if the token is such a one's.
pub(crate) fn posted(token: u64) -> Option<u64> {
    (token & POSTED != 0).then_some(token & !POSTED)
}

/// How a blocking call stands.
#[derive(Debug)]
pub enum Step {
    /// It has ended, and the ticket with it.
    Done(Answer),
    /// Poll `fd` for input (no fd: just wait), for `timeout` at most, and then step again, whatever
    /// the poll said.
    Wait {
        /// Socket or eventfd, -1 for none.
        fd: RawFd,
        /// `None`: no limit.
        timeout: Option<Duration>,
    },
}

/// A session. Clones are the same session; it is dropped without a word to the server when the last
/// of them goes, so [`close`](Self::close) first.
#[derive(Clone)]
pub struct Handle {
    core: SharedCore,
}

impl Handle {
    /// Starts a session. It connects in the background.
    ///
    /// # Errors
    /// No random numbers, which a login by SASL needs.
    pub fn open(engine: &Arc<Engine>, settings: Settings, sink: Arc<dyn Sink>) -> io::Result<Handle> {
        let config = Config {
            servers: settings.hosts,
            session_timeout: settings.session_timeout,
            resume: settings.resume,
            read_only: settings.read_only,
            request_timeout: settings.request_timeout,
            jute_maxbuffer: settings.jute_maxbuffer,
            max_in_flight: settings.max_in_flight,
            expire_by_clock: settings.expire_by_clock,
            sasl: settings.sasl.map(login).transpose()?,
            seed: fastrand::u64(..),
        };
        let mut session = Session::new(config, clock::now());
        session.want_notes(log::level().max(sink.wanted_records()));
        session.note_opened();
        let shared = engine.clone();
        let core = engine.shared.adopt(|id| {
            let (watcher, most) = (settings.default_watcher, settings.max_in_flight);
            Core::new(id, shared, session, settings.tls, sink, watcher, most)
        });
        Ok(Handle { core })
    }

    pub(crate) fn of(core: SharedCore) -> Handle {
        Handle { core }
    }

    /// Asks for an operation on behalf of a caller that will wait. The request is on its way when
    /// this returns, if there is a connection.
    ///
    /// # Errors
    /// The session is over, or the request is too long. Nothing was sent then.
    ///
    /// `within` overrides the handle's request timeout.
    pub fn submit(
        &self,
        request: &Request<'_>,
        watcher: Option<u64>,
        within: Option<Duration>,
    ) -> Result<Ticket, Failure> {
        let ticket = Ticket::next();
        let now = clock::now();
        let mut core = self.lock();
        core.session.submit(now, request, ticket.0, watcher, within)?;
        core.slots.open(ticket, Awaited::Reply, None);
        core.settle(now);
        Ok(ticket)
    }

    /// Asks for an operation on behalf of somebody who does not wait: the answer is delivered to the sink
    /// as [`Delivery::Completed`](crate::Delivery::Completed) with `id` (below 2^63), unless this fails.
    ///
    /// True if the request is held back, so that others can go out in the same packet: call
    /// [`flush`](Self::flush) when there are no more for now. It is held back for two milliseconds at most, and
    /// not for longer than the server takes to answer what is under way already. If nothing is, and the sink
    /// has no items, it goes out at once.
    ///
    /// # Errors
    /// The session is over, or the request is too long, or too many are in flight. Nothing was sent then,
    /// and nothing will be delivered.
    pub fn post(
        &self,
        request: &Request<'_>,
        id: u64,
        watcher: Option<u64>,
        within: Option<Duration>,
    ) -> Result<bool, Failure> {
        let now = clock::now();
        let mut core = self.lock();
        core.session.try_submit(now, request, POSTED | id, watcher, within)?;
        Ok(core.settle_soon(now))
    }

    /// Sends what [`post`](Self::post) has held back.
    pub fn flush(&self) {
        self.lock().settle(clock::now());
    }

    /// Moves a blocking call on: reads what has arrived, if this caller leads, and says what to wait
    /// for.
    pub fn step(&self, ticket: Ticket) -> Step {
        self.step_then(ticket, |(fd, timeout)| Step::Wait {
            fd: fd.map_or(-1, |fd| fd.as_fd().as_raw_fd()),
            timeout,
        })
        .unwrap_or_else(Step::Done)
    }

    /// Gives the lead of whoever has it to the IO thread: before a signal handler runs, whose own
    /// calls must not wait behind a caller that is not looking.
    pub fn release_lead(&self) {
        self.lock().release_lead(None, clock::now(), false);
    }

    /// Nobody will ask for this ticket again. Harmless for one that has ended.
    pub fn abandon(&self, ticket: Ticket) {
        let now = clock::now();
        let mut core = self.lock();
        if core.slots.has(ticket) {
            core.slots.remove(ticket);
            core.session.abandon(ticket.0);
        }
        core.release_lead(Some(ticket), now, false);
    }

    /// Waits in a plain way, for callers without signal handlers of their own.
    ///
    /// # Errors
    /// The call's own.
    pub fn wait(&self, ticket: Ticket) -> Answer {
        loop {
            // The fd is kept alive over the poll.
            let (fd, timeout) = match self.step_then(ticket, |(fd, timeout)| (fd.cloned(), timeout)) {
                Ok(wait) => wait,
                Err(answer) => return answer,
            };
            let timeout = timeout.map(|t| Timespec {
                tv_sec: t.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: t.subsec_nanos().into(),
            });
            let mut fds: Vec<PollFd<'_>> = fd.iter().map(|fd| PollFd::new(&**fd, PollFlags::IN)).collect();
            let _ = poll(&mut fds, timeout.as_ref());
        }
    }

    /// Authenticates this session, now and on every later connection. `watcher` hears of the outcome.
    ///
    /// # Errors
    /// The session is over, or the credentials are too long.
    pub fn add_auth(&self, scheme: &[u8], credentials: &[u8], watcher: Option<u64>) -> Result<(), Failure> {
        let now = clock::now();
        let mut core = self.lock();
        core.session.add_auth(scheme, credentials, watcher)?;
        core.settle(now);
        Ok(())
    }

    /// [`add_auth`](Self::add_auth) as a request, whose answer is delivered as that of
    /// [`post`](Self::post) when the server has said what it thinks of the credentials.
    ///
    /// # Errors
    /// As those of `add_auth`; nothing will be delivered then.
    pub fn post_auth(
        &self,
        scheme: &[u8],
        credentials: &[u8],
        id: u64,
        watcher: Option<u64>,
        within: Option<Duration>,
    ) -> Result<(), Failure> {
        let now = clock::now();
        let mut core = self.lock();
        core.session.authenticate(now, scheme, credentials, watcher, POSTED | id, within)?;
        core.settle(now);
        Ok(())
    }

    /// A call that ends when there is a connection, when there can't be one any more, or after
    /// `within` (`None`: the session timeout) with [`Code::CONNECTION_LOSS`].
    pub fn wait_connected(&self, within: Option<Duration>) -> Ticket {
        let mut core = self.lock();
        let within = within.unwrap_or(core.session.timeout());
        let answer = match core.session.end_of_session() {
            Some(failure) => Some(Err(failure)),
            None if core.session.is_connected() => Some(Ok(Reply::Nothing)),
            None => None,
        };
        self.open_slot(&mut core, Awaited::Connection, within, answer)
    }

    /// A call that ends the session: what is under way is answered with [`Code::CLOSING`], the server
    /// is told, and the call ends when it has answered, or after `within`.
    pub fn close(&self, within: Duration) -> Ticket {
        let now = clock::now();
        let mut core = self.lock();
        let closed = core.session.over() == Some(Code::INVALID_STATE);
        let answer = closed.then_some(Ok(Reply::Nothing));
        let ticket = self.open_slot(&mut core, Awaited::Closed, within, answer);
        core.session.close(now);
        core.settle(now);
        ticket
    }

    /// As [`close`](Self::close), but the session is left to whoever resumes it with its id and password: the
    /// server is told nothing. The call has ended when this returns.
    pub fn leave(&self) -> Ticket {
        let mut core = self.lock();
        core.session.leave();
        self.open_slot(&mut core, Awaited::Closed, Duration::ZERO, Some(Ok(Reply::Nothing)))
    }

    /// Takes another list of servers. The session stays where it is or moves to another server, by chance: so
    /// that many clients which are told the same spread evenly over the new list.
    ///
    /// # Errors
    /// The session is over, or the chroot is another one. Nothing has changed then.
    pub fn set_hosts(&self, hosts: ConnectString) -> Result<(), Failure> {
        let now = clock::now();
        let mut core = self.lock();
        core.session.set_servers(now, hosts)?;
        core.settle(now);
        Ok(())
    }

    /// What was counted since the handle was opened.
    pub fn metrics(&self) -> Metrics {
        self.lock().session.metrics()
    }

    /// The state in the C client's numbers. A session whose end was asked for takes no requests any more: it is not
    /// connected, whatever the server has still to say about it.
    pub fn state(&self) -> KeeperState {
        let core = self.lock();
        if core.session.is_closing() {
            KeeperState::NOT_CONNECTED
        } else {
            core.session.state()
        }
    }

    /// Session id and password, once a server has given them.
    pub fn client_id(&self) -> Option<(i64, [u8; 16])> {
        self.lock().session.credentials()
    }

    /// Whether the session is over: expired, authentication refused, closed.
    pub fn is_unrecoverable(&self) -> bool {
        let core = self.lock();
        core.session.is_closing() || core.session.over().is_some()
    }

    /// Whether the session has been cut off for longer than its timeout, so that servers have
    /// probably expired it.
    pub fn is_session_suspect(&self) -> bool {
        self.lock().session.is_suspect(clock::now())
    }

    /// The server in use, as it stands in the connect string.
    pub fn server(&self) -> Option<String> {
        let core = self.lock();
        core.session.server().filter(|_| !core.session.is_closing()).map(ToString::to_string)
    }

    /// The negotiated session timeout; before the first connection the one asked for.
    pub fn session_timeout(&self) -> Duration {
        self.lock().session.timeout()
    }

    /// The greatest transaction id seen in a reply.
    pub fn last_zxid(&self) -> i64 {
        self.lock().session.last_zxid()
    }

    /// Who this is, for the log.
    pub fn about(&self) -> About {
        self.lock().about()
    }

    /// Changes who hears of session events.
    pub fn set_default_watcher(&self, id: Option<u64>) {
        self.lock().default_watcher = id;
    }

    /// Takes a watcher off: nothing more is delivered to it.
    pub fn forget_watcher(&self, id: u64) {
        self.lock().forget_watcher(id);
    }

    /// One step; `Err` is the answer.
    fn step_then<T>(&self, ticket: Ticket, wait: impl FnOnce(Waiting<'_>) -> T) -> Result<T, Answer> {
        let now = clock::now();
        let mut core = self.lock();
        if core.leads(ticket) {
            core.lead_on(now);
        } else if core.can_lead(ticket) {
            core.send_held_back(now);
        }
        if let Some(answer) = core.slots.take(ticket) {
            core.release_lead(Some(ticket), now, true);
            return Err(answer);
        }
        if !core.slots.has(ticket) {
            // Abandoned, or never ours.
            return Err(Err(Failure::new(Code::INVALID_STATE)));
        }
        if core.can_lead(ticket) {
            core.take_lead(ticket);
            return Ok(wait(core.waiting_for(now)));
        }
        Ok(wait(core.park(ticket)))
    }

    fn open_slot(
        &self,
        core: &mut Core,
        awaited: Awaited,
        within: Duration,
        answer: Option<Answer>,
    ) -> Ticket {
        let ticket = Ticket::next();
        let now = clock::now();
        core.slots.open(ticket, awaited, Some(now + within));
        if let Some(answer) = answer {
            core.slots.answer(ticket, answer);
        }
        core.settle(now);
        ticket
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        core.want_notes();
        core
    }
}

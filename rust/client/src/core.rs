//! A session with its connection: what both the IO thread and a leading caller drive, under one lock.

mod gathering;
mod notes;
mod probing;

use crate::backlog::{Backlogs, Verdict};
use crate::conn::{Conn, Progress, Trouble};
use crate::engine::{self, Engine};
use crate::forking::{Inherited, Registered};
use crate::handle::{posted, Ticket};
use crate::probe::Probe;
use crate::queue::{Delivery, Sink};
use crate::resolver::{Answer, Resolver};
use crate::slots::{Awaited, Slots};
use crate::tls::Tls;
use gathering::Gathering;
pub(crate) use gathering::MOMENT;
use rustix::event::epoll::EventFlags;
use rustix::event::{eventfd, EventfdFlags};
use rustix::io::Errno;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use zk_proto::connect_string::HostPort;
use zk_proto::op::Reply;
use zk_proto::session::{Action, Failure, Output, Session, WatchedEvent};
use zk_proto::time::Time;
use zk_proto::{Code, EventType, KeeperState};

/// A caller that comes back within this time finds its lead still there, which saves two epoll calls.
const BURST: Duration = Duration::from_millis(10);
/// How long a lead is kept for a caller that may come back. Events wait that long at most.
const KEEP: Duration = Duration::from_millis(5);
/// Reads in one go; more is left for the next round, so that one session can't starve the others.
const READS_AT_ONCE: usize = 16;
const READ_BUFFER: usize = 64 << 10;
/// Requests are not held back beyond so many bytes.
const PACKET: usize = 32 << 10;
/// Nor for longer than this: the server may take its time for what is under way, and the user for what he does next.
const HOLD: Duration = Duration::from_millis(2);

/// A caller that does not lead looks again after this time, should a wake-up ever be missed.
const FOLLOWER_LOOKS_AGAIN: Duration = Duration::from_secs(1);

/// What a caller waits for: an fd, and for how long.
pub(crate) type Waiting<'a> = (Option<&'a Arc<Registered>>, Option<Duration>);

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BUFFER]);
}

/// Who reads the socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lead {
    /// The IO thread.
    Engine,
    /// A caller that waits for this ticket.
    Caller(Ticket),
    /// Nobody, for a few milliseconds: a caller that made calls in quick succession may come back.
    Kept { since: Time },
}

pub(crate) struct Core {
    id: u64,
    engine: Arc<Engine>,
    pub(crate) session: Session,
    sink: Arc<dyn Sink>,
    pub(crate) default_watcher: Option<u64>,
    pub(crate) slots: Slots,
    backlogs: Backlogs,

    tls: Option<Tls>,
    conn: Option<Conn>,
    /// How many there have been.
    connections: u32,
    /// Further addresses of the server that is being tried.
    addresses: VecDeque<SocketAddr>,
    /// The server whose name is being resolved.
    resolving: Option<HostPort>,
    resolver: Resolver,
    /// A server that is asked whether it can write.
    probe: Option<Probe>,
    /// The socket did not take all that there is to write.
    write_blocked: bool,
    /// Since when there are requests that are held back.
    held_since: Option<Time>,
    gathering: Gathering,

    lead: Lead,
    last_release: Option<Time>,
    /// The moment at which the IO thread will look here, as far as it has been told.
    scheduled: Option<Time>,
    /// Wakes callers that don't lead; made when the first one parks.
    parking: Option<Arc<Registered>>,
}

impl Core {
    pub(crate) fn new(
        id: u64,
        engine: Arc<Engine>,
        session: Session,
        tls: Option<Tls>,
        sink: Arc<dyn Sink>,
        default_watcher: Option<u64>,
        max_in_flight: usize,
    ) -> Core {
        Core {
            id,
            engine,
            session,
            sink,
            default_watcher,
            slots: Slots::default(),
            backlogs: Backlogs::new(max_in_flight),
            tls,
            conn: None,
            connections: 0,
            addresses: VecDeque::new(),
            resolving: None,
            resolver: Resolver::default(),
            probe: None,
            write_blocked: false,
            held_since: None,
            gathering: Gathering::default(),
            lead: Lead::Engine,
            last_release: None,
            scheduled: None,
            parking: None,
        }
    }

    // ---- the IO thread's side

    /// The poller has reported something about the socket. True if the IO thread had better wait for a moment: then
    /// there is more to read at once.
    pub(crate) fn handle_io(&mut self, now: Time, key: u64, flags: EventFlags) -> bool {
        if self.handle_probe_io(now, key) {
            return false;
        }
        let Some(conn) = &mut self.conn else { return false };
        if !conn.reported(key) {
            return false;
        }
        let mut gathers = false;
        if conn.connecting {
            self.advance(now);
        } else {
            if matches!(self.lead, Lead::Kept { .. }) {
                self.lead = Lead::Engine;
            }
            if self.lead != Lead::Engine && !self.write_blocked {
                // A hang-up. Whoever leads sees it as well when he looks; to listen again until then would be to be
                // told of it without end.
                return false;
            }
            if self.lead == Lead::Engine && flags.intersects(!EventFlags::OUT) {
                let under_way = self.session.outstanding();
                self.receive(now);
                let answered = under_way.saturating_sub(self.session.outstanding());
                gathers = self.gathering.pays(now, under_way, answered);
            }
        }
        self.settle(now);
        gathers
    }

    /// The moment that was asked for has come, or somebody wants this session looked at.
    pub(crate) fn handle_timer(&mut self, now: Time) {
        self.scheduled = None;
        match self.lead {
            // It watches its own timers.
            Lead::Caller(_) => return self.go_on_probing(now),
            Lead::Kept { since } if now < since + KEEP => {
                self.go_on_probing(now);
                return self.plan();
            }
            Lead::Kept { .. } => self.lead = Lead::Engine,
            Lead::Engine => {}
        }
        // What is over, an attempt or a probe, must not use up the answer for which the next one waits.
        self.handle_timeouts(now);
        self.settle(now);
        self.go_on_probing(now);
        if let Some(host) = self.resolving.take() {
            self.connect_to(host, now);
            self.settle(now);
        }
    }

    /// After a panic in the engine: the session can't be trusted any more, but its callers must not
    /// hang.
    pub(crate) fn fail(&mut self, now: Time) {
        self.session.end(Code::SYSTEM_ERROR);
        self.settle(now);
    }

    // ---- a caller's side

    /// Whether a caller may read the socket itself.
    pub(crate) fn can_lead(&self, ticket: Ticket) -> bool {
        self.conn.as_ref().is_some_and(|c| !c.connecting)
            && self.session.is_connected()
            && (self.lead == Lead::Caller(ticket) || !matches!(self.lead, Lead::Caller(_)))
    }

    /// Sends what is held back, if anything: who asked for it while a call waits (in a signal handler) has returned,
    /// and a caller that leads does not look at that clock.
    pub(crate) fn send_held_back(&mut self, now: Time) {
        if self.held_since.is_some() {
            self.settle(now);
        }
    }

    /// Makes a caller the one who reads the socket.
    pub(crate) fn take_lead(&mut self, ticket: Ticket) {
        if !self.leads(ticket) {
            self.lead = Lead::Caller(ticket);
            self.listen();
        }
    }

    /// Gives the lead of `ticket` up, if it has it: to nobody for a moment, when calls come in quick
    /// succession (`keep`), else to the IO thread.
    pub(crate) fn release_lead(&mut self, ticket: Option<Ticket>, now: Time, keep: bool) {
        match self.lead {
            Lead::Caller(leader) if ticket.is_none_or(|t| t == leader) => {}
            _ => return,
        }
        let burst = self.last_release.is_some_and(|last| now.since(last) < BURST);
        self.last_release = Some(now);
        self.lead = if keep && burst && !self.slots.somebody_parked() {
            Lead::Kept { since: now }
        } else {
            Lead::Engine
        };
        self.listen();
        self.plan();
    }

    /// A leading caller's poll has returned.
    pub(crate) fn lead_on(&mut self, now: Time) {
        self.receive(now);
        if self.next_time().is_some_and(|t| t <= now) {
            self.handle_timeouts(now);
        }
        self.settle(now);
    }

    pub(crate) fn leads(&self, ticket: Ticket) -> bool {
        self.lead == Lead::Caller(ticket)
    }

    /// The socket, and how long a leading caller may wait for it.
    pub(crate) fn waiting_for(&self, now: Time) -> Waiting<'_> {
        let fd = self.conn.as_ref().map(Conn::socket);
        (fd, self.next_time().map(|t| t.since(now)))
    }

    /// The fd on which a caller that doesn't lead sleeps.
    pub(crate) fn park(&mut self, ticket: Ticket) -> Waiting<'_> {
        if self.parking.is_none() {
            let make = || eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC);
            // Without an fd the caller just looks again from time to time.
            self.parking = Registered::make(Inherited::Close, make).ok().map(Arc::new);
        }
        self.slots.park(ticket);
        if let Some(fd) = &self.parking {
            let _ = rustix::io::read(fd, &mut [0; 8]);
        }
        (self.parking.as_ref(), Some(FOLLOWER_LOOKS_AGAIN))
    }

    // ---- both

    /// As [`settle`](Self::settle), but what there is to write may wait for a moment, if others are under way,
    /// whose answers take it along; or if answers lie there that the user has yet to look at, so that he may
    /// well ask for more. (A server that answers faster than he looks would else get each request by itself.)
    /// True if it does.
    pub(crate) fn settle_soon(&mut self, now: Time) -> bool {
        if matches!(self.lead, Lead::Kept { .. }) {
            self.lead = Lead::Engine; // nobody comes back for this answer
        }
        let held = self.session.is_connected()
            && (self.session.outstanding() > 1 || self.lead == Lead::Engine && self.sink.has_items())
            && self.session.transmit().len() < PACKET
            && self.held_since.is_none_or(|since| now < since + HOLD);
        if !held {
            self.settle(now);
            return false;
        }
        self.held_since.get_or_insert(now);
        self.tell();
        self.listen();
        self.plan();
        true
    }

    /// Carries out whatever the session has decided: tells users, opens and closes connections,
    /// writes; then sets poller and timer accordingly.
    pub(crate) fn settle(&mut self, now: Time) {
        loop {
            self.tell();
            match self.session.poll_action() {
                Some(Action::Connect(host)) => self.connect_to(host, now),
                Some(Action::Probe(host)) => self.start_probe(host, now),
                Some(Action::EndProbe) => self.probe = None,
                Some(Action::Disconnect) => self.disconnect(),
                None if self.flush(now) => {}
                None => break,
            }
        }
        self.listen();
        self.plan();
    }

    fn tell(&mut self) {
        self.write_notes();
        while let Some(output) = self.session.poll_output() {
            self.route(output);
        }
    }

    fn route(&mut self, output: Output) {
        match output {
            Output::Completed { token, result } => match posted(token) {
                Some(id) => self.sink.deliver(Delivery::Completed { id, result }),
                None => {
                    let wake = self.slots.answer(Ticket(token), result);
                    self.wake(wake);
                }
            },
            Output::Watch { watcher, event, stays: Some(watched) } => {
                self.deliver_bounded(watcher, event, watched);
            }
            Output::Watch { watcher, event, stays: None } => {
                self.backlogs.forget(watcher);
                self.deliver(watcher, event);
            }
            Output::Auth { watcher, code } => {
                let event = WatchedEvent { kind: EventType(0), state: KeeperState(code.0), path: None };
                self.deliver(watcher, event);
            }
            Output::State(state) => self.tell_state(state),
            Output::Closed => {
                let wake = self.slots.answer_all(Awaited::Closed, &Ok(Reply::Nothing));
                self.wake(wake);
                self.refuse_connection_waiters(Code::CLOSING);
            }
        }
    }

    fn tell_state(&mut self, state: KeeperState) {
        let event = WatchedEvent { kind: EventType::SESSION, state, path: Some(Default::default()) };
        if let Some(watcher) = self.default_watcher {
            self.deliver(watcher, event.clone());
        }
        if self.sink.wants_session_events() {
            for watcher in self.session.armed_watchers() {
                self.deliver(watcher, event.clone());
            }
        }
        if self.session.is_connected() {
            let wake = self.slots.answer_all(Awaited::Connection, &Ok(Reply::Nothing));
            self.wake(wake);
        } else if let Some(code) = self.session.over() {
            self.refuse_connection_waiters(code);
        }
    }

    fn refuse_connection_waiters(&mut self, code: Code) {
        let end = self.session.end_of_session().filter(|failure| failure.code == code);
        let end = end.unwrap_or_else(|| Failure::new(code));
        let wake = self.slots.answer_all(Awaited::Connection, &Err(end));
        self.wake(wake);
    }

    fn deliver(&self, watcher: u64, event: WatchedEvent) {
        self.sink.deliver(Delivery::Watch { watcher, event, counted: None });
    }

    /// For a watcher whose events have no end; its path is so many bytes of the event's.
    fn deliver_bounded(&mut self, watcher: u64, mut event: WatchedEvent, watched: usize) {
        let counted = match self.backlogs.add(watcher) {
            Verdict::Deliver(counted) => counted,
            Verdict::Resync(counted) => {
                event.kind = EventType::RESYNC;
                event.path = event.path.map(|path| path.slice(..watched.min(path.len())));
                counted
            }
            Verdict::Drop => return,
        };
        self.sink.deliver(Delivery::Watch { watcher, event, counted: Some(counted) });
    }

    /// Nothing more is delivered to this watcher.
    pub(crate) fn forget_watcher(&mut self, watcher: u64) {
        self.session.forget_watcher(watcher);
        self.backlogs.forget(watcher);
    }

    fn wake(&self, wake: bool) {
        if let (true, Some(fd)) = (wake, &self.parking) {
            let _ = rustix::io::write(fd, &1u64.to_ne_bytes());
        }
    }

    fn handle_timeouts(&mut self, now: Time) {
        if self.session.poll_timeout().is_some_and(|t| t <= now) {
            // What has arrived counts, even if this process was stopped for long.
            if self.session.is_connected() && !matches!(self.lead, Lead::Caller(_)) {
                self.receive(now);
            }
            self.session.handle_timeout(now);
        }
        for (ticket, awaited) in self.slots.overdue(now) {
            match awaited {
                Awaited::Closed => self.session.end(Code::INVALID_STATE),
                Awaited::Connection | Awaited::Reply => {
                    let detail = self.session.trouble();
                    let failure = Failure { detail, ..Failure::new(Code::CONNECTION_LOSS) };
                    let wake = self.slots.answer(ticket, Err(failure));
                    self.wake(wake);
                }
            }
        }
    }

    fn connect_to(&mut self, host: HostPort, now: Time) {
        let (engine, id) = (self.engine.clone(), self.id);
        match self.resolver.ask(&host, move || engine.shared.nudge(id)) {
            Answer::Ready(Ok(mut addresses)) => {
                // Resolvers tend to give the same one first; if that one swallows what is sent to
                // it, the next attempt must begin with another.
                fastrand::shuffle(&mut addresses);
                self.addresses = addresses.into();
                self.connect_next(now);
            }
            Answer::Ready(Err(why)) => {
                self.note_unresolved(&why);
                self.session.handle_closed(now);
            }
            Answer::UnderWay => self.resolving = Some(host),
        }
    }

    /// Tries the addresses of one name in turn, as long as they refuse at once.
    fn connect_next(&mut self, now: Time) {
        self.conn = None;
        while let Some(peer) = self.addresses.pop_front() {
            let key = self.next_key();
            self.session.handle_next_address();
            self.note_connecting(peer);
            match Conn::open(self.engine.shared.poller(), key, peer) {
                Ok(conn) => {
                    self.conn = Some(conn);
                    return;
                }
                Err(error) => self.note_refused(Some(peer), &error.into()),
            }
        }
        self.session.handle_closed(now);
    }

    /// A key for the poller that no other connection of this handle has.
    fn next_key(&mut self) -> u64 {
        self.connections = self.connections.wrapping_add(1);
        engine::event_key(self.id, self.connections)
    }

    /// The attempt has come further: to a connection, to the TLS handshake and on in it, or to its end.
    fn advance(&mut self, now: Time) {
        let Some(conn) = &mut self.conn else { return };
        let secure = self.tls.as_ref().zip(self.session.peer().map(|peer| peer.host.as_str()));
        match conn.advance(self.engine.shared.poller(), secure) {
            Ok(Progress::Securing) => self.session.handle_securing(),
            Ok(Progress::Up) => {
                self.note_connected();
                self.session.handle_connected(now);
                if self.tls.is_some() {
                    // Of what came with the end of the handshake, nothing tells.
                    self.receive(now);
                }
            }
            Err(trouble) => {
                self.note_refused(None, &trouble);
                self.connect_next(now);
            }
        }
    }

    fn disconnect(&mut self) {
        if let Some(conn) = self.conn.as_mut().filter(|c| !c.connecting) {
            conn.say_goodbye();
        }
        self.conn = None;
        self.probe = None;
        self.addresses.clear();
        self.resolving = None;
        self.write_blocked = false;
        // Whoever led waits as a follower while there is no connection.
        self.lead = Lead::Engine;
    }

    fn receive(&mut self, now: Time) {
        // Without a buffer the thread is at its very end, and nobody wants an answer any more.
        let _ = BUFFER.try_with(|buffer| {
            let buffer = &mut *buffer.borrow_mut();
            for _ in 0..READS_AT_ONCE {
                let Some(conn) = self.conn.as_mut().filter(|c| !c.connecting) else { return };
                let session = &mut self.session;
                match conn.recv(buffer, &mut |bytes| session.handle_bytes(now, bytes)) {
                    Ok(count) if count > 0 => {
                        if count < buffer.len() || !self.session.wants_bytes() {
                            return;
                        }
                    }
                    Err(Trouble::System(Errno::AGAIN)) => return,
                    ended => {
                        // With TLS the end may come along with the answer that was the last to be wanted.
                        if self.session.wants_bytes() {
                            self.note_lost(ended.err().as_ref());
                        }
                        self.session.handle_closed(now);
                        self.disconnect();
                        return;
                    }
                }
            }
        });
    }

    /// Writes what there is. True if the connection ended by it.
    fn flush(&mut self, now: Time) -> bool {
        self.write_blocked = false;
        self.held_since = None;
        let Some(conn) = self.conn.as_mut().filter(|c| !c.connecting) else { return false };
        while !self.session.transmit().is_empty() || conn.wants_write() {
            match conn.send(self.session.transmit()) {
                Ok(count) => self.session.transmitted(count),
                Err(Trouble::System(Errno::AGAIN)) => {
                    self.write_blocked = true;
                    return false;
                }
                Err(error) => {
                    // The server's last words may still be there to be read.
                    self.receive(now);
                    if self.conn.is_some() {
                        self.note_lost(Some(&error));
                    }
                    self.session.handle_closed(now);
                    self.disconnect();
                    return true;
                }
            }
        }
        false
    }

    /// Tells the poller what the IO thread is to hear of. Writing that blocked is always its work,
    /// so that a leading caller has one fd and one direction to wait for.
    fn listen(&mut self) {
        if let Some(conn) = self.conn.as_mut().filter(|c| !c.connecting) {
            let read = self.lead == Lead::Engine;
            conn.listen(self.engine.shared.poller(), read, self.write_blocked);
        }
    }

    /// Tells the IO thread when to look here next, if that is earlier than it knows.
    fn plan(&mut self) {
        let next = match self.lead {
            Lead::Caller(_) => return,
            Lead::Kept { since } => Some(since + KEEP),
            Lead::Engine => {
                let flush = self.held_since.map(|since| since + HOLD);
                self.next_time().into_iter().chain(flush).min()
            }
        };
        let Some(next) = next else { return };
        if self.scheduled.is_none_or(|t| next < t) {
            self.engine.shared.schedule(self.id, self.scheduled, next);
            self.scheduled = Some(next);
        }
    }

    fn next_time(&self) -> Option<Time> {
        match (self.session.poll_timeout(), self.slots.next_deadline()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.engine.shared.forget(self.id, self.scheduled);
    }
}

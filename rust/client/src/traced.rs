//! Requests whose way to the server somebody wants to know.

use crate::clock;
use crate::handle::{Handle, Ticket, POSTED};
use crate::slots::Awaited;
use std::time::Duration;
use zk_proto::op::Request;
use zk_proto::session::{Failure, Sent};

impl Handle {
    /// [`submit`](Self::submit), and how the request went. If it waits, ask for its number with
    /// [`fetch_xid`](Self::fetch_xid) when it is answered.
    ///
    /// # Errors
    /// As there.
    pub fn submit_traced(
        &self,
        request: &Request<'_>,
        watcher: Option<u64>,
        within: Option<Duration>,
    ) -> Result<(Ticket, Sent), Failure> {
        let ticket = Ticket::next();
        let now = clock::now();
        let mut core = self.lock();
        core.session.submit(now, request, ticket.0, watcher, within)?;
        let sent = core.session.last_sent();
        if sent.xid.is_none() {
            core.session.follow(ticket.0);
        }
        core.slots.open(ticket, Awaited::Reply, None);
        core.settle(now);
        Ok((ticket, sent))
    }

    /// [`post`](Self::post), and how the request went. If it waits, ask for its number with
    /// [`fetch_posted_xid`](Self::fetch_posted_xid) when the answer was delivered.
    ///
    /// # Errors
    /// As there.
    pub fn post_traced(
        &self,
        request: &Request<'_>,
        id: u64,
        watcher: Option<u64>,
        within: Option<Duration>,
    ) -> Result<(bool, Sent), Failure> {
        let now = clock::now();
        let mut core = self.lock();
        core.session.try_submit(now, request, POSTED | id, watcher, within)?;
        let sent = core.session.last_sent();
        if sent.xid.is_none() {
            core.session.follow(POSTED | id);
        }
        Ok((core.settle_soon(now), sent))
    }

    /// The number of a traced request that had to wait, now that it is answered; `None` if it has never got one.
    pub fn fetch_xid(&self, ticket: Ticket) -> Option<i32> {
        self.lock().session.fetch_xid(ticket.0)
    }

    /// The same for one that was posted.
    pub fn fetch_posted_xid(&self, id: u64) -> Option<i32> {
        self.lock().session.fetch_xid(POSTED | id)
    }
}

//! Answers for callers that block: a few at a time, so a list beats a map.

use crate::handle::Ticket;
use zk_proto::op::Reply;
use zk_proto::session::Failure;
use zk_proto::time::Time;

/// What a caller waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Awaited {
    /// The answer to a request.
    Reply,
    /// A connection.
    Connection,
    /// The end of the session.
    Closed,
}

#[derive(Debug)]
struct Slot {
    ticket: Ticket,
    awaited: Awaited,
    /// When the wait ends without an answer; requests are timed by the session.
    deadline: Option<Time>,
    answer: Option<Result<Reply, Failure>>,
    /// The caller sleeps on the handle's wake-up fd.
    parked: bool,
}

/// The callers of one handle.
#[derive(Debug, Default)]
pub(crate) struct Slots(Vec<Slot>);

impl Slots {
    pub(crate) fn open(&mut self, ticket: Ticket, awaited: Awaited, deadline: Option<Time>) {
        self.0.push(Slot { ticket, awaited, deadline, answer: None, parked: false });
    }

    /// Takes the answer, and with it the slot.
    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<Result<Reply, Failure>> {
        let at = self.0.iter().position(|s| s.ticket == ticket && s.answer.is_some())?;
        self.0.swap_remove(at).answer
    }

    pub(crate) fn remove(&mut self, ticket: Ticket) {
        self.0.retain(|s| s.ticket != ticket);
    }

    pub(crate) fn has(&self, ticket: Ticket) -> bool {
        self.0.iter().any(|s| s.ticket == ticket)
    }

    /// The caller goes to sleep on the handle's wake-up fd.
    pub(crate) fn park(&mut self, ticket: Ticket) {
        if let Some(slot) = self.0.iter_mut().find(|s| s.ticket == ticket) {
            slot.parked = true;
        }
    }

    /// Whether a caller sleeps whom only the IO thread will wake.
    pub(crate) fn somebody_parked(&self) -> bool {
        self.0.iter().any(|s| s.parked)
    }

    /// Answers one caller. True if somebody sleeps.
    pub(crate) fn answer(&mut self, ticket: Ticket, answer: Result<Reply, Failure>) -> bool {
        match self.0.iter_mut().find(|s| s.ticket == ticket) {
            Some(slot) => {
                slot.answer = Some(answer);
                slot.parked
            }
            None => false,
        }
    }

    /// Answers all who wait for this. True if somebody sleeps.
    pub(crate) fn answer_all(&mut self, awaited: Awaited, answer: &Result<Reply, Failure>) -> bool {
        let mut wake = false;
        for slot in self.0.iter_mut().filter(|s| s.awaited == awaited && s.answer.is_none()) {
            slot.answer = Some(answer.clone());
            wake |= slot.parked;
        }
        wake
    }

    /// The kinds of waits whose time is over.
    pub(crate) fn overdue(&self, now: Time) -> Vec<(Ticket, Awaited)> {
        let late = |s: &&Slot| s.answer.is_none() && s.deadline.is_some_and(|t| t <= now);
        self.0.iter().filter(late).map(|s| (s.ticket, s.awaited)).collect()
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.0.iter().filter(|s| s.answer.is_none()).filter_map(|s| s.deadline).min()
    }
}

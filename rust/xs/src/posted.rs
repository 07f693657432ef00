//! Calls that nobody waits for: what to call when their answers have come.
//!
//! A request that is posted leaves a [`Posted`] here, and the engine knows it by a number. Its answer
//! comes through the channel, between the events, as a completion with that number; whoever takes it
//! out of the channel runs the callback. So each is called exactly once, and in the server's order.
//!
//! All of it belongs to Perl's thread: the engine never sees a scalar. What is borrowed here is borrowed with
//! signals blocked: a jump out of an unsafe handler would leave it borrowed for ever.

use crate::channel::{Channel, Item};
use crate::fork::generation;
use crate::guard::{guarded, Panicked};
use crate::handle::Client;
use crate::logging;
use crate::perl::{Call, Perl, Sv};
use crate::results::{self, Out, Shape};
use crate::thrown::Raise;
use crate::trace;
use crate::wish;
use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::rc::Rc;
use zk_client::{Delivery, Failure};
use zk_proto::op::Reply;
use zk_proto::Code;

/// A call whose answer is still to come.
pub(crate) struct Posted {
    /// What to call: a function, or a reference to something that can be called like one. One count.
    pub(crate) callback: Sv,
    /// What a reference to is the first argument, before the error and the results. One count.
    pub(crate) subject: Option<Sv>,
    pub(crate) client: Rc<Client>,
    pub(crate) op: &'static str,
    pub(crate) shape: Shape,
    /// For an error: the path, and behind it where the call was made.
    pub(crate) words: Vec<u8>,
    /// How much of the words is path; none when the call has no path.
    pub(crate) path: Option<usize>,
    /// The path is text.
    pub(crate) is_text: bool,
    /// The callback wants to know the xid, before the error.
    pub(crate) is_traced: bool,
}

/// A place in the table. Its number goes with the index into the id, so that an id is never met again.
#[derive(Default)]
struct Slot {
    serial: u32,
    posted: Option<Posted>,
}

/// How often callbacks of a handle that goes may ask again. One that does so whatever it hears would do it
/// for ever.
const REFUSALS: usize = 16;

const INDEX_BITS: u32 = 32;

/// The posted calls of all handles of a channel.
pub(crate) struct Calls {
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<u32>>,
    /// Clients whose requests are held back, and whether there are any.
    holding: RefCell<Vec<Rc<Client>>>,
    is_holding: Cell<bool>,
    /// Answers of a handle that is going: they don't wait for their turn in the channel.
    parting: RefCell<VecDeque<(u64, Answer)>>,
    /// Null when it has gone.
    channel: Cell<*const Channel>,
    generation: Cell<u32>,
}

pub(crate) type Answer = Result<Reply, Failure>;

/// What is on perl's stack, or still to be made of these.
#[derive(Clone, Copy)]
enum Prepared {
    /// Mark and arguments are there.
    Ready { callback: Sv },
    /// The error's facts.
    Failed { callback: Sv, before: Before, facts: [Sv; 6] },
}

/// What a callback is given before the error: the subject, and the xid.
type Before = [Option<Sv>; 2];

impl Calls {
    pub(crate) fn new() -> Rc<Calls> {
        Rc::new(Calls {
            slots: RefCell::default(),
            free: RefCell::default(),
            holding: RefCell::default(),
            is_holding: Cell::new(false),
            parting: RefCell::default(),
            channel: Cell::new(std::ptr::null()),
            generation: Cell::new(generation()),
        })
    }

    /// The channel through which the answers come; `None` when it has gone.
    pub(crate) fn of_channel(&self, channel: *const Channel) {
        self.channel.set(channel);
    }

    pub(crate) fn channel(&self) -> Option<&Channel> {
        // SAFETY: the channel takes the pointer away before it goes.
        unsafe { self.channel.get().as_ref() }
    }

    /// Keeps a call; gives its id.
    pub(crate) fn add(&self, posted: Posted) -> u64 {
        posted.client.posted.set(posted.client.posted.get() + 1);
        let mut slots = self.slots.borrow_mut();
        let index = self.free.borrow_mut().pop().unwrap_or_else(|| {
            slots.push(Slot::default());
            slots.len() as u32 - 1
        });
        let slot = &mut slots[index as usize];
        slot.serial = (slot.serial + 1) & (i32::MAX as u32);
        slot.posted = Some(posted);
        (u64::from(slot.serial) << INDEX_BITS) | u64::from(index)
    }

    /// Takes a call out.
    pub(crate) fn take(&self, id: u64) -> Option<Posted> {
        let index = id as u32;
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(index as usize).filter(|s| u64::from(s.serial) == id >> INDEX_BITS)?;
        let posted = slot.posted.take()?;
        self.free.borrow_mut().push(index);
        posted.client.posted.set(posted.client.posted.get() - 1);
        Some(posted)
    }

    /// Takes a call out that has not come to be. The program has its scalars still.
    pub(crate) fn refuse(&self, id: u64) {
        if let Some(posted) = self.take(id) {
            posted.callback.give_back();
            if let Some(subject) = posted.subject {
                subject.give_back();
            }
        }
    }

    /// Puts an answer of our own into the channel, behind what is there.
    pub(crate) fn answer(&self, id: u64, failure: Failure) {
        if let Some(channel) = self.channel() {
            channel.queue().push(Item::Delivery(Delivery::Completed { id, result: Err(failure) }));
        }
    }

    /// Requests of this client are held back until [`flush`](Self::flush).
    pub(crate) fn hold(&self, client: &Rc<Client>) {
        if !client.holding.replace(true) {
            self.holding.borrow_mut().push(client.clone());
            self.is_holding.set(true);
            if let Some(channel) = self.channel() {
                channel.queue().prompt();
            }
        }
    }

    /// Sends what is held back.
    pub(crate) fn flush(&self) {
        if !self.is_holding.replace(false) {
            return;
        }
        let _ = guarded(|| {
            for client in self.holding.take() {
                client.holding.set(false);
                if !client.is_foreign() {
                    client.handle().flush();
                }
            }
        });
    }

    /// To be called when a forked child uses what it has inherited: calls of its parent's are answered
    /// here too, and the answers never come. Each process says so once; what its parent said of its own parent's
    /// calls was in a queue that is not this one's. True if there are any.
    pub(crate) fn disown_inherited(&self) -> bool {
        if self.generation.replace(generation()) == generation() {
            return false;
        }
        let mut ids = Vec::new();
        for (index, slot) in self.slots.borrow().iter().enumerate() {
            if slot.posted.as_ref().is_some_and(|p| p.client.is_foreign()) {
                ids.push((u64::from(slot.serial) << INDEX_BITS) | index as u64);
            }
        }
        for id in &ids {
            let detail = Some(Client::FOREIGN.to_owned());
            self.answer(*id, Failure { detail, ..Failure::new(Code::INVALID_STATE) });
        }
        !ids.is_empty()
    }

    /// Gives up all calls without a word: the channel is going.
    pub(crate) fn drop_all(&self, perl: Perl) {
        self.channel.set(std::ptr::null());
        let mut slots = Vec::new();
        let _ = guarded(|| {
            slots = self.slots.take();
            self.free.take();
            self.holding.take();
            self.parting.take();
        });
        for slot in slots {
            if let Some(posted) = slot.posted {
                posted.callback.release(perl);
                if let Some(subject) = posted.subject {
                    subject.release(perl);
                }
            }
        }
    }

    /// The handle of this client is going: runs the callbacks of all its calls now. Their exceptions
    /// become warnings. What they ask in their turn is refused, and they hear of that too, for it may be the
    /// next step of something that somebody waits for.
    pub(crate) fn part(&self, perl: Perl, client: &Client) {
        for _ in 0..REFUSALS {
            match guarded(|| self.collect(client)) {
                Ok(0) => break,
                _ => self.run_parting(perl),
            }
        }
    }

    fn run_parting(&self, perl: Perl) {
        perl.push_stack();
        loop {
            perl.push_scope();
            perl.save_tmps();
            let next = guarded(|| self.next_parting(perl));
            if let Ok(Next::Call(prepared)) = next {
                finish(perl, prepared, true);
            }
            perl.free_tmps();
            perl.pop_scope();
            if matches!(next, Ok(Next::Nothing)) {
                break;
            }
        }
        perl.pop_stack();
    }

    fn next_parting(&self, perl: Perl) -> Next {
        let front = self.parting.borrow_mut().pop_front();
        match front {
            None => Next::Nothing,
            Some((id, answer)) => Next::of(perl, id, self.take(id), answer),
        }
    }

    /// Moves the answers of one client out of the channel. There is one for each of its calls, for the
    /// session has ended; should there be none, that is the answer. How many there are to be given.
    fn collect(&self, client: &Client) -> usize {
        let is_own = |id: u64| {
            let slots = self.slots.borrow();
            let slot = slots.get(id as u32 as usize).filter(|s| u64::from(s.serial) == id >> INDEX_BITS);
            slot.and_then(|s| s.posted.as_ref()).is_some_and(|p| std::ptr::eq(&*p.client, client))
        };
        let mut parting = self.parting.borrow_mut();
        if let Some(channel) = self.channel() {
            channel.extract(|item| match item {
                Item::Delivery(Delivery::Completed { id, result }) if is_own(id) => {
                    parting.push_back((id, result));
                    None
                }
                other => Some(other),
            });
        }
        let answered: HashSet<u64> = parting.iter().map(|(id, _)| *id).collect();
        let slots = self.slots.borrow();
        for (index, slot) in slots.iter().enumerate() {
            let id = (u64::from(slot.serial) << INDEX_BITS) | index as u64;
            let is_own = slot.posted.as_ref().is_some_and(|p| std::ptr::eq(&*p.client, client));
            if is_own && !answered.contains(&id) {
                parting.push_back((id, Err(Failure::new(Code::CLOSING))));
            }
        }
        parting.len()
    }
}

/// What is to be done next.
#[derive(Clone, Copy)]
enum Next {
    /// There is no completion in front.
    Nothing,
    /// One that is nobody's any more.
    Nobody,
    Call(Prepared),
}

impl Next {
    fn of(perl: Perl, id: u64, posted: Option<Posted>, answer: Answer) -> Next {
        posted.map_or(Next::Nobody, |posted| Next::Call(prepare(perl, id, posted, answer)))
    }
}

/// Runs the callbacks of the completions in front of the channel, at most so many; how many, or what to
/// throw. A callback that dies leaves the rest where it is.
pub(crate) fn run(perl: Perl, channel: &Channel, limit: usize) -> Result<usize, Panicked> {
    perl.push_stack();
    let mut ran = Ok(0);
    while ran.is_ok_and(|count| count < limit) {
        perl.push_scope();
        perl.save_tmps();
        let next = guarded(|| next(perl, channel));
        if let Ok(Next::Call(prepared)) = next {
            if logging::has_records(channel) {
                logging::attend(perl, channel); // what has led to the answer is told first
            }
            finish(perl, prepared, false);
        }
        perl.free_tmps();
        perl.pop_scope();
        match next {
            Ok(Next::Nothing) => break,
            Ok(_) => ran = ran.map(|count| count + 1),
            Err(panicked) => ran = Err(panicked),
        }
    }
    perl.pop_stack();
    ran
}

fn next(perl: Perl, channel: &Channel) -> Next {
    match channel.next_completion() {
        Some((id, answer)) => Next::of(perl, id, channel.calls().take(id), answer),
        None => Next::Nothing,
    }
}

/// Makes scalars of an answer. They are fresh and plain, so that nothing of Perl runs before the values
/// here are gone.
fn prepare(perl: Perl, id: u64, posted: Posted, answer: Answer) -> Prepared {
    let callback = posted.callback.mortal(perl);
    let subject = posted.subject.map(|referent| perl.new_reference(referent).mortal(perl));
    let xid = posted.is_traced.then(|| {
        let client = &posted.client;
        wish::number(perl, if client.is_foreign() { None } else { client.handle().fetch_posted_xid(id) })
    });
    let before = [subject, xid];
    let utf8 = posted.client.utf8;
    let failure = match answer {
        Ok(reply) => {
            perl.push_mark();
            push_before(perl, before);
            perl.push(&[perl.undef()]);
            let call = Call::on_top(perl);
            let mut out = Out::of_list(perl, call);
            if results::answer(&mut out, posted.shape, &reply, utf8) {
                perl.leave(call, out.count());
                return Prepared::Ready { callback };
            }
            perl.pop_mark();
            results::unexpected()
        }
        Err(failure) if results::is_answer(posted.shape, &failure) => {
            perl.push_mark();
            push_before(perl, before);
            perl.push(&[perl.undef(), perl.undef()]);
            return Prepared::Ready { callback };
        }
        Err(failure) => failure,
    };
    let (path, at) = posted.words.split_at_checked(posted.path.unwrap_or(0)).unwrap_or_default();
    let raise = Raise {
        op: posted.op,
        about: posted.client.about(),
        path: match posted.path {
            Some(_) => perl.new_string(path, posted.is_text).mortal(perl),
            None => perl.undef(),
        },
        code: failure.code.0,
        detail: failure.detail.as_deref().map_or(perl.undef(), |d| perl.new_text(d).mortal(perl)),
        maybe_applied: failure.maybe_applied,
    };
    trace::failed(&raise);
    let [op, path, code, detail, maybe_applied] = raise.arguments(perl);
    let at = perl.new_bytes(at).mortal(perl);
    Prepared::Failed { callback, before, facts: [at, op, path, code, detail, maybe_applied] }
}

fn push_before(perl: Perl, before: Before) {
    for sv in before.into_iter().flatten() {
        perl.push(&[sv]);
    }
}

/// Calls. May be left by `longjmp`: `Copy` values only.
fn finish(perl: Perl, prepared: Prepared, to_warn: bool) {
    let callback = match prepared {
        Prepared::Ready { callback } => callback,
        Prepared::Failed { callback, before, facts } => {
            let error = perl.call_for_scalar(c"ZooKeeper::Error::_made", &facts);
            perl.push_mark();
            push_before(perl, before);
            perl.push(&[error]);
            callback
        }
    };
    perl.call(callback, to_warn);
}
